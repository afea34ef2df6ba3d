// Package wire is the parts of the OpenAI and Anthropic formats the sidecar must understand: model, stream, usage, errors.
//
//	peek.go     what a request's body says that pacing needs
//	usage.go    the token figures of an answer
//	error.go    our own errors, in the shape of the path
//	problem.go  an upstream's errors, brought into that shape
//	header.go   hop-by-hop headers, and the syntax of rate-limit headers
//	scan.go     the JSON scanner under all of it
//
// Bytes that come from a client or an upstream are only looked at: what is forwarded is never re-encoded. Everything here is a
// function of its arguments, and none of them panics, whatever the bytes.
package wire
