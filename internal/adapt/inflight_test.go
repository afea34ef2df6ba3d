package adapt_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
)

// pool is workers, and the law of how many run on them. Requests that wait come at once, endlessly.
type pool struct {
	law     adapt.InFlight
	now     time.Time
	workers int
	ends    []ending // of what runs
	busy    int
	taken   int
	rng     *rand.Rand
}

type ending struct {
	at   time.Time
	with int
}

// run sends whenever that is allowed; a request takes a minute on average.
func (p *pool) run(d time.Duration) {
	for end := p.now.Add(d); p.now.Before(end); p.now = p.now.Add(100 * time.Millisecond) {
		kept := p.ends[:0]
		for _, e := range p.ends {
			if e.at.After(p.now) {
				kept = append(kept, e)
				continue
			}
			p.law.Accepted(e.with)
			p.law.Done()
		}
		p.ends = kept
		if at, shut := p.law.Ready(p.now); shut || at.After(p.now) {
			continue
		}
		if with := p.law.Start(); len(p.ends) >= p.workers {
			p.busy++
			p.law.Busy(p.now, with)
			p.law.Done()
		} else {
			p.taken++
			p.ends = append(p.ends, ending{p.now.Add(time.Duration(p.rng.ExpFloat64() * float64(time.Minute))), with})
		}
	}
}

func newPool(workers int) *pool {
	return &pool{now: start, workers: workers, rng: rand.New(rand.NewPCG(1, 17))}
}

func TestWorkersAreUnboundedUntilTheyAreBusy(t *testing.T) {
	t.Parallel()
	var f adapt.InFlight
	for range 1000 {
		f.Start()
		if at, shut := f.Ready(start); shut || at.After(start) || f.Ceiling() != adapt.Unknown {
			t.Fatalf("with %d running: Ready = %v, %t, Ceiling = %d; want no bound", f.Running(), at, shut, f.Ceiling())
		}
	}
}

func TestBusyWorkersBoundWhatRuns(t *testing.T) {
	t.Parallel()
	var f adapt.InFlight
	for range 16 {
		f.Start()
	}
	f.Busy(start, f.Start())
	f.Done()
	if f.Ceiling() != 16 || f.Running() != 16 {
		t.Errorf("busy beside 16: Ceiling = %d, Running = %d; want 16 and 16", f.Ceiling(), f.Running())
	}
	if at, _ := f.Ready(start); !at.Equal(start.Add(time.Second)) {
		t.Errorf("after busy workers Ready = %v; want a second later", at.Sub(start))
	}
	if _, shut := f.Ready(start.Add(time.Minute)); !shut {
		t.Error("with 16 running another may start by time alone; want it to wait for one that ends")
	}
	f.Done()
	if at, shut := f.Ready(start.Add(time.Minute)); shut || at.After(start.Add(time.Minute)) {
		t.Error("with 15 running none may start; want one")
	}
}

func TestTheCeilingOfWorkersIsAtLeastOne(t *testing.T) {
	t.Parallel()
	var f adapt.InFlight
	for range 50 {
		f.Busy(start, f.Start())
		f.Done()
	}
	if f.Ceiling() != 1 {
		t.Errorf("busy again and again with one running: Ceiling = %d; want 1", f.Ceiling())
	}
	if at, shut := f.Ready(start.Add(2 * time.Second)); shut || at.After(start.Add(2*time.Second)) {
		t.Error("with none running none may start; want one")
	}
}

func TestTheWorkersAreKeptBusyWithinTheBudget(t *testing.T) {
	t.Parallel()
	p := newPool(16)
	p.run(time.Hour)
	busy, taken := p.busy, p.taken
	p.run(10 * time.Hour)
	if busy, taken = p.busy-busy, p.taken-taken; float64(busy) > 0.01*float64(taken)+3 || taken < 9000 {
		t.Errorf("in ten hours of 16 workers %d requests of a minute were taken and %d found them busy; want nearly 9600 and 1 %%", taken, busy)
	}
}

func TestMoreWorkersAreFound(t *testing.T) {
	t.Parallel()
	p := newPool(16)
	p.run(time.Hour)
	p.workers = 24
	p.run(2 * time.Hour)
	if got := p.law.Running(); got < 23 {
		t.Errorf("two hours after there are 24 workers %d run; want 24", got)
	}
}

func TestAQuietCeilingOfWorkersDissolves(t *testing.T) {
	t.Parallel()
	var f adapt.InFlight
	f.Start()
	f.Busy(start, f.Start())
	f.Done()
	if f.Idle(start) {
		t.Error("Idle with one running; want false")
	}
	f.Done()
	if f.Idle(start.Add(time.Minute)) {
		t.Error("Idle a minute after workers were busy; want false: it would be forgotten")
	}
	late := start.Add(31 * time.Minute)
	if !f.Idle(late) {
		t.Error("not Idle half an hour later; want true")
	}
	f.Ready(late)
	if f.Ceiling() != adapt.Unknown {
		t.Errorf("Ceiling half an hour later = %d; want none", f.Ceiling())
	}
}
