package faults

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// soak is how long TestASoakLeavesNothingBehind goes on; 0 leaves it out. `make soak` gives it ten minutes.
var soak = flag.Duration("soak", 0, "how long the soak goes on")

// vitals are what must stay flat.
type vitals struct{ files, routines, memory float64 } // memory in KiB

// TestASoakLeavesNothingBehind is row 54, over a long time with -soak (make soak): 200 clients that ask, leave, abort and err, an upstream that refuses, fails and breaks, and
// settings that change all the while. Descriptors, goroutines and resident memory must be as flat in the last quarter as in the
// second one, and go back when everybody has left.
func TestASoakLeavesNothingBehind(t *testing.T) {
	length, clients := *soak, 200
	if length == 0 { // among the other tests: too short and too gentle to tell what is flat, but all must go back
		t.Parallel()
		length, clients = 5*time.Second, 20
	}
	u := serve(t, badDay)
	s := start(t, u, "SIDECAR_LIMITS=400-S", "SIDECAR_QUEUE_CAPACITY=100", "SIDECAR_LOG_LEVEL=info", "SIDECAR_STATE_DIR="+t.TempDir(), "SIDECAR_MAX_WAIT=2s")
	s.change(`"log":{"level":"error"}`) // of a million requests
	base := s.vitals()
	var answers [600]atomic.Int64 // by status; 0 are those that the client broke off
	stop := load(func() string { return s.proxy }, clients, func(c *loader) { answers[misbehave(c)].Add(1) })
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	var samples []vitals
	for n := 0; time.Since(began) < length; n++ {
		<-tick.C
		samples = append(samples, s.vitals())
		u.forget()
		if n%60 == 0 {
			all := s.scrape()
			t.Logf("after %s: %+v, of which heap %.0f MiB in use, %.0f MiB idle", time.Since(began).Round(time.Second), samples[n],
				all["go_memstats_heap_inuse_bytes"]/(1<<20), all["go_memstats_heap_idle_bytes"]/(1<<20))
		}
		if n%2 == 0 {
			_ = s.cmd.Process.Signal(syscall.SIGHUP)
		} else {
			s.change(fmt.Sprintf(`"queue":{"capacity":%d}`, 90+n%20))
		}
	}
	stop()
	quarter := len(samples) / 4
	early, late := average(samples[quarter:2*quarter]), average(samples[len(samples)-quarter:])
	if !until(2*patience, func() bool { v := s.vitals(); return v.files <= base.files+10 && v.routines <= base.routines+20 }) {
		t.Errorf("with everybody gone there are %+v; at the start there were %+v", s.vitals(), base)
	}
	t.Logf("%s, %d clients: at the start %+v, second quarter %+v, last quarter %+v, at the end %+v", length, clients, base, early, late, s.vitals())
	for status := range answers {
		if n := answers[status].Load(); n > 0 {
			t.Logf("answers with status %d: %d", status, n)
		}
	}
	for name, pair := range map[string][2]float64{
		"descriptors": {early.files, late.files}, "goroutines": {early.routines, late.routines}, "KiB of resident memory": {early.memory, late.memory},
	} {
		if *soak > 0 && pair[1] > pair[0]*1.1+20 {
			t.Errorf("%s: %.0f in the second quarter, %.0f in the last one; want it flat", name, pair[0], pair[1])
		}
	}
	if code := s.stop(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// vitals reads them.
func (s *sidecar) vitals() vitals {
	return vitals{float64(s.descriptors()), s.gauge("go_goroutines"), float64(s.memory("VmRSS"))}
}

func average(all []vitals) (mean vitals) {
	for _, v := range all {
		mean.files += v.files / float64(len(all))
		mean.routines += v.routines / float64(len(all))
		mean.memory += v.memory / float64(len(all))
	}
	return mean
}

// change changes settings through the API; a reload may come between.
func (s *sidecar) change(settings string) {
	c := dial(s.t, s.proxy)
	defer c.Close()
	current := c.ask(get(apiPath + "settings"))
	_, rest, _ := strings.Cut(current.body, `"version":`)
	version, _, _ := strings.Cut(rest, ",")
	body := `{"version":` + version + `,"settings":{` + settings + `}}`
	if got := c.ask(build("PATCH", apiPath+"settings", []string{fmt.Sprintf("Content-Length: %d", len(body))}, body)); got.status != 200 && got.status != 409 {
		s.t.Errorf("PATCH settings: %s; want 200", got)
	}
}

// forget lets go of the requests so far, which a soak would fill the memory with.
func (u *upstream) forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests = nil
}

// badDay is an upstream of which every tenth answer goes wrong.
func badDay(x *turn) {
	stream := strings.Contains(x.body, `"stream":true`)
	switch rand.IntN(40) {
	case 0:
		x.reply("503 Busy", "", "busy")
	case 1:
		x.close()
	case 2:
		x.write("garbage\r\n\r\n")
		x.close()
	case 3:
		x.write(sseHead + chunk(event("one")))
		x.conn.reset()
	case 4:
		x.reply("400 Bad", "Content-Type: application/json", `{"error":{"message":"no"}}`)
	default:
		if !stream {
			x.ok()
			return
		}
		x.write(sseHead)
		for range 5 {
			x.write(chunk(event("word")))
			pause(2 * time.Millisecond)
		}
		x.write(chunk("data: [DONE]\n\n") + "0\r\n\r\n")
	}
}

// misbehave is one thing that a client does on a new connection; it returns the status that it got.
func misbehave(c *loader) int {
	pause(time.Duration(rand.IntN(400)) * time.Millisecond)
	switch rand.IntN(10) {
	case 0: // leaves at once
		c.send(chat())
	case 1: // leaves in mid-stream, or in the queue
		c.send(chatStream())
		pause(time.Duration(rand.IntN(20)) * time.Millisecond)
	case 2: // half a body
		text := chat()
		c.send(text[:len(text)-5])
	case 3:
		return c.ask(chat("X-Sidecar-Priority: nonsense")).status
	case 4:
		return c.ask(get("/v1/models", "Host: evil.example")).status
	case 5: // a conversation on one connection
		for range 3 {
			if got := c.ask(chatStream()); got.status != 200 || !got.whole {
				return got.status
			}
		}
	case 6, 7:
		return c.ask(chatStream()).status
	default:
		return c.ask(chat("X-Sidecar-Agent: agent-" + itoa(rand.IntN(1000)))).status
	}
	return 0
}
