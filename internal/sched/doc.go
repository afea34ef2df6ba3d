// Package sched is the order of the waiting room: class shares, fairness between agents, deadlines.
//
// A Room holds waiting items and answers one question: who is next? It knows no clock, no ledger and no client. Its owner
// proposes the first item to the ledgers, takes it out if they agree, or tells the room until when it is blocked, and asks
// again.
//
// # Order
//
// Of all items that may be proposed, the most urgent class goes first (URGENT, HIGH, NORMAL, LOW), and inside a class the
// item with the smallest arrival number. The order is strict: a less urgent item is proposed only while no more urgent one
// can be.
//
// Items of one class with the same list of lanes form a line: if the first of them cannot be sent now, none of them can. So the
// room asks once a line, not once an item. A line is in one of two conditions:
//
//	         Block(first, until)
//	      ┌───────────────────────▶
//	awake                           blocked
//	      ◀───────────────────────┘
//	         Wake, Touch, Add
//
// A blocked line is stepped over, so it never holds up another: there is no head-of-line blocking between models or
// accounts. An item with a NotBefore in the future is parked: it keeps its place in the order but cannot be proposed yet,
// and its line goes on without it. An item that comes back after a failed attempt is added with its old arrival number, so
// it is older than everybody who came after it.
//
// # Guarantees
//
//   - First returns the smallest (class, arrival) of all items that are neither parked nor in a blocked line.
//   - An item leaves only by Remove or by one of the Take methods, and by exactly one of them.
//   - The outcome depends on the calls alone: no clock, no random number, no order of a map.
//
// # Bounds
//
// With n items in m lines: Add, Remove, Block are O(log n); First, Newest, Next, Len are O(1); Wake and the Take methods are
// O(log n) for each line or item that they move; Touch is O(log m) for each line of the account. An item costs 24 bytes
// beside itself, a line about 500. Nothing is sorted, scanned or copied as a whole but by All and TakeAll.
//
// Each ordering is a binary heap whose elements know their place, so any of them can be taken out of the middle: a line
// holds its items by arrival and by deadline; the room holds awake lines by their first item, blocked lines by the time at
// which they wake, lines by their earliest deadline, parked items by NotBefore, and the items of each class newest first.
//
// # A walk in numbers
//
// Model a may send at 10 s, model b now. The room holds, as class, arrival number and model,
//
//	N1a N2a H3a N4b L5b
//
// Lines: H·a {3}, N·a {1 2}, N·b {4}, L·b {5}. The owner at 0 s:
//
//	First → H3a, the ledger says 10 s:  Block until 10 s; H·a sleeps
//	First → N1a, the ledger says 10 s:  Block until 10 s; N·a sleeps with both its items
//	First → N4b, granted:               Remove; its line is empty and gone
//	First → L5b, the ledger says 2 s:   Block until 2 s
//	First → nothing; Next → 2 s
//
// Four questions for five items, and for five thousand waiting on a it would still be four. At 2 s L5b leaves, though H3a is
// more urgent: nothing that H3a could use was taken. At 10 s Wake wakes H·a and N·a, H3a is granted first, and N1a after it.
// Should N1a come back at 11 s it is still before N2a, by its arrival number.
//
// # What may follow
//
// Class shares change only which class First looks at; fairness between agents changes only the order inside a line. Lines,
// readiness, parking and deadlines stay as they are.
package sched
