// Package coalesce lets identical deterministic requests share one upstream call, and keeps exact answers for a while.
//
//	rules.go   which requests have an answer that may be repeated
//	key.go     when two requests are the same one
//	group.go   who makes the call for all, and who waits for its answer
//	seat.go    one request's part in that, in the hands of its handler
//	answer.go  what of an answer others may see, and which answers are whole
//	cache.go   kept answers, bounded in bytes and age
//	scan.go    just enough of JSON
//
// A call belongs to the client whose handler makes it, and dies with it. The others hold a [Seat] each and wait; if the call comes to
// nothing, whoever has waited longest makes the next one. So there is no goroutine here, a request's life is that of its handler, and
// of those who are in one company exactly one is on its way to the upstream at any time:
//
//	Join ─→ Ready ─┬─→ Answer        the answer is there: pass it on
//	               └─→ no answer     make the call: Record…, Finish
//	        Leave, at the end of either, or while it waits
//
// What is shared is an answer that has come whole, never the beginning of one: a stream that broke could not be taken back from those
// who had its first half, and those who wait are kept alive by heartbeats anyhow. A failure that only the first client met, such as
// its own deadline, is nobody else's; a refusal that all would meet, such as a 400, is. When two calls have failed for
// causes of the upstream's, the company breaks up and each goes alone: an outage must not be queued for.
//
// What is remembered of a request is a hash. Answers are held in memory, never on disk, and nothing of them is ever printed. Clients
// with keys of their own do not see each other's answers unless the operator says so, and credentials that go up with the request
// always keep their holders apart.
package coalesce
