package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// served is one request as its client saw it.
type served struct {
	class  string
	status int
	body   string
	err    error
	sent   time.Duration // since the start of the crowd
	done   time.Duration
}

// TestACrowdOnAScarceQuotaEndToEnd is the product's promise, with real processes and sockets: a mock that allows 20 in a window, a
// sidecar that is told 20, and 100 requests of mixed classes from 30 clients at once, streaming and not.
func TestACrowdOnAScarceQuotaEndToEnd(t *testing.T) {
	t.Parallel()
	binary := build(t)
	// A minute of the mock lasts a second, so that its 20-M is the sidecar's 20-S.
	mock, upstream := start(t, nil, `(http://[0-9.:]+/v1)`, binary, "mock", "--listen", "127.0.0.1:0", "--limits", "20-M", "--time-scale", "60")
	sidecar, address := start(t, []string{
		"SIDECAR_UPSTREAM_URL=" + upstream, "SIDECAR_LIMITS=20-S", "SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0",
		"SIDECAR_API_KEYS=nvapi-e2e-canary", "SIDECAR_LOG_FORMAT=json",
	}, `"msg":"listening","proxy":"([0-9.:]+)"`, binary, "serve")

	all := crowd(address, 100, 30)
	checkCrowd(t, all)
	checkMock(t, strings.TrimSuffix(upstream, "/v1"))

	log, code := sidecar.stop(t)
	if code != exitOK {
		t.Errorf("the sidecar ended with %d; want %d", code, exitOK)
	}
	if n := len(slices.DeleteFunc(slices.Clone(log), func(line string) bool { return !strings.Contains(line, `"msg":"request"`) })); n != 100 {
		t.Errorf("the log has %d request lines; want 100", n)
	}
	if strings.Contains(strings.Join(log, ""), "canary") {
		t.Errorf("the key stands in the log")
	}
	if _, code := mock.stop(t); code != exitOK {
		t.Errorf("the mock ended with %d; want %d", code, exitOK)
	}
}

// model is what the tests ask where it does not matter which.
const model = "meta/llama-3.3-70b-instruct"

// crowd sends n requests from that many clients. The last 10 are URGENT and come when all the others are there.
func crowd(address string, n, clients int) []served {
	all := make([]served, n)
	began := time.Now()
	var wg sync.WaitGroup
	send := func(numbers <-chan int) {
		for i := range numbers {
			class := []string{"high", "normal", "low"}[i%3]
			if i >= n-10 {
				class = "urgent"
			}
			all[i] = askChat(address, model, class, i%2 == 0, began)
		}
	}
	others, urgent := make(chan int, n), make(chan int, n)
	for i := range n - 10 {
		others <- i
	}
	for i := n - 10; i < n; i++ {
		urgent <- i
	}
	close(others)
	close(urgent)
	for range clients - 5 {
		wg.Go(func() { send(others) })
	}
	for range 5 {
		wg.Go(func() {
			first := <-others // something of another class first, so that a backlog is there
			all[first] = askChat(address, model, "low", false, began)
			send(urgent)
			send(others)
		})
	}
	wg.Wait()
	return all
}

// askChat sends one chat completion and reads its answer to the end.
func askChat(address, model, class string, stream bool, began time.Time) served {
	s := served{class: class, sent: time.Since(began)}
	body := fmt.Sprintf(`{"model":%q,"stream":%t,"messages":[{"role":"user","content":"hi"}]}`, model, stream)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+address+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return served{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Sidecar-Priority", class)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.err = err
		return s
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	s.status, s.body, s.err, s.done = resp.StatusCode, string(content), err, time.Since(began)
	if stream && !strings.HasSuffix(s.body, "data: [DONE]\n\n") {
		s.err = fmt.Errorf("the stream does not end with [DONE]")
	}
	return s
}

// checkCrowd wants a whole 200 for everybody, and URGENT ones that waited less than the others.
func checkCrowd(t *testing.T, all []served) {
	t.Helper()
	waits := map[string][]time.Duration{}
	for i, s := range all {
		if s.err != nil || s.status != http.StatusOK {
			t.Errorf("request %d (%s) = %d %q, error %v; want a whole 200", i, s.class, s.status, s.body, s.err)
		}
		waits[s.class] = append(waits[s.class], s.done-s.sent)
	}
	urgent, low := slices.Max(waits["urgent"]), slices.Max(waits["low"])
	if urgent >= low {
		t.Errorf("the longest URGENT wait was %s, the longest LOW one %s; want URGENT to overtake", urgent, low)
	}
}

// checkMock wants the judge's word: nothing refused, and no window above its limit.
func checkMock(t *testing.T, url string) {
	t.Helper()
	resp, err := http.Get(url + "/mock/stats")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var stats struct {
		Accepted, Refused int
		Scopes            []struct {
			Windows []struct {
				Rate        string
				MostCharged int `json:"most_charged"`
			}
		}
	}
	if err := json.NewDecoder(resp.Body).Decode(&stats); err != nil {
		t.Fatal(err)
	}
	if stats.Accepted != 100 || stats.Refused != 0 {
		t.Errorf("the mock let %d through and refused %d; want 100 and 0", stats.Accepted, stats.Refused)
	}
	windows := 0
	for _, scope := range stats.Scopes {
		for _, w := range scope.Windows {
			windows++
			if limit, _ := strconv.Atoi(strings.TrimSuffix(w.Rate, "-M")); w.MostCharged > limit {
				t.Errorf("a window of %s held %d", w.Rate, w.MostCharged)
			}
		}
	}
	if windows == 0 {
		t.Errorf("the mock judged no window")
	}
}
