package demo

import (
	"context"
	"time"
)

// Scene is something that happens in the upstream while a demo runs.
type Scene struct {
	After  time.Duration // the scene before it
	Model  string        // whose limit changes
	Limits string        // the new ones, such as 4-S
	Says   string        // what to look for, in a sentence
}

// Scenes returns a play of a little more than a minute, in which limits by the second fall and rise. A limit that stays lower shows how the new
// ceiling is found; one that is back after some seconds, RETREAT and RECOVER.
func Scenes() []Scene {
	const dip, back = "the upstream allows 2 a second instead of 6 of " + Coder + ": RETREAT, and its queue grows; other models do not notice",
		"the upstream allows 6 a second of " + Coder + " again: RECOVER, then NORMAL"
	return []Scene{
		{12 * time.Second, Coder, "2-S", dip},
		{6 * time.Second, Coder, "6-S", back},
		{10 * time.Second, Large, "3-S", "the upstream allows 3 a second instead of 8 of " + Large + ": a lower ceiling is found, and URGENT overtakes what waits"},
		{16 * time.Second, Large, "11-S", "the upstream allows 11 a second of " + Large + ": a probe finds it, the ceiling rises and the queue drains"},
		{12 * time.Second, Coder, "2-S", dip},
		{6 * time.Second, Coder, "6-S", back},
		{10 * time.Second, Large, "8-S", "the upstream allows 8 a second of " + Large + ", as in the beginning"},
	}
}

// Play plays scenes over and over until ctx ends, and returns nil then, or the first error of change, which must make one scene happen.
func Play(ctx context.Context, scenes []Scene, change func(Scene) error) error {
	for {
		for _, s := range scenes {
			if !sleep(ctx, s.After) {
				return nil
			}
			if err := change(s); err != nil {
				return err
			}
		}
	}
}
