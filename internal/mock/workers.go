package mock

import (
	"net/http"
	"sync/atomic"
	"time"
)

// pool is the workers of a model and the queue before them. It is safe for concurrent use.
type pool struct {
	slots   chan struct{} // one element for each busy worker; nil if there is no bound
	queue   int64         // how many may wait; negative: none, and it is the worker that says so
	waiting atomic.Int64
}

func newPool(o Options) *pool {
	p := &pool{queue: int64(o.QueueLength)}
	if o.Workers > 0 {
		p.slots = make(chan struct{}, o.Workers)
	}
	return p
}

func (p *pool) leaveWorker() { <-p.slots }
func (p *pool) leaveQueue()  { p.waiting.Add(-1) }

// enqueue takes a worker if one is free, else a place in the queue.
func (s *Server) enqueue(c *call) string {
	p := c.model.workers
	if p.slots == nil {
		return ""
	}
	select {
	case p.slots <- struct{}{}:
		c.leave = p.leaveWorker
		return ""
	default:
	}
	if p.queue < 0 {
		return "worker_exhausted"
	}
	if p.waiting.Add(1) > p.queue {
		p.leaveQueue()
		return "queue_full"
	}
	c.queued, c.leave = true, p.leaveQueue
	return ""
}

// grace is how much longer than the poll time the gateway waits for a worker.
const grace = 2 * time.Second

// work waits for a worker and lets it answer, or do what the fault makes of it.
func (s *Server) work(c *call) {
	if c.queued && !s.takeWorker(c) {
		s.refuse(c, "no_worker", nil)
		return
	}
	silence := s.options.Service + s.options.FirstByte
	if c.fault != nil && c.fault.Name != "slow_stream" && c.fault.Name != "pause" {
		silence += c.fault.Delay
	}
	s.wait(c, min(silence, c.poll))
	switch {
	case silence > c.poll:
		s.refuse(c, "in_progress", nil)
	case c.fault != nil:
		misdeeds[c.fault.Name](s, c)
	default:
		s.answer(c)
	}
}

// takeWorker waits for a worker, and reports whether there was one before the gateway gives up.
func (s *Server) takeWorker(c *call) bool {
	timeout := time.NewTimer(c.poll + grace)
	defer timeout.Stop()
	p := c.model.workers
	select {
	case p.slots <- struct{}{}:
		p.leaveQueue()
		c.leave = p.leaveWorker
		return true
	case <-timeout.C:
		return false
	case <-c.r.Context().Done():
	case <-s.closing.Done():
	}
	panic(http.ErrAbortHandler)
}
