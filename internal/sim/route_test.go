package sim

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"nimsidecar/internal/mock"
)

// twoPlaces is a route over two providers, of which the first has one request an hour and does not speak Anthropic's format.
const twoPlaces = `
providers:
  - {name: scarce, url: "http://` + upstreamAddr + `/v1", limits: 1-H, accounts: [{keys: [k1]}]}
  - {name: ample, url: "http://` + upstreamAddr + `/v1", limits: 100-M, speaks: both, accounts: [{keys: [k2]}]}
routes:
  - {alias: fast, targets: [{provider: scarce, model: m/big}, {provider: ample, model: m/small}], fallback_after: 10s}
`

func TestARouteOfTheSettingsLeadsToTheNextProvider(t *testing.T) {
	for _, path := range []string{"/v1/chat/completions", "/v1/messages"} {
		bubble(t, Setup{File: twoPlaces}, func(t *testing.T, l *Lab) {
			for i, want := range []string{"scarce", "ample", "ample"} {
				body := fmt.Sprintf(`{"model":"fast","max_tokens":9,"messages":[{"role":"user","content":"%d"}]}`, i)
				r := l.Do(t.Context(), http.MethodPost, path, body, "Content-Type: application/json")
				if r.Status != http.StatusOK || r.Header.Get("X-Sidecar-Provider") != want || r.Took != 0 {
					t.Errorf("%s, request %d = %d by %q after %s; want 200 by %s at once", path, i, r.Status, r.Header.Get("X-Sidecar-Provider"), r.Took, want)
				}
				if anthropic := strings.Contains(r.Body, `"type":"message"`); anthropic != (path == "/v1/messages") {
					t.Errorf("%s, request %d: %s; want an answer in the client's format", path, i, r.Body)
				}
			}
			var got []string
			for _, a := range l.Mock.Arrivals() {
				if a.Model != "" {
					got = append(got, a.Path+" "+a.Model)
				}
			}
			want := []string{"/v1/chat/completions m/big", path + " m/small", path + " m/small"}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("at the upstream came %q; want %q", got, want)
			}
			if n := len(l.Log.Lines(`"model":"fast"`, `"provider":"ample"`)); n != 2 {
				t.Errorf("%d log lines tell of the alias and who served it; want 2", n)
			}
		})
	}
}

func TestAClaudeStyleClientRunsOnAProviderThatSpeaksOpenAIOnly(t *testing.T) {
	bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, Env: []string{"SIDECAR_LIMITS=1-M"}}, func(t *testing.T, l *Lab) {
		ask := func() Reply {
			return l.Do(t.Context(), http.MethodPost, "/v1/messages?beta=true", `{"model":"m/a","stream":true,"max_tokens":99,"messages":[{"role":"user","content":"hello"}]}`,
				"Content-Type: application/json", "Anthropic-Version: 2023-06-01", "X-Api-Key: unused")
		}
		ask()
		r := ask()
		if pings := strings.Count(r.Body, "event: ping\n"); pings != 4 || r.Status != http.StatusOK || r.Err != nil || !strings.HasSuffix(r.Body, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n") {
			t.Errorf("answer = %d with %d pings, %v: %q; want 4 pings in the queue and a whole message", r.Status, pings, r.Err, r.Body)
		}
		for _, a := range l.Mock.Arrivals() {
			if a.Path != "/v1/chat/completions" && a.Path != "/v1/models" {
				t.Errorf("at the upstream came %s; want chat completions only", a.Path)
			}
		}
	})
}
