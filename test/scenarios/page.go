package scenarios

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
)

// The marks between which a page is written by the simulation.
const (
	pageBegin = "<!-- simulation -->\n"
	pageEnd   = "<!-- /simulation -->\n"
)

// WritePage replaces what a page holds between its marks.
func WritePage(path string, entries []*Entry, graphs []Graph) error {
	page, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(page), pageBegin)
	_, after, ended := strings.Cut(rest, pageEnd)
	if !found || !ended {
		return errors.New(path + " has no marks of the simulation")
	}
	text := before + pageBegin + "\n" + tables(entries) + pictures(graphs) + pageEnd + after
	return os.WriteFile(path, []byte(text), 0o644)
}

// tables writes the results as Markdown.
func tables(entries []*Entry) string {
	var b strings.Builder
	var groups []string
	of := map[string][]*Entry{}
	var beside []*Entry
	for _, e := range entries {
		g := e.Scenario.Group
		switch {
		case !e.ours():
			beside = append(beside, e)
		case of[g] == nil:
			groups = append(groups, g)
			fallthrough
		default:
			of[g] = append(of[g], e)
		}
	}
	for _, g := range groups {
		fmt.Fprintf(&b, "### %s\n\n", g)
		b.WriteString(group(of[g]))
	}
	if len(beside) > 0 {
		b.WriteString("### Beside simpler laws\n\n")
		b.WriteString("Used % of the oracle / refused ‰ / longest row of refusals, then worst URGENT wait / longest LOW gap in seconds; means of the seeds.\n\n")
		b.WriteString(compared(entries, beside))
	}
	return b.String()
}

// group writes the scenarios of a group, with the columns that say something.
func group(entries []*Entry) string {
	var shown []Metric
	for m := range metricCount {
		if m == Regain {
			continue // the difference of two others
		}
		for _, e := range entries {
			if !math.IsNaN(m.mean(e.Results)) {
				shown = append(shown, m)
				break
			}
		}
	}
	var b strings.Builder
	b.WriteString("| scenario |")
	for _, m := range shown {
		fmt.Fprintf(&b, " %s |", m)
	}
	b.WriteString(" targets |\n|---|" + strings.Repeat("--:|", len(shown)) + "---|\n")
	for _, e := range entries {
		fmt.Fprintf(&b, "| `%s` |", e.Scenario.Name)
		for _, m := range shown {
			fmt.Fprintf(&b, " %s |", m.text(e.Results))
		}
		fmt.Fprintf(&b, " %s |\n", e.targets())
	}
	return b.String() + "\n"
}

// targets writes what is demanded, what is missed in bold.
func (e *Entry) targets() string {
	var all []string
	for _, t := range e.Scenario.Targets {
		switch {
		case t.Metric == Over && t.met(e.Results): // it holds everywhere; the page says so once
		case t.met(e.Results):
			all = append(all, t.String())
		default:
			all = append(all, "**missed: "+t.String()+"**")
		}
	}
	if len(all) == 0 {
		return "–"
	}
	return strings.Join(all, ", ")
}

// compared writes the laws beside each other.
func compared(entries, beside []*Entry) string {
	laws := []string{Ours().Name}
	for _, c := range Baselines() {
		laws = append(laws, c.Name)
	}
	cell := map[string]string{}
	var names []string
	for _, e := range entries {
		rs := e.Results
		key := e.Scenario.Name + "/" + e.Contender.Name
		cell[key] = fmt.Sprintf("%.1f / %.1f / %.0f<br>%s / %s", Util.mean(rs), Refused.mean(rs), Row.mean(rs), seconds(UrgentWorst.mean(rs)), seconds(LowGap.mean(rs)))
	}
	seen := map[string]bool{}
	for _, e := range beside {
		if !seen[e.Scenario.Name] {
			seen[e.Scenario.Name] = true
			names = append(names, e.Scenario.Name)
		}
	}
	var b strings.Builder
	b.WriteString("| scenario | **" + strings.Join(laws, "** | **") + "** |\n|---|" + strings.Repeat("---|", len(laws)) + "\n")
	for _, name := range names {
		fmt.Fprintf(&b, "| `%s` |", name)
		for _, law := range laws {
			fmt.Fprintf(&b, " %s |", cell[name+"/"+law])
		}
		b.WriteString("\n")
	}
	return b.String() + "\n"
}

// seconds writes a time shortly.
func seconds(s float64) string {
	switch {
	case math.IsNaN(s):
		return "–"
	case s < 10:
		return fmt.Sprintf("%.1f", s)
	}
	return fmt.Sprintf("%.0f", s)
}

// pictures writes the links to the graphs.
func pictures(graphs []Graph) string {
	var b strings.Builder
	if len(graphs) > 0 {
		b.WriteString("### Graphs\n\n")
	}
	for _, g := range graphs {
		fmt.Fprintf(&b, "![%s](img/%s)\n\n", g.Title, g.File)
	}
	return b.String()
}
