package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// manCommand prints the man page, for those who make packages.
type manCommand struct{}

// Run prints the page in the macros of man(7).
func (c *manCommand) Run(p *process) error {
	grammar := p.grammar.Model.Node
	var b strings.Builder
	fmt.Fprintf(&b, ".TH NIM\\-SIDECAR 1 %q \"nim\\-sidecar %s\" \"User Commands\"\n", committed(), roff(version()))
	b.WriteString(".SH NAME\nnim\\-sidecar \\- shares one scarce LLM quota between many agents\n.SH SYNOPSIS\n.B nim\\-sidecar\n[\\fIcommand\\fR] [\\fIflag\\fR ...]\n")
	fmt.Fprintf(&b, ".SH DESCRIPTION\n%s\n", roff(grammar.Help))
	b.WriteString(".SH COMMANDS\n")
	writeCommands(&b, "", grammar)
	b.WriteString(".SH SETTINGS\nEach is a flag or, where none is given, the variable of the environment in parentheses; else the settings file or its default counts.\n")
	for _, f := range grammar.DefaultCmd.Flags {
		if f.Group != nil {
			writeFlag(&b, f)
		}
	}
	b.WriteString(manEnd)
	_, err := io.WriteString(p.stdout, b.String())
	return err
}

// manEnd is what the grammar does not know.
const manEnd = `.SH SIGNALS
.TP
.B SIGTERM, SIGINT
Stop: what waits is told to come again, what runs may finish within the shutdown timeout. A second one ends it at once.
.TP
.B SIGHUP
Read the settings again, and take over what may change while running.
.SH EXIT STATUS
.TP
.B 0
All is well.
.TP
.B 1
It failed while running.
.TP
.B 2
The command line is wrong.
.TP
.B 69
A port is taken.
.TP
.B 78
The settings are not valid.
.SH FILES
The package for Debian installs, for systemd:
.TP
.I /etc/nim\-sidecar/nvidia_api_key
The key, for root only; the unit passes it on.
.TP
.I /etc/nim\-sidecar/environment
Variables of the environment.
.TP
.I /var/lib/nim\-sidecar
What was learned, and what was sent of late.
.SH SEE ALSO
.BR systemctl (1)
`

// writeCommands writes the commands under a node, with the flags that are their own.
func writeCommands(b *strings.Builder, path string, n *kong.Node) {
	for _, child := range n.Children {
		name := strings.TrimSpace(path + " " + child.Name)
		if child.Hidden {
			continue
		}
		if len(child.Children) > 0 {
			writeCommands(b, name, child)
			continue
		}
		for _, argument := range child.Positional {
			name += " " + strings.ReplaceAll(argument.Enum, ",", "|")
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name), roff(child.Help))
		b.WriteString(".RS\n")
		for _, f := range child.Flags {
			if f.Group == nil && !f.Hidden {
				writeFlag(b, f)
			}
		}
		b.WriteString(".RE\n")
	}
}

func writeFlag(b *strings.Builder, f *kong.Flag) {
	value := ""
	if !f.IsBool() {
		value = "=\\fI" + roff(f.FormatPlaceHolder()) + "\\fR"
	}
	fmt.Fprintf(b, ".TP\n\\fB\\-\\-%s\\fR%s\n%s\n", roff(f.Name), value, roff(f.Help))
}

// roff makes plain text of a text: no character of it is an instruction.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
