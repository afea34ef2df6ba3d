package sched

import (
	"strconv"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

// crowd returns a room in which n items of so many agents wait on so many models, spread over the classes, each with a deadline.
func crowd(n, agents, models int) (*Room[int], []*Item[int]) {
	r, items, own := new(Room[int]), make([]*Item[int], n), make([][]limit.Scope, models)
	for i := range own {
		own[i] = []limit.Scope{{Provider: "p", Account: "1", Model: strconv.Itoa(i)}}
	}
	for i := range items {
		items[i] = &Item[int]{
			Class: priority.Class(i % priority.Count), Agent: strconv.Itoa(i / priority.Count % agents), Arrival: uint64(i + 1),
			Lanes: own[i*7919%models], Deadline: start.Add(10_000*time.Hour + time.Duration(i*7919%n)*time.Millisecond),
		}
		r.Add(items[i])
	}
	return r, items
}

// turnOver lets the first go and come again behind all others.
func turnOver(b *testing.B, r *Room[int], items []*Item[int]) {
	arrival := uint64(len(items))
	b.ReportAllocs()
	for b.Loop() {
		it := r.First()
		r.Serve(it)
		arrival++
		it.Arrival, it.Deadline = arrival, it.Deadline.Add(time.Second)
		r.Add(it)
	}
}

// An item enters behind 100,000 others and the first one is granted. Budget: 3 µs, no allocation.
func BenchmarkAddAndServeFirstAmong100000(b *testing.B) {
	r, items := crowd(100_000, 1, 1)
	turnOver(b, r, items)
}

// The same with 10,000 agents on 1,000 models, all of whose lines are awake. Budget: 10 µs, no allocation.
func BenchmarkAddAndServeFirstOf10000AgentsOn1000Models(b *testing.B) {
	r, items := crowd(100_000, 10_000, 1000)
	turnOver(b, r, items)
}

// The worst case: 2 agents share 1,000 awake lines in each class, so that a grant outdates hundreds of them. Budget: 1 ms, no allocation.
func BenchmarkAddAndServeFirstOf2AgentsOn1000Models(b *testing.B) {
	r, items := crowd(100_000, 2, 999)
	turnOver(b, r, items)
}

// A line in which 10,000 agents wait is blocked and wakes. Budget: 1 µs, no allocation.
func BenchmarkLineOf10000AgentsSleepsAndWakes(b *testing.B) {
	r, _ := crowd(100_000, 10_000, 1)
	b.ReportAllocs()
	for b.Loop() {
		it := r.First()
		r.Block(it, start)
		r.Wake(start)
	}
}

// The whole order of a full room of the usual size, as the dashboard shows it. Budget: 1 ms.
func BenchmarkOrderOf1000(b *testing.B) {
	r, _ := crowd(1000, 10, 20)
	b.ReportAllocs()
	for b.Loop() {
		r.Order()
	}
}

// Somebody in the middle of 100,000 leaves and another comes. Budget: 3 µs, no allocation.
func BenchmarkAddAndRemoveFromTheMiddleOf100000(b *testing.B) {
	r, items := crowd(100_000, 1, 1)
	arrival, i := uint64(len(items)), 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 7919) % len(items)
		it := items[i]
		r.Remove(it)
		arrival++
		it.Arrival = arrival
		r.Add(it)
	}
}

// One line is ready beside 10,000 that are blocked until other times. Budget: 2 µs, no more than its line's allocations.
func BenchmarkReadyLineBeside10000BlockedOnes(b *testing.B) {
	r, items := crowd(10_000, 1, 10_000)
	for i, it := range items {
		r.Block(it, start.Add(time.Hour+time.Duration(i*7919%len(items))*time.Millisecond))
	}
	it := &Item[int]{Class: priority.Low, Agent: "0", Arrival: 1 << 32, Lanes: []limit.Scope{{Provider: "p", Account: "2", Model: "ready"}}}
	b.ReportAllocs()
	for b.Loop() {
		r.Add(it)
		r.Wake(start)
		first := r.First()
		if first != it {
			b.Fatal("the ready item is not first")
		}
		r.Serve(first)
	}
}

// A time at which one of 10,000 lines wakes, is found blocked again, and sleeps. Budget: 1 µs, no allocation.
func BenchmarkOneOf10000LinesWakesAndSleeps(b *testing.B) {
	r, items := crowd(10_000, 1, 10_000)
	for i, it := range items {
		r.Block(it, start.Add(time.Duration(i)*time.Millisecond))
	}
	b.ReportAllocs()
	for b.Loop() {
		now := r.Next()
		r.Wake(now)
		r.Block(r.First(), now.Add(time.Duration(len(items))*time.Millisecond))
	}
}
