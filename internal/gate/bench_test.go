package gate

import (
	"strconv"
	"testing"
	"time"
	"unsafe"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
)

// tap is a Budget that costs next to nothing, so that only the gate is measured: models named shut have no slot before an hour has
// passed, model drip has one whenever drops says so, all others always.
type tap struct {
	drops int
	hold  quota.Hold
	later time.Time
}

func newTap() *tap { return &tap{later: time.Now().Add(time.Hour)} }

func (b *tap) Reserve(_ time.Time, lane limit.Scope, _ quota.Claim) (*quota.Hold, quota.Readiness) {
	switch {
	case lane.Model == "drip" && b.drops > 0:
		b.drops--
	case lane.Model == "drip", lane.Account == "shut":
		return nil, quota.Readiness{At: b.later}
	}
	return &b.hold, quota.Readiness{}
}

func (*tap) Sent(time.Time, *quota.Hold)                  {}
func (*tap) Observe(time.Time, *quota.Hold, hint.Outcome) {}
func (*tap) Settle(time.Time, *quota.Hold, quota.Use)     {}

// crowd lets n requests wait, spread over the classes, in lines of their own if asked.
func crowd(g *Gate, n int, ownLines bool) []*Ticket {
	tickets := make([]*Ticket, n)
	for i := range tickets {
		lane := limit.Scope{Provider: "p", Account: "1", Model: "drip"}
		if ownLines {
			lane = limit.Scope{Provider: "p", Account: "shut", Model: strconv.Itoa(i)}
		}
		r := ask(priority.Class(i%priority.Count), lane)
		r.Deadline = time.Now().Add(2 * time.Hour)
		tickets[i] = g.Enqueue(r)
	}
	return tickets
}

// run carries a granted request through its whole life.
func run(g *Gate, r Request) {
	ticket := g.Enqueue(r)
	<-ticket.Decided()
	grant, _ := ticket.Result()
	grant.Sent()
	grant.Observe(hint.Outcome{})
	grant.Settle(quota.Use{Written: true})
}

// A request for which a slot is free, from Enqueue to Settle. Budget: 1 µs, 1 allocation (the budget's hold not counted).
func BenchmarkFastPath(b *testing.B) {
	g, r := New(Options{Budget: newTap()}), ask(normal, laneA)
	b.ReportAllocs()
	for b.Loop() {
		run(g, r)
	}
}

// The same from 64 connections at once, with the real book without limits. Budget: 1 µs, 2 allocations.
func BenchmarkFastPathWithBookFrom64Connections(b *testing.B) {
	g, r := New(Options{Budget: quota.New(quota.Options{})}), ask(normal, laneA)
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			run(g, r)
		}
	})
}

// One comes behind 100,000 and the first of them is granted. Budget: 5 µs, 3 allocations.
func BenchmarkEnqueueAndGrantAmong100000(b *testing.B) {
	budget := newTap()
	g := New(Options{Budget: budget, Capacity: 1e6})
	crowd(g, 100_000, false)
	r := ask(urgent, limit.Scope{Provider: "p", Account: "1", Model: "drip"})
	b.ReportAllocs()
	for b.Loop() {
		r.Deadline = budget.later
		budget.drops = 1
		g.Enqueue(r)
	}
	if g.Len() != 100_000 {
		b.Fatalf("Len() = %d; want 100000", g.Len())
	}
}

// One comes behind 100,000 and leaves again. Budget: 5 µs, 2 allocations.
func BenchmarkEnqueueAndAbandonAmong100000(b *testing.B) {
	g := New(Options{Budget: newTap(), Capacity: 1e6})
	tickets := crowd(g, 100_000, false)
	r := ask(normal, limit.Scope{Provider: "p", Account: "1", Model: "drip"})
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i = (i + 7919) % len(tickets)
		tickets[i].Abandon()
		tickets[i] = g.Enqueue(r)
	}
}

// One line has a slot beside 10,000 that have none. Budget: 5 µs.
func BenchmarkReadyLineBeside10000BlockedOnes(b *testing.B) {
	g := New(Options{Budget: newTap(), Capacity: 1e6})
	crowd(g, 10_000, true)
	r := ask(low, laneA)
	b.ReportAllocs()
	for b.Loop() {
		run(g, r)
	}
}

// An event of an account whose 10,000 lines must all be asked again, none of which has a slot. Budget: 10 ms.
func BenchmarkEventFor10000BlockedLines(b *testing.B) {
	g := New(Options{Budget: newTap(), Capacity: 1e6})
	tickets := crowd(g, 10_000, true)
	b.ReportAllocs()
	for b.Loop() {
		g.touch(tickets[0].request.Lanes[0])
		g.dispatch()
	}
}

func TestFastPathAllocatesOneTicket(t *testing.T) { // not parallel: AllocsPerRun counts for the whole process
	g, r := New(Options{Budget: newTap()}), ask(normal, laneA)
	if got := testing.AllocsPerRun(100, func() { run(g, r) }); got != 1 {
		t.Errorf("a request without waiting allocates %v times; want 1", got)
	}
}

func TestTicketIsSmall(t *testing.T) {
	t.Parallel()
	const channel, places = 96, 3 * 8
	if got := unsafe.Sizeof(Ticket{}) + channel + places; got > 1<<10 {
		t.Errorf("a waiting ticket takes %d bytes; want at most 1024", got)
	} else {
		t.Logf("a waiting ticket takes %d bytes", got)
	}
}
