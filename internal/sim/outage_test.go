package sim

import (
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counting is an upstream that answers at once and counts what it is asked; while it is failing, with 503.
type counting struct {
	asked   atomic.Int64
	failing atomic.Bool
}

// ServeHTTP counts requests, the list of models aside.
func (c *counting) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/models") {
		return
	}
	c.asked.Add(1)
	if c.failing.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

// askMany sends n requests at once and returns the answers by status.
func askMany(l *Lab, n int, model string) (wait func() map[int]int) {
	var group sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range n {
		group.Go(func() {
			r := l.Chat(model, false)
			mu.Lock()
			defer mu.Unlock()
			statuses[r.Status]++
		})
	}
	return func() map[int]int {
		group.Wait()
		return statuses
	}
}

// A short outage passes unseen, however many wait; a longer one is told to those alone whose attempts it has used up. Nobody is held
// when it is over.
func TestAnOutageIsWaitedForAndNotMetByEverybody(t *testing.T) {
	for _, tt := range []struct {
		outage time.Duration
		lost   int // at most
	}{{2 * time.Second, 0}, {30 * time.Second, 8}} {
		upstream := new(counting)
		bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
			_ = l.upstream.Close()
			wait := askMany(l, 100, "m/a")
			time.Sleep(tt.outage)
			l.startUpstream(Setup{Handler: upstream})
			back := time.Now()
			got := wait()
			if lost := got[http.StatusBadGateway]; lost > tt.lost || got[http.StatusOK]+lost != 100 {
				t.Errorf("after %s without an upstream the answers are %v; want 200 but for at most %d", tt.outage, got, tt.lost)
			}
			if took := time.Since(back); took > 3*time.Second {
				t.Errorf("the last was answered %s after the outage; want at most 3s", took)
			}
			for _, line := range []string{"provider cannot be reached", "provider is back"} {
				if len(l.Log.Lines(line)) == 0 {
					t.Errorf("no line says %q", line)
				}
			}
		})
	}
}

func TestAnUpstreamThatIsDownIsAskedByOneAtATime(t *testing.T) {
	bubble(t, Setup{}, func(t *testing.T, l *Lab) {
		_ = l.upstream.Close()
		wait := askMany(l, 100, "m/a")
		time.Sleep(30 * time.Second)
		const name = `sidecar_upstream_errors_total{provider="upstream",status_code="connect"} `
		_, after, _ := strings.Cut(l.Metrics(), name)
		count, _, _ := strings.Cut(after, "\n")
		if n, err := strconv.Atoi(count); err != nil || n < 15 || n > 30 { // the first five, and then one every two seconds
			t.Errorf("%s attempts of 100 requests in 30s; want 15 to 30", count)
		}
		l.startUpstream(Setup{Handler: new(counting)})
		wait()
	})
}

func TestAModelThatFailsIsTriedByOneAtATimeAndHoldsNoOther(t *testing.T) {
	upstream := new(counting)
	bubble(t, Setup{Handler: upstream}, func(t *testing.T, l *Lab) {
		upstream.failing.Store(true)
		for range 3 { // two attempts each
			if r := l.Chat("m/a", false); r.Status != http.StatusServiceUnavailable {
				t.Errorf("answer = %d; want the upstream's own", r.Status)
			}
		}
		before := upstream.asked.Load()
		wait := askMany(l, 50, "m/a")
		upstream.failing.Store(false)
		if r := l.Chat("m/b", false); r.Status != http.StatusOK || r.Took != 0 {
			t.Errorf("another model = %d after %s; want 200 at once", r.Status, r.Took)
		}
		if asked := upstream.asked.Load() - before; asked != 1 {
			t.Errorf("the upstream was asked %d times meanwhile; want once, for the other model", asked)
		}
		began := time.Now()
		if got := wait(); got[http.StatusOK] != 50 || time.Since(began) > 3*time.Second {
			t.Errorf("answers = %v after %s; want 200 within 3s", got, time.Since(began))
		}
	})
}
