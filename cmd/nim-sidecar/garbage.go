package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// garbage is how much the heap may grow between two collections, where half of what lives is less. Most of what a request allocates dies
// with it while little lives on: at Go's own 100 % a busy sidecar would collect dozens of times a second. At a fixed percentage that suits
// it, thousands of open streams would let several times their own memory lie about.
const garbage = 16 << 20

// The bounds of the percentage. The upper one is also what makes the first collection come: at four times 4 MiB.
const (
	leastPercent = 50
	mostPercent  = 400
)

// boundGarbage sets Go's percentage, now and after each collection from then on, by what lives: heap and stacks, which count as such.
func boundGarbage() {
	lives := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(lives)
	debug.SetGCPercent(percent(lives[0].Value.Uint64() + lives[1].Value.Uint64()))
	type sentinel [16]byte // smaller ones share their memory, and would not die with the first collection
	runtime.AddCleanup(new(sentinel), func(struct{}) { boundGarbage() }, struct{}{})
}

// percent is the percentage of so many bytes that live.
func percent(live uint64) int {
	return int(min(max(garbage*100/max(live, 1), leastPercent), mostPercent))
}
