package sched

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"nimsidecar/internal/priority"
)

// waterFill is the oracle of fairness: the weighted max-min shares of a capacity. Everybody's share rises at the pace of its weight
// until its demand is met or nothing is left. It knows nothing of virtual times.
func waterFill(capacity float64, demands, weights []float64) []float64 {
	shares := make([]float64, len(demands))
	for met := make([]bool, len(demands)); ; {
		left, thirst := capacity, 0.0
		for i := range demands {
			if met[i] {
				left -= demands[i]
			} else {
				thirst += weights[i]
			}
		}
		full := true
		for i := range demands {
			switch {
			case met[i]:
				shares[i] = demands[i]
			case demands[i] <= left/thirst*weights[i]:
				met[i], full = true, false
			default:
				shares[i] = left / thirst * weights[i]
			}
		}
		if full {
			return shares
		}
	}
}

func TestWaterFill(t *testing.T) {
	t.Parallel()
	inf := math.Inf(1)
	for _, test := range []struct {
		name                   string
		capacity               float64
		demands, weights, want []float64
	}{
		{"enough for all", 10, []float64{1, 2, 3}, []float64{1, 1, 1}, []float64{1, 2, 3}},
		{"all endless", 12, []float64{inf, inf, inf}, []float64{1, 1, 1}, []float64{4, 4, 4}},
		{"all endless, weighted", 13, []float64{inf, inf, inf}, []float64{8, 4, 1}, []float64{8, 4, 1}},
		{"what one leaves goes to the others", 10, []float64{2, inf, inf}, []float64{1, 1, 1}, []float64{2, 4, 4}},
		{"in two steps", 10, []float64{1, 3.5, inf, inf}, []float64{1, 1, 1, 1}, []float64{1, 3, 3, 3}},
		{"the leftover by weight", 21, []float64{1, inf, inf}, []float64{8, 4, 1}, []float64{1, 16, 4}},
		{"nothing there", 0, []float64{1, inf}, []float64{1, 1}, []float64{0, 0}},
		{"nobody there", 5, []float64{0, 0}, []float64{1, 1}, []float64{0, 0}},
	} {
		if got := waterFill(test.capacity, test.demands, test.weights); !slices.Equal(got, test.want) {
			t.Errorf("%s: waterFill(%v, %v, %v) = %v; want %v", test.name, test.capacity, test.demands, test.weights, got, test.want)
		}
	}
}

// What is max-min fair is known by this: nobody gets more than it demands, nothing is left while somebody lacks, and who lacks has no
// less, by weight, than anybody else.
func TestWaterFillIsMaxMinFair(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 5))
	for range 2000 {
		n := 1 + random.IntN(8)
		demands, weights := make([]float64, n), make([]float64, n)
		for i := range n {
			demands[i], weights[i] = math.Floor(random.ExpFloat64()*10), float64(1+random.IntN(8))
		}
		capacity := random.Float64() * 60
		shares := waterFill(capacity, demands, weights)
		total, lacking := 0.0, false
		for i, share := range shares {
			total += share
			if share > demands[i] {
				t.Fatalf("waterFill(%v, %v, %v) = %v; want no more than demanded", capacity, demands, weights, shares)
			}
			for j := range shares {
				if share < demands[i] && shares[j]/weights[j] > share/weights[i]+1e-9 {
					t.Fatalf("waterFill(%v, %v, %v) = %v: %d has more by weight than %d, which lacks", capacity, demands, weights, shares, j, i)
				}
			}
			lacking = lacking || share < demands[i]
		}
		if total > capacity+1e-9 || lacking && total < capacity-1e-9 {
			t.Fatalf("waterFill(%v, %v, %v) = %v, together %v", capacity, demands, weights, shares, total)
		}
	}
}

// guest is an agent of a class in a long run.
type guest struct {
	class                    priority.Class
	rate                     float64 // items a grant; infinite = there is always one
	offered, waiting, served float64
}

// demand is what the guest would have taken.
func (g *guest) demand() float64 {
	if math.IsInf(g.rate, 1) {
		return g.rate
	}
	return g.offered
}

// guests returns agents of HIGH, NORMAL and LOW, some of which ask for less than their share now and then, the others for all.
func guests(random *rand.Rand) (all []*guest) {
	for class := priority.High; class < priority.Count; class++ {
		for range 1 + random.IntN(5) {
			all = append(all, &guest{class: class, rate: []float64{0.01 * random.Float64(), math.Inf(1)}[random.IntN(2)]})
		}
	}
	return all
}

// index is the number that is the name of the item's agent.
func index(it *Item[int]) int {
	i, err := strconv.Atoi(it.Agent)
	if err != nil {
		panic(err)
	}
	return i
}

// run serves so many grants to the guests.
func run(random *rand.Rand, all []*guest, grants int) {
	var d desk
	for range grants {
		for i, g := range all {
			n := min(max(0, 2-g.waiting), g.rate)
			if g.rate < 1 {
				n = math.Floor(random.Float64() + g.rate)
			}
			d.come(int(n), g.class, strconv.Itoa(i), lanes[random.IntN(3)]...)
			g.offered += n
			g.waiting += n
		}
		it := d.grant()
		if it == nil {
			continue
		}
		i := index(it)
		all[i].waiting--
		all[i].served++
	}
}

// Where some wait all the time, the package comment bounds how far shares can be from max-min: by weight + 1 grants between the
// classes, by 2 between the agents of a class, and by what those who do not always ask still wait for.
func TestServiceOfALongRunIsMaxMinFair(t *testing.T) {
	t.Parallel()
	const grants = 20_000
	weights := []float64{8, 4, 1}
	for seed := range uint64(12) {
		random := rand.New(rand.NewPCG(seed, 6))
		all := guests(random)
		run(random, all, grants)
		demands, served := make([]float64, 3), make([]float64, 3)
		total, waiting := 0.0, 0.0
		for _, g := range all {
			demands[g.class-1] += g.demand()
			served[g.class-1] += g.served
			total += g.served
			if g.rate < 1 {
				waiting += g.waiting
			}
		}
		if waiting > 50 {
			t.Errorf("seed %d: %v of those who ask for little still wait; want few", seed, waiting)
		}
		for i, want := range waterFill(total, demands, weights) {
			class := priority.Class(i + 1)
			if got := served[i]; math.Abs(got-want) > 1+weights[i]+waiting {
				t.Errorf("seed %d: %s has %v grants of %v; want %.1f ± %v", seed, class, got, total, want, 1+weights[i]+waiting)
			}
			wantAgentsAlike(t, class, all, served[i])
		}
	}
}

// wantAgentsAlike compares what the agents of a class have of its grants.
func wantAgentsAlike(t *testing.T, class priority.Class, all []*guest, grants float64) {
	t.Helper()
	all = slices.DeleteFunc(slices.Clone(all), func(g *guest) bool { return g.class != class })
	demands, waiting := make([]float64, len(all)), 0.0
	for i, g := range all {
		demands[i] = g.demand()
		if g.rate < 1 {
			waiting += g.waiting
		}
	}
	var endless []float64
	for i, want := range waterFill(grants, demands, slices.Repeat([]float64{1}, len(all))) {
		if got := all[i].served; math.Abs(got-want) > 2+waiting {
			t.Errorf("agent %d of %s, rate %v, has %v of %v grants; want %.1f ± %v", i, class, all[i].rate, got, grants, want, 2+waiting)
		}
		if math.IsInf(all[i].rate, 1) {
			endless = append(endless, all[i].served)
		}
	}
	if len(endless) > 1 && grants > 1000 && jain(endless) < 0.99 {
		t.Errorf("Jain's index between those of %s who always ask = %v; want at least 0.99", class, jain(endless))
	}
}

// The ideal that serves all agents at once and evenly, moment by moment, cannot be met to the request. How near the room stays to it
// is measured, not derived: 3 requests, whatever the others do. First in, first out is hundreds away.
func TestAgentsStayNearTheFluidIdeal(t *testing.T) {
	t.Parallel()
	const near = 4
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 7))
		n := 2 + random.IntN(20)
		rates, ideal, fluid, even := make([]float64, n), make([]float64, n), make([]float64, n), slices.Repeat([]float64{1}, n)
		served := make([]float64, n)
		for i := range rates {
			rates[i] = 2 * random.Float64() / float64(n)
		}
		var d desk
		for grant := range 3000 {
			for i, rate := range rates {
				burst := []int{1, 1, 20}[i%3]
				if random.Float64() < rate/float64(burst)*1.5 {
					k := 1 + random.IntN(burst)
					d.come(k, priority.Normal, strconv.Itoa(i))
					fluid[i] += float64(k)
				}
			}
			for i, share := range waterFill(1, fluid, even) {
				ideal[i] += share
				fluid[i] -= share
			}
			if it := d.grant(); it != nil {
				served[index(it)]++
			}
			for i := range served {
				if off := math.Abs(served[i] - ideal[i]); off > near {
					t.Fatalf("seed %d: agent %d of %d has %v grants at grant %d, the ideal is %.1f; want at most %d off", seed, i, n, served[i], grant, ideal[i], near)
				}
			}
		}
	}
}
