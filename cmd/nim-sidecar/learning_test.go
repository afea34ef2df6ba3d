package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestLearningEndToEnd is what learning promises, with real processes and sockets, in real time: limits by the second, so that a dozen
// windows pass in as many seconds. All parts run at the same time, whatever -parallel says: they wait much more than they work.
func TestLearningEndToEnd(t *testing.T) {
	t.Parallel()
	binary := build(t)
	var group sync.WaitGroup
	for _, part := range []struct {
		name string
		run  func(t *testing.T, binary string)
	}{
		{"a hint that is twice the truth, windows from the first hit", func(t *testing.T, binary string) { wrongHint(t, binary, "nvidia") }},
		{"a hint that is twice the truth, a sliding window", func(t *testing.T, binary string) { wrongHint(t, binary, "sliding") }},
		{"a truth that moves, windows from the first hit", func(t *testing.T, binary string) { movingTruth(t, binary, "nvidia") }},
		{"a truth that moves, a sliding window", func(t *testing.T, binary string) { movingTruth(t, binary, "sliding") }},
		{"two models, one of them limited", twoModels},
		{"kills in the middle of sending", kills},
		{"what was learned outlives a kill", learnedOutlivesAKill},
		{"a damaged state", damagedState},
		{"nothing is learned where that is switched off", nothingLearned},
		{"a promise below the truth", promiseKept},
	} {
		group.Go(func() { t.Run(part.name, func(t *testing.T) { part.run(t, binary) }) })
	}
	group.Wait()
}

// What the law allows itself, and what limits by the second make of it: a window and its margin are 1.1 s, and while the law believes in N it
// sends N in that time, 91 % of N a second.
const (
	span       = 1100 * time.Millisecond
	youth      = 5 * span // the first windows, whose refusals are the price of not knowing
	leastUsed  = 0.7      // of a limit, in a steady state, on a machine that may be busy with other things
	budget     = 0.006    // refusals that probing may cost, as a share of attempts
	mostCredit = 4        // probes that may have been saved up for, from the deepest debt to the fullest purse
	mostChance = 3        // refusals of requests that a busy machine delivers later than the margin of 0.1 s
	mostLate   = 1        // of these, in the fullest window of an upstream

	// What a fall may cost: six refusals in a row and ten in all where the network is even, and what was under way beside them.
	longestRow    = 10
	mostAfterFall = 15

	// A rise is invisible until a probe is due. Far below what was once confirmed the first one is free; after it, from the deepest debt, 3
	// credits are due, which 15 a second earn in 40 s.
	longestBlind = 45 * time.Second

	clientCount = 40
)

// wrongHint has a limit of 20 a second, and an operator who believes in 40.
func wrongHint(t *testing.T, binary, limiter string) {
	r := newRig(t, binary, limited("20-S", limiter), "SIDECAR_LIMITS_HINT=40-S")
	r.says(t, `"msg":"(state is kept in memory)`)
	c := gather(r.proxy, model, clientCount)
	pass(12 * time.Second)
	end := time.Now()
	wantServed(t, c.disperse())

	all := r.record(t)
	from := all[0].Time.Add(youth)
	accepted, refused := all.between(from, end)
	if most := budget*float64(accepted+refused) + mostCredit + mostChance; float64(refused) > most {
		t.Errorf("after the first windows %d of %d were refused; want at most %.0f", refused, accepted+refused, most)
	}
	if want := leastUsed * 20 * end.Sub(from).Seconds(); float64(accepted) < want {
		t.Errorf("in %v after the first windows %d were accepted; want %.0f, or more", end.Sub(from), accepted, want)
	}
	if row := all.longestRow(); row > longestRow {
		t.Errorf("%d in a row were refused; want at most %d", row, longestRow)
	}
	// 22 in 1.1 s, evenly, are 20 a second.
	if learned := r.metric(t, learnedLimit); learned < 18 || learned > 23 {
		t.Errorf("%s = %v; want about 20", learnedLimit, learned)
	}
	if n := r.probes(t, "raised") + r.probes(t, "confirmed") + r.probes(t, "idle"); n == 0 {
		t.Errorf("there was no probe")
	}
	r.wantStateChanges(t)
}

// wantStateChanges wants the log to tell of every change of state that is counted, of no other, and without a gap. It stops the sidecar.
func (r *rig) wantStateChanges(t *testing.T) {
	t.Helper()
	counted := 0.0
	for _, state := range []string{"normal", "recover", "retreat"} {
		counted += r.metric(t, fmt.Sprintf(`sidecar_pacing_state_changes_total{provider="upstream",state=%q}`, state))
	}
	log, _ := r.sidecar.stop(t)
	states := map[string]string{}
	for _, line := range log {
		var entry struct{ Msg, Scope, From, To, Reason string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("log line %s: %v", line, err)
		}
		if entry.Msg != "pacing state changed" {
			continue
		}
		counted--
		before := states[entry.Scope]
		if before == "" {
			before = "NORMAL"
		}
		if entry.From != before || entry.To == before || entry.Reason == "" {
			t.Errorf("log line %s; want a change from %s, with a reason", line, before)
		}
		states[entry.Scope] = entry.To
	}
	if counted != 0 {
		t.Errorf("the counters have %v state changes more than the log", counted)
	}
}

// movingTruth has a limit that falls from 40 a second to 15 and rises again, under a load that wants all of it.
func movingTruth(t *testing.T, binary, limiter string) {
	r := newRig(t, binary, limited("40-S", limiter), "SIDECAR_LIMITS_HINT=40-S")
	c := gather(r.proxy, model, clientCount)
	pass(2 * time.Second)

	fell := r.limit(t, `{"limits":"15-S"}`)
	pass(4 * time.Second)
	all := r.record(t)
	settled := fell.Add(2 * span)
	end := time.Now()
	accepted, refused := all.between(settled, end)
	if want := 0.5 * 15 * end.Sub(settled).Seconds(); float64(accepted) < want || refused > 3 {
		t.Errorf("two windows after the fall to 15 a second %d were accepted and %d refused in %v; want %.0f, or more, and at most 3",
			accepted, refused, end.Sub(settled), want)
	}
	if _, refused := all.between(fell, end); refused > mostAfterFall {
		t.Errorf("%d were refused after the fall; want at most %d", refused, mostAfterFall)
	}
	if row := all.longestRow(); row > longestRow {
		t.Errorf("%d in a row were refused; want at most %d", row, longestRow)
	}

	rose := r.limit(t, `{"limits":"40-S"}`)
	follows := func() bool {
		accepted, _ := r.record(t).between(time.Now().Add(-2*time.Second), time.Now())
		return accepted >= 50
	}
	if !until(longestBlind, follows) {
		t.Errorf("%v after the rise to 40 a second fewer than 25 a second are sent", time.Since(rose))
	}
	wantServed(t, c.disperse())
	r.wantStateChanges(t)
}

// twoModels has a backlog on a model with a limit, and somebody of the lowest class who uses another one.
func twoModels(t *testing.T, binary string) {
	r := newRig(t, binary, limited("none", "sliding"), "SIDECAR_LIMITS_HINT=40-S")
	r.limit(t, `{"limits":"10-S","model":"scarce"}`)
	c := gather(r.proxy, "scarce", 16)
	began := time.Now()
	var free []served
	for tick := time.Tick(50 * time.Millisecond); time.Since(began) < 8*time.Second; <-tick {
		free = append(free, askChat(r.proxy, "plenty", "low", false, began))
	}
	scarce := c.disperse()
	wantServed(t, scarce)
	wantServed(t, free)
	if wait, queued := medianWait(free), medianWait(scarce); wait > 100*time.Millisecond || queued < 5*wait {
		t.Errorf("median waits = %v beside %v on the model with a limit; want nearly none beside a queue", wait, queued)
	}
	if n := r.metric(t, `sidecar_quota_refusals_total{provider="upstream",scope="account"}`); n != 0 {
		t.Errorf("%v refusals were put down to the account; want none", n)
	}
	for _, s := range r.stats(t).Scopes {
		if s.Model == "plenty" && (s.Refused != 0 || s.Accepted != len(free)) {
			t.Errorf("of %d requests for the model without a limit %d were accepted and %d refused", len(free), s.Accepted, s.Refused)
		}
	}
}

// kills ends a sidecar again and again while it sends, and starts another one on the same state at once. All of that happens within
// one window of the limit, so that nothing that was sent may be forgotten.
func kills(t *testing.T, binary string) {
	dir := t.TempDir()
	r := newRig(t, binary, append(limited("30-M", "sliding"), "--service", "20ms"),
		"SIDECAR_LIMITS=30-M", "SIDECAR_BURST=30", "SIDECAR_STATE_DIR="+dir)
	began := time.Now()
	for _, enough := range []int{4, 8, 12, 16, 20, 24} {
		c := gather(r.proxy, model, 5)
		if !until(startTime, func() bool { return r.stats(t).Accepted >= enough }) {
			t.Fatalf("after %v the mock has accepted %d; want %d", time.Since(began), r.stats(t).Accepted, enough)
		}
		pass(rand.N(5 * time.Millisecond))
		c.leave()
		r.sidecar.kill()
		c.group.Wait()
		r.start(t)
		restored := r.says(t, `"msg":"state restored".*"charges":(\d+),"lost":false`)
		if n, _ := strconv.Atoi(restored); n < r.stats(t).Accepted || n > 30 {
			t.Errorf("%d charges are restored; want at least the %d that the mock has accepted, and no more than the limit", n, r.stats(t).Accepted)
		}
	}

	ctx, cancel := context.WithTimeout(t.Context(), startTime)
	defer cancel()
	second := exec.CommandContext(ctx, binary, "serve")
	second.Env = r.environ
	out, err := second.CombinedOutput()
	if code := second.ProcessState.ExitCode(); err == nil || code != exitFailed ||
		!strings.Contains(string(out), "the state directory "+dir+" is in use by another process: stop that one, or give this one a state_dir of its own") {
		t.Errorf("a second sidecar on the same directory = %d, %s; want %d and a sentence that says why", code, out, exitFailed)
	}

	c := gather(r.proxy, model, 8)
	until(5*time.Second, func() bool { return r.stats(t).Accepted == 30 })
	pass(2 * time.Second)
	c.leave()
	r.sidecar.kill()
	c.group.Wait()
	if passed := time.Since(began); passed > 55*time.Second {
		t.Fatalf("the test took %v; it shows something within a minute only", passed)
	}
	// What was charged at a kill and not sent yet is lost: some of the five that were there.
	if stats, most := r.stats(t), r.fullest(t); stats.Refused != 0 || most > 30 || stats.Accepted < 20 {
		t.Errorf("the mock has accepted %d and refused %d, its fullest window held %d; want most of the 30 that are allowed, 0 and at most 30",
			stats.Accepted, stats.Refused, most)
	}
}

// learnedOutlivesAKill ends a sidecar that has learned, and looks what the next one knows.
func learnedOutlivesAKill(t *testing.T, binary string) {
	r := newRig(t, binary, limited("20-S", "sliding"), "SIDECAR_LIMITS_HINT=40-S", "SIDECAR_STATE_DIR="+t.TempDir())
	c := gather(r.proxy, model, clientCount)
	pass(6 * time.Second)
	learned := r.metric(t, learnedLimit)
	c.leave()
	r.sidecar.kill()
	c.group.Wait()

	r.start(t)
	r.says(t, `"msg":"(state restored)","state_dir":"[^"]+","scopes":[1-9]`)
	// It is written down every second, and a window may have moved it by a probe since.
	if again := r.metric(t, learnedLimit); again < learned-2 || again > learned+2 {
		t.Errorf("%s = %v after the restart, %v before; want the same, or nearly", learnedLimit, again, learned)
	}
	began := time.Now()
	c = gather(r.proxy, model, clientCount)
	pass(2 * time.Second)
	accepted, refused := r.record(t).between(began, began.Add(2*time.Second))
	if accepted < 25 || refused > mostChance {
		t.Errorf("in the first 2 s after the restart %d were accepted and %d refused; want the pace of before, 25 or more, and at most %d",
			accepted, refused, mostChance)
	}
	wantServed(t, c.disperse())
}

// damagedState ends a sidecar, destroys what it knew, and starts another one.
func damagedState(t *testing.T, binary string) {
	dir := t.TempDir()
	r := newRig(t, binary, limited("30-M", "sliding"), "SIDECAR_LIMITS=30-M", "SIDECAR_BURST=10", "SIDECAR_STATE_DIR="+dir)
	c := gather(r.proxy, model, 8)
	until(startTime, func() bool { return r.stats(t).Accepted >= 10 })
	c.leave()
	r.sidecar.kill()
	c.group.Wait()
	before := r.stats(t).Accepted
	files, err := filepath.Glob(filepath.Join(dir, "state.db*")) // the journal alone would bring all of it back
	if err != nil || len(files) == 0 {
		t.Fatalf("files of the state: %q, %v", files, err)
	}
	for _, file := range files {
		if err := os.WriteFile(file, []byte(strings.Repeat("not a database ", 1000)), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	began := time.Now()
	r.start(t)
	r.says(t, `"level":"(?:WARN|ERROR)","msg":"(the state was damaged)`)
	r.says(t, `"msg":"(state restored)".*"lost":true`)
	c = gather(r.proxy, model, 8)
	pass(7 * time.Second)
	c.leave()
	r.sidecar.kill()
	c.group.Wait()
	stats := r.stats(t)
	// As if 30 had been sent evenly: one leaves the window every 2 s.
	sent, most := stats.Accepted-before, int(time.Since(began)/(2*time.Second))
	if sent < 1 || sent > most || stats.Refused != 0 {
		t.Errorf("after the damage %d were sent in %v and %d refused; want 1 to %d, and none", sent, time.Since(began), stats.Refused, most)
	}
}

// nothingLearned has an operator who wants exactly what he says, although the truth is half of it.
func nothingLearned(t *testing.T, binary string) {
	r := newRig(t, binary, limited("10-S", "sliding"), "SIDECAR_LIMITS_HINT=20-S", "SIDECAR_ADAPTIVE=false")
	given := r.metric(t, "sidecar_effective_rate_rpm")
	c := gather(r.proxy, model, 20)
	pass(6 * time.Second)
	now := time.Now()
	if rate := r.metric(t, "sidecar_effective_rate_rpm"); rate != given || rate == 0 {
		t.Errorf("sidecar_effective_rate_rpm = %v after a while, %v before; want the same", rate, given)
	}
	for series, n := range map[string]float64{
		"probes": r.probes(t, "raised") + r.probes(t, "confirmed") + r.probes(t, "idle"), learnedLimit: r.metric(t, learnedLimit),
	} {
		if n != 0 {
			t.Errorf("%s = %v; want none", series, n)
		}
	}
	wantServed(t, c.disperse())
	if _, refused := r.record(t).between(now.Add(-2*time.Second), now); refused == 0 {
		t.Errorf("nothing was refused in the last 2 s; want refusals, since nothing is learned from them")
	}
	if most := r.fullest(t); most > 20+mostLate {
		t.Errorf("a window of a second held %d; want at most the 20 that were given", most)
	}
	if strings.Contains(r.sidecar.out.String(), "pacing state changed") {
		t.Error("the log tells of a change of state")
	}
}

// promiseKept has an operator who promises a tenth of what the upstream would take.
func promiseKept(t *testing.T, binary string) {
	r := newRig(t, binary, limited("100-S", "sliding"), "SIDECAR_LIMITS=10-S")
	c := gather(r.proxy, model, 20)
	began := time.Now()
	pass(8 * time.Second)
	accepted, _ := r.record(t).between(began, began.Add(8*time.Second))
	wantServed(t, c.disperse())
	if most := r.fullest(t); most > 10+mostLate || r.stats(t).Refused != 0 {
		t.Errorf("a window of a second held %d and %d were refused; want at most 10, and none", most, r.stats(t).Refused)
	}
	if least, most := leastUsed*10*8, 10*8; float64(accepted) < least || accepted > most { // 8 s are less than 8 spans
		t.Errorf("%d were accepted in 8 s; want %.0f to %d", accepted, least, most)
	}
	if learned, raised := r.metric(t, learnedLimit), r.probes(t, "raised"); learned != 10 || raised != 0 {
		t.Errorf("%s = %v after %v raises; want 10 and none", learnedLimit, learned, raised)
	}
}
