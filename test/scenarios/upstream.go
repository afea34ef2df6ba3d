package scenarios

import (
	"math/rand/v2"
	"sync"
	"time"

	"nimsidecar/internal/priority"
)

// flagLife is how long a pod checks strictly after a refusal, and checkTime how long it takes to hear of one that it did not wait for.
const (
	flagLife  = time.Minute
	checkTime = 20 * time.Millisecond
)

// verdict is what becomes of a request.
type verdict uint8

const (
	accepted verdict = iota
	refused          // 429
	failed           // 5xx
	busy             // all workers are
)

// hit is one request as the upstream saw it.
type hit struct {
	at      time.Time
	model   string
	class   priority.Class
	agent   string
	verdict verdict
	leaked  bool // it passed although it was over the limit
	excess  bool // it passed, and would not have passed before the last change
	foreign bool
	banned  bool
}

// ok reports whether the limit let it pass.
func (h *hit) ok() bool { return h.verdict == accepted || h.verdict == failed }

// upstream decides, and keeps the minutes. It is safe for concurrent use.
type upstream struct {
	about Upstream

	mu      sync.Mutex // guards the following
	player  player
	rng     *rand.Rand
	all     []*counters // one for each version
	before  *counters   // as they would be without the change
	flags   map[podFlag][2]time.Time
	row     int // refusals in a row
	banned  time.Time
	bans    int
	running int
	levels  []level // of running, where it is limited
	hits    []hit
}

// level is how many run from a time on.
type level struct {
	at      time.Time
	running int
}

// podFlag says that a pod checks strictly.
type podFlag struct {
	model        string
	version, pod int
}

func newUpstream(u Upstream, t *timetable, rng *rand.Rand) *upstream {
	up := &upstream{about: u, player: player{timetable: t}, rng: rng, flags: map[podFlag][2]time.Time{}}
	for range max(1, u.Versions) {
		up.all = append(up.all, newCounters(&u))
	}
	if len(u.Changes) == 1 {
		up.before = newCounters(&u)
	}
	return up
}

// hit decides a request, whose at and verdict need not be set.
func (up *upstream) hit(h hit) verdict {
	up.mu.Lock()
	defer up.mu.Unlock()
	h.at = time.Now()
	up.player.apply(h.at, up.all...)
	up.decide(&h)
	switch {
	case h.foreign:
	case !h.ok():
		up.row++
		if b := up.about.Ban; b.After > 0 && up.row == b.After {
			up.banned, up.bans, up.row = h.at.Add(b.For), up.bans+1, 0
		}
	default:
		up.row = 0
	}
	up.hits = append(up.hits, h)
	return h.verdict
}

func (up *upstream) decide(h *hit) {
	if h.at.Before(up.banned) {
		h.verdict, h.banned = refused, true
		return
	}
	if up.player.out(h.at) {
		h.verdict = refused
		return
	}
	if up.about.InFlight > 0 && up.running >= up.about.InFlight {
		h.verdict = busy
		return
	}
	version := up.rng.IntN(len(up.all))
	ok := up.all[version].hit(h.at, h.model)
	if up.before != nil {
		h.excess = !up.before.hit(h.at, h.model) && ok
	}
	if !up.check(h, version, ok) {
		h.verdict = refused
		return
	}
	h.leaked = !ok
	if up.rng.Float64() < up.about.Errors {
		h.verdict = failed
		return
	}
	up.run(h.at, 1)
}

// check reports whether a request passes about which the limiter said ok: an asynchronous check lets it pass all the same while its
// pod has not heard of a refusal.
func (up *upstream) check(h *hit, version int, ok bool) bool {
	if up.about.Pods == 0 {
		return ok
	}
	key := podFlag{h.model, version, up.rng.IntN(up.about.Pods)}
	f := up.flags[key]
	strict := !h.at.Before(f[0]) && h.at.Before(f[1])
	if !ok {
		from := h.at
		if !strict {
			from = from.Add(checkTime)
		}
		if h.at.Before(f[1]) && f[0].Before(from) {
			from = f[0] // it is only renewed
		}
		up.flags[key] = [2]time.Time{from, h.at.Add(flagLife)}
	}
	return ok || !strict
}

// done ends a request that was accepted.
func (up *upstream) done() {
	up.mu.Lock()
	defer up.mu.Unlock()
	up.run(time.Now(), -1)
}

// run changes how many run.
func (up *upstream) run(now time.Time, by int) {
	up.running += by
	if up.about.InFlight > 0 {
		up.levels = append(up.levels, level{now, up.running})
	}
}
