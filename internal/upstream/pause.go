package upstream

import (
	"time"

	"nimsidecar/internal/hint"
)

// schedule says when something that fails is put out of use, and for how long.
type schedule struct {
	after  int           // how many failures in a row it takes
	first  time.Duration // the first pause; each further failure doubles it
	most   time.Duration // where doubling ends
	jitter float64       // up to this part of a pause is added at random, so that many sidecars do not come back together
}

// span is the length of the pause after so many failures beyond the first that counted.
func (s schedule) span(further int, random float64) time.Duration {
	d := s.first
	for range further {
		if d = 2 * d; d >= s.most {
			d = s.most
			break
		}
	}
	return d + time.Duration(s.jitter*min(max(random, 0), 1)*float64(d))
}

// pause is the state of a key, an account, a model or a provider that may fail: in use; or out of use for a while, after which one
// attempt for each length of the pause may try it again, until one succeeds. Failures that tell the same story again do not prolong
// it: those of attempts that began before the pause was over. The zero value is in use and has never failed.
//
// It cannot get stuck. What is out of use has a time at which the next attempt may go, never further off than the schedule's longest
// pause, and that is so whatever becomes of the attempts that went before, even if nothing is ever heard of them.
type pause struct {
	failures int           // in a row
	cause    cause         // of the last failure
	since    time.Time     // when it was put out of use; zero = it is in use
	last     time.Time     // the last failure that counted
	span     time.Duration // the pause that followed it
	until    time.Time     // no attempt should begin before
}

// cause is why an attempt failed.
type cause struct {
	class hint.Class
	fault hint.Fault // with hint.Broken
}

// String returns the word of logs.
func (c cause) String() string {
	if c.fault != "" {
		return string(c.fault)
	}
	return c.class.String()
}

// out reports whether no attempt should begin now.
func (p *pause) out(now time.Time) bool { return now.Before(p.until) }

// fail notes that an attempt failed which began at a time. It reports whether that counts as a new failure that puts it out of use, or
// leaves it there for longer.
func (p *pause) fail(now, began time.Time, c cause, s schedule, random float64) bool {
	if !p.since.IsZero() && began.Before(p.last.Add(p.span)) {
		return false
	}
	p.cause = c
	if p.failures++; p.failures < s.after {
		return false
	}
	p.last, p.span = now, s.span(p.failures-s.after, random)
	p.until = now.Add(p.span)
	if p.since.IsZero() {
		p.since = now
	}
	return true
}

// enter notes that an attempt begins. If it tries what is out of use, the next one has to wait for as long again.
func (p *pause) enter(now time.Time) {
	if !p.since.IsZero() && !p.out(now) {
		p.until = now.Add(p.span)
	}
}

// succeed puts it back in use. It reports whether it was out of use.
func (p *pause) succeed() (back bool) {
	back = !p.since.IsZero()
	*p = pause{}
	return back
}
