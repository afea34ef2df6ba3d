package proxy

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/coalesce"
	"nimsidecar/internal/gate"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/memnet"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/secret"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// rig is a Handler before an upstream, in a bubble.
type rig struct {
	*Handler
	ledger  *ledger
	log     *bytes.Buffer
	gate    *gate.Gate
	network memnet.Network
	abort   context.CancelCauseFunc // ends every request that came over the network, as a stop that waits no longer does
}

// ledger is a budget that counts, and panics where it is told to.
type ledger struct {
	*quota.Book
	mu                         sync.Mutex // held by those who count
	charged, settled, refunded int
	most                       int           // slots that were out at one time
	crash                      string        // the method that panics, with a text that nobody may see
	settling                   time.Duration // how long Settle takes
}

const canary = "PROMPT-CANARY"

func (l *ledger) step(method string) {
	if l.crash == method {
		panic(canary)
	}
}

func (l *ledger) Reserve(now time.Time, lane limit.Scope, c quota.Claim) (*quota.Hold, quota.Readiness) {
	l.step("Reserve")
	hold, ready := l.Book.Reserve(now, lane, c)
	if hold != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.charged++
		l.most = max(l.most, l.charged-l.settled)
	}
	return hold, ready
}

func (l *ledger) Observe(now time.Time, h *quota.Hold, o hint.Outcome) {
	l.step("Observe")
	l.Book.Observe(now, h, o)
}

func (l *ledger) Settle(now time.Time, h *quota.Hold, u quota.Use) {
	time.Sleep(l.settling)
	l.mu.Lock()
	l.settled++
	if !u.Written {
		l.refunded++
	}
	l.mu.Unlock()
	l.Book.Settle(now, h, u)
}

// bubble runs test with a Handler whose upstream is answer, paced by a limit such as 1-M; "" is none. At its end every slot must have been
// settled and every byte of a body let go.
func bubble(t *testing.T, rates string, answer http.HandlerFunc, test func(r *rig)) {
	t.Helper()
	beating(t, Heartbeat{}, rates, answer, test)
}

// beating is bubble with heartbeats. The Handler also serves side.test:80 of the rig's network.
func beating(t *testing.T, beat Heartbeat, rates string, answer http.HandlerFunc, test func(r *rig)) {
	t.Helper()
	setup{beat: beat, rates: map[string]string{"up": rates}, answers: map[string]http.HandlerFunc{"up": answer}}.run(t, test)
}

// setup is what a rig is made of.
type setup struct {
	beat    Heartbeat
	rates   map[string]string           // of each model, by provider; "" is none
	answers map[string]http.HandlerFunc // by provider, whose host is its name and .test
	table   upstream.Options            // without providers, testTable's
	shared  coalesce.Options            // the zero value shares nothing
}

// run runs test with a rig in a bubble.
func (s setup) run(t *testing.T, test func(r *rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		terms := map[string]quota.Terms{}
		for provider, rates := range s.rates {
			if rates != "" {
				parsed, err := limit.Parse(rates)
				if err != nil {
					t.Fatal(err)
				}
				terms[provider] = quota.Terms{Rates: parsed}
			}
		}
		r := &rig{log: new(bytes.Buffer)}
		for name, answer := range s.answers {
			up := r.serveAt(t, name+".test:80", t.Context(), answer)
			defer func() { _ = up.Close() }()
		}
		r.ledger = &ledger{Book: quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms { return terms[s.Provider] }})}
		table := s.newTable(t, r.network.DialContext)
		door := gate.New(gate.Options{Budget: fuse{r.ledger, table}})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- door.Run(ctx) }()
		r.gate = door
		r.Handler = New(Options{
			Guard: guard.New(guard.Options{}), Gate: door, Upstream: table, Settings: Settings{MaxWait: time.Minute, Heartbeat: s.beat}, Coalesce: s.group(),
			Logger: slog.New(slog.NewJSONHandler(r.log, nil)),
		})
		base, abort := context.WithCancelCause(t.Context())
		r.abort = abort
		side := r.serveAt(t, "side.test:80", base, r.Handler)
		test(r)
		synctest.Wait()
		_ = side.Close()
		synctest.Wait()
		abort(nil)
		stop()
		<-ended
		table.Close()
		if r.ledger.charged != r.ledger.settled || r.Held() != 0 {
			t.Errorf("%d slots charged and %d settled, %d bytes held; want as many, and none", r.ledger.charged, r.ledger.settled, r.Held())
		}
	})
}

// waitAtMost changes how long requests may wait.
func (r *rig) waitAtMost(d time.Duration) {
	s := *r.settings.Load()
	s.MaxWait = d
	r.Apply(s)
}

// group is what the rig's Handler shares answers by.
func (s setup) group() *coalesce.Group {
	if len(s.shared.Coalesce.Models)+len(s.shared.Cache.Models) == 0 {
		return nil
	}
	return coalesce.New(s.shared)
}

// newTable is the rig's providers.
func (s setup) newTable(t *testing.T, dial func(context.Context, string, string) (net.Conn, error)) *upstream.Table {
	t.Helper()
	if s.table.Providers == nil {
		return testTable(t, dial)
	}
	s.table.DialContext = dial
	table, err := upstream.New(s.table)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// provider is one at its host in the rig, with keys of the sidecar's if any are given.
func provider(name string, speaks []wire.Dialect, keys ...string) upstream.Provider {
	p := upstream.Provider{Name: name, URL: &url.URL{Scheme: "http", Host: name + ".test"}, Speaks: speaks}
	for _, key := range keys {
		p.Accounts = append(p.Accounts, upstream.Account{Name: key, Keys: []upstream.Key{{Alias: key + "-alias", Secret: secret.New(key)}}})
	}
	return p
}

// fuse is a budget that holds back what is out of use, as package app has it.
type fuse struct {
	*ledger
	table *upstream.Table
}

func (f fuse) Reserve(now time.Time, lane limit.Scope, c quota.Claim) (*quota.Hold, quota.Readiness) {
	if until := f.table.Held(now, lane); !c.Forced && !until.IsZero() {
		return nil, quota.Readiness{At: until}
	}
	return f.ledger.Reserve(now, lane, c)
}

// serveAt serves an address of the rig's network.
func (r *rig) serveAt(t *testing.T, address string, base context.Context, handler http.Handler) *http.Server {
	t.Helper()
	listener, err := r.network.Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{
		Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), BaseContext: func(net.Listener) context.Context { return base },
	}
	go func() { _ = server.Serve(listener) }()
	return server
}

// testTable is a table of one provider with one key, which understands every format.
func testTable(t testing.TB, dial func(context.Context, string, string) (net.Conn, error)) *upstream.Table {
	t.Helper()
	table, err := upstream.New(upstream.Options{DialContext: dial, Providers: []upstream.Provider{{
		Name: "up", URL: &url.URL{Scheme: "http", Host: "up.test"}, Speaks: []wire.Dialect{wire.OpenAI, wire.Anthropic},
		Accounts: []upstream.Account{{Name: "one", Keys: []upstream.Key{{Alias: "one-key", Secret: secret.New("nvapi-test")}}}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// chat is a request for a chat completion that asks for what its body must not show.
func chat(ctx context.Context, stream string) *http.Request {
	body := `{"model":"m/a","stream":` + stream + `,"messages":[{"role":"user","content":"` + canary + `"}]}`
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/v1/chat/completions", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Request-Id", "id-1")
	r.RemoteAddr = "192.0.2.1:1234"
	return r
}

// serve handles one request and reports whether the handler had its connection cut.
func (r *rig) serve(w http.ResponseWriter, req *http.Request) (cut bool) {
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			cut = true
		}
	}()
	r.ServeHTTP(w, req)
	return false
}

// says is an upstream that answers 200 with those lines of header, then each piece of the body after its pause.
func says(header string, pause time.Duration, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		name, value, _ := strings.Cut(header, ": ")
		w.Header().Set(name, value)
		w.WriteHeader(http.StatusOK)
		for _, piece := range pieces {
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(pause):
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, piece)
		}
	}
}
