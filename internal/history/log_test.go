package history

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start is the begin of a step of every span.
func start() time.Time { return time.Unix(1_700_000_100, 0).Truncate(5 * time.Minute) }

func TestASampleGoesIntoTheRunningRowOfEverySpan(t *testing.T) {
	t.Parallel()
	l, now := New(), start()
	l.Add(now.Add(2*time.Second), Sample{Granted: 3, Refused: 1, Rate: 30, Ceiling: 40, Utilisation: math.NaN(), Depth: [Classes]int{1, 2, 3, 4}})
	l.Add(now.Add(7*time.Second), Sample{Granted: 4, Rate: 50, Ceiling: math.NaN(), Utilisation: math.NaN(), Depth: [Classes]int{0, 5, 0, 0}})
	for _, tt := range []struct {
		span string
		want [2]float64 // granted of the last two steps
		rate float64    // of the last but one
	}{
		{"15m", [2]float64{3, 4}, 30},
		{"1h", [2]float64{math.NaN(), 7}, math.NaN()},
		{"6h", [2]float64{math.NaN(), 7}, math.NaN()},
		{"24h", [2]float64{math.NaN(), 7}, math.NaN()},
	} {
		step := time.Duration(0)
		for _, s := range Spans() {
			if s.Name == tt.span {
				step = s.Step
			}
		}
		end := now.Add(max(step, 10*time.Second))
		s, ok := l.Series(end, tt.span)
		if !ok || len(s.Time) != len(s.Granted) {
			t.Fatalf("Series(%s) = %d times, %d values, %t", tt.span, len(s.Time), len(s.Granted), ok)
		}
		n := len(s.Granted)
		if got := [2]float64{s.Granted[n-2], s.Granted[n-1]}; !same(got[0], tt.want[0]) || !same(got[1], tt.want[1]) {
			t.Errorf("%s: granted ends in %v; want %v", tt.span, got, tt.want)
		}
		if !same(s.Rate[n-2], tt.rate) {
			t.Errorf("%s: the rate of the last but one step is %v; want %v", tt.span, s.Rate[n-2], tt.rate)
		}
		if want := end.Add(-step); !s.Time[n-1].Equal(want) {
			t.Errorf("%s: the last step begins at %v; want %v", tt.span, s.Time[n-1], want)
		}
	}
	s, _ := l.Series(now.Add(time.Minute), "6h")
	n := len(s.Rate) - 1
	if s.Rate[n] != 40 || s.Ceiling[n] != 40 || !math.IsNaN(s.Utilisation[n]) || s.Refused[n] != 1 || s.Depth[1][n] != 5 || s.Depth[3][n] != 4 {
		t.Errorf("a minute of two samples: rate %v, ceiling %v, utilisation %v, refused %v, depth %v, %v; want 40, 40, NaN, 1, 5, 4",
			s.Rate[n], s.Ceiling[n], s.Utilisation[n], s.Refused[n], s.Depth[1][n], s.Depth[3][n])
	}
}

func same(x, y float64) bool { return x == y || math.IsNaN(x) && math.IsNaN(y) }

func TestTheRunningStepIsNotShown(t *testing.T) {
	t.Parallel()
	l, now := New(), start()
	l.Add(now, Sample{Granted: 9})
	s, _ := l.Series(now.Add(Step-1), "15m")
	if n := len(s.Granted); !math.IsNaN(s.Granted[n-1]) {
		t.Errorf("before its end a step shows %v; want nothing", s.Granted[n-1])
	}
}

func TestAnUnknownSpanIsNone(t *testing.T) {
	t.Parallel()
	if _, ok := New().Series(start(), "2h"); ok {
		t.Error("Series(2h) is there; want none")
	}
}

// TestTheLogIsThatOfANaiveOne holds the rings to a list of everything that was ever added.
func TestTheLogIsThatOfANaiveOne(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	type event struct {
		at      time.Time
		granted int
	}
	l, now := New(), start()
	var all []event
	for range 20_000 {
		now = now.Add(time.Duration(random.Int64N(int64(8 * time.Second))))
		if random.IntN(500) == 0 {
			now = now.Add(time.Duration(random.Int64N(int64(2 * time.Hour)))) // the machine slept
		}
		e := event{now, random.IntN(10)}
		all = append(all, e)
		l.Add(e.at, Sample{Granted: e.granted})
	}
	for _, span := range Spans() {
		end := now.UnixNano() / int64(span.Step)
		want := map[int64]float64{}
		for _, e := range all {
			want[e.at.UnixNano()/int64(span.Step)] += float64(e.granted)
		}
		s, _ := l.Series(now, span.Name)
		if len(s.Granted) != span.Rows {
			t.Fatalf("%s has %d rows; want %d", span.Name, len(s.Granted), span.Rows)
		}
		for i, got := range s.Granted {
			n, there := want[end-int64(span.Rows-i)]
			if !there {
				n = math.NaN()
			}
			if !same(got, n) {
				t.Errorf("%s: step %d of %d holds %v; want %v", span.Name, i, span.Rows, got, n)
			}
		}
	}
}

func TestAClockThatIsSetBackLosesLittle(t *testing.T) {
	t.Parallel()
	l, now := New(), start()
	l.Add(now, Sample{Granted: 1})
	l.Add(now.Add(-time.Minute), Sample{Granted: 2})
	if n := l.Granted(now.Add(Step), 1); n != 3 {
		t.Errorf("after a minute back the newest step holds %d; want 3", n)
	}
	l.Add(now.Add(-48*time.Hour), Sample{Granted: 4})
	if n := l.Granted(now.Add(-48*time.Hour+Step), 1); n != 4 {
		t.Errorf("after two days back the past begins anew with %d; want 4", n)
	}
}

func TestQuantilesAreWithinTheirBucket(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	for range 200 {
		var w Waits
		var all []time.Duration
		for range 1 + random.IntN(300) {
			d := time.Duration(math.Exp(random.Float64()*14) * float64(time.Millisecond)) // up to 20 min
			all = append(all, d)
			w.Add(d)
		}
		for _, q := range []float64{0.01, 0.5, 0.95, 1} {
			got, ok := w.Quantile(q)
			// The exact answer: how many do not exceed it.
			below, above := 0, 0
			for _, d := range all {
				if d < got/2 {
					below++
				}
				if d <= got*2 {
					above++
				}
			}
			capped := got == time.Millisecond<<(Buckets-2)
			if rank := q * float64(len(all)); !ok || float64(below) > rank || float64(above) < rank && !capped {
				t.Fatalf("Quantile(%v) = %v: %d of %d are less than half of it, %d at most twice; want %v between", q, got, below, len(all), above, rank)
			}
		}
	}
	if _, ok := new(Waits).Quantile(0.5); ok {
		t.Error("nobody waited, and there is a median")
	}
}

func TestWaitsOfAClassAreItsOwn(t *testing.T) {
	t.Parallel()
	l, now := New(), start()
	for i := range 10 {
		l.Waited(now.Add(time.Duration(i)*Step), 2, 3*time.Second)
	}
	end := now.Add(9 * Step)
	count := func(w Waits) (n uint32) {
		for _, m := range w {
			n += m
		}
		return n
	}
	if n := count(l.Waits(end, 2, 4)); n != 4 {
		t.Errorf("the last four steps hold %d waits; want 4", n)
	}
	if n := count(l.Waits(end, 1, 100)); n != 0 {
		t.Errorf("another class has %d waits; want 0", n)
	}
	w := l.Waits(end, 2, 100)
	if d, _ := w.Quantile(0.5); d != 3072*time.Millisecond {
		t.Errorf("the median of waits of 3 s is %v; want the middle of its bucket, 3.072s", d)
	}
}

func TestRowsOutliveTheLog(t *testing.T) {
	t.Parallel()
	old, now := New(), start()
	var kept map[string][]byte
	save := func() {
		for _, r := range old.Unsaved() {
			kept[fmt.Sprint(r.Step, " ", r.Slot)] = r.Append(nil)
		}
	}
	kept = map[string][]byte{}
	for i := range 1000 {
		now = now.Add(Step)
		old.Add(now, Sample{Granted: i % 7, Rate: float64(i), Ceiling: 40, Utilisation: 0.5, Depth: [Classes]int{i % 3}})
		old.Waited(now, i%Classes, time.Duration(i)*time.Millisecond)
		if i%2 == 0 {
			save()
		}
	}
	save()
	if rows := old.Unsaved(); len(rows) != 0 {
		t.Errorf("%d rows are unsaved right after a save; want none", len(rows))
	}
	if old.Resave(); len(old.Unsaved()) < 180 {
		t.Error("after Resave not all rows are unsaved")
	}
	var rows []Row
	for _, span := range Spans() {
		for slot := int64(0); slot <= now.UnixNano()/int64(span.Step); slot++ {
			if slot == 0 {
				slot = start().UnixNano()/int64(span.Step) - 1
			}
			if text, ok := kept[fmt.Sprint(span.Step, " ", slot)]; ok {
				r, err := ParseRow(span.Step, slot, text)
				if err != nil {
					t.Fatal(err)
				}
				rows = append(rows, r)
			}
		}
	}
	fresh := New()
	fresh.Restore(now, rows)
	fresh.Add(now, Sample{Granted: 100})
	old.Add(now, Sample{Granted: 100})
	for _, span := range Spans() {
		at := now.Add(span.Step)
		was, _ := old.Series(at, span.Name)
		is, _ := fresh.Series(at, span.Name)
		if diff := cmp.Diff(was, is, cmp.Comparer(same)); diff != "" {
			t.Errorf("%s after a restart (-was +is):\n%s", span.Name, diff)
		}
	}
}

func TestRowsThatCannotBeAreNotRestored(t *testing.T) {
	t.Parallel()
	now := start()
	slot := now.UnixNano() / int64(Step)
	l := New()
	l.Restore(now, []Row{
		{Step: Step, Slot: slot - 180, Granted: 1}, // too old
		{Step: Step, Slot: slot - 2, Granted: 2},
		{Step: Step, Slot: slot - 3, Granted: 4},   // out of order
		{Step: Step, Slot: slot - 2, Granted: 8},   // twice
		{Step: Step, Slot: slot + 1, Granted: 16},  // in the future
		{Step: time.Hour, Slot: slot, Granted: 32}, // of no span
	})
	if n := l.Granted(now.Add(Step), 500); n != 2 {
		t.Errorf("%d were restored; want the 2 of the one row that can be", n)
	}
}

func FuzzParseRow(f *testing.F) {
	r := Row{Granted: 7, Waits: [Classes]Waits{{1, 2, 3}}}
	r.Rate.add(39.5)
	f.Add(r.Append(nil))
	f.Add([]byte{})
	f.Add([]byte{form})
	f.Add([]byte{2, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRow(Step, 5, b)
		if err != nil {
			return
		}
		again, err := ParseRow(Step, 5, r.Append(nil))
		if err != nil || again != r {
			t.Errorf("ParseRow(%x) = %+v, which is written as what is read as %+v, %v", b, r, again, err)
		}
		for _, sum := range r.sums() {
			if math.IsNaN(*sum) || math.IsInf(*sum, 0) {
				t.Errorf("ParseRow(%x) has the sum %v", b, *sum)
			}
		}
	})
}

func TestARowThatIsNoneIsAnError(t *testing.T) {
	t.Parallel()
	good := (&Row{Granted: 300}).Append(nil)
	for name, b := range map[string][]byte{
		"nothing": nil, "another form": append([]byte{9}, good[1:]...), "cut": good[:len(good)-1], "longer": append(good[:len(good):len(good)], 0),
		"cut in a sum": good[:5],
	} {
		if r, err := ParseRow(Step, 0, b); err == nil {
			t.Errorf("%s: ParseRow = %+v; want an error", name, r)
		}
	}
}

func ExampleLog() {
	l, now := New(), time.Unix(1_700_000_000, 0)
	l.Add(now, Sample{Granted: 3, Rate: 38, Ceiling: 40, Utilisation: 0.95})
	l.Waited(now, 2, 3*time.Second)
	s, _ := l.Series(now.Add(Step), "15m")
	last := len(s.Granted) - 1
	fmt.Println(s.Granted[last], s.Rate[last], s.WaitP50[2][last], s.WaitP50[0][last])
	// Output: 3 38 3072 NaN
}

// BenchmarkAdd: budget 1 µs, nothing allocated once the log is full. It happens every 5 s.
func BenchmarkAdd(b *testing.B) {
	l, now := New(), start()
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(Step)
		l.Add(now, Sample{Granted: 3, Rate: 38, Ceiling: 40, Utilisation: 0.95})
	}
}

// BenchmarkSeries: budget 1 ms for a day. It happens when somebody opens a graph.
func BenchmarkSeries(b *testing.B) {
	l, now := New(), start()
	for range 20_000 {
		now = now.Add(Step)
		l.Add(now, Sample{Granted: 3})
		l.Waited(now, 1, time.Second)
	}
	b.ReportAllocs()
	for b.Loop() {
		l.Series(now, "24h")
	}
}
