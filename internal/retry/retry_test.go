package retry

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"nimsidecar/internal/hint"
)

var now = time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)

// first is the first attempt of a request with ten minutes left, whose outcome has class c.
func first(c hint.Class) Input {
	return Input{
		Outcome: hint.Outcome{Class: c}, Attempts: 1, SameClass: 1, Now: now, Deadline: now.Add(10 * time.Minute), Written: true, Random: 0.5,
	}
}

// in returns the decision to repeat after d.
func in(d time.Duration) Decision { return Decision{Action: Again, At: now.Add(d)} }

func TestEveryClassHasItsRule(t *testing.T) {
	t.Parallel()
	atOnce, pass := Decision{Action: Again}, Decision{Action: Pass}
	want := map[hint.Class]Decision{
		hint.OK:              pass,
		hint.Quota:           atOnce, // as soon as the ledgers allow
		hint.QueueFull:       in(750 * time.Millisecond),
		hint.WorkerExhausted: in(750 * time.Millisecond),
		hint.NoWorker:        in(750 * time.Millisecond),
		hint.Degraded:        in(7500 * time.Millisecond),
		hint.Inactive:        in(7500 * time.Millisecond),
		hint.Offline:         pass,
		hint.Gone:            pass,
		hint.NotEntitled:     pass,
		hint.UnknownModel:    pass,
		hint.KeyDead:         pass,
		hint.Forbidden:       pass,
		hint.Credits:         pass,
		hint.Transient:       in(375 * time.Millisecond),
		hint.UpstreamError:   in(375 * time.Millisecond),
		hint.ClientError:     pass,
		hint.InProgress:      pass,
		hint.Broken:          pass, // written, on a fresh connection: it may have run
		hint.Cancelled:       pass,
		hint.Class(250):      pass,
	}
	for c := range hint.Class(hint.ClassCount) {
		if _, ok := want[c]; !ok {
			t.Errorf("class %s is not in this test: add what should follow it", c)
		}
	}
	for c, want := range want {
		if got := Decide(first(c)); got != want {
			t.Errorf("Decide(%s) = %+v; want %+v", c, got, want)
		}
	}
}

func TestBrokenAttemptsAreRepeatedOnlyWhereTheyCannotHaveRun(t *testing.T) {
	t.Parallel()
	atOnce, pass, soon := Decision{Action: Again}, Decision{Action: Pass}, in(125*time.Millisecond)
	faults := []hint.Fault{
		hint.FaultConnect, hint.FaultDNS, hint.FaultTLS, hint.FaultReset, hint.FaultNoResponse,
		hint.FaultShortBody, hint.FaultHeadTimeout, hint.FaultIdle, hint.FaultProtocol,
	}
	for _, tt := range []struct {
		written, reused bool
		want            func(hint.Fault) Decision
	}{
		{true, false, func(hint.Fault) Decision { return pass }},
		{true, true, func(f hint.Fault) Decision {
			if f == hint.FaultNoResponse {
				return atOnce
			}
			return pass
		}},
		{false, false, func(f hint.Fault) Decision {
			if f == hint.FaultHeadTimeout {
				return pass // ten minutes more would not help
			}
			return soon
		}},
		{false, true, func(hint.Fault) Decision { return atOnce }},
	} {
		for _, f := range faults {
			input := first(hint.Broken)
			input.Outcome.Fault, input.Written, input.Reused = f, tt.written, tt.reused
			if got, want := Decide(input), tt.want(f); got != want {
				t.Errorf("Decide(%s, written %v, reused %v) = %+v; want %+v", f, tt.written, tt.reused, got, want)
			}
		}
	}
}

func TestAConnectionThatHangsIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		took     time.Duration
		attempts int
		want     Action
	}{
		{1999 * time.Millisecond, 1, Again},
		{1999 * time.Millisecond, 3, Again},
		{2 * time.Second, 1, Again},
		{2 * time.Second, 2, GiveUp},
		{4 * time.Second, 3, GiveUp},
	} {
		input := first(hint.Broken)
		input.Outcome.Fault, input.Written, input.Took = hint.FaultConnect, false, tt.took
		input.Attempts, input.SameClass = tt.attempts, tt.attempts
		if got := Decide(input).Action; got != tt.want {
			t.Errorf("Decide(attempt %d failed to connect after %s) = action %d; want %d", tt.attempts, tt.took, got, tt.want)
		}
	}
}

func TestRepetitionsOfAClassAreBounded(t *testing.T) {
	t.Parallel()
	for c, most := range map[hint.Class]int{
		hint.Quota: 100, hint.WorkerExhausted: 30, hint.QueueFull: 30, hint.NoWorker: 30, hint.Degraded: 30, hint.Inactive: 5,
		hint.Transient: 1, hint.UpstreamError: 1, hint.KeyDead: 30, hint.Credits: 30, hint.NotEntitled: 30, hint.OK: 0, hint.ClientError: 0,
	} {
		again := 0
		for attempts := 1; ; attempts++ {
			input := first(c)
			input.Attempts, input.SameClass, input.OtherKey, input.Deadline = attempts, attempts, true, time.Time{}
			if Waits(c) {
				input.Waits = attempts
			}
			got := Decide(input)
			if got.Action != Again {
				if want := GiveUp; most > 0 && got.Action != want {
					t.Errorf("%s ends with action %d; want GiveUp, since it was worth repeating", c, got.Action)
				}
				break
			}
			again++
		}
		if again != most {
			t.Errorf("%s is repeated %d times; want %d", c, again, most)
		}
	}
}

func TestBackOffDoublesToItsLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		class   hint.Class
		random  float64
		seconds []float64 // by the number of the repetition
	}{
		{hint.WorkerExhausted, 0, []float64{0.5, 1, 2, 4, 8, 15, 15}},
		{hint.WorkerExhausted, 0.5, []float64{0.75, 1.5, 3, 6, 12, 22.5, 22.5}},
		{hint.Degraded, 0, []float64{5, 10, 15, 15}},
		{hint.Degraded, 0.5, []float64{7.5, 15, 22.5, 22.5}},
		{hint.Broken, 0.5, []float64{0.125, 0.25, 0.5}},
		{hint.Broken, 0.75, []float64{0.1875, 0.375, 0.75}},
	} {
		for i, seconds := range tt.seconds {
			input := first(tt.class)
			input.Attempts, input.Waits, input.SameClass, input.Random = i+1, i, i+1, tt.random
			if tt.class == hint.Broken {
				input.Outcome.Fault, input.Written = hint.FaultConnect, false
			}
			if got, want := Decide(input), in(time.Duration(seconds*float64(time.Second))); got != want {
				t.Errorf("%s, repetition %d, random %v: %+v; want %+v", tt.class, i+1, tt.random, got, want)
			}
		}
	}
}

func TestRetryAfterIsHonouredWithinTheDeadline(t *testing.T) {
	t.Parallel()
	asked := func(c hint.Class, wait time.Duration) Decision {
		input := first(c)
		input.Outcome.RetryAfter, input.Outcome.Asked = wait, true
		return Decide(input)
	}
	for _, c := range []hint.Class{hint.Transient, hint.WorkerExhausted, hint.Degraded} {
		if got, want := asked(c, time.Minute), in(time.Minute); got != want {
			t.Errorf("%s with Retry-After 60: %+v; want %+v", c, got, want)
		}
		if got := asked(c, 0); got.Action != Again || !got.At.After(now) {
			t.Errorf("%s with Retry-After 0: %+v; want its own back-off", c, got)
		}
	}
	for _, c := range []hint.Class{hint.Transient, hint.WorkerExhausted, hint.Quota} {
		if got := asked(c, 10*time.Minute); got.Action != GiveUp {
			t.Errorf("%s with Retry-After at the deadline: %+v; want GiveUp at once", c, got)
		}
	}
	if got, want := asked(hint.Quota, time.Minute), (Decision{Action: Again}); got != want {
		t.Errorf("quota with Retry-After 60: %+v; want %+v, since the ledgers pause", got, want)
	}
}

func TestDeadKeysAreRepeatedWithAnotherKeyOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []hint.Class{hint.KeyDead, hint.Credits, hint.NotEntitled} {
		input := first(c)
		input.OtherKey = true
		if got, want := Decide(input), (Decision{Action: Again, OtherKey: true}); got != want {
			t.Errorf("%s with another key: %+v; want %+v", c, got, want)
		}
	}
}

// A dead key is a matter of that key: the ones after it have all of their attempts, however many were dead (a fault of other gateways).
func TestDeadKeysDoNotSpendTheAttemptsOfALivingOne(t *testing.T) {
	t.Parallel()
	input := first(hint.KeyDead)
	input.OtherKey = true
	for dead := 1; dead <= 20; dead++ {
		input.Attempts, input.Waits, input.SameClass = dead, dead, dead
		if got := Decide(input); got.Action != Again {
			t.Fatalf("dead key %d: %+v; want another key", dead, got)
		}
	}
	living := first(hint.Transient)
	living.Attempts, living.Waits = 21, 20
	if got := Decide(living).Action; got != Again {
		t.Errorf("first failure of a living key after 20 dead ones: action %d; want Again", got)
	}
	if !Waits(hint.KeyDead) || !Waits(hint.Credits) || !Waits(hint.NotEntitled) {
		t.Error("refused keys count against MaxAttempts")
	}
}

func TestWhatCannotBeServedHereGoesToTheNextTarget(t *testing.T) {
	t.Parallel()
	const never, after, now0 = "never", "after its repetitions", "at once"
	want := map[hint.Class]string{
		hint.Quota: after, hint.QueueFull: after, hint.WorkerExhausted: after, hint.NoWorker: after, hint.Transient: after, hint.UpstreamError: after,
		hint.KeyDead: after, hint.Credits: after, hint.NotEntitled: after,
		hint.Degraded: now0, hint.Inactive: now0, hint.Offline: now0, hint.Gone: now0, hint.UnknownModel: now0, hint.Forbidden: now0,
		hint.OK: never, hint.ClientError: never, hint.InProgress: never, hint.Cancelled: never, hint.Broken: never, // written, on a fresh connection
	}
	for c := range hint.Class(hint.ClassCount) {
		input := first(c)
		input.OtherTarget, input.OtherKey = true, true
		begins := Decide(input).Action
		input.Attempts, input.SameClass, input.OtherKey = 1000, 1000, false
		ends := Decide(input).Action
		got := never
		switch {
		case begins == Elsewhere:
			got = now0
		case ends == Elsewhere:
			got = after
		}
		if got != want[c] {
			t.Errorf("%s goes to the next target %s; want %s", c, got, want[c])
		}
		input.Deadline = input.Now
		if got := Decide(input).Action; got == Elsewhere || got == Again {
			t.Errorf("%s at the deadline: action %d; want no attempt", c, got)
		}
		input = first(c)
		if got := Decide(input).Action; got == Elsewhere {
			t.Errorf("%s without another target goes there", c)
		}
	}
}

func TestAnUnreachableTargetIsTriedOnceMoreBeforeTheNext(t *testing.T) {
	t.Parallel()
	input := first(hint.Broken)
	input.Outcome.Fault, input.Written, input.OtherTarget = hint.FaultConnect, false, true
	if got, want := Decide(input), in(125*time.Millisecond); got != want {
		t.Errorf("first attempt: %+v; want %+v", got, want)
	}
	input.Attempts, input.SameClass = 2, 2
	if got, want := Decide(input), (Decision{Action: Elsewhere}); got != want {
		t.Errorf("second attempt: %+v; want %+v", got, want)
	}
	input.Outcome.Fault = hint.FaultHeadTimeout // it may be running
	input.Written = true
	if got := Decide(input).Action; got == Elsewhere || got == Again {
		t.Errorf("an attempt without an answer: action %d; want it to end", got)
	}
}

func TestAResetBeyondTheDeadlineGoesToTheNextTargetAtOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []hint.Class{hint.Quota, hint.Transient, hint.WorkerExhausted} {
		input := first(c)
		input.Outcome.RetryAfter, input.Outcome.Asked, input.OtherTarget = 10*time.Minute, true, true
		if got, want := Decide(input), (Decision{Action: Elsewhere}); got != want {
			t.Errorf("%s with Retry-After at the deadline: %+v; want %+v", c, got, want)
		}
	}
}

func TestNothingIsRepeatedAtOrAfterTheDeadline(t *testing.T) {
	t.Parallel()
	for c := range hint.Class(hint.ClassCount) {
		for _, left := range []time.Duration{0, -time.Second, -time.Hour} {
			input := first(c)
			input.Deadline, input.OtherKey, input.Written, input.Reused = now.Add(left), true, false, true
			if got := Decide(input); got.Action == Again {
				t.Errorf("%s with %s left: %+v; want no repetition", c, left, got)
			}
		}
	}
	input := first(hint.Transient)
	if input.Deadline = now.Add(375*time.Millisecond + 1); Decide(input) != in(375*time.Millisecond) {
		t.Errorf("back-off that ends just before the deadline: %+v; want the repetition", Decide(input))
	}
	if input.Deadline = now.Add(375 * time.Millisecond); Decide(input).Action != GiveUp {
		t.Errorf("back-off that ends at the deadline: %+v; want GiveUp", Decide(input))
	}
}

func TestWaitsDoNotSpendTheAttemptsOfOtherClasses(t *testing.T) {
	t.Parallel()
	input := first(hint.Transient)
	input.Attempts, input.Waits = 50, 49
	if got := Decide(input); got.Action != Again {
		t.Errorf("first transient failure after 49 waits: %+v; want a repetition", got)
	}
	input.Attempts, input.Waits = 50, 46
	if got := Decide(input); got.Action != GiveUp {
		t.Errorf("fourth attempt that did not wait: %+v; want GiveUp", got)
	}
}

// sequence runs one request through outcomes drawn from r and returns how many attempts it took in all, and how many of those were
// of classes that do not wait.
func sequence(t *testing.T, r *rand.Rand, deadline time.Time) (attempts, strict int) {
	t.Helper()
	var counts [hint.ClassCount]int
	at, waits := now, 0
	for {
		attempts++
		input := Input{
			Outcome: hint.Outcome{Class: hint.Class(r.IntN(hint.ClassCount))}, Attempts: attempts, Now: at, Deadline: deadline,
			Written: r.IntN(2) == 0, Reused: r.IntN(2) == 0, OtherKey: r.IntN(2) == 0, Random: r.Float64(),
		}
		c := input.Outcome.Class
		if c == hint.Broken {
			input.Outcome.Fault = hint.FaultNoResponse
		}
		if r.IntN(3) == 0 {
			input.Outcome.RetryAfter, input.Outcome.Asked = time.Duration(r.IntN(90))*time.Second, true
		}
		counts[c]++
		input.SameClass = counts[c]
		if Waits(c) {
			waits++
		} else {
			strict++
		}
		input.Waits = waits
		decision := Decide(input)
		if decision.Action != Again {
			return attempts, strict
		}
		if !decision.At.IsZero() {
			if decision.At.Before(at) {
				t.Fatalf("Decide(%+v).At lies in the past", input)
			}
			at = decision.At
		}
		if !deadline.IsZero() && !at.Before(deadline) {
			t.Fatalf("Decide(%+v) = %+v; want nothing at or after the deadline", input, decision)
		}
	}
}

func TestEverySequenceOfOutcomesIsBounded(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	longest := 0
	for range 20_000 {
		attempts, strict := sequence(t, r, time.Time{})
		if strict > MaxAttempts {
			t.Fatalf("%d attempts outside of waits; want at most %d", strict, MaxAttempts)
		}
		longest = max(longest, attempts)
		sequence(t, r, now.Add(time.Duration(r.IntN(300))*time.Second))
	}
	if most := 100 + 4*30 + 5 + 3*maxKeys + MaxAttempts; longest > most || longest < 5 {
		t.Errorf("the longest sequence had %d attempts; want between 5 and %d", longest, most)
	}
}

func TestRandomOutOfRangeKeepsTheBackOffInItsBounds(t *testing.T) {
	t.Parallel()
	for _, random := range []float64{-1, 2, 1e300} {
		input := first(hint.WorkerExhausted)
		input.Random = random
		got := Decide(input).At.Sub(now)
		if got < 500*time.Millisecond || got > time.Second {
			t.Errorf("random %v: back-off %s; want it within [0.5s, 1s]", random, got)
		}
	}
}

func TestWaitsIsFalseBeyondTheTable(t *testing.T) {
	t.Parallel()
	if Waits(hint.Class(250)) || Waits(hint.OK) || !Waits(hint.Quota) {
		t.Errorf("Waits(250, ok, quota) = %v, %v, %v; want false, false, true", Waits(250), Waits(hint.OK), Waits(hint.Quota))
	}
}

// BenchmarkDecide is asked once an attempt. Budget: 50 ns, no allocation.
func BenchmarkDecide(b *testing.B) {
	input := first(hint.WorkerExhausted)
	input.SameClass = 30
	b.ReportAllocs()
	for b.Loop() {
		if Decide(input).Action != Again {
			b.Fatal("not again")
		}
	}
}

func ExampleDecide() {
	decision := Decide(Input{
		Outcome:  hint.Outcome{Class: hint.Transient, Status: 503, RetryAfter: 2 * time.Second, Asked: true},
		Attempts: 1, SameClass: 1, Now: now, Deadline: now.Add(time.Minute),
	})
	fmt.Println(decision.Action == Again, decision.At.Sub(now))
	// Output: true 2s
}
