package scenarios

import (
	"math"
	"slices"
	"time"

	"nimsidecar/internal/priority"
)

// Result is what one run came to. All but the waits is as the upstream saw it. Times are seconds, or windows of a minute where it says
// so; NaN is not measured.
type Result struct {
	Util    float64 // accepted, in percent of what the oracle got; of the time of all places, where the limit is on what runs at once
	Refused float64 // per thousand sends
	Row     float64 // longest row of refusals
	Bans    float64 // how often we were banned

	Detect   float64 // windows from a raise until the first accepted request that was over the old limit; infinite if there was none
	Converge float64 // windows from the event, or the start, until two windows hold 95 % of the oracle at no more than 5 % refusals
	Drops    float64 // refusals from the event until the end of those two windows

	Leaked float64 // of a thousand accepted, those that were over the limit and passed before their pod had heard of it

	UrgentP99   float64 // the wait, from arrival until the send that was accepted, that a hundredth of the URGENT requests exceed
	UrgentWorst float64 // the longest of them
	NormalP50   float64 // the wait that half of the NORMAL requests of bursts exceed
	NormalP95   float64 // the wait that a twentieth of the NORMAL requests exceed
	NormalWorst float64 // the longest of those of bursts
	LowGap      float64 // the longest time between two LOW grants, where some LOW request waits all the time
	Jain        float64 // Jain's index between agents of a class that want the same: 1 is equal

	Over float64 // by how many our own charges ever exceeded our own ceiling, or what was promised; at most 0 is right
}

// window is that of the counts that this package speaks of, whatever the limit.
const window = time.Minute

// measure reads the minutes of a run.
func (w *world) measure() (r Result) {
	best := oracle(&w.Upstream, w.up.player.timetable, w.end)
	w.measureUse(&r, best)
	w.measureEvent(&r, best)
	w.measureWaits(&r)
	r.Bans, r.Over = float64(w.up.bans), math.NaN()
	for i, side := range w.sides {
		if side.book == nil {
			continue
		}
		if over := float64(w.over(i)); !(over <= r.Over) { // the first one is compared with NaN
			r.Over = over
		}
	}
	return r
}

// measureUse counts what was accepted and refused after the warm-up.
func (w *world) measureUse(r *Result, best []time.Time) {
	from := w.start.Add(w.Warm)
	optimum := count(best, from, w.end)
	agents := map[string]float64{}
	row, passed, dropped, leaked := 0, 0, 0, 0
	for _, h := range w.up.hits {
		measured := !h.at.Before(from) && h.at.Before(w.end)
		switch {
		case h.foreign:
			if measured {
				optimum-- // theirs
			}
		case h.ok():
			row = 0
			if measured {
				passed++
				agents[h.agent]++
				if h.leaked {
					leaked++
				}
			}
		default:
			row++
			if measured {
				dropped++
				r.Row = max(r.Row, float64(row))
			}
		}
	}
	r.Refused = 1000 * float64(dropped) / float64(passed+dropped)
	r.Util = 100 * float64(passed) / float64(optimum)
	r.Leaked = math.NaN()
	if w.Upstream.Pods > 0 {
		r.Leaked = 1000 * float64(leaked) / float64(passed)
	}
	if n := w.Upstream.InFlight; n > 0 {
		r.Util = 100 * w.up.ran(from, w.end) / float64(n)
	}
	r.Jain = jain(agents)
}

// ran returns how many ran on average between two times.
func (up *upstream) ran(from, to time.Time) float64 {
	area, last := 0.0, level{at: from}
	for _, l := range append(up.levels, level{at: to}) {
		if l.at.After(to) {
			l.at = to
		}
		if l.at.After(last.at) {
			area += float64(last.running) * l.at.Sub(last.at).Seconds()
			last.at = l.at
		}
		last.running = l.running
	}
	return area / to.Sub(from).Seconds()
}

// count returns how many of the times, which must be in order, lie between two others, the first included.
func count(times []time.Time, from, to time.Time) int {
	before := func(t time.Time) int {
		i, _ := slices.BinarySearchFunc(times, t, time.Time.Compare)
		return i
	}
	return before(to) - before(from)
}

// jain returns Jain's index of fairness of the agents of NORMAL or LOW, whichever is worse.
func jain(agents map[string]float64) float64 {
	classes := map[byte][]float64{}
	for name, n := range agents {
		if name[0] == 'n' || name[0] == 'l' {
			classes[name[0]] = append(classes[name[0]], n)
		}
	}
	worst := math.NaN()
	for _, shares := range classes {
		if len(shares) < 2 {
			continue
		}
		sum, squares := 0.0, 0.0
		for _, n := range shares {
			sum += n
			squares += n * n
		}
		if index := sum * sum / (float64(len(shares)) * squares); !(index >= worst) { // the first one is compared with NaN
			worst = index
		}
	}
	return worst
}

// measureEvent measures what follows the event, or the start where there is none.
func (w *world) measureEvent(r *Result, best []time.Time) {
	r.Detect, r.Converge, r.Drops = math.NaN(), math.NaN(), math.NaN()
	event := w.up.player.event()
	if event.IsZero() {
		saturated := w.Load.Burst == 0 && w.Upstream.InFlight == 0
		if len(w.up.player.changes) == 0 && saturated {
			r.Converge = w.converge(best, w.start)
		}
		return
	}
	r.Converge = w.converge(best, event)
	if w.rises() {
		r.Detect = w.detect(event)
	}
	well := event.Add(time.Duration(min(r.Converge+2, 1e6) * float64(window)))
	r.Drops = 0
	for _, h := range w.up.hits {
		if !h.ok() && !h.foreign && h.at.After(event) && h.at.Before(well) {
			r.Drops++
		}
	}
}

// detect returns the windows from a raise until it was noticed.
func (w *world) detect(event time.Time) float64 {
	for _, h := range w.up.hits {
		if h.excess && h.at.After(event) {
			return h.at.Sub(event).Seconds() / window.Seconds()
		}
	}
	return math.Inf(1)
}

// converge returns the windows from the event until all is well for two windows; infinite if it never is.
func (w *world) converge(best []time.Time, event time.Time) float64 {
	var passed, dropped []time.Time
	for _, h := range w.up.hits {
		switch {
		case h.foreign:
		case h.ok():
			passed = append(passed, h.at)
		default:
			dropped = append(dropped, h.at)
		}
	}
	for at := event; !at.Add(2 * window).After(w.end); at = at.Add(window / 20) {
		to := at.Add(2 * window)
		ok, no := float64(count(passed, at, to)), float64(count(dropped, at, to))
		if ok > 0 && ok >= 0.95*float64(count(best, at, to)) && no <= 0.05*(ok+no) {
			return at.Sub(event).Seconds() / window.Seconds()
		}
	}
	return math.Inf(1)
}

// measureWaits measures how long they waited who came after the warm-up.
func (w *world) measureWaits(r *Result) {
	from := w.start.Add(w.waitsFrom())
	var of [priority.Count][]float64
	for _, a := range w.waits {
		if !a.came.Before(from) {
			of[a.class] = append(of[a.class], a.took.Seconds())
		}
	}
	urgent, normal := of[priority.Urgent], of[priority.Normal]
	r.UrgentP99, r.UrgentWorst, r.NormalP95 = quantile(urgent, 0.99), quantile(urgent, 1), quantile(normal, 0.95)
	r.NormalP50, r.NormalWorst, r.LowGap = math.NaN(), math.NaN(), math.NaN()
	if w.Load.Burst > 0 {
		r.NormalP50, r.NormalWorst = quantile(normal, 0.5), quantile(normal, 1)
	}
	if w.Load.Low > 0 {
		r.LowGap = w.lowGap(from)
	}
}

// quantile returns the value that a share q of the list does not exceed.
func quantile(list []float64, q float64) float64 {
	if len(list) == 0 {
		return math.NaN()
	}
	slices.Sort(list)
	return list[max(0, int(math.Ceil(q*float64(len(list))))-1)]
}

// lowGap returns the longest time without a LOW grant.
func (w *world) lowGap(from time.Time) (gap float64) {
	last := from
	for _, g := range w.grants {
		if g.class == priority.Low && g.at.After(from) {
			gap = max(gap, g.at.Sub(last).Seconds())
			last = g.at
		}
	}
	return max(gap, w.end.Sub(last).Seconds())
}
