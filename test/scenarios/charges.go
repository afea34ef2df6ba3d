package scenarios

import (
	"math"
	"slices"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// ceilings is what a sidecar's book said, at each of its grants, that its windows may hold. The zero value is of a law that has no book.
type ceilings struct {
	of map[windowKey][]ceiling // changes only, by time
}

type windowKey struct {
	scope  limit.Scope
	period time.Duration
}

type ceiling struct {
	at time.Time
	n  int
}

// unbounded is a window that has no limit yet.
const unbounded = math.MaxInt

// note reads the book.
func (c *ceilings) note(now time.Time, b *quota.Book) {
	if c.of == nil {
		c.of = map[windowKey][]ceiling{}
	}
	said := map[windowKey]bool{}
	for _, v := range b.Snapshot(now) {
		for _, w := range v.Windows {
			k := windowKey{v.Scope, w.Rate.Period}
			said[k] = true
			c.set(k, ceiling{now, w.Rate.N})
		}
	}
	for k := range c.of {
		if !said[k] {
			c.set(k, ceiling{now, unbounded})
		}
	}
}

func (c *ceilings) set(k windowKey, to ceiling) {
	past := c.of[k]
	if len(past) == 0 || past[len(past)-1].n != to.n {
		c.of[k] = append(past, to)
	}
}

// over returns by how many a window ever held more charges than the highest ceiling in force while it lasted, plus the one that may
// test it, or than what was promised; at most zero is right. It counts the grants itself, and does not know how the book does.
func (w *world) over(side int) int {
	worst := math.MinInt
	for k, changes := range w.sides[side].ceilings.of {
		var charged []time.Time
		for _, g := range w.grants {
			if g.side == side && (k.scope.WholeAccount() || k.scope.Model == g.model) {
				charged = append(charged, g.at)
			}
		}
		first := 0
		for i, at := range charged {
			for !charged[first].After(at.Add(-k.period)) {
				first++
			}
			most := highest(changes, at.Add(-k.period), at)
			if most != unbounded {
				most++
			}
			most = min(most, w.Told.promised(k))
			worst = max(worst, i-first+1-most)
		}
	}
	return worst
}

// promised returns how many a window may hold at most whatever is learned.
func (t *Told) promised(k windowKey) int {
	terms := t.Model
	if k.scope.WholeAccount() {
		terms = t.Account
	}
	for _, r := range terms.Rates {
		if r.Period == k.period && terms.Trust != quota.Hint {
			return r.N
		}
	}
	return unbounded
}

// highest returns the highest ceiling that was in force between two times.
func highest(changes []ceiling, from, to time.Time) int {
	i, found := slices.BinarySearchFunc(changes, from, func(c ceiling, t time.Time) int { return c.at.Compare(t) })
	if !found {
		i--
	}
	if i < 0 {
		return unbounded // nothing was said yet
	}
	most := 0
	for ; i < len(changes) && !changes[i].at.After(to); i++ {
		most = max(most, changes[i].n)
	}
	return most
}
