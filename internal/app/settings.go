package app

import (
	"time"

	"nimsidecar/internal/coalesce"
	"nimsidecar/internal/config"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/metrics"
	"nimsidecar/internal/proxy"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// terms says what each scope must keep to, and what it may learn: a model of an account its provider's limits, a whole account the
// account's own.
func terms(c *config.Config) func(limit.Scope) quota.Terms {
	models := make(map[string]quota.Terms, len(c.Providers))
	accounts := make(map[string]quota.Terms, len(c.Providers))
	for i := range c.Providers {
		p := &c.Providers[i]
		t := quota.Terms{Burst: int(p.Burst), BurstShare: p.BurstShare, PerModel: p.NVIDIA}
		t.Rates, t.Trust = p.Rates(), trust(c, p.Limits)
		if t.Paused = p.Paused; len(p.Pin) > 0 {
			t.Rates, t.Trust = p.Pin, quota.Fixed
		}
		models[p.Name] = t
		t.Paused = false // the models' ledgers hold everything back
		t.Rates, t.Trust = p.AccountLimits, trust(c, p.AccountLimits)
		accounts[p.Name] = t
	}
	return func(s limit.Scope) quota.Terms {
		if s.WholeAccount() {
			return accounts[s.Provider]
		}
		return models[s.Provider]
	}
}

// trust says what rates are worth of which some are promised.
func trust(c *config.Config, promised limit.Rates) quota.Trust {
	switch {
	case !c.Adaptive.Enabled:
		return quota.Fixed
	case len(promised) > 0:
		return quota.Promise
	}
	return quota.Hint
}

// providers maps the settings to what upstream is built from.
func providers(c *config.Config) []upstream.Provider {
	list := make([]upstream.Provider, len(c.Providers))
	for i := range c.Providers {
		p := &c.Providers[i]
		list[i] = upstream.Provider{
			Name: p.Name, URL: p.URL, NVIDIA: p.NVIDIA, APIKey: p.APIKey, Speaks: dialects(p.Speaks),
			HeadTimeout: p.HeadTimeout, StreamIdleTimeout: p.StreamIdleTimeout,
		}
		for _, a := range p.Accounts {
			if len(a.Keys) > 0 {
				list[i].Accounts = append(list[i].Accounts, account(a))
			}
		}
	}
	return list
}

// dialects says whose requests a provider understands.
func dialects(speaks string) []wire.Dialect {
	switch speaks {
	case config.SpeaksAnthropic:
		return []wire.Dialect{wire.Anthropic}
	case config.SpeaksBoth:
		return []wire.Dialect{wire.OpenAI, wire.Anthropic}
	}
	return []wire.Dialect{wire.OpenAI}
}

// routes maps the settings to the routes of upstream.
func routes(c *config.Config) []upstream.Route {
	list := make([]upstream.Route, len(c.Routes))
	for i, r := range c.Routes {
		list[i] = upstream.Route{Alias: r.Alias, FallbackAfter: r.FallbackAfter}
		for _, to := range r.Targets {
			list[i].Targets = append(list[i].Targets, upstream.Target{Provider: to.Provider, Model: to.Model})
		}
	}
	return list
}

// account names each key of an account by its fingerprint: the alias that headers and logs show.
func account(a config.Account) upstream.Account {
	keys := make([]upstream.Key, len(a.Keys))
	for i, key := range a.Keys {
		keys[i] = upstream.Key{Alias: a.Name + "-" + key.Fingerprint(), Secret: key}
	}
	return upstream.Account{Name: a.Name, Keys: keys}
}

// names lists the providers, the default one first.
func names(c *config.Config) []string {
	list := make([]string, len(c.Providers))
	for i := range c.Providers {
		list[i] = c.Providers[i].Name
	}
	return list
}

// proxySettings maps the settings to what proxy may be told while it runs.
func proxySettings(c *config.Config) proxy.Settings {
	return proxy.Settings{
		MaxWait: c.Queue.MaxWait, Passthrough: c.Queue.Overflow == config.OverflowPassthrough,
		Heartbeat: proxy.Heartbeat{
			Mode: proxy.Mode(c.Heartbeat.Mode), Plain: proxy.Plain(c.Heartbeat.Plain), Interval: c.Heartbeat.Interval,
			CommitAfter: c.Heartbeat.CommitAfter,
		},
	}
}

// shared is what identical requests share calls and answers by; nil where the settings name no model for it.
func shared(c *config.Config) *coalesce.Group {
	if len(c.Coalesce.Models)+len(c.Cache.Models) == 0 {
		return nil
	}
	return coalesce.New(coalesce.Options{
		Coalesce:     coalesce.Rules{Models: c.Coalesce.Models, Paths: c.Coalesce.Paths},
		Cache:        coalesce.Rules{Models: c.Cache.Models, Paths: c.Cache.Paths},
		ShareClients: c.Coalesce.ShareClients, MaxAnswer: int64(c.Coalesce.MaxAnswer),
		MaxBytes: int64(c.Cache.MaxBytes), MaxAge: c.Cache.MaxAge,
	})
}

// userAgent is what upstreams see of us where a client's own would be refused.
func userAgent(version string) string { return "nim-sidecar/" + version }

// guardOptions maps the settings to what guard is built from.
func guardOptions(c *config.Config, m *metrics.Metrics) guard.Options {
	o := guard.Options{
		AllowedHosts: c.Admin.AllowedHosts, AllowedOrigins: c.Admin.AllowedOrigins,
		AnyHostBound: !isLoopback(c.Listen) || !isLoopback(c.MetricsListen),
		Refused:      func(reason wire.Reason) { m.Rejected(string(reason)) },
	}
	for _, client := range c.Clients {
		o.Clients = append(o.Clients, guard.Client{Name: client.Name, Key: client.Key, Class: client.Class, Highest: client.Highest, MaxWait: client.MaxWait})
	}
	return o
}

// isLoopback reports whether only this machine can reach an address. The settings have been checked, so it can be read.
func isLoopback(address string) bool {
	parsed, err := config.ParseAddress(address)
	return err == nil && parsed.Loopback()
}

// state answers what the gauges ask at each scrape.
func (a *App) state(handler *proxy.Handler) func() metrics.State {
	return func() metrics.State {
		now, c, kept := time.Now(), a.steering.config(), a.shared.View()
		s := metrics.State{
			CacheBytes: kept.Bytes, CacheAnswers: kept.Answers, Coalescing: kept.Waiting,
			Depth: a.gate.Depth(), QueueBytes: handler.Held(), OpenConnections: a.connections.open.now(),
			Unsolicited: a.upstream.Unsolicited(), Healthy: a.health.Healthy(), StoreDegraded: a.store != nil && a.store.Degraded() != nil,
			Viewers: a.feed.Viewers(), ReloadFailures: a.steering.failures.Load(), ReloadFailed: a.steering.fileError() != nil,
			Providers: make([]metrics.Pace, len(c.Providers)),
		}
		for i := range c.Providers {
			s.Providers[i] = a.pace(now, &c.Providers[i])
		}
		return s
	}
}

// pace is how one provider is being paced: what its limits allow, and what is now used of them, learned or given.
func (a *App) pace(now time.Time, p *config.Provider) metrics.Pace {
	rate := p.Rates().PerMinute() * accounts(p)
	m := metrics.Pace{Tokens: a.tokens(now, p), TokensRate: rate, EffectiveRate: rate, Rate429: a.book.Refused(now, p.Name)}
	s := a.book.Summary(p.Name)
	if s.Ledgers == 0 {
		return m
	}
	if s.Rate > 0 {
		m.EffectiveRate = s.Rate
		m.TokensRate = max(rate, s.Rate)
	}
	m.Retreat = int(s.Worst())
	m.Learned = metrics.Learned{
		Ceilings: s.Ceilings, States: s.States, Credit: s.Credit, Burst: s.Burst, InFlight: s.InFlight,
		Raised: s.Probes.Raised, Confirmed: s.Probes.Confirmed, Idle: s.Probes.Idle, ByModel: s.Models, ByAccount: s.Accounts,
	}
	return m
}

// tokens is how many slots a provider has now. Before anybody has asked it has no ledger, and a first model will find its windows
// empty.
func (a *App) tokens(now time.Time, p *config.Provider) float64 {
	for _, view := range a.book.Snapshot(now) {
		if view.Scope.Provider == p.Name {
			return a.book.Tokens(now, p.Name)
		}
	}
	tokens := 0
	for i, rate := range p.Rates() {
		if i == 0 || rate.N < tokens {
			tokens = rate.N
		}
	}
	return float64(tokens) * accounts(p)
}

// accounts is how many accounts a provider counts by; where each client's own credential is one, it speaks of one of them.
func accounts(p *config.Provider) float64 { return float64(max(1, len(p.Accounts))) }

// announce says in one line each what the sidecar does, for whoever started it.
func (a *App) announce(c *config.Config) {
	for _, warning := range c.Warnings {
		a.logger.Warn(warning)
	}
	a.logger.Info("listening", "proxy", a.Addr(), "metrics", a.MetricsAddr(), "client_keys", len(c.Clients))
	for i := range c.Providers {
		p := &c.Providers[i]
		keys := 0
		for _, account := range p.Accounts {
			keys += len(account.Keys)
		}
		a.logger.Info("forwarding", "provider", p.Name, "url", p.URL.Redacted(), "key", whoseKey(c, p, keys), "keys", keys,
			"limits", p.Rates().String(), "account_limits", p.AccountLimits.String(), "learning", learning(c, p))
	}
	if c.StateDir == "" {
		a.logger.Info("state is kept in memory and ends with the process: set state_dir (SIDECAR_STATE_DIR) to keep what is learned")
	}
}

// learning says what is learned of a provider's limits.
func learning(c *config.Config, p *config.Provider) string {
	switch trust(c, p.Limits) {
	case quota.Fixed:
		return "off: exactly the given limits"
	case quota.Promise:
		return "below the given limits"
	}
	return "up to four times the given limits"
}

// whoseKey says with whose key a provider that has some keys of its own, or none, is asked.
func whoseKey(c *config.Config, p *config.Provider, keys int) string {
	if keys > 0 {
		return "the sidecar's"
	}
	whose := "each client's own"
	if len(c.Clients) > 0 {
		whose = "none, since what a client sends is its key to the sidecar"
	}
	if p.NVIDIA {
		whose += " (set NVIDIA_API_KEY to hold one here; a key: https://build.nvidia.com)"
	}
	return whose
}
