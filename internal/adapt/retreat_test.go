package adapt_test

import (
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
)

// retreated returns a desk in RETREAT: 40 are confirmed, and two attempts in a row are refused beside so many charges.
func retreated(t *testing.T, used int) *desk {
	t.Helper()
	d := newDesk(t, hinted())
	d.settle(40)
	d.pass(5 * time.Minute)
	for used := range used {
		d.accept(used)
		d.pass(1500 * time.Millisecond)
	}
	d.refuse(used)
	d.pass(2 * time.Second)
	if d.State() != adapt.Normal {
		t.Fatalf("after one refusal: %v; want NORMAL", d.State())
	}
	d.refuse(used)
	if d.State() != adapt.Retreat {
		t.Fatalf("after two refusals in a row: %v; want RETREAT", d.State())
	}
	return d
}

// ready lets time pass until something may leave.
func (d *desk) ready() {
	d.Helper()
	at, shut := d.Ready(d.now)
	if shut {
		d.Fatal("nothing may leave before a verdict; want a time")
	}
	d.pass(max(0, at.Sub(d.now)))
}

func TestASuccessInBetweenPreventsARetreat(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	for range 30 {
		d.pass(2 * time.Minute)
		d.refuse(39)
		d.pass(2 * time.Second)
		d.accept(20)
	}
	if d.State() != adapt.Normal {
		t.Errorf("after 30 refusals, each followed by a success: %v; want NORMAL", d.State())
	}
}

func TestARetreatSendsOneCanaryAtATime(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*desk, adapt.Tag){
		"refused": func(d *desk, tag adapt.Tag) { d.Refused(d.now, tag, 0) },
		"void":    func(d *desk, tag adapt.Tag) { d.Void(d.now, tag) },
	} {
		d := retreated(t, 38)
		d.ready()
		canary := d.send(10)
		if !d.Tests(canary) {
			t.Errorf("%s: what leaves in RETREAT is no test; want a canary", name)
		}
		if _, shut := d.Ready(d.now.Add(time.Hour)); !shut {
			t.Errorf("%s: with a canary out another may leave; want none before its verdict", name)
		}
		end(d, canary)
		if _, shut := d.Ready(d.now); shut {
			t.Errorf("%s: after the canary's verdict nothing may ever leave; want the next one", name)
		}
	}
}

func TestARetreatWaitsUntilTheWindowHasDrained(t *testing.T) {
	t.Parallel()
	d := retreated(t, 38)
	if got := d.Cap(true); got < 1 || got > 38 {
		t.Errorf("after refusals beside 38 charges Cap = %d; want fewer than were there", got)
	}
	if got := d.Ceiling(); got < 10 {
		t.Errorf("the ceiling in RETREAT is %d; want at least a quarter of 40", got)
	}
}

func TestACanaryThatPassesEndsARetreat(t *testing.T) {
	t.Parallel()
	d := retreated(t, 38)
	d.ready()
	d.accept(d.Cap(true) - 1)
	if d.State() != adapt.Recover {
		t.Errorf("after a canary has passed beside a window half full: %v; want RECOVER", d.State())
	}
}

// With the window nearly empty those that pass may be the ones that leak through an exhausted longer one, one for each pod.
func TestAnEmptyWindowNeedsEightCanariesToEndARetreat(t *testing.T) {
	t.Parallel()
	d := retreated(t, 3)
	for passed := range 8 {
		if d.State() != adapt.Retreat {
			t.Fatalf("after %d canaries have passed in an empty window: %v; want RETREAT until 8 have", passed, d.State())
		}
		d.ready()
		d.accept(passed)
		d.pass(time.Second)
	}
	if d.State() != adapt.Recover {
		t.Errorf("after 8: %v; want RECOVER", d.State())
	}
}

func TestThreeCanariesAtATimeOnceOneHasPassed(t *testing.T) {
	t.Parallel()
	d := retreated(t, 3)
	d.ready()
	d.accept(0)
	for out := range 3 {
		at, shut := d.Ready(d.now)
		if shut {
			t.Fatalf("with %d canaries out no other may leave; want three", out)
		}
		d.pass(max(0, at.Sub(d.now)))
		d.send(1 + out)
	}
	if _, shut := d.Ready(d.now.Add(time.Hour)); !shut {
		t.Error("with three canaries out a fourth may leave; want none")
	}
}

func TestTheLoadFallsFromCanaryToCanary(t *testing.T) {
	t.Parallel()
	d := retreated(t, 38)
	var caps []int
	for range 3 {
		caps = append(caps, d.Cap(true))
		d.ready()
		d.refuse(d.Cap(true) - 1)
	}
	if caps[0] <= caps[1] || caps[1] <= caps[2] || caps[2] < 1 {
		t.Errorf("canary after canary leaves beside %v; want fewer each time", caps)
	}
	if v := d.View(); v.Suspect != time.Hour || !v.Until.After(d.now) {
		t.Errorf("refused beside an empty window: suspects %v until %v; want an hour, which ends later", v.Suspect, v.Until)
	}
}

// outage returns when canaries left while everything was refused for so long, since it began.
func outage(t *testing.T, length time.Duration) (w *world, canaries []time.Duration) {
	w, truth := known(t, 1)
	began := w.now
	w.up = func(at time.Time) answer {
		canaries = append(canaries, at.Sub(began))
		return answer{verdict: refused}
	}
	w.run(length)
	w.up = truth
	return w, canaries
}

func TestProbesInAnOutageBecomeRare(t *testing.T) {
	t.Parallel()
	w, canaries := outage(t, 12*time.Hour)
	if most := 24; len(canaries) > most {
		t.Errorf("in 12 hours %d attempts were refused; want at most %d", len(canaries), most)
	}
	for i := 1; i < len(canaries); i++ {
		if gap := canaries[i] - canaries[i-1]; gap > time.Hour+2*time.Second {
			t.Errorf("the canaries at %v and %v are %v apart; want at most an hour", canaries[i-1], canaries[i], gap)
		}
	}
	if v := w.law.View(); v.Suspect != 24*time.Hour {
		t.Errorf("after an hour's window and more was refused the law suspects %v; want a day", v.Suspect)
	}
}

func TestAShortOutageIsSoonOver(t *testing.T) {
	t.Parallel()
	w, canaries := outage(t, 3*time.Minute)
	if len(canaries) > 6 {
		t.Errorf("in three minutes %d attempts were refused, at %v; want at most 6", len(canaries), canaries)
	}
	w.run(15 * time.Minute)
	if got := w.rate(10 * time.Minute); got < 38.5 {
		t.Errorf("a quarter of an hour later %.1f a minute are accepted; want 39", got)
	}
}

func TestARetreatForgetsNoMoreThanItMust(t *testing.T) {
	t.Parallel()
	w, _ := outage(t, 10*time.Second)
	w.run(10 * time.Minute)
	if got := w.law.Ceiling(); got < 38 {
		t.Errorf("ten minutes after all was refused for ten seconds the ceiling is %d; want 40", got)
	}
}

func TestAStepDownIsFoundWithFewRefusals(t *testing.T) {
	t.Parallel()
	for _, kind := range []limiter.Kind{limiter.Sliding, limiter.FirstHit, limiter.Minute, limiter.Bucket} {
		for seed := range uint64(4) {
			terms := hinted()
			terms.Seed = seed
			w := newWorld(t, terms, limited(t, kind, "40-M", 10))
			w.run(30*time.Minute + time.Duration(seed)*13*time.Second)
			refused := w.refused
			w.worstRow, w.row = 0, 0
			w.up = limited(t, kind, "20-M", 10)
			w.run(2 * time.Minute)
			if got := w.refused - refused; got > 10 || w.worstRow > 6 {
				t.Errorf("%s, seed %d: a step from 40 to 20 cost %d refusals, %d in a row; want at most 10 and 6", kind, seed, got, w.worstRow)
			}
			w.run(3 * time.Minute)
			if got := w.rate(5 * time.Minute); got < 0.9*20 {
				t.Errorf("%s, seed %d: five minutes later %.1f a minute are accepted; want nearly 20", kind, seed, got)
			}
		}
	}
}

// The steps of the state in an episode are those of the table, and no others.
func TestStatesFollowTheTable(t *testing.T) {
	t.Parallel()
	table := adapt.Transitions()
	seen := map[adapt.Transition]bool{}
	for seed := range uint64(30) {
		w, _ := known(t, seed)
		w.changes = nil
		w.play(script(seed))
		state := adapt.Normal
		for _, c := range append(w.changes, w.law.Changes()...) {
			step := adapt.Transition{From: c.From, To: c.To, Why: c.Why}
			if c.From != state || !slices.Contains(table, step) {
				t.Fatalf("seed %d: %+v after %v; want a line of the table from there", seed, c, state)
			}
			seen[step], state = true, c.To
			if c.Ceiling < 1 || c.Before < 1 || c.Refusals < 0 || c.To == adapt.Retreat && c.Refusals < 2 {
				t.Errorf("seed %d: %+v; want the figures of the change", seed, c)
			}
		}
		if w.law.State() != state {
			t.Errorf("seed %d: State() = %v, the last change led to %v", seed, w.law.State(), state)
		}
	}
	for _, step := range table {
		if !seen[step] {
			t.Errorf("%v → %v (%s) was never seen; want every line of the table to occur", step.From, step.To, step.Why)
		}
	}
}

func TestChangesAreToldOnce(t *testing.T) {
	t.Parallel()
	d := retreated(t, 38)
	if got := d.Changes(); len(got) != 1 || got[0].From != adapt.Normal || got[0].To != adapt.Retreat || got[0].Before < 35 || got[0].Refusals != 2 {
		t.Errorf("Changes() = %+v; want NORMAL → RETREAT from about 40 after 2 refusals", got)
	}
	if got := d.Changes(); got != nil {
		t.Errorf("Changes() again = %+v; want none", got)
	}
}

func TestStatesHaveTheNamesOfTheFirstVersion(t *testing.T) {
	t.Parallel()
	for state, want := range map[adapt.State]string{adapt.Normal: "NORMAL", adapt.Retreat: "RETREAT", adapt.Recover: "RECOVER", adapt.StateCount: "UNKNOWN"} {
		if got := state.String(); got != want {
			t.Errorf("State(%d).String() = %q; want %q", state, got, want)
		}
	}
	if adapt.Normal != 0 || adapt.Retreat != 1 || adapt.Recover != 2 {
		t.Error("the numbers of the states are not those of sidecar_retreat_state: 0, 1, 2")
	}
}
