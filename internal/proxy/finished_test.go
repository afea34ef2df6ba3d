package proxy

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/coalesce"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/secret"
	"nimsidecar/internal/wire"
)

// listen has the rig's Handler tell of the requests that end, and returns where they are noted.
func (r *rig) listen() *[]Finished {
	var all []Finished
	r.Finished = func(f Finished) {
		f.Attempts = append([]Attempt(nil), f.Attempts...)
		all = append(all, f)
	}
	return &all
}

// refusedFirst refuses n attempts for a second each and then answers, each time after as many milliseconds as it was asked before.
func refusedFirst(n int, then http.HandlerFunc) http.HandlerFunc {
	calls := 0
	return func(w http.ResponseWriter, r *http.Request) {
		after(r, time.Duration(calls)*time.Millisecond)
		if calls++; calls <= n {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		then(w, r)
	}
}

func TestWhoListensHearsOnceOfEachRequestThatEnds(t *testing.T) {
	const ms = time.Millisecond
	breaks := func(w http.ResponseWriter, r *http.Request) {
		says(streamType, time.Second, hello)(w, r)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		stream string
		leaves time.Duration // 0 = it stays
		want   Finished
	}{
		{"at the first attempt", says(jsonType, time.Second, `{"usage":{"prompt_tokens":3,"completion_tokens":4}}`), "false", 0, Finished{
			Status: 200, FirstByte: 50 * ms, Total: time.Second, Attempts: []Attempt{{0, time.Second, "ok"}}, InputTokens: 3, OutputTokens: 4,
		}},
		{"at the second attempt", refusedFirst(1, says(streamType, time.Second, hello+theEnd)), "true", 0, Finished{
			Status: 200, Wait: time.Second, FirstByte: 1051 * ms, Total: 2001 * ms,
			Attempts: []Attempt{{0, 0, "quota"}, {time.Second, 1001 * ms, "ok"}},
		}},
		{"with a body that breaks", breaks, "true", 0, Finished{
			Status: 200, Reason: wire.UpstreamUnreachable, FirstByte: 50 * ms, Total: time.Second, Attempts: []Attempt{{0, time.Second, "broken"}},
		}},
		{"with the client's mistake", slowly(time.Second, 422, jsonType, "{}"), "true", 0, Finished{
			Status: 422, FirstByte: time.Second, Total: time.Second, Attempts: []Attempt{{0, time.Second, "client_error"}},
		}},
		{"left before the head", slowly(time.Hour, 200, jsonType, "{}"), "false", 7 * time.Second, Finished{
			Status: 499, Reason: wire.Cancelled, Total: 7 * time.Second, Attempts: []Attempt{{0, 7 * time.Second, "cancelled"}},
		}},
		{"left inside the body", says(streamType, time.Hour, "", hello), "true", 7 * time.Second, Finished{
			Status: 499, Reason: wire.Cancelled, FirstByte: 50 * ms, Total: 7 * time.Second, Attempts: []Attempt{{0, 7 * time.Second, "cancelled"}},
		}},
	} {
		bubble(t, "", tt.answer, func(r *rig) {
			got, ctx := r.listen(), context.Background()
			if tt.leaves > 0 {
				leaving, cancel := context.WithTimeout(ctx, tt.leaves)
				defer cancel()
				ctx = leaving
			}
			want := tt.want
			want.ID, want.Agent, want.Model, want.Provider, want.Key, want.Path = "id-1", "192.0.2.1", "m/a", "up", "one-key", "/v1/chat/completions"
			want.Class, want.Stream, want.Queued, want.Began = priority.Normal, tt.stream == "true", true, time.Now()
			r.serve(httptest.NewRecorder(), chat(ctx, tt.stream))
			if diff := cmp.Diff([]Finished{want}, *got); diff != "" {
				t.Errorf("%s: -want +got:\n%s", tt.name, diff)
			}
		})
	}
}

func TestWhatNeverWaitedIsToldOfAsSuch(t *testing.T) {
	bubble(t, "", says(jsonType, 0, "{}"), func(r *rig) {
		r.Guard = guard.New(guard.Options{Clients: []guard.Client{{Name: "alice", Key: secret.New("key-a")}}})
		got := r.listen()
		r.serve(httptest.NewRecorder(), chat(context.Background(), "false")) // without a key
		wrong := chat(context.Background(), "false")
		wrong.Header.Set("Authorization", "Bearer key-a")
		wrong.Header.Set("X-Sidecar-Priority", "soon")
		r.serve(httptest.NewRecorder(), wrong)
		for i, want := range []struct {
			client string
			status int
		}{{"", 401}, {"alice", 400}} {
			if f := (*got)[i]; f.Queued || f.Client != want.client || f.Status != want.status || len(f.Attempts) != 0 {
				t.Errorf("heard %+v; want status %d for client %q, and no wait", f, want.status, want.client)
			}
		}
	})
	shares(t, kept, Heartbeat{}, "", plainly, func(r *rig, _ func() int) {
		got := r.listen()
		r.ask(post("/v1/embeddings", embedded))
		time.Sleep(time.Second)
		r.ask(post("/v1/embeddings", embedded))
		time.Sleep(time.Second)
		for i, mark := range []coalesce.Mark{coalesce.Miss, coalesce.Hit} {
			if f := (*got)[i]; f.Cache != string(mark) || len(f.Attempts) != 1-i {
				t.Errorf("heard %+v; want %q with %d attempts", f, mark, 1-i)
			}
		}
	})
}

func TestOfManyAttemptsTheFirstAndTheLastAreToldOf(t *testing.T) {
	for _, refusals := range []int{2*maxTold - 2, 2*maxTold - 1, 2 * maxTold, 40} {
		bubble(t, "", refusedFirst(refusals, says(jsonType, 0, "{}")), func(r *rig) {
			got := r.listen()
			r.serve(httptest.NewRecorder(), chat(context.Background(), "false"))
			attempts := (*got)[0].Attempts
			if want := min(refusals+1, 2*maxTold); len(attempts) != want {
				t.Fatalf("%d attempts are told of after %d; want %d", len(attempts), refusals+1, want)
			}
			for i, a := range attempts {
				number, outcome := i, "quota"
				if i >= maxTold { // counted from the end
					number = refusals + 1 - (len(attempts) - i)
				}
				if number == refusals {
					outcome = "ok"
				}
				if want := time.Duration(number) * time.Millisecond; a.Took != want || a.Outcome != outcome {
					t.Errorf("of %d attempts the one at %d is %+v; want %s, %s", refusals+1, i, a, outcome, want)
				}
			}
		})
	}
}

// A crash is told of as well, and nobody need listen.
func TestACrashIsToldOfToo(t *testing.T) {
	bubble(t, "", says(jsonType, 0, "{}"), func(r *rig) {
		r.ledger.crash = "Observe"
		got := r.listen()
		r.serve(httptest.NewRecorder(), chat(context.Background(), "false"))
		if f := (*got)[0]; f.Status != http.StatusInternalServerError || len(f.Attempts) != 1 || f.Attempts[0].Took != 0 {
			t.Errorf("heard %+v; want a 500 after one attempt", f)
		}
		r.Finished = nil
		r.serve(httptest.NewRecorder(), chat(context.Background(), "false"))
	})
}

// BenchmarkReport is what the end of a request costs that is told of without being logged. Budget: 500 ns, no allocation.
func BenchmarkReport(b *testing.B) {
	x := asked(b, http.MethodPost, "/v1/chat/completions")
	heard := 0
	x.h.Finished = func(f Finished) { heard += len(f.Attempts) }
	x.attempts = 1
	b.ReportAllocs()
	for b.Loop() {
		x.report()
	}
	if heard == 0 {
		b.Fatal("nothing was heard")
	}
}
