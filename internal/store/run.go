package store

import (
	"context"
	"time"
)

const (
	// beat is how often the process writes that it lives, forgets what has expired, and tries a disk that failed.
	beat = time.Minute
	// flushing is how often what nobody waits for is written.
	flushing = time.Second
)

// Run commits what is queued until ctx ends, and returns nil: at once where somebody waits, else every second. Once a minute it
// forgets charges that count no more. Before it runs, nothing comes to disk but with a call of Charged, Remember or Close. Run it
// once.
func (s *Store) Run(ctx context.Context) error {
	s.running.Store(true)
	second, minute := time.NewTicker(flushing), time.NewTicker(beat)
	defer second.Stop()
	defer minute.Stop()
	for {
		select {
		case <-ctx.Done():
			s.running.Store(false)
			s.flush() // for those who saw it running
			return nil
		case <-s.wake:
			s.flush()
		case <-second.C:
			s.second(time.Now())
		case <-minute.C:
			s.minute(ctx, time.Now())
		}
	}
}

// second follows the wall clock and writes what is queued.
func (s *Store) second(now time.Time) {
	_ = s.use(context.Background(), func() error {
		s.vault.follow(now)
		s.commit()
		return nil
	})
}

// minute tries a disk that failed, and does the housekeeping, a little at a time, so that charges that come meanwhile do not wait for
// all of it.
func (s *Store) minute(ctx context.Context, now time.Time) {
	_ = s.use(ctx, func() error { s.vault.retry(now); return nil })
	for more := true; more && ctx.Err() == nil; {
		more = false
		_ = s.use(ctx, func() error {
			s.commit()
			more = s.vault.tidy(now)
			return nil
		})
	}
}
