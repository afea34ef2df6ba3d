package quota

import (
	"sync"
	"time"

	"nimsidecar/internal/adapt"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
)

// Options configure a Book.
type Options struct {
	// Terms says what a scope must keep to; the scope of a whole account has an empty Model. It is a pure look-up, asked under
	// the book's lock, once for each ledger that is made. Nil is no limit at all.
	Terms func(limit.Scope) Terms

	// MaxScopes bounds the ledgers, since clients choose the names of models. A lane needs two, its account's included. Zero
	// is 10,000.
	MaxScopes int

	// LastCharge is the greatest ID that a charge of an earlier process had; those of this one go on from there.
	LastCharge uint64

	// Seed makes the jitter of pauses differ between processes.
	Seed uint64
}

const defaultMaxScopes = 10_000

// Book is all ledgers. It guarantees that of a scope with the rate N in P, fixed or promised, no attempt is granted that would make a
// window of P + margin hold more than N charges, unless it is forced; of a hinted rate, more than 4 N. An attempt that is not granted
// charges nothing.
//
// A ledger is made when its scope is first charged. When MaxScopes are there, those are dropped of which nothing would be lost: without
// a charge, without a pause, and not refused for a day. A lane that then finds no place has to wait until one is free, so that no charge
// is ever forgotten.
//
// A hold that is never settled costs its slot: for good if it was not sent either, else until its charge has aged. As a canary of a
// retreat it costs the lane, which waits for its verdict. It never lets more through.
//
// Use New. All methods are safe for concurrent use. Those on a hold take about a microsecond together, and allocate only the hold; those
// that tell of all ledgers take as long for each of them. Times should come from one clock; ones that are a little out of order count as
// the latest.
type Book struct {
	terms     func(limit.Scope) Terms
	maxScopes int

	mu      sync.Mutex // guards the following, the ledgers and the holds
	ledgers map[limit.Scope]*ledger
	workers map[limit.Scope]*workers // by crew
	sweepAt time.Time                // when looking for ledgers to drop is worth the time again
	seed    uint64                   // of the next law
	nextID  uint64                   // of the next charge

	gone map[string]*Summary // the counts of ledgers that were dropped, by provider

	restored time.Time // when an earlier process was taken over
	lost     bool      // and not all that it had sent is known

	changes chan Change
}

// New returns an empty book.
func New(o Options) *Book {
	if o.Terms == nil {
		o.Terms = func(limit.Scope) Terms { return Terms{} }
	}
	if o.MaxScopes == 0 {
		o.MaxScopes = defaultMaxScopes
	}
	return &Book{
		terms: o.Terms, maxScopes: o.MaxScopes, seed: o.Seed, nextID: o.LastCharge, changes: make(chan Change, changesKept),
		ledgers: map[limit.Scope]*ledger{}, workers: map[limit.Scope]*workers{}, gone: map[string]*Summary{},
	}
}

// Reserve takes a slot for an attempt in every window of the lane, which names a model, and of its account. Without room in any
// one of them all stay untouched, the hold is nil, and the readiness says when to ask again. A forced claim is always granted; where
// the book is full it is charged to ledgers that nobody else will see.
func (b *Book) Reserve(now time.Time, lane limit.Scope, c Claim) (*Hold, Readiness) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ledgers, known := b.find(lane)
	kept := known || b.room(now, len(ledgers))
	workers := ledgers.model().workers
	if !c.Forced {
		if !kept {
			return nil, Readiness{At: b.sweepAt}
		}
		if r, ready := workers.next(now); !ready {
			return nil, r
		}
		r, ready := ledgers.next(now, c)
		b.report(ledgers)
		if !ready {
			return nil, r
		}
	}
	if !known && kept {
		for _, l := range ledgers {
			b.add(l)
		}
	}
	b.nextID++
	h := &Hold{id: b.nextID, ledgers: ledgers, workers: workers, reserved: now, epoch: ledgers.model().brake.epoch}
	for i, l := range ledgers {
		h.tags[i] = l.reserve(now)
		h.laws[i] = l.law
	}
	ledgers.account().use(now, lane.Model)
	h.beside = workers.start()
	h.keep = ledgers.keep()
	h.standing = ledgers.standing(now)
	return h, Readiness{}
}

// Sent says that the request has been wholly written: from now on its charge ages. Only the first call for a hold counts, and
// none after Settle.
func (b *Book) Sent(now time.Time, h *Hold) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h.sent(now)
}

// Observe says what the attempt came to. A refusal moves the pace of the lane, or pauses it where nothing is learned; a success lets it
// recover; busy workers bound what runs at once; nothing else moves anything. See the package comment. An answer of any kind also proves
// that the upstream has counted the request, whether or not it was wholly written. Only the first call for a hold counts, and none
// after Settle.
func (b *Book) Observe(now time.Time, h *Hold, o hint.Outcome) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if h.observed || h.stage == settled {
		return
	}
	h.observed = true
	if o.Status != 0 {
		h.sent(now)
		h.ledgers.model().recent.count(now, o.Refused())
	}
	if h.overtaken() {
		h.late(now, o)
		return
	}
	h.heed(now, o)
	switch {
	case o.Refused():
		h.refused(now, o)
	case o.Class == hint.OK, o.Class == hint.InProgress:
		h.accepted(now)
		h.workers.accepted(h.beside)
	case o.Class == hint.WorkerExhausted, o.Class == hint.QueueFull:
		h.void(now)
		h.workers.busy(now, h.beside)
	default:
		h.void(now)
	}
	b.report(h.ledgers)
}

// Settle ends a hold: the charge stays if anything was written, or is given back. A charge that was sent or answered stays in any
// case. Only the first call for a hold counts.
func (b *Book) Settle(now time.Time, h *Hold, u Use) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if u.Written {
		h.sent(now)
	}
	if h.stage == open {
		h.refunded = true
		for _, l := range h.ledgers {
			l.refund(h.reserved, now)
		}
	}
	if h.stage != settled {
		h.workers.done()
		if !h.observed {
			h.void(now)
		}
	}
	h.stage = settled
}

// find returns the two ledgers of a lane. known is false when one of them is new, and not in the book yet.
func (b *Book) find(lane limit.Scope) (ledgers pair, known bool) {
	known = true
	for i, s := range [...]limit.Scope{lane, lane.AccountScope()} {
		if ledgers[i] = b.ledgers[s]; ledgers[i] == nil {
			ledgers[i], known = b.newLedger(s), false
		}
	}
	return ledgers, known
}

// newLedger makes the ledger of a scope.
func (b *Book) newLedger(s limit.Scope) *ledger {
	b.seed++
	l := newLedger(s, b.terms(s), b.seed)
	l.workers = b.workersOf(l)
	if b.lost {
		l.fill(b.restored)
	}
	return l
}

// sweepEvery bounds the time spent on looking for idle ledgers while there are none: a sweep reads all of them.
const sweepEvery = time.Second

// room reports whether so many more ledgers have a place, dropping the idle ones if they have not.
func (b *Book) room(now time.Time, more int) bool {
	if len(b.ledgers)+more > b.maxScopes && !now.Before(b.sweepAt) {
		b.sweepAt = now.Add(sweepEvery)
		b.sweep(now)
	}
	return len(b.ledgers)+more <= b.maxScopes
}

// Hold is the ledgers' record of one attempt, from Reserve until Settle. It belongs to the book that made it.
type Hold struct {
	id       uint64
	ledgers  pair
	reserved time.Time
	epoch    uint64 // of the model's brake when the slot was reserved
	standing Standing
	keep     time.Duration // how long its charge counts somewhere
	refunded bool
	workers  *workers
	beside   int // how many ran on the model with it, itself included
	tags     [2]adapt.Tag
	laws     [2]*adapt.Law // that made the tags

	// The following is guarded by the book's lock.

	stage    stage
	observed bool
}

// stage is how far an attempt has come.
type stage uint8

const (
	open    stage = iota // reserved, perhaps on its way
	sent                 // wholly written, or answered
	settled              // over
)

// sent lets the charge age from now on, unless it does already.
func (h *Hold) sent(now time.Time) {
	if h.stage != open {
		return
	}
	h.stage = sent
	for _, l := range h.ledgers {
		l.sent(now)
	}
}

// Charge returns the charge of the attempt, for a journal; ok is false where no window keeps it, so that nobody needs to remember it.
func (h *Hold) Charge() (c Charge, ok bool) {
	if h.keep == 0 {
		return Charge{}, false
	}
	return Charge{ID: h.id, Scope: h.Lane(), At: h.reserved, Until: h.reserved.Add(h.keep), Open: true}, true
}

// Refunded reports whether Settle gave the slot back. It must be called after Settle.
func (h *Hold) Refunded() bool { return h.refunded }

// Lane returns the lane that the slot was reserved for.
func (h *Hold) Lane() limit.Scope { return h.ledgers.model().scope }

// Standing returns what was left of the lane's tightest window right after the slot was taken.
func (h *Hold) Standing() Standing { return h.standing }
