//go:build race

package scenarios

// What every run of the tests plays: less under the race detector, where it takes ten times as long.
const (
	quick      = `^(steady-first-hit-40|hour-40-M,1000-H-pods4|step-sliding-40-15|models-10-20-none-under-40)$`
	quickSeeds = 1
)
