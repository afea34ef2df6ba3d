package top

import (
	"fmt"
	"slices"
	"strings"
)

// column is one of a table.
type column struct {
	head  string
	right bool // figures stand at the right
	least int  // names give way where there is not room for all, down to so many columns; 0 = it is no name
	rank  int  // where there is still not enough, the column with the highest rank goes first
}

// table is a section of the view.
type table struct {
	columns []column // the first one's head is the title
	rows    []line   // a span for each column
	more    int      // how many more there are than these
	empty   string   // what is said in the place of rows
}

const (
	gap  = 2  // between columns
	name = 10 // the least of most names
)

// height returns how many lines the whole table takes.
func (t *table) height() int { return 1 + max(len(t.rows), 1) }

// lay returns the table in so many columns, of which 0 is any number, and lines. Its title says how many rows there would be.
func (t *table) lay(columns, height int) []line {
	head := make(line, len(t.columns))
	for i, c := range t.columns {
		head[i] = span{c.head, dim}
	}
	head[0] = span{fmt.Sprintf("%s %d", t.columns[0].head, len(t.rows)+t.more), bold}
	shown := append([]line{head}, t.rows[:min(len(t.rows), height-1)]...)
	widths := t.widths(shown, columns)
	for i, r := range shown {
		shown[i] = t.row(r, widths)
	}
	if len(t.rows) == 0 {
		shown = append(shown, line{{t.empty, dim}})
	}
	return shown
}

// widths returns how wide each column of some rows is; a column that does not fit is -1.
func (t *table) widths(rows []line, room int) []int {
	widths := make([]int, len(t.columns))
	for i := range widths {
		for _, r := range rows {
			widths[i] = max(widths[i], columns(Clean(r[i].text)))
		}
	}
	if room <= 0 {
		return widths
	}
	for {
		narrow := t.narrow(slices.Clone(widths), room)
		last := t.leastImportant(widths)
		switch {
		case sum(narrow) <= room:
			return narrow
		case last < 0:
			narrow[0] = room
			return narrow
		}
		widths[last] = -1
	}
}

// narrow takes from the names, the widest first, until all fits or no name can give more.
func (t *table) narrow(widths []int, room int) []int {
	for over := sum(widths) - room; over > 0; over-- {
		i := t.widestName(widths)
		if i < 0 {
			break
		}
		widths[i]--
	}
	return widths
}

// widestName returns the column of names that can best give way, or -1.
func (t *table) widestName(widths []int) int {
	best := -1
	for i, c := range t.columns {
		if c.least > 0 && widths[i] > max(c.least, columns(c.head)+4) && (best < 0 || widths[i] > widths[best]) {
			best = i
		}
	}
	return best
}

// leastImportant returns the column that goes next, or -1; the first one never goes.
func (t *table) leastImportant(widths []int) int {
	last := -1
	for i, c := range t.columns[1:] {
		if widths[i+1] >= 0 && (last < 0 || c.rank >= t.columns[last].rank) {
			last = i + 1
		}
	}
	return last
}

// sum returns how many columns all take, with the gaps.
func sum(widths []int) (n int) {
	for _, w := range widths {
		if w >= 0 {
			n += w + gap
		}
	}
	return n - gap
}

// row lays out one row.
func (t *table) row(cells line, widths []int) (l line) {
	for i, c := range cells {
		if widths[i] < 0 {
			continue
		}
		if len(l) > 0 {
			l = append(l, say(strings.Repeat(" ", gap)))
		}
		text := fit(Clean(c.text), widths[i])
		blank := say(strings.Repeat(" ", widths[i]-columns(text)))
		cell := line{{text, c.style}, blank}
		if t.columns[i].right {
			slices.Reverse(cell)
		}
		l = append(l, cell...)
	}
	return l
}

// share divides lines among sections that want some each: nobody gets more than it wants, and who gets less than another one wants gets as
// much as anybody. A section that would get less than least gets none.
func share(room, least int, wants []int) []int {
	got := make([]int, len(wants))
	for {
		before := room
		for i := range wants {
			switch {
			case got[i] >= wants[i] || room == 0:
			case got[i] > 0:
				got[i]++
				room--
			case room >= least:
				got[i] = least
				room -= least
			}
		}
		if room == before {
			return got
		}
	}
}
