// Package proxy is the client-facing handler: admit, wait, keep alive, forward, account.
//
// One request is one exchange, owned by its handler's goroutine from the first byte to the last. Its walk:
//
//	admit.go      read and check everything that must be understood, the whole body included, before anything waits
//	route.go      the targets that it may go to, one after the other, and what is sent to each
//	local.go      what needs no attempt: the merged list of models, a count of tokens
//	share.go      who asks what others ask, or have asked of late, gets their answer
//	wait.go       a ticket in the gate, until it is granted, refused, or the client leaves
//	forward.go    attempts, each with its own grant, until one is to be passed on or none is left
//	relay.go      the answer: its status and head, or an error in the shape of the path
//	copy.go       its body, byte for byte, each chunk flushed as it comes; a cut answer never ends as if it were whole
//	translate.go  a request in Anthropic's format for a provider that speaks OpenAI's only, and its answer back
//	unfold.go     a plain answer, made into the stream that its client was promised
//	answer.go     our own answers and headers
//	record.go     one log line and the metrics, whatever happened
//	finished.go   what is told of it to who listens
//	heartbeat.go  which client bears which heartbeat: data
//	pulse.go      when one is sent, and who may write to the client
//
// In every silence the client gets heartbeats: in the queue, between two attempts, before the upstream's first byte, in the gaps of a
// stream. The first of them commits: a client that waits for a stream gets its 200 after Heartbeat.CommitAfter, and what fails later is
// told inside the stream. A failure before that keeps its status. The head of a stream is held back until its first event or the commit,
// so that an error in that event can be repeated unseen; a commit does not end the repetitions, content does. What is not known when
// the 200 is sent (attempts, key, waiting time, who serves a route, what is left of the limit, the reason of a failure) follows as
// trailers.
//
// A client's own mistake is answered before a slot is taken and never counts against the upstream. Every request ends with exactly
// one status and, where the sidecar itself ended it, exactly one reason of the contract's closed list.
package proxy
