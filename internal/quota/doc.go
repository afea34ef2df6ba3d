// Package quota is the ledger of one scope: reserve, settle and refund against every window that must hold.
//
// A [Book] holds the ledgers of all scopes. An attempt on a lane takes a slot in every window of the lane's own scope and of its
// account's, or in none; what it got is a [Hold], through which its fate is told:
//
//	Reserve ─→ Sent ─→ Observe ─→ Settle
//	open       ages    the verdict  done
//
// Only Settle is a duty. A slot is given back exactly when Settle says that no byte of the request was written; whatever was
// written is charged, answered or not, refused or not, because the upstream has counted it. Until an attempt is sent its charge
// is open and does not age: package pace proves that the upstream then never sees more than the limit in any of its windows, of
// whatever kind they are.
//
// # When the upstream refuses all the same
//
// Somebody else uses the account, or the limit is not what was said. Only an outcome of class quota counts as a refusal; it
// pauses the scope of the model, never the account, so that other models go on. The pause lasts
//
//   - as long as the answer asks for (Retry-After; zero is taken at its word where windows keep the pace anyway), else
//   - until the window that most likely refused is over, by our own log: the one that is fullest for its size. An hour or a day
//     is suspected from 90 % on, since a refusal there would stop the lane for long; else
//   - where no window can explain it, 1, 2, 4 … 60 s, doubling with each refusal in a row, until an attempt sent after the
//     refusal succeeds.
//
// Attempts that were under way when the first of them was refused tell the same story again: refused too, they count as the same
// event, and prolong the pause only by a Retry-After of their own.
package quota

import "time"

// Claim is what an attempt asks of the ledgers.
type Claim struct {
	// Requests is how many requests it counts as; today always 1.
	Requests int

	// Forced charges the attempt although there may be no room: a passthrough is sent in any case, and the upstream counts it.
	Forced bool

	// Urgent lets it use the slots that are kept for urgent requests while a burst ages, and leave between two that keep an even distance.
	Urgent bool

	// High lets it go faster than the even pace of an hour or a day, though not into what is kept for urgent ones.
	High bool

	// Probe lets it be sent beyond a ceiling that is being tested, where it may be refused: it should be of the least urgent that wait.
	Probe bool
}

// Use is what an attempt turned out to have cost. The zero value gives everything back.
type Use struct {
	// Written reports that at least one byte of the request reached the upstream's socket: from then on the upstream may have
	// counted it, so the charge stays.
	Written bool
}

// Readiness is when a lane may send next.
type Readiness struct {
	// At is the earliest time at which a claim may succeed. The zero time means that no clock will bring it: a running
	// attempt has to be sent, settled or refunded first.
	At time.Time

	// Paused reports that the upstream's refusal, not our own pacing, is what holds the lane until At.
	Paused bool
}

// Standing is the tightest window of a lane right after a charge, for the rate-limit headers of an answer. The zero value says
// that no limit is known.
type Standing struct {
	Limit     int           // size of the window
	Remaining int           // how many more it holds now
	Reset     time.Duration // until it is whole again
}
