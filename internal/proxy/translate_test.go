package proxy

import (
	"encoding/json"
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

// translated runs test before a provider that speaks only OpenAI's format, where the client's own credential goes up.
func translated(t *testing.T, beat Heartbeat, answer http.HandlerFunc, test func(r *rig)) {
	t.Helper()
	setup{
		beat: beat, answers: map[string]http.HandlerFunc{"up": answer}, rates: map[string]string{"up": "100-M"},
		table: upstream.Options{Providers: []upstream.Provider{provider("up", nil)}},
	}.run(t, test)
}

// message is the body of a request in Anthropic's format, with more members.
func message(more string) string {
	return `{"model":"m/a","max_tokens":9,"messages":[{"role":"user","content":"` + canary + `"}]` + more + `}`
}

const (
	streamed   = `,"stream":true`
	completion = `{"id":"1","object":"chat.completion","model":"m/a","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},` +
		`"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":4}}`
	chatStream = ": {\"input_tokens\":3,\"output_tokens\":4}\n\n" +
		"data: {\"id\":\"1\",\"model\":\"m/a\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"hé\"}}]}\n\n" +
		"data: {\"id\":\"1\",\"model\":\"m/a\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"}}]}\n\n" +
		"data: {\"id\":\"1\",\"model\":\"m/a\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n" +
		"data: {\"id\":\"1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n" +
		"data: [DONE]\n\n"
)

// told returns the text and the last event's name of a stream in Anthropic's format.
func told(t *testing.T, stream string) (text, last string) {
	t.Helper()
	for event := range strings.SplitSeq(strings.TrimSuffix(stream, "\n\n"), "\n\n") {
		name, data, ok := strings.Cut(strings.TrimPrefix(event, "event: "), "\ndata: ")
		var e struct {
			Type  string
			Delta struct{ Text string }
		}
		if err := json.Unmarshal([]byte(data), &e); !ok || err != nil || e.Type != name {
			t.Fatalf("%q is no event of a message (%v) in %q", event, err, stream)
		}
		text, last = text+e.Delta.Text, name
	}
	return text, last
}

func TestAMessageIsSentAsAChatCompletionAndAnsweredAsAMessage(t *testing.T) {
	for _, stream := range []bool{false, true} {
		more, answer, accept := "", says(jsonType, 0, completion), "application/json"
		if stream {
			more, answer, accept = streamed, says(streamType, 0, chatStream), "text/event-stream"
		}
		var seen http.Request
		var body []byte
		translated(t, Heartbeat{}, func(w http.ResponseWriter, r *http.Request) {
			seen = *r
			body, _ = io.ReadAll(r.Body)
			answer(w, r)
		}, func(r *rig) {
			got := r.ask(post("/v1/messages?beta=true", message(more), "X-Api-Key: clients-key", "Anthropic-Version: 2023-06-01", "Anthropic-Beta: x",
				"Accept: x/y", "Accept-Encoding: gzip", "X-Custom: kept"))
			if seen.URL.String() != "/v1/chat/completions" || !strings.Contains(string(body), `"messages":[{"role":"user","content":"`+canary+`"}]`) {
				t.Errorf("stream %t: sent to %s: %s; want a chat completion", stream, seen.URL, body)
			}
			want := http.Header{
				"Accept": {accept}, "Accept-Encoding": {"identity"}, "Authorization": {"Bearer clients-key"}, "Content-Type": {"application/json"},
				"X-Custom": {"kept"},
			}
			for name, values := range want {
				if !slices.Equal(seen.Header[name], values) {
					t.Errorf("stream %t: header %s: %q; want %q", stream, name, seen.Header[name], values)
				}
			}
			for name := range maps.Keys(seen.Header) {
				if strings.HasPrefix(name, "Anthropic-") || name == "X-Api-Key" {
					t.Errorf("stream %t: header %s went up", stream, name)
				}
			}
			if stream {
				if text, last := told(t, got.body); text != "héllo" || last != "message_stop" || got.Header.Get("Content-Type") != "text/event-stream" {
					t.Errorf("heard %q, %v; want the text and its end", got.body, got.Header)
				}
			} else if !strings.Contains(got.body, `"content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn"`) || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("heard %q, %v; want a message", got.body, got.Header)
			}
			if got.err != nil || got.StatusCode != http.StatusOK || got.Header.Get("Anthropic-Ratelimit-Requests-Limit") != "100" {
				t.Errorf("stream %t: %d, %v with %v; want a whole 200 with Anthropic's headers", stream, got.StatusCode, got.err, got.Header)
			}
			if synctest.Wait(); !strings.Contains(r.log.String(), `"input_tokens":3,"output_tokens":4`) || !strings.Contains(r.log.String(), `"path":"/v1/messages"`) {
				t.Errorf("stream %t: the log is %s; want the usage, and the client's path", stream, r.log)
			}
		})
	}
}

// The upstream's stream breaks off at each of its bytes for a while, in which the heart beats. The client gets the same events each time,
// and pings only between them.
func TestATranslatedStreamIsTheSameWhereverItIsCutWithPingsBetween(t *testing.T) {
	at := 0
	translated(t, Heartbeat{Mode: ModeAuto, Interval: MinInterval}, func(w http.ResponseWriter, r *http.Request) {
		says(streamType, 11*time.Second, chatStream[:at], chatStream[at:])(w, r)
	}, func(r *rig) {
		whole := strings.ReplaceAll(r.ask(post("/v1/messages", message(streamed))).body, pinged, "")
		told(t, whole)
		pings := 0
		for at = 1; at < len(chatStream); at++ {
			got := r.ask(post("/v1/messages", message(streamed)))
			told(t, got.body) // every ping, too, is an event of its own
			if rest := strings.ReplaceAll(got.body, pinged, ""); rest != whole || got.err != nil {
				t.Fatalf("cut at byte %d: heard %q, %v; want %q", at, rest, got.err, whole)
			}
			pings += strings.Count(got.body, pinged)
		}
		if pings < len(chatStream) {
			t.Errorf("%d pings in %d streams; want some in nearly each", pings, len(chatStream))
		}
	})
}

func TestAToolGoesThereAndBack(t *testing.T) {
	const (
		tools  = `,"tools":[{"name":"get_time","input_schema":{"type":"object"}}]`
		called = `{"id":"1","choices":[{"message":{"content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_time","arguments":"{\"zone\":\"utc\"}"}}]},"finish_reason":"tool_calls"}]}`
		use    = `{"type":"tool_use","id":"call_1","name":"get_time","input":{"zone":"utc"}}`
	)
	var bodies []string
	translated(t, Heartbeat{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		bodies = append(bodies, string(body))
		says(jsonType, 0, called)(w, r)
	}, func(r *rig) {
		got := r.ask(post("/v1/messages", message(tools)))
		if !strings.Contains(got.body, use) || !strings.Contains(got.body, `"stop_reason":"tool_use"`) {
			t.Errorf("answer = %q; want the call %s", got.body, use)
		}
		r.ask(post("/v1/messages", `{"model":"m/a","max_tokens":9`+tools+`,"messages":[{"role":"user","content":"x"},{"role":"assistant","content":[`+use+
			`]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"call_1","content":"12:00"}]}]}`))
		if !strings.Contains(bodies[0], `"function":{"name":"get_time"`) || !strings.Contains(bodies[1], `{"role":"tool","content":"12:00","tool_call_id":"call_1"}`) &&
			!strings.Contains(bodies[1], `{"role":"tool","tool_call_id":"call_1","content":"12:00"}`) {
			t.Errorf("sent %q; want the tool, then its result", bodies)
		}
	})
}

func TestWhatAModelRefusesIsLeftOutAndNotSentAgainForAWhile(t *testing.T) {
	const refusal = `{"error":{"message":"Unsupported parameter(s): reasoning_effort","type":"BadRequestError","code":400}}`
	var efforts []bool // whether each request had one
	stubborn := false
	translated(t, Heartbeat{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		efforts = append(efforts, strings.Contains(string(body), "reasoning_effort"))
		if efforts[len(efforts)-1] || stubborn {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, refusal)
			return
		}
		says(jsonType, 0, completion)(w, r)
	}, func(r *rig) {
		thinking := message(`,"thinking":{"type":"enabled","budget_tokens":1024}`)
		for i, tt := range []struct {
			pause    time.Duration
			attempts string
			efforts  []bool
		}{
			{0, "2", []bool{true, false}},
			{time.Minute, "1", []bool{false}},            // it is known
			{10 * time.Minute, "2", []bool{true, false}}, // and asked again after a while
		} {
			time.Sleep(tt.pause)
			efforts = nil
			got := r.ask(post("/v1/messages", thinking))
			if got.StatusCode != http.StatusOK || got.Header.Get("X-Sidecar-Attempts") != tt.attempts || !slices.Equal(efforts, tt.efforts) {
				t.Errorf("request %d: %d %q in %s attempts, with an effort: %v; want 200, %s and %v", i, got.StatusCode, got.body,
					got.Header.Get("X-Sidecar-Attempts"), efforts, tt.attempts, tt.efforts)
			}
		}
		stubborn, efforts = true, nil
		got := r.ask(post("/v1/messages", thinking))
		if got.StatusCode != http.StatusBadRequest || got.body != `{"type":"error","error":{"type":"invalid_request_error","message":"Unsupported parameter(s): reasoning_effort"},"request_id":"`+got.Header.Get("X-Request-Id")+`"}` || len(efforts) != 1 {
			t.Errorf("refused all the same: %d %q after %d attempts; want the 400 after one, in Anthropic's shape", got.StatusCode, got.body, len(efforts))
		}
		if r.ledger.charged != 6 {
			t.Errorf("%d slots were taken; want one for each of 6 attempts", r.ledger.charged)
		}
	})
}

// The names of models and streams are those by which it was decided where it goes.
func TestATranslationSaysWhatWasDecidedHere(t *testing.T) {
	var bodies []string
	var accepts string
	setup{
		answers: map[string]http.HandlerFunc{"up": func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			bodies, accepts = append(bodies, string(body)), r.Header.Get("Accept")
			if strings.Contains(string(body), "reasoning_effort") {
				w.WriteHeader(http.StatusUnprocessableEntity)
				_, _ = io.WriteString(w, `{"detail":"body -> reasoning_effort: Extra inputs are not permitted"}`)
				return
			}
			says(streamType, 0, chatStream)(w, r)
		}},
		table: upstream.Options{
			Providers: []upstream.Provider{provider("up", nil)},
			Routes:    []upstream.Route{{Alias: "m/a", Targets: []upstream.Target{{Provider: "up", Model: "chat"}}}},
		},
	}.run(t, func(r *rig) {
		got := r.ask(post("/v1/messages", message(`,"thinking":{"type":"enabled","budget_tokens":1024},"stream":false,"stream":true`)))
		for _, body := range bodies {
			if !strings.HasPrefix(body, `{"model":"chat",`) || !strings.Contains(body, `"stream":true`) || accepts != "text/event-stream" {
				t.Errorf("sent %q, accepting %q; want the target's model, and a stream", body, accepts)
			}
		}
		if text, last := told(t, got.body); text != "héllo" || last != "message_stop" || len(bodies) != 2 {
			t.Errorf("heard %q after %d attempts; want the stream after two", got.body, len(bodies))
		}
	})
}

// A provider tells of one member at a time. Each request is mended once, and the next begins with what is known.
func TestWhatIsRefusedAddsUp(t *testing.T) {
	translated(t, Heartbeat{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		for _, member := range []string{"reasoning_effort", "top_k"} {
			if strings.Contains(string(body), member) {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":{"message":"Unsupported parameter(s): `+member+`"}}`)
				return
			}
		}
		says(jsonType, 0, completion)(w, r)
	}, func(r *rig) {
		for i, want := range []string{"400 2", "200 2", "200 1"} {
			got := r.ask(post("/v1/messages", message(`,"top_k":5,"thinking":{"type":"enabled","budget_tokens":1024}`)))
			if said := fmt.Sprint(got.StatusCode, " ", got.Header.Get("X-Sidecar-Attempts")); said != want {
				t.Errorf("request %d: status and attempts %s, %q; want %s", i, said, got.body, want)
			}
		}
	})
}

func TestWhatIsRefusedTooLateIsNotMended(t *testing.T) {
	refuses := slowly(10*time.Second, 400, jsonType, `{"error":{"message":"Unsupported parameter(s): top_k"}}`)
	translated(t, Heartbeat{}, refuses, func(r *rig) {
		got := r.ask(post("/v1/messages", message(`,"top_k":5`), "X-Sidecar-Max-Wait: 5s"))
		if got.StatusCode != http.StatusBadRequest || !strings.Contains(got.body, "top_k") || got.took != 10*time.Second {
			t.Errorf("answer = %d %q after %s; want the provider's 400", got.StatusCode, got.body, got.took)
		}
	})
}

// Each target is mended once, and gets what the client wants to see: its thinking.
func TestEachTargetOfARouteIsMended(t *testing.T) {
	thinks := strings.Replace(chatStream, `{"content":"llo"}`, `{"reasoning_content":"hm"}`, 1)
	refusesThen := func(then http.HandlerFunc) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if body, _ := io.ReadAll(r.Body); strings.Contains(string(body), "reasoning_effort") {
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, `{"error":{"message":"Unsupported parameter(s): reasoning_effort"}}`)
				return
			}
			then(w, r)
		}
	}
	setup{
		answers: map[string]http.HandlerFunc{
			"one": refusesThen(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }), "two": refusesThen(says(streamType, 0, thinks)),
		},
		table: upstream.Options{
			Providers: []upstream.Provider{provider("one", nil), provider("two", nil)},
			Routes:    []upstream.Route{{Alias: "m/a", Targets: []upstream.Target{{Provider: "one"}, {Provider: "two"}}}},
		},
	}.run(t, func(r *rig) {
		got := r.ask(post("/v1/messages", message(streamed+`,"thinking":{"type":"enabled","budget_tokens":1024}`)))
		if got.Header.Get("X-Sidecar-Attempts") != "4" || !strings.Contains(got.body, `"thinking":"hm"`) {
			t.Errorf("heard %q in %s attempts; want the thinking after two at each target", got.body, got.Header.Get("X-Sidecar-Attempts"))
		}
	})
}

func TestALargeEventIsTranslated(t *testing.T) {
	large := strings.Repeat("x", 2<<20)
	translated(t, Heartbeat{}, says(streamType, 0, strings.Replace(chatStream, "llo", large, 1)), func(r *rig) {
		if text, last := told(t, r.ask(post("/v1/messages", message(streamed))).body); len(text) != len("hé")+len(large) || last != "message_stop" {
			t.Errorf("%d bytes of text came, ending with %s; want all", len(text), last)
		}
	})
}

func TestAnErrorOfAProviderThatSpeaksOpenAIHasAnthropicsShape(t *testing.T) {
	for _, beat := range []Heartbeat{{}, usual} { // with a status of its own, and told after a commit
		for _, tt := range []struct{ name, header, body, want string }{
			{"OpenAI's", jsonType, refusedKey, `"error":{"type":"authentication_error","message":"Incorrect API key"}`},
			{"problem+json", "Content-Type: application/problem+json", `{"title":"Unauthorized","detail":"no"}`, `"error":{"type":"authentication_error","message":"Unauthorized: no"}`},
		} {
			translated(t, beat, slowly(3*time.Second, 401, tt.header, tt.body), func(r *rig) {
				got := r.ask(post("/v1/messages", message(streamed)))
				shape, status := `{"type":"error",`+tt.want, http.StatusUnauthorized
				if beat.Mode != "" {
					shape, status = pinged+"event: error\ndata: "+shape, http.StatusOK
				}
				if got.StatusCode != status || !strings.HasPrefix(got.body, shape) || got.err != nil {
					t.Errorf("%s: %d %q, %v; want %d %s", tt.name, got.StatusCode, got.body, got.err, status, shape)
				}
			})
		}
	}
}

// How a translated stream ends that does not end well: with one error event, and a cut if the client has got something of the answer.
func TestATranslatedStreamThatFailsIsToldOnce(t *testing.T) {
	begun := strings.SplitAfter(chatStream, "\n\n")[1]
	failure := "data: {\"error\":{\"message\":\"out of memory\",\"code\":500}}\n\n"
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		cut    bool
		says   string
	}{
		{"an error after a ping", says(streamType, 20*time.Second, failure+chatStream), false, "out of memory"},
		{"an error after content", says(streamType, 20*time.Second, begun, failure+chatStream), true, "out of memory"},
		{"an end before the message's", says(streamType, 0, begun), true, "short_body"},
		{"an end before its beginning", says(streamType, 3*time.Second, ": nothing\n\n"), false, "short_body"},
		{"no end of an event", says(streamType, 0, begun, "data: "+strings.Repeat("x", maxWhole+1)), true, "protocol"},
		{"a break", func(w http.ResponseWriter, r *http.Request) {
			says(streamType, 0, begun)(w, r)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, true, "reset"},
		{"no JSON", says(streamType, 0, begun, "data: {\"half\n\n"), true, "not JSON"},
	} {
		translated(t, usual, tt.answer, func(r *rig) {
			got := r.ask(post("/v1/messages", message(streamed)))
			_, last := told(t, got.body)
			if (got.err != nil) != tt.cut || last != "error" || strings.Count(got.body, "event: error") != 1 || !strings.Contains(got.body, tt.says) || strings.Contains(got.body, "message_stop") {
				t.Errorf("%s: heard %q, %v; want one error that says %q, and a cut: %t", tt.name, got.body, got.err, tt.says, tt.cut)
			}
			if synctest.Wait(); !strings.Contains(r.log.String(), `"told_status":502`) {
				t.Errorf("%s: the log is %s; want a failure", tt.name, r.log)
			}
		})
	}
}

func TestAnAnswerThatIsNoChatCompletionIsNone(t *testing.T) {
	for _, answer := range []string{"<html>", `{"object":"list"}`, `{"error":{"message":"away"}}`} {
		translated(t, Heartbeat{}, says(jsonType, time.Second, answer), func(r *rig) {
			got := r.ask(post("/v1/messages", message("")))
			if got.StatusCode != http.StatusBadGateway || !strings.HasPrefix(got.body, `{"type":"error"`) || !strings.Contains(got.body, "provider up") {
				t.Errorf("%s: %d %q; want 502 in Anthropic's shape", answer, got.StatusCode, got.body)
			}
		})
	}
}

func TestAPlainCompletionIsMadeAMessageStreamForWhoWasPromisedOne(t *testing.T) {
	translated(t, usual, slowly(3*time.Second, 200, jsonType, completion), func(r *rig) {
		got := r.ask(post("/v1/messages", message(streamed)))
		if text, last := told(t, got.body); text != "hi" || last != "message_stop" || got.err != nil {
			t.Errorf("heard %q, %v; want the text as a stream", got.body, got.err)
		}
	})
	beat := Heartbeat{Plain: PlainWhitespace, CommitAfter: 2 * time.Second}
	translated(t, beat, slowly(3*time.Second, 200, jsonType, completion), func(r *rig) {
		got := r.ask(post("/v1/messages", message("")))
		if !strings.HasPrefix(got.body, "\n{\"id\":\"msg_") || got.err != nil {
			t.Errorf("heard %q, %v; want white space, then the message", got.body, got.err)
		}
	})
}

func TestTokensAreCountedHereWhereTheProviderCannot(t *testing.T) {
	asked := 0
	translated(t, Heartbeat{}, func(http.ResponseWriter, *http.Request) { asked++ }, func(r *rig) {
		got := r.ask(post("/v1/messages/count_tokens", message("")))
		var count struct {
			InputTokens int `json:"input_tokens"`
		}
		if err := json.Unmarshal([]byte(got.body), &count); err != nil || count.InputTokens < 5 || got.StatusCode != http.StatusOK || got.Header.Get("X-Sidecar-Attempts") != "0" {
			t.Errorf("answer = %d %q; want a number of tokens, without an attempt", got.StatusCode, got.body)
		}
		got = r.ask(post("/v1/messages/count_tokens", `{"model":"m/a","messages":7}`))
		if got.StatusCode != http.StatusBadRequest || got.Header.Get("X-Sidecar-Reason") != "bad_request" || !strings.Contains(got.body, "messages") {
			t.Errorf("answer = %d %q; want 400 that names the member", got.StatusCode, got.body)
		}
		if asked != 0 || r.ledger.charged != 0 {
			t.Errorf("%d requests went up and %d slots were taken; want none", asked, r.ledger.charged)
		}
	})
}

func TestWhatCannotBeTranslatedIsRefusedBeforeItWaits(t *testing.T) {
	for name, tt := range map[string]struct{ body, says string }{
		"a PDF":               {`{"model":"m/a","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"x"}}]}]}`, "messages.0.content.0"},
		"no limit":            {`{"model":"m/a","messages":[{"role":"user","content":"x"}]}`, "max_tokens"},
		"no JSON":             {`{"model":"m/a"`, "body"},
		"two models":          {message(`,"model":"m/b"`), "model"},
		"a model in capitals": {strings.Replace(message(""), `"model"`, `"Model"`, 1), "model"},
	} {
		translated(t, Heartbeat{}, func(http.ResponseWriter, *http.Request) {}, func(r *rig) {
			got := r.ask(post("/v1/messages", tt.body))
			if got.StatusCode != http.StatusBadRequest || !strings.HasPrefix(got.body, `{"type":"error","error":{"type":"invalid_request_error"`) ||
				!strings.Contains(got.body, tt.says) || r.ledger.charged != 0 {
				t.Errorf("%s: %d %q and %d slots; want 400 that names %s, and no slot", name, got.StatusCode, got.body, r.ledger.charged, tt.says)
			}
		})
	}
}

// A route leads to a provider that speaks the format, and then to one that does not.
func TestEachTargetOfARouteIsSpokenToInItsOwnWords(t *testing.T) {
	var paths, bodies []string
	takeDown := func(r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		paths, bodies = append(paths, r.URL.String()), append(bodies, string(body))
	}
	gone := false
	native := func(w http.ResponseWriter, r *http.Request) {
		takeDown(r)
		if gone {
			w.WriteHeader(http.StatusGone)
			return
		}
		says(jsonType, 0, `{"type":"message","from":"native"}`)(w, r)
	}
	other := func(w http.ResponseWriter, r *http.Request) {
		takeDown(r)
		says(jsonType, 0, completion)(w, r)
	}
	setup{
		answers: map[string]http.HandlerFunc{"native": native, "other": other},
		table: upstream.Options{
			Providers: []upstream.Provider{provider("native", []wire.Dialect{wire.Anthropic}, "k1"), provider("other", nil, "k2")},
			Routes:    []upstream.Route{{Alias: "m/a", Targets: []upstream.Target{{Provider: "native"}, {Provider: "other", Model: "chat"}}}},
		},
	}.run(t, func(r *rig) {
		asked := message(`,"unknown":1`)
		got := r.ask(post("/v1/messages?beta=true", asked))
		if got.body != `{"type":"message","from":"native"}` || paths[0] != "/v1/messages?beta=true" || bodies[0] != asked {
			t.Errorf("%q from %q for %q; want the native answer to the very bytes", got.body, paths, bodies)
		}
		gone, paths, bodies = true, nil, nil
		got = r.ask(post("/v1/messages?beta=true", asked))
		if !strings.Contains(got.body, `"type":"message"`) || fmt.Sprint(paths) != "[/v1/messages?beta=true /v1/chat/completions]" ||
			!strings.HasPrefix(bodies[1], `{"model":"chat",`) {
			t.Errorf("%q from %q for %q; want the second target's answer, translated, of its own model", got.body, paths, bodies)
		}
		pdf := `{"model":"m/a","max_tokens":9,"messages":[{"role":"user","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"x"}}]}]}`
		gone, paths, bodies = false, nil, nil
		if got = r.ask(post("/v1/messages", pdf)); got.StatusCode != http.StatusOK || bodies[0] != pdf {
			t.Errorf("what cannot be translated = %d %q; want it to go where it need not be", got.StatusCode, got.body)
		}
		gone = true
		if got = r.ask(post("/v1/messages", pdf)); got.StatusCode == http.StatusBadRequest || got.StatusCode == http.StatusOK {
			t.Errorf("what cannot be translated, with its only place gone = %d %q; want that place's failure", got.StatusCode, got.body)
		}
	})
}

func TestRefusalsAreForgottenBeforeTheyBecomeTooMany(t *testing.T) {
	t.Parallel()
	var r refusals
	now := time.Now()
	for i := range maxRefusing + 1 {
		r.note(upstream.Target{Provider: "up", Model: fmt.Sprint(i)}, []string{"user"}, now)
		if len(r.known) > maxRefusing {
			t.Fatalf("%d targets are remembered; want at most %d", len(r.known), maxRefusing)
		}
	}
	last := upstream.Target{Provider: "up", Model: fmt.Sprint(maxRefusing)}
	if got := r.by(last, now.Add(refusedFor-1)); !slices.Equal(got, []string{"user"}) {
		t.Errorf("the last one's refusal = %q; want it remembered", got)
	}
	if got := r.by(last, now.Add(refusedFor)); got != nil {
		t.Errorf("after %s the last one's refusal = %q; want none", refusedFor, got)
	}
}
