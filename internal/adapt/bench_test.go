package adapt_test

import (
	"fmt"
	"testing"
	"time"

	"nimsidecar/internal/adapt"
)

// sizes are ceilings, of the usual to the large.
var sizes = []int{40, 600, 10_000}

// warm returns a law that has lived through a full window of n.
func warm(n int) (l *adapt.Law, now time.Time) {
	l, now = adapt.New(adapt.Terms{Period: time.Minute, Margin: 500 * time.Millisecond, Start: n, Most: n}), start
	for used := range 3 * n {
		now = now.Add(60 * time.Second / time.Duration(n))
		l.Accepted(now, l.Sent(now, adapt.Load{Window: min(used, n-1)}))
	}
	return l, now
}

// BenchmarkAttempt is an attempt that is accepted, asking beforehand as a ledger does. Budget: 300 ns, no allocation.
func BenchmarkAttempt(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, now := warm(n)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Minute / time.Duration(n))
				l.Accepted(now, l.Sent(now, adapt.Load{Window: n - 1}))
			}
		})
	}
}

// BenchmarkAsk is one question whether something may leave, while work waits. Budget: 300 ns, no allocation.
func BenchmarkAsk(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, now := warm(n)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Millisecond)
				l.Held(now, true)
				l.Advance(now, true)
				l.Ready(now)
				l.Cap(true)
				l.Interval()
			}
		})
	}
}

// BenchmarkRefused is an attempt that is refused, and one that is accepted after it. It reads the evidence of a window. Budget: 300 ns for a
// ceiling of 40 and 20 µs for ten thousand, no allocation: a refusal is rare.
func BenchmarkRefused(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, now := warm(n)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(time.Minute / time.Duration(n))
				l.Refused(now, l.Sent(now, adapt.Load{Window: n - 1}), 0)
				l.Accepted(now, l.Sent(now, adapt.Load{Window: n - 1}))
			}
		})
	}
}

// BenchmarkCarefulWindow is an attempt in a careful window, which counts the evidence until it holds more than the ceiling.
func BenchmarkCarefulWindow(b *testing.B) {
	for _, n := range sizes {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			l, now := careful(b, n)
			b.ReportAllocs()
			for b.Loop() {
				now = now.Add(2 * time.Minute / time.Duration(n)) // too slow to prove anything
				l.Accepted(now, l.Sent(now, adapt.Load{Window: n - 1}))
			}
		})
	}
}

// careful returns a law in a careful window that nobody ends.
func careful(tb testing.TB, n int) (l *adapt.Law, now time.Time) {
	l, now = adapt.New(adapt.Terms{Period: time.Minute, Margin: 500 * time.Millisecond, Start: n, Most: 4 * n}), start
	send := func(used int) {
		now = now.Add(time.Minute / time.Duration(n))
		l.Accepted(now, l.Sent(now, adapt.Load{Window: used}))
	}
	for range n - 1 {
		send(n - 2)
	}
	l.Refused(now, l.Sent(now, adapt.Load{Window: n}), 0) // the end of the cold start
	for i := 0; l.View().Phase != "plus"; i++ {
		l.Held(now, true)
		l.Advance(now, true)
		if send(l.Ceiling() - 3); i > 20*n {
			tb.Fatalf("no careful window began: %+v", l.View())
		}
	}
	l.Accepted(now, l.Sent(now, adapt.Load{Window: l.Ceiling()}))
	return l, now
}

// BenchmarkFirstAttempt is the making of a law and its first attempt: what each scope costs that a client makes up. Budget: 8 KiB.
func BenchmarkFirstAttempt(b *testing.B) {
	for name, terms := range map[string]adapt.Terms{"hint": {Period: time.Minute, Start: 40}, "nothing": {Period: time.Minute}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l := adapt.New(terms)
				l.Accepted(start, l.Sent(start, adapt.Load{}))
			}
		})
	}
}
