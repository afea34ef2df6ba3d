package scenarios

import (
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/mock/limiter"
	"nimsidecar/internal/quota"
)

// charged is a world in which one sidecar has sent at the given seconds, and said the given ceilings of the account's minute.
func charged(told Told, said []ceiling, seconds ...int) *world {
	k := windowKey{limit.Scope{Provider: "p", Account: "a"}, time.Minute}
	w := &world{Scenario: &Scenario{Told: told}, sides: []*side{{ceilings: ceilings{map[windowKey][]ceiling{k: said}}}}}
	for _, s := range seconds {
		w.grants = append(w.grants, grant{at: noon().Add(time.Duration(s) * time.Second), model: "m"})
	}
	return w
}

func TestChargesAreComparedWithTheCeilingInForce(t *testing.T) {
	t.Parallel()
	at := func(s, n int) ceiling { return ceiling{noon().Add(time.Duration(s) * time.Second), n} }
	promised := Told{Account: quota.Terms{Rates: parse("2-M"), Trust: quota.Promise}}
	for _, tt := range []struct {
		name string
		w    *world
		want int
	}{
		{"one beyond may test the ceiling", charged(Told{}, []ceiling{at(0, 2)}, 60, 70, 80), 0},
		{"two are too many", charged(Told{}, []ceiling{at(0, 2)}, 60, 70, 80, 90), 1},
		{"a minute later they do not count", charged(Told{}, []ceiling{at(0, 2)}, 60, 70, 80, 120, 130, 140), 0},
		{"an instant less than a minute later they do", charged(Told{}, []ceiling{at(0, 2)}, 60, 70, 80, 119), 1},
		{"the highest ceiling of the window counts", charged(Told{}, []ceiling{at(0, 2), at(65, 3), at(75, 2)}, 60, 70, 80, 90), 0},
		{"one that ended before does not", charged(Told{}, []ceiling{at(0, 3), at(25, 2)}, 60, 70, 80, 90), 1},
		{"a promise may not be tested", charged(promised, []ceiling{at(0, 2)}, 60, 70, 80), 1},
		{"what is learned does not lift a promise", charged(promised, []ceiling{at(0, 9)}, 60, 70, 80), 1},
		{"nothing known is no ceiling", charged(Told{}, []ceiling{at(0, unbounded)}, 60, 70, 80, 90), 4 - unbounded},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.w.over(0); got != tt.want {
				t.Errorf("over() = %d; want %d", got, tt.want)
			}
		})
	}
}

// A book that says less than it does must be caught in a real run: here the ceilings that were noted are halved afterwards.
func TestALyingBookIsCaught(t *testing.T) {
	t.Parallel()
	s := Scenario{
		Upstream: Upstream{Kind: limiter.Sliding, Rates: "40-M"}, Told: pinned("40-M"), Load: usualLoad(), Net: usualNet(),
		Length: 20 * time.Minute,
	}
	lie := func(w *world) {
		for _, changes := range w.sides[0].ceilings.of {
			for i := range changes {
				changes[i].n /= 2
			}
		}
	}
	if honest := runWith(t, &s, func(*world) {}); honest.Over > 0 || honest.Over < -2 {
		t.Errorf("an honest book: %v over the ceiling; want none, but nearly", honest.Over)
	}
	if lying := runWith(t, &s, lie); lying.Over < 15 {
		t.Errorf("a book that says half of what it lets out: %v over the ceiling; want about twenty", lying.Over)
	}
}
