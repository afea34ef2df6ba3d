package scenarios

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// trace writes the time line of a run: what left, what the upstream made of it, and what the law took the limits for.
func (w *world) trace(out io.Writer) {
	type line struct {
		at   time.Time
		text string
	}
	var lines []line
	add := func(at time.Time, form string, values ...any) {
		lines = append(lines, line{at, fmt.Sprintf(form, values...)})
	}
	for _, c := range w.up.player.changes {
		add(c.at, "LIMIT %s", c.rates)
	}
	for _, g := range w.grants {
		add(g.at, "grant %s %s %s side %d", g.class, g.agent, g.model, g.side)
	}
	for i := range w.up.hits {
		h := &w.up.hits[i]
		add(h.at, "    %s %s %s %s%s", h.verdict, h.model, h.class, h.agent, h.marks())
	}
	for i, side := range w.sides {
		for k, changes := range side.ceilings.of {
			for _, c := range changes {
				add(c.at, "  ceiling %d of %s %s in %s side %d", c.n, k.scope.Account, k.scope.Model, k.period, i)
			}
		}
	}
	slices.SortStableFunc(lines, func(a, b line) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.text, b.text)) })
	b := bufio.NewWriter(out)
	defer func() { _ = b.Flush() }()
	for _, l := range lines {
		_, _ = fmt.Fprintf(b, "%14.6f %s\n", l.at.Sub(w.start).Seconds(), l.text)
	}
}

// String returns the verdict as a time line shows it.
func (v verdict) String() string { return [...]string{"accepted", "REFUSED", "FAILED", "BUSY"}[v] }

// marks returns what else there is to say of a request.
func (h *hit) marks() string {
	var b strings.Builder
	for _, m := range []struct {
		on   bool
		text string
	}{{h.leaked, " leaked"}, {h.excess, " excess"}, {h.banned, " banned"}, {h.foreign, " foreign"}} {
		if m.on {
			b.WriteString(m.text)
		}
	}
	return b.String()
}
