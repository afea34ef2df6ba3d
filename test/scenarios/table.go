package scenarios

import (
	"fmt"
	"strings"
)

// Entry is what a law made of a scenario.
type Entry struct {
	Scenario  *Scenario // what was played
	Contender Contender // by whom
	Results   []Result  // one a seed
}

// missed returns the targets that the law misses, as text.
func (e *Entry) missed() string { return misses(e.Scenario.Targets, e.Results) }

// ours reports whether the law is the sidecar's.
func (e *Entry) ours() bool { return e.Contender.Name == Ours().Name }

// columns are the figures of a row on a terminal.
func columns() []Metric {
	return []Metric{Util, Refused, Row, Converge, Detect, Drops, Bans, UrgentWorst, LowGap, NormalP95, Jain, Over}
}

// Header is the first line of the report on a terminal.
func Header() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %-8s", "mean (worst seed)", "law")
	for _, m := range columns() {
		fmt.Fprintf(&b, " %15s", m)
	}
	return b.String()
}

// Line is the entry, for a terminal.
func (e *Entry) Line() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-28s %-8s", e.Scenario.Name, e.Contender.Name)
	for _, m := range columns() {
		fmt.Fprintf(&b, " %15s", m.text(e.Results))
	}
	if missed := e.missed(); missed != "" {
		b.WriteString("  FAIL " + missed)
	} else {
		b.WriteString("  PASS")
	}
	return b.String()
}
