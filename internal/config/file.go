package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"nimsidecar/internal/limit"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// maxFile bounds the settings file: settings are some kilobytes, and deep nesting costs the parser quadratic time.
const maxFile = 256 << 10

// readFile lays the settings file over the defaults.
func (l *loader) readFile() {
	for n := range l.root.leaves() {
		if n.key != "" {
			continue // only the file itself has no key
		}
		name, from := l.fromFlags(n)
		if from.layer == byDefault {
			name, from = l.fromEnvironment(n)
		}
		if name == "" {
			continue
		}
		content, err := l.ReadFile(name)
		if err == nil && len(content) > maxFile {
			err = fmt.Errorf("it has %d bytes, more than %d", len(content), maxFile)
		}
		if err != nil {
			l.badAt(from, "", "%q: %v", clip(name), cause(err))
			continue
		}
		f := &file{loader: l, name: name}
		f.decode(content)
	}
}

// file is the decoding of the settings file. It walks the YAML nodes itself, rather than have them unmarshalled, so that every problem
// is found at once, each with its place and the nearest known key.
type file struct {
	*loader
	name string
}

func (f *file) decode(content []byte) {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	if !utf8.Valid(content) {
		f.badAt(f.at(&token.Position{Line: 1, Column: 1}), "", "it is not UTF-8")
		return
	}
	tree, err := parser.ParseBytes(content, 0, parser.AllowDuplicateMapKey()) // this reports them itself
	if err != nil {
		f.badSyntax(err)
		return
	}
	seen := false
	for _, document := range tree.Docs {
		switch body := document.Body.(type) {
		case nil, *ast.NullNode, *ast.DirectiveNode:
		default:
			if seen {
				f.badAt(f.place(body), "", "a second document: settings are one")
				return
			}
			seen = true
			f.group(f.root, reflect.ValueOf(f.config).Elem(), "", body)
		}
	}
}

// badSyntax reports what the parser says, without the excerpt, which could show a secret.
func (f *file) badSyntax(err error) {
	at, what := &token.Position{Line: 1, Column: 1}, "it is not YAML"
	var syntax interface {
		GetMessage() string
		GetToken() *token.Token
	}
	if errors.As(err, &syntax) {
		what = syntax.GetMessage()
		if t := syntax.GetToken(); t != nil && t.Position != nil {
			at = t.Position
		}
	}
	f.badAt(f.at(at), "", "%s", what)
}

func (f *file) at(p *token.Position) origin {
	return origin{layer: byFile, name: f.name, line: p.Line, column: p.Column}
}

// place returns where a YAML node begins.
func (f *file) place(y ast.Node) origin {
	for {
		m, ok := y.(*ast.MappingNode)
		if !ok || len(m.Values) == 0 {
			break
		}
		y = m.Values[0].Key // the token of a mapping is its first colon
	}
	t := y.GetToken()
	if t == nil || t.Position == nil {
		return f.at(&token.Position{Line: 1, Column: 1})
	}
	return f.at(t.Position)
}

// group decodes a mapping into the settings of a group.
func (f *file) group(group *node, v reflect.Value, path string, y ast.Node) {
	if _, ok := y.(*ast.NullNode); ok {
		return // everything in it is commented out
	}
	mapping, ok := y.(*ast.MappingNode)
	if !ok {
		f.badAt(f.place(y), path, "%s: want %s", describe(y), keysOf(group))
		return
	}
	seen := map[string]int{}
	for _, pair := range mapping.Values {
		key, from := pair.Key.GetToken().Value, f.place(pair.Key)
		if line := seen[key]; line > 0 {
			f.badAt(from, path, "key %q is given twice, first in line %d", clip(key), line)
			continue
		}
		seen[key] = from.line
		n := group.find(key)
		if n == nil {
			f.badAt(from, path, "unknown key %q: %s", clip(key), f.suggestKey(group, key))
			continue
		}
		f.node(n, v.Field(n.field), strings.TrimPrefix(path+"."+key, "."), pair.Value)
	}
}

// node decodes a value, a group or a list of groups.
func (f *file) node(n *node, v reflect.Value, path string, y ast.Node) {
	if _, ok := y.(*ast.NullNode); ok {
		return // a key without a value was not given
	}
	switch {
	case n.list():
		sequence, ok := y.(*ast.SequenceNode)
		if !ok {
			f.badAt(f.place(y), path, "%s: want a list, each entry with %s", describe(y), keysOf(n))
			return
		}
		f.config.origins[path] = f.place(y)
		for i, entry := range sequence.Values {
			f.group(n, grow(n, v), fmt.Sprintf("%s[%d]", path, i), entry)
		}
	case n.inner != nil:
		f.group(n, v, path, y)
	default:
		f.scalars(n, v, path, y)
	}
}

// scalars decodes a value, or a list of values.
func (f *file) scalars(n *node, v reflect.Value, path string, y ast.Node) {
	sequence, ok := y.(*ast.SequenceNode)
	if !ok || v.Kind() != reflect.Slice || v.Type() == reflect.TypeFor[limit.Rates]() {
		f.scalar(n, v, path, y)
		return
	}
	v.SetZero()
	for i, element := range sequence.Values {
		one := reflect.New(v.Type()).Elem()
		f.scalar(n, one, fmt.Sprintf("%s[%d]", path, i), element)
		v.Set(reflect.AppendSlice(v, one))
	}
	f.config.origins[path] = f.place(y)
}

// scalar decodes one value from its text.
func (f *file) scalar(n *node, v reflect.Value, path string, y ast.Node) {
	text, ok := textOf(y)
	from := f.place(y)
	if !ok {
		f.badAt(from, path, "%s: want one value", describe(y))
		return
	}
	if n.Secret {
		var err error
		if text, err = f.expand(text); err != nil {
			f.badAt(from, path, "%v", err)
			return
		}
	}
	if err := n.read(v, strings.TrimSpace(text)); err != nil {
		from.column += offset(y, err)
		f.badValue(n, path, text, from, err)
		return
	}
	f.config.origins[path] = from
}

// offset returns how many columns into a one-line scalar its error lies.
func offset(y ast.Node, err error) int {
	syntax, ok := errors.AsType[*limit.SyntaxError](err)
	if !ok {
		return 0
	}
	switch y.GetToken().Type {
	case token.StringType:
		return syntax.Offset
	case token.SingleQuoteType, token.DoubleQuoteType:
		return syntax.Offset + 1
	}
	return 0
}

// expand returns what a secret in the file refers to: ${NAME} is a variable, ${file:/path} the content of a file; everything else is
// the secret itself.
func (f *file) expand(text string) (string, error) {
	inner, ok := strings.CutPrefix(text, "${")
	if !ok || !strings.HasSuffix(inner, "}") {
		return text, nil
	}
	inner = strings.TrimSuffix(inner, "}")
	name, isFile := strings.CutPrefix(inner, "file:")
	if !isFile {
		if value := f.env[name]; value != "" {
			return value, nil
		}
		return "", fmt.Errorf("the environment has no variable %s", clip(name))
	}
	content, err := f.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("the file that it names: %w", cause(err))
	}
	return string(content), nil
}

// textOf returns the text of a scalar as it was written; ok is false for everything else.
func textOf(y ast.Node) (text string, ok bool) {
	switch s := y.(type) {
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.StringNode:
		return s.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return y.GetToken().Value, true
	}
	return "", false
}

// describe says what a YAML node is, without its content.
func describe(y ast.Node) string {
	switch y.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.AnchorNode, *ast.AliasNode:
		return "anchors and aliases are not supported"
	case *ast.TagNode:
		return "tags are not supported"
	case *ast.NullNode:
		return "nothing"
	}
	return "one value"
}

// find returns the setting with a key in a group.
func (n *node) find(key string) *node {
	for _, in := range n.inner {
		if in.key == key && key != "" {
			return in
		}
	}
	return nil
}

// keys returns the keys of a group.
func (n *node) keys() (keys []string) {
	for _, in := range n.inner {
		if in.key != "" {
			keys = append(keys, in.key)
		}
	}
	return keys
}

// suggestKey says what an unknown key may have been meant to be: a like one of its group, or the same one of another group.
func (f *file) suggestKey(group *node, key string) string {
	if near := nearest(key, group.keys()); near != "" {
		return "did you mean " + near + "?"
	}
	same := ""
	for n := range f.root.leaves() {
		if n.key == key && (same == "" || strings.Contains(same, "[]")) { // a setting of its own rather than one of a list's entries
			same = n.Path
		}
	}
	if same != "" {
		return "did you mean " + same + "?"
	}
	return "want one of " + strings.Join(group.keys(), ", ")
}

// keysOf lists the keys of a group for a message.
func keysOf(n *node) string { return "the keys " + strings.Join(n.keys(), ", ") }
