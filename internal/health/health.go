// Package health is liveness, readiness, and the checks behind them.
//
// Liveness asks nobody: a process that answers is alive, and an upstream that refuses must never be the reason to restart it.
// Readiness asks the checks, but no probe ever waits for one longer than [Patience]: the checks run in one goroutine, their results
// are kept for a while, and a probe gets the last ones known.
package health

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// Patience is how long a probe waits for stale checks to be run again before it answers with what is known. Kubernetes and
	// Docker give up on a probe after a second or more by default.
	Patience = 100 * time.Millisecond
	// DefaultTTL is how long a good result is believed: a probe every few seconds then costs a check every ten.
	DefaultTTL = 10 * time.Second
	// BadTTL is how long a bad result is believed: short, so that a recovery is seen soon, but not so short that probes hammer an
	// upstream that is down.
	BadTTL = 2 * time.Second
	// DefaultTimeout is how long a check may take: a slow upstream is still a reachable one, a minute of silence is not.
	DefaultTimeout = 5 * time.Second
)

// Check is one thing that must be well for the sidecar to be ready.
type Check struct {
	Name string // what is checked, for ?verbose
	// Run returns nil when all is well. It must return soon after its context ends. The text of its error is shown to whoever may
	// ask for ?verbose, so it must hold no secret.
	Run func(context.Context) error
	// TTL is how long a good result is believed; zero means DefaultTTL. A bad one is believed for BadTTL, or the TTL if that is
	// shorter.
	TTL time.Duration
}

// Options are what New needs to know. The zero value works: with nothing to check, the sidecar is ready until it drains.
type Options struct {
	Checks  []Check       // in the order in which they are run and listed
	Timeout time.Duration // for each run of a check; zero means DefaultTimeout
}

// Health answers liveness and readiness probes. Use New to make one. It is safe for concurrent use.
type Health struct {
	timeout time.Duration
	wake    chan struct{} // of capacity 1: a round is wanted

	mu       sync.Mutex // guards the following
	draining bool
	checks   []*state      // the slice itself never changes
	round    chan struct{} // closed when the round that runs or comes next has ended
}

// state is a check and what is known of it.
type state struct {
	Check
	err     error     // of the last run that has ended
	ended   time.Time // when that was; zero before the first
	started time.Time // when the run that is under way began; zero when there is none
}

// New returns a Health that is not ready until Run has run every check once.
func New(o Options) *Health {
	h := &Health{timeout: o.Timeout, wake: make(chan struct{}, 1), round: make(chan struct{})}
	if h.timeout <= 0 {
		h.timeout = DefaultTimeout
	}
	for _, c := range o.Checks {
		if c.TTL <= 0 {
			c.TTL = DefaultTTL
		}
		h.checks = append(h.checks, &state{Check: c})
	}
	return h
}

// Run runs the checks: all of them when it begins, then those that are stale each time somebody asks. It is the only place where
// they run, one after the other, so that any number of probes costs one check. It returns nil after ctx has ended.
func (h *Health) Run(ctx context.Context) error {
	for {
		for _, c := range h.checks {
			h.refresh(ctx, c)
		}
		h.mu.Lock()
		close(h.round)
		h.round = make(chan struct{})
		h.mu.Unlock()
		select {
		case <-h.wake:
		case <-ctx.Done():
			return nil
		}
	}
}

// refresh runs a check unless its last result is still to be believed.
func (h *Health) refresh(ctx context.Context, c *state) {
	h.mu.Lock()
	now := time.Now()
	fresh := c.fresh(now)
	if !fresh {
		c.started = now
	}
	h.mu.Unlock()
	if fresh {
		return
	}
	limited, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	err := c.Run(limited)

	h.mu.Lock()
	defer h.mu.Unlock()
	c.started = time.Time{}
	if ctx.Err() == nil { // else it was we who ended the check, which says nothing about what it checks
		c.err, c.ended = err, time.Now()
	}
}

// Live answers 200 as long as the process can answer at all, draining or not.
func (h *Health) Live() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		write(w, http.StatusOK, report{Status: "alive"})
	})
}

// Ready answers 200 when every check is well and 503 when one is not, when one was never run, and while draining. The answer comes
// within Patience whatever the checks do. With ?verbose it lists all checks.
func (h *Health) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if stale, round := h.ask(); stale {
			patience := time.NewTimer(Patience)
			defer patience.Stop()
			select {
			case <-round:
			case <-patience.C:
			case <-r.Context().Done():
			}
		}
		rep := h.report()
		status := http.StatusOK
		if rep.Status != ready {
			status = http.StatusServiceUnavailable
		}
		if !r.URL.Query().Has("verbose") {
			rep.Checks = nil
		}
		write(w, status, rep)
	})
}

// Healthy reports what a probe of readiness would be told without waiting. It has stale checks run again for the next caller, so
// that a scrape every 15 s sees the truth of the one before even where nobody probes.
func (h *Health) Healthy() bool {
	h.ask()
	return h.report().Status == ready
}

// SetDraining makes readiness say no from now on: the sidecar is shutting down and wants no more traffic.
func (h *Health) SetDraining() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.draining = true
}

// ask has the checks run again if one of them is stale, and then returns what is closed when that is done. While draining there
// is nothing left to ask.
func (h *Health) ask() (stale bool, round <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	stale = !h.draining && slices.ContainsFunc(h.checks, func(c *state) bool { return !c.fresh(now) })
	if stale {
		select {
		case h.wake <- struct{}{}:
		default: // a round is wanted already
		}
	}
	return stale, h.round
}

// fresh reports whether the last result is still to be believed.
func (c *state) fresh(now time.Time) bool {
	ttl := c.TTL
	if c.err != nil {
		ttl = min(ttl, BadTTL)
	}
	return now.Sub(c.ended) < ttl
}
