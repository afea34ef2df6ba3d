// Package anthropic translates Anthropic's messages to OpenAI's chat completions and back, so that Claude-style clients run on providers that speak only the latter.
//
//	request.go   a request: the settings, and what is left out when a provider refuses it
//	messages.go  its messages: roles, order, tool results
//	content.go   the blocks they are made of
//	tools.go     its tools
//	answer.go    the answer that comes as one body
//	stream.go    the answer that comes as a stream
//	blocks.go    the order of a stream's blocks
//	chunk.go     what an upstream sends
//	errors.go    errors, ours and an upstream's
//	estimate.go  how many tokens a request has
//	models.go    the list of models
//
// What the other side has no word for is left out; what would change the meaning of a request if it were left out is refused, with an
// Error that names the member. Text, tool arguments, schemas and numbers pass as they were written. Everything here is a function of
// its arguments, and none of them panics, whatever the bytes.
//
// The sources are Anthropic's and OpenAI's published API references and SDK types of 2026, and what NVIDIA's models are reported to
// take and to refuse; where a rule follows a report, its comment says which.
package anthropic
