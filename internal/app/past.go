package app

import (
	"cmp"
	"context"
	"math"
	"sync"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/config"
	"nimsidecar/internal/history"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/proxy"
	"nimsidecar/internal/quota"
)

// past is what the dashboard shows of what is over: the series of the graphs, the last requests, why each state was entered. It is safe
// for concurrent use.
type past struct {
	mu       sync.Mutex // guards the following
	log      *history.Log
	finished []proxy.Finished // a ring of the last shownRequests, each with memory of its own for its attempts
	next     int              // where the next goes
	changes  map[limit.Scope]change
	charged  map[limit.Scope]counts // at the last sample
}

// change is the last change of a scope's state.
type change struct {
	at  time.Time
	to  adapt.State
	why string
}

// counts is what a ledger had counted; of a default provider, too.
type counts struct{ granted, refused uint64 }

func newPast() *past {
	return &past{log: history.New(), changes: map[limit.Scope]change{}, charged: map[limit.Scope]counts{}}
}

// maxChanges bounds the scopes of which the last change is kept, since clients choose the names of models.
const maxChanges = 10_000

// changed notes why a state was entered.
func (p *past) changed(now time.Time, c quota.Change) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.changes) >= maxChanges {
		clear(p.changes)
	}
	p.changes[c.Scope] = change{now, c.To, c.Why}
}

// change returns the last change of a scope's state.
func (p *past) change(s limit.Scope) (c change, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok = p.changes[s]
	return c, ok
}

// waits returns the median and the 95th percentile of the waits of a class of late, in milliseconds; nil where nobody waited.
func (p *past) waits(now time.Time, class priority.Class) (p50, p95 *float64) {
	p.mu.Lock()
	all := p.log.Waits(now, int(class), shownWaits)
	p.mu.Unlock()
	of := func(q float64) *float64 {
		d, ok := all.Quantile(q)
		if !ok {
			return nil
		}
		return finite(float64(d) / float64(time.Millisecond))
	}
	return of(0.5), of(0.95)
}

// sent returns how many slots of the default provider were granted in the last minute, as far as there was one.
func (p *past) sent(now time.Time) float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(p.log.Granted(now, sentSteps))
}

// Series implements dash.History.
func (p *past) Series(name string) (history.Series, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Series(time.Now(), name)
}

// count returns how many slots of a provider were granted since the last call, and how many of its attempts were refused. Ledgers that
// were dropped meanwhile take what they last counted with them.
func (p *past) count(details []quota.Detail, provider string) (granted, refused int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := make(map[limit.Scope]counts, len(p.charged))
	for i := range details {
		d := &details[i]
		if d.Scope.WholeAccount() || d.Scope.Provider != provider {
			continue
		}
		is, was := counts{d.Charged - d.Refunded, d.Refusals}, p.charged[d.Scope]
		if is.granted >= was.granted {
			granted += int(is.granted - was.granted)
		}
		if is.refused >= was.refused {
			refused += int(is.refused - was.refused)
		}
		seen[d.Scope] = is
	}
	p.charged = seen
	return granted, refused
}

// historian takes a sample every few seconds, and has those that changed kept where there is a state directory.
func (a *App) historian(ctx context.Context) error {
	timer := time.NewTimer(untilMiddle(time.Now()))
	defer timer.Stop()
	for round := 1; ; round++ {
		select {
		case <-ctx.Done():
			a.sample(time.Now())
			a.saveHistory(context.WithoutCancel(ctx))
			return nil
		case <-timer.C:
		}
		now := time.Now()
		a.sample(now)
		if round%saveRounds == 0 {
			a.saveHistory(ctx)
		}
		timer.Reset(untilMiddle(now))
	}
}

// untilMiddle returns how long it is until the middle of the next step: a sample there is in its step, whatever delays it a little.
func untilMiddle(now time.Time) time.Duration {
	const middle = history.Step / 2
	return now.Add(middle).Truncate(history.Step).Add(history.Step - middle).Sub(now)
}

// saveRounds is how many samples go by between two times that the history is saved: ten seconds.
const saveRounds = 2

// sample notes how things stand with the default provider, and what has happened since the last time.
func (a *App) sample(now time.Time) {
	first := &a.steering.config().Providers[0]
	details := a.book.Details(now)
	granted, refused := a.past.count(details, first.Name)
	ceiling, _ := together(details, first.Name)
	pace := a.pace(now, first)
	s := history.Sample{Granted: granted, Refused: refused, Rate: pace.EffectiveRate, Ceiling: ceiling, Utilisation: math.NaN(), Depth: a.gate.Depth()}
	if s.Rate == 0 {
		s.Rate = math.NaN()
	}
	a.past.mu.Lock()
	defer a.past.mu.Unlock()
	if ceiling == 0 {
		s.Ceiling = math.NaN()
	} else {
		s.Utilisation = float64(a.past.log.Granted(now, sentSteps-1)+granted) / ceiling
	}
	a.past.log.Add(now, s)
}

// saveHistory has the rows that have changed written down. The store itself says what goes wrong; then all of it is written the next time.
func (a *App) saveHistory(ctx context.Context) {
	if a.store == nil {
		return
	}
	a.past.mu.Lock()
	rows := a.past.log.Unsaved()
	a.past.mu.Unlock()
	if len(rows) == 0 {
		return
	}
	if err := a.store.Append(ctx, rows); err != nil {
		a.past.mu.Lock()
		a.past.log.Resave()
		a.past.mu.Unlock()
	}
}

// recall takes over what an earlier process has left for the dashboard, and returns the settings with what was changed on top of them.
func (a *App) recall(c *config.Config) *config.Config {
	if a.store == nil {
		return c
	}
	ctx := context.Background()
	rows, err := a.store.History(ctx)
	if err == nil {
		a.past.log.Restore(time.Now(), rows)
	}
	overlay, failed := a.store.Overlay(ctx)
	if err := cmp.Or(err, failed); err != nil {
		a.logger.Warn("history and settings of the last run could not be read", "error", err)
	}
	a.steering.restore(overlay)
	a.steering.keep = a.store.KeepOverlay
	return a.steering.config()
}
