package scenarios

import (
	"fmt"
	"math"
	"strings"
)

// Metric is one figure of a result.
type Metric uint8

// The metrics that a table may show and a target may bound; Result says what they are.
const (
	Util Metric = iota
	Refused
	Row
	Drops
	Detect
	Converge
	Regain
	Bans
	Leaked
	UrgentP99
	UrgentWorst
	NormalP50
	NormalP95
	NormalWorst
	LowGap
	Jain
	Over
	metricCount
)

// figure is what is to be known of a metric.
type figure struct {
	name  string
	of    func(*Result) float64
	small bool   // less is worse
	form  string // of a number
}

func (m Metric) figure() figure {
	return [metricCount]figure{
		Util:        {"used %", func(r *Result) float64 { return r.Util }, true, "%.2f"},
		Refused:     {"refused ‰", func(r *Result) float64 { return r.Refused }, false, "%.1f"},
		Row:         {"in a row", func(r *Result) float64 { return r.Row }, false, "%.1f"},
		Drops:       {"drops", func(r *Result) float64 { return r.Drops }, false, "%.1f"},
		Detect:      {"detected", func(r *Result) float64 { return r.Detect }, false, "%.1f"},
		Converge:    {"converged", func(r *Result) float64 { return r.Converge }, false, "%.1f"},
		Regain:      {"regained", func(r *Result) float64 { return max(0, r.Converge-r.Detect) }, false, "%.1f"},
		Bans:        {"bans", func(r *Result) float64 { return r.Bans }, false, "%.1f"},
		Leaked:      {"leaked ‰", func(r *Result) float64 { return r.Leaked }, false, "%.1f"},
		UrgentP99:   {"URGENT p99 s", func(r *Result) float64 { return r.UrgentP99 }, false, "%.1f"},
		NormalP50:   {"NORMAL p50 s", func(r *Result) float64 { return r.NormalP50 }, false, "%.1f"},
		NormalWorst: {"NORMAL worst s", func(r *Result) float64 { return r.NormalWorst }, false, "%.1f"},
		UrgentWorst: {"URGENT worst s", func(r *Result) float64 { return r.UrgentWorst }, false, "%.1f"},
		NormalP95:   {"NORMAL p95 s", func(r *Result) float64 { return r.NormalP95 }, false, "%.1f"},
		LowGap:      {"LOW gap s", func(r *Result) float64 { return r.LowGap }, false, "%.1f"},
		Jain:        {"Jain", func(r *Result) float64 { return r.Jain }, true, "%.3f"},
		Over:        {"over", func(r *Result) float64 { return r.Over }, false, "%.1f"},
	}[m]
}

// String returns the metric as the tables head it.
func (m Metric) String() string { return m.figure().name }

// of returns the figure of a result.
func (m Metric) of(r *Result) float64 { return m.figure().of(r) }

// mean returns the mean of the results; NaN if any of them was not measured.
func (m Metric) mean(rs []Result) float64 {
	sum := 0.0
	for i := range rs {
		sum += m.of(&rs[i])
	}
	return sum / float64(len(rs))
}

// worst returns the worst of the results; NaN if any of them was not measured.
func (m Metric) worst(rs []Result) float64 {
	worst := math.NaN()
	for i := range rs {
		v := m.of(&rs[i])
		if math.IsNaN(v) {
			return v
		}
		if math.IsNaN(worst) || v != worst && (v < worst) == m.figure().small {
			worst = v
		}
	}
	return worst
}

// text writes the mean and the worst; a dash where nothing was measured.
func (m Metric) text(rs []Result) string {
	mean := m.mean(rs)
	if math.IsNaN(mean) {
		return "–"
	}
	form := m.figure().form
	return strings.ReplaceAll(fmt.Sprintf(form+" ("+form+")", mean, m.worst(rs)), "+Inf", "never")
}

// Target bounds a metric: from below where less is worse, else from above.
type Target struct {
	Metric Metric  // what is bounded
	Bound  float64 // the bound itself is good
	Mean   bool    // it bounds the mean of the seeds; else every seed must keep to it
}

// String returns the target as a reader would say it.
func (t Target) String() string {
	sign := "≤"
	if t.Metric.figure().small {
		sign = "≥"
	}
	of := ""
	if t.Mean {
		of = "mean "
	}
	return fmt.Sprintf("%s%s %s %.4g", of, t.Metric, sign, t.Bound)
}

// met reports whether the results keep to the target. A figure that was not measured does not.
func (t Target) met(rs []Result) bool {
	value := t.Metric.worst(rs)
	if t.Mean {
		value = t.Metric.mean(rs)
	}
	if t.Metric.figure().small {
		return value >= t.Bound
	}
	return value <= t.Bound
}

// misses returns the targets that are not met, as text.
func misses(targets []Target, rs []Result) string {
	var missed []string
	for _, t := range targets {
		if !t.met(rs) {
			missed = append(missed, t.String())
		}
	}
	return strings.Join(missed, ", ")
}
