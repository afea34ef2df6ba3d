// Package upstream is providers, accounts, keys and the shared HTTP client: one attempt, classified.
//
// A Table knows every provider. Choose says where a request for a model may go, Lanes which accounts may serve it there, and Attempt
// sends it once on one of them and returns an Answer whose Outcome says what the answer means. Nothing here waits for its turn and
// nothing is repeated here: a repetition is a new attempt with its own slot, decided elsewhere.
//
// From the answers it learns what is out of use: a key that is refused, a provider that cannot be reached, a model that fails. All
// of them share one state machine, which lets one attempt at a time try again after a growing pause and cannot get stuck (pause.go).
//
//	table.go      settings and construction
//	routes.go     aliases of models, and where they lead
//	models.go     the list of models, merged over all providers
//	lanes.go      which accounts may serve a model, and the client's own credential as an account
//	affinity.go   a conversation stays with its account and key
//	keys.go       the keys of an account, and which of them are benched
//	breaker.go    providers and models that are out of use
//	pause.go      when what is out of use may be tried again
//	view.go       all of that, for people
//	speech.go     whose requests a provider understands, and which of them cost no quota
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
