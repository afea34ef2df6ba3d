package faults

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestAnOrderedStopCutsNobody is row 45.
func TestAnOrderedStopCutsNobody(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	u := serve(t, func(x *turn) {
		if number(x.body) == "quick" {
			x.ok()
			return
		}
		x.write(sseHead + chunk(event("one")))
		<-proceed
		x.write(chunk(event("two")+"data: [DONE]\n\n") + "0\r\n\r\n")
	})
	s := start(t, u, "SIDECAR_LIMITS=2-M", "SIDECAR_SHUTDOWN_TIMEOUT=10s")
	dial(t, s.proxy).ask(numbered("quick"))
	stream := dial(t, s.proxy)
	stream.send(chatStream())
	if !until(patience, func() bool { return strings.Contains(stream.received.String(), "one") }) {
		t.Fatal("the stream does not begin")
	}
	queued := make([]*client, 3)
	for i := range queued {
		queued[i] = waiting(s, chat(), "NORMAL")
	}
	idle := dial(t, s.proxy)
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	drained := func(got answer) bool {
		return got.status == 503 && got.reason() == "draining" && got.get("Retry-After") == "1" && got.get("X-Should-Retry") == "true"
	}
	for i, c := range queued {
		if got := c.receive("POST"); !drained(got) {
			t.Errorf("waiting request %d: %s; want 503 draining, to be sent again after 1 s", i, got)
		}
	}
	for _, c := range []*client{idle, dial(t, s.proxy)} {
		if got := c.ask(chat()); !drained(got) {
			t.Errorf("a request that comes during the stop: %s; want 503 draining", got)
		}
	}
	if got := dial(t, s.proxy).ask(get("/readyz")); got.status != 503 {
		t.Errorf("GET /readyz during the stop: %s; want 503", got)
	}
	if got := dial(t, s.proxy).ask(get("/livez")); got.status != 200 {
		t.Errorf("GET /livez during the stop: %s; want 200", got)
	}
	close(proceed)
	if got := stream.receive("POST"); !got.whole || !strings.HasSuffix(got.body, "data: [DONE]\n\n") || !strings.Contains(got.body, "two") {
		t.Errorf("the running stream: %s; want it to end whole", got)
	}
	if code := s.wait(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	if n := strings.Count(s.log.String(), `"msg":"request"`); n != 7 {
		t.Errorf("the log has %d request lines; want 7", n)
	}
	u.wantSeen(2)
}

// TestAStopThatTakesTooLongIsToldInTheStream is the rest of row 45.
func TestAStopThatTakesTooLongIsToldInTheStream(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		if strings.Contains(x.body, `"stream":true`) {
			x.write(sseHead + chunk(event("one")))
		}
		x.hold()
	})
	s := start(t, u, unpaced, "SIDECAR_SHUTDOWN_TIMEOUT=300ms")
	stream, plain := dial(t, s.proxy), dial(t, s.proxy)
	stream.send(chatStream())
	plain.send(chat())
	u.wantSeen(2)
	if !until(patience, func() bool { return strings.Contains(stream.received.String(), "one") }) {
		t.Fatal("the stream does not begin")
	}
	began := time.Now()
	if code := s.stop(patience); code != 0 || time.Since(began) > soon {
		t.Errorf("exit code %d after %s; want 0 soon after 300 ms", code, time.Since(began))
	}
	if got := stream.receive("POST"); got.whole || !strings.Contains(got.body, "draining") || strings.Contains(got.body, "[DONE]") {
		t.Errorf("the stream: %s; want an error event and a cut", got)
	}
	if got := plain.receive("POST"); got.status != 503 || got.reason() != "draining" {
		t.Errorf("a request without an answer: %s; want 503 draining", got)
	}
	s.logged("request", `"reason":"draining"`, `"stream":true`)
}

// TestAHangUpSignalTouchesNoStream is row 46.
func TestAHangUpSignalTouchesNoStream(t *testing.T) {
	t.Parallel()
	proceed := make(chan struct{})
	u := serve(t, func(x *turn) {
		x.write(sseHead + chunk(event("one")))
		<-proceed
		x.write(chunk("data: [DONE]\n\n") + "0\r\n\r\n")
	})
	s := start(t, u, unpaced)
	c := dial(t, s.proxy)
	c.send(chatStream())
	u.wantSeen(1)
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.logged("settings read again")
	close(proceed)
	if got := c.receive("POST"); !got.whole || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
		t.Errorf("the stream: %s; want it whole", got)
	}
}

// TestAKilledSidecarServesAgainAtOnce is row 47 as far as it goes without a state on disk.
func TestAKilledSidecarServesAgainAtOnce(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		if strings.Contains(x.body, `"stream":true`) {
			x.write(sseHead + chunk(event("one")))
			x.hold()
			return
		}
		x.ok()
	})
	first := start(t, u, unpaced)
	for range 20 { // old connections, which the killed process leaves behind
		dial(t, first.proxy).send(chatStream())
		dial(t, first.proxy)
	}
	u.wantSeen(20)
	_ = first.cmd.Process.Kill()
	first.wait(patience)
	began := time.Now()
	second := start(t, u, unpaced, "SIDECAR_LISTEN="+first.proxy, "SIDECAR_METRICS_LISTEN="+first.metrics)
	if got := dial(t, second.proxy).ask(chat()); got.status != 200 || time.Since(began) > soon {
		t.Errorf("after a restart on the same ports: %s after %s; want 200 soon", got, time.Since(began))
	}
	if !until(soon, func() bool { _, open := u.connections(); return open <= 1 }) {
		t.Errorf("the killed process leaves connections to the upstream open")
	}
}

// TestABadStartSaysWhatIsWrong is row 48 and threat 6.
func TestABadStartSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	taken := listenTCP(t)
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte("listen: 127.0.0.1:0\nqueue:\n  capacty: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		environ []string
		code    int
		says    []string
	}{
		{"an unknown key", []string{"SIDECAR_CONFIG=" + file}, 78, []string{"config.yaml:3", "capacty", "capacity"}},
		{"a value that is none", []string{"SIDECAR_LIMITS=40-X"}, 78, []string{"SIDECAR_LIMITS", "40-X"}},
		{"two mistakes", []string{"SIDECAR_MAX_WAIT=long", "SIDECAR_OVERFLOW=maybe"}, 78, []string{"SIDECAR_MAX_WAIT", "SIDECAR_OVERFLOW"}},
		{"a file that is not there", []string{"SIDECAR_CONFIG=/nonexistent.yaml"}, 78, []string{"/nonexistent.yaml"}},
		{"a key that is none", []string{"SIDECAR_API_KEYS=" + canaryKey + "\n" + canaryKey}, 78, []string{"SIDECAR_API_KEYS"}},
		{"a taken port", []string{"SIDECAR_LISTEN=" + taken.Addr().String()}, 69, []string{taken.Addr().String(), "listen"}},
		{"a taken metrics port", []string{"SIDECAR_METRICS_LISTEN=" + taken.Addr().String()}, 69, []string{taken.Addr().String(), "metrics_listen"}},
		{"all interfaces", []string{"SIDECAR_LISTEN=:0"}, 78, []string{"SIDECAR_ALLOW_OPEN"}},
		{"another address than loopback", []string{"SIDECAR_LISTEN=0.0.0.0:0"}, 78, []string{"SIDECAR_ALLOW_OPEN"}},
		{"all interfaces in IPv6", []string{"SIDECAR_LISTEN=[::]:0"}, 78, []string{"SIDECAR_ALLOW_OPEN"}},
		{"metrics on all interfaces", []string{"SIDECAR_METRICS_LISTEN=:0"}, 78, []string{"SIDECAR_ALLOW_OPEN"}},
		{"all interfaces with client keys", []string{"SIDECAR_LISTEN=:0", "SIDECAR_CLIENT_KEYS=me:0123456789abcdef0123"}, 0, nil},
		{"all interfaces on purpose", []string{"SIDECAR_LISTEN=:0", "SIDECAR_ALLOW_OPEN=true"}, 0, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			base := []string{"SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0", "SIDECAR_API_KEYS=" + canaryKey}
			s := launch(t, append(base, test.environ...)...)
			if test.code == 0 {
				s.logged(`"msg":"serving"`)
				if code := s.stop(patience); code != 0 {
					t.Errorf("exit code %d; want 0", code)
				}
				return
			}
			code := s.wait(patience)
			if code != test.code {
				t.Errorf("exit code %d; want %d: %s", code, test.code, s.log)
			}
			for _, part := range test.says {
				if !strings.Contains(s.log.String(), part) {
					t.Errorf("it says %q; want it to name %q", s.log, part)
				}
			}
		})
	}
}

// TestUglyRequestsLeaveNothingOpen is row 54.
func TestUglyRequestsLeaveNothingOpen(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		switch number(x.body) {
		case "reset":
			x.write(sseHead + chunk(event("one")))
			x.conn.reset()
		case "close":
			x.close()
		case "hold":
			x.hold()
		case "stray":
			x.write(answerTo("1") + answerTo("2"))
		default:
			x.ok()
		}
	})
	s := start(t, u, unpaced)
	ugly := func(i int) {
		c := dial(t, s.proxy)
		switch i % 10 {
		case 0, 1, 2:
			c.ask(numbered([]string{"reset", "close", "stray"}[i%10]))
		case 3:
			c.send(numbered("hold"))
			c.abort()
		case 4:
			c.send("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nhalf")
			c.half()
			c.receive("POST")
		case 5:
			c.send("nonsense\r\n\r\n")
			c.receive("GET")
		case 6:
			c.ask(get("/v1/models", "Host: evil.example"))
		case 7:
			c.ask(get("/v1/models", "Connection: Upgrade", "Upgrade: h2c"))
		case 8:
			c.ask(chat("X-Sidecar-Priority: nonsense"))
		case 9:
			c.ask(chat())
		}
		_ = c.Close()
	}
	settled := func() int {
		n, last := 0, -1
		until(patience, func() bool {
			_, open := u.connections()
			pause(20 * time.Millisecond)
			n, last = s.descriptors(), n
			return open <= 2 && n == last
		})
		return n
	}
	for i := range 20 {
		ugly(i)
	}
	before, routines := settled(), s.gauge("go_goroutines")
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 100 {
				ugly(worker*100 + i)
			}
		})
	}
	group.Wait()
	if after := settled(); after > before+4 {
		t.Errorf("400 ugly requests: %d descriptors before, %d after", before, after)
	}
	if after := s.gauge("go_goroutines"); after > routines+10 {
		t.Errorf("400 ugly requests: %v goroutines before, %v after", routines, after)
	}
}

// TestManyIdleConnectionsStopNobody is row 33, in a light form.
func TestManyIdleConnectionsStopNobody(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	for range 300 {
		stalled(t, s.proxy)
	}
	if got := dial(t, s.proxy).ask(chat()); got.status != 200 {
		t.Errorf("with 300 idle connections: %s; want 200", got)
	}
	if got := dial(t, s.metrics).ask(get("/livez")); got.status != 200 {
		t.Errorf("the metrics port with 300 idle connections: %s; want 200", got)
	}
	if n := s.gauge("sidecar_open_connections"); n < 300 {
		t.Errorf("sidecar_open_connections = %v; want 300 and more", n)
	}
}
