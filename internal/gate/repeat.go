package gate

import (
	"slices"
	"time"

	"nimsidecar/internal/priority"
)

// repeats remembers for a while the arrival numbers of those who were refused, or left, before they had a grant. Whoever says that it comes
// again gets the oldest one of its own agent, model and class back, so it does not go to the back. A number is given away once, counts
// among the requests of its agent, and was that agent's before: to claim a repeat that is none gains nothing.
type repeats struct {
	byCaller map[repeater][]left
	swept    time.Time
}

// repeater is who may come again.
type repeater struct {
	class        priority.Class
	agent, model string
}

// left is one that got no grant.
type left struct {
	arrival uint64
	at      time.Time
}

const (
	repeatWithin  = time.Minute // SDKs come again within seconds, and obey a Retry-After of at most a minute
	repeatsEach   = 64          // of one agent, model and class
	repeatCallers = 1024
)

func repeaterOf(r *Request) repeater { return repeater{r.Class, r.Agent, r.Lanes[0].Model} }

// leaves notes that a ticket ends without a grant.
func (m *repeats) leaves(now time.Time, r *Request, arrival uint64) {
	if len(m.byCaller) >= repeatCallers {
		m.sweep(now)
	}
	who := repeaterOf(r)
	known, ok := m.byCaller[who]
	if known = current(now, known); len(known) < repeatsEach && (ok || len(m.byCaller) < repeatCallers) {
		known = append(known, left{arrival, now})
	}
	m.keep(who, known)
}

// again returns the arrival number of the oldest request that this one may be a repeat of; 0 = none.
func (m *repeats) again(now time.Time, r *Request) (arrival uint64) {
	who := repeaterOf(r)
	known := current(now, m.byCaller[who])
	if len(known) > 0 {
		oldest := 0
		for i := range known {
			if known[i].arrival < known[oldest].arrival {
				oldest = i
			}
		}
		arrival = known[oldest].arrival
		known = slices.Delete(known, oldest, oldest+1)
	}
	m.keep(who, known)
	return arrival
}

// keep remembers what is known of a caller, or forgets it if that is nothing.
func (m *repeats) keep(who repeater, known []left) {
	if len(known) == 0 {
		delete(m.byCaller, who)
		return
	}
	m.byCaller[who] = known
}

// sweep forgets whose time is over, at most once a second.
func (m *repeats) sweep(now time.Time) {
	if now.Sub(m.swept) < time.Second {
		return
	}
	m.swept = now
	for who, known := range m.byCaller {
		m.keep(who, current(now, known))
	}
}

// current drops those whose time is over. They are in order of time.
func current(now time.Time, known []left) []left {
	over := 0
	for over < len(known) && now.Sub(known[over].at) > repeatWithin {
		over++
	}
	return known[over:]
}
