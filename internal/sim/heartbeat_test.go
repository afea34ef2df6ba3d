package sim

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/mock"
)

// The settings reach the handler, over both protocols.
func TestAQueuedStreamIsKeptAliveAsTheSettingsSay(t *testing.T) {
	for _, tt := range []struct {
		name  string
		env   []string
		beats int // in the 60.5 s until there is a slot
	}{
		{"by default", nil, 4},
		{"more often", []string{"SIDECAR_HEARTBEAT_INTERVAL=10s"}, 6},
		{"later", []string{"SIDECAR_COMMIT_AFTER=50s"}, 1},
		{"off", []string{"SIDECAR_HEARTBEAT=off"}, 0},
	} {
		for _, h2 := range []bool{false, true} {
			env := append([]string{"SIDECAR_LIMITS=1-M", "SIDECAR_H2C=true"}, tt.env...)
			bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, Env: env}, func(t *testing.T, l *Lab) {
				if h2 {
					protocols := new(http.Protocols)
					protocols.SetUnencryptedHTTP2(true)
					transport := &http.Transport{DialContext: l.Net.DialContext, Protocols: protocols}
					defer transport.CloseIdleConnections()
					l.client.Transport = transport
				}
				l.Chat("m/a", false)
				r := l.Chat("m/a", true)
				if got := strings.Count(r.Body, ": queued, position 1"); got != tt.beats || r.Status != http.StatusOK || r.Err != nil ||
					!strings.HasSuffix(r.Body, "data: [DONE]\n\n") || r.Took < time.Minute {
					t.Errorf("%s, HTTP/2 %t: %d heartbeats, %d, %v after %s: %.300q; want %d and the whole answer", tt.name, h2, got, r.Status, r.Err, r.Took, r.Body, tt.beats)
				}
			})
		}
	}
}

func TestAPlainRequestIsKeptAliveByWhiteSpaceWhereThatIsSwitchedOn(t *testing.T) {
	env := []string{"SIDECAR_LIMITS=1-M", "SIDECAR_HEARTBEAT_PLAIN=whitespace"}
	bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, Env: env}, func(t *testing.T, l *Lab) {
		l.Chat("m/a", false)
		r := l.Chat("m/a", false)
		if !strings.HasPrefix(r.Body, "\n\n\n\n{") || r.Status != http.StatusOK || r.Err != nil {
			t.Errorf("answer = %d %.100q, %v; want four line feeds and the JSON", r.Status, r.Body, r.Err)
		}
	})
}

func TestAConfiguredClientHasItsOwnLongestWait(t *testing.T) {
	file := "providers: [{name: own, url: \"http://" + upstreamAddr + "/v1\", accounts: [{keys: [k]}], limits: 1-H}]\n" +
		"clients: [{name: alice, key: key-a, max_wait: 30s}, {name: bob, key: key-b}]\nqueue: {max_wait: 5m}\n"
	bubble(t, Setup{Mock: mock.Options{Limiter: "none"}, File: file}, func(t *testing.T, l *Lab) {
		l.Chat("m/a", false, "Authorization: Bearer key-a")
		for key, want := range map[string]time.Duration{"key-a": 30 * time.Second, "key-b": 5 * time.Minute} {
			if r := l.Chat("m/a", false, "Authorization: Bearer "+key); r.Header.Get("X-Sidecar-Reason") != "queue_timeout" || r.Took != want {
				t.Errorf("%s: %d %v after %s; want queue_timeout after %s", key, r.Status, r.Header, r.Took, want)
			}
		}
	})
}
