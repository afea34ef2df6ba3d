// Package sched is the order of the waiting room: class shares, fairness between agents, deadlines.
//
// A Room holds waiting items and answers one question: who is next? It knows no time of day, no ledger and no client. Its owner
// proposes the first item to the ledgers, serves it if they agree, or tells the room until when it is blocked, and asks again.
//
// # Order
//
// Three choices lead to the first item, each among those that can be proposed now:
//
//  1. The class. URGENT, unless it has had 28 of the last 39 grants that count and another class can be proposed; a grant counts
//     if another class could have been proposed instead, or waits for the same account, and one of the other classes also while
//     URGENT has had one of its account's last 40. HIGH, NORMAL and LOW share the rest 8 : 4 : 1. While URGENT is Capped, the owner
//     must not let it go where the others cannot.
//  2. The agent. All agents of a class have equal shares of it, whatever they ask for and on however many lanes.
//  3. The item. Of an agent's items the one with the smallest arrival number.
//
// Among agents that have had the same the oldest item decides; there is no other promise of first in, first out between agents.
//
// # Lines
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
// accounts. An item with a NotBefore in the future is parked: it keeps its age but cannot be proposed yet, and everybody goes on
// without it. An item that comes back after a failed attempt is added with its old arrival number, so it is before all younger
// ones of its agent, and with Again set, so its agent does not pay for it again. Its class does: that shares out grants, of which
// it took one more.
//
// # Shares of the classes
//
// HIGH, NORMAL and LOW are served by start-time fair queueing. A grant of a class with weight w takes 1/w of virtual time. It
// starts at max(v, the finish of the class's last grant), v being the start of the last grant of any of the three; the smallest
// start is served, of equal ones the more urgent class. A class that was idle or blocked starts at v: no credit, no debt.
//
// What follows for a class that has an item to propose all the time, from its grant at s to its next at s + 1/w: another class of
// weight x starts only within [s, s+1/w], the end included if it is more urgent, and its starts are at least 1/x apart. So it has
// at most ⌊x/w⌋+1 grants if more urgent, else ⌈x/w⌉ = 1. The sum is k in the table. URGENT adds to it. Number its grants within
// the gap by how many of the k come before: any 12 neighbouring groups have only 11 others between them; 29 URGENT ones with
// them would be 29 of some 40 grants in a row that count. So 12 groups hold at most 28, and the k+1 groups 28·⌈(k+1)/12⌉.
//
//	class    share at least  without URGENT  grants of others between two of its own, at most  without URGENT (k)
//	HIGH     18.5 %          61.5 %          30                                                 1+1 =  2
//	NORMAL    9.2 %          30.8 %          32                                                 3+1 =  4
//	LOW       2.3 %           7.7 %          70                                                 9+5 = 14
//
// The shares are 30 % of 8/13, 4/13 and 1/13, which all have if all wait; what one leaves goes to the others. In numbers: of G
// grants in a row that count at least 12·⌊G/40⌋ are not URGENT's, and of m that are not, at least (m−14)/13 are LOW's. At 40 a
// minute LOW waits 107 s at most, and 23 s without URGENT. All gaps are met: by a class that is served alone, a moment before all
// the others come. URGENT itself never waits for more than 12 grants in a row.
//
// # Shares of the agents
//
// Each agent of a class has a due time, in virtual time of that class, over all lines. The smallest is served. A grant of cost c
// that was due at d moves it to d + c. The floor is then d: whoever is due earlier, because it was blocked, is lifted to the floor
// when it is served, for there is no credit here either. An agent that comes is due at par. Each grant moves par up by c/n if n agents
// are here, and at least to the floor: it is where somebody who had always been here would be, were all served at once and evenly.
// An agent without items is still here while it is due after par; then it is forgotten, as all are when nobody waits. An agent that
// is alone pays nothing.
//
// Two simpler rules do not hold up. If par were the floor, as in plain start-time fair queueing, it would stand still while newcomers
// are served, and a stream of new names would starve whoever has been served once. If an agent were forgotten when its last item
// leaves, one that asks for one thing at a time could be due first whenever it comes back.
//
// With C the greatest cost, floor ≤ due ≤ floor + C for all that can be proposed: who is served was due first, at the floor, and par
// is between floor and floor + C as well. For the way it has gone since it last was at the floor, counted for each agent as long as
// it was here, adds up to the grants since; were it past floor + C, each agent would have been granted less than is counted for it.
// So while an agent has an item to propose:
//
//   - Another of whose items none costs more than b gets at most C + b more than it, whatever the other does: 2 requests, in
//     however long a run. Who lacks has no less than anybody, but for these 2: the shares are max-min fair.
//   - Between two of its grants another has at most 2, if all cost the same. A stream of new names, w of which always wait, leaves it
//     one grant in e·(w+1): so many are here, those included who were served while par moved by 1.
//
// What an agent pays for is an item, once. Marked with Again, further attempts are free, so an agent all of whose requests are tried
// twice has twice the grants of others. Whoever sets Again bounds that by bounding attempts.
//
// # Playing ahead
//
// A Plan is a copy of a room. Played with what is known of the lanes' slots it serves its items by the very same code, and so tells
// when each will be granted. Newcomers that only ask, one for each agent of a line, one that nobody knows for each class, tell at the
// same time when others' turns would come. They take nothing; but that they are there makes par rise a little more slowly, which
// now and then turns two agents round.
//
// # Guarantees
//
//   - First returns the first in the order of all items that are neither parked nor in a blocked line.
//   - An item leaves only by Serve, Remove or one of the Take methods, and by exactly one of them.
//   - Of 40 grants in a row that count at most 28 are URGENT's, as long as others can be proposed; the gaps and lags above.
//   - The outcome depends on the calls alone: no time of day, no random number, no order of a map.
//
// # Bounds
//
// With n items in m lines: Add, Remove, Serve, Block are O(log n); Victim, Next, Len, Least, and mostly First, are O(1); Wake and the
// Take methods are O(log n) for each line or item that they move; Touch is O(log m) for each line of the account. A grant outdates
// the place of each other line that its agent is first in; First puts an awake one right when it gets to the front, in O(log n).
// That is many only where few agents of a class wait on many models, all awake at once. (Some such cost there must be: O(log n)
// throughout would multiply Boolean matrices faster than is thought possible.) Order and TakeAll are O(n log n), All is O(n).
//
// An item costs 24 bytes beside itself, an agent about 200 in each line that it waits in, a line about 550. An agent that does not
// wait is remembered until par has moved by the cost of its last grant, mostly one turn of those who do.
//
// To play n items takes O(log n) for each grant and for each line that wakes for it, and no more than 100 n such steps.
//
// Each ordering is a binary heap whose elements know their place, so any of them can be taken out of the middle. The room
// holds awake lines by their first item, blocked lines by the time at which they wake, lines by their earliest deadline, parked items
// by NotBefore, and the agents of each class by how many items they have, which an agent holds newest first; a line holds its flows (the items of one agent in it) by due time and age, and
// its items by deadline; a flow holds its items by arrival.
//
// # A walk in numbers
//
// Ann, Bob and Eve wait for a model with slots to spare, as class, arrival number and agent:
//
//	N1ann N2ann N3ann N4bob L5eve L6eve
//
// H·, N· and L· are starts, ann and bob due times; the smallest start is served, and in NORMAL the smallest due time:
//
//	grant   v    N·    L·    ann  bob  par
//	N1ann   0    0     0     0    0    0      ties: the more urgent class, the older item
//	L5eve   0    1/4   0     1    0    1/2    eve is alone in LOW
//	N4bob   1/4  1/4   1     1    0    1/2
//	N2ann   1/2  1/2   1     1    –    1      bob has left, and is forgotten: he would be due at par anyway
//	N3ann   3/4  3/4   1     1    –    1      ann is alone and pays nothing
//	L6eve   1    –     1
//
// Now model a may send at 10 s, model b now. The room holds, as class, arrival number and model,
//
//	N1a N2a H3a N4b L5b
//
// Lines: H·a {3}, N·a {1 2}, N·b {4}, L·b {5}. The owner at 0 s:
//
//	First → H3a, the ledger says 10 s:  Block until 10 s; H·a sleeps
//	First → N1a, the ledger says 10 s:  Block until 10 s; N·a sleeps with both its items
//	First → N4b, granted:               Serve; its line is empty and gone
//	First → L5b, the ledger says 2 s:   Block until 2 s
//	First → nothing; Next → 2 s
//
// Four questions for five items, and for five thousand waiting on a it would still be four. At 2 s L5b leaves, though H3a is
// more urgent: nothing that H3a could use was taken. At 10 s Wake wakes H·a and N·a, H3a is granted first, and N1a after it.
// Should N1a come back at 11 s it is still before N2a, by its arrival number.
package sched
