package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/quota"
)

// run runs a store until the returned function is called, or the test ends.
func run(t testing.TB, s *Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	group.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
	stop = func() { cancel(); group.Wait() }
	t.Cleanup(stop)
	return stop
}

// queued returns how much waits for a commit.
func (s *Store) queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue)
}

func TestChargesAreKeptBeforeDuringAndAfterRun(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	must(t, s.Charged(charge(1, time.Now())))
	stop := run(t, s)
	must(t, s.Charged(charge(2, time.Now())))
	stop()
	must(t, s.Charged(charge(3, time.Now())))
	must(t, s.Remember(t.Context(), []quota.Learned{{Scope: model("m"), Saved: time.Now()}}))
	killed, _ := open(t, crash(t, s.vault.dir))
	m := restore(t, killed)
	wantIDs(t, m, 1, 2, 3)
	if len(m.Learned) != 1 {
		t.Errorf("%d learned; want 1", len(m.Learned))
	}
}

func TestChargesThatComeTogetherShareACommit(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	run(t, s)
	must(t, s.Charged(charge(1, time.Now())))
	journal := filepath.Join(s.vault.dir, "state.db-wal")
	before, err := os.Stat(journal)
	must(t, err)

	const callers = 200
	s.turn <- struct{}{} // a commit that takes long
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			if err := s.Charged(charge(uint64(10+i), time.Now())); err != nil {
				t.Errorf("Charged() = %v", err)
			}
		})
	}
	for s.queued() < callers {
		runtime.Gosched()
	}
	<-s.turn
	group.Wait()

	after, err := os.Stat(journal)
	must(t, err)
	const page = 4096 + 24 // with its head in the journal
	if pages := (after.Size() - before.Size()) / page; pages > callers/4 {
		t.Errorf("%d charges at once wrote %d pages to the journal; want far fewer, in one commit or two", callers, pages)
	}
	if m := restoreCopy(t, s); len(m.Charges) != callers+1 {
		t.Errorf("%d charges are on disk; want %d", len(m.Charges), callers+1)
	}
}

// restoreCopy returns what a kill would leave now.
func restoreCopy(t testing.TB, s *Store) quota.Memory {
	t.Helper()
	killed, _ := open(t, crash(t, s.vault.dir))
	return restore(t, killed)
}

func TestTheNewsThatAChargeWasSentAreOnDiskWithinASecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, "")
		stop := run(t, s)
		sentAt := time.Now()
		must(t, s.Charged(charge(1, sentAt)))
		must(t, s.Charged(charge(2, sentAt)))
		s.Sent(1, sentAt)
		s.Refunded(2)
		synctest.Wait()
		if n := s.queued(); n != 2 {
			t.Errorf("%d entries wait; want 2: nobody needs them now", n)
		}
		time.Sleep(flushing)
		synctest.Wait()
		if n := s.queued(); n != 0 {
			t.Errorf("%d entries wait after a second; want 0", n)
		}
		c, err := s.vault.memory.load(0)
		if err != nil || len(c.rows) != 1 || c.rows[0].open {
			t.Errorf("rows %+v, %v; want one that is not open", c.rows, err)
		}
		time.Sleep(time.Hour + beat)
		synctest.Wait()
		if n, err := s.vault.memory.number("SELECT count(*) FROM charges"); n != 0 || err != nil {
			t.Errorf("%d charges, %v when they count no more; want 0", n, err)
		}
		s.Sent(1, sentAt)
		stop()
		if n := s.queued(); n != 0 {
			t.Errorf("%d entries wait after the end of Run; want 0", n)
		}
		must(t, s.Close())
	})
}

func TestNothingWaitsForASilentDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := open(t, "")
		stop := run(t, s)
		silent := make(chan struct{})
		var group sync.WaitGroup
		group.Go(func() { _ = s.use(context.Background(), func() error { <-silent; return nil }) })
		synctest.Wait()

		began := time.Now()
		if err := s.Charged(charge(1, began)); !errors.Is(err, errSlow) || time.Since(began) != Patience {
			t.Errorf("Charged() = %v after %v; want that the disk is slow after %v", err, time.Since(began), Patience)
		}
		time.Sleep(time.Millisecond)
		began = time.Now()
		if err := s.Charged(charge(2, began)); !errors.Is(err, errSlow) || time.Since(began) != 0 {
			t.Errorf("the next Charged() = %v after %v; want the same at once, since it is known", err, time.Since(began))
		}
		if err := s.Degraded(); !errors.Is(err, errSlow) {
			t.Errorf("Degraded() = %v; want that the disk is slow", err)
		}
		for range 2 * maxQueued {
			s.Sent(1, began)
		}
		if n := s.queued(); n != maxQueued {
			t.Errorf("%d entries wait; want %d, the bound", n, maxQueued)
		}
		if got := s.Stats().Dropped; got != maxQueued+2 {
			t.Errorf("Dropped = %d; want %d", got, maxQueued+2)
		}
		close(silent)
		synctest.Wait()
		if err := s.Degraded(); err != nil {
			t.Errorf("Degraded() = %v when the disk is back; want nil", err)
		}
		if n, err := s.vault.memory.number("SELECT count(*) FROM charges"); n != 2 || err != nil {
			t.Errorf("%d charges, %v; want 2: they were written when the disk was back", n, err)
		}
		group.Wait()

		// Close gives up on a disk that stays silent.
		s.turn <- struct{}{}
		began = time.Now()
		if err := s.Close(); !errors.Is(err, errSlow) || time.Since(began) != closing {
			t.Errorf("Close() = %v after %v; want that the disk is slow after %v", err, time.Since(began), closing)
		}
		<-s.turn
		stop()
		must(t, s.vault.release())
	})
}

func TestAChargeThatFindsNoPlaceMakesTheNextStartCareful(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	for range maxQueued {
		s.Sent(1, time.Now())
	}
	if err := s.Charged(charge(1, time.Now())); !errors.Is(err, errFull) {
		t.Errorf("Charged() = %v; want that the queue is full", err)
	}
	s.flush()
	if m := restoreCopy(t, s); !m.Lost {
		t.Error("not Lost; want Lost, since a charge found no place")
	}
}

func TestCloseWhileOthersWriteLosesNothing(t *testing.T) {
	t.Parallel()
	for range 10 {
		s, _ := open(t, t.TempDir())
		stop := run(t, s)
		var acknowledged atomic.Int64
		var group sync.WaitGroup
		for worker := range 4 {
			group.Go(func() {
				for i := 0; ; i++ {
					id := uint64(worker*1_000_000 + i + 1)
					if err := s.Charged(charge(id, time.Now())); err != nil {
						if !errors.Is(err, errClosed) {
							t.Errorf("Charged() = %v; want that the store is closed", err)
						}
						return
					}
					acknowledged.Add(1)
					s.Sent(id, time.Now())
					if i%8 == 0 {
						_ = s.Remember(context.Background(), []quota.Learned{{Scope: model("m"), Saved: time.Now()}})
					}
				}
			})
		}
		for acknowledged.Load() < 20 {
			runtime.Gosched()
		}
		must(t, s.Close())
		group.Wait()
		if err := s.Close(); err != nil {
			t.Errorf("a second Close() = %v; want nil", err)
		}
		s.Sent(1, time.Now())
		s.Refunded(1)
		s.second(time.Now())
		s.minute(t.Context(), time.Now())
		if err := s.Remember(t.Context(), nil); !errors.Is(err, errClosed) {
			t.Errorf("Remember() = %v after Close; want that the store is closed", err)
		}
		stop()
		next, _ := open(t, s.vault.dir)
		m := restore(t, next)
		if n := int64(len(m.Charges)); n != acknowledged.Load() || m.Lost {
			t.Errorf("%d charges, Lost %t; want the %d that were acknowledged, false", n, m.Lost, acknowledged.Load())
		}
	}
}

func TestStoresWorkInBubblesAllAtOnce(t *testing.T) {
	t.Parallel()
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, _ := open(t, "")
				stop := run(t, s)
				var group sync.WaitGroup
				for i := range 20 {
					group.Go(func() {
						began := time.Now()
						if err := s.Charged(charge(uint64(i+1), began)); err != nil || time.Since(began) != 0 {
							t.Errorf("Charged() = %v after %v; want nil, at once", err, time.Since(began))
						}
						time.Sleep(time.Duration(i) * time.Second)
						s.Sent(uint64(i+1), time.Now())
					})
				}
				group.Wait()
				time.Sleep(time.Hour)
				stop()
				must(t, s.Close())
			})
		})
	}
}
