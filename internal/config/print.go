package config

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// YAML returns the settings in effect as a settings file, each with where it came from; secrets are ***.
func (c *Config) YAML() []byte {
	p := &printer{}
	p.effective(root(), reflect.ValueOf(c).Elem(), "", c.origins)
	return p.Bytes()
}

// Example returns a settings file that sets every default and explains every setting.
func Example() []byte {
	p := &printer{}
	p.line("# Settings of nim-sidecar. Everything may be left out: then the default holds, and what has none stands here behind a #.")
	p.line("# A flag beats a variable of the environment, which beats this file. A secret here may be ${NAME}, a variable, or")
	p.line("# ${file:/path}, the content of a file.")
	p.explained(root())
	return p.Bytes()
}

// printer writes YAML line by line.
type printer struct {
	bytes.Buffer
	indent string // of the lines to come, with a # where they are commented out
}

func (p *printer) line(format string, args ...any) {
	p.WriteString(strings.TrimRight(p.indent+fmt.Sprintf(format, args...), " ") + "\n")
}

// deeper runs write with more in front of every line.
func (p *printer) deeper(more string, write func()) {
	before := p.indent
	p.indent += more
	write()
	p.indent = before
}

func (p *printer) effective(group *node, v reflect.Value, path string, origins map[string]origin) {
	for _, n := range group.inner {
		field, at := v.Field(n.field), strings.TrimPrefix(path+"."+n.key, ".")
		switch text := ""; {
		case n.key == "":
		case n.list() && field.Len() > 0:
			p.line("%s: # %s", n.key, origins[at])
			for i := range field.Len() {
				p.line("  -")
				p.deeper("    ", func() { p.effective(n, field.Index(i), fmt.Sprintf("%s[%d]", at, i), origins) })
			}
		case n.inner != nil && !n.list():
			p.line("%s:", n.key)
			p.deeper("  ", func() { p.effective(n, field, at, origins) })
		default:
			if !n.list() {
				text = show(field)
			}
			if text == "" {
				p.line("%s: # not set", n.key)
				continue
			}
			p.line("%s: %s # %s", n.key, n.literal(text), origins[at])
		}
	}
}

func (p *printer) explained(group *node) {
	for _, n := range group.inner {
		if n.key == "" {
			continue
		}
		if !bytes.HasSuffix(p.Bytes(), []byte("-\n")) && !bytes.HasSuffix(p.Bytes(), []byte(":\n")) {
			p.line("")
		}
		for _, line := range wrap(strings.ReplaceAll(n.Help, "`", ""), 110) {
			p.line("# %s", line)
		}
		if len(n.Env) > 0 {
			p.line("# (%s)", strings.Join(n.Env, ", "))
		}
		switch {
		case n.list() && !n.spoken() && !strings.Contains(p.indent, "#"):
			p.deeper("# ", func() { p.group(n) })
		case n.inner != nil:
			p.group(n)
		case n.Default == "" && !strings.Contains(p.indent, "#"):
			p.line("# %s: %s", n.key, n.literal(cmp.Or(n.Default, n.Example)))
		default:
			p.line("%s: %s", n.key, n.literal(cmp.Or(n.Default, n.Example)))
		}
	}
}

// group writes a group, or a list of groups with one entry.
func (p *printer) group(n *node) {
	p.line("%s:", n.key)
	if !n.list() {
		p.deeper("  ", func() { p.explained(n) })
		return
	}
	p.line("  -")
	p.deeper("    ", func() { p.explained(n) })
}

// literal writes a value as YAML. What is not text by its nature needs no quotes; text gets them always, since a name could be null.
func (n *node) literal(text string) string {
	if t := typeName(n.typ); t == "list" {
		var all []string
		for _, s := range fields(text) {
			all = append(all, quote(s))
		}
		return "[" + strings.Join(all, ", ") + "]"
	} else if t == "text" && n.tag.Get("enum") == "" {
		return quote(text)
	}
	return text
}

// quote writes text as JSON, which is YAML too.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic("config: text that is no JSON: " + err.Error())
	}
	return string(b)
}

// wrap breaks text into lines of at most width, between words.
func wrap(text string, width int) (lines []string) {
	line := ""
	for word := range strings.FieldsSeq(text) {
		if line != "" && len(line)+1+len(word) > width {
			lines, line = append(lines, line), ""
		}
		line = strings.TrimLeft(line+" "+word, " ")
	}
	return append(lines, line)
}
