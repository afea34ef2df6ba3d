package gate

import (
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// lane is what was seen of a lane since somebody has been waiting for it.
type lane struct {
	waiting int // tickets; one that names the lane twice counts twice
	outflow pace
	granted time.Time // the last grant to somebody who waited; zero = none yet
	asked   [2]asked  // of whoever is not urgent, and who is
}

// asked is what the budget has said last.
type asked struct {
	at    time.Time // when; of several that got the same answer the first
	ready time.Time // the answer; zero = an event will tell
}

// urgentIndex is the index into lane.asked: urgent ones do not keep the even distance.
func urgentIndex(c priority.Class) int {
	if c == priority.Urgent {
		return 1
	}
	return 0
}

// lanesKept is how many lanes are remembered that nobody waits for: clients choose the names of models.
const lanesKept = 1000

// laneOf returns the lane, made if need be.
func (g *Gate) laneOf(scope limit.Scope) *lane {
	l := g.lanes[scope]
	if l == nil {
		l = &lane{outflow: pace{memory: outflowMemory}}
		g.lanes[scope] = l
	}
	return l
}

// entersLocked notes that a ticket waits for the lanes.
func (g *Gate) entersLocked(now time.Time, lanes []limit.Scope) {
	for _, scope := range lanes {
		l := g.laneOf(scope)
		if l.waiting == 0 {
			l.granted, l.asked = time.Time{}, [2]asked{}
			l.outflow.running(now, true)
		}
		l.waiting++
	}
}

// leavesLocked notes that a ticket does not wait for the lanes any more.
func (g *Gate) leavesLocked(now time.Time, lanes []limit.Scope) {
	for _, scope := range lanes {
		l := g.laneOf(scope)
		if l.waiting--; l.waiting > 0 {
			continue
		}
		l.outflow.running(now, false)
		if len(g.lanes) > lanesKept {
			delete(g.lanes, scope)
		}
	}
}

// answered notes what the budget said of the lane.
func (l *lane) answered(now time.Time, c priority.Class, r quota.Readiness) {
	if a := &l.asked[urgentIndex(c)]; a.at.IsZero() || !a.ready.Equal(r.At) {
		*a = asked{now, r.At}
	}
}

// serves notes a grant to somebody who waited, or who comes now.
func (l *lane) serves(now time.Time, waited bool) {
	l.granted = now
	if waited {
		l.outflow.count(now)
	}
}

// gap returns the distance that the budget keeps now between attempts that are not urgent, the last of which was granted then; the zero
// time is unknown. Zero is no distance that is known.
func (l *lane) gap(last time.Time) time.Duration {
	if last.IsZero() {
		last = l.asked[0].at
	}
	return max(0, l.asked[0].ready.Sub(last))
}
