package store

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/quota"
)

// Options configure a Store. The zero value is a store in memory.
type Options struct {
	// Dir is the state directory. It is made if it is not there, for this user alone. Empty keeps the same store in memory, where it
	// ends with the process.
	Dir string

	// Logger gets a line when the disk fails or is well again, and when a damaged file is set aside. Nil discards them.
	Logger *slog.Logger
}

// Patience is how long a charge waits for the disk, and how long the disk may be silent before the store calls itself degraded. A
// commit takes some 0.05 ms; a disk that has to sync under load may need a hundred.
const Patience = time.Second

const (
	// closing is how long Close waits for a disk that is silent.
	closing = 5 * time.Second
	// maxQueued bounds what waits for a commit, to about 1 MB. A request makes two entries, and the queue is emptied every second or
	// sooner: it fills up only behind a disk that is silent.
	maxQueued = 8192
)

var (
	errSlow   = errors.New("the disk does not answer")
	errFull   = errors.New("too many charges wait for the disk")
	errClosed = errors.New("the store is closed")
)

// Store keeps charges and learned limits. Use Open; its owner runs Run, and calls Close when Run has ended. All methods are safe for
// concurrent use.
type Store struct {
	began   time.Time     // immutable
	lastID  uint64        // immutable
	wake    chan struct{} // capacity 1: somebody waits for a commit
	running atomic.Bool   // Run commits
	busy    atomic.Int64  // since when the turn is taken, in nanoseconds after began; 0 = it is free

	mu      sync.Mutex // guards the following
	queue   []op
	missed  time.Time // until when a charge counts that found no place in the queue
	closed  bool      // nothing is queued any more
	trouble error
	stats   Stats

	turn     chan struct{} // capacity 1: full while somebody uses the following
	vault    *vault
	restored quota.Memory
	spare    []op // the last batch's memory, for the next queue
	ended    bool
}

// Stats counts what went wrong since the start.
type Stats struct {
	Failures   uint64 // of writing to disk, repeated attempts included
	Dropped    uint64 // what found no place in the queue: charges, and the news that they were sent or refunded
	ClockJumps uint64 // the wall clock was set by a second or more
}

// Open opens the state of a directory, or begins one, and reads what an earlier process left. Two things are an error that the operator
// must see: an *InUseError and a *NewerError. Whatever else is wrong with directory, file or disk is logged, and the store goes on in
// memory.
func Open(o Options) (*Store, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	now := time.Now()
	v, err := newVault(o.Dir, o.Logger, now)
	if err != nil {
		return nil, err
	}
	found, err := v.open(now)
	if err != nil {
		return nil, errors.Join(err, v.release())
	}
	return &Store{
		began: now, lastID: found.lastID, restored: found.memory, vault: v, trouble: v.trouble,
		wake: make(chan struct{}, 1), turn: make(chan struct{}, 1),
	}, nil
}

// LastID returns a number such that no charge of an earlier process has a greater ID: the charges of this one are numbered from the
// next on. It is the greatest that was found on disk, or the time of the start in microseconds if that is more; so it holds as well
// where the disk could not be read, as long as no process makes more than a million charges a second.
func (s *Store) LastID() uint64 { return s.lastID }

// Degraded returns why the state is in memory although it should be on disk, nil when all is well. The text holds no secret. It never
// waits.
func (s *Store) Degraded() error {
	s.mu.Lock()
	trouble := s.trouble
	s.mu.Unlock()
	if trouble == nil && s.stuck() {
		return errSlow
	}
	return trouble
}

// Stats returns what went wrong so far.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Restore returns what an earlier process left, as Open found it: what was learned, and the charges that still count. Times are on the
// clock of this process, none of them in the future but Until. Lost says that charges may be missing: the file was damaged, the
// disk had failed, or it cannot be read. The memory is handed over: a second call finds nothing.
func (s *Store) Restore(ctx context.Context) (m quota.Memory, err error) {
	err = s.use(ctx, func() error {
		m, s.restored = s.restored, quota.Memory{}
		return nil
	})
	return m, err
}

// Remember keeps what was learned, in one transaction, in place of what was known of the same scopes. An error says that it is not on
// disk: memory holds it, and it is carried over when the disk is well again. The context bounds the wait for a disk that is busy.
// Scopes that are not mentioned for a month are forgotten at the start.
func (s *Store) Remember(ctx context.Context, learned []quota.Learned) error {
	return s.use(ctx, func() error {
		return s.vault.write(func(d *database) error { return d.learn(learned) })
	})
}

// Close writes what is queued, brings the file in order and gives the directory free. It should follow the end of Run, but may come at
// any time; what is called later does nothing and says so. A second call does nothing.
func (s *Store) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(context.Background(), closing, errSlow)
	defer cancel()
	return s.use(ctx, func() error {
		s.commit()
		s.ended = true
		return s.vault.close(time.Now())
	})
}

// use gives f the turn: nobody else has the vault while it runs.
func (s *Store) use(ctx context.Context, f func() error) error {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-s.turn }()
	if s.ended {
		return errClosed
	}
	s.busy.Store(max(1, int64(time.Since(s.began))))
	defer s.busy.Store(0)
	err := f()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.trouble, s.stats.Failures, s.stats.ClockJumps = s.vault.trouble, s.vault.failures, s.vault.jumps
	return err
}

// stuck reports whether whoever has the turn has had it for longer than a charge would wait.
func (s *Store) stuck() bool {
	since := s.busy.Load()
	return since != 0 && time.Since(s.began)-time.Duration(since) > Patience
}
