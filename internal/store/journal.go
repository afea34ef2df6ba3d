package store

import (
	"context"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// op is one entry of the journal that waits for a commit.
type op struct {
	kind  kind
	id    int64
	scope limit.Scope   // of a charge
	at    time.Time     // of a charge, and when it was sent
	span  time.Duration // of a charge: how long it counts after it was sent
	done  chan<- error  // of capacity 1: gets the result; nil = nobody waits
}

type kind uint8

const (
	charged kind = iota
	sent
	refunded
)

// Charged writes a charge and returns nil when it is on disk, safe from a killed process. Any other result says that it is not, and
// why: the disk fails (memory has it then), did not answer within Patience (it is written as soon as it does), or the store is
// closed. It is for the caller to know, not to obey: the request goes on. The charge is open until Sent says more, whatever its
// Open says.
//
// While Run runs, it writes the charges of all who wait in one transaction. Before and after that each caller writes for itself and
// waits as long as the disk takes.
func (s *Store) Charged(c quota.Charge) error {
	done := make(chan error, 1)
	o := op{kind: charged, id: int64(c.ID), scope: c.Scope, at: c.At, span: c.Until.Sub(c.At), done: done}
	if err := s.enqueue(o); err != nil {
		return err
	}
	if s.stuck() {
		return errSlow
	}
	if !s.running.Load() {
		s.flush()
	} else {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
	timer := time.NewTimer(Patience)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errSlow
	}
}

// Sent says that the request of a charge was wholly written: from then on the charge ages. It does not wait; the news are on disk
// within a second, or sooner, with the next charge. If they are lost, or find no place in a full queue, the charge stays open.
func (s *Store) Sent(id uint64, at time.Time) {
	_ = s.enqueue(op{kind: sent, id: int64(id), at: at})
}

// Refunded takes a charge back. It does not wait, as Sent does not.
func (s *Store) Refunded(id uint64) {
	_ = s.enqueue(op{kind: refunded, id: int64(id)})
}

// enqueue queues o unless the queue is full or closed.
func (s *Store) enqueue(o op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return errClosed
	case len(s.queue) < maxQueued:
		s.queue = append(s.queue, o)
		return nil
	}
	s.stats.Dropped++
	if until := o.at.Add(o.span); o.kind == charged && until.After(s.missed) {
		s.missed = until
	}
	return errFull
}

// flush takes the turn and commits.
func (s *Store) flush() {
	_ = s.use(context.Background(), func() error { s.commit(); return nil }) // who waits is told by commit
}

// commit writes all that is queued in one transaction, and tells those who wait. It is called with the turn.
func (s *Store) commit() {
	s.mu.Lock()
	batch, missed := s.queue, s.missed
	s.queue, s.missed = s.spare[:0], time.Time{}
	s.mu.Unlock()
	if !missed.IsZero() {
		s.vault.miss(missed)
	}
	if len(batch) > 0 {
		err := s.vault.write(func(d *database) error { return d.apply(batch, s.vault.line) })
		for _, o := range batch {
			if o.done != nil {
				o.done <- err
			}
		}
		clear(batch)
	}
	s.spare = batch
}
