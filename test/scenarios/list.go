package scenarios

import (
	"fmt"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// mostRefused is how many of a thousand sends a steady limit may refuse.
const mostRefused = 7

// probed is how many of a thousand sends the law spends on probes: its refusal budget. A raise shows only when something beyond the old
// limit is tried, so that it takes up to 1/(budget × limit) windows until it is found.
const probed = 6

// shape is a kind of limiter that the scenarios use.
type shape struct {
	name  string
	kind  limiter.Kind
	burst int
}

func shapes() []shape {
	return []shape{
		{"first-hit", limiter.FirstHit, 0},
		{"sliding", limiter.Sliding, 0},
		{"minute", limiter.Minute, 0},
		{"bucket3", limiter.Bucket, 3},
		{"bucket10", limiter.Bucket, 10},
	}
}

// told returns what an operator says of a limiter of this shape.
func (s shape) told(rates string) Told {
	if s.kind == limiter.FirstHit {
		return nvidiaHint(rates)
	}
	return generic(rates)
}

func (s shape) upstream(rates string) Upstream {
	return Upstream{Kind: s.kind, Burst: s.burst, Rates: rates}
}

// minutely writes a rate a minute.
func minutely(n int) string { return fmt.Sprintf("%d-M", n) }

// All returns every scenario.
func All() []Scenario {
	var all []Scenario
	for _, g := range []struct {
		name string
		list []Scenario
	}{
		{"Steady limits", steady()},
		{"Other limits and networks", odd()},
		{"An hour or a day behind the minute, from cold", long()},
		{"What the operator says is wrong", wrong()},
		{"Promises", promises()},
		{"Limits that move", steps()},
		{"Bursts on an idle sidecar", bursts()},
		{"Who shares an account", crowds()},
	} {
		for i := range g.list {
			g.list[i].Group = g.name
		}
		all = append(all, g.list...)
	}
	for i := range all {
		if all[i].Net == (Net{}) {
			all[i].Net = usualNet()
		}
		if all[i].Load == (Load{}) {
			all[i].Load = usualLoad()
		}
		all[i].Targets = append(all[i].Targets, Target{Metric: Over, Bound: 0})
	}
	return all
}

func steady() (all []Scenario) {
	for _, n := range []int{10, 15, 40, 120, 600, 25, 33, 77, 250} {
		for _, shape := range shapes() {
			s := Scenario{
				Name: fmt.Sprintf("steady-%s-%d", shape.name, n), Upstream: shape.upstream(minutely(n)), Told: shape.told(minutely(n)),
				Length: 3 * time.Hour, Warm: 30 * time.Minute,
				Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: mostRefused, Mean: true}, {Metric: Jain, Bound: 0.99}},
			}
			if n > 100 {
				s.Length = 2 * time.Hour
			}
			if n == 40 {
				s.Targets = append(s.Targets, Target{Metric: UrgentWorst, Bound: 8}, Target{Metric: LowGap, Bound: 40})
			}
			all = append(all, s)
		}
	}
	return all
}

func odd() []Scenario {
	jitter := usualNet()
	jitter.Jitter = 300 * time.Millisecond
	three := func(s Scenario) Scenario {
		s.Length, s.Warm = 3*time.Hour, 30*time.Minute
		return s
	}
	return []Scenario{
		three(Scenario{
			Name: "bucket1-40", Upstream: Upstream{Kind: limiter.Bucket, Burst: 1, Rates: "40-M"}, Told: generic("40-M"),
			Targets: []Target{{Metric: Util, Bound: 90}, {Metric: Refused, Bound: mostRefused, Mean: true}},
		}),
		three(Scenario{
			Name: "sliding-refusals-40", Upstream: Upstream{Kind: limiter.SlidingRefusals, Rates: "40-M"}, Told: generic("40-M"),
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: mostRefused, Mean: true}},
		}),
		three(Scenario{
			Name: "async1-40", Upstream: Upstream{Kind: limiter.FirstHit, Rates: "40-M", Pods: 1}, Told: nvidiaHint("40-M"),
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: mostRefused, Mean: true}},
		}),
		three(Scenario{
			Name: "async4-40", Upstream: Upstream{Kind: limiter.FirstHit, Rates: "40-M", Pods: 4}, Told: nvidiaHint("40-M"),
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: mostRefused, Mean: true}},
		}),
		three(Scenario{
			Name: "jitter300-40", Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M"}, Told: generic("40-M"), Net: jitter,
			Targets: []Target{{Metric: Util, Bound: 96}},
		}),
		three(Scenario{
			Name: "seconds-5-S-40-M", Upstream: Upstream{Kind: limiter.FirstHit, Rates: "5-S,40-M"}, Told: nvidiaHint("40-M"),
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: mostRefused, Mean: true}},
		}),
		three(Scenario{
			Name: "errors-40", Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M", Errors: 0.05}, Told: generic("40-M"),
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: mostRefused, Mean: true}},
		}),
		{
			Name: "swing-25-45", Upstream: Upstream{Kind: limiter.Sliding, Rates: "35-M", Swing: Swing{25, 45, 2 * time.Hour}}, Told: generic("40-M"),
			Length: 4*time.Hour + 30*time.Minute, Warm: 30 * time.Minute,
			Targets: []Target{{Metric: Util, Bound: 97}},
		},
		three(Scenario{
			Name: "inflight16", Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M", InFlight: 16}, Told: generic("40-M"),
			Net:     Net{Delay: 40 * time.Millisecond, Jitter: 30 * time.Millisecond, Answer: 15 * time.Second, Spread: 30 * time.Second},
			Targets: []Target{{Metric: Util, Bound: 95}, {Metric: Refused, Bound: 10}},
		}),
		three(Scenario{
			Name: "pinned-sliding-40", Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M"}, Told: pinned("40-M"),
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: 0}},
		}),
		three(Scenario{
			Name: "models-10-20-none-under-40",
			Upstream: Upstream{
				Kind: limiter.Sliding, Rates: "40-M", Models: []Model{{"ten", "10-M"}, {"twenty", "20-M"}, {"free", ""}},
			},
			Told: accountHint("40-M"), Targets: []Target{{Metric: Util, Bound: 98}},
		}),
		three(Scenario{
			Name: "two-models-one-limited",
			Upstream: Upstream{
				Kind: limiter.FirstHit, Models: []Model{{"ten", "10-M"}, {"forty", "40-M"}},
			},
			Told: nvidiaHint("40-M"), Targets: []Target{{Metric: Util, Bound: 98}},
		}),
		three(Scenario{
			Name: "two-counters-40", Upstream: Upstream{Kind: limiter.FirstHit, Rates: "40-M", Versions: 2}, Told: nvidiaHint("40-M"),
		}),
	}
}

// Beside names the scenarios that the simpler laws play as well.
const Beside = `^(steady-(first-hit|sliding|minute|bucket10)-40|bucket1-40|sliding-refusals-40|async4-40|hour-40-M,1000-H-pods[04]|` +
	`swing-25-45|step-sliding-(40-15|20-40)|wrong-sliding-(15|120)|inflight16|outage-3min|models-10-20-none-under-40)$`
