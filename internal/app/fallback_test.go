package app

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/memnet"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/retry"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// journey sends requests along routes, through budget, gate, upstream and retry, as proxy does.
type journey struct {
	*testing.T
	b     budget
	g     *gate.Gate
	tried []upstream.Target // where the last request was sent
}

// ask sends one request and returns who answered it with which status; "" where it was refused.
func (j *journey) ask(model string, wait time.Duration) (provider string, status int) {
	j.tried = nil
	body := []byte(`{"model":"` + model + `"}`)
	choice := j.b.upstream.Choose("", model)
	deadline := time.Now().Add(wait)
	for i, to := range choice.Targets {
		last := i == len(choice.Targets)-1
		until := deadline
		if after := time.Now().Add(choice.FallbackAfter); choice.FallbackAfter > 0 && !last && after.Before(until) {
			until = after
		}
		if to.Model != model {
			body, _ = wire.Rewrite("application/json", body, to.Model)
		}
		lanes := j.b.upstream.Lanes(to, 0, nil)
		ticket := j.g.Enqueue(gate.Request{
			Lanes: lanes, Claim: quota.Claim{Requests: 1}, Deadline: until, Announced: !last, // so that it is told at once that it would be too late
		})
		if provider, status, done := j.at(to, ticket, &upstream.Request{Method: http.MethodPost, Path: "/x", Body: body}, deadline, !last); done {
			return provider, status
		}
	}
	return "", 0
}

// at makes the attempts at one target. done is false where the next is to be tried.
func (j *journey) at(to upstream.Target, ticket *gate.Ticket, r *upstream.Request, deadline time.Time, more bool) (_ string, _ int, done bool) {
	in := retry.Input{Deadline: deadline, OtherTarget: more}
	var outcomes [hint.ClassCount]int
	for {
		<-ticket.Decided()
		grant, refusal := ticket.Result()
		if grant == nil {
			elsewhere := refusal.Reason == gate.Deadline || refusal.Reason == gate.UpstreamRateLimited || refusal.Reason == gate.QueueTimeout
			return "", 0, !more || !elsewhere
		}
		j.tried = append(j.tried, to)
		a := j.b.upstream.Attempt(j.Context(), grant.Lane(), r)
		grant.Observe(a.Outcome)
		a.Close()
		grant.Settle(quota.Use{Written: a.Written})
		in.Attempts++
		outcomes[a.Outcome.Class]++
		if retry.Waits(a.Outcome.Class) {
			in.Waits++
		}
		in.Outcome, in.SameClass, in.Written, in.Reused, in.Now = a.Outcome, outcomes[a.Outcome.Class], a.Written, a.Reused, time.Now()
		switch decision := retry.Decide(in); decision.Action {
		case retry.Again:
			ticket.Requeue(decision.At, j.b.upstream.Lanes(to, 0, nil))
		case retry.Elsewhere:
			return "", 0, false
		default:
			return to.Provider, a.Status, true
		}
	}
}

// shop is an upstream that serves one model.
type shop struct {
	mu     sync.Mutex
	status int
	head   http.Header
	bodies []string
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bodies = append(s.bodies, string(body))
	maps.Copy(w.Header(), s.head)
	w.WriteHeader(max(s.status, 200))
	if s.status == http.StatusBadRequest {
		_, _ = io.WriteString(w, `{"detail":"Function id 'x': DEGRADED function cannot be invoked"}`)
	}
}

// onRoute runs test before the providers one, with two requests a minute, and two, without a limit. The alias fast leads to both, patient
// too, after ten seconds of waiting at most.
func onRoute(t *testing.T, test func(j *journey, one, two *shop)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n, shops := new(memnet.Network), map[string]*shop{"one": {}, "two": {}}
		targets := []upstream.Target{{Provider: "one", Model: "first"}, {Provider: "two", Model: "second"}}
		o := upstream.Options{DialContext: n.DialContext, Routes: []upstream.Route{
			{Alias: "fast", Targets: targets}, {Alias: "patient", Targets: targets, FallbackAfter: 10 * time.Second},
		}}
		var group sync.WaitGroup
		for _, name := range []string{"one", "two"} {
			l, err := n.Listen(name + ".test:80")
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: shops[name]}
			defer server.Close()
			group.Go(func() { _ = server.Serve(l) })
			o.Providers = append(o.Providers, upstream.Provider{Name: name, URL: &url.URL{Scheme: "http", Host: name + ".test"}})
		}
		table, err := upstream.New(o)
		if err != nil {
			t.Fatal(err)
		}
		defer table.Close()
		book := quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
			if s.WholeAccount() || s.Provider == "two" {
				return quota.Terms{}
			}
			return quota.Terms{Rates: limit.Rates{{N: 2, Period: time.Minute}}, Burst: 2}
		}})
		j := &journey{T: t, b: budget{book, table}}
		j.g = gate.New(gate.Options{Budget: j.b})
		ctx, stop := context.WithCancel(t.Context())
		group.Go(func() { _ = j.g.Run(ctx) })
		test(j, shops["one"], shops["two"])
		stop()
	})
}

// expect asks and compares who answers, with what, and after which time.
func (j *journey) expect(model string, wait time.Duration, provider string, status int, took time.Duration) {
	j.Helper()
	began := time.Now()
	got, code := j.ask(model, wait)
	if d := time.Since(began); got != provider || code != status || d < took || d > took+took/4 {
		j.Errorf("%s with %s to wait: %d from %q after %s; want %d from %q after %s or a little more", model, wait, code, got, d, status, provider, took)
	}
}

func TestARouteFallsBackOnlyWhenTheFirstCannotServeInTime(t *testing.T) {
	t.Parallel()
	onRoute(t, func(j *journey, one, two *shop) {
		j.expect("fast", time.Minute, "one", 200, 0)
		j.expect("fast", time.Minute, "one", 200, 0)
		j.expect("fast", 10*time.Second, "two", 200, 0)             // no budget within its deadline: at once
		j.expect("patient", 5*time.Minute, "two", 200, 0)           // it would have to wait for longer than the route allows
		j.expect("fast", 5*time.Minute, "one", 200, 50*time.Second) // merely busy: waits for the preferred one
		if one.bodies[0] != `{"model":"first"}` || two.bodies[0] != `{"model":"second"}` {
			j.Errorf("bodies = %q and %q; want each target's own model in it", one.bodies[0], two.bodies[0])
		}
	})
}

func TestARouteGoesRoundWhatIsDown(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		status      int
		tried, next int // attempts at both together, by the first request and by one after it
	}{
		{"degraded", http.StatusBadRequest, 2, 2}, // the model is out of use after two such answers
		{"gone", http.StatusGone, 2, 1},
		{"not known", http.StatusNotFound, 2, 2},
		{"without credits", http.StatusPaymentRequired, 2, 2}, // the client's own credential
		{"failing", http.StatusServiceUnavailable, 3, 1},      // its budget of two a minute is spent by now
	} {
		onRoute(t, func(j *journey, one, _ *shop) {
			one.status = tt.status
			for i, want := range []int{tt.tried, tt.next} {
				if provider, status := j.ask("fast", 20*time.Second); provider != "two" || status != 200 || len(j.tried) != want {
					j.Errorf("%s, request %d: %d from %q after %v; want 200 from two in %d attempts", tt.name, i, status, provider, j.tried, want)
				}
			}
		})
	}
}

func TestWhatIsTheRequestsOwnFaultStaysWhereItIs(t *testing.T) {
	t.Parallel()
	onRoute(t, func(j *journey, one, _ *shop) {
		one.status = http.StatusUnprocessableEntity
		j.expect("fast", time.Minute, "one", http.StatusUnprocessableEntity, 0)
	})
}

func TestAResetBeyondTheDeadlineFallsBackAtOnce(t *testing.T) {
	t.Parallel()
	onRoute(t, func(j *journey, one, _ *shop) {
		one.status, one.head = http.StatusTooManyRequests, http.Header{"Retry-After": {"300"}}
		j.expect("fast", time.Minute, "two", 200, 0)
		j.expect("fast", time.Minute, "two", 200, 0) // it is known to be refused until then, so nothing is sent there
		if len(j.tried) != 1 || len(one.bodies) != 1 {
			j.Errorf("one was sent %d requests; want the first only", len(one.bodies))
		}
	})
}
