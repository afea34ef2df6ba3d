package faults

import (
	"strings"
	"sync"
	"testing"
	"time"
)

// TestAClientThatLeavesWhileItWaitsCostsNothing is row 19.
func TestAClientThatLeavesWhileItWaitsCostsNothing(t *testing.T) {
	t.Parallel()
	t.Run("in the queue", func(t *testing.T) {
		t.Parallel()
		u := serve(t, func(x *turn) { x.ok() })
		s := start(t, u, "SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_CAPACITY=10")
		spend(s)
		before := s.scrape()
		var waiting []*client
		for range 10 {
			c := dial(t, s.proxy)
			c.send(chat())
			waiting = append(waiting, c)
		}
		depth := func() float64 { return s.gauge(`sidecar_queue_depth{priority="NORMAL"}`) }
		if !until(patience, func() bool { return depth() == 10 }) {
			t.Fatalf("queue depth = %v; want 10", depth())
		}
		for i, c := range waiting {
			switch i % 3 {
			case 0:
				c.abort()
			case 1:
				_ = c.Close()
			case 2:
				c.half() // row 21: counts as gone
			}
		}
		if !until(time.Second, func() bool { return depth() == 0 }) {
			t.Errorf("queue depth = %v a second after all have left; want 0", depth())
		}
		s.wantCounted(before, series{"client_aborts queued": 10})
		s.logged(`"status":499`, `"reason":"cancelled"`, `"phase":"queue"`, `"attempts":0`)
		if bytes := s.gauge("sidecar_queue_bytes"); bytes != 0 {
			t.Errorf("sidecar_queue_bytes = %v; want 0", bytes)
		}
		u.wantSeen(1)
	})
	t.Run("between two attempts", func(t *testing.T) {
		t.Parallel()
		u := serve(t, func(x *turn) { x.reply("503 Busy", "Retry-After: 1", "ResourceExhausted") })
		s := start(t, u, unpaced)
		before := s.scrape()
		c := dial(t, s.proxy)
		c.send(chat())
		u.wantSeen(1)
		s.wantCounted(before, series{"upstream_errors 503": 1, "retries worker_exhausted": 1}) // it waits again
		c.abort()
		s.wantCounted(before, series{"client_aborts queued": 1, "upstream_errors 503": 1, "retries worker_exhausted": 1})
		pause(1500 * time.Millisecond) // the attempt that must not be made would be made by now
		u.wantSeen(1)
	})
}

// TestAClientThatLeavesEndsItsUpstreamConnection is row 20.
func TestAClientThatLeavesEndsItsUpstreamConnection(t *testing.T) {
	t.Parallel()
	left := make(chan time.Duration, 1)
	seen := make(chan struct{}, 1)
	u := serve(t, func(x *turn) {
		if strings.Contains(x.body, `"begin"`) {
			if strings.Contains(x.body, `"stream":true`) {
				x.write(sseHead + chunk(event("one")))
			} else {
				x.write("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhalf")
			}
		}
		began := time.Now()
		seen <- struct{}{}
		x.hold()
		left <- time.Since(began)
	})
	s := start(t, u, unpaced, "SIDECAR_SPEAKS=both")
	for _, path := range []string{chatPath, "/v1/responses", "/v1/messages"} {
		for name, body := range map[string]string{
			"before the head":      `{"model":"m1"}`,
			"before a stream":      `{"model":"m1","stream":true}`,
			"inside a body":        `{"model":"m1","begin":1}`,
			"in the mid of stream": `{"model":"m1","begin":1,"stream":true}`,
		} {
			before := s.scrape()
			c := dial(t, s.proxy)
			c.send(post(path, body))
			select {
			case <-seen:
			case <-c.gone:
				t.Fatalf("%s %s: refused: %s", path, name, c.received.String())
			case <-time.After(patience):
				t.Fatalf("%s %s: the upstream is not asked: %s", path, name, c.received.String())
			}
			phase := "upstream"
			if strings.Contains(body, "begin") {
				phase = "stream"
				if !until(patience, func() bool { return strings.Contains(c.received.String(), "200 OK") }) {
					t.Fatalf("%s %s: no head came", path, name)
				}
			}
			gone := time.Now()
			c.abort()
			select {
			case <-left:
			case <-time.After(patience):
				t.Fatalf("%s, left %s: the upstream's connection is still there", path, name)
			}
			if took := time.Since(gone); took > soon {
				t.Errorf("%s, left %s: the upstream's connection ended after %s; want %s at most", path, name, took, soon)
			}
			s.wantCounted(before, series{"client_aborts " + phase: 1})
		}
	}
}

// TestThirtyWhoLeaveAtOnceDelayNobody is row 20's last clause and section 6.
func TestThirtyWhoLeaveAtOnceDelayNobody(t *testing.T) {
	t.Parallel()
	big := chunk(event(strings.Repeat("x", 1<<20)))
	u := serve(t, func(x *turn) {
		if !strings.Contains(x.body, `"stream":true`) {
			x.ok()
			return
		}
		x.write(sseHead)
		for range 5 {
			x.write(big)
		}
		x.hold()
	})
	s := start(t, u, unpaced)
	var crowd []*client
	for range 30 {
		c := dial(t, s.proxy)
		c.send(chatStream())
		crowd = append(crowd, c)
	}
	for _, c := range crowd {
		if !until(20*time.Second, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return len(c.data) > 5<<20 }) {
			t.Fatal("a stream of 5 MiB does not come")
		}
	}
	fresh := dial(t, s.proxy)
	for _, c := range crowd {
		c.abort()
	}
	began := time.Now()
	got := fresh.ask(chat())
	if took := time.Since(began); got.status != 200 || took > soon {
		t.Errorf("a new request: %s after %s; want 200 within %s", got, took, soon)
	}
	if !until(soon, func() bool { _, open := u.connections(); return open <= 1 }) {
		_, open := u.connections()
		t.Errorf("%d connections to the upstream are left; want that of the last request only", open)
	}
}

// TestASlowReaderHoldsTheUpstreamBack is row 25 as far as it shows within seconds: back-pressure, not memory.
func TestASlowReaderHoldsTheUpstreamBack(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	sent := 0
	u := serve(t, func(x *turn) {
		x.write("HTTP/1.1 200 OK\r\nContent-Length: 268435456\r\n\r\n")
		block := make([]byte, 64<<10)
		for range 4096 {
			n, err := x.conn.Write(block)
			mu.Lock()
			sent += n
			mu.Unlock()
			if err != nil {
				return
			}
		}
	})
	s := start(t, u, unpaced)
	before := s.scrape()
	c := stalled(t, s.proxy)
	_, _ = c.Write([]byte(chat()))
	amount := func() int { mu.Lock(); defer mu.Unlock(); return sent }
	last, same := -1, 0
	if !until(20*time.Second, func() bool {
		pause(50 * time.Millisecond)
		if now := amount(); now == last && now > 0 {
			same++
		} else {
			last, same = now, 0
		}
		return same >= 10
	}) {
		t.Fatalf("the upstream goes on sending: %d bytes", amount())
	}
	if amount() > 32<<20 {
		t.Errorf("%d bytes left the upstream for a client that does not read; want 32 MiB at most", amount())
	}
	if most := s.memory("VmHWM"); most > 64<<10 {
		t.Errorf("the program took %d KiB", most)
	}
	_ = c.Close()
	s.wantCounted(before, series{"client_aborts stream": 1})
	if !until(soon, func() bool { _, open := u.connections(); return open == 0 }) {
		t.Errorf("the upstream's connection outlives its client")
	}
}
