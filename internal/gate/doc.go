// Package gate is the one place where requests wait: tickets in, grants out.
//
// Whoever wants to send takes a ticket, waits until it is decided, sends with the grant it got, and settles the grant. Nobody else
// queues, or sleeps before a send. Package sched says who is next, a Budget says whether a slot is free; the gate puts the two
// together and does the waiting.
//
// # The life of a ticket
//
//	            Enqueue
//	               │ slot free and nobody waits: in the caller, no lock, no channel
//	               ├──────────────────────────────┐
//	               ▼                              ▼
//	          ┌─────────┐   slot free        ┌─────────┐ Result ┌───────┐ Settle
//	          │ waiting ├───────────────────▶│ granted ├───────▶│ taken ├────────▶ done
//	          └─┬───▲───┘                    └────┬────┘        └───┬───┘
//	full, late, │   │                     Abandon │                 │ Requeue, after Settle:
//	drain, End, │   └─────────────────────────────┼─────────────────┘ old class, old age
//	Abandon     ▼                                 ▼ slot refunded
//	          ┌─────────────────────────────────────┐
//	          │               refused               │
//	          └─────────────────────────────────────┘
//
// Each wait ends exactly once: granted or refused. Each grant is settled exactly once, whoever calls how often, so charges = grants −
// refunds. A ticket that waits is touched by others (dispatch, Drain, End, a more urgent newcomer) under the gate's lock only; a
// decided ticket belongs to its owner alone.
//
// # Rounds
//
// All that is decided is decided in a round, under the lock: who is overdue is refused, then the room proposes waiters in order, and
// each gets the first of its lanes that has a slot. A line that gets none sleeps until the time that the budget names, and is stepped
// over. A round ends when nobody can be proposed: if a request waits, its lanes have no slot.
//
// A newcomer runs a round itself. Everything else is the business of Run, the one goroutine: it sleeps until the earliest time at
// which a line wakes, a NotBefore or a deadline passes, or until a grant that is sent, observed or settled changes what an account may
// do. Then it wakes that account's lines and runs a round. While nobody waits it is never woken.
//
// No wake-up is lost, because each side announces before it looks: a newcomer is seen to wait before its round asks the budget, and
// a grant changes the budget before it looks whether somebody waits. Whichever comes second sees the other.
//
// # Who is refused, and when
//
//	reason                 when
//	queue_full, displaced  it would have to wait and the room is full: of the least urgent class below it the newest of the agent
//	                       that has most goes, else itself
//	upstream_rate_limited  at once, when all its lanes are held beyond its deadline and the first to come back is paused by the upstream
//	deadline               at once, when our own pacing holds it beyond a deadline that the client announced, or when it comes and the
//	                       forecast says that its turn comes later
//	queue_timeout          its deadline has come; a slot at that very moment is still granted
//	draining               at once, when the gate drains, whether it waits, comes or comes back
//	cancelled              End or Abandon
//
// A slot that is free counts first: a request that need not wait is never refused for a full room or a deadline of now. A parked
// ticket is judged together with its line, or when its NotBefore has passed.
//
// # When somebody's turn comes
//
// A forecast plays a copy of the room ahead, by the rules of package sched: with class shares, agents and lines as they are, those who
// will come again as they lately did, and the slots that the ledgers will have. These follow from what they hold and at which distance they
// let attempts out now; where they know no limit, from the pace at which waiters left the lane. It tells each waiter its place and
// its time, and each newcomer what it may expect. It is a second old at most, or twenty times as old as it takes to make one (some
// milliseconds for a thousand waiters); the lock is held for the copy only. Whoever asks for it makes it.
//
// With steady limits and clients it is right within a fifth for 95 of 100; package sim tests that. It cannot know who will come for the
// first time. Where models of one account have limits of their own, the share of a class is one share over all of them, and on
// which of them it comes due depends on moments; there a less urgent class can miss its forecast by much.
//
// # Who comes again
//
// A request that a client repeats after a refusal, or after it left the room, within a minute, stands among the requests of its agent
// where it stood. Nobody else's place changes, and each place that was given up is taken again once.
//
// # Locks
//
// The forecast's, then gate.mu, then the budget's own. Under gate.mu nothing blocks: it closes channels and sends without waiting. The fast path and the
// methods of a Grant call the budget without gate.mu.
package gate
