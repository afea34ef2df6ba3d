package scenarios

import "time"

// oracle returns when a saturated sender would have been accepted who knows the limit, and so sends at the very instants at which it
// lets a request pass. It sees the synchronous limit without delay, is never banned, and takes what a foreign user would take.
func oracle(u *Upstream, t *timetable, end time.Time) (accepted []time.Time) {
	p := &player{timetable: t}
	all := []*counters{newCounters(u)}
	for range u.Versions - 1 {
		all = append(all, newCounters(u))
	}
	for now := t.start; now.Before(end); {
		p.apply(now, all...)
		next := end
		if at := p.until(); !at.IsZero() && at.Before(next) {
			next = at
		}
		if t.out(now) {
			now = t.outage[1]
			continue
		}
		if now.Before(t.outage[0]) && t.outage[0].Before(next) {
			next = t.outage[0]
		}
		for _, c := range all {
			for _, model := range u.models() {
				wait := c.wait(now, model)
				for ; wait == 0; wait = c.wait(now, model) {
					c.hit(now, model)
					accepted = append(accepted, now)
				}
				if at := now.Add(wait); at.Before(next) {
					next = at
				}
			}
		}
		now = next
	}
	return accepted
}
