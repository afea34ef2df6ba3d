package faults

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// full waits until the program takes no more connections: the number of its open files stays.
func full(s *sidecar) {
	s.t.Helper()
	last, same := 0, 0
	if !until(patience, func() bool {
		if n := s.descriptors(); n == last {
			same++
		} else {
			last, same = n, 0
		}
		return last >= 30 && same >= 100
	}) {
		s.t.Fatalf("the program has %d files open, and the number does not settle", last)
	}
}

// TestDescriptorsRunOutAndComeBack is row 33 in its heavy form: a process that may have 64 files open and a client that opens connections
// without end. What was being served goes on, nothing dies, and when the client lets go everything works as before.
func TestDescriptorsRunOutAndComeBack(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	u := serve(t, func(x *turn) {
		if !strings.Contains(x.body, `"stream":true`) {
			x.ok()
			return
		}
		x.write(sseHead + chunk(event("one")))
		<-proceed
		x.write(chunk(event("two")+"data: [DONE]\n\n") + "0\r\n\r\n")
	})
	s := startUnder(t, "ulimit -n 64", u, unpaced, "SIDECAR_STATE_DIR="+t.TempDir())
	stream := dial(t, s.proxy)
	stream.send(chatStream())
	if !until(patience, func() bool { return strings.Contains(stream.received.String(), "one") }) {
		t.Fatal("the stream does not begin")
	}
	var crowd []*client
	for range 100 {
		crowd = append(crowd, dial(t, s.proxy)) // the kernel takes them, whoever is full
	}
	full(s)
	close(proceed)
	if got := stream.receive("POST"); !got.whole || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
		t.Errorf("a stream that was running: %s; want it whole", got)
	}
	for _, c := range crowd {
		c.abort()
	}
	if !until(patience, func() bool { return dial(t, s.proxy).ask(chat()).status == 200 }) {
		t.Errorf("with the crowd gone: %s; want 200", dial(t, s.proxy).ask(chat()))
	}
	if got := dial(t, s.metrics).ask(get("/livez")); got.status != 200 {
		t.Errorf("GET /livez on the metrics port: %s; want 200", got)
	}
	if code := s.stop(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// TestTheProbesAnswerWhileDescriptorsRunOut is the rest of row 33: some are held back for probes and the metrics.
func TestTheProbesAnswerWhileDescriptorsRunOut(t *testing.T) {
	t.Parallel()
	s := startUnder(t, "ulimit -n 64", serve(t, func(x *turn) { x.ok() }), unpaced)
	for range 100 {
		stalled(t, s.proxy)
	}
	full(s)
	for _, path := range []string{"/livez", "/metrics"} {
		c := dial(t, s.metrics)
		began := time.Now()
		if got := c.ask(get(path)); got.status != 200 || time.Since(began) > soon {
			t.Errorf("GET %s on the metrics port, with every connection of the proxy taken: %s after %s; want 200 soon", path, got, time.Since(began))
		}
	}
}

// TestAFloodOfBodiesKeepsToItsBudget is rows 26, 34 and 35: bodies of 1 MB beyond a budget of 8 MB are refused, and memory stays in proportion.
func TestAFloodOfBodiesKeepsToItsBudget(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, "SIDECAR_LIMITS=1-M", "SIDECAR_QUEUE_MAX_BYTES=8MB", "SIDECAR_MAX_BODY=8MB", "SIDECAR_LOG_LEVEL=info")
	spend(s)
	before := s.scrape()
	body := `{"model":"m1","x":"` + strings.Repeat("x", 1_000_000) + `"}`
	const crowd = 40
	var group sync.WaitGroup
	for range crowd {
		c := dial(t, s.proxy)
		group.Go(func() { c.send(post(chatPath, body)) })
	}
	group.Wait()
	waits := func() float64 { return s.gauge(`sidecar_queue_depth{priority="NORMAL"}`) }
	refused := func() float64 { return s.scrape().since(before)["rejections overloaded"] }
	if !until(patience, func() bool { return waits()+refused() == crowd }) {
		t.Fatalf("of %d, %v wait and %v were refused; want each to do one of both", crowd, waits(), refused())
	}
	if n := waits(); n < 4 || n > 8 {
		t.Errorf("%v bodies of 1 MB wait under a budget of 8 MB; want 4 to 8", n)
	}
	if held := s.gauge("sidecar_queue_bytes"); held > 8_000_000 {
		t.Errorf("sidecar_queue_bytes = %v; want 8,000,000 at most", held)
	}
	if most := s.memory("VmHWM"); most > 96<<10 {
		t.Errorf("the program took %d KiB at most; want less than 96 MiB", most)
	}
	got := dial(t, s.proxy).ask(post(chatPath, body)) // one more
	if got.status != 503 || got.reason() != "overloaded" || got.get("Retry-After") == "" {
		t.Errorf("one more: %s; want 503 overloaded with a Retry-After", got)
	}
	if got := dial(t, s.proxy).ask(get("/livez")); got.status != 200 {
		t.Errorf("GET /livez: %s; want 200", got)
	}
	u.wantSeen(1)
}

// TestAnnouncedBodiesThatDoNotComeTakeNoBudget: it is what came that is counted, or else a few liars close the door for 30 s.
func TestAnnouncedBodiesThatDoNotComeTakeNoBudget(t *testing.T) {
	t.Parallel()
	s := start(t, serve(t, func(x *turn) { x.ok() }), unpaced, "SIDECAR_QUEUE_MAX_BYTES=8MB", "SIDECAR_MAX_BODY=8MB")
	for range 100 {
		_, _ = stalled(t, s.proxy).Write([]byte("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 8000000\r\n\r\n{"))
	}
	if !until(patience, func() bool { return s.gauge("sidecar_queue_bytes") == 100 }) {
		t.Errorf("sidecar_queue_bytes = %v; want the 100 bytes that came", s.gauge("sidecar_queue_bytes"))
	}
	if got := dial(t, s.proxy).ask(chat()); got.status != 200 {
		t.Errorf("an honest request: %s; want 200", got)
	}
	if heap := s.gauge("go_memstats_heap_inuse_bytes"); heap > 80<<20 { // untouched memory is not resident yet
		t.Errorf("100 announcements of 8 MB took %v bytes", heap)
	}
}

// TestOneClientsFloodDoesNotStarveAnother is threat 9: who has filled the queue does not keep out, nor hold up, another agent of its class.
func TestOneClientsFloodDoesNotStarveAnother(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	u := serve(t, func(x *turn) {
		mu.Lock()
		order = append(order, number(x.body))
		mu.Unlock()
		x.ok()
	})
	s := start(t, u, slow, "SIDECAR_QUEUE_CAPACITY=200")
	for range 120 {
		_, _ = stalled(t, s.proxy).Write([]byte(post(chatPath, `{"model":"m1","n":"flood"}`, "X-Sidecar-Agent: flood")))
	}
	if !until(patience, func() bool { return s.gauge(`sidecar_queue_depth{priority="NORMAL"}`) > 90 }) {
		t.Fatal("the flood does not wait")
	}
	mu.Lock()
	had := len(order)
	mu.Unlock()
	got := dial(t, s.proxy).ask(post(chatPath, `{"model":"m1","n":"other"}`, "X-Sidecar-Agent: other"))
	mu.Lock()
	defer mu.Unlock()
	if n := len(order) - had; got.status != 200 || n > 7 {
		t.Errorf("another agent was served after %d of the flood: %s; want 7 at most", n, got)
	}
}

// TestAMassOfWaitersLeavesAtOnce is rows 19 and 54: 500 clients wait and are gone; budget, descriptors and goroutines are those of before.
func TestAMassOfWaitersLeavesAtOnce(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, "SIDECAR_LIMITS=2-M", "SIDECAR_QUEUE_CAPACITY=1000", "SIDECAR_LOG_LEVEL=info")
	spend(s)
	const crowd = 500
	before, files, routines := s.scrape(), s.descriptors(), s.gauge("go_goroutines")
	slots := s.gauge("sidecar_tokens_available")
	if got := dial(t, s.proxy).ask(chat()); got.status != 200 { // the last slot, so that everybody waits
		t.Fatalf("the second request: %s", got)
	}
	clients := make([]*client, crowd)
	for i := range clients {
		text := chat()
		if i%2 == 0 {
			text = chatStream()
		}
		clients[i] = dial(t, s.proxy)
		clients[i].send(text)
	}
	depth := func() float64 { return s.gauge(`sidecar_queue_depth{priority="NORMAL"}`) }
	if !until(patience, func() bool { return depth() == crowd }) {
		t.Fatalf("queue depth = %v; want %d", depth(), crowd)
	}
	for _, c := range clients {
		c.abort()
	}
	began := time.Now()
	if !until(patience, func() bool { return depth() == 0 }) {
		t.Errorf("queue depth = %v; want 0", depth())
	}
	if took := time.Since(began); took > soon {
		t.Errorf("it took %s until nobody waited; want %s at most", took, soon)
	}
	s.wantCounted(before, series{"requests NORMAL success": 1, "client_aborts queued": crowd})
	if held := s.gauge("sidecar_queue_bytes"); held != 0 {
		t.Errorf("sidecar_queue_bytes = %v; want 0", held)
	}
	if !until(patience, func() bool { return s.gauge("go_goroutines") <= routines+10 && s.descriptors() <= files+6 }) {
		t.Errorf("%v goroutines and %d descriptors are left; there were %v and %d before", s.gauge("go_goroutines"), s.descriptors(), routines, files)
	}
	if now := s.gauge("sidecar_tokens_available"); now < slots-1 {
		t.Errorf("sidecar_tokens_available = %v; want %v: who left unsent gave everything back", now, slots-1)
	}
	u.wantSeen(2)
}

// TestHeadsWithoutEndAreRefusedOnBothPorts is row 27 beyond one long line.
func TestHeadsWithoutEndAreRefusedOnBothPorts(t *testing.T) {
	t.Parallel()
	s := start(t, serve(t, func(x *turn) { x.ok() }), unpaced)
	var many strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&many, "X-%d: yyyyyyyyyyyy\r\n", i)
	}
	for _, address := range []string{s.proxy, s.metrics} {
		for name, text := range map[string]string{
			"5,000 lines":  "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n" + many.String() + "\r\n",
			"a long path":  "GET /" + strings.Repeat("x", 80<<10) + " HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
			"a long host":  "GET /livez HTTP/1.1\r\nHost: " + strings.Repeat("h", 80<<10) + "\r\n\r\n",
			"no line ends": strings.Repeat("x", 100<<10),
		} {
			c := dial(t, address)
			c.send(text)
			if got := c.receive("GET"); got.status < 400 || got.status >= 500 || len(got.body) > 1000 {
				t.Errorf("%s: %s; want 4xx", name, got)
			}
		}
	}
	if most := s.memory("VmHWM"); most > 80<<10 {
		t.Errorf("the program took %d KiB", most)
	}
}
