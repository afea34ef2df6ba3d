package scenarios

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	flag.Bool("full", false, "play every scenario, and the simpler laws beside")
	flag.Int("seeds", 10, "how many seeds")
	flag.Int("first", 101, "the first seed; those up to 100 are for tuning")
	flag.String("only", "", "a regular expression: play only the scenarios whose names match")
	flag.String("contender", "ours", "a regular expression for the laws that play with -only")
	flag.String("page", "", "with -full: write the results into this page, between its marks, and the graphs beside it")
	flag.Bool("trace", false, "print the time line of each run")
	os.Exit(m.Run())
}

// option returns the value of a flag of the test binary.
func option[T any](name string) T { return flag.Lookup(name).Value.(flag.Getter).Get().(T) }

// entries returns who plays what: laws by name, the simpler ones only in the scenarios that match beside.
func entries(only, laws, beside string, seeds int) (all []*Entry) {
	scenarios := All()
	for i, c := range append([]Contender{Ours()}, Baselines()...) {
		if !regexp.MustCompile("^(" + laws + ")$").MatchString(c.Name) {
			continue
		}
		for k := range scenarios {
			s := &scenarios[k]
			if regexp.MustCompile(only).MatchString(s.Name) && (i == 0 || regexp.MustCompile(beside).MatchString(s.Name)) {
				all = append(all, &Entry{Scenario: s, Contender: c, Results: make([]Result, seeds)})
			}
		}
	}
	return all
}

// playAll plays all entries, as many runs at a time as there are processors, and calls done, for one after the other, when all seeds
// of an entry are played.
func playAll(t *testing.T, all []*Entry, first int, done func(*Entry)) {
	type run struct {
		e    *Entry
		k    int
		left *atomic.Int32 // of the entry
	}
	next := make(chan run)
	var workers sync.WaitGroup
	var mu sync.Mutex
	var trace io.Writer
	if option[bool]("trace") {
		trace = os.Stdout
	}
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for r := range next {
				e, seed := r.e, first+r.k
				t.Run(fmt.Sprintf("%s/%s/%d", e.Scenario.Name, e.Contender.Name, seed), func(t *testing.T) {
					e.Results[r.k] = Run(t, e.Scenario, e.Contender, uint64(seed), trace)
				})
				if r.left.Add(-1) == 0 {
					mu.Lock()
					done(e)
					mu.Unlock()
				}
			}
		})
	}
	for _, e := range all {
		left := new(atomic.Int32)
		left.Store(int32(len(e.Results)))
		for k := range e.Results {
			next <- run{e, k, left}
		}
	}
	close(next)
	workers.Wait()
}

// TestScenarios plays a few scenarios and holds the law to its targets. With -full it is what `make sim` runs: all of them, the simpler
// laws beside, a line for each on the standard output, and the page of the documentation.
func TestScenarios(t *testing.T) {
	only, full, seeds := option[string]("only"), option[bool]("full"), option[int]("seeds")
	var all []*Entry
	switch {
	case full:
		all = entries(only, ".*", Beside, seeds)
	case only != "":
		all = entries(only, option[string]("contender"), "", seeds)
	default:
		all = entries(quick, "ours", "", quickSeeds)
	}
	loud := full || only != ""
	began := time.Now()
	if loud {
		fmt.Println(Header())
	}
	missed := 0
	playAll(t, all, option[int]("first"), func(e *Entry) {
		bad := e.ours() && e.missed() != ""
		if bad {
			missed++
			t.Fail()
		}
		switch {
		case loud:
			fmt.Printf("%s [%.0f s]\n", e.Line(), time.Since(began).Seconds())
		case bad:
			t.Errorf("%s misses: %s\n%s\n%s", e.Scenario.Name, e.missed(), Header(), e.Line())
		}
	})
	if loud {
		fmt.Printf("%d rows, %d of ours miss a target, %.0f s\n", len(all), missed, time.Since(began).Seconds())
	}
	if page := option[string]("page"); full && page != "" {
		writePage(t, page, all)
	}
}

// writePage draws the graphs and writes the page.
func writePage(t *testing.T, page string, all []*Entry) {
	dir := filepath.Join(filepath.Dir(page), "img")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	graphs := Graphs()
	for i := range graphs {
		graphs[i].Draw(t, 101)
		if err := graphs[i].Write(dir); err != nil {
			t.Error(err)
		}
	}
	if err := WritePage(page, all, graphs); err != nil {
		t.Error(err)
	}
}
