package pace

import "time"

// Over returns a log for another period that holds the charges of this one: the open ones, and of the others those that this log still
// knows. Where the new period is the longer one, charges that have left this log are not in it.
func (w *Window) Over(now time.Time, period, margin, grain time.Duration) *Window {
	w.advance(now)
	o := NewWindow(period, margin, grain)
	for i := range w.sent.len {
		e := w.sent.at(i)
		o.Restore(now, w.epoch.Add(e.at), e.n)
	}
	o.advance(now)
	o.open = w.open
	return o
}

// Over returns a spacing of another pace in which as many places are taken as in this one. An interval of zero spaces nothing.
func (s *Spacing) Over(now time.Time, interval time.Duration, burst int) Spacing {
	o := *NewSpacing(interval, burst)
	if s.interval > 0 && s.even.After(now) {
		taken := float64(s.even.Sub(now)) / float64(s.interval)
		o.even = now.Add(time.Duration(taken * float64(interval)))
	}
	return o
}
