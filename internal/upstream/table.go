package upstream

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/secret"
	"nimsidecar/internal/wire"
)

// The defaults of a Provider's time-outs.
const (
	DefaultHeadTimeout       = 10 * time.Minute // an answer that is not streamed may take that long
	DefaultStreamIdleTimeout = 5 * time.Minute
)

// DefaultUserAgent is sent where Options names none.
const DefaultUserAgent = "nim-sidecar"

// Options is what a Table is built from. Providers must hold at least one; the rest has usable zero values.
type Options struct {
	Providers []Provider // the first is the default
	Routes    []Route    // for models on /v1/...; must not be changed afterwards
	UserAgent string     // sent to NVIDIA hosts, and elsewhere for clients without one; "" = DefaultUserAgent

	// Logger gets a line when a key or an account is benched; nil discards it.
	Logger *slog.Logger
	// DialContext makes the connections; nil is a net.Dialer. It is only ever asked for a provider's own host, or for the HTTP
	// proxy that the environment names for it.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Provider is one upstream API.
type Provider struct {
	Name string // as in /{provider}/v1/...

	// URL is where the API is: scheme, host and the path of /v1. Without a path, /v1 is meant.
	URL *url.URL
	// Accounts share the requests. Without any, each client's own credential is used, and passed on.
	Accounts []Account

	HeadTimeout       time.Duration // from the start of an attempt to the head of its answer; 0 = DefaultHeadTimeout
	StreamIdleTimeout time.Duration // longest silence inside a body; 0 = DefaultStreamIdleTimeout

	// NVIDIA sends NVCF-POLL-SECONDS, without which the gateway ends a long answer after 302 s, and our own User-Agent, since
	// some agents' own is refused there.
	NVIDIA bool
	// APIKey sends keys as X-Api-Key, with an Anthropic-Version, as Anthropic's API has it: but for the paths of OpenAI's.
	APIKey bool
	// Speaks is whose requests it understands as they are; nil is OpenAI's.
	Speaks []wire.Dialect
}

// Account is what a provider counts by: all of its keys share one allowance.
type Account struct {
	Name string // unique within its provider
	Keys []Key  // at least one
}

// Key is one credential of an account.
type Key struct {
	Alias  string      // shown in its place everywhere; need not be unique
	Secret secret.Text // sent as Authorization: Bearer, or X-Api-Key
}

// Table is every provider with its keys and connections. It is safe for concurrent use.
type Table struct {
	// Immutable.
	first     *provider
	order     []*provider
	providers map[string]*provider
	exact     map[string]*Route // by alias
	patterns  []*Route
	aliases   []string // the keys of exact, in the order of the settings
	logger    *slog.Logger

	strays    *atomic.Uint64
	catalogue catalogue
	bodies    bodies
}

// provider is a Provider made ready. Immutable but for its accounts' keys, its connections, and what follows transport.
type provider struct {
	name      string
	base      url.URL // its path is always below /
	accounts  []*account
	headLimit time.Duration
	idleLimit time.Duration
	nvidia    bool
	apiKey    bool
	speaks    []wire.Dialect
	dialect   hint.Dialect
	agent     []string // our User-Agent
	keys      redactor
	transport *http.Transport

	// retire is when the HTTP/2 connection in use is to be given up, in Unix nanoseconds; 0 while there is none.
	retire  atomic.Int64
	turn    atomic.Uint64 // requests without a conversation
	breaker breaker
	naming  naming
}

// New returns the table of o's providers. It opens no connection. An error names the provider and what is wrong, never a key.
func New(o Options) (*Table, error) {
	if len(o.Providers) == 0 {
		return nil, errors.New("upstream: no provider")
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.UserAgent == "" {
		o.UserAgent = DefaultUserAgent
	}
	t := &Table{providers: make(map[string]*provider), logger: o.Logger, strays: new(atomic.Uint64)}
	t.catalogue.lists = make(map[string]list)
	for _, settings := range o.Providers {
		p, err := newProvider(settings, o.UserAgent)
		if err == nil && t.providers[p.name] != nil {
			err = errors.New("the name is taken")
		}
		if err != nil {
			return nil, fmt.Errorf("upstream: provider %q: %w", settings.Name, err)
		}
		p.transport = newTransport(&p.base, dialer{dial: o.DialContext, strays: t.strays})
		t.providers[p.name] = p
		t.order = append(t.order, p)
	}
	t.first = t.order[0]
	return t, t.addRoutes(o.Routes)
}

// newProvider checks the settings and fills in the defaults.
func newProvider(s Provider, agent string) (*provider, error) {
	if err := checkURL(s.URL); err != nil {
		return nil, err
	}
	p := &provider{
		name: s.Name, base: *s.URL, headLimit: s.HeadTimeout, idleLimit: s.StreamIdleTimeout,
		nvidia: s.NVIDIA, apiKey: s.APIKey, speaks: s.Speaks, dialect: hint.DialectOf(s.URL.Hostname()), agent: []string{agent},
		naming: naming{seed: maphash.MakeSeed()},
	}
	if p.headLimit <= 0 {
		p.headLimit = DefaultHeadTimeout
	}
	if p.speaks == nil {
		p.speaks = []wire.Dialect{wire.OpenAI}
	}
	if p.idleLimit <= 0 {
		p.idleLimit = DefaultStreamIdleTimeout
	}
	if path := strings.TrimRight(p.base.Path, "/"); path != "" {
		p.base.Path = path
	} else {
		p.base.Path = "/v1"
	}
	for _, settings := range s.Accounts {
		a, err := newAccount(settings)
		if err == nil && p.account(a.name) != nil {
			err = errors.New("the name is taken")
		}
		if err != nil {
			return nil, fmt.Errorf("account %q: %w", settings.Name, err)
		}
		p.accounts = append(p.accounts, a)
		for _, k := range settings.Keys {
			p.keys.add(k.Secret)
		}
	}
	return p, nil
}

// checkURL refuses what could not be forwarded to, or would put a secret into the settings' URL.
func checkURL(u *url.URL) error {
	switch {
	case u == nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("the URL needs a scheme, http or https, and a host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "":
		return errors.New("the URL must be scheme, host and path only")
	case u.EscapedPath() != u.Path:
		return errors.New("the path of the URL must not need escapes")
	}
	for i := range len(u.Host) {
		if u.Host[i] >= 0x80 {
			return errors.New("the host must be ASCII: write an international name in its xn-- form")
		}
	}
	return nil
}

// account returns the account of that name, nil if there is none.
func (p *provider) account(name string) *account {
	for _, a := range p.accounts {
		if a.name == name {
			return a
		}
	}
	return nil
}

// Has reports whether there is a provider of that name.
func (t *Table) Has(provider string) bool { return t.providers[provider] != nil }

// Default returns the name of the first provider.
func (t *Table) Default() string { return t.first.name }

// Unsolicited returns how many connections were closed because the upstream sent on them what nobody had asked for. Over TLS such
// bytes cannot be told from the peer's farewell: the connection is closed, but not counted.
func (t *Table) Unsolicited() uint64 { return t.strays.Load() }

// Close ends the connections that are idle. Running attempts are not touched: end their contexts, or close their answers.
func (t *Table) Close() {
	for _, p := range t.providers {
		p.transport.CloseIdleConnections()
	}
}
