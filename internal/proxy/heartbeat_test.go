package proxy

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const (
	hello   = "data: {\"choices\":[{\"delta\":{\"content\":\"hello\"}}]}\n\n"
	theEnd  = "data: [DONE]\n\n"
	pinged  = "event: ping\ndata: {\"type\": \"ping\"}\n\n"
	waiting = ": waiting for the provider\n"
	queued  = ": queued, position 1\n"
)

// silences are upstreams, each silent in a way of its own, and the moments of the heartbeats that follow from it.
var silences = []struct {
	name   string
	rates  string
	busy   bool // somebody was served before, so that there is no slot for a minute
	answer func() http.HandlerFunc
	queue  []time.Duration // heartbeats in the queue
	wait   []time.Duration // heartbeats while the upstream has it
	script []string        // what else comes, and when
}{
	{
		name: "in the queue", rates: "1-M", busy: true,
		answer: func() http.HandlerFunc { return says(streamType, 0, hello, theEnd) },
		queue:  seconds(2, 17, 32, 47), script: []string{"1m0.5s " + hello + theEnd},
	},
	{
		name: "between two attempts", rates: "40-M",
		answer: func() http.HandlerFunc {
			calls := 0
			return func(w http.ResponseWriter, r *http.Request) {
				if calls++; calls == 1 {
					w.Header().Set("Retry-After", "20")
					w.WriteHeader(http.StatusTooManyRequests)
					return
				}
				says(streamType, 0, hello, theEnd)(w, r)
			}
		},
		queue: seconds(2, 17), script: []string{"20s " + hello + theEnd},
	},
	{
		name: "before the head",
		answer: func() http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if after(r, 40*time.Second) {
					says(streamType, 0, hello, theEnd)(w, r)
				}
			}
		},
		wait: seconds(2, 17, 32), script: []string{"40s " + hello + theEnd},
	},
	{
		name:   "before the first byte",
		answer: func() http.HandlerFunc { return says(streamType, 40*time.Second, hello) },
		wait:   seconds(2, 17, 32), script: []string{"40s " + hello},
	},
	{
		name:   "in the gaps of the stream",
		answer: func() http.HandlerFunc { return says(streamType, 35*time.Second, "", hello, hello) },
		wait:   seconds(2, 17, 32, 47, 62, 85, 100), script: []string{"1m10s " + hello, "1m45s " + hello},
	},
}

func seconds(all ...int) (list []time.Duration) {
	for _, n := range all {
		list = append(list, time.Duration(n)*time.Second)
	}
	return list
}

// merge is the script of a client that gets those beats.
func merge(other []string, beats ...[]string) []string {
	all := slices.Concat(append(beats, other)...)
	slices.SortStableFunc(all, func(a, b string) int { return int(moment(a) - moment(b)) })
	return all
}

func moment(line string) time.Duration {
	text, _, _ := strings.Cut(line, " ")
	d, err := time.ParseDuration(text)
	if err != nil {
		panic(err)
	}
	return d
}

func beats(at []time.Duration, text string) (lines []string) {
	for _, d := range at {
		lines = append(lines, d.String()+" "+text)
	}
	return lines
}

func TestEverySilenceOfAStreamIsFilledAtTheExactTimes(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages"} {
		for _, tt := range silences {
			beating(t, usual, tt.rates, tt.answer(), func(r *rig) {
				r.waitAtMost(5 * time.Minute)
				if tt.busy {
					r.ask(post(path, wantsPlain))
				}
				got := r.ask(post(path, wantsStream))
				want := merge(tt.script, beats(tt.queue, queued), beats(tt.wait, waiting))
				if path == "/v1/messages" {
					want = merge(tt.script, beats(tt.queue, pinged), beats(tt.wait, pinged))
				}
				if got.err != nil || !slices.Equal(got.script, want) {
					t.Errorf("%s, %s: heard %q, %v; want %q", path, tt.name, got.script, got.err, want)
				}
				if got.Response == nil || got.StatusCode != http.StatusOK || got.Header.Get("Content-Type") != "text/event-stream" || got.Header.Get("Cache-Control") != "no-cache, no-transform" ||
					got.Header.Get("X-Accel-Buffering") != "no" || got.Header.Get("X-Request-Id") == "" || got.Header.Get("X-Sidecar-Provider") != "up" {
					t.Errorf("%s, %s: the head is %+v", path, tt.name, got.Response)
				}
			})
		}
	}
}

func TestAGapIsFilledInAStreamThatNobodyAskedForToo(t *testing.T) {
	for mode, want := range map[Mode][]string{
		ModeAuto: {"20s " + hello, "35s " + waiting, "40s " + hello},
		ModeOff:  {"20s " + hello, "40s " + hello},
	} {
		beating(t, Heartbeat{Mode: mode, CommitAfter: 2 * time.Second}, "", says(streamType, 20*time.Second, hello, hello), func(r *rig) {
			if got := r.ask(post("/v1/chat/completions", wantsPlain)); !slices.Equal(got.script, want) {
				t.Errorf("%s: heard %q; want %q", mode, got.script, want)
			}
		})
	}
}

func TestNothingIsSaidAfterTheEventThatEndsAStream(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, theEnd)
		_ = http.NewResponseController(w).Flush()
		after(r, time.Minute)
	}
	beating(t, usual, "", answer, func(r *rig) {
		if got := r.ask(post("/v1/chat/completions", wantsStream)); got.body != theEnd || got.took != time.Minute || got.err != nil {
			t.Errorf("heard %q until %s, %v; want the end alone, and the connection's a minute later", got.body, got.took, got.err)
		}
	})
}

func TestClientsThatCommentsDoNotMoveGetAChunkEachMinute(t *testing.T) {
	chunkOf := func(object string) string {
		return fmt.Sprintf("data: {\"id\":\"\",\"object\":%q,\"created\":946684800,\"model\":\"m/a\",\"choices\":[]}\n\n", object)
	}
	slow := says(streamType, 140*time.Second, hello)
	for _, tt := range []struct {
		name, path, agent string
		mode              Mode
		object            string
		chunks            []time.Duration
	}{
		{"moved", "/v1/chat/completions", "OpenAI/JS 6.49.0", ModeAuto, "", nil},
		{"codex", "/v1/chat/completions", "codex_cli_rs/0.169.0 (Debian 12; x86_64)", ModeAuto, "chat.completion.chunk", seconds(47, 107)},
		{"openclaw", "/v1/completions", "node openclaw/2026.4.15", ModeAuto, "text_completion", seconds(47, 107)},
		{"codex where there are no chunks", "/v1/responses", "codex_cli_rs/0.169.0", ModeAuto, "", nil},
		{"mode comment", "/v1/chat/completions", "codex_cli_rs/0.169.0", ModeComment, "", nil},
		{"mode comment for Anthropic", "/v1/messages", "Anthropic/JS 1.12.0", ModeComment, "", nil},
		{"mode chunk", "/v1/chat/completions", "curl/8", ModeChunk, "chat.completion.chunk", seconds(2, 17, 32, 47, 62, 77, 92, 107, 122, 137)},
	} {
		beating(t, Heartbeat{Mode: tt.mode, CommitAfter: 2 * time.Second}, "", slow, func(r *rig) {
			got := r.ask(post(tt.path, wantsStream, "User-Agent: "+tt.agent))
			comments := slices.DeleteFunc(seconds(2, 17, 32, 47, 62, 77, 92, 107, 122, 137), func(d time.Duration) bool { return slices.Contains(tt.chunks, d) })
			want := merge([]string{"2m20s " + hello}, beats(comments, waiting), beats(tt.chunks, chunkOf(tt.object)))
			if !slices.Equal(got.script, want) {
				t.Errorf("%s: heard %q; want %q", tt.name, got.script, want)
			}
		})
	}
}

// Each row of the tables of clients has a User-Agent here as the client really sends it.
func TestEveryKnownClientIsRecognised(t *testing.T) {
	t.Parallel()
	agents := map[string]string{
		"OpenAI/JS":             "OpenAI/JS 6.49.0",
		"OpenAI/Python":         "OpenAI/Python 3.3.1",
		"AsyncOpenAI/Python":    "AsyncOpenAI/Python 3.3.1",
		"Anthropic/JS":          "Anthropic/JS 1.12.0",
		"Anthropic/Python":      "Anthropic/Python 0.121.0",
		"AsyncAnthropic/Python": "AsyncAnthropic/Python 0.121.0",
		"runtime/node":          "ai/6.0.326 ai-sdk/openai-compatible/2.0.91 ai-sdk/provider-utils/4.0.5 runtime/node.js/24",
		"node":                  "node",
		"undici":                "undici",
	}
	plain := func(agent, runtime string, version int) form {
		x := asked(t, http.MethodPost, "/v1/x", "User-Agent: "+agent, "X-Stainless-Runtime: "+runtime)
		x.settings.Heartbeat, x.r.ProtoMinor = usual, version
		return x.plainForm()
	}
	for _, known := range patientAgents {
		agent := agents[known.word]
		if agent == "" {
			t.Errorf("%s has no User-Agent in this test", known.word)
		}
		if got := plain(agent, known.runtime, 1); got != interims {
			t.Errorf("%s on %q: form %d; want interim answers", agent, known.runtime, got)
		}
		if got := plain(agent, known.runtime, 0); got != silent {
			t.Errorf("%s over HTTP/1.0: form %d; want silence", agent, got)
		}
		if known.runtime != "" && plain(agent, "bun", 1) != silent {
			t.Errorf("%s on bun gets interim answers, which nobody has seen it take", agent)
		}
	}
	for _, agent := range []string{"", "python-requests/2.32", "Python-urllib/3.13", "Go-http-client/1.1", "OpenAI/Go 3.96.0", "Bun/1.4.0", "curl/8.0", "Mozilla/5.0 (X11) node"} {
		if got := plain(agent, "", 1); got != silent && agent != "Mozilla/5.0 (X11) node" {
			t.Errorf("%q: form %d; want silence", agent, got)
		}
	}
}

func TestAClientThatAskedForNoStreamIsKeptAliveOnlyWhereItBearsIt(t *testing.T) {
	const answer = `{"choices":[]}`
	slow := func(w http.ResponseWriter, r *http.Request) {
		if after(r, 40*time.Second) {
			says(jsonType, 0, answer)(w, r)
		}
	}
	for _, tt := range []struct {
		name, path, agent string
		plain             Plain
		interims          []time.Duration
		script            []string
	}{
		{"a client that takes 102", "/v1/chat/completions", "node", PlainAuto, seconds(2, 17, 32), []string{"40s " + answer}},
		{"any other", "/v1/chat/completions", "python-requests/2.32", PlainAuto, nil, []string{"40s " + answer}},
		{"off", "/v1/chat/completions", "node", PlainOff, nil, []string{"40s " + answer}},
		{"white space", "/v1/embeddings", "curl/8", PlainWhitespace, nil, []string{"2s \n", "17s \n", "32s \n", "40s " + answer}},
		{"white space where no JSON is known to come", "/v1/audio/speech", "curl/8", PlainWhitespace, nil, []string{"40s " + answer}},
	} {
		beating(t, Heartbeat{Plain: tt.plain, CommitAfter: 2 * time.Second}, "", slow, func(r *rig) {
			req := post(tt.path, wantsPlain, "User-Agent: "+tt.agent)
			var got []time.Duration
			began := time.Now()
			req = req.WithContext(tracing(req.Context(), func(status int) {
				if status == http.StatusProcessing {
					got = append(got, time.Since(began))
				}
			}))
			reply := r.ask(req)
			if !slices.Equal(got, tt.interims) || !slices.Equal(reply.script, tt.script) || reply.err != nil || reply.StatusCode != http.StatusOK {
				t.Errorf("%s: interim answers at %v, then %q, %v; want %v and %q", tt.name, got, reply.script, reply.err, tt.interims, tt.script)
			}
		})
	}
}

func TestAReadTimeOutBoundsTheWaitOnlyWhereNoHeartbeatReArmsIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path string
		stream     bool
		headers    []string
		interval   time.Duration
		wait       time.Duration
	}{
		{"a stream", "/v1/chat/completions", true, []string{"X-Stainless-Read-Timeout: 60"}, 15 * time.Second, DefaultMaxWait},
		{"a stream that needs it more often", "/v1/chat/completions", true, []string{"X-Stainless-Read-Timeout: 16"}, 12 * time.Second, DefaultMaxWait},
		{"a stream that just bears it", "/v1/messages", true, []string{"X-Stainless-Read-Timeout: 11"}, MinInterval, DefaultMaxWait},
		{"a stream that would need it too often", "/v1/chat/completions", true, []string{"X-Stainless-Read-Timeout: 10"}, MinInterval, 10 * time.Second},
		{"no stream", "/v1/chat/completions", false, []string{"X-Stainless-Read-Timeout: 60"}, 15 * time.Second, time.Minute},
		{"no stream of a client that takes 102", "/v1/chat/completions", false, []string{"X-Stainless-Read-Timeout: 60", "User-Agent: node"}, 15 * time.Second, DefaultMaxWait},
		{"the whole time", "/v1/chat/completions", true, []string{"X-Stainless-Timeout: 60"}, 15 * time.Second, time.Minute},
		{"both", "/v1/chat/completions", true, []string{"X-Stainless-Timeout: 600", "X-Stainless-Read-Timeout: 30"}, 15 * time.Second, 10 * time.Minute},
	} {
		x := asked(t, http.MethodPost, tt.path, tt.headers...)
		x.settings.Heartbeat, x.peek.Stream = usual, tt.stream
		wantRefusal(t, tt.name, x.readDeadline(), "")
		x.path = strings.TrimPrefix(tt.path, "/v1")
		x.arrange()
		if got := x.deadline.Sub(x.began); got != tt.wait || x.interval != tt.interval || x.announced != (got < DefaultMaxWait) {
			t.Errorf("%s: wait %s, announced %t, interval %s; want %s and %s", tt.name, got, x.announced, x.interval, tt.wait, tt.interval)
		}
	}
}

func TestAStreamIsAskedForUnpackedWhereItMayHaveToBeKeptAlive(t *testing.T) {
	for mode, want := range map[Mode]string{ModeAuto: "identity", ModeOff: "gzip, br"} {
		got := ""
		beating(t, Heartbeat{Mode: mode}, "", func(w http.ResponseWriter, r *http.Request) { got = r.Header.Get("Accept-Encoding") }, func(r *rig) {
			r.ask(post("/v1/chat/completions", wantsStream, "Accept-Encoding: gzip, br"))
			if got != want {
				t.Errorf("%s: the upstream was asked for %q; want %q", mode, got, want)
			}
		})
	}
}

// BenchmarkBeat is one heartbeat of a stream that waits for its provider. Budget: 400 ns, 2 allocations.
func BenchmarkBeat(b *testing.B) {
	x := asked(b, http.MethodPost, "/v1/chat/completions")
	x = newExchange(x.h, &sink{header: http.Header{}}, x.r)
	x.form, x.headOut, x.sealed = comments, true, true
	b.ReportAllocs()
	for b.Loop() {
		if !x.say(time.Hour) {
			b.Fatal("the client is gone")
		}
	}
}
