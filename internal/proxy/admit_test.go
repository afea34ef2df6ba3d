package proxy

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/guard"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// asked returns an exchange with a request of those header lines, before anything of it has been read.
func asked(t testing.TB, method, path string, headers ...string) *exchange {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost", http.NoBody)
	r.URL = &url.URL{Path: path}
	if strings.Contains(path, "%") {
		r.URL.RawPath = path
		r.URL.Path, _ = url.PathUnescape(path)
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	table, err := upstream.New(upstream.Options{Providers: []upstream.Provider{
		{Name: "first", URL: &url.URL{Scheme: "http", Host: "up.test"}}, {Name: "second", URL: &url.URL{Scheme: "http", Host: "up2.test"}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return newExchange(New(Options{Upstream: table, Guard: guard.New(guard.Options{})}), nil, r)
}

// wantRefusal fails unless a refusal is a bad_request that names the parameter; "" wants none.
func wantRefusal(t *testing.T, name string, got *wire.Error, param string) {
	t.Helper()
	switch {
	case param == "" && got != nil:
		t.Errorf("%s: refused: %s; want it let through", name, got.Message)
	case param != "" && (got == nil || got.Param != param || got.Reason != wire.BadRequest):
		t.Errorf("%s: refusal = %+v; want bad_request of %s", name, got, param)
	}
}

func TestAnIDIsEchoedIfItIsAGoodName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxName)
	for id, echoed := range map[string]bool{
		"abc": true, "a b": true, "~!{}\"": true, long: true,
		"": false, " ": false, " a": false, "a ": false, long + "x": false, "ä": false, "a\tb": false, "a\x7fb": false, "a\r\nX: y": false,
	} {
		x := asked(t, http.MethodPost, "/v1/x")
		x.r.Header["X-Request-Id"] = []string{id}
		x.readID()
		if (x.id == id) != echoed || !isName(x.id) {
			t.Errorf("id %q became %q; want it echoed: %t", id, x.id, echoed)
		}
	}
}

func TestWhoAsksIsTheHeaderElseTheClientElseTheAddress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, client, remote string
		headers              []string
		want, param          string
	}{
		{name: "header", client: "alice", remote: "10.0.0.1:5", headers: []string{"X-Sidecar-Agent: coder"}, want: "coder"},
		{name: "client", client: "alice", remote: "10.0.0.1:5", want: "alice"},
		{name: "address", remote: "10.0.0.1:5", want: "10.0.0.1"},
		{name: "IPv6 address", remote: "[::1]:5", want: "::1"},
		{name: "Unix socket", remote: "@", want: "local"},
		{name: "no address", remote: "", want: "local"},
		{name: "empty", headers: []string{"X-Sidecar-Agent: "}, param: headerAgent},
		{name: "twice", headers: []string{"X-Sidecar-Agent: a", "X-Sidecar-Agent: a"}, param: headerAgent},
		{name: "long", headers: []string{"X-Sidecar-Agent: " + strings.Repeat("a", maxName+1)}, param: headerAgent},
		{name: "not ASCII", headers: []string{"X-Sidecar-Agent: zoë"}, param: headerAgent},
	} {
		x := asked(t, http.MethodPost, "/v1/x", tt.headers...)
		x.client.Name, x.r.RemoteAddr = tt.client, tt.remote
		wantRefusal(t, tt.name, x.readAgent(), tt.param)
		if x.agent != tt.want {
			t.Errorf("%s: agent = %q; want %q", tt.name, x.agent, tt.want)
		}
	}
}

func TestTheDeadlineIsTheEarliestThatIsNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		headers   []string
		wait      time.Duration
		announced bool
		param     string
	}{
		{wait: DefaultMaxWait},
		{headers: []string{"X-Sidecar-Max-Wait: 90s"}, wait: 90 * time.Second, announced: true},
		{headers: []string{"X-Sidecar-Max-Wait: 90"}, wait: 90 * time.Second, announced: true},
		{headers: []string{"X-Sidecar-Max-Wait:  1m30s "}, wait: 90 * time.Second, announced: true},
		{headers: []string{"X-Sidecar-Max-Wait: 0s"}, wait: 0, announced: true},
		{headers: []string{"X-Sidecar-Max-Wait: 0"}, wait: 0, announced: true},
		{headers: []string{"X-Sidecar-Max-Wait: 15m"}, wait: DefaultMaxWait, announced: true},
		{headers: []string{"X-Sidecar-Max-Wait: 16m"}, wait: DefaultMaxWait},
		{headers: []string{"X-Stainless-Timeout: 60"}, wait: time.Minute, announced: true},
		{headers: []string{"X-Stainless-Timeout: 0.5"}, wait: 500 * time.Millisecond, announced: true},
		{headers: []string{"X-Stainless-Timeout: 600", "X-Stainless-Read-Timeout: 30"}, wait: 30 * time.Second, announced: true},
		{headers: []string{"X-Sidecar-Max-Wait: 10s", "X-Stainless-Timeout: 60"}, wait: 10 * time.Second, announced: true},
		{headers: []string{"X-Sidecar-Max-Wait: 60s", "X-Stainless-Timeout: 10"}, wait: 10 * time.Second, announced: true},
		// An SDK's header is not the user's: what cannot be understood of it is left alone.
		{headers: []string{"X-Stainless-Timeout: NOT_GIVEN"}, wait: DefaultMaxWait},
		{headers: []string{"X-Stainless-Timeout: NaN"}, wait: DefaultMaxWait},
		{headers: []string{"X-Stainless-Timeout: -1"}, wait: DefaultMaxWait},
		{headers: []string{"X-Stainless-Timeout: 0"}, wait: DefaultMaxWait},
		{headers: []string{"X-Stainless-Timeout: Inf"}, wait: DefaultMaxWait},
		{headers: []string{"X-Stainless-Timeout: 1e300"}, wait: DefaultMaxWait},
		{headers: []string{"X-Sidecar-Max-Wait: soon"}, param: headerMaxWait},
		{headers: []string{"X-Sidecar-Max-Wait: -1s"}, param: headerMaxWait},
		{headers: []string{"X-Sidecar-Max-Wait: "}, param: headerMaxWait},
		{headers: []string{"X-Sidecar-Max-Wait: 1s", "X-Sidecar-Max-Wait: 2s"}, param: headerMaxWait},
	} {
		x := asked(t, http.MethodPost, "/v1/x", tt.headers...)
		name := strings.Join(tt.headers, ", ")
		wantRefusal(t, name, x.readDeadline(), tt.param)
		x.arrange()
		if got := x.deadline.Sub(x.began); tt.param == "" && (got != tt.wait || x.announced != tt.announced) {
			t.Errorf("%s: wait = %s, announced %t; want %s, %t", name, got, x.announced, tt.wait, tt.announced)
		}
	}
}

func TestAClientsOwnLongestWaitTakesThePlaceOfEverybodys(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		own       time.Duration
		headers   []string
		wait      time.Duration
		announced bool
	}{
		{0, nil, DefaultMaxWait, false},
		{time.Minute, nil, time.Minute, false},
		{time.Hour, nil, time.Hour, false},
		{time.Hour, []string{"X-Sidecar-Max-Wait: 30m"}, 30 * time.Minute, true},
		{time.Minute, []string{"X-Sidecar-Max-Wait: 30m"}, time.Minute, false},
	} {
		x := asked(t, http.MethodPost, "/v1/x", tt.headers...)
		x.client.MaxWait = tt.own
		wantRefusal(t, "own", x.readDeadline(), "")
		if got := x.deadline.Sub(x.began); got != tt.wait || x.announced != tt.announced {
			t.Errorf("own %s with %q: wait %s, announced %t; want %s, %t", tt.own, tt.headers, got, x.announced, tt.wait, tt.announced)
		}
	}
}

func TestARetryOfAnSDKIsARepeat(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]bool{"": false, "0": false, "1": true, "12": true, "-1": false, "x": false, "1.5": false} {
		x := asked(t, http.MethodPost, "/v1/x", "X-Stainless-Retry-Count: "+value)
		if x.readDeadline(); x.repeat != want {
			t.Errorf("X-Stainless-Retry-Count %q: repeat = %t; want %t", value, x.repeat, want)
		}
	}
}

func TestTheClassIsTheHeadersElseTheBodysElseTheClientsAndNeverAboveItsHighest(t *testing.T) {
	t.Parallel()
	low, high := priority.Low, priority.High
	for _, tt := range []struct {
		name    string
		headers []string
		tier    string
		client  guard.Client
		want    priority.Class
	}{
		{name: "nothing", want: priority.Normal},
		{name: "header", headers: []string{"X-Sidecar-Priority: Urgent"}, tier: "flex", client: guard.Client{Class: &low}, want: priority.Urgent},
		{name: "number", headers: []string{"X-Sidecar-Priority: 3"}, want: priority.Low},
		{name: "alias", headers: []string{"X-Priority: high"}, want: priority.High},
		{name: "unknown alias", headers: []string{"X-Priority: u=1"}, tier: "flex", want: priority.Low},
		{name: "tier", tier: "priority", client: guard.Client{Class: &low}, want: priority.High},
		{name: "other tier", tier: "auto", client: guard.Client{Class: &low}, want: priority.Low},
		{name: "client", client: guard.Client{Class: &high}, want: priority.High},
		{name: "header above the highest", headers: []string{"X-Sidecar-Priority: urgent"}, client: guard.Client{Highest: &high}, want: priority.High},
		{name: "header below the highest", headers: []string{"X-Sidecar-Priority: low"}, client: guard.Client{Highest: &high}, want: priority.Low},
		{name: "default above the highest", client: guard.Client{Highest: &low}, want: priority.Low},
	} {
		x := asked(t, http.MethodPost, "/v1/x", tt.headers...)
		x.client, x.peek.ServiceTier = tt.client, tt.tier
		wantRefusal(t, tt.name, x.readClass(), "")
		if x.classify(); x.class != tt.want {
			t.Errorf("%s: class = %s; want %s", tt.name, x.class, tt.want)
		}
	}
	x := asked(t, http.MethodPost, "/v1/x", "X-Sidecar-Priority: soon")
	wantRefusal(t, "unknown", x.readClass(), priority.Header)
}

func TestAPathLeadsToAProviderOrNowhere(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		method, path, provider, below string
		free                          bool
		param                         string
	}{
		{method: "POST", path: "/v1/chat/completions", provider: "first", below: "/chat/completions"},
		{method: "POST", path: "/second/v1/chat/completions", provider: "second", below: "/chat/completions"},
		{method: "POST", path: "/v1/second/v1/x", provider: "first", below: "/second/v1/x"},
		{method: "GET", path: "/v1/models", provider: "first", below: "/models", free: true},
		{method: "HEAD", path: "/second/v1/models", provider: "second", below: "/models", free: true},
		{method: "GET", path: "/v1/models/meta%2Fllama", provider: "first", below: "/models/meta%2Fllama", free: true},
		{method: "GET", path: "/v1/modelsx", provider: "first", below: "/modelsx"},
		{method: "GET", path: "/v1/chat/completions/models", provider: "first", below: "/chat/completions/models"},
		{method: "POST", path: "/v1/models", provider: "first", below: "/models"},
		{method: "OPTIONS", path: "/v1/chat/completions", provider: "first", below: "/chat/completions", free: true},
		{method: "POST", path: "/third/v1/x", param: "path"},
		{method: "POST", path: "//v1/x", param: "path"},
		{method: "POST", path: "/v1/../x", param: "path"},
		{method: "POST", path: "/v1/%2e%2e/x", param: "path"},
		{method: "POST", path: "/v1//x", param: "path"},
		{method: "POST", path: `/v1/a\b`, param: "path"},
	} {
		x := asked(t, tt.method, tt.path)
		name := tt.method + " " + tt.path
		wantRefusal(t, name, x.locate(), tt.param)
		if tt.param != "" {
			continue
		}
		wantRefusal(t, name, x.choose(), "")
		if x.to.Provider != tt.provider || x.path != tt.below || x.free != tt.free {
			t.Errorf("%s: provider %q, path %q, free %t; want %q, %q, %t", name, x.to.Provider, x.path, x.free, tt.provider, tt.below, tt.free)
		}
	}
}

// waitOf is parseWait by hand, for values of one unit: digits with at most one dot, and then s, m, h, ms or nothing.
func waitOf(s string) (time.Duration, bool) {
	for _, unit := range []struct {
		suffix string
		length time.Duration
	}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"", time.Second}} {
		if digits, ok := strings.CutSuffix(s, unit.suffix); ok {
			n, err := strconv.ParseUint(digits, 10, 16)
			return time.Duration(n) * unit.length, err == nil
		}
	}
	return 0, false
}

// FuzzHeaders feeds what clients choose freely to everything that reads it: nothing may panic, what is accepted is within its
// bounds, and what is echoed can be a header again.
func FuzzHeaders(f *testing.F) {
	for _, seed := range []string{"", "90s", "5m", "0", "1e9", "-1s", "9999999999h", "req_1", "a\r\nX: y", "zoë", " x ", "urgent", "NaN", "1_0"} {
		f.Add(seed, seed, seed, seed)
	}
	f.Fuzz(func(t *testing.T, wait, timeout, agent, id string) {
		x := asked(t, http.MethodPost, "/v1/x")
		x.r.Header = http.Header{headerMaxWait: {wait}, headerTimeout: {timeout}, headerAgent: {agent}, headerRequestID: {id}, headerRetryCount: {timeout}}
		x.readID()
		if !isName(x.id) {
			t.Errorf("id %q became %q, which is no name", id, x.id)
		}
		if refusal := x.readAgent(); (refusal == nil) != (x.agent == agent && isName(agent)) {
			t.Errorf("agent %q became %q, refused: %t", agent, x.agent, refusal != nil)
		}
		refusal := x.readDeadline()
		got := x.deadline.Sub(x.began)
		if refusal == nil && (got < 0 || got > x.settings.MaxWait) {
			t.Errorf("wait %q and timeout %q make %s; want it within [0, %s]", wait, timeout, got, x.settings.MaxWait)
		}
		if want, ok := waitOf(wait); ok {
			if got, ok := parseWait(wait); !ok || got != want {
				t.Errorf("parseWait(%q) = %s, %t; want %s", wait, got, ok, want)
			}
		}
		if d, ok := parseWait(wait); ok && d < 0 {
			t.Errorf("parseWait(%q) = %s; want it not negative", wait, d)
		}
		if refusal != nil && len(refusal.Message) > 400+4*len("\\x00")*64 {
			t.Errorf("the refusal of a %d byte value has %d bytes", len(wait), len(refusal.Message))
		}
	})
}
