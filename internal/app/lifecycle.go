package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"nimsidecar/internal/proxy"
)

// undoStack holds what must be undone, newest last.
type undoStack struct {
	steps []undoStep
}

type undoStep struct {
	name string
	undo func() error
}

// add registers an undo the moment its thing exists.
func (u *undoStack) add(name string, undo func() error) {
	u.steps = append(u.steps, undoStep{name, undo})
}

// run undoes everything once, newest first; a failure is logged and does not stop the rest.
func (u *undoStack) run(logger *slog.Logger) {
	for _, step := range slices.Backward(u.steps) {
		if err := step.undo(); err != nil {
			logger.Warn("undo failed", "step", step.name, "error", err)
		}
	}
	u.steps = nil
}

// running counts what a stop waits for: the requests that are inside the proxy, while the listener stays open, and connections.
type running struct {
	mu    sync.Mutex // guards the following
	count int
	none  chan struct{} // made by whoever waits; closed when count falls to 0
}

// wrap counts the requests that are inside next.
func (r *running) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.begin()
		defer r.done()
		next.ServeHTTP(w, req)
	})
}

func (r *running) begin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
}

func (r *running) done() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count--
	if r.count == 0 && r.none != nil {
		close(r.none)
		r.none = nil
	}
}

// now is how many run.
func (r *running) now() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

// idle is closed once none runs.
func (r *running) idle() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.none == nil {
		r.none = make(chan struct{})
		if r.count == 0 {
			none := r.none
			r.none = nil
			close(none)
			return none
		}
	}
	return r.none
}

// connections counts the open connections of clients, as the server tells of them.
type connections struct{ open running }

// count is an http.Server's ConnState hook. net/http tells of each connection's beginning and end exactly once.
func (c *connections) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.open.begin()
	case http.StateClosed, http.StateHijacked:
		c.open.done()
	}
}

// cutGrace is how long requests that are cut at the end of the stop's bound have to tell their clients.
const cutGrace = time.Second

// Run serves until ctx ends, then stops in order, and returns nil; or it returns the error that ended it. It returns only when
// everything it started has ended.
func (a *App) Run(ctx context.Context) error {
	parts, stopParts := context.WithCancel(context.Background()) // outlives ctx: running requests need the gate until they end
	defer stopParts()
	failed := make(chan error, 11) // one place a part, so that none blocks
	var group sync.WaitGroup
	start := func(name string, run func() error) {
		group.Go(func() {
			if err := run(); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, context.Canceled) {
				failed <- fmt.Errorf("%s: %w", name, err)
			}
		})
	}
	start("gate", func() error { return a.gate.Run(parts) })
	start("keeper", func() error { return a.keep(parts) })
	if a.store != nil {
		start("store", func() error { return a.store.Run(parts) })
	}
	start("models", func() error { return a.list(parts) })
	start("health", func() error { return a.health.Run(parts) })
	start("dashboard", func() error { return a.feed.Run(parts) })
	start("historian", func() error { return a.historian(parts) })
	start("settings", func() error { return a.watch(parts) })
	start("metrics server", func() error { return a.metricsServer.Serve(a.metricsListener) })
	start("proxy server", func() error {
		defer close(a.accepted)
		return a.proxyServer.Serve(a.proxyListener)
	})
	start("watchdog", func() error { return a.service.feed(parts, a.gate.Beat) })
	a.logger.Info("serving")
	a.service.tell("READY=1", "STATUS=serving on "+a.Addr())

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		a.logger.Error("stopping after a failure", "error", err)
	}
	a.stop()
	stopParts()
	group.Wait()
	a.undo.run(a.logger)
	return err
}

// stop ends the sidecar in order: readiness off; who waits and who comes is told to come again; what runs may finish within the
// bound, and is cut, aloud, at its end; the proxy's listener closes, the metrics' last. A listener that a service manager keeps is let go
// first.
func (a *App) stop() {
	began := time.Now()
	a.logger.Info("draining", "timeout", a.shutdown.String())
	a.service.tell("STOPPING=1", "STATUS=draining")
	if a.service.Listener != nil {
		_ = a.proxyListener.Close() // the manager keeps it: who comes from now on waits for the next process
		<-a.accepted
		a.proxyServer.SetKeepAlivesEnabled(false) // who has come is served, and then let go
	}
	a.steering.close()
	a.health.SetDraining()
	a.gate.Drain()
	bound, cancel := context.WithTimeout(context.Background(), a.shutdown)
	defer cancel()
	select {
	case <-a.running.idle():
	case <-bound.Done():
		a.logger.Warn("cutting requests that outlast the shutdown timeout", "timeout", a.shutdown.String())
		a.abort(proxy.ErrStopping)
		select {
		case <-a.running.idle():
		case <-time.After(cutGrace):
		}
	}
	a.feed.Close()
	if a.service.Listener != nil { // Shutdown would drop a request that is just being read
		select {
		case <-a.connections.open.idle():
		case <-time.After(cutGrace):
		}
	}
	a.close("proxy", a.proxyServer)
	select { // those whose connection had to be closed under them still write their log line
	case <-a.running.idle():
	case <-time.After(cutGrace):
		a.logger.Warn("requests are still running")
	}
	a.close("metrics", a.metricsServer)
	a.logger.Info("stopped", "after_ms", time.Since(began).Milliseconds())
}

// close ends a server: connections that finished their request are closed in order, the rest after the grace.
func (a *App) close(name string, s *http.Server) {
	grace, cancel := context.WithTimeout(context.Background(), cutGrace)
	defer cancel()
	if err := s.Shutdown(grace); err != nil {
		a.logger.Warn("closing connections that would not end", "server", name)
		_ = s.Close()
	}
}
