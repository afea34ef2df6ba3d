// Package pace is pacing arithmetic: how many attempts a window still holds and when the next may leave.
//
// Two rules pace a limit of N requests in a period P, and both must allow an attempt: [Window] is a log of what was sent,
// [Spacing] an even distance with an allowance for bursts. Both are plain values: no clock, no lock, no goroutine; the caller
// gives the time and keeps two goroutines apart.
//
// # The guarantee
//
// The log holds at most N charges, each for P + m, the margin m being longer than the delivery of a request that is wholly
// written. Then, whatever the order of calls, no half-open interval of length P sees more than N hits at the upstream.
//
// A charge has three times: it is reserved at r, wholly written at s, and counted by the upstream at h. Between r and s anything
// may happen: a connection is dialled, a large body trickles out. All that is known is
//
//	r ≤ h ≤ s + m
//
// Therefore a charge does not age while it is open, that is from r to s, and the log counts its P + m from s. Suppose now that
// N+1 hits fell into [t, t+P). Take the attempt among them that was reserved last, at r, and look at any other, sent at s'.
// Had that one left the log by then, s' + P + m ≤ r, and so
//
//	h' ≤ s' + m ≤ r − P ≤ h − P < t
//
// which is before the interval: a contradiction. So all N others were in the log at r, the log was full, and [Window.Next] had
// said no. Ageing from the reservation instead would break the first step: a request that took 5 s to write would be counted 5 s
// after the log thinks, and its slot would come back 5 s too early.
//
// Every kind of window that upstreams count by is such an interval:
//
//   - sliding: (t−P, t] at each hit
//   - fixed, aligned to the clock: [kP, (k+1)P)
//   - fixed, opened by the first hit after the last one expired (NVIDIA): [h, h+P)
//
// so a limiter of the same N never refuses, without being asked which kind it is, and whether or not it counts refusals. A
// charge is given back only if no byte of its request left, for then there is no h; a refused attempt stays charged.
//
// # The price
//
// A backlog that always waits gets N in P + m instead of N in P: P/(P+m) of the limit. With [Margin] that is 99.2 % of a minute
// (m = 0.5 s), 90.9 % of a second (m = 0.1 s) and 99.9 % of an hour (m = 2 s).
//
// # What spacing adds
//
// A log alone lets all N go at once. A token bucket, which holds B tokens and regains N in P, would refuse what is beyond B. With
// the distance T of [Interval], which is 1.02 times as fast as the log, an interval of length l sees at most b + l/T attempts
// leave, b being the burst. The bucket regains l·N/P meanwhile, and over whole lengths of P + m the log keeps to N, which is less
// than the bucket regains. What is left over is at most, for l ≤ P + m,
//
//	b + l/T − l·N/P ≤ b + N·(0.02 − m/P) ≤ b + N/50
//
// So a bucket of B ≥ b + N/50 never refuses, give or take N·d/P tokens for a delay of d between leaving and arriving. Being
// slightly faster than the log, spacing costs no throughput: the log stays the binding rule and is filled to its last slot.
//
// # An example
//
// The limit 40 a minute with burst 4: m = 0.5 s, T = 60.5 s / (40 · 1.02) = 1.483 s. An idle sidecar lets 4 go at 0 s, the 5th at
// 1.483 s, the 40th at 53.4 s. The 41st waits for the first to leave the log, at 60.5 s; from there on 40 leave in every 60.5 s,
// 39.67 a minute. A bucket of 4.5 tokens that regains 40 a minute refuses none of them.
package pace
