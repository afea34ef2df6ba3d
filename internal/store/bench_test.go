package store

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// runningStore is a store whose Run runs until the test ends.
func runningStore(tb testing.TB, dir string) *Store {
	tb.Helper()
	s, err := Open(Options{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() { _ = s.Run(ctx) })
	tb.Cleanup(func() {
		stop()
		group.Wait()
		if err := s.Close(); err != nil {
			tb.Errorf("Close() = %v", err)
		}
	})
	return s
}

// BenchmarkCharged is what an attempt waits for. Budget on a quiet machine: 100 µs for one caller, the disk's syncs included; 20 µs a
// charge where 64 callers share the commits, and in memory; 25 allocations.
func BenchmarkCharged(b *testing.B) {
	for _, callers := range []int{0, 1, 64} {
		name := "in memory"
		if callers > 0 {
			name = strconv.Itoa(callers) + " at once"
		}
		b.Run(name, func(b *testing.B) {
			dir := ""
			if callers > 0 {
				dir = b.TempDir()
			}
			s := runningStore(b, dir)
			var id atomic.Uint64
			charge := func() {
				now := time.Now()
				if err := s.Charged(quota.Charge{ID: id.Add(1), Scope: limit.Scope{Provider: "nvidia", Account: "default", Model: "m"}, At: now, Until: now.Add(time.Minute)}); err != nil {
					b.Error(err)
				}
			}
			b.ReportAllocs()
			if callers < 2 {
				for b.Loop() {
					charge()
				}
				return
			}
			b.SetParallelism(callers / 2)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					charge()
				}
			})
		})
	}
}
