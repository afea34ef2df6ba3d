package sched

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"nimsidecar/internal/priority"
)

// endless makes sure that an item of each class waits.
func (d *desk) endless(classes ...priority.Class) {
	for _, class := range classes {
		if d.Depth()[class] == 0 {
			d.come(1, class, "")
		}
	}
}

func TestBackloggedClassesShareByWeight(t *testing.T) {
	t.Parallel()
	var d desk
	for cycle := range 1000 {
		var got [priority.Count]int
		for range 8 + 4 + 1 {
			d.endless(priority.High, priority.Normal, priority.Low)
			got[d.grant().Class]++
		}
		if want := [priority.Count]int{0, 8, 4, 1}; got != want {
			t.Fatalf("cycle %d: grants = %v; want %v", cycle, got, want)
		}
	}
}

func TestUnusedShareGoesToTheOthersByWeight(t *testing.T) {
	t.Parallel()
	var d desk
	var got [priority.Count]int
	for i := range 1000 {
		d.endless(priority.Normal, priority.Low)
		if i%10 == 0 {
			d.come(1, priority.High, "")
		}
		got[d.grant().Class]++
	}
	if want := [priority.Count]int{0, 100, 720, 180}; got != want {
		t.Errorf("grants = %v; want %v: HIGH has its 100, the others 4 : 1 of the rest", got, want)
	}
}

// contest watches the contended grants.
type contest struct {
	urgent []bool
}

// note takes a grant down if another class could have been proposed, and returns how many of the last 40 were URGENT's.
func (c *contest) note(class priority.Class, depth [priority.Count]int) (urgents int) {
	depth[class] = 0
	if depth != [priority.Count]int{} {
		c.urgent = append(c.urgent, class == priority.Urgent)
	}
	for _, urgent := range c.urgent[max(0, len(c.urgent)-40):] {
		if urgent {
			urgents++
		}
	}
	return urgents
}

func TestFloodOfUrgentLeavesTheOthers30Percent(t *testing.T) {
	t.Parallel()
	for _, other := range []priority.Class{priority.High, priority.Normal, priority.Low} {
		var d desk
		var c contest
		for i := range 4000 {
			d.endless(priority.Urgent, other)
			depth := d.Depth()
			urgents := c.note(d.grant().Class, depth)
			if i >= 39 && urgents != 28 {
				t.Fatalf("URGENT has %d of the 40 grants up to %d, beside %s; want 28", urgents, i+1, other)
			}
		}
	}
}

func TestUrgentIsCappedWhateverTheOthersDo(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 2))
		var d desk
		var c contest
		others := 0 // grants in a row
		for i := range 5000 {
			d.endless(priority.Urgent)
			if random.IntN(3) == 0 {
				d.come(1, priority.Class(1+random.IntN(3)), "")
			}
			depth := d.Depth()
			got := d.grant().Class
			if alone := depth[priority.Urgent] == d.Len()+1; alone && got != priority.Urgent {
				t.Fatalf("seed %d, grant %d goes to %s; want URGENT, which waits alone", seed, i, got)
			}
			if others++; got == priority.Urgent {
				others = 0
			}
			if others > 12 {
				t.Fatalf("seed %d: URGENT has waited for %d grants at grant %d; want at most 12", seed, others, i)
			}
			if urgents := c.note(got, depth); urgents > 28 {
				t.Fatalf("seed %d: URGENT has %d of the last 40 contended grants at grant %d; want at most 28", seed, urgents, i)
			}
		}
	}
}

func TestCappedUrgentIsServedWhileTheOthersAreBlocked(t *testing.T) {
	t.Parallel()
	var d desk
	d.come(100, priority.Urgent, "")
	low := d.come(2, priority.Low, "")
	for range 28 {
		d.grant()
	}
	if got := d.First().Class; got != priority.Low {
		t.Fatalf("First() is of %s after 28 URGENT grants; want LOW", got)
	}
	d.Block(low, at(time.Hour))
	for i := range 60 {
		if got := d.grant().Class; got != priority.Urgent {
			t.Fatalf("grant %d goes to %s; want URGENT: LOW is blocked", i, got)
		}
	}
	d.Wake(at(time.Hour))
	if got := d.First().Class; got != priority.Low {
		t.Errorf("First() is of %s once LOW is awake; want LOW: what it did not contend for does not count", got)
	}
}

func TestClassThatDidNotAskHasNoCredit(t *testing.T) {
	t.Parallel()
	for _, blocked := range []bool{false, true} {
		t.Run(fmt.Sprint("blocked ", blocked), func(t *testing.T) {
			t.Parallel()
			var d desk
			d.come(200, priority.Normal, "")
			if blocked {
				d.Block(d.come(100, priority.High, ""), at(time.Hour))
			}
			for range 100 {
				d.grant()
			}
			if !blocked {
				d.come(100, priority.High, "")
			}
			d.Wake(at(time.Hour))
			var got [priority.Count]int
			for range 90 {
				got[d.grant().Class]++
			}
			if want := [priority.Count]int{0, 61, 29, 0}; got != want {
				t.Errorf("grants = %v; want %v: one more for HIGH, since NORMAL had just been served", got, want)
			}
		})
	}
}

// gaps are the most grants that others can have while an item of the class waits, as the package comment derives them.
var gaps = [priority.Count]int{priority.High: 30, priority.Normal: 32, priority.Low: 70}

func TestLongestGapOfAClassIsMetExactly(t *testing.T) {
	t.Parallel()
	for _, class := range []priority.Class{priority.High, priority.Normal, priority.Low} {
		var d desk
		d.come(2, class, "")
		d.grant()
		for _, other := range priority.All() {
			if other != class { // all come right after its grant, the worst moment
				d.come(100, other, "")
			}
		}
		gap := 0
		for d.grant().Class != class {
			gap++
		}
		if gap != gaps[class] {
			t.Errorf("%s waits for %d grants of others; want %d", class, gap, gaps[class])
		}
	}
}

func TestNoClassWaitsLongerThanItsLongestGap(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 3))
		class := priority.Class(1 + seed%3)
		var d desk
		gap := 0
		for i := range 5000 {
			d.endless(class)
			for _, other := range priority.All() {
				if random.IntN(40) == 0 { // it comes in bursts, so that it is idle now and then
					d.come(random.IntN(60), other, "")
				}
			}
			gap++
			if d.grant().Class == class {
				gap = 0
			}
			if gap > gaps[class] {
				t.Fatalf("seed %d: %s has waited for %d grants at grant %d; want at most %d", seed, class, gap, i, gaps[class])
			}
		}
	}
}
