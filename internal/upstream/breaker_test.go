package upstream

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/memnet"
)

// laneOf is a lane of the rig's provider.
func laneOf(model string) limit.Scope {
	return limit.Scope{Provider: "up", Account: "client-none", Model: model}
}

// broken is an outcome without an answer, and answered one with.
func broken(f hint.Fault) hint.Outcome   { return hint.Failed(f) }
func answered(c hint.Class) hint.Outcome { return hint.Outcome{Class: c, Status: 200} }

// TestWhatOpensABreaker: each outcome, ten times in a row.
func TestWhatOpensABreaker(t *testing.T) {
	t.Parallel()
	type effect struct{ whole, model, holds bool } // out of use, and whether requests without an alternative are held
	failing, absent := effect{model: true, holds: true}, effect{model: true}
	want := map[hint.Class]effect{
		hint.Transient: failing, hint.UpstreamError: failing, hint.Degraded: failing, hint.Inactive: failing, hint.Offline: absent, hint.Gone: absent,
	}
	for class := range hint.Class(hint.ClassCount) {
		if class == hint.Broken {
			continue
		}
		var b breaker
		for i := range 10 {
			b.note(at(float64(100*i)), at(float64(100*i)), "m", answered(class))
		}
		now := at(900)
		if got := (effect{b.whole.out(now), b.down(now, "m"), !b.held(now, "m").IsZero()}); got != want[class] || b.down(now, "other") {
			t.Errorf("%s ten times: %+v; want %+v, and nothing for another model", class, got, want[class])
		}
	}
	lost := effect{true, true, true}
	for fault, want := range map[hint.Fault]effect{
		hint.FaultConnect: lost, hint.FaultDNS: lost, hint.FaultTLS: lost, hint.FaultNoResponse: lost, hint.FaultProtocol: lost,
		hint.FaultReset: {}, hint.FaultShortBody: {}, hint.FaultHeadTimeout: {}, hint.FaultIdle: {},
	} {
		var b breaker
		for i := range 10 {
			b.note(at(float64(100*i)), at(float64(100*i)), "m", broken(fault))
		}
		now := at(900)
		if got := (effect{b.whole.out(now), b.down(now, "m"), !b.held(now, "m").IsZero()}); got != want || b.down(now, "other") != want.whole {
			t.Errorf("%s ten times: %+v; want %+v", fault, got, want)
		}
	}
}

func TestOnlyFaultsInARowOpenABreaker(t *testing.T) {
	t.Parallel()
	for _, between := range []hint.Class{hint.OK, hint.Quota, hint.ClientError, hint.KeyDead, hint.WorkerExhausted} {
		var b breaker
		for i := range 40 {
			o := broken(hint.FaultConnect)
			if i%5 == 4 {
				o = answered(between)
			}
			b.note(epoch, epoch, "m", o)
		}
		if b.down(epoch, "m") || b.failing.Load() {
			t.Errorf("four faults and one %s in turn: it is open", between)
		}
	}
	var b breaker
	for range 5 {
		b.note(epoch, epoch, "m", broken(hint.FaultConnect))
		b.note(epoch, epoch, "m", answered(hint.Cancelled)) // says nothing
	}
	if !b.down(epoch, "m") {
		t.Error("five faults with hang-ups of clients between: it is not open")
	}
}

func TestAnOpenBreakerLetsOneRequestAtATimeTry(t *testing.T) {
	t.Parallel()
	var b breaker
	for range unreachable.after {
		b.note(epoch, epoch, "m", broken(hint.FaultConnect))
	}
	until := b.held(epoch, "m")
	if wait := until.Sub(epoch); wait < unreachable.first || wait > unreachable.first*6/5 {
		t.Fatalf("held for %s; want %s and up to a fifth more", wait, unreachable.first)
	}
	if b.enter(until.Add(-1), "m") {
		t.Error("an attempt may begin before the pause is over")
	}
	entered := 0
	for _, model := range []string{"m", "other", "m"} {
		if b.held(until, "m").IsZero() && b.enter(until, model) {
			entered++
		}
	}
	if entered != 1 {
		t.Errorf("%d requests try it at once; want 1", entered)
	}
	if c := b.note(until.Add(1), until, "m", answered(hint.Quota)); !c.wholeBack || !b.held(until, "m").IsZero() || b.failing.Load() {
		t.Errorf("after an answer: %+v; want it back, since a refusal is an answer", c)
	}
}

// TestAnOpenBreakerIsNeverStuck drives one with random outcomes at random times. Whatever came before, requests that keep coming get
// through within the longest pause, and the first good answer lets all of them through.
func TestAnOpenBreakerIsNeverStuck(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 4))
	longest := time.Minute * 12 / 10
	for range 300 {
		var b breaker
		now := epoch
		for range 200 {
			now = now.Add(time.Duration(r.Int64N(int64(20 * time.Second))))
			model := fmt.Sprint("m", r.IntN(3))
			b.enter(now, model)
			o := answered(hint.Class(r.IntN(hint.ClassCount)))
			if o.Class == hint.Broken {
				o = broken(unreached[r.IntN(len(unreached))])
			}
			b.note(now, now.Add(-time.Duration(r.Int64N(int64(time.Minute)))), model, o)
			if until := b.held(now, model); until.Sub(now) > longest {
				t.Fatalf("held for %s; want at most %s", until.Sub(now), longest)
			}
		}
		for _, model := range []string{"m0", "m1", "m2"} {
			if until := b.held(now, model); !until.IsZero() {
				now = until
			}
			if !b.enter(now, model) {
				t.Fatalf("the request for %s that is due may not try", model)
			}
			b.note(now, now, model, answered(hint.OK))
		}
		if b.failing.Load() || !b.held(now, "m0").IsZero() {
			t.Fatal("after good answers of all models it is not closed")
		}
	}
}

func TestTheModelsThatABreakerRemembersAreBounded(t *testing.T) {
	t.Parallel()
	var b breaker
	for i := range 3 * maxAiling {
		b.note(epoch, epoch, fmt.Sprint(i), answered(hint.Degraded))
	}
	if got := len(b.models); got > maxAiling {
		t.Errorf("%d models are remembered; want at most %d", got, maxAiling)
	}
}

func TestAProviderThatGoesAndComesBackIsSeenByItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		network := new(memnet.Network)
		table := newTable(t, Provider{URL: parseURL(t, "http://"+host+"/v1")}, network.DialContext)
		table.logger = slog.New(slog.NewTextHandler(&log, nil))
		defer table.Close()
		for range unreachable.after {
			if !table.Enter(time.Now(), laneOf("model")) {
				t.Fatal("held before it was out")
			}
			post(t.Context(), table, "hello").Close()
		}
		until := table.Held(time.Now(), laneOf("model"))
		if until.IsZero() || table.Enter(time.Now(), laneOf("model")) {
			t.Error("a provider that cannot be reached is not held")
		}
		if v := table.View()[0]; v.Reason != "connect" || v.Since != time.Now() || v.Until != until {
			t.Errorf("View = %+v; want it out until %s", v, until)
		}
		l, err := network.Listen(host)
		if err != nil {
			t.Fatal(err)
		}
		stop := serve(l, replies(ok, false))
		defer stop()
		time.Sleep(time.Until(until))
		if !table.Enter(time.Now(), laneOf("model")) {
			t.Error("the request that is due may not try")
		}
		a := post(t.Context(), table, "hello")
		defer a.Close()
		if !table.Held(time.Now(), laneOf("model")).IsZero() || table.View()[0].Since != (time.Time{}) {
			t.Error("an answer does not bring the provider back")
		}
		lines := strings.Count(log.String(), "\n")
		if lines != 2 || !strings.Contains(log.String(), "provider cannot be reached") || !strings.Contains(log.String(), "provider is back") {
			t.Errorf("log = %q; want that it went and that it is back", log.String())
		}
	})
}

func TestTheListOfModelsAndReadinessBringAProviderBack(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, replies(ok, false), func(r *rig) {
		p := r.first
		for range unreachable.after {
			p.breaker.note(time.Now(), time.Now(), "m", broken(hint.FaultConnect))
		}
		if err := r.Ping(r.t.Context()); err != nil || !r.Held(time.Now(), laneOf("m")).IsZero() {
			t.Errorf("Ping = %v, held until %s; want none", err, r.Held(time.Now(), laneOf("m")))
		}
	})
}

func TestADeadPooledConnectionIsNoFaultOfTheProvider(t *testing.T) {
	t.Parallel()
	for range 3 {
		bubble(t, Provider{}, func(c net.Conn) {
			replies(ok, true)(c) // answers once and closes
		}, func(r *rig) {
			for range 10 {
				r.post().Close()
			}
			if !r.Held(time.Now(), laneOf("model")).IsZero() {
				t.Error("the provider is held")
			}
		})
	}
}

// BenchmarkHeld is both questions that are asked for each slot. Budget: 30 ns, no allocation while nothing fails.
func BenchmarkHeld(b *testing.B) {
	table := newTable(b, Provider{URL: parseURL(b, "https://up.test")}, nil)
	lane, now := laneOf("m"), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if !table.Held(now, lane).IsZero() || !table.Enter(now, lane) {
			b.Fatal("held")
		}
	}
}
