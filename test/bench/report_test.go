package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		values []float64
		q      float64
		want   float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.25, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{[]float64{4, 1, 3, 2}, 0.5, 2.5},
		{[]float64{1, 2, 3, 4, 5}, 0.25, 2},
		{[]float64{10, 0}, 0.75, 7.5},
		{[]float64{1, 2, 3}, 0, 1},
		{[]float64{1, 2, 3}, 1, 3},
	} {
		if got := quantile(test.values, test.q); got != test.want {
			t.Errorf("quantile(%v, %v) = %v; want %v", test.values, test.q, got, test.want)
		}
	}
	unsorted := []time.Duration{3, 1, 2}
	if got := median(unsorted); got != 2 || unsorted[0] != 3 {
		t.Errorf("median([3 1 2]) = %d and leaves %v; want 2 and the slice as it was", got, unsorted)
	}
}

// TestJudgeTakesTheMedianOfPairedRatios has rounds on a machine that slows down threefold: the ratio of the medians
// would be 0.9, the ratio inside each round is 0.5 but for one.
func TestJudgeTakesTheMedianOfPairedRatios(t *testing.T) {
	t.Parallel()
	got := judge("CPU", "µs", []pair{{100, 50}, {200, 180}, {300, 150}}, atMost(0.8))
	want := result{Measure: "CPU", Unit: "µs", ReverseProxy: 200, Sidecar: 150, Ratio: 0.5, Low: 0.5, High: 0.7, Budget: "≤ 0.8 x", Pass: true}
	if got != want {
		t.Errorf("judge = %+v; want %+v", got, want)
	}
	got = judge("idle", "MiB", []pair{{7, 21}}, atMostValue(20))
	want = result{Measure: "idle", Unit: "MiB", ReverseProxy: 7, Sidecar: 21, Budget: "≤ 20"}
	if got != want {
		t.Errorf("judge = %+v; want %+v", got, want)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		budget budget
		figure float64
		met    bool
		text   string
	}{
		{atMost(0.8), 0.8, true, "≤ 0.8 x"},
		{atMost(0.8), 0.81, false, "≤ 0.8 x"},
		{atLeast(1.2), 1.2, true, "≥ 1.2 x"},
		{atLeast(1.2), 1.19, false, "≥ 1.2 x"},
		{atMost(1).within(0.05), 1.04, true, "≤ 1 x ± 5 %"},
		{atMost(1).within(0.05), 1.06, false, "≤ 1 x ± 5 %"},
		{atLeast(1).within(0.05), 0.96, true, "≥ 1 x ± 5 %"},
		{atLeast(1).within(0.05), 0.94, false, "≥ 1 x ± 5 %"},
		{atMostValue(0), 0, true, "≤ 0"},
		{atMostValue(0), 1, false, "≤ 0"},
	} {
		if got := test.budget.met(test.figure); got != test.met {
			t.Errorf("(%v).met(%v) = %t; want %t", test.budget, test.figure, got, test.met)
		}
		if got := test.budget.String(); got != test.text {
			t.Errorf("String() = %q; want %q", got, test.text)
		}
	}
}

func TestInTurnChangesTheOrderAndEndsAtAnError(t *testing.T) {
	t.Parallel()
	base, side := &process{addr: "base"}, &process{addr: "side"}
	var order []string
	for round := range 2 {
		var p pair
		err := inTurn(round, base, side, func(which *process, of func(*pair) *float64) error {
			order = append(order, which.addr)
			*of(&p) = float64(len(which.addr) + int(which.addr[0]))
			return nil
		})
		if want := (pair{4 + 'b', 4 + 's'}); p != want || err != nil {
			t.Errorf("round %d: inTurn fills %v, %v; want %v, nil", round, p, err, want)
		}
	}
	if got := fmt.Sprint(order); got != "[base side side base]" {
		t.Errorf("the order is %s; want [base side side base]", got)
	}
	broken, calls := errors.New("broken"), 0
	err := inTurn(0, base, side, func(*process, func(*pair) *float64) error { calls++; return broken })
	if err != broken || calls != 1 {
		t.Errorf("inTurn = %v after %d calls; want the first call's error", err, calls)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	printTable(&out, []result{
		{Measure: "CPU", Unit: "µs", ReverseProxy: 99.96, Sidecar: 12345.6, Ratio: 0.5, Low: 0.4, High: 0.6, Budget: "≤ 1 x", Pass: true},
		{Measure: "lost", Unit: "of 2,000", Sidecar: 1, Budget: "≤ 0"},
		{Measure: "queued", Unit: "KiB", Sidecar: 24.1, Budget: "≤ 30", Pass: true, Alone: true},
	})
	want := `
  measure      unit  ReverseProxy  sidecar  ratio  quartiles  budget
      CPU        µs         100.0   12,346   0.50  0.40–0.60   ≤ 1 x  PASS
     lost  of 2,000             0        1      –          –     ≤ 0  FAIL
   queued       KiB             –     24.1      –          –    ≤ 30  PASS
`
	var got strings.Builder
	got.WriteString("\n")
	for line := range strings.Lines(out.String()) {
		got.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	if got.String() != want {
		t.Errorf("printTable writes%s; want%s", got.String(), want)
	}
}
