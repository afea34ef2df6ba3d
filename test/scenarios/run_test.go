package scenarios

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/mock/limiter"
	"nimsidecar/internal/quota"
)

// knowing is a law that sees the upstream's counters; it needs a network without delay.
type knowing struct {
	up      *upstream
	granted int
}

func (k *knowing) Reserve(now time.Time, lane limit.Scope, _ quota.Claim) (*quota.Hold, quota.Readiness) {
	k.up.mu.Lock()
	defer k.up.mu.Unlock()
	k.up.player.apply(now, k.up.all...)
	wait := k.up.all[0].wait(now, lane.Model)
	if k.granted > len(k.up.hits) {
		wait = max(wait, time.Millisecond) // one is on its way
	}
	if wait > 0 {
		return nil, quota.Readiness{At: now.Add(wait)}
	}
	k.granted++
	return new(quota.Hold), quota.Readiness{}
}

func (*knowing) Sent(time.Time, *quota.Hold)                  {}
func (*knowing) Observe(time.Time, *quota.Hold, hint.Outcome) {}
func (*knowing) Settle(time.Time, *quota.Hold, quota.Use)     {}

func perfect() Contender {
	return Contender{"perfect", func(_ Told, _ uint64, up *upstream) gate.Budget { return &knowing{up: up} }}
}

// hasty lets out one a second, whatever happens.
func hasty() Contender {
	return baseline("hasty", func(float64) law { return &fixed{bucket{rate: 60}} })
}

func TestWhoKnowsTheLimitUsesAllOfIt(t *testing.T) {
	t.Parallel()
	for _, s := range shapes() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			sc := Scenario{
				Upstream: s.upstream("40-M"), Told: s.told("40-M"), Load: usualLoad(), Length: 2 * time.Hour, Warm: 30 * time.Minute,
			}
			r := Run(t, &sc, perfect(), 1, nil)
			if r.Util < 99.5 || r.Util > 100.1 || r.Refused != 0 || r.Row != 0 {
				t.Errorf("a law that knows the limit: %.2f %% of the oracle, %.1f ‰ refused; want all and none", r.Util, r.Refused)
			}
		})
	}
}

func TestWhoDoesNotCareIsSeenToMiss(t *testing.T) {
	t.Parallel()
	all := All()
	for i := range all {
		s := &all[i]
		short := strings.HasPrefix(s.Name, "steady-") && strings.HasSuffix(s.Name, "-40") || s.Name == "step-sliding-40-20"
		if !short {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			rs := []Result{Run(t, s, hasty(), 1, nil)}
			for _, m := range []Metric{Refused, Drops, Row} {
				for _, target := range s.Targets {
					if target.Metric == m && target.met(rs) {
						t.Errorf("a law that sends 60 a minute whatever happens keeps to %s with %v", target, m.of(&rs[0]))
					}
				}
			}
			if misses(s.Targets, rs) == "" {
				t.Errorf("a law that sends 60 a minute whatever happens misses no target: %+v", rs[0])
			}
		})
	}
}

func TestARunCanBeRepeated(t *testing.T) {
	t.Parallel()
	all := All()
	for i := range all {
		s := &all[i]
		if s.Name != "steady-bucket10-40" && s.Name != "async4-40" {
			continue
		}
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			var first, second, other strings.Builder
			Run(t, s, Ours(), 1, &first)
			Run(t, s, Ours(), 1, &second)
			Run(t, s, Ours(), 2, &other)
			if first.String() != second.String() {
				t.Errorf("two runs with one seed differ")
			}
			if first.String() == other.String() {
				t.Errorf("two seeds give the same run")
			}
		})
	}
}

// The simpler laws against what they are known to do, from an independent simulation.
func TestTheSimplerLawsAreThemselves(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		law, scenario string
		util, refused [2]float64
	}{
		{"fixed", "steady-sliding-40", [2]float64{97, 98.2}, [2]float64{20, 28}},
		{"fixed", "steady-bucket10-40", [2]float64{99.9, 100.1}, [2]float64{0, 0}},
		{"window", "steady-sliding-40", [2]float64{98.2, 99}, [2]float64{0, 0}},
		{"window", "steady-bucket10-40", [2]float64{23, 27}, [2]float64{730, 770}},
		{"retreat", "steady-sliding-40", [2]float64{96.5, 98.5}, [2]float64{18, 30}},
		{"aimd", "steady-sliding-40", [2]float64{85, 91}, [2]float64{2, 4}},
		{"cubic", "steady-sliding-40", [2]float64{88, 95}, [2]float64{5, 12}},
	} {
		t.Run(tt.law+" "+tt.scenario, func(t *testing.T) {
			t.Parallel()
			es := entries("^"+tt.scenario+"$", tt.law, ".*", 1)
			if len(es) != 1 {
				t.Fatalf("%d entries; want one", len(es))
			}
			r := Run(t, es[0].Scenario, es[0].Contender, 1, nil)
			if r.Util < tt.util[0] || r.Util > tt.util[1] || r.Refused < tt.refused[0] || r.Refused > tt.refused[1] {
				t.Errorf("%.2f %% of the oracle, %.1f ‰ refused; want %v and %v", r.Util, r.Refused, tt.util, tt.refused)
			}
		})
	}
}

func TestTheListIsSound(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, s := range All() {
		if seen[s.Name] {
			t.Errorf("there are two scenarios %s", s.Name)
		}
		seen[s.Name] = true
		if s.Length <= s.Warm || s.Length <= s.WaitsFrom {
			t.Errorf("%s: of %s nothing is measured", s.Name, s.Length)
		}
		newCounters(&s.Upstream) // panics at rates that cannot be read
	}
	for _, tt := range []struct {
		list string
		want int
	}{{`^(` + Beside + `)$`, 17}, {quick, strings.Count(quick, "|") * 3 / 4}} {
		found := 0
		for name := range seen {
			if regexp.MustCompile(tt.list).MatchString(name) {
				found++
			}
		}
		if found < tt.want {
			t.Errorf("%s names %d scenarios; want at least %d", tt.list, found, tt.want)
		}
	}
}

func TestFiguresAreComputedAsTheySay(t *testing.T) {
	t.Parallel()
	if got := jain(map[string]float64{"normal0": 10, "normal1": 10, "low0": 4, "low1": 0}); got != 0.5 {
		t.Errorf("jain of a class in which one of two gets all = %v; want 0.5", got)
	}
	if got := quantile([]float64{1, 2, 3, 4}, 0.5); got != 2 {
		t.Errorf("the median of 1..4 = %v; want 2", got)
	}
	if got := quantile([]float64{1, 2, 3, 4}, 1); got != 4 {
		t.Errorf("the worst of 1..4 = %v; want 4", got)
	}
	at := func(minutes, running int) level {
		return level{noon().Add(time.Duration(minutes) * time.Minute), running}
	}
	busy := &upstream{levels: []level{at(0, 1), at(2, 2), at(4, 3), at(5, 1), at(9, 7)}}
	if got := busy.ran(noon().Add(time.Minute), noon().Add(6*time.Minute)); got != (1+2*2+3+1)/5.0 {
		t.Errorf("one for a minute, two for two, three and one for one run on average = %v; want 1.8", got)
	}
	u := Upstream{Kind: limiter.Sliding, Rates: "40-M", Changes: []Change{{At: time.Minute, Rates: "60-M"}}}
	w := &world{Scenario: &Scenario{Upstream: u}, start: noon(), end: noon().Add(time.Hour)}
	w.up = newUpstream(u, newTimetable(&u, noon(), time.Hour, stream(1, "x")), stream(1, "y"))
	event := w.up.player.event()
	best := []time.Time{}
	for i := range 3000 {
		at := noon().Add(time.Duration(i) * time.Second)
		best = append(best, at)
		if at.Sub(event) > 3*window {
			w.up.hits = append(w.up.hits, hit{at: at, excess: at.Sub(event) > 5*window})
		}
	}
	var r Result
	w.measureEvent(&r, best)
	if math.Abs(r.Converge-2.9) > 0.051 || math.Abs(r.Detect-5) > 0.02 {
		t.Errorf("all accepted from the third window on, the excess after the fifth: converge %v, detect %v; want 2.9 (95 %% of the windows from there) and 5", r.Converge, r.Detect)
	}
}

func TestATargetIsNotMetByWhatWasNotMeasured(t *testing.T) {
	t.Parallel()
	good, bad, none := Result{Util: 99}, Result{Util: 97}, Result{Util: math.NaN()}
	for _, tt := range []struct {
		target  Target
		results []Result
		want    bool
	}{
		{Target{Metric: Util, Bound: 98}, []Result{good, good}, true},
		{Target{Metric: Util, Bound: 98}, []Result{good, bad}, false},
		{Target{Metric: Util, Bound: 98, Mean: true}, []Result{good, bad}, true},
		{Target{Metric: Util, Bound: 98.1, Mean: true}, []Result{good, bad}, false},
		{Target{Metric: Util, Bound: 98}, []Result{good, none}, false},
		{Target{Metric: Util, Bound: 98, Mean: true}, []Result{good, none}, false},
		{Target{Metric: Row, Bound: 6}, []Result{{Row: 6}}, true},
		{Target{Metric: Row, Bound: 6}, []Result{{Row: 2}, {Row: 7}}, false},
		{Target{Metric: Converge, Bound: 2}, []Result{{Converge: math.Inf(1)}}, false},
		{Target{Metric: Util, Bound: 98}, nil, false},
	} {
		if got := tt.target.met(tt.results); got != tt.want {
			t.Errorf("(%s).met(%s) = %t; want %t", tt.target, fmt.Sprint(tt.results), got, tt.want)
		}
	}
}
