package scenarios

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// runWith plays a scenario with our law and lets somebody meddle before it is measured.
func runWith(t *testing.T, s *Scenario, meddle func(*world)) (r Result) {
	synctest.Test(t, func(*testing.T) {
		w := play(s, Ours(), 1)
		meddle(w)
		r = w.measure()
	})
	return r
}

func TestThePageIsWrittenBetweenItsMarks(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "simulation.md")
	if err := os.WriteFile(page, []byte("before\n"+pageBegin+"old\n"+pageEnd+"after\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	good := Result{Util: 99.5, Refused: 6, Jain: 1, Detect: math.NaN(), Converge: math.Inf(1), LowGap: math.NaN(), NormalP95: math.NaN(), Over: -1}
	bad := good
	bad.Util = 50
	s := &Scenario{Name: "some", Group: "Some limits", Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: 7, Mean: true}, {Metric: Over}}}
	entries := []*Entry{
		{Scenario: s, Contender: Ours(), Results: []Result{good, bad}},
		{Scenario: s, Contender: Baselines()[0], Results: []Result{bad}},
	}
	if err := WritePage(page, entries, []Graph{{Title: "A title", File: "some.svg"}}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got := string(content)
	for _, want := range []string{
		"before\n" + pageBegin, pageEnd + "after\n", "### Some limits\n", "| `some` | 74.75 (50.00) | 6.0 (6.0) |", "| never (never) |",
		"**missed: used % ≥ 98**, mean refused ‰ ≤ 7 |", "### Beside simpler laws\n", "50.0 / 6.0 / 0", "![A title](img/some.svg)",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q:\n%s", want, got)
		}
	}
	for _, not := range []string{"old", "LOW gap s |", "NaN"} {
		if strings.Contains(got, not) {
			t.Errorf("the page has %q, which it should not:\n%s", not, got)
		}
	}
	if err := os.WriteFile(page, []byte("no marks\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := WritePage(page, entries, nil); err == nil {
		t.Error("a page without marks was written; want an error")
	}
}

func TestAGraphShowsTheLimitAndTheRefusals(t *testing.T) {
	t.Parallel()
	s := Scenario{
		Upstream: Upstream{Kind: limiter.FirstHit, Rates: "40-M,1000-H", Changes: []Change{{At: 10 * time.Minute, Rates: "10-M"}}},
		Told:     nvidiaHint("40-M"), Load: usualLoad(), Net: usualNet(), Length: 30 * time.Minute,
	}
	g := Graph{Title: "Forty, then ten", From: 5 * time.Minute, To: 25 * time.Minute}
	shown := 0
	synctest.Test(t, func(*testing.T) {
		w := play(&s, Ours(), 1)
		g.SVG = w.draw(&g)
		for _, h := range w.up.hits {
			if since := h.at.Sub(w.start); h.verdict == refused && since >= g.From && since < g.To {
				shown++
			}
		}
	})
	decoder := xml.NewDecoder(strings.NewReader(g.SVG))
	for {
		if _, err := decoder.Token(); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatalf("the picture is no XML: %v", err)
			}
			break
		}
	}
	if got := strings.Count(g.SVG, `v10" stroke="`+colourRefused); got != shown || shown == 0 {
		t.Errorf("the picture has %d refusals; want %d, and some", got, shown)
	}
	// The limit is one line that falls once, in the second quarter.
	limit := regexp.MustCompile(`<path d="M46\.0 ([0-9.]+)H([0-9.]+)V([0-9.]+)H846\.0" fill="none" stroke="` + colourLimit).FindStringSubmatch(g.SVG)
	if limit == nil || limit[1] >= limit[3] && len(limit[1]) >= len(limit[3]) {
		t.Errorf("no line that falls once from 40 to 10: %v in\n%.3000s", limit, g.SVG)
	}
	for _, want := range []string{"<title>Forty, then ten</title>", "1000-H, spread", "minutes</text>"} {
		if !strings.Contains(g.SVG, want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
}

func TestEveryGraphShowsAScenario(t *testing.T) {
	t.Parallel()
	length := map[string]time.Duration{}
	for _, s := range All() {
		length[s.Name] = s.Length
	}
	for _, g := range Graphs() {
		if g.To <= g.From || g.To > length[g.Scenario] {
			t.Errorf("%s shows %s to %s of %q, which lasts %s", g.File, g.From, g.To, g.Scenario, length[g.Scenario])
		}
	}
}
