package mock_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock"
)

// control sends a request to the mock itself.
func control(s *mock.Server, method, path, body string) (int, string) {
	rec := send(s, ask{method: method, path: path, body: body, key: "none"})
	return rec.Code, strings.TrimSpace(rec.Body.String())
}

func TestTheControlEndpointChangesLimits(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, mock.Options{Limits: "5-D", Limiter: "sliding"})
		for _, body := range []string{`{"limits":"3-D"}`, `{"limits":"4-D","after":"1m30s"}`, `{"limits":"1-D","model":"small"}`} {
			for _, method := range []string{"PUT", "POST"} {
				if code, got := control(s, method, "/mock/limits", body); code != http.StatusOK || got != "{}" {
					t.Errorf("%s /mock/limits %s = %d %s; want 200 {}", method, body, code, got)
				}
			}
		}
		got := []int{passed(t, s, 9, ask{}), passed(t, s, 9, ask{model: "small"})}
		time.Sleep(90 * time.Second)
		got = append(got, passed(t, s, 9, ask{}))
		if diff := cmp.Diff([]int{3, 1, 1}, got); diff != "" {
			t.Errorf("passed of 9 (-want +got):\n%s", diff)
		}
	})
}

func TestTheControlEndpointArmsFaults(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, mock.Options{})
		body := `{"fault":"quota","times":2,"model":"m","delay":"2s","headers":{"Retry-After":"7"},"status":430,"body":"no"}`
		if code, got := control(s, "POST", "/mock/faults", body); code != http.StatusOK {
			t.Fatalf("POST /mock/faults = %d %s; want 200", code, got)
		}
		for range 2 {
			start := time.Now()
			rec := send(s, ask{})
			if rec.Code != 430 || rec.Body.String() != "no" || rec.Header().Get("Retry-After") != "7" || time.Since(start) != 2*time.Second {
				t.Errorf("%d %s %v after %v; want 430 no, Retry-After 7, after 2s", rec.Code, rec.Body, rec.Header(), time.Since(start))
			}
		}
		if code, _ := control(s, "POST", "/mock/faults", `{"fault":"cut","chunks":1,"times":-1}`); code != http.StatusOK {
			t.Fatal("a fault could not be armed")
		}
		if code, _ := control(s, "POST", "/mock/reset", ""); code != http.StatusOK || send(s, ask{}).Code != http.StatusOK {
			t.Error("a fault outlived POST /mock/reset")
		}
	})
}

func TestTheControlEndpointNamesWhatItCannotRead(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"PUT", "/mock/limits", `{"limits":"40-W"}`, 400, `limits \"40-W\"`},
		{"PUT", "/mock/limits", `{"limits":"1-M","after":"soon"}`, 400, `soon`},
		{"PUT", "/mock/limits", `{"limit":"1-M"}`, 400, `unknown field \"limit\"`},
		{"PUT", "/mock/limits", `40-M`, 400, `body: `},
		{"PUT", "/mock/limits", `{"limits":"` + strings.Repeat("1", 1<<20) + `"}`, 400, `too large`},
		{"POST", "/mock/faults", `{"fault":"earthquake"}`, 400, `fault \"earthquake\": want one of`},
		{"POST", "/mock/faults", `{"fault":"cut","delay":3}`, 400, `body: `},
		{"GET", "/mock/arrivals?after=x", ``, 400, `after \"x\": want a sequence number`},
		{"GET", "/mock/faults", ``, 405, `Method Not Allowed`},
		{"GET", "/mock/", ``, 404, `not found`},
	} {
		code, got := control(s, tt.method, tt.path, tt.body)
		if code != tt.status || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s %.60s = %d %.200s; want %d and %s", tt.method, tt.path, tt.body, code, got, tt.status, tt.want)
		}
	}
	if got := s.Stats().Requests; got != 0 {
		t.Errorf("%d requests counted; want none: these were for the mock itself", got)
	}
}

func TestTheControlEndpointShowsWhatTheServerKnows(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Limits: "2-D"})
	passed(t, s, 3, ask{})
	_, text := control(s, "GET", "/mock/stats", "")
	var stats mock.Stats
	if err := json.Unmarshal([]byte(text), &stats); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(s.Stats(), stats); diff != "" {
		t.Errorf("GET /mock/stats (-want +got):\n%s", diff)
	}
	for query, want := range map[string]int{"": 3, "?after=2": 1, "?after=3": 0, "?after=99": 0, "?after=-5": 3} {
		_, text := control(s, "GET", "/mock/arrivals"+query, "")
		var arrivals []mock.Arrival
		if err := json.Unmarshal([]byte(text), &arrivals); err != nil || arrivals == nil {
			t.Fatalf("GET /mock/arrivals%s = %s; want a list", query, text)
		}
		if len(arrivals) != want || want > 0 && arrivals[len(arrivals)-1].Sequence != 3 {
			t.Errorf("GET /mock/arrivals%s = %+v; want the last %d", query, arrivals, want)
		}
	}
}

func TestTheLogHasALineForEveryArrivalAndNoSecret(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		var log bytes.Buffer
		s := newServer(t, mock.Options{Limits: "1-M", TimeScale: 60, Log: &log, Accounts: map[string]string{"secret": "acme"}})
		time.Sleep(time.Second)
		send(s, ask{key: "secret", body: `{"model":"m","stream":true,"messages":[{"role":"user","content":"private"}]}`})
		send(s, ask{key: "secret"})
		send(s, ask{path: "/x", key: "secret"})
		want := `{"sequence":1,"time":"2000-01-01T00:00:01Z","at":"2000-01-01T00:01:00Z","account":"acme","model":"m","path":"/v1/chat/completions","stream":true,"bytes":76,"sha256":"80d66ddccc257d8f1eac0c81d22b23ab407aecb23dd9a4ee297583068029ffce","verdict":"accepted","charged":true}
{"sequence":2,"time":"2000-01-01T00:00:01Z","at":"2000-01-01T00:01:00Z","account":"acme","model":"m","path":"/v1/chat/completions","stream":false,"bytes":60,"sha256":"aeab1e87972b520af3eeea1da0cc478d6329dc6e564c0150107ea32bc6032fdd","verdict":"quota","charged":true}
{"sequence":3,"time":"2000-01-01T00:00:01Z","at":"2000-01-01T00:01:00Z","account":"","model":"","path":"/x","stream":false,"bytes":0,"sha256":"","verdict":"not_found","charged":false}
`
		if diff := cmp.Diff(want, log.String()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
	})
}
