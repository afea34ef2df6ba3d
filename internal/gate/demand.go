package gate

import (
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/sched"
)

// demand is who comes again after a grant, and how soon, so that a forecast counts with those who will come. Many who come at once say
// nothing of that; agents that ask again and again, one by one or several side by side, do.
type demand struct {
	flows map[caller]*flow
	swept time.Time
}

// caller tells flows apart.
type caller struct {
	class priority.Class
	agent string
	lane  limit.Scope // the preferred one
}

// flow is the requests of a caller.
type flow struct {
	lanes   []limit.Scope
	grants  []time.Time // that nobody has come after, the oldest first
	first   time.Time
	seen    time.Time
	came    float64 // grants after which somebody came
	stayed  float64 // and those after which nobody did
	seconds float64 // how long it took to come, of all who came
}

const (
	flowsKept  = 1024 // others are not counted with
	grantsKept = 32   // of a flow
	grantStays = 2 * time.Minute
	together   = time.Second // who come within it come at once, not again
	overdue    = 3           // pauses, and 5 s
	flowMemory = 32          // grants of which half count no more
	flowStays  = 5 * time.Minute
)

// comes notes a newcomer.
func (d *demand) comes(now time.Time, r *Request) {
	f := d.flow(now, r)
	if f == nil {
		return
	}
	f.drop(now)
	if len(f.grants) > 0 && now.Sub(f.first) >= together {
		f.came++
		f.seconds += now.Sub(f.grants[0]).Seconds()
		f.grants = append(f.grants[:0], f.grants[1:]...)
	}
}

// granted notes a grant.
func (d *demand) granted(now time.Time, r *Request) {
	if f := d.flow(now, r); f != nil {
		if f.drop(now); len(f.grants) < grantsKept {
			f.grants = append(f.grants, now)
		}
	}
}

// flow returns the flow of a request; nil = there are too many.
func (d *demand) flow(now time.Time, r *Request) *flow {
	c := caller{r.Class, r.Agent, r.Lanes[0]}
	f := d.flows[c]
	if f == nil {
		if len(d.flows) >= flowsKept {
			d.sweep(now)
		}
		if len(d.flows) >= flowsKept {
			return nil
		}
		f = &flow{lanes: r.Lanes, first: now}
		d.flows[c] = f
	}
	f.seen = now
	return f
}

// drop gives up waiting for somebody to come after old grants, and lets what was seen fade.
func (f *flow) drop(now time.Time) {
	for len(f.grants) > 0 && now.Sub(f.grants[0]) > grantStays {
		f.stayed++
		f.grants = append(f.grants[:0], f.grants[1:]...)
	}
	if f.came+f.stayed > flowMemory {
		f.came, f.stayed, f.seconds = f.came/2, f.stayed/2, f.seconds/2
	}
}

// sweep forgets who does not come any more, at most once a second.
func (d *demand) sweep(now time.Time) {
	if now.Sub(d.swept) < time.Second {
		return
	}
	d.swept = now
	for c, f := range d.flows {
		if now.Sub(f.seen) > flowStays {
			delete(d.flows, c)
		}
	}
}

// streams returns who is expected to come.
func (d *demand) streams(now time.Time) (streams []sched.Stream) {
	d.sweep(now)
	for c, f := range d.flows {
		if f.came == 0 {
			continue
		}
		s := sched.Stream{
			Class: c.class, Agent: c.agent, Lanes: f.lanes, Pause: time.Duration(f.seconds / f.came * float64(time.Second)),
		}
		stayed := f.stayed
		for _, at := range f.grants {
			next := at.Add(s.Pause)
			switch {
			case now.Sub(at) > overdue*s.Pause+5*time.Second:
				stayed++
				continue
			case next.Before(now):
				next = now.Add(s.Pause / 2)
			}
			s.Coming = append(s.Coming, next)
		}
		s.Share = f.came / (f.came + stayed)
		streams = append(streams, s)
	}
	return streams
}
