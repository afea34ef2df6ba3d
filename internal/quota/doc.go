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
// is open and does not age: package pace proves that the upstream then never sees more than the window held, in any of its own
// windows, of whatever kind they are.
//
// # What a ledger is
//
// A ledger is a few windows, each a log of charges, and for each somebody who says how many it may hold:
//
//   - [Fixed]: the windows of the [Terms], as large as they say. A refusal pauses, and teaches nothing.
//   - [Promise], [Hint]: a law of package adapt says how large the minute is, and the hour and the day if they are limited at all. It
//     begins with what the terms say, learns from every verdict, and never goes beyond the promise, or four times the hint. Windows
//     of less than a minute beside the minute stay as they were told. Without any rate nothing is limited until the first refusal.
//
// The two ledgers of a lane, the model's and the account's, learn apart from each other.
//
// # How the slots of a window are shared out
//
// Capacity alone would let everything leave at once and then nothing for a minute. So of each window
//
//   - a first part is free: the burst of a window of at most a minute, half of a longer one;
//   - once it is used, attempts keep the even distance that uses up the rest exactly when the burst leaves the log;
//   - a few slots are kept for urgent attempts while a burst is in the log: two of a minute's, one if it holds less than ten, a tenth of
//     an hour's. Half as many more are kept from those who are not even HIGH. They are released one by one as the time comes near at
//     which the burst leaves, so none is lost.
//
// An urgent attempt waits for nothing but capacity, and for the token bucket that the upstream may be: the burst, and from then on
// the even pace. Both keep every attempt.
//
// As an example, take 40 a minute, of which half may leave at once, and a backlog at an idle ledger. The margin makes the minute
// 60.5 s. At 0 s 20 leave. For the other 20 there are 60.5 s, so one leaves every 60.5 s / 21 = 2.88 s; the 37th at 48.98 s. Now three
// slots are left and kept. Somebody urgent who comes at 50 s leaves at 50 s. If nobody comes, the three are released at 55.96,
// 57.48 and 58.99 s, the even distance of 60.5 s / 40 = 1.51 s apart. At 60.5 s the 20 leave the log, and the 41st follows. Every 60.5 s
// from then on hold 40.
//
// # When the upstream refuses
//
// Only an outcome of class quota is a refusal of the pace. Where something is learned it is put down to one of the two ledgers, whose
// law takes it as news; to the other's it says nothing. Blamed is, in this order,
//
//   - whom the answer itself names; if it names tokens nobody is, and the lane pauses
//   - the ledger that sent this very attempt to test its ceiling, or as a canary in a retreat
//   - the account, if another of its models was refused within ten seconds, nothing was accepted since, and the model's own window was
//     far from full
//   - the model, where the upstream counts each for itself
//   - where no ceiling is known: the account if only one of its models is used, else the model
//   - the account, if its window was the fuller one; else the model
//
// Where nothing is learned a refusal pauses the scope of the model, never the account, so that other models go on. The pause lasts
//
//   - as long as the answer asks for (Retry-After; zero is taken at its word where windows keep the pace anyway), else
//   - until the window that most likely refused is over, by our own log: the one that is fullest for its size. An hour or a day
//     is suspected from 90 % on, since a refusal there would stop the lane for long; else
//   - where no window can explain it, 1, 2, 4 … 60 s, doubling with each refusal in a row, until an attempt sent after the
//     refusal succeeds.
//
// Attempts that were under way when the first of them was refused tell the same story again: refused too, they count as the same
// event, and prolong the pause only by a Retry-After of their own.
//
// # When the workers are busy
//
// That speaks of how many requests run at once on a model, whoever pays for them, and not of the pace. From then on fewer run on it,
// over all accounts of the provider, and one that has to wait for that waits until another ends. More are tried one by one, and after half
// an hour without such an answer the bound is forgotten.
package quota

import "time"

// Claim is what an attempt asks of the ledgers.
type Claim struct {
	// Requests is how many requests it counts as; today always 1.
	Requests int

	// Forced charges the attempt although there may be no room: a passthrough is sent in any case, and the upstream counts it.
	Forced bool

	// Urgent lets it use the slots that are kept for urgent attempts while a burst ages, and leave between two that keep an even
	// distance.
	Urgent bool

	// High lets it use a slot more than others may, though none that is kept for urgent ones. It keeps the even distance like them.
	High bool

	// Probe lets it be sent beyond a ceiling that is being tested, where it may be refused: it should be of the least urgent that
	// wait. A lane on which nobody ever probes finds no higher ceiling.
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
	// At is when to ask again: the claim cannot succeed before, unless something happens on the lane, and may still not succeed
	// then. The zero time means that no clock will bring it: a running attempt has to be sent, observed or settled first. That may
	// be one on another account, if the workers of the model are busy.
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
