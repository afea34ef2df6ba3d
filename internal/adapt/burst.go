package adapt

import "time"

// firstBurst is how many may leave at once where nothing is known: a person's first clicks, and few token buckets are smaller.
const firstBurst = 4

// coldShare bounds the burst of a scope that has not lived through a window yet.
const coldShare = 0.25

// burst is how many attempts the upstream takes at once after idleness.
type burst struct {
	n      int
	fixed  bool
	share  float64
	halved bool          // it was too much once
	grown  bool          // it was taken when it was larger than at first
	strict bool          // it takes no two closer than the even pace
	strain float64       // how much longer than the even pace their distance must be, as a share of it
	calm   int           // attempts accepted since the last refusal that stretched it
	haste  int           // refusals in a row that came much too soon after each other
	wait   time.Duration // until it may grow again
	since  time.Time     // of its last change
}

// The wait of a burst before it grows, at first and at most.
const (
	firstGrowth = 2 * time.Minute
	lastGrowth  = 6 * time.Hour
)

func newBurst(t Terms) burst {
	b := burst{n: firstBurst, share: t.Share, wait: firstGrowth}
	if t.Share > 0 && t.Start > 0 {
		b.n = max(1, int(t.Share*float64(t.Start)))
	}
	if t.Burst > 0 {
		b.n, b.fixed = t.Burst, true
	}
	return b
}

// Burst returns how many may leave at once, as a token bucket would count: only one while the last verdict was a refusal.
func (l *Law) Burst() int {
	if l.row > 0 {
		return 1
	}
	return l.burst.n
}

// Free returns how many charges the window may hold before attempts must keep an even distance.
func (l *Law) Free() int {
	n := l.Cap(false)
	if n == Unknown {
		return Unknown
	}
	if l.state != Normal || l.row > 0 || l.burst.strict {
		return 1
	}
	free := min(l.burst.n, firstBurst)
	if l.burst.fixed {
		free = l.burst.n
	} else if l.burst.share > 0 {
		share := l.burst.share
		if l.cold && !l.warm || l.phase == climb && l.row > 0 {
			share = min(share, coldShare)
		}
		free = max(free, min(l.burst.n, int(share*float64(n))))
	}
	return min(free, n)
}

// blamed reports whether a refusal says more about the spacing of attempts than about the window.
func (b *burst) blamed(l *Law, t Tag) bool {
	if b.fixed || b.strict {
		return false
	}
	full := t.load.Window >= l.ceiling-delta(l.ceiling)
	return float64(t.load.Window) < 0.7*float64(l.ceiling) || t.near && !(full && b.n > firstBurst)
}

// halve takes note of a refusal that the spacing explains.
func (b *burst) halve(l *Law, now time.Time) {
	if b.n == 1 || b.n < firstBurst && !b.grown && l.ceiling >= few {
		b.strict = true
		b.strain = max(b.strain, 4*strainStep)
	}
	b.n, b.halved = max(1, b.n/2), true
	b.wait = min(2*b.wait, lastGrowth)
	b.since = now
	l.version++
}

// The steps in which the distance of attempts is stretched and relaxed again, and how far: more is the ceiling's business.
const (
	strainStep = 0.005
	strainMost = 0.35

	strainEvents = 7 // refusals in one window that no jitter explains
)

// stretch takes note of a refusal by an upstream that takes no two attempts closer than the even pace: by the jitter of the network, some of
// them are. As long as the budget allows for it, they stay as close.
func (b *burst) stretch(l *Law, now time.Time) {
	if b.haste++; float64(b.calm)*budget > 0.3 {
		b.haste = 0 // not so far from what is right
	}
	b.strain += strainStep * (1 - budget) * float64(int(1)<<min(b.haste, 3))
	b.calm = 0
	b.since = now
}

// relax brings attempts closer again, with each that was accepted: so much that a refusal is expected when the budget can pay for it, and
// twice as fast for each time that it could have and there was none.
func (b *burst) relax() {
	b.calm++
	ease := max(0, int(float64(b.calm)*budget)-1)
	b.ease(strainStep * budget * float64(int(1)<<min(ease, 16)))
}

// ease brings attempts closer by so much.
func (b *burst) ease(less float64) {
	b.strain = max(0, b.strain-max(0, less))
	b.strict = b.strict && b.strain > 0
}

// accepted lets the burst grow where it is what holds work back.
func (b *burst) accepted(l *Law, now time.Time, t Tag) {
	if b.strict && b.strain > 0 {
		b.relax()
		return
	}
	if b.fixed || b.strict || l.ceiling == Unknown || l.phase != steady {
		return
	}
	most := max(int(b.share*float64(l.ceiling)), l.ceiling/4, 1)
	if b.n >= most || !t.near && l.wanted.since(now, l.patience()) == 0 || now.Sub(b.since) < b.wait || float64(t.load.Window) > 0.7*float64(l.ceiling) {
		return
	}
	b.n++
	b.grown = b.grown || b.n > firstBurst
	b.since = now
}
