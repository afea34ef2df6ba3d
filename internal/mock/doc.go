// Package mock is an upstream that behaves like NVIDIA's hosted gateway, refusals, faults and all.
//
// It is the other side of the wire, for users who want to try settings without spending quota and for tests that need an
// independent judge: it shares no code with the pacing it is paced by, counts in its own words, and checks its own limiter
// with a second, separate count (Stats). All its answers are synthetic and say so: the header X-Mock is on every one, and
// the list of models has a member of that name.
//
// # The walk of a request
//
// Each request passes the checks of the real gateway in the real order, and the first that objects answers. Only from the
// limiter on does a request cost quota:
//
//	guard         reserved headers and the route: 400, 404
//	read          the whole body, JSON, at most 25 MiB: 400, 500
//	find          the model: 404, 410, 503
//	authenticate  the key: 401, 403
//	entitle       the account and the model: 404, 400
//	poll          NVCF-POLL-SECONDS: 400
//	admit         the limiter, synchronously or with the asynchronous leak: 429
//	enqueue       a worker, the model's queue, or neither: 429, 503
//
// and then the wait for a worker (504, empty), its silence (202 when it outlasts the poll time), and the answer.
//
// # What it says
//
// It answers chats, completions, embeddings and responses as OpenAI's API does, and, which NVIDIA's gateway does not, messages and
// their count_tokens as Anthropic's. Any request with tools is answered by a call of one, until the result is there, and one for
// JSON by JSON: both are the plainest instance of the schema that was given. All else is answered in always the same words. The same
// body always gets the same answer.
//
// # Time
//
// With a TimeScale of 60 a minute of the limiter lasts a second: its windows, the life of an asynchronous flag, and the delay
// of a change of limits. All other durations are real.
//
// # Control
//
// Under /mock/, without a key and never charged:
//
//	GET  /mock/stats     totals, and the fullest window that a separate count found in every scope
//	GET  /mock/arrivals  what came in, and what it was charged; ?after=SEQ for the later ones only
//	PUT  /mock/limits    {"limits":"20-M","model":"…","account":"…","after":"30s"}: see LimitChange
//	POST /mock/faults    {"fault":"offline","times":3,"model":"…","delay":"1s",…}: see Fault
//	POST /mock/reset     everything as it was after New
package mock
