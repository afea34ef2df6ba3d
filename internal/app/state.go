package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"nimsidecar/internal/config"
	"nimsidecar/internal/gate"
	"nimsidecar/internal/health"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/store"
)

// openStore opens what outlives the process, where there is a directory for it, and builds the ledgers on what it holds. What is damaged
// costs what was learned, never the start; a directory that another process uses, or a newer version wrote, is an error.
func (a *App) openStore(c *config.Config, logger *slog.Logger) (err error) {
	o := quota.Options{Terms: terms(c), Seed: rand.Uint64()}
	if c.StateDir == "" {
		a.book = quota.New(o)
		return nil
	}
	if a.store, err = store.Open(store.Options{Dir: c.StateDir, Logger: logger}); err != nil {
		return fmt.Errorf("state_dir: %w", err)
	}
	a.undo.add("store", a.store.Close)
	o.LastCharge, o.Terms = a.store.LastID(), terms(a.recall(c))
	a.book = quota.New(o)
	memory, err := a.store.Restore(context.Background())
	if err != nil {
		logger.Warn("what was learned could not be read: learning begins anew", "error", err)
		memory.Lost = true
	}
	a.book.Restore(time.Now(), memory)
	logger.Info("state restored", "state_dir", c.StateDir, "scopes", len(memory.Learned), "charges", len(memory.Charges), "lost", memory.Lost)
	return nil
}

// journal returns the store as the gate's journal; a nil interface where there is none.
func (a *App) journal() gate.Journal {
	if a.store == nil {
		return nil
	}
	return a.store
}

// checks are what readiness depends on.
func (a *App) checks() []health.Check {
	checks := []health.Check{{Name: "upstream", Run: a.upstream.Ping}}
	checks = append(checks, health.Check{Name: "admission", TTL: time.Second, Run: func(context.Context) error {
		if a.steering.config().Drain {
			return errors.New("drain is on: no request is admitted")
		}
		return nil
	}})
	if a.store != nil {
		checks = append(checks, health.Check{Name: "store", Run: func(context.Context) error { return a.store.Degraded() }})
	}
	return checks
}

// listEvery is how often the providers' models are asked for, so that a request finds who has its model although nobody asks for a list.
const listEvery = 10 * time.Minute

// list keeps the list of models known, until ctx ends. What goes wrong is said where it is asked.
func (a *App) list(ctx context.Context) error {
	if !a.upstream.Merges() {
		return nil
	}
	tick := time.NewTicker(listEvery)
	defer tick.Stop()
	for {
		_, _ = a.upstream.Models(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// rememberEvery is how often what was learned is written down while it changes.
const rememberEvery = time.Second

// keep logs every change of a ledger's state, and writes down what is learned, until ctx ends; then it does both a last time.
func (a *App) keep(ctx context.Context) error {
	tick := time.NewTicker(rememberEvery)
	defer tick.Stop()
	if a.store == nil {
		tick.Stop()
	}
	for {
		select {
		case change := <-a.book.Changes():
			a.logChange(change)
		case now := <-tick.C:
			a.remember(ctx, now)
		case <-ctx.Done():
			a.remember(context.WithoutCancel(ctx), time.Now())
			return nil
		}
	}
}

// remember writes down what was learned since the last time. The store itself says what goes wrong.
func (a *App) remember(ctx context.Context, now time.Time) {
	if a.store == nil {
		return
	}
	if learned := a.book.Learned(now); len(learned) > 0 {
		_ = a.store.Remember(ctx, learned)
	}
}

// logChange says why a ledger's state changed, with its figures.
func (a *App) logChange(c quota.Change) {
	a.past.changed(time.Now(), c)
	a.metrics.StateChanged(c.Scope.Provider, c.To.String())
	a.logger.Info("pacing state changed", "scope", c.Scope.String(), "from", c.From.String(), "to", c.To.String(), "reason", c.Why,
		"limit", known(c.Ceiling), "limit_before", known(c.Before), "refusals_in_a_row", c.Refusals)
}

// known is a ceiling for a log: 0 where there is none.
func known(n int) int {
	if n == math.MaxInt {
		return 0
	}
	return n
}
