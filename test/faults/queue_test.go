package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// spend takes the only slot of a limit of one, and returns when that request has been accounted for.
func spend(s *sidecar) {
	s.t.Helper()
	before := s.scrape()
	if got := dial(s.t, s.proxy).ask(chat()); got.status != 200 {
		s.t.Fatalf("the first request: %s", got)
	}
	s.wantCounted(before, series{"requests NORMAL success": 1})
}

// waiting sends a request that will have to wait, and returns when the sidecar has queued it.
func waiting(s *sidecar, text, class string) *client {
	s.t.Helper()
	name := `sidecar_queue_depth{priority="` + class + `"}`
	before := s.gauge(name)
	c := dial(s.t, s.proxy)
	c.send(text)
	if !until(patience, func() bool { return s.gauge(name) == before+1 }) {
		s.t.Fatalf("a %s request does not wait", class)
	}
	return c
}

// TestAFullQueueSaysSoAtOnceAndGivesWayToTheMoreUrgent is row 36.
func TestAFullQueueSaysSoAtOnceAndGivesWayToTheMoreUrgent(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, "SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_CAPACITY=3")
	spend(s)
	before := s.scrape()
	waiting(s, chat(), "NORMAL")
	waiting(s, chat(), "NORMAL")
	victim := waiting(s, chat("X-Sidecar-Priority: low"), "LOW")
	refused := dial(t, s.proxy).ask(chat("X-Sidecar-Priority: low"))
	urgent := dial(t, s.proxy)
	urgent.send(chat("X-Sidecar-Priority: urgent"))
	displaced := victim.receive("POST")
	for reason, got := range map[string]answer{"queue_full": refused, "displaced": displaced} {
		again, _ := strconv.Atoi(got.get("Retry-After"))
		if got.status != 429 || got.reason() != reason || again < 1 || again > 60 || got.get("X-Should-Retry") != "true" {
			t.Errorf("%s; want 429 %s with a Retry-After of 1 to 60", got, reason)
		}
	}
	if refused.took > soon {
		t.Errorf("a full queue was told after %s; want at once", refused.took)
	}
	s.wantCounted(before, series{"requests LOW ratelimited": 2, "rejections queue_full": 1, "rejections displaced": 1})
	u.wantSeen(1)
}

// TestAFullQueuePassesThroughOnlyIfTold is the rest of row 36.
func TestAFullQueuePassesThroughOnlyIfTold(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, "SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_CAPACITY=1", "SIDECAR_OVERFLOW=passthrough")
	spend(s)
	waiting(s, chat(), "NORMAL")
	before := s.scrape()
	if got := dial(t, s.proxy).ask(chat()); got.status != 200 {
		t.Errorf("%s; want 200", got)
	}
	s.wantCounted(before, series{"requests NORMAL success": 1, "fallback_passthrough": 1})
	u.wantSeen(2)
}

// TestWhoCannotBeServedInTimeIsTold is rows 37 and 38.
func TestWhoCannotBeServedInTimeIsTold(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, "SIDECAR_LIMITS=1-M", "SIDECAR_MAX_WAIT=2s")
	spend(s)
	for _, test := range []struct {
		name    string
		lines   []string
		reasons []string
		most    time.Duration
	}{
		{"by its header", []string{"X-Sidecar-Max-Wait: 1s"}, []string{"deadline"}, 900 * time.Millisecond},
		{"not to queue at all", []string{"X-Sidecar-Max-Wait: 0s"}, []string{"deadline"}, 900 * time.Millisecond},
		{"by its SDK's time-out", []string{"X-Stainless-Timeout: 1"}, []string{"deadline"}, 900 * time.Millisecond},
		{"by the operator", nil, []string{"queue_timeout", "deadline"}, 3 * time.Second},
	} {
		before := s.scrape()
		c := dial(t, s.proxy)
		began := time.Now()
		got := c.ask(chat(test.lines...))
		if took := time.Since(began); got.status != 503 || !slices.Contains(test.reasons, got.reason()) || took > test.most {
			t.Errorf("%s: %s after %s; want 503 %v within %s", test.name, got, took, test.reasons, test.most)
		}
		s.wantCounted(before, series{"requests NORMAL error": 1, "rejections " + got.reason(): 1})
	}
	u.wantSeen(1)
}

// TestTheMostUrgentGoFirstButNotByAskingAlone is row 39, and "three URGENT behind a LOW backlog" of section 6.
func TestTheMostUrgentGoFirstButNotByAskingAlone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	u := serve(t, func(x *turn) {
		mu.Lock()
		order = append(order, number(x.body))
		mu.Unlock()
		x.ok()
	})
	s := start(t, u, slow, "SIDECAR_QUEUE_CAPACITY=20")
	var group sync.WaitGroup
	ask := func(name, class string) {
		c := waiting(s, post(chatPath, `{"model":"m1","n":"`+name+`"}`, "X-Sidecar-Priority: "+class), strings.ToUpper(class))
		group.Go(func() {
			if got := c.receive("POST"); got.status != 200 || got.get("X-Sidecar-Priority") != strings.ToUpper(class) {
				t.Errorf("%s: %s; want 200", name, got)
			}
		})
	}
	s.change(`"providers":[{"name":"upstream","paused":true}]`) // so that the order is the queue's alone
	for i := range 4 {
		ask(fmt.Sprintf("low%d", i), "low")
	}
	for i := range 3 {
		ask(fmt.Sprintf("urgent%d", i), "urgent")
	}
	s.change(`"providers":[{"name":"upstream","paused":false}]`)
	group.Wait()
	last := -1
	for i, name := range order {
		if strings.HasPrefix(name, "urgent") {
			last = i
		}
	}
	if len(order) != 7 || last > 5 {
		t.Errorf("the order was %v; want the last URGENT one among the first six", order)
	}
}

// TestAClientsHighestClassBeatsItsHeader is the last clause of row 39.
func TestAClientsHighestClassBeatsItsHeader(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("clients:\n  - {name: batch, key: sk-batch-0123456789abcdef, highest: low}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced, "SIDECAR_CONFIG="+file)
	before := s.scrape()
	got := dial(t, s.proxy).ask(chat("Authorization: Bearer sk-batch-0123456789abcdef", "X-Sidecar-Priority: urgent"))
	if got.status != 200 || got.get("X-Sidecar-Priority") != "LOW" {
		t.Errorf("%s; want 200 in class LOW", got)
	}
	s.wantCounted(before, series{"requests LOW success": 1})
}

// TestAFullQueueNeverExceedsThePaceAndUsesIt is section 6, in the profile of a small known pace: the upstream's clock is the judge.
func TestAFullQueueNeverExceedsThePaceAndUsesIt(t *testing.T) {
	t.Parallel()
	const rate, seconds = 5, 4
	var mu sync.Mutex
	seen := newDiary(t)
	u := serve(t, func(x *turn) {
		seen.note()
		x.ok()
	})
	s := start(t, u, slow, "SIDECAR_QUEUE_CAPACITY=10")
	stop := time.Now().Add(seconds * time.Second)
	var group sync.WaitGroup
	refused := 0
	for range 14 { // more than wait at once, so that some are always refused
		c := dial(t, s.proxy)
		group.Go(func() {
			for time.Now().Before(stop) {
				got := c.ask(chat())
				mu.Lock()
				if got.status == 429 {
					refused++
				} else if got.status != 200 {
					t.Errorf("%s; want 200, or 429 of a full queue", got)
				}
				mu.Unlock()
				if got.status == 429 {
					pause(50 * time.Millisecond)
				}
			}
		})
	}
	group.Wait()
	seen.wantAtMost(t, rate, time.Second)
	at := seen.at
	if window := at[len(at)-1].Sub(at[0]).Seconds(); float64(len(at)) < rate*window/1.3 {
		t.Errorf("%d requests in %.1f s; want %.0f at least", len(at), window, rate*window/1.3)
	}
	if refused == 0 {
		t.Errorf("the queue of 10 was never full with 14 clients")
	}
}

// TestManyWaitersCostLittle is a light form of section 6's "1,500 waiting".
func TestManyWaitersCostLittle(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, "SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_CAPACITY=1000", "SIDECAR_LOG_LEVEL=info")
	spend(s)
	before := s.memory("VmRSS")
	const crowd = 400
	for range crowd {
		c := stalled(t, s.proxy)
		_, _ = c.Write([]byte(chat()))
	}
	if !until(patience, func() bool { return s.gauge(`sidecar_queue_depth{priority="NORMAL"}`) == crowd }) {
		t.Fatalf("queue depth = %v; want %d", s.gauge(`sidecar_queue_depth{priority="NORMAL"}`), crowd)
	}
	if each := (s.memory("VmRSS") - before) / crowd; each > 96 {
		t.Errorf("each of %d waiting requests takes %d KiB; want 96 at most", crowd, each)
	}
	c := dial(t, s.proxy)
	began := time.Now()
	if got := c.ask(get("/livez")); got.status != 200 || time.Since(began) > soon {
		t.Errorf("a new connection: %s after %s; want 200 soon", got, time.Since(began))
	}
}
