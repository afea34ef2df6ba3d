package adapt

import (
	"math"
	"time"
)

// Unknown is a ceiling of which nothing is known: no attempt was ever refused.
const Unknown = math.MaxInt

// Terms are what a Law starts from.
type Terms struct {
	// Period is the length of its window, and Margin what is added for the delivery of requests. Both are required.
	Period, Margin time.Duration

	// Start is the ceiling to begin with, as somebody said; 0 = nobody did, and then there is none until a refusal.
	Start int

	// Most is what the ceiling never exceeds, whatever is learned; 0 = no bound.
	Most int

	// Long are the windows of more than a period that somebody told of, an hour and a day; the zero Rate is not told.
	Long [LongCount]Told

	// Burst fixes how many may leave at once after idleness; 0 = learned, beginning with Share of the ceiling, or with a few where
	// Share is 0.
	Burst int
	Share float64

	// Seed makes the jitter of pauses differ between processes.
	Seed uint64
}

// Told is what is said of a longer window.
type Told struct {
	N    int // 0 = nothing
	Most int // 0 = no bound
}

// The longer windows that a law knows.
const (
	Hour = iota
	Day
	LongCount
)

// longPeriods are their lengths.
var longPeriods = [LongCount]time.Duration{time.Hour, 24 * time.Hour}

// Load is how many charges the windows hold before an attempt.
type Load struct {
	Window int            // the law's own
	Long   [LongCount]int // the longer ones
}

// Tag is what a law remembers of an attempt until its verdict. It belongs to the law that made it.
type Tag struct {
	at    time.Time
	load  Load
	seq   uint64
	epoch uint64
	near  bool // closer to its predecessor than the even pace
}

// The figures of the law; ../../docs/learning.md explains each.
const (
	budget        = 0.006 // refusals that probing may cost, as a share of attempts
	creditMost    = 2.0
	budgetOfFew   = 0.005 // of a small window, where the burst of a bucket is easily taken for a raise
	few           = 18
	many          = 60
	creditLeast   = -1.0  // and of a small window twice that
	youth         = 5     // windows
	rememberEvery = 16    // attempts
	step          = 0.03  // of the ceiling: how far a probe goes beyond it
	finerMost     = 3     // probes refused in a row, after which one goes a single attempt further
	finest        = 0.025 // of the ceiling: a smaller step is lost in the margin
	plusWindows   = 2     // careful windows before a climb
	climbHaste    = 1.5   // pace of a climb, beside the ceiling
	haste         = 1.02  // pace beside the ceiling otherwise
	restored      = 0.97  // of the ceiling before: RECOVER is over
	halfOpenNeed  = 8     // more than the pods through which an exhausted limit may leak
	inFlightMost  = 3     // verdicts outstanding while half open
	longestProbe  = time.Hour
	smallest      = 1
	kept          = 3 // an attempt beside which fewer than so many slots are free has filled the window: some are kept for urgent ones
)

// phase is what the law is doing to its ceiling.
type phase uint8

const (
	steady phase = iota // nothing
	plus                // a careful probe, one window long
	climb               // acknowledged growth
	verify              // the window after a climb
)

// Law learns the ceiling of one window of one scope, the longer windows behind it, and the burst that it takes. It knows the past
// through Sent and one verdict for each tag, and answers how many charges the windows may hold now and whether anything may leave.
//
// It is arithmetic: no clock, no lock. Use New; the methods must not be called concurrently, and times must not run backwards by more
// than moments.
type Law struct {
	terms Terms
	span  time.Duration // period + margin

	// What is believed of the window.

	ceiling   int       // confirmed charges in a span; Unknown
	cold      bool      // it was only said, and nothing was refused yet
	warm      bool      // a window has passed since the first attempt
	raisedAt  time.Time // when it was last raised
	changedAt time.Time // when it last moved

	// How more is looked for.

	phase      phase
	phaseSince time.Time
	plusIndex  int // careful windows that have passed
	finer      int // probes in a row that were refused, as far as that matters
	single     single
	trial      trial
	proved     int     // the most that a careful window held, whatever the limiter's edges
	climbing   float64 // the ceiling while it is climbed
	fallback   int     // what was confirmed before
	credit     float64 // refusals that probing may cost
	free       free    // probes that cost nothing

	held   held // work waits because the window is full
	wanted held // work waits because of the window

	// What was refused.

	epoch       uint64 // refusals that were news
	row         int    // of them, in a row
	lastRefusal time.Time
	events      []time.Time // those of the last span
	paused      time.Time   // nothing leaves before

	lastSend time.Time
	fullest  int       // charges beside which an attempt was accepted
	born     time.Time // when the first attempt left
	recent   evidence
	short    horizon // the window itself, as a limiter like NVIDIA's would count it
	noise    uint64

	toldAt time.Time // when the upstream itself said how large the window is
	probes Probes

	state   State
	episode episode
	long    [LongCount]horizon
	burst   burst

	changes []Change
	version uint64 // counts what is worth remembering
}

// New returns the law of a scope of which nothing is known but the terms.
func New(t Terms) *Law {
	l := &Law{terms: t, span: t.Period + t.Margin, ceiling: Unknown, credit: 1, noise: t.Seed}
	if t.Start > 0 {
		l.ceiling = l.bounded(t.Start)
		l.cold = true
	}
	for i := range l.long {
		l.long[i] = horizon{period: longPeriods[i], ceiling: Unknown, most: t.Long[i].Most}
		if n := t.Long[i].N; n > 0 {
			l.long[i].ceiling = n
		}
	}
	l.short = horizon{period: t.Period, ceiling: Unknown}
	l.burst = newBurst(t)
	return l
}

// allowance returns how many refusals an attempt may cost. A raise is found after 1 / (allowance · ceiling) windows: where a window holds many,
// less will do, and each probe keeps more of them waiting for its verdict.
func allowance(ceiling int) float64 {
	switch {
	case ceiling == Unknown:
		return budget
	case ceiling < few:
		return budgetOfFew
	}
	return budget * min(1, math.Sqrt(many/float64(ceiling)))
}

// delta returns how far a probe goes beyond a ceiling.
func delta(ceiling int) int { return max(1, int(step*float64(ceiling)+0.5)) }

// bounded applies the promise, and the least that a ceiling may be.
func (l *Law) bounded(n int) int {
	if l.terms.Most > 0 {
		n = min(n, l.terms.Most)
	}
	return max(n, smallest)
}

// Ceiling returns the confirmed ceiling, or Unknown.
func (l *Law) Ceiling() int { return l.ceiling }

// Cap returns how many charges the window may hold now; with probe, including the attempts beyond the ceiling that test it. It is Unknown
// for a ceiling of which nothing is known.
func (l *Law) Cap(probe bool) int {
	switch {
	case l.state == Retreat && !l.episode.half:
		return l.bounded(l.episode.drain + 1)
	case l.phase == climb:
		return l.bounded(int(l.climbing))
	case l.phase == plus && l.trial.stage == passedTrial:
		return l.target()
	case l.phase == plus && probe && l.trial.stage == due:
		return l.bounded(l.ceiling + 1)
	}
	return l.ceiling
}

// Long returns how many charges a longer window may hold now, or Unknown.
func (l *Law) Long(i int, probe bool) int { return l.long[i].cap(probe) }

// Ready returns until when nothing may leave; shut says that only a verdict will tell.
func (l *Law) Ready(now time.Time) (at time.Time, shut bool) {
	if l.state == Retreat && l.episode.waiting() {
		return time.Time{}, true
	}
	if l.paused.After(now) {
		return l.paused, false
	}
	return now, false
}

// Sent says that an attempt leaves now, the windows holding so many charges before it.
func (l *Law) Sent(now time.Time, load Load) Tag {
	t := Tag{at: now, load: load, epoch: l.epoch}
	if l.lastSend.IsZero() {
		l.born = now
	} else {
		passed := now.Sub(l.lastSend)
		t.near = float64(passed) < 0.9*float64(l.Interval())
		l.credit = min(creditMost, l.credit+max(allowance(l.ceiling), passed.Hours()))
		l.warm = l.warm || now.Sub(l.born) >= l.span
	}
	l.lastSend = now
	t.seq = l.recent.sent(now, 2*l.span)
	if t.seq%rememberEvery == 0 {
		l.version++ // so that not too little is remembered of what the longer windows hold
	}
	for i := range l.long {
		if l.long[i].sent(now, load.Long[i], t.seq) {
			l.version++
		}
	}
	l.short.sent(now, load.Window, t.seq)
	if l.phase == plus && load.Window >= l.ceiling-l.ceiling/100 {
		l.trial.send(t.seq)
	}
	if l.phase == plus && l.proved < l.target() {
		l.proved = max(l.proved, l.recent.count(now, l.edgeless(), now))
		if l.single.due(l) && load.Window >= l.ceiling {
			l.proved = max(l.proved, l.ceiling+1) // as far as windows that nothing was refused in can prove it
		}
	}
	if l.state == Retreat {
		l.episode.sent(l, now)
	}
	return t
}

// Held says that work waits because of this window alone; full, that it does so because the window is full, or nearly.
func (l *Law) Held(now time.Time, full bool) {
	l.wanted.mark(now, l.patience())
	if full {
		l.held.mark(now, l.patience())
	}
}

// HeldLong says that work waits because of a longer window.
func (l *Law) HeldLong(now time.Time, i int) { l.long[i].held.mark(now, l.long[i].period/4) }

// patience is how long work may not have been seen waiting and still counts as waiting all the time.
func (l *Law) patience() time.Duration { return max(l.terms.Period/4, 2*l.Interval()) }

// Advance makes the changes that are due by now; alone says that no other law of the account is probing. It must be called before the
// law is asked.
func (l *Law) Advance(now time.Time, alone bool) {
	for i := range l.long {
		l.long[i].advance(l, now)
	}
	if l.ceiling == Unknown || l.state == Retreat {
		return
	}
	switch l.phase {
	case plus:
		switch age := now.Sub(l.phaseSince); {
		case age >= l.span && l.trial.stage == passedTrial:
			l.plusOver(now)
		case age >= 2*l.span && l.trial.stage == due:
			l.phase = steady // nobody needed it
			l.probes.Idle++
		}
	case climb:
		l.climbOver(now)
	case verify:
		if now.Sub(l.phaseSince) >= l.span {
			l.phase = steady
		}
	case steady:
		if l.state == Recover && now.Sub(l.changedAt) > l.span && float64(l.ceiling) >= restored*float64(l.episode.before) {
			l.become(ceilingRestored)
		}
		if l.burst.strain == 0 || l.free.far(l.ceiling) {
			l.probe(now, alone)
		}
	}
}

// Accepted says that the upstream did what an attempt asked.
func (l *Law) Accepted(now time.Time, t Tag) {
	for i := range l.long {
		l.long[i].accepted(t)
		l.long[i].doubt()
	}
	l.short.accepted(t)
	l.fullest = max(l.fullest, t.load.Window)
	if t.epoch != l.epoch {
		l.trial.ended(t.seq, false)
		return // it left before the last refusal, and proves nothing about what is true now
	}
	l.short.served(t)
	if l.state == Retreat {
		l.episode.passed(l, now, t)
		return
	}
	l.row = 0
	if l.phase == plus && l.trial.ended(t.seq, true) {
		l.phaseSince = now
	}
	if t.load.Window+kept >= l.ceiling {
		l.free.best = max(l.free.best, float64(l.ceiling))
	}
	l.burst.accepted(l, now, t)
	if l.phase == climb && t.load.Window+kept >= int(l.climbing) {
		l.climbing++
	}
}

// Void says that an attempt's result speaks neither for nor against the ceiling.
func (l *Law) Void(_ time.Time, t Tag) {
	l.trial.ended(t.seq, false)
	for i := range l.long {
		l.long[i].trial.ended(t.seq, false)
	}
	if l.state == Retreat && t.epoch == l.epoch {
		l.episode.out = max(0, l.episode.out-1)
	}
}

// RefusedElsewhere says that the upstream refused an attempt because of another limit than this law's.
func (l *Law) RefusedElsewhere(now time.Time, t Tag) {
	l.recent.refused(t.seq) // it was not accepted beside the others, and may have stood for the one too many
	l.proved = 0
	l.Void(now, t)
}

// Refused says that the upstream refused an attempt for its quota. wait is how long it asked to wait; 0 = it did not say.
func (l *Law) Refused(now time.Time, t Tag, wait time.Duration) {
	l.recent.refused(t.seq)
	l.charge(now)
	if wait > 0 {
		l.Pause(now, now.Add(wait))
	}
	longer, probed := l.blame(t)
	l.trial.ended(t.seq, false)
	if t.epoch != l.epoch {
		return // an event of which we know already
	}
	l.epoch++
	l.short.refused = true
	if probed {
		l.long[longer].confirmed(now)
		return
	}
	l.row++
	good := l.recent.count(t.at, l.span, t.at)
	if l.ceiling == Unknown {
		l.move(now, l.bounded(good))
	}
	if l.row == 1 && l.state != Retreat {
		l.episode.begin(l, now, t)
	}
	l.lastRefusal = now
	l.event(now)
	switch {
	case l.state == Retreat:
		l.episode.failed(l, now, t, wait > 0)
		return
	case l.row >= 2:
		l.retreat(now, t, wait > 0)
		return
	case l.phase == plus:
		l.probes.Confirmed++
		l.finer = min(l.finer+1, finerMost)
		l.phase = steady // the ceiling is confirmed; the window rule alone waits for the slot that this has cost
		if l.plusIndex > 0 {
			l.beginVerify(now)
		}
		if l.state == Recover {
			l.become(ceilingConfirmed)
		}
		return
	case l.cold && !l.burst.halved && t.load.Window >= 2*l.burst.n:
		l.coldRefused(now, t, good)
	case l.phase == climb:
		l.climbRefused(now, t, good)
	case l.burst.blamed(l, t):
		l.burst.halve(l, now)
	case l.burst.strict && l.burst.strain < strainMost && len(l.events) < strainEvents:
		l.burst.stretch(l, now)
	case l.phase == steady && l.single.failed(l, now):
	case l.phase == steady && len(l.events) == 1 && l.credit >= -0.5:
		// A single one may be the jitter of the network; the budget allows for it. If the limit has moved, there will be another.
	default:
		l.burst.ease(l.burst.strain - 4*strainStep) // it was the window after all
		l.cut(now, good)
	}
	l.pause(now.Add(l.jitter(l.Interval())))
}

func (l *Law) pause(until time.Time) {
	if until.After(l.paused) {
		l.paused = until
	}
}

// jitter spreads a pause by a tenth either way, so that several senders do not come back together.
func (l *Law) jitter(d time.Duration) time.Duration {
	l.noise = l.noise*6364136223846793005 + 1442695040888963407 // the multiplier of PCG; a good spread is enough
	return time.Duration(float64(d) * (0.9 + 0.2*float64(l.noise>>40)/(1<<24)))
}

// Tests reports whether an attempt was sent to test the ceiling, or a canary: its refusal is about this law and no other.
func (l *Law) Tests(t Tag) bool {
	return l.trial.stage == out && l.trial.seq == t.seq || l.state == Retreat && t.epoch == l.epoch
}

// Fullness returns how full the window was when an attempt left, 1 being all of it. Where no ceiling is known, that is compared with the
// fullest window in which anything was accepted.
func (l *Law) Fullness(t Tag) float64 {
	most := l.ceiling
	if most == Unknown {
		most = l.fullest
	}
	return float64(t.load.Window) / float64(max(1, most))
}

// Known reports whether there is a ceiling, told or learned.
func (l *Law) Known() bool { return l.ceiling != Unknown }

// Probing reports whether a refusal now would answer the law's own curiosity.
func (l *Law) Probing() bool { return l.phase == plus || l.phase == climb || l.state == Retreat }
