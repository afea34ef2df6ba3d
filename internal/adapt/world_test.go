package adapt_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
	"nimsidecar/internal/pace"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// verdict is what an upstream does with one attempt.
type verdict uint8

const (
	accepted verdict = iota
	refused
	void // a fault that says nothing of any limit
)

// answer is a verdict, and how long the upstream asks to wait.
type answer struct {
	verdict verdict
	wait    time.Duration
}

// upstream answers attempts; they come in order of time.
type upstream func(at time.Time) answer

// limited is an upstream that has a limit.
func limited(tb testing.TB, kind limiter.Kind, rates string, burst int) upstream {
	tb.Helper()
	list, err := limiter.ParseRates(rates)
	if err != nil {
		tb.Fatal(err)
	}
	l, err := limiter.New(limiter.Options{Kind: kind, Rates: list, Burst: burst})
	if err != nil {
		tb.Fatal(err)
	}
	return func(at time.Time) answer {
		if l.Hit(at) {
			return answer{verdict: accepted}
		}
		return answer{verdict: refused}
	}
}

// serves accepts everything, refuses refuses everything.
func serves(time.Time) answer  { return answer{verdict: accepted} }
func refuses(time.Time) answer { return answer{verdict: refused} }

// every refuses every n-th attempt.
func every(n int) upstream {
	i := 0
	return func(time.Time) answer {
		if i++; i%n == 0 {
			return answer{verdict: refused}
		}
		return answer{verdict: accepted}
	}
}

// flight is an attempt on its way.
type flight struct {
	due   time.Time // when the next thing happens to it
	there bool      // the upstream has seen it
	tag   adapt.Tag
	say   answer

	epoch  int  // refusals that were news when it left
	canary bool // it left in RETREAT
}

// world is a law, a sender with an endless backlog that keeps to it as the ledger of a scope does, and an upstream.
type world struct {
	tb  testing.TB
	law *adapt.Law
	now time.Time
	up  upstream
	rng *rand.Rand

	idle bool // nothing is there to be sent

	log    *pace.Window
	longs  [adapt.LongCount]*pace.Window
	bucket pace.Spacing
	even   time.Time
	air    []flight

	epoch    int // as the contract defines it, counted anew
	sends    int
	refused  int
	accepted int
	row      int // refused in a row, as they came back
	worstRow int
	most     int // the promise; 0 = none
	canaries struct{ out, passed int }
	changes  []adapt.Change
	digest   uint64 // of all decisions
}

func newWorld(tb testing.TB, terms adapt.Terms, up upstream) *world {
	if terms.Period == 0 {
		terms.Period = time.Minute
	}
	if terms.Margin == 0 {
		terms.Margin = pace.Margin(terms.Period)
	}
	w := &world{
		tb: tb, law: adapt.New(terms), now: start, up: up, rng: rand.New(rand.NewPCG(terms.Seed, 7)), most: terms.Most,
		log: pace.NewWindow(terms.Period, terms.Margin, terms.Period/6000),
	}
	for i, period := range [adapt.LongCount]time.Duration{time.Hour, 24 * time.Hour} {
		w.longs[i] = pace.NewWindow(period, pace.Margin(period), period/240)
	}
	return w
}

// load is how full the windows are.
func (w *world) load() (l adapt.Load) {
	l.Window = w.log.Used(w.now)
	for i, log := range w.longs {
		l.Long[i] = log.Used(w.now)
	}
	return l
}

// next is the earliest time at which an attempt may leave; ok is false when only a verdict will tell.
func (w *world) next() (at time.Time, ok bool) {
	w.law.Advance(w.now, true)
	at, shut := w.law.Ready(w.now)
	if shut {
		return at, false
	}
	n := w.law.Cap(true)
	held := false
	if n != adapt.Unknown {
		own := later(w.bucket.Next(w.now), must(w.log.Next(w.now, n)))
		if w.log.Used(w.now) >= w.law.Free() {
			own = later(own, w.even)
		}
		held = own.After(w.now) && !own.Before(at)
		at = later(at, own)
	}
	for i, log := range w.longs {
		if n := w.law.Long(i, true); n != adapt.Unknown {
			if next := must(log.Next(w.now, n)); next.After(at) {
				at, held = next, false
				w.law.HeldLong(w.now, i)
			}
		}
	}
	if held {
		w.law.Held(w.now, w.log.Used(w.now) >= n-n/10-1)
	}
	return at, true
}

func must(at time.Time, _ bool) time.Time { return at } // nothing is open here, so time alone brings the next

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// send lets one leave.
func (w *world) send() {
	tag := w.law.Sent(w.now, w.load())
	w.log.Reserve(w.now)
	w.log.Sent(w.now)
	for _, log := range w.longs {
		log.Reserve(w.now)
		log.Sent(w.now)
	}
	if n := w.law.Cap(true); n != adapt.Unknown {
		w.bucket.Pace(w.law.Interval(), w.law.Burst())
		w.bucket.Reserve(w.now)
		w.even = w.now.Add(time.Duration(float64(w.log.Gap(w.now, n)) / w.law.Hasten(w.log.Used(w.now))))
	}
	w.sends++
	canary := w.law.State() == adapt.Retreat
	if canary {
		w.canaries.out++
	}
	delay := 40*time.Millisecond + time.Duration(w.rng.ExpFloat64()*float64(30*time.Millisecond))
	w.air = append(w.air, flight{due: w.now.Add(delay), tag: tag, epoch: w.epoch, canary: canary})
}

// land lets the upstream see the i-th attempt in the air, or tells the law its verdict.
func (w *world) land(i int) {
	f := w.air[i]
	if !f.there {
		f.there, f.say = true, w.up(w.now)
		f.due = w.now.Add(40 * time.Millisecond)
		if f.say.verdict == accepted {
			f.due = w.now.Add(200*time.Millisecond + time.Duration(w.rng.ExpFloat64()*float64(500*time.Millisecond)))
		}
		w.air[i] = f
		return
	}
	w.air = slices.Delete(w.air, i, i+1)
	w.tell(f)
}

// tell tells the law a verdict.
func (w *world) tell(f flight) {
	before, state := w.law.Ceiling(), w.law.State()
	news := f.epoch == w.epoch
	if f.canary && news {
		w.canaries.out--
	}
	switch f.say.verdict {
	case accepted:
		w.accepted++
		w.row = 0
		w.law.Accepted(w.now, f.tag)
		if f.canary && news {
			w.canaries.passed++
		}
	case refused:
		w.refused++
		w.row++
		w.worstRow = max(w.worstRow, w.row)
		w.law.Refused(w.now, f.tag, f.say.wait)
		if news {
			w.epoch++
			w.canaries.out, w.canaries.passed = 0, 0
		} else if after := w.law.Ceiling(); after < before || w.law.State() != state {
			w.tb.Fatalf("%v: the refusal of an attempt of an old epoch made %v %d of %v %d; want no change",
				w.age(), w.law.State(), after, state, before)
		}
	case void:
		w.law.Void(w.now, f.tag)
	}
	if w.law.State() != adapt.Retreat {
		w.canaries.out, w.canaries.passed = 0, 0
	}
}

func (w *world) age() time.Duration { return w.now.Sub(start) }

// check tests what must hold at any time.
func (w *world) check() {
	ceiling, most := w.law.Ceiling(), w.most
	if most == 0 {
		most = adapt.Unknown
	}
	for _, probe := range []bool{false, true} {
		if n := w.law.Cap(probe); n < 1 || n > most && n != adapt.Unknown {
			w.tb.Fatalf("%v: Cap(%t) = %d; want it within 1 and %d", w.age(), probe, n, most)
		}
		for i := range adapt.LongCount {
			if n := w.law.Long(i, probe); n < 1 {
				w.tb.Fatalf("%v: Long(%d, %t) = %d; want at least 1", w.age(), i, probe, n)
			}
		}
	}
	if ceiling < 1 || ceiling > most && ceiling != adapt.Unknown {
		w.tb.Fatalf("%v: Ceiling() = %d; want it within 1 and %d", w.age(), ceiling, most)
	}
	if d := w.law.Interval(); d < 0 || d > 3*time.Minute {
		w.tb.Fatalf("%v: Interval() = %v; want it positive and no more than a window and its strain", w.age(), d)
	}
	if w.law.Burst() < 1 || w.law.Free() < 1 {
		w.tb.Fatalf("%v: Burst() = %d, Free() = %d; want at least 1", w.age(), w.law.Burst(), w.law.Free())
	}
	if w.law.State() == adapt.Retreat {
		out := 1
		if w.canaries.passed > 0 {
			out = 3
		}
		if w.canaries.out > out {
			w.tb.Fatalf("%v: %d canaries are out after %d have passed; want at most %d", w.age(), w.canaries.out, w.canaries.passed, out)
		}
	}
	w.digest = w.digest*1099511628211 ^ uint64(ceiling) ^ uint64(w.now.UnixNano())<<1 ^ uint64(w.law.State())
}

// patience is how often a sender asks again although nothing has happened.
const patience = 10 * time.Second

// crowd is how many may be on their way at once: a backlog is endless, but no client is.
const crowd = 32

// run lets time pass.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		at := w.now.Add(patience)
		if !w.idle {
			next, ok := w.next()
			ok = ok && len(w.air) < crowd
			if ok && !next.After(w.now) {
				w.send()
				w.check()
				continue
			}
			if ok && next.Before(at) {
				at = next
			}
		}
		first := -1
		for i, f := range w.air {
			if !f.due.After(at) && (first < 0 || f.due.Before(w.air[first].due)) {
				first = i
			}
		}
		if first >= 0 {
			at = w.air[first].due
		}
		if at.After(end) {
			w.now = end
			break
		}
		w.now = at
		if first >= 0 {
			w.land(first)
		}
		w.changes = append(w.changes, w.law.Changes()...)
		w.check()
	}
}

// rate runs for a while and returns what is accepted in a minute.
func (w *world) rate(d time.Duration) float64 {
	before := w.accepted
	w.run(d)
	return float64(w.accepted-before) / d.Minutes()
}
