package adapt

import "time"

// Interval returns the even distance of attempts at the pace that the law allows: what a token bucket would be asked for.
func (l *Law) Interval() time.Duration {
	n := l.Cap(true)
	if l.state == Retreat {
		n = l.ceiling
	}
	if n == Unknown {
		return 0
	}
	return time.Duration(float64(l.span) / (float64(n) * l.haste()) * (1 + l.burst.strain))
}

func (l *Law) haste() float64 {
	switch {
	case l.burst.strict:
		return 1
	case l.phase == climb:
		return climbHaste
	}
	return haste
}

// edgeless is the time within which a careful window must have held more than the ceiling to prove that more may leave: so little that an
// upstream has counted all of it at once, whatever its edges and ours. An even pace fills it only where the margin is less than the smallest
// step of a probe. Of a second it is not; there the span counts, and a ceiling is what an even pace takes. A strict spacer has no edges.
func (l *Law) edgeless() time.Duration {
	if t := l.terms; !l.burst.strict && float64(2*t.Margin) < finest*float64(t.Period) {
		return t.Period - t.Margin
	}
	return l.span
}

// Hasten reports by which factor a climb is faster than the least even gap, once the ceiling is reached.
func (l *Law) Hasten(used int) float64 {
	if l.phase == climb && !l.burst.strict && (l.state == Recover || used >= l.ceiling-delta(l.ceiling)) {
		return climbHaste
	}
	return 1
}
