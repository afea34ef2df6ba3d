package adapt_test

import (
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/mock/limiter"
)

// hint is what an operator gives who believes in 40 a minute.
func hinted() adapt.Terms { return adapt.Terms{Start: 40, Most: 160} }

func TestNothingHoldsBackWhereNothingIsKnown(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{})
	for used := range 500 {
		if at, shut := d.Ready(d.now); shut || at.After(d.now) || d.Cap(true) != adapt.Unknown || d.Free() != adapt.Unknown || d.Interval() != 0 {
			t.Fatalf("after %d accepted: Ready = %v, %t, Cap = %d, Free = %d, Interval = %v; want no bound", used, at, shut, d.Cap(true), d.Free(), d.Interval())
		}
		d.accept(used)
	}
	if d.Known() || d.Long(adapt.Hour, false) != adapt.Unknown || d.Long(adapt.Day, false) != adapt.Unknown {
		t.Errorf("Known() = %t, Long = %d, %d; want nothing known", d.Known(), d.Long(adapt.Hour, false), d.Long(adapt.Day, false))
	}
}

func TestTheFirstRefusalTellsWhatNobodyTold(t *testing.T) {
	t.Parallel()
	d := newDesk(t, adapt.Terms{})
	for used := range 30 {
		d.accept(used)
		d.pass(time.Second)
	}
	d.refuse(30)
	if got := d.Ceiling(); got != 30 {
		t.Errorf("after 30 accepted within a window and one refused: Ceiling() = %d; want 30", got)
	}
}

func TestAWindowOfAnyLengthIsLearned(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		period time.Duration
		limit  string
		want   int
	}{{time.Second, "5-S", 5}, {time.Minute, "40-M", 40}, {time.Hour, "90-H", 90}} {
		w := newWorld(t, adapt.Terms{Period: tt.period, Start: 2 * tt.want}, limited(t, limiter.Sliding, tt.limit, 0))
		w.run(200 * tt.period)
		if got := w.law.Ceiling(); got < tt.want-1-tt.want/10 || got > tt.want+1+tt.want/10 {
			t.Errorf("told twice as much as %s in windows of %v, the ceiling after 200 of them is %d; want about %d", tt.limit, tt.period, got, tt.want)
		}
	}
}

func TestAColdStartClimbsFromTheHintAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), serves)
	w.run(90 * time.Second)
	if got := w.law.Cap(false); got <= 40 {
		t.Errorf("after one window in which all was accepted Cap = %d; want more than the hint", got)
	}
	w.run(8 * time.Minute)
	if got := w.law.Ceiling(); got != 160 {
		t.Errorf("after nine windows in which all was accepted the ceiling is %d; want all of what learning may reach, 160", got)
	}
}

func TestAHintThatIsTooHighCostsLittle(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), limited(t, limiter.Sliding, "15-M", 0))
	w.run(10 * time.Minute)
	if got := w.law.Ceiling(); got < 14 || got > 15 || w.refused > 12 {
		t.Errorf("told 40 of a limit of 15: the ceiling after ten minutes is %d and %d were refused; want 15 and at most 12", got, w.refused)
	}
}

func TestThePromiseIsNeverExceeded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Start: 40, Most: 40}, serves)
	w.run(10 * time.Minute)
	if got := w.rate(time.Hour); got < 39.5 || got > 40 { // 39.67 with the margin; world checks Cap at every step
		t.Errorf("under a promise of 40 %.2f a minute left; want nearly 39.67", got)
	}
	if p := w.law.View().Probes; p != (adapt.Probes{}) {
		t.Errorf("under a promise that is fulfilled %+v probes were made; want none", p)
	}
}

func TestLearningGoesOnBelowThePromise(t *testing.T) {
	t.Parallel()
	w := newWorld(t, adapt.Terms{Start: 40, Most: 40}, limited(t, limiter.Sliding, "20-M", 0))
	w.run(20 * time.Minute)
	if got := w.law.Ceiling(); got < 19 || got > 20 {
		t.Errorf("promised 40 of a limit of 20, the ceiling is %d; want 20", got)
	}
	w.up = serves
	w.run(30 * time.Minute)
	if got := w.law.Ceiling(); got != 40 {
		t.Errorf("half an hour after the limit is gone the ceiling is %d; want the promise", got)
	}
}

// lim never rises without a full window in which work waited.
func TestTheCeilingNeverRisesWithoutWorkThatWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), limited(t, limiter.Sliding, "40-M", 0))
	w.run(20 * time.Minute)
	w.up = serves
	for range 24 * 30 {
		w.idle = true
		w.run(100 * time.Second)
		w.idle = false
		w.run(20 * time.Second)
	}
	if got := w.law.Ceiling(); got > 41 {
		t.Errorf("a day of light work has raised the ceiling to %d; want 40", got)
	}
}

func TestOnlyOneOfAnAccountProbes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	for range 300 {
		d.now = d.now.Add(5 * time.Second)
		d.Held(d.now, true)
		d.Advance(d.now, false)
		d.accept(38)
		if d.Probing() || d.Cap(true) != d.Cap(false) {
			t.Fatal("a probe began though another law of the account is probing; want none")
		}
	}
	d.probing() // and then it does
}

func TestATrialGoesBeforeTheCarefulWindow(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.probing()
	if d.Cap(false) != 40 || d.Cap(true) != 41 {
		t.Fatalf("Cap = %d, for what may probe %d; want 40 and 41", d.Cap(false), d.Cap(true))
	}
	if below := d.send(30); d.Tests(below) || d.Cap(true) != 41 {
		t.Errorf("an attempt beside 30 charges counts as the trial (%t), Cap = %d; want it to be no test", d.Tests(below), d.Cap(true))
	}
	trial := d.send(40)
	if !d.Tests(trial) || d.Cap(true) != 40 || d.Cap(false) != 40 {
		t.Errorf("with the trial out (Tests: %t) Cap = %d, %d; want true, 40, 40", d.Tests(trial), d.Cap(true), d.Cap(false))
	}
	d.Accepted(d.now, trial)
	if d.Cap(false) != 41 || d.Ceiling() != 40 {
		t.Errorf("with the trial accepted Cap = %d, Ceiling = %d; want 41 for all, and 40 still", d.Cap(false), d.Ceiling())
	}
}

func TestARefusedTrialConfirmsTheCeiling(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.probing()
	before := d.View()
	d.refuse(40)
	after := d.View()
	if after.Ceiling != 40 || after.Cap != 40 || after.State != adapt.Normal || after.Probes.Confirmed != before.Probes.Confirmed+1 {
		t.Errorf("after a refused trial %+v; want NORMAL, 40 and one more probe that confirmed", after)
	}
	if cost := before.Credit - after.Credit; cost < 0.99 || cost > 1 {
		t.Errorf("it cost %.3f of the credit; want 1", cost)
	}
}

func TestATrialWithoutAVerdictIsMadeAgain(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.probing()
	before := d.View()
	d.Void(d.now, d.send(40))
	if after := d.View(); d.Cap(true) != 41 || after.Credit < before.Credit || after.Ceiling != 40 {
		t.Errorf("after a trial that ended in a fault Cap = %d, View() = %+v; want 41 again at no cost", d.Cap(true), after)
	}
}

func TestAProbeThatNobodyNeedsEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.probing()
	d.pass(5 * time.Minute)
	if v := d.View(); d.Probing() || v.Ceiling != 40 || v.Probes.Raised != 0 {
		t.Errorf("five minutes later without work: probing %t, %+v; want neither a probe nor a change", d.Probing(), v)
	}
}

func TestTwoCarefulWindowsBeginAClimb(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), limited(t, limiter.Sliding, "40-M", 0))
	w.run(30 * time.Minute)
	w.up = serves
	raised, ceilings := w.law.View().Probes.Raised, []int{w.law.Ceiling()}
	for i := 0; w.law.View().Phase != "climb"; i++ {
		if w.run(time.Second); i > 1800 {
			t.Fatalf("no climb began within half an hour: %+v", w.law.View())
		}
		if n := w.law.Ceiling(); n != ceilings[len(ceilings)-1] {
			ceilings = append(ceilings, n)
		}
	}
	if got := w.law.View().Probes.Raised - raised; got != 2 || len(ceilings) != 3 {
		t.Errorf("a climb began after %d careful windows, the ceilings being %v; want 2, each of them raising it", got, ceilings)
	}
	if step := ceilings[1] - ceilings[0]; step != 1 {
		t.Errorf("the first careful window raised %v; want one step of 3 %%, which is 1", ceilings)
	}
	w.run(6 * time.Minute)
	if got := w.law.Ceiling(); got != 160 {
		t.Errorf("six minutes later the ceiling is %d; want 160", got)
	}
}

func TestAClimbEndsWithTheWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), serves)
	w.run(2 * time.Minute)
	if w.law.View().Phase != "climb" {
		t.Fatalf("after two minutes %+v; want a climb", w.law.View())
	}
	w.idle = true
	w.run(5 * time.Minute)
	w.law.Advance(w.now, true)
	if v := w.law.View(); v.Phase != "steady" || v.Ceiling < 40 || v.Ceiling > 100 {
		t.Errorf("five minutes after the work has ended %+v; want it steady, at what was reached", v)
	}
}

func TestARefusedClimbEndsAtWhatWasAccepted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), limited(t, limiter.Sliding, "73-M", 0))
	w.run(15 * time.Minute)
	if got := w.law.Ceiling(); got < 71 || got > 75 {
		t.Errorf("15 minutes after a cold start against 73-M the ceiling is %d; want it near 73", got)
	}
	if w.worstRow > 3 {
		t.Errorf("%d were refused in a row; want at most 3", w.worstRow)
	}
}

// A probe costs one credit, and an attempt earns 0.006 of one.
func TestProbesArePaidByAttempts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), limited(t, limiter.Sliding, "40-M", 0))
	w.run(time.Hour)
	probes, sends := w.law.View().Probes, w.sends
	w.run(8 * time.Hour)
	after := w.law.View().Probes
	made, attempts := after.Confirmed+after.Raised-probes.Confirmed-probes.Raised, w.sends-sends
	if most := 0.006*float64(attempts) + 2; float64(made) > most || float64(made) < 0.8*most {
		t.Errorf("%d attempts paid for %d probes; want nearly %.0f", attempts, made, most)
	}
}

func TestRareAttemptsEarnByTheHour(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.probing()
	d.refuse(40)
	before := d.View().Credit
	for range 6 {
		d.pass(10 * time.Minute)
		d.accept(0)
	}
	if earned := d.View().Credit - before; earned < 0.99 {
		t.Errorf("six attempts in an hour earned %.2f; want 1", earned)
	}
}

func TestCreditKeepsItsBounds(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	for used := range 2000 {
		d.accept(used % 38)
		d.pass(1600 * time.Millisecond)
	}
	if got := d.View().Credit; got != 2 {
		t.Errorf("after 2,000 attempts without a probe the credit is %v; want 2", got)
	}
	for range 200 {
		d.refuse(10)
		d.pass(2 * time.Minute)
	}
	if got := d.View().Credit; got < -2 || got > 0 {
		t.Errorf("after 200 refusals the credit is %v; want it within −2 and 0", got)
	}
}

func TestAnIsolatedRefusalIsTolerated(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.pass(5 * time.Minute)
	for used := range 35 {
		d.accept(used)
		d.pass(1500 * time.Millisecond)
	}
	d.refuse(35)
	if d.Ceiling() != 40 || d.State() != adapt.Normal {
		t.Errorf("after one refusal beside 35 charges: %v at %d; want NORMAL at 40", d.State(), d.Ceiling())
	}
	d.pass(2 * time.Second)
	d.accept(35)
	d.pass(1600 * time.Millisecond)
	d.refuse(36)
	if d.Ceiling() >= 40 || d.State() != adapt.Normal {
		t.Errorf("after a second one in the same window: %v at %d; want NORMAL below 40", d.State(), d.Ceiling())
	}
}

func TestARefusalPausesForOnePace(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		terms := hinted()
		terms.Seed = seed
		d := newDesk(t, terms)
		d.settle(40)
		for used := range 39 {
			d.accept(used)
			d.pass(1500 * time.Millisecond)
		}
		d.refuse(39)
		at, shut := d.Ready(d.now)
		if wait, pace := at.Sub(d.now), d.Interval(); shut || wait < pace*9/10 || wait > pace*11/10 {
			t.Errorf("seed %d: after a refusal nothing leaves for %v (shut: %t); want %v, give or take a tenth", seed, wait, shut, pace)
		}
	}
}

func TestTheUpstreamIsTakenAtItsWordWhenItAsksToWait(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.pass(2 * time.Minute)
	stale := d.send(20)
	d.pass(3 * time.Second)
	d.Refused(d.now, d.send(39), 20*time.Second)
	if at, _ := d.Ready(d.now); at.Sub(d.now) != 20*time.Second {
		t.Errorf("asked for 20 s, Ready is in %v", at.Sub(d.now))
	}
	d.Refused(d.now, stale, 30*time.Second) // it left before, but what it says of the time holds
	if at, _ := d.Ready(d.now); at.Sub(d.now) != 30*time.Second {
		t.Errorf("asked for 30 s by a straggler, Ready is in %v", at.Sub(d.now))
	}
	d.Pause(d.now, d.now.Add(10*time.Second))
	if at, _ := d.Ready(d.now); at.Sub(d.now) != 30*time.Second {
		t.Errorf("a pause of 10 s made Ready %v; want the longer one", at.Sub(d.now))
	}
}

// What was in the air together is one event, however much of it was refused.
func TestABlockOfRefusalsIsOneEvent(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.pass(2 * time.Minute)
	for used := range 30 {
		d.accept(used)
		d.pass(1500 * time.Millisecond)
	}
	var air []adapt.Tag
	for used := 30; used < 40; used++ {
		air = append(air, d.send(used))
		d.pass(10 * time.Millisecond)
	}
	d.Refused(d.now, air[0], 0)
	ceiling, state := d.Ceiling(), d.State()
	for _, tag := range air[1:] {
		d.Refused(d.now, tag, 0)
	}
	if d.Ceiling() != ceiling || d.State() != state || state != adapt.Normal {
		t.Errorf("after nine stragglers: %v at %d; want %v at %d as after the first", d.State(), d.Ceiling(), state, ceiling)
	}
}

func TestASuccessOfBeforeARefusalProvesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	d.pass(2 * time.Minute)
	early := d.send(20)
	d.refuse(39)
	d.pass(2 * time.Second)
	d.Accepted(d.now, early)
	d.refuse(38)
	if d.State() != adapt.Retreat {
		t.Errorf("two refusals with only a success of before them in between: %v; want RETREAT", d.State())
	}
}

func TestAFaultChangesNothing(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	d.settle(40)
	want := d.View()
	for used := range 30 {
		d.Void(d.now, d.send(used))
		d.pass(time.Second)
	}
	got := d.View()
	if got.Credit = want.Credit; got != want {
		t.Errorf("after 30 faults View() = %+v; want %+v", got, want)
	}
}

func TestFullnessComparesWithTheCeilingOrTheFullestWindow(t *testing.T) {
	t.Parallel()
	d := newDesk(t, hinted())
	if got := d.Fullness(d.send(30)); got != 0.75 {
		t.Errorf("Fullness beside 30 of 40 = %v; want 0.75", got)
	}
	d = newDesk(t, adapt.Terms{})
	d.accept(20)
	if got := d.Fullness(d.send(10)); got != 0.5 {
		t.Errorf("Fullness beside 10 where 20 were accepted = %v; want 0.5", got)
	}
}

func TestAFallIsFollowedByOneProbeForFree(t *testing.T) {
	t.Parallel()
	w := newWorld(t, hinted(), limited(t, limiter.Sliding, "40-M", 0))
	w.run(30 * time.Minute)
	w.up = limited(t, limiter.Sliding, "20-M", 0)
	w.run(3 * time.Minute)
	before := w.law.View()
	if before.Ceiling > 21 || before.Credit > 0.5 {
		t.Fatalf("three minutes after a step to 20: %+v; want 20 and little credit", before)
	}
	w.run(4 * time.Minute)
	if after := w.law.View(); after.Probes == before.Probes && after.State == adapt.Normal {
		t.Errorf("four minutes later %+v; want a probe that nobody paid for", after)
	}
}

func TestSeedsSpreadPausesAndNothingElse(t *testing.T) {
	t.Parallel()
	pause := func(seed uint64) time.Duration {
		terms := hinted()
		terms.Seed = seed
		d := newDesk(t, terms)
		d.settle(40)
		d.refuse(39)
		at, _ := d.Ready(d.now)
		return at.Sub(d.now)
	}
	if a, b := pause(1), pause(1); a != b {
		t.Errorf("the same seed pauses %v and %v; want the same", a, b)
	}
	if a, b := pause(1), pause(2); a == b {
		t.Errorf("seeds 1 and 2 both pause %v; want different times", a)
	}
}
