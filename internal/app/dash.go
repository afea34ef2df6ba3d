package app

import (
	"cmp"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/config"
	"nimsidecar/internal/dash"
	"nimsidecar/internal/gate"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/history"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/proxy"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/upstream"
)

// The bounds of what a snapshot lists: beyond them it would be long, and nobody would read it.
const (
	shownWaiters  = 200
	shownRequests = 50
	shownLimits   = 200
)

// shownWaits is over how many steps of the history the percentiles of a snapshot go: five minutes.
const shownWaits = 60

// sentSteps is over how many steps the rate goes at which is being sent: a minute.
const sentSteps = 12

// panel adapts the parts of an App to what the dashboard asks for.
type panel struct {
	app   *App
	began time.Time
	held  func() int64 // bytes of request bodies
	past  *past
}

// View implements dash.Source.
func (p *panel) View() *dash.View {
	now := time.Now()
	a, c := p.app, p.app.steering.config()
	details := a.book.Details(now)
	v := &dash.View{
		Now: now.UnixMilli(), Version: cmp.Or(a.version, "dev"), UptimeS: rounded(now.Sub(p.began).Seconds()),
		SettingsVersion: a.steering.version(), SettingsError: a.steering.fileError(), Demo: a.demo,
		Draining: a.gate.Draining(), Healthy: a.health.Healthy(), StateDir: a.store != nil, StoreDegraded: a.store != nil && a.store.Degraded() != nil,
		Limits: p.limits(details), Requests: p.past.requests(), Providers: p.providers(c), Batches: []dash.Batch{},
	}
	v.Waiting, v.WaitingMore, v.Queue = p.queue(now, c)
	p.pace(now, v, details, &c.Providers[0])
	return v
}

// pace says how the default provider is paced.
func (p *panel) pace(now time.Time, v *dash.View, details []quota.Detail, first *config.Provider) {
	a := p.app
	m := a.pace(now, first)
	v.TokensAvailable = m.Tokens
	v.State, v.StateReason, v.StateSince = adapt.Normal.String(), "", nil
	worst := quota.Detail{}
	for _, d := range details {
		if d.Scope.Provider == first.Name && severity(d.State) > severity(worst.State) {
			worst = d
		}
	}
	if worst.Scope.Provider != "" {
		v.State = worst.State.String()
	}
	if change, ok := p.past.change(worst.Scope); ok && change.to == worst.State {
		v.StateReason, v.StateSince = change.why, millis(change.at)
	}
	v.Rate.Effective = positive(m.EffectiveRate)
	ceiling, configured := together(details, first.Name)
	v.Rate.Ceiling, v.Rate.Configured = positive(ceiling), positive(cmp.Or(configured, first.Rates().PerMinute()*accounts(first)))
	v.Rate.Sent = rounded(p.past.sent(now) * float64(time.Minute) / float64(min(time.Minute, max(now.Sub(p.began), history.Step))))
	if v.Rate.Ceiling != nil {
		v.Utilisation = finite(v.Rate.Sent / *v.Rate.Ceiling)
	}
	v.RefusedShare = finite(m.Rate429)
}

// severity orders states, the worst last.
func severity(s adapt.State) int {
	switch s {
	case adapt.Retreat:
		return 2
	case adapt.Recover:
		return 1
	}
	return 0
}

// together is how many attempts a minute the scopes of a provider that are in use are known to allow, and what the settings say of them: of
// each account no more than its own.
func together(details []quota.Detail, provider string) (ceiling, configured float64) {
	type sums struct{ models, account float64 }
	known, told := map[string]sums{}, map[string]sums{}
	add := func(to map[string]sums, d *quota.Detail, rate float64) {
		s := to[d.Scope.Account]
		if d.Scope.WholeAccount() {
			s.account = rate
		} else {
			s.models += rate
		}
		to[d.Scope.Account] = s
	}
	for i := range details {
		if d := &details[i]; d.Scope.Provider == provider {
			add(known, d, d.Ceiling)
			add(told, d, d.Told)
		}
	}
	total := func(of map[string]sums) (sum float64) {
		for _, s := range of {
			switch {
			case s.models == 0 || s.account == 0:
				sum += s.models + s.account
			default:
				sum += min(s.models, s.account)
			}
		}
		return sum
	}
	return total(known), total(told)
}

// queue says who waits: the first of them one by one, all by class.
func (p *panel) queue(now time.Time, c *config.Config) (first []dash.Waiter, more int, all dash.Depths) {
	waiters := p.app.gate.Waiting()
	all = dash.Depths{Total: len(waiters), Capacity: c.Queue.Capacity, Bytes: p.held()}
	for _, class := range priority.All() {
		of := dash.Class{Class: class.String()}
		of.P50MS, of.P95MS = p.past.waits(now, class)
		for i := range waiters {
			if w := &waiters[i]; w.Class == class {
				of.Waiting++
				if oldest := w.Waited.Milliseconds(); of.OldestMS == nil || oldest > *of.OldestMS {
					of.OldestMS = &oldest
				}
			}
		}
		all.Classes = append(all.Classes, of)
	}
	first = waiting(waiters[:min(len(waiters), shownWaiters)])
	return first, len(waiters) - len(first), all
}

// Waiting implements dash.Queue.
func (p *panel) Waiting() []dash.Waiter { return waiting(p.app.gate.Waiting()) }

// End implements dash.Queue.
func (p *panel) End(id string) bool {
	ended := p.app.gate.End(id)
	if ended {
		p.app.logger.Info("request taken out of the queue", "id", id)
	}
	return ended
}

func waiting(waiters []gate.Waiter) []dash.Waiter {
	all := make([]dash.Waiter, len(waiters))
	for i := range waiters {
		w := &waiters[i]
		all[i] = dash.Waiter{
			ID: w.ID, Class: w.Class.String(), Agent: w.Agent, Client: text(w.Client), Model: model(w.Model), Provider: w.Provider,
			WaitedMS: w.Waited.Milliseconds(), Place: w.Position, Repeat: w.Repeat,
		}
		if w.Estimate > 0 {
			eta := w.Estimate.Milliseconds()
			all[i].ETAMS = &eta
		}
	}
	return all
}

// limits says what is known of each scope. Where there are very many, those that were refused last come first.
func (p *panel) limits(details []quota.Detail) []dash.Limit {
	if len(details) > shownLimits {
		slices.SortStableFunc(details, func(x, y quota.Detail) int { return y.LastRefusal.Compare(x.LastRefusal) })
		details = details[:shownLimits]
	}
	all := make([]dash.Limit, len(details))
	for i := range details {
		d := &details[i]
		l := dash.Limit{
			Provider: d.Scope.Provider, Account: d.Scope.Account, Model: model(d.Scope.Model), State: d.State.String(),
			Windows: make([]dash.Window, len(d.Windows)), Confidence: string(d.Confidence), PausedUntil: millis(d.PausedUntil),
			LastRefusal: millis(d.LastRefusal), Refusals: d.Refusals, Charged: d.Charged, InFlightMax: some(d.Workers),
		}
		if d.Burst != math.MaxInt {
			l.Burst = some(d.Burst)
		}
		if !d.Scope.WholeAccount() {
			l.InFlight = &d.Running
		}
		if change, ok := p.past.change(d.Scope); ok && change.to == d.State {
			l.Reason = text(change.why)
		}
		for j, w := range d.Windows {
			l.Windows[j] = dash.Window{
				Period: period(w.Rate.Period), Limit: w.Rate.N, Learned: d.Origins[j].Learned, Configured: some(d.Origins[j].Told),
				Used: w.Used,
			}
			if w.Used > 0 {
				l.Windows[j].Resets = millis(w.Resets)
			}
		}
		all[i] = l
	}
	return all
}

// providers says how the providers and their keys stand.
func (p *panel) providers(c *config.Config) []dash.Provider {
	views := p.app.upstream.View()
	all := make([]dash.Provider, len(c.Providers))
	for i := range c.Providers {
		settings := &c.Providers[i]
		of := dash.Provider{
			Name: settings.Name, URLHost: settings.URL.Host, Default: i == 0, Healthy: true, Paused: settings.Paused,
			Breaker: "closed", Accounts: []dash.Account{},
		}
		for _, account := range settings.Accounts {
			of.Accounts = append(of.Accounts, dash.Account{Name: account.Name, Keys: []dash.Key{}})
		}
		if at := slices.IndexFunc(views, func(v upstream.ProviderView) bool { return v.Name == settings.Name }); at >= 0 {
			stand(&of, &views[at])
		}
		all[i] = of
	}
	return all
}

// stand says how a provider stands, as its attempts have shown.
func stand(of *dash.Provider, v *upstream.ProviderView) {
	now := time.Now()
	if !v.Since.IsZero() {
		of.Healthy, of.Breaker = false, "open"
		if !v.Until.After(now) {
			of.Breaker = "half_open"
		}
	}
	for _, k := range v.Keys {
		key := dash.Key{Alias: k.Alias, Healthy: k.Since.IsZero(), BenchedUntil: millis(k.Until), Reason: text(k.Reason)}
		for i := range of.Accounts {
			if of.Accounts[i].Name == k.Account {
				of.Accounts[i].Keys = append(of.Accounts[i].Keys, key)
			}
		}
	}
}

// model is a model's name; nil where there is none.
func model(name string) *string {
	if name == limit.NoModel {
		return nil
	}
	return text(name)
}

func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func some(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// positive is a number of which zero says that nothing is known.
func positive(x float64) *float64 {
	if x <= 0 {
		return nil
	}
	return finite(x)
}

// finite is a number as it is shown; nil for what is none.
func finite(x float64) *float64 {
	if math.IsInf(x, 0) || math.IsNaN(x) {
		return nil
	}
	x = rounded(x)
	return &x
}

// rounded leaves three decimals of a number: nobody sees more.
func rounded(x float64) float64 { return math.Round(x*1000) / 1000 }

func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// period is the letter of a period as limits are written, or its length.
func period(d time.Duration) string {
	switch d {
	case time.Second:
		return "S"
	case time.Minute:
		return "M"
	case time.Hour:
		return "H"
	case 24 * time.Hour:
		return "D"
	}
	return d.String()
}

// buildDash builds the dashboard on top of the other parts.
func (a *App) buildDash(c *config.Config, handler *proxy.Handler) {
	p := &panel{app: a, began: time.Now(), held: handler.Held, past: a.past}
	a.feed = dash.NewFeed(p)
	admin := guard.NewAdmin(c.Admin.Token)
	a.dashboard = dash.New(dash.Options{
		Feed: a.feed, Queue: p, Settings: a.steering, History: a.past,
		Read:  func(r *http.Request) error { return permitted(admin.MayRead(r)) },
		Write: func(r *http.Request) error { return permitted(admin.MayWrite(r)) },
	})
}

// permitted is what a client is told of a permit.
func permitted(p guard.Permit) error {
	switch p {
	case guard.TokenLess:
		return &dash.Error{
			Status: http.StatusUnauthorized, Param: "Authorization", Code: dash.Unauthorized,
			Message: "this needs the admin token (admin.token, SIDECAR_ADMIN_TOKEN): send it as \"Authorization: Bearer\"",
		}
	case guard.Remote:
		return &dash.Error{
			Status: http.StatusForbidden, Param: "admin.token", Code: dash.Forbidden,
			Message: "without an admin token only this machine may do this: set admin.token (SIDECAR_ADMIN_TOKEN) to let others in who show it",
		}
	}
	return nil
}

// steer lets settings change while running.
func (a *App) steer(o Options, handler *proxy.Handler) {
	s := a.steering
	s.load = o.Reload
	s.parts = []part{
		{name: "log.level", apply: func(c *config.Config) { setLevel(o.Level, c.Log.Level) }},
		{name: "providers", apply: func(c *config.Config) { a.book.Apply(time.Now(), terms(c)) }},
		{name: "queue", apply: func(c *config.Config) { handler.Apply(proxySettings(c)) }},
		{name: "drain", apply: func(c *config.Config) {
			a.gate.Apply(gate.Settings{
				Capacity: c.Queue.Capacity, Displace: c.Queue.Overflow == config.OverflowReject, Drain: c.Drain,
			})
		}},
	}
	if c := s.config(); c.Drain || len(s.state.Load().overlay) > 0 {
		for _, p := range s.parts {
			p.apply(c)
		}
	}
}

// setLevel changes what is logged from now on; nil cannot be changed.
func setLevel(level *slog.LevelVar, name string) {
	var l slog.Level
	if level != nil && l.UnmarshalText([]byte(name)) == nil {
		level.Set(l)
	}
}
