// Package adapt is the control law: from outcomes to a ceiling, and the NORMAL, RETREAT, RECOVER machine.
//
// A request limit is an integer that can be known exactly, not a congested pipe. So the law does not hunt around it: it confirms a
// ceiling, keeps to it, and looks beyond it now and then with one attempt that it can afford to lose. [Law] does so for one window of one
// scope, with the hour and the day behind it and the burst before it; [InFlight] for what the workers of a model take at once. Both are
// plain values: no clock, no lock, no goroutine; the caller gives the time and keeps two goroutines apart.
//
// # What goes in and comes out
//
//	in   Sent      an attempt leaves, the windows holding so many charges before it; the tag it returns goes with the attempt
//	     Accepted  \
//	     Refused    | exactly one for each tag: the upstream did it, refused it for its quota, or neither says anything of a limit
//	     Void      /
//	     Held      work waits because of the window, or of a longer one (HeldLong): nothing rises without that
//	     Adopt     the upstream said how large a window is;  Pause: and that nothing should leave before a time
//	     Advance   time has passed; before each question
//	out  Ready     whether anything may leave, if the windows allow it
//	     Cap, Long how many charges the windows may hold;  Interval, Burst, Free, Hasten: and how they are to be spaced
//	     Changes   what happened to the state;  View, Remember: what is known, for people and for the next process
//
// The caller keeps the log of charges ([nimsidecar/internal/pace.Window]); every attempt is charged, refused or not, because NVIDIA counts
// refusals. Tokens, prices, faults of the network and other people's use of the account are none of the law's business: a fault is Void.
//
// # What is guaranteed
//
//  1. A ceiling is at least 1 and at most Terms.Most, and so is Cap in every phase: a promise is a promise.
//  2. Against a limit that stands still, of any of the kinds in package limiter, at most 0.6 % of the attempts are refused, plus a
//     constant: every look beyond the ceiling is paid for from a credit that attempts earn.
//  3. A refusal of an attempt that left before the last refusal was known is the same event. It lowers nothing and changes no state.
//  4. A refusal on a look beyond the ceiling confirms the ceiling and lowers nothing.
//  5. In RETREAT one canary is out at a time, and at most three once one has passed. Any verdict frees its place, Void as well.
//  6. Nothing rises without work that waited for a full window.
//  7. What a longer window refuses does not lower the ceiling of the shorter one.
//  8. No state is for good: once the upstream serves again, the law is back at what it knew within one period of the longest window it
//     suspects, and another one where that window is in doubt. The exception is a false hour that was met twice, with the
//     same figure: it grows as its probes pass, by 0.5 % an hour, then 2, 8 and 32, and any refusal meanwhile begins anew.
//  9. The same terms, seed and calls lead to the same decisions.
//
// # The phases
//
// What the law is doing to its ceiling N. δ is 3 % of N, at least 1.
//
//	phase    window may hold       begins when                              ends
//	steady   N                     –                                        –
//	plus     N+1 for one trial,    work has waited for a full window for    refused: N is confirmed
//	         then N+δ, then N+3δ   half a period, and the credit pays       two windows passed: climb
//	climb    grows by 1 for each   a cold start; after plus; in RECOVER     refused: N is what was accepted, verify
//	         one accepted beside                                            nobody waits: N is what was reached
//	         a full window                                                  the promise, or what was before, is reached
//	verify   N                     after a climb or a raise was refused     a whole window has passed
//
// So N goes up:
//
//	cap
//	 │                                      ┌──────  refused: confirmed at what was accepted
//	 │                                  ┌───┘
//	 │                        climb ┌───┘
//	 │                   ┌──────────┘
//	 │      plus ┌───────┘ N+3δ
//	 │    ╷──────┘ N+δ
//	 │────┘ trial: N+1, once
//	 └──────────────────────────────────────────────── time
//
// The trial saves the rest of the careful window from being refused with it. What is accepted in the careful windows counts only if it
// lies inside a period less the margin, so that it was inside the upstream's window wherever that began: counted over a period and a margin,
// 41 attempts fit a limit of 40. Two windows, because a fixed window or a bucket can be fooled by one.
//
// # The machine
//
// What the outside sees. [Transitions] is the table; ../../docs/learning.md prints it.
//
//	         two refusals in a row                     the canaries pass
//	┌────────┐ ──────────────────────────▶ ┌─────────┐ ─────────────────▶ ┌─────────┐
//	│ NORMAL │                             │ RETREAT │                    │ RECOVER │
//	└────────┘                             └─────────┘ ◀───────────────── └─────────┘
//	     ▲                                             two refusals in a row    │
//	     └──────────────────────────────────────────────────────────────────────┘
//	                back at the ceiling of before, or a new one is confirmed
//
// An isolated refusal does not leave NORMAL. What it means depends on what the window held when the attempt left:
//
//	of the window   and                                     it means
//	any             the attempt was a trial, or in plus     N is confirmed
//	under 70 %      –                                       the spacing is too narrow: the burst is halved; at one, the pace stretched
//	full            closer than the pace to the last one    the same
//	full            the first one in this window            jitter: tolerated while there is credit
//	full            there was another in this window        the limit has moved: N falls by δ, 2δ, 4δ …, or to what was accepted
//
// Two in a row, with no success of what left after the first, are RETREAT: the window drains to a part of what it held, one canary
// leaves, and half way between what it found and what was refused the climb begins. A canary that is refused beside a nearly empty
// window shows that it is not this window: a longer one is exhausted. Then the next canaries leave at four times the age of the episode, at
// the end of the hour as our own sends opened it, and later of the day, but at least once an hour; and as an exhausted limit that is
// checked asynchronously lets one attempt through for each pod, eight must pass before it is over. If it was over at the end of that
// window, what was accepted in it is the window's ceiling; until it is met a second time it is in doubt, since an outage looks the same.
//
// # The numbers of an afternoon
//
// Told 40-M for a limit of 40-M that counts from the first hit, with a backlog (credit begins at 1):
//
//	0:00  cold: the first 10 leave at once, the rest 1.48 s apart = 60.5 s / (40 · 1.02)
//	0:49  the window is full, work waits: it climbs from the hint at once
//	0:59  the 41st is refused: 40 were accepted in this window, so 40 is confirmed
//	4:12  168 attempts later the credit is back at 1, the trial goes: refused, 40 is confirmed again. So it goes on: one refusal in 167
//
// The limit falls to 20 at 12:30:
//
//	12:31.0  the first refusal, beside 40 charges: tolerated
//	12:32.5  the second in a row: RETREAT; the window drains to half, which takes until its older half has aged
//	13:04.8  the canary passes beside 19: RECOVER, it climbs from 30, half way between 20 and 40
//	13:36.7  refused: 20 were accepted; NORMAL at 20. Three refusals in all
//	15:26    the ceiling has fallen by half, so the next trial is free
//
// And with 40-M,1000-H, when the 1000 are spent after 25 minutes:
//
//	25:08  refusals beside full windows: 40 becomes 38, then RETREAT, canaries beside 32 and 9 charges: refused too
//	26:00  the window is nearly empty: an hour is suspected
//	28:34, 38:52  canaries, at four times the age of the episode: refused
//	60:28  the hour has ended by our own log: eight canaries pass, RECOVER at 40 again; the hour's ceiling is about 1000
//
// From then on the hour is spread, and never exhausted again.
//
// # Where the figures come from
//
// The credit of 0.006 an attempt is the budget for refusals: 0.003 finds a raised limit after twice as long, 0.01 costs 0.4 % of the limit.
// No law that learns from refusals alone finds a raise sooner than after 1/(0.006·N) windows, half of that on average. The margin of 0.5 s
// a minute costs 0.8 % and is what delivery needs. All others were tuned in simulation, test/scenarios, on limits of 10 to 600 a minute;
// docs/learning.md lists each with its reason.
//
// # What it deliberately ignores
//
// Latency, which says nothing of a quota. How many of a block of refusals there were: it is one event. A burst that passed, since NVIDIA's
// check lets bursts through. Who else uses the account: it yields. The kind of limiter, which is never guessed: log and spacing are right
// under all of them.
package adapt
