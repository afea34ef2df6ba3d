package app

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/memnet"
	"nimsidecar/internal/quota"

	"github.com/google/go-cmp/cmp"
)

func TestOnlyV1IsForwarded(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/v1/chat/completions":   true,
		"/v1/":                   true,
		"/nvidia/v1/models":      true,
		"//v1/models":            true, // of a provider without a name, which proxy says there is not
		"/nvidia/v1/v1/x":        true,
		"/v1":                    false,
		"/nvidia/v1":             false,
		"/V1/models":             false,
		"/a/b/v1/models":         false,
		"/chat/completions":      false,
		"/sidecar/api/snapshot":  false,
		"/":                      false,
		"":                       false,
		"*":                      false,
		"v1/x":                   false,
		"/nvidia%2Fv1%2Fmodels":  false,
		"/v1%2Fchat/completions": false,
	} {
		if got := isForwarded(path); got != want {
			t.Errorf("isForwarded(%q) = %t; want %t", path, got, want)
		}
	}
}

// ask answers one request by the routes of an app whose forwarded requests answer 299.
func ask(a *App, method, path string) *httptest.ResponseRecorder {
	forward := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(299) })
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, "http://localhost", http.NoBody)
	r.URL = &url.URL{Path: path}
	a.routes(forward).ServeHTTP(w, r)
	return w
}

// newApp returns an app that is not run; its listeners are closed.
func newApp(t *testing.T, environ ...string) *App {
	t.Helper()
	a, err := New(options(settings(t, environ...), new(memnet.Network), io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	a.undo.run(a.logger)
	return a
}

func TestEveryPathHasItsAnswer(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	for _, tt := range []struct {
		method, path string
		status       int
		says         string
	}{
		{http.MethodGet, "/livez", 200, "alive"},
		{http.MethodGet, "/healthz", 200, "alive"},
		{http.MethodGet, "/readyz", 503, "not_ready"},
		{http.MethodGet, "/", 302, "nim-sidecar is running"},
		{http.MethodHead, "/", 200, ""},
		{http.MethodPost, "/", 404, "/v1/"},
		{http.MethodGet, "/sidecar", 302, ""},
		{http.MethodGet, "/sidecar/", 200, "<title>"},
		{http.MethodHead, "/sidecar/api/snapshot", 403, ""}, // the address of httptest's client is not ours
		{http.MethodGet, "/sidecars", 404, "/v1/"},
		{http.MethodPost, "/v1/chat/completions", 299, ""},
		{http.MethodPatch, "/own/v1/x", 299, ""},
		{http.MethodPost, "/chat/completions", 404, `"code":"bad_request"`},
		{http.MethodConnect, "", 404, "/v1/"},
		{http.MethodOptions, "*", 404, "/v1/"},
	} {
		w := ask(a, tt.method, tt.path)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s %q = %d %q; want %d and %q in it", tt.method, tt.path, w.Code, w.Body, tt.status, tt.says)
		}
	}
}

func TestTheMetricsPortAnswersItsTwoPathsOnly(t *testing.T) {
	t.Parallel()
	handler := newApp(t).metricsRoutes()
	for path, want := range map[string]int{"/metrics": 200, "/livez": 200, "/": 404, "/readyz": 404, "/v1/models": 404} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		if w.Code != want {
			t.Errorf("GET %s = %d; want %d", path, w.Code, want)
		}
	}
}

func TestTermsAreTheProvidersOwn(t *testing.T) {
	t.Parallel()
	c := settings(t, "SIDECAR_UPSTREAM_URL=https://integrate.api.nvidia.com/v1", "SIDECAR_LIMITS=20-M", "SIDECAR_ACCOUNT_LIMITS=100-H", "SIDECAR_BURST=3")
	of := terms(c)
	minute, hour := limit.Rate{N: 20, Period: time.Minute}, limit.Rate{N: 100, Period: time.Hour}
	for _, tt := range []struct {
		scope limit.Scope
		want  quota.Terms
	}{
		{limit.Scope{Provider: "nvidia", Account: "default", Model: "m"}, quota.Terms{Rates: limit.Rates{minute}, Trust: quota.Promise, Burst: 3, BurstShare: 0.5, PerModel: true}},
		{limit.Scope{Provider: "nvidia", Account: "default"}, quota.Terms{Rates: limit.Rates{hour}, Trust: quota.Promise, Burst: 3, BurstShare: 0.5, PerModel: true}},
		{limit.Scope{Provider: "nobody", Account: "default", Model: "m"}, quota.Terms{}},
	} {
		got := of(tt.scope)
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("terms(%v) (-want +got):\n%s", tt.scope, diff)
		}
	}
}

func TestTrustFollowsWhatIsPromised(t *testing.T) {
	t.Parallel()
	lane := limit.Scope{Provider: "nvidia", Account: "default", Model: "m"}
	for _, tt := range []struct {
		env  []string
		want quota.Trust
	}{
		{nil, quota.Hint},
		{[]string{"SIDECAR_LIMITS_HINT=20-M"}, quota.Hint},
		{[]string{"SIDECAR_LIMITS=20-M"}, quota.Promise},
		{[]string{"SIDECAR_LIMITS=20-M", "SIDECAR_ADAPTIVE=false"}, quota.Fixed},
		{[]string{"SIDECAR_ADAPTIVE=false"}, quota.Fixed},
	} {
		env := append([]string{"SIDECAR_UPSTREAM_URL=https://integrate.api.nvidia.com/v1"}, tt.env...)
		if got := terms(settings(t, env...))(lane).Trust; got != tt.want {
			t.Errorf("%q: Trust = %v; want %v", tt.env, got, tt.want)
		}
	}
}

func TestAListenerBeyondLoopbackAnswersToEveryAddress(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]bool{
		"127.0.0.1:9190": false, "localhost:9190": false, "[::1]:9190": false, "unix:/run/x.sock": false, "0.0.0.0:9190": true, ":9190": true, "10.1.2.3:9190": true,
	} {
		c := settings(t, "SIDECAR_LISTEN="+listen, "SIDECAR_ALLOW_OPEN=true")
		if got := guardOptions(c, nil).AnyHostBound; got != want {
			t.Errorf("listen %s: AnyHostBound = %t; want %t", listen, got, want)
		}
	}
}

func TestKeysAreKnownByTheirAccountAndFingerprint(t *testing.T) {
	t.Parallel()
	c := settings(t, "SIDECAR_API_KEYS=nvapi-one,nvapi-two", "SIDECAR_ACCOUNT_NAME=team")
	list := providers(c)
	if len(list) != 1 || len(list[0].Accounts) != 1 || len(list[0].Accounts[0].Keys) != 2 {
		t.Fatalf("providers = %+v; want one with an account of two keys", list)
	}
	seen := map[string]bool{}
	for _, key := range list[0].Accounts[0].Keys {
		if !strings.HasPrefix(key.Alias, "team-") || strings.Contains(key.Alias, "nvapi") || seen[key.Alias] {
			t.Errorf("alias = %q; want team- and a fingerprint of its own", key.Alias)
		}
		seen[key.Alias] = true
	}
}
