package scenarios

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// Contender makes the law that a run is about.
type Contender struct {
	Name string                                                 // unique
	New  func(told Told, seed uint64, up *upstream) gate.Budget // makes one for a sidecar; up is for those that may see the upstream
}

// Ours is the law of the sidecar.
func Ours() Contender {
	return Contender{"ours", func(told Told, seed uint64, _ *upstream) gate.Budget {
		return quota.New(quota.Options{Seed: seed, Terms: func(s limit.Scope) quota.Terms {
			if s.WholeAccount() {
				return told.Account
			}
			return told.Model
		}})
	}}
}

// moment keeps apart what would else happen at the same time, in an order that differs from run to run.
const moment = time.Microsecond

// world is one run.
type world struct {
	*Scenario
	up    *upstream
	start time.Time
	end   time.Time
	sides []*side
	work  sync.WaitGroup

	turns *rand.Rand

	mu     sync.Mutex // guards the following
	grants []grant
	waits  []wait
}

// side is one sidecar.
type side struct {
	gate *gate.Gate
	book *quota.Book // nil where the law is a simpler one

	ceilings ceilings // guarded by world.mu
}

// grant is one that was let out.
type grant struct {
	at    time.Time
	side  int
	class priority.Class
	agent string
	model string
}

// wait is how long one waited until the send that was accepted, or until the end.
type wait struct {
	came  time.Time
	took  time.Duration
	class priority.Class
}

// Run plays a scenario once and measures it. A time line is written to trace, unless that is nil.
func Run(t *testing.T, s *Scenario, c Contender, seed uint64, trace io.Writer) (r Result) {
	synctest.Test(t, func(*testing.T) {
		w := play(s, c, seed)
		r = w.measure()
		if trace != nil {
			w.trace(trace)
		}
	})
	return r
}

// stream returns a source of random numbers that nothing else uses.
func stream(seed uint64, what string) *rand.Rand {
	h := uint64(14695981039346656037)
	for _, b := range []byte(what) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// play plays a scenario once, inside a bubble.
func play(s *Scenario, c Contender, seed uint64) *world {
	rng := stream(seed, "world")
	time.Sleep(time.Duration(rng.Float64() * float64(time.Minute)))
	w := &world{Scenario: s, start: time.Now(), turns: stream(seed, "turns")}
	w.end = w.start.Add(s.Length)
	w.up = newUpstream(s.Upstream, newTimetable(&s.Upstream, w.start, s.Length, rng), stream(seed, "upstream"))
	ctx, stop := context.WithCancel(context.Background())
	for i := range max(1, s.Sidecars) {
		budget := c.New(s.Told, seed*100+uint64(i), w.up)
		g := gate.New(gate.Options{Budget: budget, Capacity: 100_000})
		book, _ := budget.(*quota.Book)
		w.sides = append(w.sides, &side{gate: g, book: book})
		w.work.Go(func() { _ = g.Run(ctx) })
		w.demand(i, seed)
	}
	if f := s.Upstream.Foreign; f > 0 {
		w.poisson(stream(seed, "foreign"), f, func(*rand.Rand) { w.up.hit(hit{model: s.Upstream.models()[0], foreign: true}) })
	}
	time.Sleep(s.Length)
	stop()
	w.work.Wait()
	return w
}

// demand starts the clients of a sidecar.
func (w *world) demand(side int, seed uint64) {
	l := w.Load
	for _, model := range w.Upstream.models() {
		client := func(class priority.Class, agent string) request {
			return request{w: w, side: side, class: class, agent: agent, model: model}
		}
		name := func(what string, n int) string { return fmt.Sprint(what, n, model, side) }
		share := float64(len(w.Upstream.models()))
		urgent, high := client(priority.Urgent, "human"), client(priority.High, "watched")
		w.poisson(stream(seed, name("urgent", 0)), l.Urgent/share, urgent.run)
		w.poisson(stream(seed, name("high", 0)), l.High/share, high.run)
		for a := range l.Agents {
			waiting := l.Normal
			if a == 0 {
				waiting += l.Greedy
			}
			for i := range waiting {
				w.backlog(stream(seed, name("normal", 100*a+i)), client(priority.Normal, fmt.Sprintf("normal%d/%d", a, side)))
			}
			for i := range l.Low {
				w.backlog(stream(seed, name("low", 100*a+i)), client(priority.Low, fmt.Sprintf("low%d/%d", a, side)))
			}
		}
		if l.Burst > 0 {
			w.bursts(stream(seed, name("burst", 0)), client(priority.Normal, "burst"))
		}
	}
}

// aMoment returns a time up to a hundred moments, such as nobody else has.
func aMoment(rng *rand.Rand) time.Duration {
	return moment + time.Duration(rng.Int64N(int64(100*moment)))
}

// poisson starts arrivals at a rate a minute.
func (w *world) poisson(rng *rand.Rand, rate float64, arrive func(*rand.Rand)) {
	if rate == 0 {
		return
	}
	w.work.Go(func() {
		for {
			time.Sleep(time.Duration(rng.ExpFloat64() / rate * float64(time.Minute)))
			if !time.Now().Before(w.end) {
				return
			}
			own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
			w.work.Go(func() { arrive(own) })
		}
	})
}

// backlog starts a client that always has one request waiting.
func (w *world) backlog(rng *rand.Rand, r request) {
	r.turn = aMoment(w.turns)
	w.work.Go(func() {
		for {
			time.Sleep(r.turn)
			if !time.Now().Before(w.end) {
				return
			}
			t := r.enqueue()
			<-t.Decided()
			own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
			next := r
			w.work.Go(func() { next.follow(t, own) })
		}
	})
}

// bursts starts a client that sends many at once.
func (w *world) bursts(rng *rand.Rand, r request) {
	w.work.Go(func() {
		for {
			time.Sleep(w.Load.Every)
			if !time.Now().Before(w.end) {
				return
			}
			for i := range w.Load.Burst {
				own := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
				next := r
				next.turn = time.Duration(i) * moment
				w.work.Go(func() {
					time.Sleep(next.turn)
					next.run(own)
				})
			}
		}
	})
}

// request is one client's request.
type request struct {
	w     *world
	side  int
	class priority.Class
	agent string
	model string
	turn  time.Duration // keeps it apart from others that come at its time
	came  time.Time
}

func (r request) run(rng *rand.Rand) { r.follow(r.enqueue(), rng) }

func (r *request) enqueue() *gate.Ticket {
	r.came = time.Now()
	return r.w.sides[r.side].gate.Enqueue(gate.Request{
		Class: r.class, Agent: r.agent, Claim: quota.Claim{Requests: 1}, Lanes: r.lanes(),
	})
}

func (r *request) lanes() []limit.Scope {
	return []limit.Scope{{Provider: "p", Account: "a", Model: r.model}}
}

// follow goes with a request until it has its answer.
func (r *request) follow(t *gate.Ticket, rng *rand.Rand) {
	w, net := r.w, &r.w.Net
	for {
		<-t.Decided()
		g, _ := t.Result()
		sent := time.Now()
		if g == nil {
			w.waited(wait{r.came, sent.Sub(r.came), r.class})
			return
		}
		w.granted(grant{sent, r.side, r.class, r.agent, r.model})
		time.Sleep(aMoment(rng))
		g.Sent()
		time.Sleep(spread(rng, net.Delay, net.Jitter))
		v := w.up.hit(hit{model: r.model, class: r.class, agent: r.agent})
		if v == accepted {
			time.Sleep(spread(rng, net.Answer, net.Spread))
			w.up.done()
		} else {
			time.Sleep(spread(rng, net.Delay, net.Jitter))
		}
		g.Observe(v.outcome())
		if v != accepted || w.Upstream.InFlight > 0 {
			time.Sleep(moment)
		}
		g.Settle(quota.Use{Written: true})
		if v == accepted || v == failed {
			w.waited(wait{r.came, sent.Sub(r.came), r.class})
			return
		}
		time.Sleep(moment)
		t.Requeue(time.Time{}, r.lanes())
	}
}

// outcome is a verdict as the sidecar reads it.
func (v verdict) outcome() hint.Outcome {
	return [...]hint.Outcome{
		accepted: {Class: hint.OK, Status: 200},
		refused:  {Class: hint.Quota, Status: 429},
		failed:   {Class: hint.UpstreamError, Status: 500},
		busy:     {Class: hint.WorkerExhausted, Status: 503},
	}[v]
}

func spread(rng *rand.Rand, least, mean time.Duration) time.Duration {
	return least + time.Duration(rng.ExpFloat64()*float64(mean))
}

func (w *world) granted(g grant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.grants = append(w.grants, g)
	if s := w.sides[g.side]; s.book != nil {
		s.ceilings.note(g.at, s.book)
	}
}

func (w *world) waited(a wait) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waits = append(w.waits, a)
}
