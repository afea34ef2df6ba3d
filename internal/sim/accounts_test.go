package sim

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"nimsidecar/internal/mock"
)

// twoAccounts is a provider with an account whose key is dead and one whose key the mock knows.
const twoAccounts = `
providers:
  - name: nvidia
    url: http://` + upstreamAddr + `/v1
    limits: 40-M
    accounts:
      - {name: old, keys: [nvapi-revoked]}
      - {name: new, keys: [nvapi-good]}
`

func TestADeadAccountIsLeftForTheNextWithinOneRequest(t *testing.T) {
	bubble(t, Setup{Mock: mock.Options{Keys: []string{"nvapi-good"}}, File: twoAccounts}, func(t *testing.T, l *Lab) {
		for i, attempts := range []string{"2", "1"} {
			r := l.Chat("m/a", false)
			if r.Status != http.StatusOK || r.Header.Get("X-Sidecar-Attempts") != attempts || !strings.HasPrefix(r.Header.Get("X-Sidecar-Key"), "new-") {
				t.Errorf("request %d = %d by key %q in %s attempts; want 200 by the key of new in %s",
					i, r.Status, r.Header.Get("X-Sidecar-Key"), r.Header.Get("X-Sidecar-Attempts"), attempts)
			}
		}
	})
}

func TestWhenEveryAccountIsDeadTheClientSeesIt(t *testing.T) {
	bubble(t, Setup{Mock: mock.Options{Keys: []string{"nvapi-other"}}, File: twoAccounts}, func(t *testing.T, l *Lab) {
		if r := l.Chat("m/a", false); r.Status != http.StatusForbidden || r.Header.Get("X-Sidecar-Attempts") != "2" {
			t.Errorf("answer = %d in %s attempts; want the provider's 403 after 2", r.Status, r.Header.Get("X-Sidecar-Attempts"))
		}
	})
}

func TestTheRateIsThatOfAllAccounts(t *testing.T) {
	bubble(t, Setup{File: twoAccounts}, func(t *testing.T, l *Lab) {
		wantMetrics(t, l, "sidecar_tokens_available 80", "sidecar_tokens_rate 80", "sidecar_effective_rate_rpm 80", `sidecar_limit_requests_per_second{provider="nvidia"} 1.3333333333333333`)
	})
}

// keyless is a provider that wants no key, such as a model of one's own.
const keyless = `
clients: [{name: alice, key: ns-alice-1}, {name: bob, key: ns-bob-2}]
providers: [{name: own, url: "http://` + upstreamAddr + `/v1", limits: 2-M}]
`

func TestAClientsKeyToTheSidecarStaysHere(t *testing.T) {
	var seen []http.Header
	upstream := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			_, _ = io.ReadAll(r.Body)
			seen = append(seen, r.Header)
		}
	})
	bubble(t, Setup{Handler: upstream, File: keyless}, func(t *testing.T, l *Lab) {
		own := l.Chat("m/a", false, "Authorization: Bearer ns-alice-1", "X-Api-Key: sk-her-own")
		shared := l.Chat("m/a", false, "X-Api-Key: ns-bob-2")
		if own.Status != http.StatusOK || shared.Status != http.StatusOK {
			t.Fatalf("answers = %d, %d; want 200", own.Status, shared.Status)
		}
		for i, h := range seen {
			if strings.Contains(h.Get("Authorization")+h.Get("X-Api-Key"), "ns-") {
				t.Errorf("request %d took the client's key to the sidecar along", i)
			}
		}
		if got := seen[0].Get("X-Api-Key"); got != "sk-her-own" {
			t.Errorf("the client's own credential for the provider = %q; want it passed on", got)
		}
		for i, agent := range []string{`"agent":"alice"`, `"agent":"bob"`} {
			if n := len(l.Log.Lines(`"msg":"request"`, agent)); n != 1 {
				t.Errorf("request %d: %d log lines with %s; want 1", i, n, agent)
			}
		}
	})
}

func TestAWrongClientKeyIsRefusedBeforeAnythingIsSent(t *testing.T) {
	bubble(t, Setup{Env: []string{"SIDECAR_CLIENT_KEYS=alice:ns-alice-1"}}, func(t *testing.T, l *Lab) {
		for _, header := range []string{"Authorization: Bearer nvapi-test-key", "X-Api-Key: ns-alice-2", "X-None: 1"} {
			r := l.Chat("m/a", false, header)
			if r.Status != http.StatusUnauthorized || r.Header.Get("X-Sidecar-Reason") != "unauthorized" {
				t.Errorf("%s = %d %q; want 401 unauthorized", header, r.Status, r.Header.Get("X-Sidecar-Reason"))
			}
		}
		if n := l.Mock.Stats().Accepted; n != 0 {
			t.Errorf("the upstream charged %d; want 0", n)
		}
	})
}
