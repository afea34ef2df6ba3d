package proxy

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// slowly is an upstream that answers after a pause.
func slowly(pause time.Duration, status int, header, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !after(r, pause) {
			return
		}
		name, value, _ := strings.Cut(header, ": ")
		w.Header().Set(name, value)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// breaksAfter is an upstream whose connection breaks after a pause.
func breaksAfter(pause time.Duration) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		after(r, pause)
		panic(http.ErrAbortHandler)
	}
}

const refusedKey = `{"error":{"message":"Incorrect API key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}}`

func TestAFailureBeforeTheCommitKeepsItsStatusAndOneAfterItIsTold(t *testing.T) {
	for _, tt := range []struct {
		pause  time.Duration
		status int
		script []string
	}{
		{1900 * time.Millisecond, 401, []string{"1.9s " + refusedKey}},
		{2100 * time.Millisecond, 200, []string{"2s " + waiting, "2.1s data: " + refusedKey + "\n\n"}},
	} {
		beating(t, usual, "", slowly(tt.pause, 401, jsonType, refusedKey), func(r *rig) {
			got := r.ask(post("/v1/chat/completions", wantsStream))
			if got.StatusCode != tt.status || !slices.Equal(got.script, tt.script) || got.err != nil {
				t.Errorf("after %s: %d %q, %v; want %d %q, ended cleanly", tt.pause, got.StatusCode, got.script, got.err, tt.status, tt.script)
			}
		})
	}
}

// What a client hears of each failure after its 200, in the shape of each dialect; nothing of the answer has reached it, so the body ends
// cleanly, and [DONE] is not said.
func TestWhatIsToldAfterACommit(t *testing.T) {
	const pretty = "{\n  \"error\": {\n    \"message\": \"no such model\", \"type\": \"not_found_error\"\n  }\n}\n"
	for _, tt := range []struct {
		name      string
		answer    http.HandlerFunc
		headers   []string
		openAI    string // what is in the event's data
		anthropic string
		told      string // in the log line
	}{
		{"the upstream's own error", slowly(3*time.Second, 401, jsonType, refusedKey), nil, refusedKey, refusedKey, `"told_status":401`},
		{"one of several lines", slowly(3*time.Second, 404, jsonType, pretty), nil, `{"error":{"message":"no such model","type":"not_found_error"}}`, `{"error":{"message":"no such model","type":"not_found_error"}}`, `"told_status":404`},
		{
			"problem+json", slowly(3*time.Second, 400, "Content-Type: application/problem+json", `{"status":400,"title":"Bad Request","detail":"max_tokens is too large"}`), nil,
			`"message":"Bad Request: max_tokens is too large","type":"invalid_request_error"`, `"error":{"type":"invalid_request_error","message":"Bad Request: max_tokens is too large"}`, `"told_status":400`,
		},
		{"an empty body", slowly(3*time.Second, 422, "X-A: b", ""), nil, `"message":"Unprocessable Entity (the upstream's answer was empty)"`, `"message":"Unprocessable Entity (the upstream's answer was empty)"`, `"told_status":422`},
		{
			"a page", slowly(3*time.Second, 405, "Content-Type: text/html", "<html>\n\ndata: [DONE]\n\n</html>"), nil,
			`"message":"provider up answered 405 Method Not Allowed"`, `"message":"provider up answered 405 Method Not Allowed"`, `"told_status":405`,
		},
		{
			"a body without end", slowly(3*time.Second, 400, jsonType, `{"error":"`+strings.Repeat("x", 1<<20)+`"}`), nil,
			`"message":"provider up answered 400 Bad Request"`, `"message":"provider up answered 400 Bad Request"`, `"told_status":400`,
		},
		{"a connection that broke", breaksAfter(3 * time.Second), nil, `"code":"upstream_unreachable"`, `"type":"api_error"`, `"reason":"upstream_unreachable"`},
		{"no stream and no JSON", slowly(3*time.Second, 200, "Content-Type: audio/mpeg", "ID3"), nil, `"code":"upstream_unreachable"`, `answered 200 with \"audio/mpeg\"`, `"told_status":502`},
		{"a redirect", slowly(3*time.Second, 303, "Location: http://elsewhere/", ""), nil, `"code":"upstream_unreachable"`, `"type":"api_error"`, `"told_status":502`},
		{
			"an error as the first event", slowly(3*time.Second, 200, streamType, "data: {\"error\":{\"message\":\"bad tools\",\"type\":\"invalid_request_error\",\"code\":400}}\n\n"), nil,
			`{"message":"bad tools","type":"invalid_request_error","code":400}`, `{"message":"bad tools","type":"invalid_request_error","code":400}`, `"status":200`,
		},
	} {
		for path, want := range map[string]string{"/v1/chat/completions": tt.openAI, "/v1/messages": tt.anthropic} {
			beating(t, usual, "", tt.answer, func(r *rig) {
				got := r.ask(post(path, wantsStream, tt.headers...))
				last := got.script[len(got.script)-1]
				if got.StatusCode != http.StatusOK || got.err != nil || !strings.Contains(last, want) || strings.Count(last, "\n") > 3 || strings.Contains(got.body, "[DONE]") {
					t.Errorf("%s, %s: %d %q, %v; want a 200 that ends cleanly with an event that says %s", tt.name, path, got.StatusCode, got.script, got.err, want)
				}
				if framed := strings.Contains(last, "event: error\ndata: {"); framed != (path == "/v1/messages") && tt.name != "an error as the first event" {
					t.Errorf("%s, %s: the event is %q", tt.name, path, last)
				}
				if synctest.Wait(); !strings.Contains(r.log.String(), tt.told) {
					t.Errorf("%s, %s: the log is %s; want %s in it", tt.name, path, r.log, tt.told)
				}
			})
		}
	}
}

func TestWhatTheGateRefusesAfterACommitIsTold(t *testing.T) {
	for _, tt := range []struct {
		name, reason string
		end          func(r *rig)
		took         time.Duration
	}{
		{"waited too long", "queue_timeout", func(*rig) {}, time.Minute},
		{"drained", "draining", func(r *rig) { r.gate.Drain() }, 20 * time.Second},
		{"stopped", "draining", func(r *rig) { r.abort(ErrStopping) }, 20 * time.Second},
		{"ended by the operator", "cancelled", func(r *rig) { r.gate.End("id-2") }, 20 * time.Second},
	} {
		beating(t, usual, "1-H", says(streamType, 0, hello), func(r *rig) {
			r.ask(post("/v1/chat/completions", wantsPlain))
			go func() {
				time.Sleep(tt.took)
				tt.end(r)
			}()
			got := r.ask(post("/v1/chat/completions", wantsStream, "X-Request-Id: id-2"))
			if got.StatusCode != http.StatusOK || got.err != nil || got.took != tt.took || !strings.Contains(got.body, `"code":"`+tt.reason+`"`) {
				t.Errorf("%s: %d %q, %v after %s; want an event that says %s after %s, and a clean end", tt.name, got.StatusCode, got.script, got.err, got.took, tt.reason, tt.took)
			}
			if got.Trailer.Get("X-Sidecar-Reason") != tt.reason || got.Trailer.Get("X-Sidecar-Attempts") != "0" {
				t.Errorf("%s: trailers %v; want the reason and no attempt", tt.name, got.Trailer)
			}
		})
	}
}

func TestWhatTheHeadCouldNotSayFollowsInTrailers(t *testing.T) {
	beating(t, usual, "40-M", slowly(3*time.Second, 200, streamType, hello), func(r *rig) {
		got := r.ask(post("/v1/chat/completions", wantsStream))
		for name, want := range map[string]string{
			"X-Sidecar-Attempts": "1", "X-Sidecar-Queue-Wait-Ms": "0", "X-Sidecar-Key": "one-key", "Server-Timing": "queue;dur=0.0, upstream;dur=3000.0",
			"X-Ratelimit-Limit-Requests": "40",
		} {
			if got.Header.Get(name) != "" || got.Trailer.Get(name) != want {
				t.Errorf("%s: header %q, trailer %q; want the trailer %q alone", name, got.Header.Get(name), got.Trailer.Get(name), want)
			}
		}
	})
}

func TestOnceContentIsOutABrokenStreamIsCutAfterItsErrorEvent(t *testing.T) {
	for path, event := range map[string]string{"/v1/chat/completions": "data: {\"error\":", "/v1/messages": "event: error\ndata: {"} {
		for name, pieces := range map[string][]string{"between events": {hello}, "inside one": {hello, "data: {\"half"}} {
			beating(t, usual, "", func(w http.ResponseWriter, r *http.Request) {
				after(r, 3*time.Second)
				says(streamType, 0, pieces...)(w, r)
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}, func(r *rig) {
				got := r.ask(post(path, wantsStream))
				if _, rest, _ := strings.Cut(got.body, hello); !errors.Is(got.err, io.ErrUnexpectedEOF) || !strings.HasPrefix(rest, event) {
					t.Errorf("%s, %s: heard %q, %v; want an error event after the content, and a cut", path, name, got.body, got.err)
				}
			})
		}
	}
}

// The head of a stream is out, nothing else.
func TestAStreamThatBreaksBeforeItsFirstEventEndsCleanlyAfterItsError(t *testing.T) {
	answer := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(w).Flush()
		breaksAfter(time.Second)(w, r)
	}
	beating(t, Heartbeat{}, "", answer, func(r *rig) {
		if got := r.ask(post("/v1/chat/completions", wantsStream)); got.err != nil || !strings.Contains(got.body, "upstream_unreachable") {
			t.Errorf("heard %q, %v; want an error event and a clean end", got.body, got.err)
		}
	})
}

func TestARefusedRequestIsRepeatedUnseenAlsoAfterItsCommit(t *testing.T) {
	for name, refusal := range map[string]http.HandlerFunc{
		"with a status":              slowly(3*time.Second, 503, jsonType, `{"error":{"message":"ResourceExhausted: All workers are busy"}}`),
		"with the first event":       slowly(3*time.Second, 200, streamType, "data: {\"error\":{\"message\":\"ResourceExhausted: All workers are busy\",\"code\":503}}\n\n"),
		"with Anthropic's":           slowly(3*time.Second, 200, streamType, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"),
		"at once":                    slowly(0, 200, streamType, "data: {\"error\":{\"message\":\"ResourceExhausted: All workers are busy\",\"code\":503}}\n\n"),
		"at once, as Anthropic":      slowly(0, 200, streamType, "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"),
		"with an event that is late": says(streamType, 3*time.Second, "data: {\"error\":{\"message\":\"ResourceExhausted: All workers are busy\",\"code\":503}}\n\n"),
	} {
		for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
			calls := 0
			beating(t, usual, "", func(w http.ResponseWriter, r *http.Request) {
				if calls++; calls == 1 {
					refusal(w, r)
					return
				}
				says(streamType, 0, hello, theEnd)(w, r)
			}, func(r *rig) {
				got := r.ask(post(path, wantsStream))
				if calls != 2 || got.StatusCode != http.StatusOK || !strings.HasSuffix(got.body, hello+theEnd) || strings.Contains(got.body, "error") {
					t.Errorf("%s, %s: %d attempts, heard %q; want the second attempt's answer and heartbeats before it", name, path, calls, got.body)
				}
			})
		}
	}
}

func TestAPlainAnswerIsMadeAStreamForWhoWasPromisedOne(t *testing.T) {
	const chat = `{"id":"1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi","tool_calls":[{"id":"c","type":"function"}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}`
	const text = `{"id":"1","object":"text_completion","choices":[{"index":0,"text":"hi"}]}`
	for _, tt := range []struct{ path, answer, want string }{
		{"/v1/chat/completions", chat, strings.NewReplacer(`"chat.completion"`, `"chat.completion.chunk"`, `"message"`, `"delta"`, `{"id":"c",`, `{"id":"c","index":0,`).Replace(chat)},
		{"/v1/completions", text, text},
	} {
		beating(t, usual, "", slowly(3*time.Second, 200, jsonType, tt.answer), func(r *rig) {
			got := r.ask(post(tt.path, wantsStream))
			data, done, _ := strings.Cut(strings.TrimPrefix(got.body, waiting+"data: "), "\n\n")
			if got.err != nil || done != theEnd || !sameJSON(data, tt.want) {
				t.Errorf("%s: heard %q, %v; want %s as one event, and the end", tt.path, got.body, got.err, tt.want)
			}
		})
	}
	for _, tt := range []struct{ path, answer string }{
		{"/v1/responses", `{"object":"response"}`}, {"/v1/messages", `{"type":"message"}`}, {"/v1/chat/completions", `{"choices":`}, {"/v1/chat/completions", `[]`},
	} {
		beating(t, usual, "", slowly(3*time.Second, 200, jsonType, tt.answer), func(r *rig) {
			if got := r.ask(post(tt.path, wantsStream)); got.err != nil || !strings.Contains(got.body, "cannot be passed on") {
				t.Errorf("%s: heard %q, %v; want an error that says that this is no stream", tt.path, got.body, got.err)
			}
		})
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	one, _ := json.Marshal(x)
	other, _ := json.Marshal(y)
	return string(one) == string(other)
}

func TestAfterWhiteSpaceAnErrorIsTheBodyOfThe200(t *testing.T) {
	beat := Heartbeat{Plain: PlainWhitespace, CommitAfter: 2 * time.Second}
	for name, answer := range map[string]http.HandlerFunc{
		"an upstream's error": slowly(3*time.Second, 401, jsonType, refusedKey),
		"a broken connection": breaksAfter(3 * time.Second),
		"a page":              slowly(3*time.Second, 200, "Content-Type: text/html", "<html>"),
	} {
		beating(t, beat, "", answer, func(r *rig) {
			got := r.ask(post("/v1/chat/completions", wantsPlain))
			var body struct{ Error struct{ Message string } }
			if err := json.Unmarshal([]byte(got.body), &body); err != nil || body.Error.Message == "" || got.StatusCode != http.StatusOK || got.err != nil || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%s: %d %q, %v; want a 200 whose body is the error", name, got.StatusCode, got.body, got.err)
			}
		})
	}
}

func TestMetricsAndLogTellAToldFailureFromASuccess(t *testing.T) {
	beating(t, usual, "1-H", says(streamType, 0, hello), func(r *rig) {
		r.ask(post("/v1/chat/completions", wantsPlain))
		r.log.Reset()
		r.ask(post("/v1/chat/completions", wantsStream))
		synctest.Wait()
		for _, want := range []string{`"status":200`, `"reason":"queue_timeout"`, `"told_status":503`, `"first_byte_ms":60000`} {
			if !strings.Contains(r.log.String(), want) {
				t.Errorf("the log is %s; want %s in it", r.log, want)
			}
		}
	})
}

func TestACrashAfterACommitIsTold(t *testing.T) {
	beating(t, usual, "1-M", says(streamType, 0, hello), func(r *rig) {
		r.waitAtMost(time.Hour)
		r.ask(post("/v1/chat/completions", wantsPlain))
		r.ledger.crash = "Observe"
		got := r.ask(post("/v1/chat/completions", wantsStream))
		if r.ledger.crash = ""; got.err != nil || !strings.Contains(got.body, "made a mistake") || strings.Contains(got.body, canary) {
			t.Errorf("heard %q, %v; want an error event and a clean end", got.body, got.err)
		}
	})
}

func TestACrashInAHeartbeatIsTheEndOfOneRequestOnly(t *testing.T) {
	beating(t, usual, "", slowly(30*time.Second, 200, streamType, hello), func(r *rig) {
		w := &fragile{ResponseRecorder: httptest.NewRecorder(), crash: "Write"}
		if cut := r.serve(w, chat(context.Background(), "true")); !cut || !strings.Contains(r.log.String(), "request crashed") {
			t.Errorf("cut %t, log %s; want a crash that is logged, and a cut", cut, r.log)
		}
	})
}
