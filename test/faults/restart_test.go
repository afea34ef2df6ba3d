package faults

import (
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// kills is how many times the crash loop kills the program: -kills 50 is what a release is tried with.
var kills = flag.Int("kills", 10, "how often the crash loop kills the program")

// diary notes when requests arrive, and how late its own process may have noticed.
type diary struct {
	mu   sync.Mutex
	at   []time.Time
	late time.Duration
	stop chan struct{}
}

// newDiary starts one, which measures until the test ends how much later than planned this process wakes up: so much later may it
// have seen a request as well.
func newDiary(t *testing.T) *diary {
	d := &diary{stop: make(chan struct{})}
	done := make(chan struct{})
	t.Cleanup(func() { close(d.stop); <-done })
	go func() {
		defer close(done)
		const every = 5 * time.Millisecond
		for planned := time.Now().Add(every); ; planned = time.Now().Add(every) {
			select {
			case <-d.stop:
				return
			case <-time.After(every):
				d.mu.Lock()
				d.late = max(d.late, time.Since(planned))
				d.mu.Unlock()
			}
		}
	}()
	return d
}

func (d *diary) note() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = append(d.at, time.Now())
}

func (d *diary) count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.at)
}

// wantAtMost fails the test if more than n requests arrived within some window of that length, but for what lateness explains.
func (d *diary) wantAtMost(t *testing.T, n int, window time.Duration) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	tolerance := 100*time.Millisecond + 2*d.late // here, and on the way here
	for i := range d.at {
		if j := i + n; j < len(d.at) && d.at[j].Sub(d.at[i]) < window-tolerance {
			t.Errorf("%d requests within %s; want %d in %s (this process was up to %s late)", n+1, d.at[j].Sub(d.at[i]), n, window, d.late)
		}
	}
}

// load keeps asking whoever listens at an address, with that many clients, until it is stopped. Connections may break.
func load(address func() string, clients int, each func(conn *loader)) (stop func()) {
	done := make(chan struct{})
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if conn := connect(address(), done); conn != nil {
					each(conn)
					_ = conn.Close()
				} else {
					pause(5 * time.Millisecond)
				}
			}
		})
	}
	return func() { close(done); group.Wait() }
}

// TestNoWindowIsExceededAcrossKills is rows 47, 49 and 50: killed at random times under load, the program is back within 2 s each time, finds
// its state whole, and the upstream's log shows no window above the limit, as if it had never been away.
func TestNoWindowIsExceededAcrossKills(t *testing.T) {
	t.Parallel()
	const perSecond = 5
	perMinute := 4 * *kills // so that both windows are full for a while
	seen := newDiary(t)
	u := serve(t, func(x *turn) {
		seen.note()
		x.ok()
	})
	environ := []string{"SIDECAR_LIMITS=5-S," + itoa(perMinute) + "-M", "SIDECAR_BURST=5", "SIDECAR_STATE_DIR=" + t.TempDir(), "SIDECAR_LOG_LEVEL=info"}
	s := start(t, u, environ...)
	address := s.proxy
	stop := load(func() string { return address }, 12, func(c *loader) { c.ask(chat()) })
	defer func() { stop() }()
	dice := rand.New(rand.NewPCG(uint64(*kills), 7))
	for n := range *kills {
		sent := seen.count()
		if !until(patience, func() bool { return seen.count() > sent || sent >= perMinute }) {
			t.Fatalf("after %d kills nothing is sent", n)
		}
		pause(time.Duration(dice.IntN(700)) * time.Millisecond)
		_ = s.cmd.Process.Kill()
		s.wait(patience)
		began := time.Now()
		s = start(t, u, append(environ, "SIDECAR_LISTEN="+address)...)
		if took := time.Since(began); took > 2*soon {
			t.Errorf("kill %d: serving again after %s; want soon", n, took)
		}
		line := s.logged(`"msg":"state restored"`)
		if !strings.Contains(line, `"lost":false`) || strings.Contains(s.log.String(), "aside") {
			t.Errorf("kill %d: the state was not whole: %s", n, line)
		}
	}
	stop()
	stop = func() {}
	seen.wantAtMost(t, perSecond, time.Second)
	seen.wantAtMost(t, perMinute, time.Minute)
	if code := s.stop(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// TestAStopUnderLoadKeepsItsPromises is row 45 with 40 clients that never pause: whoever was taken in is answered, whole or with a 503 that says to
// come again; what the upstream answered reached its client; and the state is there for the next process.
func TestAStopUnderLoadKeepsItsPromises(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		if strings.Contains(x.body, `"stream":true`) {
			x.write(sseHead + chunk(event("one")))
			pause(5 * time.Millisecond)
			x.write(chunk("data: [DONE]\n\n") + "0\r\n\r\n")
			return
		}
		x.ok()
	})
	s := start(t, u, "SIDECAR_LIMITS=100-S", "SIDECAR_STATE_DIR="+t.TempDir(), "SIDECAR_LOG_LEVEL=info")
	var mu sync.Mutex
	served, told := 0, 0
	var broken []answer
	stop := load(func() string { return s.proxy }, 40, func(c *loader) {
		text := chat()
		if c.number%2 == 0 {
			text = chatStream()
		}
		for {
			got := c.ask(text)
			mu.Lock()
			switch {
			case got.status == 200 && got.whole:
				served++
			case got.status == 503 && got.reason() == "draining" && got.get("X-Should-Retry") == "true":
				told++
			case got.status != 0 || c.received > 0: // a connection that ends without a byte was not taken in
				broken = append(broken, got)
			}
			mu.Unlock()
			if got.status != 200 {
				return
			}
		}
	})
	if !until(patience, func() bool { return len(u.seen()) > 150 }) {
		t.Errorf("the upstream had %d requests", len(u.seen()))
	}
	if code := s.stop(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	stop()
	for _, got := range broken[:min(len(broken), 5)] {
		t.Errorf("an answer during the stop: %s; want it whole, or 503 draining", got)
	}
	if n := len(u.seen()); served != n || told == 0 {
		t.Errorf("the upstream answered %d, %d of them reached their clients, and %d were told to come again; want all, and some", n, served, told)
	}
}

// TestAFullDiskStopsNobody is row 49: the pace goes on in memory, and readiness, metrics and log say so. The disk is tried again once a
// minute, which internal/store tests.
func TestAFullDiskStopsNobody(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	seen := newDiary(t)
	u := serve(t, func(x *turn) { seen.note(); x.ok() })
	// A file system of its own that only the program sees: this process fills it, and makes room again, through /proc.
	command := exec.Command("unshare", "-rm", "/bin/sh", "-c", `mount -t tmpfs -o size=256k none "$1" && exec "$0" serve`, binary, dir)
	if exec.Command("unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "none", dir).Run() != nil {
		t.Skip("needs the right to mount")
	}
	s := serving(t, command, u, slow, "SIDECAR_STATE_DIR="+dir)
	inside := filepath.Join("/proc", itoa(s.cmd.Process.Pid), "root", dir, "filler")
	filler, err := os.Create(inside)
	if err != nil {
		t.Skipf("needs /proc/PID/root: %v", err)
	}
	for _, err = filler.Write(make([]byte, 1<<20)); err == nil; _, err = filler.Write([]byte{0}) {
	}
	_ = filler.Close()
	stop := load(func() string { return s.proxy }, 8, func(c *loader) { c.ask(chat()) })
	defer stop()
	degraded := func() bool { return dial(t, s.proxy).ask(get("/readyz")).status == 503 }
	if !until(patience, degraded) {
		t.Errorf("GET /readyz: %s; want 503 while the state cannot be written", dial(t, s.proxy).ask(get("/readyz?verbose")))
	}
	sent := seen.count()
	if !until(patience, func() bool { return seen.count() >= sent+2*5 }) {
		t.Errorf("with a full disk %d requests were sent; want the pace to go on", seen.count()-sent)
	}
	if v := s.gauge("sidecar_store_degraded"); v != 1 {
		t.Errorf("sidecar_store_degraded = %v; want 1", v)
	}
	s.logged(`"level":"`, "free some space")
	seen.wantAtMost(t, 5, time.Second)
	if code := s.stop(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}
