package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCommand prints a completion script.
type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Run prints the script for the shell.
func (c *completionCommand) Run(p *process) error {
	write := map[string]func(io.Writer, []place) error{"bash": writeBash, "zsh": writeZsh, "fish": writeFish}[c.Shell]
	return write(p.stdout, places("", p.grammar.Model.Node))
}

// place is a point of the command line, after some commands, and the words that may come next.
type place struct {
	path  string // the commands, such as " config check"; "" at the beginning
	words []word
}

// word is a command or a flag.
type word struct {
	text, help string
	value      bool // a flag that takes a value
}

// places lists a node of the grammar and everything under it.
func places(path string, n *kong.Node) []place {
	here := place{path: path}
	var deeper []place
	for _, child := range n.Children {
		if child.Hidden {
			continue
		}
		here.words = append(here.words, word{text: child.Name, help: child.Help})
		deeper = append(deeper, places(path+" "+child.Name, child)...)
	}
	for _, argument := range n.Positional {
		for _, value := range strings.FieldsFunc(argument.Enum, func(r rune) bool { return r == ',' }) {
			here.words = append(here.words, word{text: value})
		}
	}
	flags := n.Flags
	if n.DefaultCmd != nil {
		flags = append(flags[:len(flags):len(flags)], n.DefaultCmd.Flags...)
	}
	for _, f := range flags {
		here.words = append(here.words, word{text: "--" + f.Name, help: f.Help, value: !f.IsBool()})
	}
	return append([]place{here}, deeper...)
}

// cases writes one branch of a shell's case statement for each place: its path, and what line makes of its words.
func cases(list []place, line func(words []word) string) string {
	var b strings.Builder
	for _, p := range list {
		fmt.Fprintf(&b, "    %q) %s ;;\n", p.path, line(p.words))
	}
	return b.String()
}

// known is the pattern of all places but the first.
func known(list []place) string {
	var all []string
	for _, p := range list[1:] {
		all = append(all, fmt.Sprintf("%q", p.path))
	}
	return strings.Join(all, "|")
}

func texts(words []word) string {
	var all []string
	for _, w := range words {
		all = append(all, w.text)
	}
	return strings.Join(all, " ")
}

func writeBash(w io.Writer, list []place) error {
	_, err := fmt.Fprintf(w, `# bash completion for nim-sidecar: source it, or put it where bash-completion looks.
_nim_sidecar() {
  local path="" word words=""
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in %s) path="$path $word" ;; esac
  done
  case "$path" in
%s  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _nim_sidecar nim-sidecar
`, known(list), cases(list, func(words []word) string { return fmt.Sprintf("words=%q", texts(words)) }))
	return err
}

func writeZsh(w io.Writer, list []place) error {
	_, err := fmt.Fprintf(w, `#compdef nim-sidecar
# zsh completion for nim-sidecar: put it into a directory of fpath as _nim-sidecar, or source it after compinit.
_nim_sidecar() {
  local path_="" word
  for word in "${words[@]:1:$((CURRENT-2))}"; do
    case "$path_ $word" in (%s) path_="$path_ $word" ;; esac
  done
  case "$path_" in
%s  esac
  _files
}
if [[ $funcstack[1] == _nim-sidecar ]]; then _nim_sidecar; else compdef _nim_sidecar nim-sidecar; fi
`, known(list), cases(list, func(words []word) string { return "compadd -- " + texts(words) }))
	return err
}

func writeFish(w io.Writer, list []place) error {
	var b strings.Builder
	b.WriteString(`# fish completion for nim-sidecar: put it into ~/.config/fish/completions/nim-sidecar.fish.
function __nim_sidecar_at
  set -l path ""
  for word in (commandline -opc)[2..-1]
    if contains -- "$path $word" ` + strings.ReplaceAll(known(list), "|", " ") + `
      set path "$path $word"
    end
  end
  test "$path" = "$argv[1]"
end
`)
	for _, p := range list {
		for _, w := range p.words {
			kind, text := "-f -a", w.text
			if name, ok := strings.CutPrefix(text, "--"); ok {
				kind, text = "-l", name
			}
			requires := ""
			if w.value {
				requires = " -r"
			}
			fmt.Fprintf(&b, "complete -c nim-sidecar -n %s %s %s%s -d %s\n", fishQuote("__nim_sidecar_at "+fishQuote(p.path)), kind, text, requires, fishQuote(w.help))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// fishQuote quotes for fish, where a backslash escapes inside of single quotes.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
