package nimsidecar

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const module = "nimsidecar/"

// tree is the module as the rules see it: every Go file, the tables of ARCHITECTURE.md, every Markdown file.
type tree struct {
	exceptions
	root       fs.FS
	fset       *token.FileSet
	pkgs       map[string][]*source // by directory; the module's root is left out
	rows       map[string]row       // by directory
	goroutines [][]string
	markdown   map[string]string // by path
}

// exceptions are what the rules let pass.
type exceptions struct {
	// tables names the read-only tables among the package-level variables, by directory, with spaces between. A table
	// is a composite literal that nothing writes to; whatever else changes belongs into a struct.
	tables map[string]string
	// longFuncs gives the reason for each function that is longer or wider than the rule says, named as
	// directory.Func or directory.Type.Method.
	longFuncs map[string]string
}

// source is one Go file.
type source struct {
	path    string
	ast     *ast.File
	test    bool
	imports []string
	names   map[string]string // from the name in this file to the import path
}

// row is one line of the packages table.
type row struct {
	level, purpose string
	inner, third   []string
}

func load(root fs.FS, allowed exceptions) (*tree, error) {
	tr := &tree{exceptions: allowed, root: root, fset: token.NewFileSet(), pkgs: map[string][]*source{}, rows: map[string]row{}, markdown: map[string]string{}}
	err := fs.WalkDir(root, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return skipDir(root, file)
		}
		switch path.Ext(file) {
		case ".md":
			text, err := fs.ReadFile(root, file)
			tr.markdown[file] = string(text)
			return err
		case ".go":
			return tr.addSource(file)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	text := tr.markdown["ARCHITECTURE.md"]
	for _, cells := range tableOf(text, "packages") {
		if len(cells) != 6 {
			return nil, fmt.Errorf("ARCHITECTURE.md: the packages table has a row of %d cells, want 6: %q", len(cells), cells)
		}
		tr.rows[cells[1]] = row{level: cells[0], purpose: cells[2], inner: list(cells[3]), third: list(cells[4])}
	}
	tr.goroutines = tableOf(text, "goroutines")
	return tr, nil
}

// skipDir leaves out what the go command leaves out too: hidden and test data, other modules, JavaScript packages.
func skipDir(root fs.FS, dir string) error {
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	base := path.Base(dir)
	if dir != "." && (err == nil || base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules") {
		return fs.SkipDir
	}
	return nil
}

func (tr *tree) addSource(file string) error {
	text, err := fs.ReadFile(tr.root, file)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(tr.fset, file, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil || ast.IsGenerated(parsed) || path.Dir(file) == "." {
		return err
	}
	s := &source{path: file, ast: parsed, test: strings.HasSuffix(file, "_test.go"), names: map[string]string{}}
	for _, spec := range parsed.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		name := path.Base(strings.TrimSuffix(imported, "/v2"))
		if spec.Name != nil {
			name = spec.Name.Name
		}
		s.imports = append(s.imports, imported)
		s.names[name] = imported
	}
	tr.pkgs[s.dir()] = append(tr.pkgs[s.dir()], s)
	return nil
}

func (s *source) dir() string { return path.Dir(s.path) }

// uses returns the import path and the name when n is a qualified identifier such as time.Now.
func (s *source) uses(n ast.Node) (imported, name string) {
	if sel, ok := n.(*ast.SelectorExpr); ok {
		if x, ok := sel.X.(*ast.Ident); ok {
			return s.names[x.Name], sel.Sel.Name
		}
	}
	return "", ""
}

func (tr *tree) at(n ast.Node) token.Position { return tr.fset.Position(n.Pos()) }

// path returns the path of a file that a table names, where internal/ may be left out.
func (tr *tree) path(short string) string {
	if _, err := fs.Stat(tr.root, short); err == nil {
		return short
	}
	return "internal/" + short
}

// sorted iterates over a map in the order of its keys, so that the messages have an order.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, key := range slices.Sorted(maps.Keys(m)) {
			if !yield(key, m[key]) {
				return
			}
		}
	}
}

func (tr *tree) eachSource(visit func(*source)) {
	for _, sources := range sorted(tr.pkgs) {
		for _, s := range sources {
			visit(s)
		}
	}
}

// eachDecl visits the declarations outside of tests.
func (tr *tree) eachDecl(visit func(*source, ast.Decl)) {
	tr.eachSource(func(s *source) {
		for _, d := range s.ast.Decls {
			if !s.test {
				visit(s, d)
			}
		}
	})
}

// tableOf returns the cells of the Markdown table between <!-- name --> and <!-- /name -->, without its two head lines.
func tableOf(text, name string) (rows [][]string) {
	_, text, _ = strings.Cut(text, "<!-- "+name+" -->")
	text, _, _ = strings.Cut(text, "<!-- /"+name+" -->")
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "|") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(strings.ReplaceAll(cells[i], "`", ""))
		}
		rows = append(rows, cells)
	}
	return rows[min(2, len(rows)):]
}

// list splits a cell at its commas; a dash is an empty list.
func list(cell string) []string {
	return strings.FieldsFunc(cell, func(c rune) bool { return unicode.IsSpace(c) || c == ',' || c == '–' || c == '-' && len(cell) == 1 })
}

// headings returns the anchors of a Markdown file, made as code hosts make them.
func headings(text string) (anchors []string) {
	for _, m := range regexp.MustCompile(`(?m)^#+ +(.*)$`).FindAllStringSubmatch(text, -1) {
		anchors = append(anchors, strings.Map(func(c rune) rune {
			switch {
			case c == ' ':
				return '-'
			case c == '-' || c == '_' || unicode.IsLetter(c) || unicode.IsDigit(c):
				return unicode.ToLower(c)
			}
			return -1
		}, m[1]))
	}
	return anchors
}

// eachVariable visits the package-level variables of d that hold something: not _, and not what embed fills.
func eachVariable(d ast.Decl, visit func(*ast.Ident, ast.Expr)) {
	g, ok := d.(*ast.GenDecl)
	if !ok || g.Tok != token.VAR {
		return
	}
	embeds := func(c *ast.CommentGroup) bool {
		return c != nil && slices.ContainsFunc(c.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
	}
	for _, spec := range g.Specs {
		v := spec.(*ast.ValueSpec)
		for i, name := range v.Names {
			switch {
			case name.Name == "_" || embeds(g.Doc) || embeds(v.Doc):
			case i < len(v.Values):
				visit(name, v.Values[i])
			default:
				visit(name, nil)
			}
		}
	}
}

// writes returns the expressions that n changes or lets others change.
func writes(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE {
			return n.Lhs
		}
	case *ast.IncDecStmt:
		return []ast.Expr{n.X}
	case *ast.UnaryExpr:
		if n.Op == token.AND {
			return []ast.Expr{n.X}
		}
	case *ast.CallExpr:
		if name := callee(n); name == "delete" || name == "clear" {
			return n.Args[:1]
		}
	}
	return nil
}

// rootOf returns the variable at the left end of x.y[i].z.
func rootOf(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// words returns the words of comments in lower case, each between spaces.
func words(comments ...*ast.CommentGroup) string {
	var all strings.Builder
	for _, c := range comments {
		for word := range strings.FieldsFuncSeq(c.Text(), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			all.WriteString(" " + strings.ToLower(word) + " ")
		}
	}
	return all.String()
}

// members returns the fields of a struct or the methods of an interface whose type is exported.
func members(spec *ast.TypeSpec) []*ast.Field {
	if spec.Name.IsExported() {
		switch t := spec.Type.(type) {
		case *ast.StructType:
			return t.Fields.List
		case *ast.InterfaceType:
			return t.Methods.List
		}
	}
	return nil
}

// receiver returns the type a method belongs to, and a dot; nothing for a function.
func receiver(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return ""
	}
	t := f.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	return rootOf(t) + "."
}

// testFunc is a function of a test file.
type testFunc struct {
	source *source
	decl   *ast.FuncDecl
}

// testFuncs returns the functions of a package's test files by name, and the names of those that pass a function they
// are given on to synctest.Test, be it through another of them.
func testFuncs(sources []*source) (funcs map[string][]testFunc, bubbles map[string]bool) {
	funcs, bubbles = map[string][]testFunc{}, map[string]bool{}
	var takers []testFunc // of a function
	for _, s := range sources {
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || !s.test || f.Body == nil {
				continue
			}
			name := f.Name.Name
			funcs[name] = append(funcs[name], testFunc{s, f})
			takes := slices.ContainsFunc(f.Type.Params.List, func(p *ast.Field) bool { _, ok := p.Type.(*ast.FuncType); return ok })
			if takes {
				takers = append(takers, testFunc{s, f})
			}
		}
	}
	for found := true; found; { // until no more of them lead to a bubble, directly or by another
		found = false
		for _, f := range takers {
			if name := f.decl.Name.Name; !bubbles[name] && f.entersBubble(bubbles) {
				bubbles[name], found = true, true
			}
		}
	}
	return funcs, bubbles
}

// entersBubble reports whether a function calls synctest.Test, or one of those that do.
func (f testFunc) entersBubble(bubbles map[string]bool) (enters bool) {
	ast.Inspect(f.decl.Body, func(n ast.Node) bool {
		if imported, called := f.source.uses(n); imported == "testing/synctest" && called == "Test" {
			enters = true
		}
		if call, ok := n.(*ast.CallExpr); ok {
			name := callee(call)
			enters = enters || bubbles[name[strings.LastIndex(name, ".")+1:]]
		}
		return true
	})
	return enters
}

// callee returns the name that a call is written with: f or x.f; nothing for a call of a literal.
func callee(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return rootOf(f.X) + "." + f.Sel.Name
	}
	return ""
}

func isTest(name string) bool {
	return regexp.MustCompile(`^(Test|Benchmark|Fuzz|Example)([^a-z]|$)`).MatchString(name)
}
