package adapt_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nimsidecar/internal/adapt"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the values of the figures into the documents; a new figure needs its row first")

// pages are what the documents say of the law, in each language.
var pages = []string{"../../docs/learning.md", "../../docs/learning.zh.md"}

// table returns the rows between the markers of a page, cell by cell, without its two lines of head.
func table(t *testing.T, page, marker string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- "+marker+" -->\n")
	inside, _, closed := strings.Cut(rest, "<!-- /"+marker+" -->")
	if !ok || !closed {
		t.Fatalf("%s has no table between <!-- %s --> and <!-- /%s -->", page, marker, marker)
	}
	for line := range strings.Lines(inside) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows[2:]
}

func TestTheDocumentsPrintTheMachine(t *testing.T) {
	t.Parallel()
	var want [][]string
	for _, step := range adapt.Transitions() {
		want = append(want, []string{step.From.String(), step.To.String(), step.Why})
	}
	for _, page := range pages {
		got := table(t, page, "transitions")
		for i := range got {
			got[i] = got[i][:3] // a translation may follow
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s prints another machine than Transitions() (-code +page):\n%s", page, diff)
		}
	}
}

func TestTheDocumentsPrintTheFigures(t *testing.T) {
	t.Parallel()
	want := figures(t)
	for _, page := range pages {
		if *update {
			write(t, page, want)
		}
		got := map[string]string{}
		for _, row := range table(t, page, "figures") {
			got[strings.Trim(row[0], "`")] = row[1]
			if len(row) != 4 || row[2] == "" {
				t.Errorf("%s: the row of %s does not say what it is", page, row[0])
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s prints other figures than the code has (-code +page):\n%s", page, diff)
		}
	}
}

// write puts the values of figures into the rows that a page has for them.
func write(t *testing.T, page string, figures map[string]string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| [^|]* \\|")
	text = row.ReplaceAllFunc(text, func(old []byte) []byte {
		name := string(row.FindSubmatch(old)[1])
		if value, ok := figures[name]; ok {
			return fmt.Appendf(nil, "| `%s` | %s |", name, value)
		}
		return old
	})
	if err := os.WriteFile(page, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// figures are the constants of the package that are numbers or times, as a page prints them; those that nothing uses are left out.
func figures(t *testing.T) map[string]string {
	t.Helper()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset, found, used := token.NewFileSet(), map[string]string{}, map[string]int{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if id, ok := n.(*ast.Ident); ok {
				used[id.Name]++
			}
			return true
		})
		for _, d := range file.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				maps.Copy(found, values(g))
			}
		}
	}
	maps.DeleteFunc(found, func(name, _ string) bool { return used[name] < 2 })
	return found
}

// values are the constants of one declaration; enumerations and names of the outside are none.
func values(g *ast.GenDecl) map[string]string {
	all := map[string]string{}
	for _, spec := range g.Specs {
		spec := spec.(*ast.ValueSpec)
		for i, value := range spec.Values {
			name, text := spec.Names[i].Name, types.ExprString(value)
			if !ast.IsExported(name) && text != "iota" {
				all[name] = plain(text)
			}
		}
	}
	return all
}

// plain turns a constant of the code into what a person writes.
func plain(expr string) string {
	units := map[string]string{"Second": "s", "Minute": "min", "Hour": "h"}
	if m := regexp.MustCompile(`^(?:(\d+) \* )?time\.(\w+)$`).FindStringSubmatch(expr); m != nil && units[m[2]] != "" {
		return fmt.Sprint(max("1", m[1]), " ", units[m[2]])
	}
	return strings.TrimSuffix(strings.Replace(expr, "-", "−", 1), ".0")
}

func TestTheMachineIsOfTheThreeStates(t *testing.T) {
	t.Parallel()
	table := adapt.Transitions()
	for _, from := range []adapt.State{adapt.Normal, adapt.Retreat, adapt.Recover} {
		if !slices.ContainsFunc(table, func(s adapt.Transition) bool { return s.From == from }) {
			t.Errorf("no line of the machine leaves %v; want no state for good", from)
		}
	}
	for i, step := range table {
		if step.From == step.To || step.Why == "" || slices.Contains(table[:i], step) {
			t.Errorf("%+v leads nowhere, has no reason, or is there twice", step)
		}
	}
	table[0].Why = "changed"
	if adapt.Transitions()[0].Why == "changed" {
		t.Error("changing what Transitions returns changes the machine; want a copy")
	}
}
