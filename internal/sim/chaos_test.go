package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// moody is an upstream that does something else each time: answers, refuses, breaks, stalls, at any point.
func moody(random *rand.Rand) http.HandlerFunc {
	var mu sync.Mutex
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	statuses := []int{200, 200, 200, 202, 204, 304, 400, 401, 404, 413, 429, 429, 500, 503, 504}
	return func(w http.ResponseWriter, r *http.Request) {
		if draw(3) > 0 {
			_, _ = io.Copy(io.Discard, r.Body)
		}
		pause := func() {
			select {
			case <-time.After(time.Duration(draw(4)*draw(4)) * 10 * time.Second):
			case <-r.Context().Done():
			}
		}
		pause()
		if draw(8) == 0 {
			panic(http.ErrAbortHandler)
		}
		if draw(8) == 0 {
			w.WriteHeader(http.StatusEarlyHints)
		}
		if draw(2) == 0 {
			w.Header().Set("Content-Type", "text/event-stream")
		}
		if draw(4) == 0 {
			w.Header().Set("Retry-After", strconv.Itoa(draw(90)))
		}
		w.WriteHeader(statuses[draw(len(statuses))])
		for range draw(4) {
			_, _ = io.WriteString(w, "data: {\"usage\":{\"prompt_tokens\":1}}\n\n"[:5+draw(30)])
			_ = http.NewResponseController(w).Flush()
			pause()
			if draw(10) == 0 {
				panic(http.ErrAbortHandler)
			}
		}
	}
}

// total sums the series of a metric.
func total(metrics, name string) (sum float64) {
	for line := range strings.Lines(metrics) {
		if rest, ok := strings.CutPrefix(line, name+"{"); ok {
			_, value, _ := strings.Cut(strings.TrimSpace(rest), "} ")
			n, _ := strconv.ParseFloat(value, 64)
			sum += n
		}
	}
	return sum
}

// ownStatus is what each reason of the contract that a crowd can meet is answered with.
var ownStatus = map[string]int{
	"": 0, "queue_full": 429, "displaced": 429, "queue_timeout": 503, "deadline": 503, "upstream_rate_limited": 429, "upstream_unreachable": 502,
	"upstream_timeout": 504, "draining": 503, "cancelled": 499,
}

// storm sends n requests of all kinds, whose clients wait for as long as they like, and calls during before each. It returns long
// after all have their answer or have left.
func storm(l *Lab, seed uint64, n int, during func(i int)) {
	var clients sync.WaitGroup
	random := rand.New(rand.NewPCG(seed, 2))
	for i := range n {
		during(i)
		patience, method := time.Duration(1+random.IntN(300))*time.Second, []string{"POST", "POST", "POST", "GET", "HEAD"}[random.IntN(5)]
		body := fmt.Sprintf(`{"model":"m/%d","stream":%t,"x":%q}`, random.IntN(2), random.IntN(2) == 0, strings.Repeat("x", random.IntN(9000)))
		clients.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			l.Do(ctx, method, "/v1/chat/completions", body, fmt.Sprintf("X-Request-Id: r-%d", i), fmt.Sprintf("X-Sidecar-Priority: %d", i%4))
		})
		time.Sleep(time.Duration(random.IntN(2000)) * time.Millisecond)
	}
	clients.Wait()
	time.Sleep(10 * time.Minute) // the upstream that read no body does not notice who leaves; and the last window is over
}

// wantOneEndEach fails unless each request that was logged ended once, with a status that fits its reason. It returns how many there
// were.
func wantOneEndEach(t *testing.T, l *Lab) int {
	t.Helper()
	ends := map[string]int{}
	for _, line := range l.Log.Lines(`"msg":"request"`) {
		var end struct {
			ID, Reason string
			Status     int
		}
		if err := json.Unmarshal([]byte(line), &end); err != nil {
			t.Fatal(err)
		}
		ends[end.ID]++
		want, known := ownStatus[end.Reason]
		if !known || end.Status == 0 || end.Reason != "" && end.Status != want && end.Status >= http.StatusBadRequest {
			t.Errorf("%s ended with status %d for the reason %q; want the reason's own, or a success that broke", end.ID, end.Status, end.Reason)
		}
	}
	for id, times := range ends {
		if times != 1 {
			t.Errorf("%s ended %d times; want once", id, times)
		}
	}
	if crashes := l.Log.Lines("request crashed"); len(crashes) != 0 {
		t.Errorf("%d crashes: %s", len(crashes), crashes[0])
	}
	return len(ends)
}

// stormy are the settings of a storm; every other seed lets what finds the queue full through, and every third learns.
func stormy(seed uint64) Setup {
	env := []string{"SIDECAR_LIMITS=30-M", "SIDECAR_QUEUE_CAPACITY=20", "SIDECAR_MAX_WAIT=2m", "SIDECAR_HEAD_TIMEOUT=1m", "SIDECAR_STREAM_IDLE_TIMEOUT=50s"}
	if seed%2 == 1 {
		env = append(env, "SIDECAR_OVERFLOW=passthrough")
	}
	if !learns(seed) {
		env = append(env, "SIDECAR_ADAPTIVE=false")
	}
	return Setup{Handler: moody(rand.New(rand.NewPCG(seed, 1))), Env: env}
}

func learns(seed uint64) bool { return seed%3 == 0 }

func TestEveryRequestEndsOnceWithOneReasonWhateverHappens(t *testing.T) {
	for seed := range uint64(6) {
		bubble(t, stormy(seed), func(t *testing.T, l *Lab) {
			const n = 300
			storm(l, seed, n, func(int) {})
			ended := wantOneEndEach(t, l)
			metrics := l.Metrics()
			counted := total(metrics, "sidecar_requests_total") + total(metrics, "sidecar_client_aborts_total")
			if ended < n*9/10 || counted != float64(ended) { // some leave before they have been read
				t.Errorf("seed %d: %d of %d requests were logged and %v counted; want as many", seed, ended, n, counted)
			}
			if waiting := total(metrics, "sidecar_queue_depth"); waiting != 0 {
				t.Errorf("seed %d: %v still wait", seed, waiting)
			}
			// Every slot of the two models is back: one that was never settled, nor sent, would be missing for good.
			// What was learned of this upstream may be less than what was promised.
			wantMetrics(t, l, "sidecar_queue_bytes 0")
			if !learns(seed) {
				wantMetrics(t, l, "sidecar_tokens_available 60")
			}
		})
	}
}

func TestAStopInTheMiddleOfAStormKeepsItsBoundAndEveryRequestItsEnd(t *testing.T) {
	for seed := range uint64(6) {
		bubble(t, stormy(seed), func(t *testing.T, l *Lab) {
			var began time.Time
			storm(l, seed, 200, func(i int) {
				if i == 100 {
					began = time.Now()
					l.Terminate()
				}
			})
			<-l.Stopped()
			wantOneEndEach(t, l)
			var stopped struct {
				AfterMS int64 `json:"after_ms"`
			}
			lines := l.Log.Lines(`"msg":"stopped"`)
			if len(lines) != 1 || json.Unmarshal([]byte(lines[0]), &stopped) != nil {
				t.Fatalf("seed %d: %d lines say that it stopped; want 1", seed, len(lines))
			}
			if took := time.Duration(stopped.AfterMS) * time.Millisecond; took > 35*time.Second {
				t.Errorf("seed %d: the stop at %s took %s; want at most its bound of 30s and the last words", seed, began, took)
			}
		})
	}
}
