package proxy

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"nimsidecar/internal/sse"
)

// maxWhole bounds an answer that is made anew for its client as a whole.
const maxWhole = 8 << 20

// unfold sends a whole JSON answer as a stream: its client asked for one and was promised one by the 200 that it got while it waited, but
// the upstream did not stream. SDKs would find no event in the JSON and show an empty answer. It reports false, having sent nothing, for
// what has no such form; true means that the request has ended.
func (x *exchange) unfold() bool {
	h := x.answer.Header
	if x.tells != byEvent || x.answer.Status != http.StatusOK || !strings.HasPrefix(h.Get("Content-Type"), "application/json") || h.Get("Content-Encoding") != "" {
		return false
	}
	whole, err := io.ReadAll(io.LimitReader(x.answer, maxWhole)) // what is cut off there is no JSON
	if err != nil {
		x.bodyFailed(err)
		return true
	}
	chunk, ok := chunkOf(x.outgoing.Path, whole)
	if !ok {
		return false
	}
	h["Content-Type"] = []string{"text/event-stream"}
	c := x.copier()
	if c.pass(append(sse.AppendEvent(nil, "", chunk), lastEvent...)) {
		c.finish(io.EOF)
	}
	return true
}

// chunkOf returns the one chunk of a stream that says what a whole answer of a path says; ok is false where there is none.
func chunkOf(path string, whole []byte) (chunk []byte, ok bool) {
	var answer map[string]json.RawMessage
	if chunkObjects[path] == "" || json.Unmarshal(whole, &answer) != nil {
		return nil, false
	}
	var choices []map[string]json.RawMessage
	if json.Unmarshal(answer["choices"], &choices) != nil {
		return nil, false
	}
	for _, choice := range choices {
		message, ok := choice["message"]
		if !ok {
			continue // of /completions: its chunks are like its answers
		}
		delete(choice, "message")
		choice["delta"] = indexed(message)
	}
	answer["object"], _ = json.Marshal(chunkObjects[path])
	answer["choices"], _ = json.Marshal(choices) // what was read can be written
	chunk, _ = json.Marshal(answer)
	return chunk, true
}

// indexed numbers the tool calls of a message, as those of a delta are.
func indexed(message json.RawMessage) json.RawMessage {
	var members map[string]json.RawMessage
	var calls []map[string]json.RawMessage
	if json.Unmarshal(message, &members) != nil || json.Unmarshal(members["tool_calls"], &calls) != nil || len(calls) == 0 {
		return message
	}
	for i, call := range calls {
		call["index"], _ = json.Marshal(i)
	}
	members["tool_calls"], _ = json.Marshal(calls)
	message, _ = json.Marshal(members)
	return message
}
