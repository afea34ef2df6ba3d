package scenarios

import (
	"fmt"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// long are the windows of an hour behind the minute, from cold.
func long() (all []Scenario) {
	load := usualLoad()
	load.Urgent = 1
	for _, pods := range []int{0, 1, 4} {
		for _, rates := range []string{"40-M,1000-H", "40-M,200-H", "40-M,30-H"} {
			s := Scenario{
				Name: fmt.Sprintf("hour-%s-pods%d", rates, pods), Upstream: Upstream{Kind: limiter.FirstHit, Rates: rates, Pods: pods},
				Told: nvidiaHint("40-M"), Length: 8 * time.Hour, WaitsFrom: 61 * time.Minute,
			}
			switch rates {
			case "40-M,1000-H":
				s.Length, s.Load = 6*time.Hour, load
				s.Targets = []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: 10}, {Metric: Row, Bound: 6}, {Metric: UrgentWorst, Bound: 60}}
			case "40-M,200-H":
				s.Load = load
				s.Targets = []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: 20}, {Metric: Row, Bound: 10}}
			default:
				s.Targets = []Target{{Metric: Util, Bound: 97}, {Metric: Refused, Bound: 120}, {Metric: Row, Bound: 10}}
			}
			all = append(all, s)
		}
	}
	return append(all,
		Scenario{
			Name: "day-40-M,500-D", Upstream: Upstream{Kind: limiter.FirstHit, Rates: "40-M,500-D"}, Told: nvidiaHint("40-M"),
			Length: 72 * time.Hour, WaitsFrom: 24*time.Hour + time.Minute, Load: Load{Urgent: 0.1, High: 0.1, Agents: 3, Normal: 2, Low: 2},
		},
		Scenario{
			Name: "hour-40-M,200-H-lifted",
			Upstream: Upstream{
				Kind: limiter.FirstHit, Rates: "40-M,200-H", Changes: []Change{{At: 150 * time.Minute, Rates: "40-M"}},
			},
			Told: nvidiaHint("40-M"), Length: 8 * time.Hour, Load: load,
		},
	)
}

// wrong are wrong hints, measured after four windows.
func wrong() (all []Scenario) {
	for _, n := range []int{15, 120} {
		for _, shape := range shapes() {
			all = append(all, Scenario{
				Name:     fmt.Sprintf("wrong-%s-%d", shape.name, n),
				Upstream: shape.upstream(minutely(n)), Told: shape.told("40-M"),
				Length: 2 * time.Hour, Warm: 4 * time.Minute,
				Targets: []Target{{Metric: Util, Bound: 97}},
			})
		}
	}
	return all
}

// promises are limits that the operator wants never to be exceeded, whatever the upstream would take.
func promises() []Scenario {
	load := usualLoad()
	load.Urgent = 1
	return []Scenario{
		{
			Name: "promise-40-of-60", Upstream: Upstream{Kind: limiter.Sliding, Rates: "60-M"}, Told: promise("40-M"),
			Length: 2 * time.Hour, Warm: 30 * time.Minute,
			Targets: []Target{{Metric: Util, Bound: 65}, {Metric: Refused, Bound: 0}},
		},
		{
			Name: "promise-40-of-20", Upstream: Upstream{Kind: limiter.Sliding, Rates: "20-M"}, Told: promise("40-M"),
			Length: 2 * time.Hour, Warm: 4 * time.Minute,
			Targets: []Target{{Metric: Util, Bound: 97}},
		},
		{
			Name: "promise-40-M,1000-H", Upstream: Upstream{Kind: limiter.FirstHit, Rates: "40-M,1000-H"}, Told: promise("40-M,1000-H"),
			Length: 6 * time.Hour, Load: load,
			Targets: []Target{{Metric: Util, Bound: 98}, {Metric: Refused, Bound: mostRefused, Mean: true}, {Metric: UrgentWorst, Bound: 60}},
		},
	}
}
