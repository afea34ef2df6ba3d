package nimsidecar

import (
	"go/ast"
	"go/doc"
	"go/types"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	maxFuncLines = 80
	maxParams    = 5
	maxFileLines = 500
)

// allowed are the exceptions of this module.
var allowed = exceptions{
	tables: map[string]string{
		"internal/adapt":        "longPeriods phaseNames stateNames transitions",
		"internal/anthropic":    "choices deltas efforts kinds optional reasons",
		"internal/coalesce":     "credentials ignored ignoredPrefixes kept paths",
		"internal/dash":         "classes securityHeaders types",
		"internal/hint":         "classNames dateLayouts dialects exhausted explaining fieldUnits kinds periodWords quotaPeriods quotaReaches quotaUnits rows rules sentences unitNames unitWords",
		"internal/limit":        "units",
		"internal/metrics":      "classes codes marks phases reasons states statuses windows",
		"internal/mock":         "dialects misdeeds modelStates refusals routes",
		"internal/mock/limiter": "units",
		"internal/priority":     "names",
		"internal/proxy":        "chunkObjects explanations final jsonPaths patientAgents phaseNames tooLate unmoved",
		"internal/retry":        "rules stale unsent",
		"internal/upstream":     "ailments benching credentials failures freePaths unreachable unreached",
		"internal/wire":         "hopByHop kinds plainRefusals reasons",
	},
	longFuncs: map[string]string{},
}

var forbiddenNames = strings.Fields("util utils common helper helpers types models base misc shared core manager service")

// rules are all that is checked. A check calls bad for each fault, with a sentence that says how to mend it.
var rules = []struct {
	name  string
	check func(tr *tree, bad report)
}{
	{"packages", checkPackages},
	{"imports", checkImports},
	{"purposes", checkPurposes},
	{"names", checkNames},
	{"variables", checkVariables},
	{"tables", checkTables},
	{"purity", checkPurity},
	{"goroutines", checkGoroutines},
	{"reach", checkReach},
	{"sizes", checkSizes},
	{"sleeps", checkSleeps},
	{"docs", checkDocs},
	{"links", checkLinks},
}

type report func(format string, args ...any)

func TestArchitecture(t *testing.T) {
	t.Parallel()
	tr, err := load(os.DirFS("."), allowed)
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules {
		t.Run(rule.name, func(t *testing.T) {
			t.Parallel()
			rule.check(tr, t.Errorf)
		})
	}
}

// checkPackages compares the packages with the rows of the table.
func checkPackages(tr *tree, bad report) {
	owner := map[string]string{}
	for dir := range sorted(tr.pkgs) {
		if _, ok := tr.rows[dir]; !ok {
			bad("%s has no row in ARCHITECTURE.md: add one to the packages table", dir)
		}
		if base := path.Base(dir); owner[base] != "" {
			bad("%s and %s share the name %s: rename one, a package name appears once", dir, owner[base], base)
		} else {
			owner[base] = dir
		}
	}
	for dir, r := range sorted(tr.rows) {
		if tr.pkgs[dir] == nil {
			bad("ARCHITECTURE.md has a row for %s, which does not exist: take the row out", dir)
		}
		if !slices.Contains(strings.Split("0 1 2 3 4 5 6 7 T", " "), r.level) {
			bad("ARCHITECTURE.md gives %s the level %q: write 0 to 7 or T", dir, r.level)
		}
	}
}

// checkImports compares the imports with the table: along its arrows only, strictly down, no arrow unused.
func checkImports(tr *tree, bad report) {
	for dir, sources := range sorted(tr.pkgs) {
		r := tr.rows[dir]
		used := map[string]bool{}
		for _, s := range sources {
			for _, imported := range s.imports {
				inner, ours := strings.CutPrefix(imported, module)
				switch name := strings.TrimPrefix(inner, "internal/"); {
				case ours && s.test:
				case ours && tr.rows[inner].level == "T" && r.level != "T":
					bad("%s imports %s, which is for tests only: move the import into a _test.go file", s.path, inner)
				case ours && r.level != "T" && tr.rows[inner].level >= r.level:
					bad("%s (level %s) imports %s (level %s): an import goes to a lower level only; declare an interface here, or move the code", s.path, r.level, inner, tr.rows[inner].level)
				case ours && !slices.Contains(r.inner, name) && !slices.Contains(r.inner, "any"):
					bad("%s imports %s: add %s to \"inner\" in the row of %s in ARCHITECTURE.md, or do without", s.path, inner, name, dir)
				case ours:
					used[name] = true
				case !strings.Contains(imported, "."): // the standard library
				default:
					named := strings.FieldsFunc(imported, func(c rune) bool { return c == '/' })
					i := slices.IndexFunc(r.third, func(word string) bool { return slices.Contains(named, word) })
					switch {
					case i >= 0:
						used[r.third[i]] = true
					case !slices.Contains(named, "go-cmp") || !s.test && r.level != "T":
						bad("%s imports %s: name it under \"third party\" in the row of %s in ARCHITECTURE.md with its reason among the dependencies, or do without", s.path, imported, dir)
					}
				}
			}
		}
		for _, word := range slices.Concat(r.inner, r.third) {
			if !used[word] && word != "any" {
				bad("the row of %s in ARCHITECTURE.md names %s, which it does not import: take it out", dir, word)
			}
		}
	}
}

// checkPurposes demands one doc comment a package, whose first sentence is the purpose in the table.
func checkPurposes(tr *tree, bad report) {
	for dir, sources := range sorted(tr.pkgs) {
		var docs []string
		for _, s := range sources {
			if !s.test && s.ast.Doc != nil {
				docs = append(docs, s.ast.Doc.Text())
			}
		}
		if len(docs) != 1 {
			bad("%s has %d package comments: it needs exactly one, in doc.go or the main file", dir, len(docs))
			continue
		}
		got := strings.TrimSuffix(new(doc.Package).Synopsis(docs[0]), ".")
		for _, prefix := range []string{"Package ", "Command ", path.Base(dir) + " ", "is "} {
			got = strings.TrimPrefix(got, prefix)
		}
		if want := tr.rows[dir].purpose; strings.ReplaceAll(got, "`", "") != want {
			bad("the comment of %s says %q, its row in ARCHITECTURE.md %q: make the first sentence \"Package %s is\" and the purpose", dir, got, want, path.Base(dir))
		}
	}
}

func checkNames(tr *tree, bad report) {
	for dir, sources := range sorted(tr.pkgs) {
		for _, name := range append(strings.Split(dir, "/"), sources[0].ast.Name.Name) {
			if slices.Contains(forbiddenNames, name) {
				bad("%s: %q says nothing of what is inside: name the package after the thing it is", dir, name)
			}
		}
	}
}

// checkVariables finds state outside of values: package-level variables that can change, and init.
func checkVariables(tr *tree, bad report) {
	constant := regexp.MustCompile(`^(errors\.New|fmt\.Errorf|regexp\.MustCompile|strings\.NewReplacer)$`)
	stale := map[string]bool{}
	for dir, names := range tr.tables {
		for name := range strings.FieldsSeq(names) {
			stale[dir+"."+name] = tr.pkgs[dir] != nil
		}
	}
	tr.eachDecl(func(s *source, d ast.Decl) {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
			bad("%s: init hides an order of events: do it in a constructor", tr.at(f))
		}
		eachVariable(d, func(name *ast.Ident, value ast.Expr) {
			key := s.dir() + "." + name.Name
			call, _ := value.(*ast.CallExpr)
			_, literal := value.(*ast.CompositeLit)
			switch {
			case call != nil && constant.MatchString(types.ExprString(call.Fun)):
			case stale[key] && literal:
				delete(stale, key)
			default:
				bad("%s: %s is a variable of the whole package: put it into a struct, make it const, or, if it is a read-only table, name it in the tables of arch_test.go", tr.at(name), name.Name)
			}
		})
	})
	for key, here := range sorted(stale) {
		if here {
			bad("the tables of arch_test.go name %s, which is no table: take it out", key)
		}
	}
}

// checkTables holds the read-only tables to their word, as far as names can tell.
func checkTables(tr *tree, bad report) {
	tr.eachSource(func(s *source) {
		names := strings.Fields(tr.tables[s.dir()])
		if s.test || len(names) == 0 {
			return
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			for _, target := range writes(n) {
				if root := rootOf(target); slices.Contains(names, root) {
					bad("%s writes to the table %s: a table is read-only, state lives in a struct", tr.at(n), root)
				}
			}
			return true
		})
	})
}

// checkPurity keeps levels 0 and 1 to arithmetic over values.
func checkPurity(tr *tree, bad report) {
	closed := regexp.MustCompile(`^(sync|log|os|net|syscall|runtime|database|crypto/rand|io/fs|embed)(/|$)`)
	open := regexp.MustCompile(`^net/(url|netip|textproto|http)$`)
	never := map[string]*regexp.Regexp{ // of the packages they may import, what they may not use
		"fmt":  regexp.MustCompile(`^(Print|Scan)`),
		"time": regexp.MustCompile(`^(Now|Since|Until|Sleep|After|AfterFunc|Tick|NewTimer|NewTicker)$`),
	}
	only := map[string]*regexp.Regexp{ // and what alone they may use
		"log/slog":     regexp.MustCompile(`Value$`),
		"math/rand":    regexp.MustCompile(`^(New.*|Rand|Source|Source64|Zipf)$`),
		"math/rand/v2": regexp.MustCompile(`^(New.*|Rand|Source|PCG|ChaCha8|Zipf)$`),
		"net/http":     regexp.MustCompile(`^(Header|Status.*|Method.*)$`),
	}
	tr.eachSource(func(s *source) {
		if level := tr.rows[s.dir()].level; level != "0" && level != "1" || s.test {
			return
		}
		for _, imported := range s.imports {
			secret := imported == "log/slog" && s.dir() == "internal/secret" // it must redact itself in logs
			if closed.MatchString(imported) && !open.MatchString(imported) && !secret {
				bad("%s imports %s: levels 0 and 1 are arithmetic over values; take what you need as an argument, or move the code up", s.path, imported)
			}
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				bad("%s: a goroutine at level 0 or 1: return the decision and let a higher level run it", tr.at(n))
			}
			imported, name := s.uses(n)
			if r := never[imported]; r != nil && r.MatchString(name) {
				bad("%s: %s.%s at level 0 or 1: take the value as an argument, such as now time.Time", tr.at(n), imported, name)
			}
			if r := only[imported]; r != nil && !r.MatchString(name) {
				bad("%s: %s.%s at level 0 or 1: of this package only %s may be used here", tr.at(n), imported, name, r)
			}
			return true
		})
	})
}

// checkGoroutines allows go statements and .Go( only where the goroutines table says who waits.
func checkGoroutines(tr *tree, bad report) {
	starts := map[string]bool{}
	tr.eachSource(func(s *source) {
		if s.test {
			return
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			call, _ := n.(*ast.CallExpr)
			_, goes := n.(*ast.GoStmt)
			if goes || call != nil && strings.HasSuffix(types.ExprString(call.Fun), ".Go") {
				starts[s.path] = true
				if !slices.ContainsFunc(tr.goroutines, func(cells []string) bool { return tr.path(cells[0]) == s.path }) {
					bad("%s starts a goroutine: name the file in the goroutines table of ARCHITECTURE.md, with what it runs and who waits, or call a blocking Run", tr.at(n))
				}
			}
			return true
		})
	})
	for _, cells := range tr.goroutines {
		if !starts[tr.path(cells[0])] {
			bad("the goroutines table of ARCHITECTURE.md names %s, which starts none: take it out", cells[0])
		}
		if len(cells) != 3 || cells[1] == "" || cells[2] == "" {
			bad("the goroutines table of ARCHITECTURE.md does not say what %s runs and who waits for it: fill the row", cells[0])
		}
	}
}

// checkReach keeps synthetic answers and traffic out of everything but the command.
func checkReach(tr *tree, bad report) {
	tr.eachSource(func(s *source) {
		for _, inner := range []string{"internal/mock", "internal/demo"} {
			if !s.test && slices.Contains(s.imports, module+inner) && !strings.HasPrefix(s.path, "cmd/") && tr.rows[s.dir()].level != "T" {
				bad("%s imports %s: only cmd may, so that synthetic answers never look real", s.path, inner)
			}
		}
	})
}

// checkSizes bounds files, functions and parameter lists.
func checkSizes(tr *tree, bad report) {
	tr.eachSource(func(s *source) {
		if n := tr.fset.File(s.ast.Pos()).LineCount(); n > maxFileLines && !s.test {
			bad("%s has %d lines: cut it by subject, at most %d", s.path, n, maxFileLines)
		}
	})
	stale := map[string]bool{}
	for key := range tr.longFuncs {
		stale[key] = true
	}
	tr.eachDecl(func(s *source, d ast.Decl) {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			return
		}
		lines := tr.fset.Position(f.End()).Line - tr.fset.Position(f.Pos()).Line + 1
		wide := f.Type.Params.NumFields()
		ast.Inspect(f, func(n ast.Node) bool {
			if inner, ok := n.(*ast.FuncLit); ok {
				wide = max(wide, inner.Type.Params.NumFields())
			}
			return true
		})
		if lines <= maxFuncLines && wide <= maxParams {
			return
		}
		key := s.dir() + "." + receiver(f) + f.Name.Name
		if !stale[key] {
			bad("%s: %s has %d lines and up to %d parameters: at most %d and %d; find the function inside it, or the struct in its parameters", tr.at(f), f.Name.Name, lines, wide, maxFuncLines, maxParams)
		}
		delete(stale, key)
	})
	for key := range sorted(stale) {
		bad("the longFuncs of arch_test.go name %s, which needs it no more: take it out", key)
	}
}

// checkSleeps follows the calls of each test outside of its bubbles, and finds real sleeps.
func checkSleeps(tr *tree, bad report) {
	for _, sources := range sorted(tr.pkgs) {
		funcs, bubbles := testFuncs(sources)
		seen := map[*ast.FuncDecl]bool{}
		var follow func(s *source, n ast.Node)
		called := func(name string, method bool) {
			for _, f := range funcs[name] {
				if !seen[f.decl] && method == (f.decl.Recv != nil) {
					seen[f.decl] = true
					follow(f.source, f.decl.Body)
				}
			}
		}
		follow = func(s *source, n ast.Node) {
			ast.Inspect(n, func(n ast.Node) bool {
				if imported, name := s.uses(n); imported == "time" && name == "Sleep" {
					bad("%s: a real sleep in a test: run it in a synctest bubble, or wait for the event itself", tr.at(n))
				}
				switch n := n.(type) {
				case *ast.CallExpr:
					name := callee(n)
					return name != "synctest.Test" && !bubbles[name[strings.LastIndex(name, ".")+1:]]
				case *ast.SelectorExpr:
					called(n.Sel.Name, true)
				case *ast.Ident:
					called(n.Name, false)
				}
				return true
			})
		}
		for name := range sorted(funcs) {
			if isTest(name) {
				called(name, false)
			}
		}
	}
}

// checkDocs demands a comment on each exported name: functions, types, their methods and fields, values. A field may
// also be named in the comment of its type or of a field beside it.
func checkDocs(tr *tree, bad report) {
	need := func(name *ast.Ident, comments ...*ast.CommentGroup) {
		if name.IsExported() && !slices.ContainsFunc(comments, func(c *ast.CommentGroup) bool { return c != nil }) {
			bad("%s: %s has no comment: say what it guarantees, its zero value and unit", tr.at(name), name.Name)
		}
	}
	tr.eachDecl(func(_ *source, d ast.Decl) {
		if f, ok := d.(*ast.FuncDecl); ok {
			if r := receiver(f); r == "" || ast.IsExported(r) {
				need(f.Name, f.Doc)
			}
			return
		}
		g := d.(*ast.GenDecl)
		for _, spec := range g.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					need(name, g.Doc, spec.Doc, spec.Comment)
				}
			case *ast.TypeSpec:
				need(spec.Name, g.Doc, spec.Doc)
				fields, said := members(spec), words(g.Doc, spec.Doc)
				for _, f := range fields {
					said += words(f.Doc, f.Comment)
				}
				for _, f := range fields {
					for _, name := range f.Names {
						if !strings.Contains(said, " "+strings.ToLower(name.Name)+" ") {
							need(name, f.Doc, f.Comment)
						}
					}
				}
			}
		}
	})
}

// checkLinks follows every relative link of the Markdown files, headings included.
func checkLinks(tr *tree, bad report) {
	fence := regexp.MustCompile("(?s)\n```.*?\n```|`[^`\n]*`")
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for file, text := range sorted(tr.markdown) {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			target, heading, _ := strings.Cut(m[1], "#")
			if strings.Contains(target, ":") {
				continue // a link out of the tree
			}
			to := path.Join(path.Dir(file), target)
			if target == "" {
				to = file
			}
			if _, err := fs.Stat(tr.root, to); err != nil {
				bad("%s links to %s, which does not exist: mend the link", file, m[1])
			} else if heading != "" && !slices.Contains(headings(tr.markdown[to]), heading) {
				bad("%s links to %s, but %s has no such heading: mend the link", file, m[1], to)
			}
		}
	}
}
