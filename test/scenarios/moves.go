package scenarios

import (
	"fmt"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// steps are limits that move once, at a random time.
func steps() (all []Scenario) {
	for _, step := range []struct{ from, to int }{{40, 20}, {40, 15}, {20, 40}, {40, 60}} {
		for _, shape := range shapes() {
			if shape.name == "bucket3" {
				continue
			}
			s := Scenario{
				Name:     fmt.Sprintf("step-%s-%d-%d", shape.name, step.from, step.to),
				Upstream: shape.upstream(minutely(step.from)), Told: shape.told("40-M"),
				Length: 2 * time.Hour, Warm: 20 * time.Minute,
			}
			s.Upstream.Changes = []Change{{At: 40 * time.Minute, Rates: minutely(step.to)}}
			if step.to < step.from {
				s.Upstream.Ban = Ban{After: 10, For: time.Hour}
				s.Length, s.Warm = 90*time.Minute, 20*time.Minute
				s.Targets = []Target{{Metric: Converge, Bound: 2}, {Metric: Drops, Bound: 10}, {Metric: Row, Bound: 6}, {Metric: Bans, Bound: 0}}
			} else {
				detect := 1000/(probed*float64(step.from)) + 2
				s.Targets = []Target{{Metric: Detect, Bound: detect, Mean: true}, {Metric: Regain, Bound: 3, Mean: true}}
			}
			all = append(all, s)
		}
	}
	return append(all, Scenario{
		Name:     "outage-3min",
		Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M", Outage: Outage{At: 40 * time.Minute, For: 3 * time.Minute}}, Told: generic("40-M"),
		Length: 2 * time.Hour, Warm: 20 * time.Minute,
		Targets: []Target{{Metric: Converge, Bound: 5}, {Metric: Row, Bound: 10}},
	})
}

// bursts meet an idle sidecar.
func bursts() (all []Scenario) {
	for _, n := range []int{15, 30, 60} {
		all = append(all, Scenario{
			Name:     fmt.Sprintf("burst-%d", n),
			Upstream: Upstream{Kind: limiter.FirstHit, Rates: "40-M"}, Told: nvidiaHint("40-M"),
			Load:   Load{Urgent: 2, Burst: n, Every: 3 * time.Minute},
			Length: 4 * time.Hour, Warm: 30 * time.Minute,
			Targets: []Target{{Metric: UrgentWorst, Bound: 3}},
		})
	}
	all[0].Targets = append(all[0].Targets, Target{Metric: NormalP95, Bound: 1})
	return append(all, Scenario{
		Name:     "burst-30-bucket10",
		Upstream: Upstream{Kind: limiter.Bucket, Burst: 10, Rates: "40-M"}, Told: generic("40-M"),
		Load:   Load{Urgent: 2, Burst: 30, Every: 3 * time.Minute},
		Length: 4 * time.Hour, Warm: 30 * time.Minute,
		Targets: []Target{{Metric: Refused, Bound: mostRefused, Mean: true}, {Metric: UrgentWorst, Bound: 10}},
	})
}

// crowds are accounts that others use as well.
func crowds() []Scenario {
	return []Scenario{
		{
			Name: "four-sidecars", Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M"}, Told: generic("40-M"), Sidecars: 4,
			Length: 3 * time.Hour, Warm: 30 * time.Minute, Load: Load{Urgent: 1, High: 2, Agents: 3, Normal: 2, Low: 2},
			Targets: []Target{{Metric: Util, Bound: 97}, {Metric: Refused, Bound: 10}},
		},
		{
			Name: "greedy-agent", Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M"}, Told: generic("40-M"),
			Length: 3 * time.Hour, Warm: 30 * time.Minute, Load: Load{Urgent: 4, High: 8, Agents: 3, Normal: 2, Low: 2, Greedy: 18},
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Jain, Bound: 0.99}, {Metric: LowGap, Bound: 40}, {Metric: UrgentWorst, Bound: 8}},
		},
		{
			Name: "urgent-flood", Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M"}, Told: generic("40-M"),
			Length: 3 * time.Hour, Warm: 30 * time.Minute, Load: Load{Urgent: 60, High: 8, Agents: 3, Normal: 2, Low: 2},
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: LowGap, Bound: 130}},
		},
		{
			Name: "foreign-10", Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M", Foreign: 10}, Told: generic("40-M"),
			Length: 3 * time.Hour, Warm: 30 * time.Minute,
		},
	}
}
