// Package proxy is the client-facing handler: admit, wait, keep alive, forward, account.
//
// One request is one exchange, owned by its handler's goroutine from the first byte to the last; no other goroutine writes to the
// client. Its walk:
//
//	admit.go    read and check everything that must be understood, the whole body included, before anything waits
//	wait.go     a ticket in the gate, until it is granted, refused, or the client leaves
//	forward.go  attempts, each with its own grant, until one is to be passed on or none is left
//	relay.go    the answer, byte for byte, each chunk flushed as it comes; a cut answer never ends as if it were whole
//	record.go   one log line and the metrics, whatever happened
//
// A client's own mistake is answered before a slot is taken and never counts against the upstream. Every request ends with exactly
// one status and, where the sidecar itself ended it, exactly one reason of the contract's closed list.
package proxy
