package quota

import (
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/pace"
)

// ledger is the windows of one scope and what its upstream said. It is guarded by the book's lock.
type ledger struct {
	scope   limit.Scope
	terms   Terms
	windows []window
	law     *adapt.Law // nil where nothing is to be learned
	aside   *laid      // what was learned before that was so
	brake   brake      // in place of the law

	workers *workers // of a model: what runs on it
	binds   bool     // when it was last asked, work waited because of a window of its own

	lastRefusal  time.Time
	lastAccepted time.Time
	refusedModel string    // of an account: which was refused last
	lastModel    string    // of an account: which was used last
	otherModelAt time.Time // of an account: when that changed

	remembered uint64 // version of the law that was handed out last

	open                                int // charges that are
	charged, refunded, refusals, blamed uint64
	recent                              recent
}

func newLedger(scope limit.Scope, terms Terms, seed uint64) *ledger {
	l := &ledger{scope: scope, terms: terms, law: terms.law(seed)}
	if l.law == nil {
		for i, r := range terms.Rates {
			burst := terms.burst(r.N)
			if i > 0 && r.Period > time.Minute {
				burst = 0 // to space a whole hour would hold back what its minute allows
			}
			l.windows = append(l.windows, newWindow(r, told, burst))
		}
		return l
	}
	learned := terms.learned()
	for i, r := range terms.Rates {
		if i != learned && longIndex(r.Period) < 0 {
			l.windows = append(l.windows, newWindow(r, told, terms.burst(r.N)))
		}
	}
	rate := limit.Rate{Period: time.Minute}
	if learned >= 0 {
		rate = terms.Rates[learned]
	}
	l.windows = append(l.windows, newWindow(rate, primary, 0),
		newWindow(limit.Rate{Period: time.Hour}, longer+adapt.Hour, 0),
		newWindow(limit.Rate{Period: 24 * time.Hour}, longer+adapt.Day, 0))
	return l
}

// load returns how many charges the windows of the law hold.
func (l *ledger) load(now time.Time) (load adapt.Load) {
	for i := range l.windows {
		switch w := &l.windows[i]; {
		case w.role == primary:
			load.Window = w.log.Used(now)
		case w.role >= longer:
			load.Long[w.role] = w.log.Used(now)
		}
	}
	return load
}

// reserve charges an attempt in every window.
func (l *ledger) reserve(now time.Time) (tag adapt.Tag) {
	l.open++
	l.charged++
	if l.law != nil {
		tag = l.law.Sent(now, l.load(now))
	}
	for i := range l.windows {
		l.windows[i].take(now, l.law)
	}
	return tag
}

func (l *ledger) sent(now time.Time) {
	l.open--
	for i := range l.windows {
		l.windows[i].log.Sent(now)
	}
}

func (l *ledger) refund(reserved, now time.Time) {
	l.open--
	l.refunded++
	for i := range l.windows {
		w := &l.windows[i]
		w.log.Refund()
		w.bucket.Refund(reserved, now)
		w.even.Refund(reserved, now)
	}
}

// idle reports whether nothing would be lost with the ledger: no charge that counts, no pause, nothing learned that is still news.
func (l *ledger) idle(now time.Time) bool {
	for i := range l.windows {
		if w := &l.windows[i]; (w.role == primary || w.cap(l.law, false) != unlimited) && w.log.Used(now) > 0 {
			return false
		}
	}
	if l.law != nil && !l.lastRefusal.IsZero() && now.Sub(l.lastRefusal) < memorable {
		return false
	}
	return !l.brake.until.After(now)
}

// memorable is how long a ledger that was refused is kept although it is not used.
const memorable = 24 * time.Hour

// next returns when one more may be reserved by this ledger, and which window keeps it until then; nil = none does.
func (l *ledger) next(now time.Time, c Claim, alone bool) (r Readiness, binding *window) {
	if l.terms.Paused {
		return Readiness{}, nil
	}
	if l.brake.until.After(now) {
		return Readiness{At: l.brake.until, Paused: true}, nil
	}
	r.At = now
	retreat := false
	if l.law != nil {
		l.law.Advance(now, alone)
		at, shut := l.law.Ready(now)
		if shut {
			return Readiness{Paused: true}, nil
		}
		retreat = l.law.State() == adapt.Retreat
		r = Readiness{At: at, Paused: at.After(now) || retreat}
	}
	known := true
	for i := range l.windows {
		w := &l.windows[i]
		at, ok := w.next(now, l.law, c)
		known = known && ok
		if at.After(r.At) {
			r.At, r.Paused, binding = at, retreat, w
		}
	}
	if !known {
		return Readiness{}, binding
	}
	return r, binding
}

// held takes note of the window that keeps an attempt waiting, nil for none, and tells the law if it is the one that binds.
func (l *ledger) held(now time.Time, w *window, binds bool) {
	l.binds = binds && w != nil
	if !l.binds || w.role == told {
		return
	}
	n := w.cap(l.law, false)
	if n == unlimited {
		return
	}
	full := w.log.Used(now) >= n-n/50-1
	if w.role == primary {
		l.law.Held(now, full)
	} else if full {
		l.law.HeldLong(now, int(w.role))
	}
}

// mayProbe reports whether the law may look for a higher ceiling beside another's. One of them at a time does, so that it is clear what
// a refusal means. But where it is this ledger that work waits for, the other one cannot try anything before this one gives way: of two
// ceilings that are equal neither would ever rise.
func (l *ledger) mayProbe(beside *ledger) bool {
	return l.binds || beside.law == nil || !beside.law.Probing()
}

// pair is the ledgers of a lane: the model's and the account's, in this order.
type pair [2]*ledger

func (p pair) model() *ledger   { return p[0] }
func (p pair) account() *ledger { return p[1] }

// each calls f with every window that must hold, and its ledger.
func (p pair) each(f func(*ledger, *window)) {
	for _, l := range p {
		for i := range l.windows {
			f(l, &l.windows[i])
		}
	}
}

// next returns whether one more may be reserved now, and if not, when.
func (p pair) next(now time.Time, c Claim) (r Readiness, ready bool) {
	model, full := p.model().next(now, c, p.model().mayProbe(p.account()))
	if model.At.IsZero() {
		return model, false
	}
	account, fullToo := p.account().next(now, c, p.account().mayProbe(p.model()))
	if account.At.IsZero() {
		return account, false
	}
	if full != nil || fullToo != nil { // work waits because of the ledger alone that says the later time
		p.model().held(now, full, !account.At.After(model.At))
		p.account().held(now, fullToo, !model.At.After(account.At))
	}
	if account.At.After(model.At) {
		model = account
	}
	return model, !model.At.After(now)
}

// standing returns the window with the fewest slots left.
func (p pair) standing(now time.Time) Standing {
	var s Standing
	p.each(func(l *ledger, w *window) {
		n := w.cap(l.law, false)
		if n == unlimited {
			return
		}
		remaining := max(0, n-w.log.Used(now))
		if s.Limit == 0 || remaining < s.Remaining {
			s = Standing{Limit: n, Remaining: remaining, Reset: w.log.Resets(now).Sub(now)}
		}
	})
	return s
}

// keep returns how long a charge counts in any window that has a limit; 0 = in none.
func (p pair) keep() (keep time.Duration) {
	p.each(func(l *ledger, w *window) {
		if w.cap(l.law, true) != unlimited {
			keep = max(keep, w.span)
		}
	})
	if keep > 0 && p.model().law != nil {
		keep = max(keep, time.Hour+pace.Margin(time.Hour)) // an hour may turn out to be limited, too
	}
	return keep
}

// paced reports whether any window keeps the attempts apart.
func (p pair) paced() (paced bool) {
	p.each(func(l *ledger, w *window) { paced = paced || w.cap(l.law, false) != unlimited })
	return paced
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
