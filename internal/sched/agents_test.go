package sched

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"nimsidecar/internal/priority"
)

// jain is Jain's index of fairness: 1 when all have the same, 1/n when one has all.
func jain(service []float64) float64 {
	var sum, squares float64
	for _, x := range service {
		sum += x
		squares += x * x
	}
	return sum * sum / (float64(len(service)) * squares)
}

func TestEqualAgentsHaveEqualShares(t *testing.T) {
	t.Parallel()
	var d desk
	const agents = 7
	var waiting, service [agents]float64
	for grant := 1; grant <= 7000; grant++ {
		for i := range agents {
			if waiting[i] == 0 { // one comes with 1 at a time, another with 1,000, on a line of their own or not
				n := []int{1, 2, 3, 10, 50, 300, 1000}[i]
				d.come(n, priority.Normal, fmt.Sprint(i), lanes[i%3]...)
				waiting[i] += float64(n)
			}
		}
		i := int(d.grant().Agent[0] - '0')
		waiting[i]--
		service[i]++
		if grant%agents == 0 && (jain(service[:]) < 0.99 || slices.Max(service[:]) > slices.Min(service[:])) {
			t.Fatalf("service after %d grants = %v, Jain %.3f; want equal shares", grant, service, jain(service[:]))
		}
	}
}

func TestAgentsShareByCost(t *testing.T) {
	t.Parallel()
	var d desk
	for range 400 {
		d.come(1, priority.Low, "cheap")
		d.arrivals++
		d.Add(&Item[int]{Class: priority.Low, Agent: "dear", Arrival: d.arrivals, Lanes: lanes[0], Cost: 3})
	}
	service := map[string]int{}
	for range 400 {
		service[d.grant().Agent]++
	}
	if cheap, dear := service["cheap"], service["dear"]; cheap != 300 || dear != 100 {
		t.Errorf("grants at cost 1 and 3 = %d and %d; want 300 and 100", cheap, dear)
	}
}

// party is an agent in a random run.
type party struct {
	name    string
	cost    float64
	come    func(waiting int) int // how many items come before a grant
	waiting int
	service float64   // the cost of all its grants
	ahead   []float64 // by how much more each other's service has grown than its own, at its least since it waits
}

// parties returns agents of all habits: endless, steady, in bursts, one at a time.
func parties(random *rand.Rand) []*party {
	all := make([]*party, 2+random.IntN(12))
	for i := range all {
		rate := 2 * random.Float64() / float64(len(all))
		habits := []func(int) int{
			func(waiting int) int { return max(0, 2-waiting) },
			func(int) int { return int(random.Float64() + rate) },
			func(int) int { return random.IntN(20) * int(random.Float64()+rate/10) },
			func(waiting int) int { return max(0, 1-waiting) * random.IntN(2) },
		}
		all[i] = &party{
			name: fmt.Sprint(i), come: habits[random.IntN(len(habits))], cost: []float64{1, 1, 1, 0.3, 7}[random.IntN(5)], ahead: make([]float64, len(all)),
		}
	}
	return all
}

// Over any time in which an item of a can be proposed, b gets at most this much more, whatever b does: the cost of an item of b and
// of the dearest of all, which is 2 requests where each costs 1.
func TestNobodyGetsMoreThanWhoWaitsAllTheTime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(150) {
		random := rand.New(rand.NewPCG(seed, 4))
		all, dearest := parties(random), 0.0
		for _, a := range all {
			dearest = max(dearest, a.cost)
		}
		var d desk
		for grant := range 2000 {
			for _, a := range all {
				for n := a.come(a.waiting); n > 0; n-- {
					if a.waiting++; a.waiting == 1 {
						for i, b := range all {
							a.ahead[i] = b.service - a.service
						}
					}
					d.arrivals++
					d.Add(&Item[int]{Class: priority.High, Agent: a.name, Arrival: d.arrivals, Lanes: lanes[random.IntN(3)], Cost: a.cost})
				}
			}
			it := d.grant()
			if it == nil {
				continue
			}
			served := all[index(it)]
			served.waiting--
			served.service += it.Cost
			for _, a := range all {
				for i, b := range all {
					if a.waiting == 0 && a != served {
						continue
					}
					a.ahead[i] = min(a.ahead[i], b.service-a.service)
					if got, most := b.service-a.service-a.ahead[i], dearest+b.cost; got > most+1e-9 {
						t.Fatalf("seed %d, grant %d: %s has got %g more than %s, which waits; want at most %g", seed, grant, b.name, got, a.name, most)
					}
				}
			}
		}
	}
}

// With the others gone for a moment, or blocked for long, an agent that asks for one thing at a time would always be first if its
// account were closed whenever it leaves.
func TestNobodyGainsByLeavingAndComingBack(t *testing.T) {
	t.Parallel()
	var d desk
	d.Block(d.come(1, priority.Normal, "blocked", lanes[2]...), time.Time{})
	d.come(200, priority.Normal, "stays", lanes[1]...)
	service := map[string]int{}
	for range 100 {
		d.come(1, priority.Normal, "comes and goes", lanes[0]...)
		for range 2 {
			service[d.grant().Agent]++
		}
		if d.Least(lanes[0][0].AccountScope()); service["comes and goes"] > service["stays"]+1 {
			t.Fatalf("grants = %v; want as many for who stays", service)
		}
	}
}

func TestAgentThatDidNotAskHasNoCredit(t *testing.T) {
	t.Parallel()
	for _, blocked := range []bool{false, true} {
		t.Run(fmt.Sprint("blocked ", blocked), func(t *testing.T) {
			t.Parallel()
			var d desk
			d.come(200, priority.Low, "ann")
			d.come(200, priority.Low, "bob")
			if blocked {
				d.Block(d.come(100, priority.Low, "eve", lanes[2]...), at(time.Hour))
			}
			for range 100 {
				d.grant()
			}
			if !blocked {
				d.come(100, priority.Low, "eve", lanes[2]...)
			}
			d.Wake(at(time.Hour))
			service := map[string]int{}
			for range 90 {
				service[d.grant().Agent]++
			}
			for agent, got := range service {
				if got != 30 {
					t.Errorf("%s has %d of the next 90 grants; want 30", agent, got)
				}
			}
		})
	}
}

// Who takes a new name for each request is a new agent each time. With w of them waiting all the time, and those remembered who were
// served while par moved by 1, e·(w+1) agents share.
func TestStreamOfNewNamesDoesNotStarveAnOldAgent(t *testing.T) {
	t.Parallel()
	for _, w := range []int{1, 2, 5, 30, 200} {
		var d desk
		d.come(10_000, priority.Low, "old")
		for i := range w {
			d.come(1, priority.Low, fmt.Sprint("new ", -i))
		}
		gap := 0
		for i := range 20_000 {
			gap++
			if d.grant().Agent == "old" {
				gap = 0
			} else {
				d.come(1, priority.Low, fmt.Sprint("new ", i+1))
			}
			if most := 3 * (w + 1); gap > most || len(d.agents[priority.Low].byName) > most {
				t.Fatalf("with %d waiting: %d grants to others and %d agents remembered; want at most %d", w, gap, len(d.agents[priority.Low].byName), most)
			}
		}
	}
}

func TestItemThatComesBackIsPaidOnce(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		again bool
		want  map[string]int
	}{
		{true, map[string]int{"lucky": 101, "unlucky": 200}},
		{false, map[string]int{"lucky": 151, "unlucky": 150}},
	} {
		var d desk
		d.come(300, priority.Normal, "lucky")
		d.come(300, priority.Normal, "unlucky")
		grants, tried := map[string]int{}, map[uint64]bool{}
		for range 301 {
			it := d.grant()
			grants[it.Agent]++
			if it.Agent == "unlucky" && !tried[it.Arrival] {
				tried[it.Arrival] = true
				it.Again = test.again
				d.Add(it)
			}
		}
		for agent, want := range test.want {
			if got := grants[agent]; got != want {
				t.Errorf("Again = %t: %s, whose every request is tried twice or not, has %d grants; want %d", test.again, agent, got, want)
			}
		}
	}
}

func TestAgentsOfOneClassDoNotPayForAnother(t *testing.T) {
	t.Parallel()
	var d desk
	d.come(50, priority.High, "ann")
	d.come(50, priority.High, "bob")
	for range 99 {
		d.grant()
	}
	d.come(10, priority.Low, "bob")
	d.come(10, priority.Low, "ann")
	service := map[string]int{}
	for range 11 {
		if it := d.grant(); it.Class == priority.Low {
			service[it.Agent]++
		}
	}
	if service["ann"] != 5 || service["bob"] != 5 {
		t.Errorf("LOW grants = %v; want 5 each", service)
	}
}
