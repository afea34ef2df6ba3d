package proxy

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/guard"
	"nimsidecar/internal/secret"
)

func TestWhoCannotStartBeforeItGivesUpIsToldAtOnceWithTheEstimate(t *testing.T) {
	for _, body := range []string{wantsPlain, wantsStream} {
		for _, tt := range []struct {
			header string
			waits  bool
		}{
			{"X-Sidecar-Max-Wait: 20s", false},
			{"X-Stainless-Timeout: 20", false},
			{"X-Stainless-Read-Timeout: 20", body == wantsStream}, // kept alive, so it does not give up
		} {
			beating(t, usual, "1-M", says(streamType, 0, hello), func(r *rig) {
				r.waitAtMost(time.Hour)
				r.ask(post("/v1/chat/completions", wantsPlain))
				got := r.ask(post("/v1/chat/completions", body, tt.header))
				switch {
				case tt.waits:
					if got.StatusCode != http.StatusOK || !strings.HasSuffix(got.body, hello) {
						t.Errorf("%s, %s: %d %q; want it to wait for its answer", tt.header, body, got.StatusCode, got.script)
					}
				case got.StatusCode != http.StatusServiceUnavailable || got.Header.Get("X-Sidecar-Reason") != "deadline" || got.took != 0 ||
					got.Header.Get("X-Should-Retry") != "false" || !strings.Contains(got.body, "it could start in about 1m"):
					t.Errorf("%s, %s: %d %v %q after %s; want 503 deadline at once, with the estimate", tt.header, body, got.StatusCode, got.Header, got.body, got.took)
				}
			})
		}
	}
}

func TestAConfiguredClientWaitsAsLongAsItMay(t *testing.T) {
	beating(t, usual, "1-H", says(streamType, 0, hello), func(r *rig) {
		r.Guard = guard.New(guard.Options{Clients: []guard.Client{{Name: "alice", Key: secret.New("key-a"), MaxWait: 30 * time.Second}}})
		const key = "Authorization: Bearer key-a"
		r.ask(post("/v1/chat/completions", wantsPlain, key))
		if got := r.ask(post("/v1/chat/completions", wantsPlain, key)); got.Header.Get("X-Sidecar-Reason") != "queue_timeout" || got.took != 30*time.Second {
			t.Errorf("%d %v after %s; want queue_timeout after 30s", got.StatusCode, got.Header, got.took)
		}
	})
}

func TestARepeatStandsWhereItStood(t *testing.T) {
	for header, first := range map[string]bool{"X-Stainless-Retry-Count: 1": true, "X-Stainless-Retry-Count: 0": false} {
		beating(t, usual, "1-M", says(streamType, 0, hello), func(r *rig) {
			r.waitAtMost(time.Hour)
			r.ask(post("/v1/chat/completions", wantsPlain))
			ctx, leave := context.WithTimeout(context.Background(), 20*time.Second)
			defer leave()
			go r.ask(post("/v1/chat/completions", wantsStream).WithContext(ctx))
			synctest.Wait()
			other := make(chan heard, 1)
			go func() { other <- r.ask(post("/v1/chat/completions", wantsStream)) }()
			synctest.Wait()
			time.Sleep(20 * time.Second)
			synctest.Wait()
			got := r.ask(post("/v1/chat/completions", wantsStream, header)) // the one that left, again
			rest := <-other
			if before := got.took+20*time.Second < rest.took; before != first || !strings.HasSuffix(got.body, hello) || !strings.HasSuffix(rest.body, hello) {
				t.Errorf("%s: it was served %s after it came back, the other one %s after it came; want it first: %t", header, got.took, rest.took, first)
			}
		})
	}
}
