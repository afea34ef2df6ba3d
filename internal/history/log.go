package history

import (
	"math"
	"time"
)

// Classes is how many classes of requests there are.
const Classes = 4

// Span is one of the stretches of the past that a graph shows.
type Span struct {
	Name string        // how it is asked for, such as 15m
	Step time.Duration // what a row stands for
	Rows int           // how many rows it has
}

// Spans returns the stretches there are, the shortest first. Each ends now.
func Spans() [4]Span {
	return [4]Span{
		{"15m", 5 * time.Second, 180},
		{"1h", 15 * time.Second, 240},
		{"6h", time.Minute, 360},
		{"24h", 5 * time.Minute, 288},
	}
}

// Step is how often a Log should be given a Sample: the shortest step there is.
const Step = 5 * time.Second

// Sample is what happened since the sample before, and how things stand.
type Sample struct {
	Granted int // slots
	Refused int // attempts, by the upstream

	// How things stand; NaN = unknown. Of a longer step the mean is kept.

	Rate        float64 // attempts a minute that pacing now uses
	Ceiling     float64 // attempts a minute that are known to be allowed
	Utilisation float64 // of the ceiling, 0 to 1

	Depth [Classes]int // how many wait, by class; of a longer step the most is kept
}

// Log is the past of all spans. Use New. It is arithmetic: no clock, no lock; the methods must not be called concurrently.
type Log struct {
	tiers [4]tier
}

// New returns a log of nothing.
func New() *Log {
	l := new(Log)
	for i, s := range Spans() {
		l.tiers[i] = tier{span: s}
	}
	return l
}

// Add takes a sample into the running rows.
func (l *Log) Add(now time.Time, s Sample) {
	for i := range l.tiers {
		l.tiers[i].running(now).add(s)
	}
}

// Waited takes the wait of one request into the running rows. The class must be less than Classes.
func (l *Log) Waited(now time.Time, class int, wait time.Duration) {
	for i := range l.tiers {
		l.tiers[i].running(now).Waits[class].Add(wait)
	}
}

// Waits returns the waits of a class in the last so many steps of the shortest span, the running one included.
func (l *Log) Waits(now time.Time, class, steps int) (all Waits) {
	l.tiers[0].last(now, steps, func(r *Row) { all.Merge(&r.Waits[class]) })
	return all
}

// Granted returns how many slots were granted in the last so many steps of the shortest span, without the running one.
func (l *Log) Granted(now time.Time, steps int) (n int) {
	running := l.tiers[0].slot(now)
	l.tiers[0].last(now, steps+1, func(r *Row) {
		if r.Slot != running {
			n += int(r.Granted)
		}
	})
	return n
}

// Unsaved returns copies of the rows that have changed since the last call, running ones included, for a later Restore.
func (l *Log) Unsaved() (rows []Row) {
	for i := range l.tiers {
		t := &l.tiers[i]
		for j := range t.rows {
			if t.rows[j].dirty {
				t.rows[j].dirty = false
				rows = append(rows, t.rows[j].Row)
			}
		}
	}
	return rows
}

// Resave makes the next call of Unsaved return every row: the last ones did not arrive.
func (l *Log) Resave() {
	for i := range l.tiers {
		for j := range l.tiers[i].rows {
			l.tiers[i].rows[j].dirty = true
		}
	}
}

// Restore takes over rows of an earlier process, in ascending order within each step, before anything is added. What lies in the future,
// before what is there already, further back than its span reaches, or belongs to none, is passed over.
func (l *Log) Restore(now time.Time, rows []Row) {
	for _, r := range rows {
		for i := range l.tiers {
			if t := &l.tiers[i]; t.span.Step == r.Step {
				t.restore(now, r)
			}
		}
	}
}

// tier is the past in one step.
type tier struct {
	span Span
	rows []stored // a ring once it is full, of which head is the oldest
	head int
}

// stored is a row with whether it has changed since it was last saved.
type stored struct {
	Row
	dirty bool
}

// slot numbers the steps of wall-clock time.
func (t *tier) slot(now time.Time) int64 { return now.UnixNano() / int64(t.span.Step) }

// at returns the i-th oldest row.
func (t *tier) at(i int) *stored { return &t.rows[(t.head+i)%len(t.rows)] }

// running returns the row of now, made if it is new. A clock that was set back a little goes on in the newest row; after one that was set
// back by more than the span, the past begins anew.
func (t *tier) running(now time.Time) *stored {
	slot := t.slot(now)
	if n := len(t.rows); n > 0 {
		newest := t.at(n - 1)
		if newest.Slot-slot >= int64(t.span.Rows) {
			t.rows, t.head = t.rows[:0], 0
		} else if newest.Slot >= slot {
			newest.dirty = true
			return newest
		}
	}
	return t.push(Row{Step: t.span.Step, Slot: slot})
}

// push adds the newest row in place of the oldest.
func (t *tier) push(r Row) *stored {
	if len(t.rows) < t.span.Rows {
		t.rows = append(t.rows, stored{r, true})
		return &t.rows[len(t.rows)-1]
	}
	oldest := &t.rows[t.head]
	*oldest = stored{r, true}
	t.head = (t.head + 1) % len(t.rows)
	return oldest
}

func (t *tier) restore(now time.Time, r Row) {
	slot := t.slot(now)
	if n := len(t.rows); r.Slot > slot || r.Slot <= slot-int64(t.span.Rows) || n > 0 && t.at(n-1).Slot >= r.Slot {
		return
	}
	t.push(r).dirty = false
}

// last calls f for the rows of the last so many steps, the running one included.
func (t *tier) last(now time.Time, steps int, f func(*Row)) {
	slot := t.slot(now)
	for i := range t.rows {
		if r := t.at(i); r.Slot <= slot && r.Slot > slot-int64(steps) {
			f(&r.Row)
		}
	}
}

// mean is the mean of what is known.
type mean struct {
	Sum float64
	N   uint32
}

func (m *mean) add(x float64) {
	if !math.IsNaN(x) && !math.IsInf(x, 0) {
		m.Sum += x
		m.N++
	}
}

// value returns the mean; NaN where nothing is known.
func (m *mean) value() float64 {
	if m.N == 0 {
		return math.NaN()
	}
	return m.Sum / float64(m.N)
}
