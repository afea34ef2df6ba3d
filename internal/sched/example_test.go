package sched_test

import (
	"fmt"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/sched"
)

// The first walk of the package comment: one model with slots to spare.
func Example() {
	var room sched.Room[string]
	for i, v := range []struct {
		class priority.Class
		agent string
	}{
		{priority.Normal, "ann"},
		{priority.Normal, "ann"},
		{priority.Normal, "ann"},
		{priority.Normal, "bob"},
		{priority.Low, "eve"},
		{priority.Low, "eve"},
	} {
		room.Add(&sched.Item[string]{
			Value: fmt.Sprintf("%s %d of %s", v.class, i+1, v.agent), Class: v.class, Agent: v.agent, Arrival: uint64(i + 1),
			Lanes: []limit.Scope{{Provider: "nvidia", Account: "main", Model: "a"}},
		})
	}
	for it := room.First(); it != nil; it = room.First() {
		room.Serve(it)
		fmt.Println(it.Value)
	}
	// Output:
	// NORMAL 1 of ann
	// LOW 5 of eve
	// NORMAL 4 of bob
	// NORMAL 2 of ann
	// NORMAL 3 of ann
	// LOW 6 of eve
}

// The second walk: model a may send at 10 s, model b sends one now and the next at 2 s.
func Example_blockedLines() {
	start := time.Unix(0, 0)
	ready := map[string]time.Time{"a": start.Add(10 * time.Second)}
	var room sched.Room[string]
	for i, v := range []struct {
		class priority.Class
		model string
	}{{priority.Normal, "a"}, {priority.Normal, "a"}, {priority.High, "a"}, {priority.Normal, "b"}, {priority.Low, "b"}} {
		room.Add(&sched.Item[string]{
			Value: fmt.Sprintf("%s %d on %s", v.class, i+1, v.model), Class: v.class, Arrival: uint64(i + 1),
			Lanes: []limit.Scope{{Provider: "nvidia", Account: "main", Model: v.model}},
		})
	}
	for now := start; room.Len() > 0; now = room.Next() {
		room.Wake(now)
		for it := room.First(); it != nil; it = room.First() {
			model := it.Lanes[0].Model
			if now.Before(ready[model]) {
				room.Block(it, ready[model])
				continue
			}
			ready[model] = now.Add(2 * time.Second)
			room.Serve(it)
			fmt.Printf("%2.0f s: %s\n", now.Sub(start).Seconds(), it.Value)
		}
	}
	// Output:
	//  0 s: NORMAL 4 on b
	//  2 s: LOW 5 on b
	// 10 s: HIGH 3 on a
	// 12 s: NORMAL 1 on a
	// 14 s: NORMAL 2 on a
}
