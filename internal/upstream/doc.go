// Package upstream is providers, accounts, keys and the shared HTTP client: one attempt, classified.
//
// A Table knows every provider. Lanes says which accounts may serve a request, Attempt sends it once on one of them and returns an
// Answer whose Outcome says what the answer means. Nothing here waits for its turn and nothing is repeated here: a repetition is a
// new attempt with its own slot, decided elsewhere.
//
//	table.go      settings and construction
//	lanes.go      which accounts may serve a model, and the client's own credential as an account
//	keys.go       the keys of an account, and which of them are benched
//	path.go       what may follow /v1: nothing that could leave it
//	header.go     what goes up, what comes down
//	redact.go     our keys in what comes down
//	transport.go  one http.Transport a provider; it can reach that provider only
//	conn.go       a connection that knows what net/http does not: who may be answered on it, and how much was written
//	attempt.go    one send
//	answer.go     its answer, read by its owner
//	event.go      the first event of a stream, which may be an error
//	fault.go      how attempts break
//	ping.go       whether the upstream can be reached
//
// Two faults of net/http's connection pool are mended in conn.go: an unasked second response is never given to another request,
// and a dead pooled connection is told from a slow one before anything is written to it.
package upstream
