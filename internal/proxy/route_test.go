package proxy

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// shop is an upstream that takes down what it gets and answers as it is told.
type shop struct {
	status int
	header http.Header
	body   string
	pause  time.Duration

	bodies, keys []string
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.bodies = append(s.bodies, string(body))
	s.keys = append(s.keys, r.Header.Get("Authorization"))
	if !after(r, s.pause) {
		return
	}
	w.Header().Set("Content-Type", "application/json")
	maps.Copy(w.Header(), s.header)
	w.WriteHeader(max(s.status, http.StatusOK))
	_, _ = io.WriteString(w, s.body)
}

// alone is an answer that is no error, and says whose it is.
func alone(name string) *shop { return &shop{body: `{"choices":[],"from":"` + name + `"}`} }

// onRoute runs test before the providers one, with a key of the sidecar's and one request a minute, and two, where the client's own
// credential goes up. The alias fast leads to both, patient too, with at most ten seconds for the first.
func onRoute(t *testing.T, beat Heartbeat, test func(r *rig, one, two *shop)) {
	t.Helper()
	one, two := alone("one"), alone("two")
	targets := []upstream.Target{{Provider: "one", Model: "first"}, {Provider: "two", Model: "second"}}
	setup{
		beat: beat, rates: map[string]string{"one": "1-M"}, answers: map[string]http.HandlerFunc{"one": one.ServeHTTP, "two": two.ServeHTTP},
		table: upstream.Options{
			Providers: []upstream.Provider{provider("one", nil, "sidecars-key"), provider("two", nil)},
			Routes: []upstream.Route{
				{Alias: "fast", Targets: targets}, {Alias: "patient", Targets: targets, FallbackAfter: 10 * time.Second},
			},
		},
	}.run(t, func(r *rig) { test(r, one, two) })
}

const clientsKey = "Authorization: Bearer clients-key"

func model(name string) string { return `{"model":"` + name + `","messages":[]}` }

func TestARouteFallsBackOnlyWhenTheFirstCannotServeInTime(t *testing.T) {
	onRoute(t, Heartbeat{}, func(r *rig, one, two *shop) {
		r.waitAtMost(5 * time.Minute)
		for i, tt := range []struct {
			model, wait, from string
			took              time.Duration
		}{
			{"fast", "60s", "one", 0},
			{"fast", "10s", "two", 0},                             // no slot within its deadline: at once
			{"patient", "300s", "two", 0},                         // it would have to wait for longer than the route allows
			{"patient", "", "two", 0},                             // whoever named the deadline
			{"fast", "300s", "one", time.Minute + time.Second/2},  // merely busy: waits for the preferred one
			{"first", "300s", "one", time.Minute + time.Second/2}, // no alias: the default provider
		} {
			req := post("/v1/chat/completions", model(tt.model), clientsKey)
			if tt.wait != "" {
				req.Header.Set("X-Sidecar-Max-Wait", tt.wait)
			}
			got := r.ask(req)
			if !strings.Contains(got.body, `"from":"`+tt.from+`"`) || got.took != tt.took || got.Header.Get("X-Sidecar-Provider") != tt.from ||
				got.Header.Get("X-Sidecar-Attempts") != "1" {
				t.Errorf("request %d for %s: %q after %s with %v; want %s after %s, named in the header", i, tt.model, got.body, got.took, got.Header, tt.from, tt.took)
			}
		}
		if want := []string{model("first"), model("first"), model("first")}; !slices.Equal(one.bodies, want) {
			t.Errorf("one got %q; want its own model's name", one.bodies)
		}
		if want := []string{model("second"), model("second"), model("second")}; !slices.Equal(two.bodies, want) {
			t.Errorf("two got %q; want its own model's name", two.bodies)
		}
		if got := slices.Compact(slices.Concat(one.keys, two.keys)); !slices.Equal(got, []string{"Bearer sidecars-key", "Bearer clients-key"}) {
			t.Errorf("the keys that went up are %q; want the sidecar's to one, and the client's own to two", got)
		}
		synctest.Wait()
		for _, want := range []string{`"model":"fast","provider":"one"`, `"model":"fast","provider":"two"`} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log is %s; want %s in it", r.log, want)
			}
		}
	})
}

func TestARouteGoesRoundWhatIsDown(t *testing.T) {
	for _, tt := range []struct {
		name     string
		status   int
		body     string
		attempts string
	}{
		{"gone", http.StatusGone, "", "2"},
		{"not known", http.StatusNotFound, "", "2"},
		{"degraded", http.StatusBadRequest, `{"detail":"Function id 'x': DEGRADED function cannot be invoked"}`, "2"},
		{"without credits", http.StatusPaymentRequired, "", "2"},
		{"limited beyond the deadline", http.StatusTooManyRequests, "", "2"},
	} {
		onRoute(t, Heartbeat{}, func(r *rig, one, two *shop) {
			one.status, one.body = tt.status, tt.body
			one.header = http.Header{"Retry-After": {"300"}}
			got := r.ask(post("/v1/chat/completions", model("fast"), clientsKey))
			if !strings.Contains(got.body, `"from":"two"`) || got.Header.Get("X-Sidecar-Attempts") != tt.attempts || got.took != 0 {
				t.Errorf("%s: %d %q in %s attempts after %s; want the second target's answer in %s, at once", tt.name, got.StatusCode, got.body,
					got.Header.Get("X-Sidecar-Attempts"), got.took, tt.attempts)
			}
			if want := []string{"Bearer clients-key"}; !slices.Equal(two.keys, want) {
				t.Errorf("%s: two got the keys %q; want the client's own and no other provider's", tt.name, two.keys)
			}
		})
	}
}

func TestWhatIsTheRequestsOwnFaultStaysWhereItIs(t *testing.T) {
	onRoute(t, Heartbeat{}, func(r *rig, one, two *shop) {
		one.status, one.body = http.StatusUnprocessableEntity, `{"error":{"message":"no"}}`
		if got := r.ask(post("/v1/chat/completions", model("fast"), clientsKey)); got.StatusCode != http.StatusUnprocessableEntity || len(two.bodies) > 0 {
			t.Errorf("answer = %d %q, and two was asked %d times; want one's 422 alone", got.StatusCode, got.body, len(two.bodies))
		}
	})
}

func TestWhenNoTargetIsLeftTheLastOnesFailureIsTold(t *testing.T) {
	onRoute(t, Heartbeat{}, func(r *rig, one, two *shop) {
		one.status, two.status = http.StatusServiceUnavailable, http.StatusServiceUnavailable
		one.body, two.body = `{"error":{"message":"one is away"}}`, `{"error":{"message":"two is away"}}`
		got := r.ask(post("/v1/chat/completions", model("fast"), clientsKey, "X-Sidecar-Max-Wait: 5s"))
		if got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, "two is away") || got.Header.Get("X-Sidecar-Provider") != "two" {
			t.Errorf("answer = %d %q by %q; want two's", got.StatusCode, got.body, got.Header.Get("X-Sidecar-Provider"))
		}
		if len(one.bodies) != 1 || len(two.bodies) != 2 { // one's slot for a repetition would come too late; two is asked twice, as if it were the first
			t.Errorf("one was asked %d times, two %d; want 1 and 2", len(one.bodies), len(two.bodies))
		}
	})
}

// A stream that has got its 200 by a heartbeat goes on to the next target all the same; who served it is then told in a trailer.
func TestAFallbackAfterACommitIsNotNoticed(t *testing.T) {
	onRoute(t, usual, func(r *rig, one, two *shop) {
		one.status, one.pause = http.StatusGone, 20*time.Second
		two.header, two.body, two.pause = http.Header{"Content-Type": {"text/event-stream"}}, hello+theEnd, 20*time.Second
		got := r.ask(post("/v1/chat/completions", strings.Replace(wantsStream, "m/a", "fast", 1), clientsKey, "X-Sidecar-Max-Wait: 30s"))
		want := merge([]string{"40s " + hello + theEnd}, beats(seconds(2, 17, 32), waiting))
		if got.err != nil || !slices.Equal(got.script, want) {
			t.Errorf("heard %q, %v; want %q", got.script, got.err, want)
		}
		if h, tr := got.Header.Get("X-Sidecar-Provider"), got.Trailer.Get("X-Sidecar-Provider"); h != "" || tr != "two" || got.Trailer.Get("X-Sidecar-Attempts") != "2" {
			t.Errorf("provider in the header %q, in the trailer %q of %v; want two in the trailer, after two attempts", h, tr, got.Trailer)
		}
	})
}

// What it waited for one target counts as waiting, whoever serves it then.
func TestTheWaitingTimesOfAllTargetsAreAdded(t *testing.T) {
	onRoute(t, Heartbeat{}, func(r *rig, one, two *shop) {
		r.ask(post("/v1/chat/completions", model("fast"), clientsKey))
		time.Sleep(55 * time.Second)
		one.status = http.StatusGone
		got := r.ask(post("/v1/chat/completions", model("patient"), clientsKey))
		if !strings.Contains(got.body, `"from":"two"`) || got.Header.Get("X-Sidecar-Queue-Wait-Ms") != "5500" || len(two.bodies) != 1 {
			t.Errorf("%q after %s ms in the queue; want two's answer after the 5500 for one's slot", got.body, got.Header.Get("X-Sidecar-Queue-Wait-Ms"))
		}
	})
}

func TestARefusalWhileTheProviderIsOutOfUseSaysSo(t *testing.T) {
	beating(t, Heartbeat{}, "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, func(r *rig) {
		for range 10 {
			r.ask(post("/v1/chat/completions", wantsPlain))
		}
		got := r.ask(post("/v1/chat/completions", wantsPlain, "X-Sidecar-Max-Wait: 0s"))
		if got.StatusCode != http.StatusBadGateway || got.Header.Get("X-Sidecar-Reason") != "upstream_unreachable" || got.Header.Get("Retry-After") == "" ||
			!strings.Contains(got.body, "provider up") || got.Header.Get("X-Sidecar-Attempts") != "0" {
			t.Errorf("answer = %d %q %v; want 502 without an attempt, that names the provider and says when to come again", got.StatusCode, got.body, got.Header)
		}
		r.gate.Drain()
		if got := r.ask(post("/v1/chat/completions", wantsPlain)); got.Header.Get("X-Sidecar-Reason") != "draining" {
			t.Errorf("while the sidecar stops: %v; want draining", got.Header)
		}
	})
}

func TestAConversationKeepsItsKeyAndAllKeysAreUsed(t *testing.T) {
	up := alone("up")
	setup{
		answers: map[string]http.HandlerFunc{"up": up.ServeHTTP},
		table:   upstream.Options{Providers: []upstream.Provider{provider("up", nil, "k1", "k2", "k3")}},
	}.run(t, func(r *rig) {
		const conversations = 30
		first := map[string]bool{}
		for i := range conversations {
			opening := fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"%d"}`, i)
			up.keys = nil
			for _, more := range []string{"", `,{"role":"assistant","content":"x"},{"role":"user","content":"y"}`, `,{"role":"assistant","content":"z"}`} {
				r.ask(post("/v1/chat/completions", opening+more+"]}"))
			}
			if len(up.keys) != 3 || len(slices.Compact(slices.Clone(up.keys))) != 1 {
				t.Errorf("conversation %d went up with %q; want one and the same key three times", i, up.keys)
			}
			first[up.keys[0]] = true
		}
		if len(first) != 3 {
			t.Errorf("%d conversations used the keys %v; want all three", conversations, first)
		}
	})
}

func TestTheListOfModelsIsMergedWhereThereIsMoreThanOnePlace(t *testing.T) {
	lists := func(ids ...string) *shop {
		s := &shop{}
		for i, id := range ids {
			ids[i] = `{"id":"` + id + `","object":"model","created":1700000000,"owned_by":"x"}`
		}
		s.body = `{"object":"list","data":[` + strings.Join(ids, ",") + `]}`
		return s
	}
	one, two := lists("a", "b"), lists("b", "c")
	ids := func(body string) (list []string) {
		for _, entry := range strings.Split(body, `"id":"`)[1:] {
			id, _, _ := strings.Cut(entry, `"`)
			list = append(list, id)
		}
		return list
	}
	setup{
		answers: map[string]http.HandlerFunc{"one": one.ServeHTTP, "two": two.ServeHTTP},
		table: upstream.Options{
			Providers: []upstream.Provider{provider("one", nil, "k"), provider("two", []wire.Dialect{wire.Anthropic}, "k")},
			Routes:    []upstream.Route{{Alias: "fast", Targets: []upstream.Target{{Provider: "two", Model: "c"}}}},
		},
	}.run(t, func(r *rig) {
		for _, tt := range []struct {
			path, header string
			want         []string
		}{
			{"/v1/models", "", []string{"fast", "a", "b", "two/b", "c"}},
			{"/v1/models", "Anthropic-Version: 2023-06-01", []string{"fast", "a", "b", "two/b", "c"}},
			{"/one/v1/models", "", []string{"a", "b"}},
			{"/one/v1/models", "Anthropic-Version: 2023-06-01", []string{"a", "b"}},
			{"/two/v1/models", "Anthropic-Version: 2023-06-01", []string{"b", "c"}},
		} {
			req := post(tt.path, "")
			req.Method = http.MethodGet
			if name, value, ok := strings.Cut(tt.header, ": "); ok {
				req.Header.Set(name, value)
			}
			got := r.ask(req)
			converted := strings.Contains(got.body, `"display_name"`)
			if !slices.Equal(ids(got.body), tt.want) || got.Header.Get("Content-Type") != "application/json" || converted != (tt.header != "" && tt.path != "/two/v1/models") {
				t.Errorf("%s with %q: %d %q; want %q", tt.path, tt.header, got.StatusCode, got.body, tt.want)
			}
		}
		head := post("/v1/models", "")
		head.Method = http.MethodHead
		if got := r.ask(head); got.StatusCode != http.StatusOK || got.body != "" {
			t.Errorf("HEAD = %d %q; want 200 without a body", got.StatusCode, got.body)
		}
		got := r.ask(post("/v1/chat/completions", model("two/b")))
		if got.StatusCode != http.StatusOK || two.bodies[len(two.bodies)-1] != model("b") {
			t.Errorf("a model by the name of the list = %d, sent as %q; want it to go to two as b", got.StatusCode, two.bodies)
		}
	})
}

func TestWithoutAnyListThereIsAnError(t *testing.T) {
	one, two := &shop{status: http.StatusInternalServerError}, &shop{status: http.StatusInternalServerError}
	setup{
		answers: map[string]http.HandlerFunc{"one": one.ServeHTTP, "two": two.ServeHTTP},
		table:   upstream.Options{Providers: []upstream.Provider{provider("one", nil), provider("two", nil)}},
	}.run(t, func(r *rig) {
		req := post("/v1/models", "")
		req.Method = http.MethodGet
		if got := r.ask(req); got.StatusCode != http.StatusBadGateway || got.Header.Get("X-Sidecar-Reason") != "upstream_unreachable" {
			t.Errorf("answer = %d %q; want 502 upstream_unreachable", got.StatusCode, got.body)
		}
	})
}
