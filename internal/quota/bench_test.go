package quota_test

import (
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// The times of these benchmarks have a monotonic reading, as those of the gate do.

// nvidia returns a book for a model of NVIDIA's of the given limit, which alone is known.
func nvidia(text string, trust quota.Trust) *quota.Book {
	return quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		if s.WholeAccount() {
			return quota.Terms{Trust: trust, BurstShare: 0.5, PerModel: true}
		}
		return quota.Terms{Rates: rates(text), Trust: trust, BurstShare: 0.5, PerModel: true}
	}})
}

// whole is the life of an attempt that is served.
func whole(b *quota.Book, now time.Time, m limit.Scope, c quota.Claim) {
	h, _ := b.Reserve(now, m, c)
	b.Sent(now, h)
	b.Observe(now, h, served)
	b.Settle(now, h, quota.Use{Written: true})
}

// Budget: 1 µs and the hold itself, on a lane that keeps to what it was told.
func BenchmarkAttemptOnFixedTerms(b *testing.B) {
	book, m := nvidia("40-M,1000-H", quota.Fixed), lane("a", "m")
	b.ReportAllocs()
	for now := time.Now(); b.Loop(); now = now.Add(4 * time.Second) {
		whole(book, now, m, ordinary)
	}
}

// Budget: 1 µs more than on fixed terms, and no further allocation, on a lane whose windows are full and learned from.
func BenchmarkAttemptOnLearnedTerms(b *testing.B) {
	for _, text := range []string{"40-M,1000-H", "600-M"} {
		b.Run(text, func(b *testing.B) {
			book, m := nvidia(text, quota.Hint), lane("a", "m")
			interval := 60500 * time.Millisecond / time.Duration(rates(text)[0].N)
			now := time.Now()
			for range 2000 {
				whole(book, now, m, quota.Claim{Forced: true})
				now = now.Add(interval)
			}
			b.ReportAllocs()
			for b.Loop() {
				whole(book, now, m, quota.Claim{Forced: true})
				now = now.Add(interval)
			}
		})
	}
}

// Budget: 1 µs, no allocation. The gate asks this for each lane that has to wait.
func BenchmarkReserveOfAFullLane(b *testing.B) {
	for name, trust := range trusts() {
		b.Run(name, func(b *testing.B) {
			book, m := nvidia("40-M,1000-H", trust), lane("a", "m")
			l := &line{book: book, lane: m, now: time.Now()}
			for range 20 {
				l.try(one)
			}
			b.ReportAllocs()
			for b.Loop() {
				if ok, _ := l.try(ordinary); ok {
					b.Fatal("a full lane has room")
				}
			}
		})
	}
}
