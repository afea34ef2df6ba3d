package sim

import (
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/mock"
)

// Scarce quota is not spent twice: of requests that are the same, however many and whenever they come, one is sent. The mock counts what
// arrives, and the sidecar's own ledger what it let out.
func TestScarceQuotaIsNotSpentTwice(t *testing.T) {
	const agents = 50
	env := []string{"SIDECAR_LIMITS=2-H", "SIDECAR_COALESCE_MODELS=*", "SIDECAR_CACHE_MODELS=*", "SIDECAR_CACHE_MAX_AGE=30m"}
	bubble(t, Setup{Mock: mock.Options{FirstByte: 5 * time.Second, Limiter: "none"}, Env: env}, func(t *testing.T, l *Lab) {
		embed := func() {
			if r := l.Do(t.Context(), http.MethodPost, "/v1/embeddings", `{"model":"m/e","input":"the same"}`); r.Status != http.StatusOK {
				t.Errorf("answer = %d %q; want 200", r.Status, r.Body)
			}
		}
		var group sync.WaitGroup
		for range agents {
			group.Go(embed)
		}
		synctest.Wait()
		wantMetrics(t, l, "sidecar_coalesce_waiting 49", "sidecar_cache_answers 0", "sidecar_tokens_available 1")
		group.Wait()
		time.Sleep(10 * time.Minute)
		for range agents {
			embed()
		}
		if s := l.Mock.Stats(); s.Accepted+s.Refused != 1 {
			t.Errorf("%d requests came to the upstream for %d; want 1", s.Accepted+s.Refused, 2*agents)
		}
		wantMetrics(t, l, "sidecar_coalesce_waiting 0", "sidecar_cache_answers 1", "sidecar_tokens_available 1",
			`sidecar_cache_requests_total{result="miss"} 1`, `sidecar_cache_requests_total{result="coalesced"} 49`,
			`sidecar_cache_requests_total{result="hit"} 50`, `sidecar_requests_total{priority="NORMAL",status="success"} 100`)
		if n := len(l.Log.Lines(`"cache":"hit"`, `"attempts":0`)); n != agents {
			t.Errorf("%d log lines tell of a kept answer; want %d", n, agents)
		}
		time.Sleep(30 * time.Minute)
		embed() // too old by now
		if s := l.Mock.Stats(); s.Accepted != 2 {
			t.Errorf("%d requests came to the upstream after the answer's age; want 2", s.Accepted)
		}
	})
}

func TestNothingIsSharedUnlessASettingSaysSo(t *testing.T) {
	bubble(t, Setup{}, func(t *testing.T, l *Lab) {
		for range 2 {
			r := l.Do(t.Context(), http.MethodPost, "/v1/embeddings", `{"model":"m/e","input":"the same"}`)
			if mark := r.Header.Get("X-Sidecar-Cache"); mark != "" {
				t.Errorf("X-Sidecar-Cache = %q; want none", mark)
			}
		}
		if s := l.Mock.Stats(); s.Accepted != 2 {
			t.Errorf("%d requests came to the upstream; want 2", s.Accepted)
		}
	})
}
