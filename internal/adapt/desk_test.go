package adapt_test

import (
	"testing"
	"time"

	"nimsidecar/internal/adapt"
)

// desk drives a law by hand: every attempt, verdict and moment is the test's own.
type desk struct {
	*testing.T
	*adapt.Law
	now time.Time
}

func newDesk(t *testing.T, terms adapt.Terms) *desk {
	if terms.Period == 0 {
		terms.Period, terms.Margin = time.Minute, 500*time.Millisecond
	}
	return &desk{T: t, Law: adapt.New(terms), now: start}
}

// pass lets time pass.
func (d *desk) pass(by time.Duration) {
	d.now = d.now.Add(by)
	d.Advance(d.now, true)
}

// send lets an attempt leave beside so many charges.
func (d *desk) send(used int) adapt.Tag { return d.Sent(d.now, adapt.Load{Window: used}) }

// accept and refuse let an attempt leave beside so many charges, and have its verdict at once.
func (d *desk) accept(used int) { d.Accepted(d.now, d.send(used)) }
func (d *desk) refuse(used int) { d.Refused(d.now, d.send(used), 0) }

// window fills the window evenly with accepted attempts while more work waits for it.
func (d *desk) window(n int) {
	for i := range n {
		d.Held(d.now, true)
		d.accept(i)
		d.pass(59 * time.Second / time.Duration(n))
	}
}

// settle makes n the confirmed ceiling: a full window is accepted, and the next attempt refused.
func (d *desk) settle(n int) {
	d.Helper()
	d.window(n)
	d.refuse(n)
	d.pass(2 * time.Minute)
	d.accept(0)
	if d.Ceiling() != n || d.State() != adapt.Normal {
		d.Fatalf("after %d accepted and one refused: %v at %d; want NORMAL at %d", n, d.State(), d.Ceiling(), n)
	}
}

// probing lets work wait until the law begins a careful probe.
func (d *desk) probing() {
	d.Helper()
	for range 400 {
		d.Held(d.now, true)
		if d.pass(5 * time.Second); d.Cap(true) > d.Cap(false) {
			return
		}
		d.accept(d.Ceiling() - 2)
	}
	d.Fatalf("no probe began within %v, the credit being %.2f", 400*5*time.Second, d.View().Credit)
}
