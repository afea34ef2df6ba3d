// Package limiter is limiters as upstreams build them: first-hit fixed window, fixed minute, sliding window, token bucket, concurrency.
//
// They are the other side of the wire: what the sidecar paces against, written without a line of its pacing code so that a
// fault shared by both sides cannot hide. The emulated upstream asks them for each request; a simulation may ask them
// directly. Everything is arithmetic over the times that the caller passes in.
//
// With "40-M", 41 hits at 0:30, 40 at 1:00 and one at 1:30, the kinds let through:
//
//	kind              0:30  1:00  1:30  why
//	nvidia              40     0     1  the window opened at 0:30 and lasts exactly a minute
//	minute              40    40     0  the window ended with the clock's minute
//	sliding             40     0     1  at 1:30 the forty of 0:30 are exactly a minute old and no longer count
//	sliding-refusals    40     0     0  the forty refused at 1:00 count like any other
//	bucket, burst 10    10    10     1  ten at once, then one every 1.5 s
//
// and "inflight" lets through whatever finds less than its cap running. What is refused is charged by nvidia, minute and
// sliding-refusals, in every window, and by the others in none.
package limiter
