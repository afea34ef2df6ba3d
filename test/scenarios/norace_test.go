//go:build !race

package scenarios

// What every run of the tests plays: all that a change of the law is likely to break.
const (
	quick = `^(steady-(first-hit|sliding|minute|bucket3)-40|steady-first-hit-(10|120)|hour-40-M,1000-H-pods[04]|step-sliding-40-15|` +
		`step-first-hit-(20-40|40-20)|wrong-(sliding-15|first-hit-120)|models-10-20-none-under-40|two-models-one-limited|outage-3min|` +
		`burst-15|inflight16|promise-40-of-60|greedy-agent)$`
	quickSeeds = 2
)
