package quota_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// fixed are terms of every model; accounts have none.
func fixed(t quota.Terms) func(limit.Scope) quota.Terms {
	return func(s limit.Scope) quota.Terms {
		if s.WholeAccount() {
			return quota.Terms{}
		}
		return t
	}
}

// take reserves and sends as many as may leave now, and returns how many those were.
func take(b *quota.Book, now time.Time) (n int) {
	for {
		h, _ := b.Reserve(now, lane("a", "m"), one)
		if h == nil {
			return n
		}
		b.Sent(now, h)
		b.Observe(now, h, served)
		b.Settle(now, h, quota.Use{Written: true})
		n++
	}
}

func TestChargesStayWhenTermsChange(t *testing.T) {
	t.Parallel()
	minute := func(text string) quota.Terms { return quota.Terms{Rates: rates(text), Burst: limit.MaxN} }
	for _, tt := range []struct {
		from, to string
		first    int // that leave at once before the change
		more     int // that leave at once after it
	}{
		{"10-M", "10-M", 10, 0},
		{"10-M", "30-M", 10, 20},
		{"10-M", "4-M", 10, 0},
		{"10-M", "30-M,15-H", 10, 5},
		{"30-M,15-H", "40-H", 15, 25},
		{"30-M,15-H", "20-S", 15, 5},
		{"10-H", "12-D", 10, 2},
	} {
		b := quota.New(quota.Options{Terms: fixed(minute(tt.from))})
		if n := take(b, start); n != tt.first {
			t.Fatalf("%s lets %d out; want %d", tt.from, n, tt.first)
		}
		b.Apply(start, fixed(minute(tt.to)))
		if n := take(b, start); n != tt.more {
			t.Errorf("after %s became %s %d more leave at once; want %d", tt.from, tt.to, n, tt.more)
		}
	}
}

// TestNoWindowHoldsMoreThanItsLimitAcrossChanges holds a book, whose limit moves, to a list of what was sent.
func TestNoWindowHoldsMoreThanItsLimitAcrossChanges(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		n, changed := 20, start
		of := func(n int) func(limit.Scope) quota.Terms {
			return fixed(quota.Terms{Rates: limit.Rates{{N: n, Period: time.Minute}}, Burst: 1 + random.IntN(20), Trust: quota.Trust(random.IntN(2))})
		}
		b := quota.New(quota.Options{Seed: seed, Terms: of(n)})
		var sent []time.Time
		var open []*quota.Hold
		now := start
		for range 3000 {
			now = now.Add(time.Duration(random.Int64N(int64(time.Second))))
			if random.IntN(100) == 0 {
				n, changed = 5+random.IntN(40), now
				b.Apply(now, of(n))
			}
			if h, _ := b.Reserve(now, lane("a", "m"), one); h != nil {
				open = append(open, h)
				in := 0
				for _, at := range sent {
					if now.Sub(at) < time.Minute {
						in++
					}
				}
				if in += len(open); in > n {
					t.Fatalf("seed %d: %s after the limit became %d, %d were sent or under way within a minute", seed, now.Sub(changed), n, in)
				}
			}
			for len(open) > 0 && random.IntN(2) == 0 {
				h := open[0]
				open = open[1:]
				b.Sent(now, h)
				sent = append(sent, now)
				b.Observe(now, h, served)
				b.Settle(now, h, quota.Use{Written: true})
			}
		}
		if len(sent) < 100 {
			t.Errorf("seed %d: only %d were sent", seed, len(sent))
		}
	}
}

func TestALimitWhereThereWasNoneCountsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := quota.New(quota.Options{Terms: fixed(quota.Terms{})})
	var holds []*quota.Hold
	for range 3 {
		h, _ := b.Reserve(start, lane("a", "m"), one)
		holds = append(holds, h)
	}
	b.Apply(start, fixed(quota.Terms{Rates: rates("5-M"), Burst: 5}))
	for _, h := range holds {
		b.Sent(start, h)
		b.Settle(start, h, quota.Use{Written: true})
	}
	if n := take(b, start); n != 2 {
		t.Errorf("beside three that were under way %d of 5 leave; want 2", n)
	}
	b.Apply(start, fixed(quota.Terms{}))
	if h, _ := b.Reserve(start, lane("a", "m"), one); h == nil {
		t.Error("without a limit nothing leaves")
	}
}

// ceilings returns what is known of the lane's minute, 0 for nothing, and how well.
func ceilings(b *quota.Book, now time.Time) (n int, c quota.Confidence) {
	for _, d := range b.Details(now) {
		if !d.Scope.WholeAccount() {
			return int(d.Ceiling), d.Confidence
		}
	}
	return 0, ""
}

func TestWhatWasLearnedSurvivesWithinTheNewTerms(t *testing.T) {
	t.Parallel()
	terms := func(text string, trust quota.Trust) quota.Terms {
		return quota.Terms{Rates: rates(text), Trust: trust, BurstShare: 0.5}
	}
	hint40 := terms("40-M", quota.Hint)
	for _, tt := range []struct {
		name string
		then []quota.Terms
		want func(learned int) int
	}{
		{"another hint", []quota.Terms{terms("30-M", quota.Hint)}, func(n int) int { return n }},
		{"a promise above it", []quota.Terms{terms("100-M", quota.Promise)}, func(n int) int { return n }},
		{"a promise below it", []quota.Terms{terms("12-M", quota.Promise)}, func(int) int { return 12 }},
		{"a pin", []quota.Terms{terms("60-M", quota.Fixed)}, func(int) int { return 60 }},
		{"a pin, and back", []quota.Terms{terms("60-M", quota.Fixed), hint40}, func(n int) int { return n }},
		{"a pin, another pin, and back", []quota.Terms{terms("60-M", quota.Fixed), terms("7-M", quota.Fixed), hint40}, func(n int) int { return n }},
		{"a pause", []quota.Terms{func() quota.Terms { t := hint40; t.Paused = true; return t }(), hint40}, func(n int) int { return n }},
		{"another period", []quota.Terms{terms("2-S", quota.Hint)}, func(int) int { return 120 }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			b := quota.New(quota.Options{Seed: 3, Terms: fixed(hint40)})
			p := newPupil(t, b)
			var taken []time.Time // by an upstream that takes 25 in any minute
			for range 200 {
				h := p.send()
				within := 0
				for _, at := range taken {
					if p.now.Sub(at) < time.Minute {
						within++
					}
				}
				o := served
				if within >= 25 {
					o = hint.Outcome{Class: hint.Quota, Status: 429}
				} else {
					taken = append(taken, p.now)
				}
				b.Observe(p.now, h, o)
				b.Settle(p.now, h, quota.Use{Written: true})
			}
			learned, confidence := ceilings(b, p.now)
			if learned >= 40 || learned == 0 || confidence == quota.Told {
				t.Fatalf("learned %d (%s) of 40; want less", learned, confidence)
			}
			for _, terms := range tt.then {
				p.now = p.now.Add(time.Second)
				b.Apply(p.now, fixed(terms))
			}
			if n, _ := ceilings(b, p.now); n != tt.want(learned) {
				t.Errorf("of the %d that were learned %d hold; want %d", learned, n, tt.want(learned))
			}
		})
	}
}

func TestAPausedScopeLetsNothingOutAndGoesOn(t *testing.T) {
	t.Parallel()
	paused := quota.Terms{Rates: rates("10-M"), Burst: limit.MaxN, Paused: true}
	b := quota.New(quota.Options{Terms: fixed(paused)})
	h, r := b.Reserve(start, lane("a", "m"), one)
	if h != nil || !r.At.IsZero() || r.Paused {
		t.Errorf("Reserve() while paused = %v, %+v; want none, and no time that will bring it", h, r)
	}
	if h, _ := b.Reserve(start, lane("a", "m"), quota.Claim{Requests: 1, Forced: true}); h == nil {
		t.Error("a forced claim was held; want it let through")
	}
	paused.Paused = false
	b.Apply(start, fixed(paused))
	if n := take(b, start); n != 9 {
		t.Errorf("after it went on %d leave; want the 9 beside the forced one", n)
	}
}

// An attempt that left before the law changed hands must neither be forgotten as a charge nor teach the new law.
func TestAVerdictThatComesAfterAChangeTeachesNothing(t *testing.T) {
	t.Parallel()
	hinted := quota.Terms{Rates: rates("40-M"), Trust: quota.Hint, BurstShare: 0.5}
	pinned := quota.Terms{Rates: rates("40-M"), Trust: quota.Fixed, BurstShare: 0.5}
	for name, way := range map[string][2]quota.Terms{"pinned": {hinted, pinned}, "unpinned": {pinned, hinted}} {
		b := quota.New(quota.Options{Terms: fixed(way[0])})
		var holds []*quota.Hold
		for range 6 {
			h, _ := b.Reserve(start, lane("a", "m"), one)
			holds = append(holds, h)
		}
		b.Sent(start, holds[0])
		b.Apply(second(1), fixed(way[1]))
		refused := hint.Outcome{Class: hint.Quota, Status: 429, RetryAfter: 7 * time.Second, Asked: true}
		b.Observe(second(2), holds[0], refused)
		b.Settle(second(2), holds[0], quota.Use{Written: true})
		b.Observe(second(2), holds[1], served)
		b.Settle(second(2), holds[1], quota.Use{Written: true})
		b.Settle(second(2), holds[2], quota.Use{}) // never written: given back
		for _, d := range b.Details(second(2)) {
			if d.Scope.WholeAccount() {
				continue
			}
			if d.State != adapt.Normal || int(d.Ceiling) != 40 || !d.PausedUntil.Equal(second(9)) || d.Refusals != 1 {
				t.Errorf("%s: state %s, ceiling %v, paused until %v, %d refusals; want NORMAL, 40, the 7 s that were asked for, 1", name, d.State, d.Ceiling, d.PausedUntil, d.Refusals)
			}
			if d.Windows[0].Used != 5 {
				t.Errorf("%s: the window holds %d; want the five that were or may yet be written", name, d.Windows[0].Used)
			}
		}
	}
}

func TestDetailsSayWhereSizesCameFrom(t *testing.T) {
	t.Parallel()
	terms := func(s limit.Scope) quota.Terms {
		switch s.Model {
		case "pinned":
			return quota.Terms{Rates: rates("5-M,100-H"), Burst: 3}
		case "hinted":
			return quota.Terms{Rates: rates("40-M"), Trust: quota.Hint, BurstShare: 0.5}
		}
		return quota.Terms{Trust: quota.Hint}
	}
	b := quota.New(quota.Options{Terms: terms})
	for _, m := range []string{"pinned", "hinted", "free"} {
		b.Reserve(start, lane("a", m), one)
	}
	got := map[string]string{}
	for _, d := range b.Details(start) {
		got[d.Scope.Model] = fmt.Sprint(d.Confidence, d.Origins, d.Ceiling, d.Told, d.Running, d.Workers)
	}
	for m, want := range map[string]string{
		"pinned": "told[{false 5} {false 100}] 1.6666666666666667 1.6666666666666667 0 0",
		"hinted": "told[{true 40}] 40 40 1 0",
		"free":   "learning[] 0 0 1 0",
		"":       "learning[] 0 0 0 0",
	} {
		if got[m] != want {
			t.Errorf("the details of %q are %s; want %s", m, got[m], want)
		}
	}
}

// BenchmarkApply: budget 50 µs a scope; it happens when a person changes a limit.
func BenchmarkApply(b *testing.B) {
	terms := [2]quota.Terms{{Rates: rates("40-M"), Trust: quota.Hint}, {Rates: rates("41-M"), Trust: quota.Promise}}
	book := quota.New(quota.Options{Terms: fixed(terms[0])})
	take(book, start)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		book.Apply(start, fixed(terms[(i+1)%2]))
	}
}
