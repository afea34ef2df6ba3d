package proxy

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/coalesce"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/secret"
	"nimsidecar/internal/upstream"
)

var (
	everything = coalesce.Rules{Models: []string{"*"}, Paths: []string{"/embeddings", "/chat/completions", "/messages"}}
	kept       = coalesce.Options{Cache: everything, MaxBytes: 1 << 20, MaxAge: time.Minute}
	joined     = coalesce.Options{Coalesce: everything}
)

// shares runs test before an upstream that counts, with calls and answers shared as o says.
func shares(t *testing.T, o coalesce.Options, beat Heartbeat, rates string, answer func(n int, w http.ResponseWriter, r *http.Request), test func(r *rig, calls func() int)) {
	t.Helper()
	var calls atomic.Int32
	setup{
		beat: beat, shared: o, rates: map[string]string{"up": rates},
		answers: map[string]http.HandlerFunc{"up": func(w http.ResponseWriter, r *http.Request) {
			answer(int(calls.Add(1)), w, r)
		}},
		table: upstream.Options{Providers: []upstream.Provider{provider("up", nil, "our-key")}},
	}.run(t, func(r *rig) { test(r, func() int { return int(calls.Load()) }) })
}

const (
	embedded  = `{"model":"m/a","input":"x"}`
	vector    = `{"data":[{"embedding":[0.5]}],"usage":{"prompt_tokens":5,"total_tokens":5}}`
	sure      = `{"model":"m/a","temperature":0,"messages":[]}`
	sureFlows = `{"model":"m/a","temperature":0,"stream":true,"messages":[]}`
)

// plainly answers with a vector.
func plainly(_ int, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Set-Cookie", "secret=1")
	says(jsonType, 0, vector)(w, r)
}

// company sends the same request several times, in order, and returns all answers.
func (r *rig) company(n int, request func() *http.Request) []heard {
	answers := make([]heard, n)
	done := make(chan struct{})
	for i := range n {
		go func() {
			answers[i] = r.ask(request())
			done <- struct{}{}
		}()
		synctest.Wait()
	}
	for range n {
		<-done
	}
	return answers
}

// marks are what the headers, or the trailers after a commit, say.
func marks(answers []heard) (list []string) {
	for _, a := range answers {
		list = append(list, a.Header.Get("X-Sidecar-Cache")+a.Trailer.Get("X-Sidecar-Cache"))
	}
	return list
}

func TestAKeptAnswerCostsNoSlot(t *testing.T) {
	shares(t, kept, Heartbeat{}, "1-H", plainly, func(r *rig, calls func() int) {
		embed := func() heard { return r.ask(post("/v1/embeddings", embedded)) }
		first := embed()
		time.Sleep(20 * time.Second)
		second := embed()
		if first.body != vector || second.body != vector || !slices.Equal(marks([]heard{first, second}), []string{"miss", "hit"}) || second.took != 0 {
			t.Errorf("answers = %q and %q, marked %v, the second after %s; want the same, a miss and a hit at once", first.body, second.body, marks([]heard{first, second}), second.took)
		}
		if h := second.Header; h.Get("Age") != "20" || h.Get("Set-Cookie") != "" || h.Get("X-Sidecar-Attempts") != "0" || h.Get("Content-Type") != "application/json" ||
			h.Get("X-Request-Id") == first.Header.Get("X-Request-Id") || second.ContentLength != int64(len(vector)) {
			t.Errorf("the header of the kept answer is %v; want its age, and nothing of the first client's", h)
		}
		if calls() != 1 || r.ledger.charged != 1 {
			t.Errorf("%d calls and %d slots; want one of each", calls(), r.ledger.charged)
		}
		synctest.Wait()
		for _, want := range []string{`"cache":"miss"`, `"cache":"hit"`, `"input_tokens":0`} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log is %s; want %s in it", r.log, want)
			}
		}
		time.Sleep(time.Minute)
		if got := r.ask(post("/v1/embeddings", embedded)); got.Header.Get("X-Sidecar-Reason") != "queue_timeout" {
			t.Errorf("when it is too old: %d %q; want a call of its own, for which there is no slot", got.StatusCode, got.body)
		}
	})
}

func TestWhoAsksTheSameAtOneTimeSharesACall(t *testing.T) {
	slow := func(_ int, w http.ResponseWriter, r *http.Request) {
		slowly(40*time.Second, 200, jsonType, vector)(w, r)
	}
	shares(t, joined, Heartbeat{}, "1-H", slow, func(r *rig, calls func() int) {
		answers := r.company(3, func() *http.Request { return post("/v1/embeddings", embedded) })
		if got := marks(answers); !slices.Equal(got, []string{"miss", "coalesced", "coalesced"}) || calls() != 1 || r.ledger.charged != 1 {
			t.Errorf("marked %v after %d calls with %d slots; want one call, one slot, and two that share it", got, calls(), r.ledger.charged)
		}
		for i, a := range answers {
			if a.body != vector || a.took != 40*time.Second {
				t.Errorf("answer %d = %q after %s; want the vector after 40s", i, a.body, a.took)
			}
		}
		if wait := answers[2].Header.Get("X-Sidecar-Queue-Wait-Ms"); wait != "40000" {
			t.Errorf("the last has waited %s ms; want 40000", wait)
		}
	})
}

// Followers of a stream get their 200 and their heartbeats like everybody who waits, and the stream as a whole in the end.
func TestFollowersAreKeptAlive(t *testing.T) {
	flows := func(_ int, w http.ResponseWriter, r *http.Request) {
		says(streamType, 20*time.Second, hello, "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"+theEnd)(w, r)
	}
	shares(t, joined, usual, "", flows, func(r *rig, calls func() int) {
		answers := r.company(2, func() *http.Request { return post("/v1/chat/completions", sureFlows) })
		leader, follower := answers[0], answers[1]
		whole := strings.ReplaceAll(leader.body, waiting, "")
		want := merge([]string{"40s " + whole}, beats(seconds(2, 17, 32), waiting))
		if !slices.Equal(follower.script, want) || follower.err != nil || calls() != 1 {
			t.Errorf("the follower heard %q, %v, after %d calls; want %q after one", follower.script, follower.err, calls(), want)
		}
		if !slices.Equal(marks(answers), []string{"miss", "coalesced"}) {
			t.Errorf("marked %v; want a miss and one that shares it", marks(answers))
		}
	})
	ended := func(_ int, w http.ResponseWriter, r *http.Request) {
		says(streamType, 20*time.Second, hello, theEnd+": bye")(w, r)
	}
	shares(t, joined, Heartbeat{}, "", ended, func(r *rig, calls func() int) {
		for i, a := range r.company(2, func() *http.Request { return post("/v1/chat/completions", sureFlows) }) {
			if a.body != hello+theEnd+": bye" || a.Header.Get("Content-Type") != "text/event-stream" || a.Header.Get("Cache-Control") == "" || calls() != 1 {
				t.Errorf("answer %d without heartbeats = %q %v; want the stream, with its header", i, a.body, a.Header)
			}
		}
	})
}

func TestATranslatedAnswerIsSharedAsTheClientsGetIt(t *testing.T) {
	flows := func(_ int, w http.ResponseWriter, r *http.Request) {
		says(streamType, 20*time.Second, chatStream)(w, r)
	}
	shares(t, joined, usual, "", flows, func(r *rig, calls func() int) {
		answers := r.company(2, func() *http.Request { return post("/v1/messages", message(streamed+`,"temperature":0`)) })
		for i, a := range answers {
			if text, last := told(t, a.body); text != "héllo" || last != "message_stop" || a.err != nil || calls() != 1 {
				t.Errorf("answer %d = %q, %v after %d calls; want the message, after one", i, a.body, a.err, calls())
			}
		}
	})
}

// The one that makes the call leaves; the next makes it anew, and only then a second slot is taken.
func TestWhenTheLeaderLeavesTheNextMakesTheCall(t *testing.T) {
	slow := func(_ int, w http.ResponseWriter, r *http.Request) {
		slowly(40*time.Second, 200, jsonType, vector)(w, r)
	}
	shares(t, joined, Heartbeat{}, "100-M", slow, func(r *rig, calls func() int) {
		ctx, leave := context.WithCancel(context.Background())
		go r.ask(post("/v1/embeddings", embedded).WithContext(ctx))
		synctest.Wait()
		time.AfterFunc(10*time.Second, leave)
		answers := r.company(2, func() *http.Request { return post("/v1/embeddings", embedded) })
		if got := marks(answers); !slices.Equal(got, []string{"miss", "coalesced"}) || calls() != 2 || r.ledger.charged != 2 {
			t.Errorf("marked %v after %d calls with %d slots; want two calls with a slot each", got, calls(), r.ledger.charged)
		}
		for i, a := range answers {
			if a.body != vector || a.took != 50*time.Second {
				t.Errorf("answer %d = %q after %s; want the vector after 50s", i, a.body, a.took)
			}
		}
	})
}

func TestAFollowersDeadlineIsItsOwn(t *testing.T) {
	slow := func(_ int, w http.ResponseWriter, r *http.Request) {
		slowly(40*time.Second, 200, jsonType, vector)(w, r)
	}
	shares(t, joined, Heartbeat{}, "", slow, func(r *rig, calls func() int) {
		waits := []string{"60s", "15s", "0s", "60s"}
		i := -1
		answers := r.company(len(waits), func() *http.Request {
			i++
			return post("/v1/embeddings", embedded, "X-Sidecar-Max-Wait: "+waits[i])
		})
		if got := answers[1]; got.Header.Get("X-Sidecar-Reason") != "queue_timeout" || got.took != 15*time.Second || got.Header.Get("X-Sidecar-Cache") != "" {
			t.Errorf("who waits 15s = %d %v after %s; want queue_timeout after 15s", got.StatusCode, got.Header, got.took)
		}
		if got := answers[2]; got.body != vector || got.Header.Get("X-Sidecar-Cache") != "miss" || calls() != 2 {
			t.Errorf("who does not wait = %q, %q after %d calls; want a call of its own", got.body, got.Header.Get("X-Sidecar-Cache"), calls())
		}
		if got := answers[3]; got.body != vector || got.Header.Get("X-Sidecar-Cache") != "coalesced" {
			t.Errorf("who waits for long = %q, %q; want the shared answer", got.body, got.Header.Get("X-Sidecar-Cache"))
		}
	})
}

// A follower's leave is nobody's matter but its own.
func TestAFollowerThatLeavesIsForgotten(t *testing.T) {
	slow := func(_ int, w http.ResponseWriter, r *http.Request) {
		slowly(40*time.Second, 200, jsonType, vector)(w, r)
	}
	shares(t, joined, usual, "", slow, func(r *rig, calls func() int) {
		done := make(chan heard)
		go func() { done <- r.ask(post("/v1/embeddings", embedded)) }()
		synctest.Wait()
		ctx, leave := context.WithTimeout(context.Background(), 10*time.Second)
		defer leave()
		r.ask(post("/v1/embeddings", embedded).WithContext(ctx))
		synctest.Wait()
		if v := r.Coalesce.View(); v.Waiting != 0 || v.Calls != 1 {
			t.Errorf("the group holds %+v; want one call and nobody waiting", v)
		}
		if got := <-done; got.body != vector || calls() != 1 {
			t.Errorf("the leader got %q after %d calls; want its answer after one", got.body, calls())
		}
		if synctest.Wait(); !strings.Contains(r.log.String(), `"reason":"cancelled"`) || !strings.Contains(r.log.String(), `"queue_ms":10000`) {
			t.Errorf("the log is %s; want the leave after 10 s", r.log)
		}
	})
}

// Companies in which anybody may leave at any moment. Whoever stays gets the answer, at most one slot is out at a time, and nothing is left.
func TestACompanySurvivesWhoeverLeaves(t *testing.T) {
	const times, size = 60, 5
	random := rand.New(rand.NewPCG(7, 7))
	var running atomic.Int32
	slow := func(_ int, w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		running.Add(1)
		defer running.Add(-1)
		if after(r, 20*time.Second) {
			says(streamType, 0, hello+theEnd)(w, r)
		}
	}
	shares(t, joined, usual, "", slow, func(r *rig, _ func() int) {
		r.waitAtMost(time.Hour)
		for i := range times {
			stays, request := random.IntN(size), 0
			var cancels []context.CancelFunc
			answers := r.company(size, func() *http.Request {
				req := post("/v1/chat/completions", sureFlows)
				if request++; request-1 != stays {
					ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+random.IntN(60_000))*time.Millisecond)
					cancels = append(cancels, cancel)
					req = req.WithContext(ctx)
				}
				return req
			})
			for _, cancel := range cancels {
				cancel()
			}
			if got := answers[stays]; got.err != nil || !strings.HasSuffix(got.body, hello+theEnd) || strings.Count(got.body, hello) != 1 {
				t.Fatalf("company %d: who stayed heard %q, %v; want the answer once", i, got.body, got.err)
			}
			synctest.Wait()
			if v := r.Coalesce.View(); v != (coalesce.View{}) || running.Load() != 0 || r.gate.Len() != 0 || r.Held() != 0 || r.ledger.charged != r.ledger.settled {
				t.Fatalf("company %d: left are %+v, %d calls, %d who wait, %d bytes, %d of %d slots; want nothing", i, v, running.Load(), r.gate.Len(), r.Held(),
					r.ledger.settled, r.ledger.charged)
			}
		}
		if r.ledger.most != 1 {
			t.Errorf("up to %d slots were out at one time; want 1", r.ledger.most)
		}
	})
}

// The next caller must find the slot of the one before it free, or a company would hold two slots for one answer.
func TestTheNextCallerFindsTheSlotOfTheOneBeforeSettled(t *testing.T) {
	shares(t, joined, Heartbeat{}, "", func(_ int, w http.ResponseWriter, r *http.Request) { slowly(3*time.Second, 403, jsonType, `{}`)(w, r) }, func(r *rig, calls func() int) {
		r.ledger.settling = time.Second
		r.company(2, func() *http.Request { return post("/v1/chat/completions", sure) })
		if calls() != 2 || r.ledger.most != 1 {
			t.Errorf("%d calls, with up to %d slots out at one time; want 2 calls, one after the other", calls(), r.ledger.most)
		}
	})
}

// What all would be told is shared, what only time cures is not, and after two failures of the upstream's each goes alone.
func TestFailuresAreSharedAsFarAsTheyAreEverybodys(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		beat   Heartbeat
		marks  []string
		calls  int
		says   string
	}{
		{"a mistake in the request", slowly(3*time.Second, 422, jsonType, `{"error":{"message":"no"}}`), Heartbeat{}, []string{"miss", "coalesced", "coalesced", "coalesced"}, 1, "no"},
		{"told after a commit", slowly(3*time.Second, 422, jsonType, `{"error":{"message":"no"}}`), usual, []string{"miss", "coalesced", "coalesced", "coalesced"}, 1, "data: {\"error\""},
		{"one that is too long to be told", slowly(3*time.Second, 422, jsonType, `{"error":"`+strings.Repeat("x", maxTranslated)+`"}`), usual, []string{"miss", "miss", "miss", "miss"}, 4, "answered 422"},
		{"one that is too long to be translated", slowly(3*time.Second, 422, jsonType, `{"error":"`+strings.Repeat("x", maxTranslated)+`"}`), Heartbeat{}, []string{"miss", "coalesced", "coalesced", "coalesced"}, 1, "x\"}"},
		{"a refused key", slowly(3*time.Second, 403, jsonType, `{"error":{"message":"no"}}`), Heartbeat{}, []string{"miss", "miss", "miss", "miss"}, 4, "no"},
		{"a broken stream", func(w http.ResponseWriter, r *http.Request) {
			says(streamType, 3*time.Second, hello)(w, r)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, Heartbeat{}, []string{"miss", "miss", "miss", "miss"}, 4, "upstream_unreachable"},
		{"a stream without its end", says(streamType, 3*time.Second, hello), Heartbeat{}, []string{"miss", "miss", "miss", "miss"}, 4, "hello"},
	} {
		body := sure
		if tt.beat.Mode != "" {
			body = sureFlows
		}
		shares(t, joined, tt.beat, "", func(_ int, w http.ResponseWriter, r *http.Request) { tt.answer(w, r) }, func(r *rig, calls func() int) {
			answers := r.company(4, func() *http.Request { return post("/v1/chat/completions", body) })
			if got := marks(answers); !slices.Equal(got, tt.marks) || calls() != tt.calls {
				t.Errorf("%s: marked %v after %d calls; want %v after %d", tt.name, got, calls(), tt.marks, tt.calls)
			}
			for i, a := range answers {
				if !strings.Contains(a.body, tt.says) {
					t.Errorf("%s: answer %d = %d %q; want %q in it", tt.name, i, a.StatusCode, a.body, tt.says)
				}
			}
			if last := answers[3].took; last > 9*time.Second+time.Second/2 {
				t.Errorf("%s: the last was answered after %s; want an outage not to be queued for", tt.name, last)
			}
		})
	}
}

// Who must make the call that another's leave has left undone has waited as long as that one, so it stands where that one stood.
func TestWhoTakesACallOverStandsWhereItStood(t *testing.T) {
	shares(t, joined, Heartbeat{}, "1-M", plainly, func(r *rig, _ func() int) {
		r.waitAtMost(time.Hour)
		r.ask(post("/v1/embeddings", `{"model":"m/a","input":"served at once"}`))
		ctx, leave := context.WithTimeout(context.Background(), 10*time.Second)
		defer leave()
		requests := []*http.Request{
			post("/v1/embeddings", embedded).WithContext(ctx), post("/v1/embeddings", `{"model":"m/a","input":"other"}`), post("/v1/embeddings", embedded),
		}
		answers := r.company(len(requests), func() *http.Request {
			next := requests[0]
			requests = requests[1:]
			return next
		})
		if other, follower := answers[1].took, answers[2].took; follower > other || follower > 61*time.Second {
			t.Errorf("who took the call over was served after %s, who came between after %s; want it first", follower, other)
		}
	})
}

// What is a request's own failure is not its followers': they make a call.
func TestALeaderThatIsRefusedIsFollowed(t *testing.T) {
	shares(t, joined, Heartbeat{}, "1-M", plainly, func(r *rig, calls func() int) {
		r.ask(post("/v1/embeddings", `{"model":"m/a","input":"other"}`))
		r.waitAtMost(5 * time.Minute)
		time.AfterFunc(10*time.Second, func() { r.gate.End("first") }) // by its operator
		ids := []string{"second", "first"}
		answers := r.company(2, func() *http.Request {
			id := ids[len(ids)-1]
			ids = ids[:len(ids)-1]
			return post("/v1/embeddings", embedded, "X-Request-Id: "+id)
		})
		if answers[0].body == vector || answers[0].took != 10*time.Second || answers[1].body != vector || calls() != 2 {
			t.Errorf("answers = %d after %s and %d %q after %d calls; want the first ended and the second served", answers[0].StatusCode, answers[0].took,
				answers[1].StatusCode, answers[1].body, calls())
		}
		if wait := answers[1].Header.Get("X-Sidecar-Queue-Wait-Ms"); wait != "60500" {
			t.Errorf("the second has waited %s ms, for the first and in the queue; want 60500", wait)
		}
	})
	var crashing *ledger
	slow := func(n int, w http.ResponseWriter, r *http.Request) {
		after(r, 10*time.Second)
		crashing.crash = []string{"Observe", ""}[n-1]
		says(jsonType, 0, vector)(w, r)
	}
	shares(t, joined, Heartbeat{}, "", slow, func(r *rig, calls func() int) {
		crashing = r.ledger
		answers := r.company(2, func() *http.Request { return post("/v1/embeddings", embedded) })
		if answers[0].StatusCode != http.StatusInternalServerError || answers[1].body != vector || calls() != 2 {
			t.Errorf("after a crash the answers = %d and %d %q after %d calls; want the second to make its own call", answers[0].StatusCode, answers[1].StatusCode, answers[1].body, calls())
		}
	})
}

func TestClientsWithKeysOfTheirOwnShareNothingUnlessToldTo(t *testing.T) {
	for _, sharing := range []bool{false, true} {
		o := kept
		o.ShareClients = sharing
		shares(t, o, Heartbeat{}, "", func(n int, w http.ResponseWriter, r *http.Request) {
			says(jsonType, 0, fmt.Sprintf(`{"call":%d}`, n))(w, r)
		}, func(r *rig, calls func() int) {
			r.Guard = guard.New(guard.Options{Clients: []guard.Client{{Name: "alice", Key: secret.New("key-a")}, {Name: "bob", Key: secret.New("key-b")}}})
			var bodies []string
			for _, key := range []string{"key-a", "key-b", "key-a"} {
				bodies = append(bodies, r.ask(post("/v1/embeddings", embedded, "Authorization: Bearer "+key)).body)
				synctest.Wait() // until the answer is kept
			}
			want := []string{`{"call":1}`, `{"call":2}`, `{"call":1}`}
			if sharing {
				want[1] = want[0]
			}
			if !slices.Equal(bodies, want) {
				t.Errorf("sharing %t: answers = %q; want %q", sharing, bodies, want)
			}
		})
	}
}

// Where the clients' own credentials go up they always keep their holders apart, on any target of a route.
func TestCredentialsThatGoUpKeepTheirHoldersApart(t *testing.T) {
	up := alone("up")
	setup{
		shared: coalesce.Options{Cache: everything, MaxBytes: 1 << 20, MaxAge: time.Hour, ShareClients: true}, answers: map[string]http.HandlerFunc{"up": up.ServeHTTP},
		table: upstream.Options{
			Providers: []upstream.Provider{provider("up", nil, "k"), provider("open", nil)},
			Routes:    []upstream.Route{{Alias: "both", Targets: []upstream.Target{{Provider: "up"}, {Provider: "open"}}}},
		},
	}.run(t, func(r *rig) {
		for i, tt := range []struct {
			model string
			calls int
		}{{"m/a", 1}, {"both", 2}} {
			up.bodies = nil
			for _, key := range []string{"a", "b", "a"} {
				r.ask(post("/v1/embeddings", strings.Replace(embedded, "m/a", tt.model, 1), "Authorization: Bearer "+key))
				synctest.Wait() // until the answer is kept
			}
			if len(up.bodies) != tt.calls {
				t.Errorf("%d: %d calls for %s; want %d", i, len(up.bodies), tt.model, tt.calls)
			}
		}
	})
}

func TestWhatIsNotSharedSaysSo(t *testing.T) {
	shares(t, kept, Heartbeat{}, "", plainly, func(r *rig, calls func() int) {
		for range 2 {
			got := r.ask(post("/v1/chat/completions", wantsPlain)) // its temperature is not 0
			if got.Header.Get("X-Sidecar-Cache") != "bypass" {
				t.Errorf("X-Sidecar-Cache = %q; want bypass", got.Header.Get("X-Sidecar-Cache"))
			}
		}
		if calls() != 2 {
			t.Errorf("%d calls; want 2", calls())
		}
		list := post("/v1/models", "")
		list.Method = http.MethodGet
		if got := r.ask(list); got.Header.Get("X-Sidecar-Cache") != "" {
			t.Errorf("X-Sidecar-Cache = %q for what costs nothing; want none", got.Header.Get("X-Sidecar-Cache"))
		}
	})
	bubble(t, "", says(jsonType, 0, vector), func(r *rig) {
		if got := r.ask(post("/v1/embeddings", embedded)); got.Header.Get("X-Sidecar-Cache") != "" {
			t.Errorf("X-Sidecar-Cache = %q where nothing is shared; want none", got.Header.Get("X-Sidecar-Cache"))
		}
	})
}
