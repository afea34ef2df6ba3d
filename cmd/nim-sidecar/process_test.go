package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"nimsidecar/internal/mock"
)

// build builds the binary as it is delivered, and returns its path.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "nim-sidecar")
	cmd := exec.Command("go", "build", "-o", binary, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// program is a started binary.
type program struct {
	cmd   *exec.Cmd
	out   *output
	ended chan struct{} // closed when it has ended and all its output is there
}

// startTime is how long a program may take until it says where it listens.
const startTime = 30 * time.Second

// start runs the binary and returns it with the last group of the pattern, once its output matches. It is killed when the test ends.
func start(t *testing.T, environ []string, pattern, binary string, args ...string) (*program, string) {
	t.Helper()
	p := &program{exec.Command(binary, args...), newOutput(), make(chan struct{})}
	p.cmd.Env = environ
	p.cmd.Stdout, p.cmd.Stderr = p.out, os.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
		cancel() // what it has not said by now it will never say
	}()
	t.Cleanup(p.kill)
	return p, p.out.await(ctx, t, pattern)
}

// kill ends the program as SIGKILL does, if it has not ended.
func (p *program) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// stop sends the signal of an ordered stop and returns all that the program said, and its exit code.
func (p *program) stop(t *testing.T) (log []string, code int) {
	t.Helper()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-p.ended
	return p.log(), p.cmd.ProcessState.ExitCode()
}

// log returns the lines that the program has printed.
func (p *program) log() []string {
	return strings.Split(strings.TrimSuffix(p.out.String(), "\n"), "\n")
}

// rig is a mock and the sidecar before it.
type rig struct {
	binary   string
	environ  []string // of the sidecar
	upstream string   // the mock's base URL, without /v1
	sidecar  *program
	proxy    string // addresses of the sidecar
	metrics  string
}

// newRig starts a mock and a sidecar with these settings.
func newRig(t *testing.T, binary string, mockFlags []string, settings ...string) *rig {
	t.Helper()
	_, url := start(t, nil, `(http://[0-9.:]+)/v1`, binary, append([]string{"mock", "--listen", "127.0.0.1:0"}, mockFlags...)...)
	r := &rig{binary: binary, upstream: url, environ: append([]string{
		"SIDECAR_UPSTREAM_URL=" + url + "/v1", "SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0",
		"SIDECAR_API_KEYS=nvapi-e2e", "SIDECAR_LOG_FORMAT=json",
	}, settings...)}
	r.start(t)
	return r
}

// limited are the flags of a mock with such limits.
func limited(limits, limiter string) []string {
	return []string{"--limits", limits, "--limiter", limiter}
}

// start starts the sidecar, again where it ran before.
func (r *rig) start(t *testing.T) {
	t.Helper()
	r.sidecar, r.proxy = start(t, r.environ, `"msg":"listening","proxy":"([0-9.:]+)"`, r.binary, "serve")
	r.metrics = r.says(t, `"metrics":"([0-9.:]+)"`)
	r.says(t, `"msg":"(serving)"`)
}

// says waits until the log of the sidecar matches, and returns the last group of the match.
func (r *rig) says(t *testing.T, pattern string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	return r.sidecar.out.await(ctx, t, pattern)
}

// metric returns the value of a series, which must be there.
func (r *rig) metric(t *testing.T, series string) float64 {
	t.Helper()
	_, text := get(t, "http://"+r.metrics+"/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			x, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatalf("%s %s: %v", series, value, err)
			}
			return x
		}
	}
	t.Fatalf("the metrics have no series %s", series)
	return 0
}

// learnedLimit is the series that tells how large the window is believed to be that learning works on, here one of a second.
const learnedLimit = `sidecar_learned_limit_requests{provider="upstream",window="minute"}`

// probes returns how many probes ended with that result.
func (r *rig) probes(t *testing.T, result string) float64 {
	t.Helper()
	return r.metric(t, fmt.Sprintf(`sidecar_probes_total{provider="upstream",result=%q}`, result))
}

// ask calls a control endpoint of the mock and reads its answer.
func (r *rig) ask(t *testing.T, method, path, body string, into any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.upstream+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s %s = %d, %v", method, path, answer.StatusCode, err)
	}
}

// stats is what the mock, the judge, has counted.
func (r *rig) stats(t *testing.T) (s mock.Stats) {
	t.Helper()
	r.ask(t, http.MethodGet, "/mock/stats", "", &s)
	return s
}

// fullest returns how many the mock was asked for in the fullest of its windows, refused ones included.
func (r *rig) fullest(t *testing.T) (most int) {
	t.Helper()
	for _, scope := range r.stats(t).Scopes {
		for _, w := range scope.Windows {
			most = max(most, w.MostCharged)
		}
	}
	return most
}

// limit changes the mock's limits, and returns when.
func (r *rig) limit(t *testing.T, change string) time.Time {
	t.Helper()
	r.ask(t, http.MethodPut, "/mock/limits", change, &struct{}{})
	return time.Now()
}

// record is what the mock saw of the requests that cost quota.
type record []mock.Arrival

func (r *rig) record(t *testing.T) (all record) {
	t.Helper()
	r.ask(t, http.MethodGet, "/mock/arrivals", "", &all)
	return slices.DeleteFunc(all, func(a mock.Arrival) bool { return !a.Charged })
}

// between counts what came in a time.
func (all record) between(from, to time.Time) (accepted, refused int) {
	for _, a := range all {
		switch {
		case a.Time.Before(from) || !a.Time.Before(to):
		case a.Verdict == "quota":
			refused++
		default:
			accepted++
		}
	}
	return accepted, refused
}

// longestRow returns how many were refused in a row at most.
func (all record) longestRow() (longest int) {
	row := 0
	for _, a := range all {
		if row++; a.Verdict != "quota" {
			row = 0
		}
		longest = max(longest, row)
	}
	return longest
}

// backlog is clients of all classes, each of which asks again as soon as it is served.
type backlog struct {
	group sync.WaitGroup
	over  chan struct{}

	mu  sync.Mutex // guards the following
	all []served
}

// gather lets so many clients come.
func gather(address, model string, clients int) *backlog {
	c := &backlog{over: make(chan struct{})}
	began := time.Now()
	for i := range clients {
		class := []string{"urgent", "high", "normal", "low"}[i%4]
		c.group.Go(func() {
			pass(time.Duration(i) * 4 * time.Millisecond) // so that they do not walk in step
			for n := i; !c.isOver(); n++ {
				s := askChat(address, model, class, n%3 == 0, began)
				c.mu.Lock()
				c.all = append(c.all, s)
				c.mu.Unlock()
			}
		})
	}
	return c
}

func (c *backlog) isOver() bool {
	select {
	case <-c.over:
		return true
	default:
		return false
	}
}

// leave lets nobody ask again.
func (c *backlog) leave() { close(c.over) }

// disperse lets nobody ask again, waits until all are served, and returns what they saw.
func (c *backlog) disperse() []served {
	c.leave()
	c.group.Wait()
	return c.all
}

// wantServed wants a whole 200 for everybody: no refusal of the upstream reaches a client.
func wantServed(t *testing.T, all []served) {
	t.Helper()
	bad := 0
	for _, s := range all {
		if s.err == nil && s.status == http.StatusOK {
			continue
		}
		if bad++; bad == 1 {
			t.Errorf("a %s request = %d %.200q, error %v; want a whole 200", s.class, s.status, s.body, s.err)
		}
	}
	if bad > 0 || len(all) == 0 {
		t.Fatalf("%d of %d requests were not served", bad, len(all))
	}
}

// medianWait returns the median time that requests took.
func medianWait(all []served) time.Duration {
	waits := make([]time.Duration, len(all))
	for i, s := range all {
		waits[i] = s.done - s.sent
	}
	slices.Sort(waits)
	return waits[len(waits)/2]
}

// until waits until something is so, and reports whether it became so in time.
func until(patience time.Duration, is func() bool) bool {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !is(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// pass lets real time pass, for what is measured over it.
func pass(d time.Duration) { <-time.After(d) }
