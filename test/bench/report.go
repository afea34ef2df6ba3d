package main

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
	"time"
)

// noise is how far a ratio of two equal programs strays from 1 on a small shared machine, measured by -sidecar
// reverseproxy. A budget of "no worse" allows for it.
const noise = 0.05

// pair is one measurement of both programs, taken in the same round.
type pair struct{ base, side float64 }

// inTurn measures both programs one after the other. In odd rounds the sidecar comes first, so that whatever drifts
// hits both. The function gets the program and where its figure belongs in a pair.
func inTurn(round int, base, side *process, measure func(p *process, of func(*pair) *float64) error) error {
	turns := []func() error{
		func() error { return measure(base, func(p *pair) *float64 { return &p.base }) },
		func() error { return measure(side, func(p *pair) *float64 { return &p.side }) },
	}
	if round%2 == 1 {
		slices.Reverse(turns)
	}
	for _, turn := range turns {
		if err := turn(); err != nil {
			return err
		}
	}
	return nil
}

// budget is what a figure is judged by: the ratio of the sidecar to the ReverseProxy, or the sidecar's own value.
type budget struct {
	bound, slack    float64
	atLeast, direct bool
}

func atMost(ratio float64) budget      { return budget{bound: ratio} }
func atLeast(ratio float64) budget     { return budget{bound: ratio, atLeast: true} }
func atMostValue(value float64) budget { return budget{bound: value, direct: true} }

// within allows a figure that misses the bound by a share of it.
func (b budget) within(slack float64) budget { b.slack = slack; return b }

func (b budget) met(figure float64) bool {
	if b.atLeast {
		return figure >= b.bound*(1-b.slack)
	}
	return figure <= b.bound*(1+b.slack)
}

func (b budget) String() string {
	text, unit := "≤ ", " x"
	if b.atLeast {
		text = "≥ "
	}
	if b.direct {
		unit = ""
	}
	text += strconv.FormatFloat(b.bound, 'g', -1, 64) + unit
	if b.slack > 0 {
		text += fmt.Sprintf(" ± %g %%", b.slack*100)
	}
	return text
}

// result is one line of the table.
type result struct {
	Measure string `json:"measure"`
	Unit    string `json:"unit"`
	// ReverseProxy and Sidecar are medians over the rounds.
	ReverseProxy float64 `json:"reverse_proxy"`
	Sidecar      float64 `json:"sidecar"`
	// Alone says that a ReverseProxy cannot do this; its figure is 0.
	Alone bool `json:"alone,omitempty"`
	// Ratio is the median of the ratios inside each round, Low and High are their quartiles; all 0 where the budget is
	// for the value itself.
	Ratio  float64 `json:"ratio"`
	Low    float64 `json:"ratio_low"`
	High   float64 `json:"ratio_high"`
	Budget string  `json:"budget"`
	Pass   bool    `json:"pass"`
}

// judge sums up the rounds of one measure and holds them against its budget.
func judge(measure, unit string, rounds []pair, b budget) result {
	var base, side, ratios []float64
	for _, p := range rounds {
		base, side, ratios = append(base, p.base), append(side, p.side), append(ratios, p.side/p.base)
	}
	r := result{Measure: measure, Unit: unit, ReverseProxy: median(base), Sidecar: median(side), Budget: b.String()}
	if b.direct {
		r.Pass = b.met(r.Sidecar)
		return r
	}
	r.Ratio, r.Low, r.High = median(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75)
	r.Pass = b.met(r.Ratio)
	return r
}

func printTable(w io.Writer, results []result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "measure\tunit\tReverseProxy\tsidecar\tratio\tquartiles\tbudget\t\t")
	for _, r := range results {
		base, ratio, quartiles, verdict := figure(r.ReverseProxy), "–", "–", "FAIL"
		if r.Alone {
			base = "–"
		}
		if r.Ratio != 0 {
			ratio, quartiles = fmt.Sprintf("%.2f", r.Ratio), fmt.Sprintf("%.2f–%.2f", r.Low, r.High)
		}
		if r.Pass {
			verdict = "PASS"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.Measure, r.Unit, base, figure(r.Sidecar), ratio, quartiles, r.Budget, verdict)
	}
	t.Flush()
}

// figure prints a number with the digits that mean something.
func figure(x float64) string {
	if x >= 100 || x == float64(int(x)) {
		return count(int(x + 0.5))
	}
	return strconv.FormatFloat(x, 'f', 1, 64)
}

// count prints a number with commas.
func count(n int) string {
	if n >= 1000 {
		return fmt.Sprintf("%s,%03d", count(n/1000), n%1000)
	}
	return strconv.Itoa(n)
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// quantile returns the value below which a share q of the values lies, interpolated between neighbours; 0 of nothing.
func quantile[T ~int64 | ~float64](values []T, q float64) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	at := q * float64(len(sorted)-1)
	below := int(at)
	above := min(below+1, len(sorted)-1)
	return sorted[below] + T((at-float64(below))*float64(sorted[above]-sorted[below]))
}

func median[T ~int64 | ~float64](values []T) T { return quantile(values, 0.5) }
