package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/wire"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	jsonType   = "Content-Type: application/json"
	streamType = "Content-Type: text/event-stream"
)

// The log line is read by people and by programs: its keys, their order and their words change on purpose only.
func TestTheOneLogLineOfEachEnd(t *testing.T) {
	var got bytes.Buffer
	for _, tt := range []struct {
		name   string
		rates  string
		answer http.HandlerFunc
		ask    func(r *rig)
	}{
		{"a whole answer", "", says("Nvcf-Reqid: 42", time.Second, `{"usage":{"prompt_tokens":3,"completion_tokens":4}}`), func(r *rig) {
			r.serve(httptest.NewRecorder(), chat(context.Background(), "false"))
		}},
		{"a whole stream", "", says(streamType, time.Second, "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\n", "data: [DONE]\n\n"), func(r *rig) {
			r.serve(httptest.NewRecorder(), chat(context.Background(), "true"))
		}},
		{"a request that is not understood", "", says(jsonType, 0), func(r *rig) {
			req := chat(context.Background(), "false")
			req.Header.Set("X-Sidecar-Priority", "soon")
			r.serve(httptest.NewRecorder(), req)
		}},
		{"a wait that took too long", "1-H", says(jsonType, 0, "{}"), func(r *rig) {
			r.serve(httptest.NewRecorder(), chat(context.Background(), "false"))
			r.log.Reset()
			r.serve(httptest.NewRecorder(), chat(context.Background(), "false"))
		}},
		{"a client that left", "", says(jsonType, time.Hour, "{}"), func(r *rig) {
			ctx, cancel := context.WithTimeout(context.Background(), 7*time.Second)
			defer cancel()
			r.serve(httptest.NewRecorder(), chat(ctx, "false"))
		}},
		{"an upstream that broke", "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, func(r *rig) {
			r.serve(httptest.NewRecorder(), chat(context.Background(), "false"))
		}},
	} {
		bubble(t, tt.rates, tt.answer, func(r *rig) {
			tt.ask(r)
			if n := bytes.Count(r.log.Bytes(), []byte("\n")); n != 1 {
				t.Errorf("%s: %d log lines; want 1: %s", tt.name, n, r.log)
			}
			got.WriteString(tt.name + "\n")
			got.Write(r.log.Bytes())
		})
	}
	if strings.Contains(got.String(), canary) || strings.Contains(got.String(), "nvapi") {
		t.Errorf("the log holds a prompt or a key: %s", &got)
	}
	const file = "testdata/log.txt"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got.String() != string(want) {
		t.Errorf("log = %v\n%s\nwant (see -update)\n%s", err, &got, want)
	}
}

// fragile is a writer that panics, with a text that nobody may see, in the method that is named.
type fragile struct {
	*httptest.ResponseRecorder
	crash  string
	status int // 0 until a head went out
}

func (f *fragile) step(method string) {
	if f.crash == method {
		panic(canary)
	}
}

func (f *fragile) WriteHeader(status int) {
	f.step("WriteHeader")
	if status < http.StatusOK { // a recorder takes an interim answer for the final one
		return
	}
	f.status = status
	f.ResponseRecorder.WriteHeader(status)
}

func (f *fragile) Write(p []byte) (int, error) {
	f.step("Write")
	return f.ResponseRecorder.Write(p)
}

func TestACrashOfOursIsTheEndOfOneRequestOnly(t *testing.T) {
	slow := says(jsonType, time.Second, "{}")
	for _, tt := range []struct {
		name           string
		ledger, writer string // where it crashes
		answer         http.HandlerFunc
		status         int // 0: nothing was answered
		cut            bool
	}{
		{name: "before the slot", ledger: "Reserve", answer: says(jsonType, 0, "{}"), status: 500},
		{name: "after the answer", ledger: "Observe", answer: says(jsonType, 0, "{}"), status: 500},
		{name: "in the stand-in that sends the head", ledger: "Observe", answer: slow, status: 500},
		{name: "in sending the head", writer: "WriteHeader", answer: says(jsonType, 0, "{}"), cut: true},
		{name: "in sending the head early", writer: "WriteHeader", answer: slow, cut: true},
		{name: "in sending the body", writer: "Write", answer: says(jsonType, 0, "{}"), status: 200, cut: true},
		{name: "in sending an interim answer", writer: "WriteHeader", cut: true, answer: func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
		}},
	} {
		bubble(t, "", tt.answer, func(r *rig) {
			r.ledger.crash = tt.ledger
			w := &fragile{ResponseRecorder: httptest.NewRecorder(), crash: tt.writer}
			if cut := r.serve(w, chat(context.Background(), "false")); cut != tt.cut || w.status != tt.status {
				t.Errorf("%s: status %d, cut %t; want %d, %t", tt.name, w.status, cut, tt.status, tt.cut)
			}
			if tt.status == http.StatusInternalServerError {
				var body struct {
					Error struct{ Message, Type string }
				}
				if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error.Type != "server_error" || body.Error.Message == "" {
					t.Errorf("%s: body = %s; want an error that SDKs show", tt.name, w.Body)
				}
				if _, named := w.Header()["X-Sidecar-Reason"]; named {
					t.Errorf("%s: a reason is named, but none of the list fits", tt.name)
				}
			}
			crashes, ends := strings.Count(r.log.String(), `"msg":"request crashed"`), strings.Count(r.log.String(), `"msg":"request"`)
			if crashes != 1 || ends != 1 || !strings.Contains(r.log.String(), `"fault":"panic"`) {
				t.Errorf("%s: %d lines of the crash and %d of the end; want one each: %s", tt.name, crashes, ends, r.log)
			}
			if strings.Contains(r.log.String()+w.Body.String(), canary) {
				t.Errorf("%s: what was panicked with is told: %s", tt.name, r.log)
			}
			r.ledger.crash = ""
			again := &fragile{ResponseRecorder: httptest.NewRecorder()}
			if r.serve(again, chat(context.Background(), "false")); again.status != http.StatusOK {
				t.Errorf("%s: the next request = %d; want 200", tt.name, again.status)
			}
		})
	}
}

func TestTheMessageOfARuntimeErrorIsLogged(t *testing.T) {
	bubble(t, "", says(jsonType, 0, "{}"), func(r *rig) {
		r.Guard = nil
		w := httptest.NewRecorder()
		if cut := r.serve(w, chat(context.Background(), "false")); cut || w.Code != http.StatusInternalServerError {
			t.Errorf("status %d, cut %t; want a plain 500", w.Code, cut)
		}
		if !strings.Contains(r.log.String(), "nil pointer dereference") || !strings.Contains(r.log.String(), "admit.go") {
			t.Errorf("the log does not say what happened and where: %s", r.log)
		}
	})
}

func TestEveryReasonOfTheGateIsExplained(t *testing.T) {
	t.Parallel()
	for reason, text := range explanations {
		if text == "" {
			t.Errorf("%s is not explained", reason)
		}
		status, h, _ := wire.Error{Reason: wire.Reason(reason)}.Render(wire.OpenAI, "")
		if status == http.StatusInternalServerError || h.Get("X-Sidecar-Reason") != string(reason) {
			t.Errorf("%s is no reason of the contract", reason)
		}
	}
}
