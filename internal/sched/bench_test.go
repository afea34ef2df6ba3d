package sched

import (
	"strconv"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
)

// crowd returns a room in which n items wait, spread over the classes, each with a deadline, in lines of their own if asked.
func crowd(n int, ownLines bool) (*Room[int], []*Item[int]) {
	r, items := new(Room[int]), make([]*Item[int], n)
	for i := range items {
		lane := lanes[0]
		if ownLines {
			lane = []limit.Scope{{Provider: "p", Account: "1", Model: strconv.Itoa(i)}}
		}
		items[i] = &Item[int]{
			Class: priority.Class(i % priority.Count), Arrival: uint64(i + 1), Lanes: lane,
			Deadline: start.Add(10_000*time.Hour + time.Duration(i*7919%n)*time.Millisecond),
		}
		r.Add(items[i])
	}
	return r, items
}

// An item enters behind 100,000 others and the first one leaves. Budget: 3 µs, no allocation.
func BenchmarkAddAndTakeFirstAmong100000(b *testing.B) {
	r, items := crowd(100_000, false)
	arrival := uint64(len(items))
	b.ReportAllocs()
	for b.Loop() {
		it := r.First()
		r.Remove(it)
		arrival++
		it.Arrival, it.Deadline = arrival, it.Deadline.Add(time.Second)
		r.Add(it)
	}
}

// Somebody in the middle of 100,000 leaves and another comes. Budget: 3 µs, no allocation.
func BenchmarkAddAndRemoveFromTheMiddleOf100000(b *testing.B) {
	r, items := crowd(100_000, false)
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
	r, items := crowd(10_000, true)
	for i, it := range items {
		r.Block(it, start.Add(time.Hour+time.Duration(i*7919%len(items))*time.Millisecond))
	}
	it := &Item[int]{Class: priority.Low, Arrival: 1 << 32, Lanes: []limit.Scope{{Provider: "p", Account: "2", Model: "ready"}}}
	b.ReportAllocs()
	for b.Loop() {
		r.Add(it)
		r.Wake(start)
		first := r.First()
		if first != it {
			b.Fatal("the ready item is not first")
		}
		r.Remove(first)
	}
}

// A time at which one of 10,000 lines wakes, is found blocked again, and sleeps. Budget: 1 µs, no allocation.
func BenchmarkOneOf10000LinesWakesAndSleeps(b *testing.B) {
	r, items := crowd(10_000, true)
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
