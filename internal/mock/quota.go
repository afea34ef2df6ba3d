package mock

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// clock is the limiter's time, which may run faster than the real one.
type clock struct {
	start time.Time
	scale float64
}

func (c clock) now() time.Time {
	now := time.Now()
	if c.scale == 1 {
		return now
	}
	return c.start.Add(time.Duration(float64(now.Sub(c.start)) * c.scale))
}

// real returns how long a time of the limiter really lasts.
func (c clock) real(d time.Duration) time.Duration { return time.Duration(float64(d) / c.scale) }

// flagLife is how long a pod checks strictly after a refusal, on the limiter's clock.
const flagLife = time.Minute

// lane is whose limit a request falls under: account, model and the version of it that was drawn. The flags of the
// asynchronous check go by user and pod besides.
type lane struct {
	account, model string
	version        int
	user           string
	pod            int
}

// quota is NVIDIA's limiter as the gateway sees it: the counters, the flags of the asynchronous check, and a policy that may
// change. It is safe for concurrent use.
type quota struct {
	clock          clock
	original       policy
	versions, pods int

	mu         sync.Mutex // guards the following
	policy     policy
	generation int      // counts the changes of policy
	pending    []change // sorted by due
	scopes     map[lane]*scope
	flags      map[lane]time.Time // until when a pod checks strictly
	turn       int                // gives the pods their requests in turn
	draw       *rand.Rand
}

func newQuota(p policy, o Options) *quota {
	q := &quota{
		clock:    clock{start: time.Now(), scale: o.TimeScale},
		original: p, versions: o.Versions, pods: o.AsyncPods,
	}
	q.reset()
	return q
}

// reset forgets all that was counted and changed. Requests that are under way keep their old counters.
func (q *quota) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.policy, q.generation, q.pending = q.original.clone(), 0, nil
	q.scopes, q.flags = map[lane]*scope{}, map[lane]time.Time{}
	q.turn, q.draw = 0, rand.New(rand.NewPCG(1, 2)) // fixed seed: the same requests meet the same versions
}

// assign completes a lane with the version and the pod that serve its next request, and reports whether that pod checks
// strictly.
func (q *quota) assign(l lane) (lane, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.version = q.draw.IntN(q.versions)
	l.pod = q.turn % q.pods
	q.turn++
	return l, q.nowLocked().Before(q.flags[l])
}

// verdict is what the limiter said, or would have said.
type verdict struct {
	at    time.Time // on its clock
	ok    bool
	scope *scope // which done must be told, if ok
	lane  lane
	state limiter.State
}

// ask counts a hit, and its verdict is the request's.
func (q *quota) ask(l lane) verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	v := q.hitLocked(l)
	v.scope.count(v.at, v.ok)
	return v
}

// pass lets a request through without asking; charge is to follow.
func (q *quota) pass(l lane) verdict {
	q.mu.Lock()
	defer q.mu.Unlock()
	v := verdict{at: q.nowLocked(), ok: true, scope: q.scopeLocked(l), lane: l}
	v.scope.count(v.at, true)
	return v
}

// charge counts the hit of a request that has passed already.
func (q *quota) charge(l lane) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.hitLocked(l)
}

// done ends a request that was let through.
func (q *quota) done(v verdict) {
	q.mu.Lock()
	defer q.mu.Unlock()
	v.scope.running--
	v.scope.limiters[v.lane.version].Done()
}

// hitLocked counts a hit. A refusal makes the lane's pod strict for the next minute.
func (q *quota) hitLocked(l lane) verdict {
	now := q.nowLocked()
	v := verdict{at: now, scope: q.scopeLocked(l), lane: l}
	v.ok = v.scope.limiters[l.version].Hit(now)
	v.state = v.scope.limiters[l.version].State(now)
	v.scope.charged.add(now)
	if !v.ok {
		q.flags[l] = now.Add(flagLife)
	}
	return v
}

// scopeLocked returns the counters of an account and model, made if they are new, with the limits that hold now.
func (q *quota) scopeLocked(l lane) *scope {
	key := lane{account: l.account, model: l.model}
	sc := q.scopes[key]
	if sc == nil {
		sc = &scope{generation: -1, limiters: make([]limiter.Limiter, q.versions)} // of no generation yet: limits are set below
		for i := range sc.limiters {
			sc.limiters[i] = q.policy.newLimiter()
		}
		q.scopes[key] = sc
	}
	if sc.generation != q.generation {
		sc.generation = q.generation
		sc.setRates(q.policy.rates(l.account, l.model))
	}
	return sc
}

// change schedules a change of limits. It takes effect with the first look at the limits after it is due.
func (q *quota) change(c LimitChange) error {
	ch, err := q.original.read(c)
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	ch.due = q.nowLocked().Add(c.After)
	q.pending = append(q.pending, ch)
	slices.SortStableFunc(q.pending, func(a, b change) int { return a.due.Compare(b.due) })
	return nil
}

// nowLocked returns the limiter's time, and makes the changes that are due by then.
func (q *quota) nowLocked() time.Time {
	now := q.clock.now()
	for len(q.pending) > 0 && !q.pending[0].due.After(now) {
		q.policy.apply(q.pending[0])
		q.pending = q.pending[1:]
		q.generation++
	}
	return now
}

// stats returns what was counted in every scope, sorted by account and model.
func (q *quota) stats() []ScopeStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	all := make([]ScopeStats, 0, len(q.scopes))
	for key, sc := range q.scopes {
		all = append(all, sc.stats(key.account, key.model))
	}
	slices.SortFunc(all, func(a, b ScopeStats) int {
		return cmp.Or(cmp.Compare(a.Account, b.Account), cmp.Compare(a.Model, b.Model))
	})
	return all
}
