package quota

import (
	"math"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/pace"
)

// unlimited is a window that takes everything.
const unlimited = math.MaxInt

// role is who says how much a window takes.
type role int8

const (
	told    role = -2 // its rate
	primary role = -1 // the law: it is the one that is learned
	longer  role = 0  // the law, as the longer window of that index, this or a larger one
)

// window is one window of a ledger: the log of its charges, and what spaces them.
type window struct {
	rate limit.Rate // N is what was told; 0 = nothing
	role role
	log  *pace.Window
	span time.Duration

	bucket pace.Spacing // as a token bucket would count; all keep to it
	burst  int          // of a window that is told; 0 = it is not spaced
	even   pace.Spacing // what all but urgent ones keep to, once the free part of the window is used
}

// fineGrain and coarseGrain are how many grains a window has: fine ones cost no throughput, coarse ones no memory.
const (
	fineGrain   = 6000
	coarseGrain = 240
)

func newWindow(r limit.Rate, as role, burst int) window {
	margin := pace.Margin(r.Period)
	w := window{rate: r, role: as, span: r.Period + margin, burst: burst}
	w.log = w.empty()
	if burst > 0 {
		w.bucket.Pace(pace.Interval(r.N, r.Period, margin), burst)
	}
	return w
}

// empty returns a log without charges.
func (w *window) empty() *pace.Window {
	return pace.NewWindow(w.rate.Period, pace.Margin(w.rate.Period), w.grain())
}

// grain is how close charges may be to share an entry of the log.
func (w *window) grain() time.Duration {
	if w.long() {
		return w.rate.Period / coarseGrain
	}
	return w.rate.Period / fineGrain
}

// long reports whether the window is longer than a minute. Such a one is spread, so that what comes late finds some of it left.
func (w *window) long() bool { return w.rate.Period > time.Minute }

// cap returns how many charges the window may hold.
func (w *window) cap(law *adapt.Law, probe bool) int {
	switch {
	case w.role == told:
		return w.rate.N
	case w.role == primary:
		return law.Cap(probe)
	default:
		return law.Long(int(w.role), probe)
	}
}

// free returns how many charges the window may hold before they must keep an even distance.
func (w *window) free(law *adapt.Law, n int) int {
	switch {
	case w.long():
		return n / 2
	case w.role == told:
		return w.burst
	default:
		return law.Free()
	}
}

// next returns the earliest time at which one more may be reserved; ok is false when only an event will tell.
func (w *window) next(now time.Time, law *adapt.Law, c Claim) (at time.Time, ok bool) {
	n := w.cap(law, c.Probe)
	if n == unlimited {
		return now, true
	}
	at = w.bucket.Next(now)
	if c.Urgent {
		next, ok := w.log.Next(now, n)
		return later(at, next), ok
	}
	next, ok := w.log.Next(now, n)
	at = later(later(at, next), w.released(now, law, n, c.High))
	if w.log.Used(now) >= w.free(law, n) {
		at = later(at, w.even.Next(now))
	}
	return at, ok
}

// How many slots are kept for urgent requests at most, and, of a longer window, one for how many that come back too late.
const (
	keptMost   = 2
	keptOfTen  = 1 // of a window of less than ten
	keptTenth  = 10
	keptOneFor = 5
)

// released returns from when on the slots that are left need not be kept for urgent requests. None is kept while slots come back one after
// the other; a few are while a clump of charges is in the log, so that whoever is urgent need not wait until it leaves. As that time comes
// nearer they are released one by one, so none stays unused. Who is not even HIGH leaves half as many more.
func (w *window) released(now time.Time, law *adapt.Law, n int, high bool) time.Time {
	interval := w.interval(law, n)
	if interval <= 0 || n < 3 || w.role != told && n > w.cap(law, false) { // what tests a ceiling must find the window full
		return now
	}
	left := n - 1 - w.log.Used(now) // if this one goes
	if left < 0 {
		return now // the log itself says when
	}
	if !high {
		left = (2*left + 1) / 3
	}
	most, oneFor := keptMost, 1
	switch {
	case w.long():
		most, oneFor = n/keptTenth, keptOneFor
	case n < 10:
		most = keptOfTen
	}
	if left >= most {
		return now
	}
	early := time.Duration(oneFor*(left+1)+1) * interval // by then as many as are left are enough
	if wait := w.log.Oldest(now) - early; wait > 0 {
		return now.Add(wait)
	}
	return now
}

// interval is the even distance of charges.
func (w *window) interval(law *adapt.Law, n int) time.Duration {
	if w.role == primary {
		return law.Interval()
	}
	return w.span / time.Duration(n)
}

// take charges an attempt.
func (w *window) take(now time.Time, law *adapt.Law) {
	w.log.Reserve(now)
	n := w.cap(law, true)
	if n == unlimited {
		return
	}
	if w.role == primary {
		w.bucket.Pace(law.Interval(), law.Burst())
	}
	if w.role < longer {
		w.bucket.Reserve(now)
	}
	gap := w.log.Gap(now, n)
	if w.role == primary {
		gap = time.Duration(float64(gap) / law.Hasten(w.log.Used(now)))
	}
	w.even.Pace(gap, 1)
	w.even.Reserve(now)
}

// fill returns how full a window is that has a limit, 1 being all of it.
func (w *window) fill(now time.Time) float64 { return float64(w.log.Used(now)) / float64(w.rate.N) }
