// Package wire is the parts of the OpenAI and Anthropic formats the sidecar must understand: model, stream, usage, errors.
//
//	peek.go          what a request's body says that pacing needs
//	conversation.go  what the requests of one conversation have in common
//	rewrite.go       another model in a request's body
//	usage.go         the token figures of an answer
//	error.go         our own errors, in the shape of the path
//	problem.go       an upstream's errors, brought into that shape
//	header.go        hop-by-hop headers, and the syntax of rate-limit headers
//	scan.go          the JSON scanner under all of it
//
// Bytes that come from a client or an upstream are only looked at: what is forwarded is never re-encoded, and the one thing that is ever
// changed, the model that a route names, leaves every other byte as it was. Everything here is a function of its arguments, and none
// of them panics, whatever the bytes.
package wire
