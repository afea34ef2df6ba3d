package dash

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestAThousandViewersCostOneBuildASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		const viewers, seconds = 1000, 10
		var events [viewers]int
		var group sync.WaitGroup
		for i := range viewers {
			s := r.watch()
			group.Go(func() {
				for events[i] < seconds && s.next("event: ") == "snapshot" {
					events[i]++
				}
				_ = s.Close()
			})
		}
		began := time.Now()
		group.Wait()
		if passed := time.Since(began); passed != (seconds-1)*time.Second {
			t.Errorf("%d events took %v; want %v: one at once, then one a second", seconds, passed, (seconds-1)*time.Second)
		}
		if builds := r.source.builds.Load(); builds != seconds {
			t.Errorf("%d viewers made %d builds in %d s; want %d", viewers, builds, seconds, seconds)
		}
		for i, n := range events {
			if n != seconds {
				t.Fatalf("viewer %d saw %d events; want %d", i, n, seconds)
			}
		}
		r.close()
	})
}

func TestNothingIsBuiltWhileNobodyLooks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		time.Sleep(time.Minute)
		if n := r.source.builds.Load(); n != 0 {
			t.Errorf("%d builds before anybody looked; want 0", n)
		}
		s := r.watch()
		s.next("data: ")
		time.Sleep(10 * time.Second)
		_ = s.Close()
		time.Sleep(3 * time.Second)
		if n := r.feed.Viewers(); n != 0 {
			t.Errorf("%d viewers after the only one has left; want 0", n)
		}
		before := r.source.builds.Load()
		time.Sleep(time.Minute)
		if n := r.source.builds.Load(); n != before {
			t.Errorf("%d builds after the only viewer has left; want %d", n, before)
		}
		s = r.watch() // the loop has slept and must wake
		s.next("data: ")
		if again := time.Now(); s.next("data: ") == "" || time.Since(again) != time.Second {
			t.Errorf("the second event came after %v; want 1s", time.Since(again))
		}
		_ = s.Close()
		r.close()
	})
}

func TestReadsShareASnapshotForASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var group sync.WaitGroup
		for range 200 {
			group.Go(func() { r.do(t.Context(), http.MethodGet, "/sidecar/api/snapshot") })
		}
		group.Wait()
		if n := r.source.builds.Load(); n != 1 {
			t.Errorf("200 reads at once made %d builds; want 1", n)
		}
		time.Sleep(Period - 1)
		r.do(t.Context(), http.MethodGet, "/sidecar/api/snapshot")
		if n := r.source.builds.Load(); n != 1 {
			t.Errorf("a read after less than a second made build %d; want none", n)
		}
		time.Sleep(time.Nanosecond)
		r.do(t.Context(), http.MethodGet, "/sidecar/api/snapshot")
		if n := r.source.builds.Load(); n != 2 {
			t.Errorf("a read after a second: %d builds; want 2", n)
		}
		r.close()
	})
}

// A reader in between must not make the loop build twice a second.
func TestReadsBesideViewersCostNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		s := r.watch()
		var group sync.WaitGroup
		group.Go(func() {
			for s.next("data: ") != "" {
			}
		})
		for range 100 {
			r.do(t.Context(), http.MethodGet, "/sidecar/api/snapshot")
			time.Sleep(99 * time.Millisecond)
		}
		if n := r.source.builds.Load(); n > 11 {
			t.Errorf("%d builds in 9.9 s; want at most 11", n)
		}
		_ = s.Close()
		group.Wait()
		r.close()
	})
}

func TestAViewerThatDoesNotReadIsDroppedAndSlowsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(o *Options) { o.Patience = 5 * time.Second })
		r.source.fill = 20_000 // three frames fill the connection
		stalled, good := r.watch(), r.watch()
		var group sync.WaitGroup
		group.Go(func() {
			last := time.Now()
			for range 60 {
				good.next("data: ")
				if gap := time.Since(last); gap > Period {
					t.Errorf("beside a stalled viewer an event came after %v; want at most %v", gap, Period)
				}
				last = time.Now()
			}
			_ = good.Close()
		})
		time.Sleep(3 * time.Second)
		if n := r.feed.Viewers(); n != 2 {
			t.Errorf("%d viewers at first; want 2", n)
		}
		time.Sleep(9 * time.Second)
		if n := r.feed.Viewers(); n != 1 {
			t.Errorf("%d viewers after the patience with one that does not read; want 1", n)
		}
		group.Wait()
		_, _ = io.Copy(io.Discard, stalled)
		_ = stalled.Close()
		r.close()
	})
}

func TestWhoComesBackGetsTheNewestAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		s := r.watch()
		if retry := s.next("retry: "); retry != "1000" {
			t.Errorf("a stream begins with retry %q; want 1000", retry)
		}
		first := s.next("id: ")
		_ = s.Close()
		time.Sleep(10 * time.Second)
		for _, header := range []string{"Last-Event-ID: " + first, "Last-Event-ID: 999999", "Last-Event-ID: x"} {
			began := time.Now()
			s = r.watch(header)
			if id := s.next("id: "); id == "" || id == first || time.Since(began) != 0 {
				t.Errorf("with %q the first event is %q after %v; want a new one at once", header, id, time.Since(began))
			}
			_ = s.Close()
		}
		r.close()
	})
}

func TestCloseEndsEveryStreamAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, nil)
		var group sync.WaitGroup
		for range 10 {
			s := r.watch()
			s.next("data: ")
			group.Go(func() {
				for s.next("data: ") != "" {
				}
				_ = s.Close()
			})
		}
		began := time.Now()
		r.feed.Close()
		r.feed.Close()
		group.Wait()
		if passed := time.Since(began); passed != 0 {
			t.Errorf("the streams ended %v after Close; want at once", passed)
		}
		r.close()
	})
}

// stuck is a source whose builds take long.
type stuck struct {
	source
	takes time.Duration
}

func (s *stuck) View() *View {
	time.Sleep(s.takes)
	return s.source.View()
}

func TestAStreamShowsThatItIsAliveWhileNothingComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow := &stuck{}
		feed := NewFeed(slow)
		r := newRig(t, func(o *Options) { o.Feed = feed })
		s := r.watch() // nobody runs this feed, so it is stuck
		s.next("data: ")
		began := time.Now()
		if s.next(": alive"); time.Since(began) != 15*time.Second {
			t.Errorf("a sign of life after %v; want 15s", time.Since(began))
		}
		feed.Close()
		_ = s.Close()
		r.close()
	})
}

func TestWhoHasLeftDoesNotWaitForABuild(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		feed := NewFeed(&stuck{takes: time.Minute})
		var group sync.WaitGroup
		group.Go(func() { _, _ = feed.latest(t.Context()) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := feed.latest(ctx); err == nil || time.Since(began) != time.Second {
			t.Errorf("latest() = %v after %v; want an error after 1s", err, time.Since(began))
		}
		group.Wait()
	})
}

// BenchmarkSecond measures what a second costs: one build and one encoding of a view of some 20 kB, and an event for each viewer, whose
// writer takes it at no cost: what is measured is the feed and the handlers, without the kernel's sockets. The budget for 1,000 viewers is 20
// ms, 2 % of a core, and 20 KiB for each: its goroutine's stack, its timer and its request, without net/http's connection.
func BenchmarkSecond(b *testing.B) {
	for _, viewers := range []int{1, 1000} {
		b.Run(fmt.Sprint(viewers), func(b *testing.B) {
			src := &source{fill: 20_000}
			feed := NewFeed(src)
			d := New(Options{Feed: feed})
			ctx, cancel := context.WithCancel(b.Context())
			written := make(chan struct{}, viewers)
			before := used()
			var group sync.WaitGroup
			for range viewers {
				w := &sink{header: http.Header{}, flushed: written}
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, Prefix+"api/events", http.NoBody)
				if err != nil {
					b.Fatal(err)
				}
				group.Go(func() { d.ServeHTTP(w, request) })
			}
			for range viewers { // the first event
				<-written
			}
			held := float64(used()-before) / float64(viewers)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := feed.frame(ctx, 0); err != nil {
					b.Fatal(err)
				}
				for range viewers {
					<-written
				}
			}
			b.ReportMetric(held, "B/viewer")
			cancel()
			group.Wait()
		})
	}
}

// used returns how many bytes heap and stacks take.
func used() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// sink is a connection that takes everything at once.
type sink struct {
	header  http.Header
	flushed chan struct{}
}

func (s *sink) Header() http.Header              { return s.header }
func (s *sink) WriteHeader(int)                  {}
func (s *sink) Write(b []byte) (int, error)      { return len(b), nil }
func (s *sink) SetWriteDeadline(time.Time) error { return nil }
func (s *sink) FlushError() error {
	s.flushed <- struct{}{}
	return nil
}
