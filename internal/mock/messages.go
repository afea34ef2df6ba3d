package mock

import (
	"net/http"
	"strconv"
	"strings"
)

// message answers as Anthropic's API does.
func (s *Server) message(c *call) { s.play(c, newMessages(c.model.name, s.turn(c))) }

// countTokens answers with the tokens of the prompt.
func (s *Server) countTokens(c *call) {
	s.identify(c, http.StatusOK)
	c.send(http.StatusOK, jsonBody, []byte(`{"input_tokens":`+strconv.Itoa(c.promptTokens())+`}`))
}

// named returns an event that says its type twice, as two of the APIs want it: in a line of its own, and as the member of its data.
func named(kind, members string) template {
	return newTemplate("event: " + kind + "\ndata: {\"type\":\"" + kind + "\"" + members + "}\n\n")
}

// newMessages writes a turn in the shape of Anthropic's API.
func newMessages(model string, t turn) *script {
	block := func(text string) string { return `{"type":"text","text":` + quote(text) + `}` }
	whole, empty, delta, reason := block(t.text()), block(""), `{"type":"text_delta","text":`, "end_turn"
	if t.tool != "" {
		head := `{"type":"tool_use","id":"toolu_mock_` + blankID + `","name":` + quote(t.tool) + `,"input":`
		whole, empty, delta, reason = head+t.text()+"}", head+"{}}", `{"type":"input_json_delta","partial_json":`, "tool_use"
	}
	tokens := strconv.Itoa(len(t.pieces))
	message := func(content, reason, output string) string {
		return `{"id":"msg_mock_` + blankID + `","type":"message","role":"assistant","model":` + quote(model) + `,"content":[` + content +
			`],"stop_reason":` + reason + `,"stop_sequence":null,"usage":{"input_tokens":` + blankPrompt + `,"output_tokens":` + output + `}}`
	}
	s := &script{
		tokens: len(t.pieces),
		whole:  newTemplate(message(whole, quote(reason), tokens)),
		events: []template{
			named("message_start", `,"message":`+message("", "null", "1")),
			named("content_block_start", `,"index":0,"content_block":`+empty),
		},
	}
	for _, piece := range t.pieces {
		s.events = append(s.events, named("content_block_delta", `,"index":0,"delta":`+delta+quote(piece)+`}`))
	}
	s.events = append(s.events,
		named("content_block_stop", `,"index":0`),
		named("message_delta", `,"delta":{"stop_reason":`+quote(reason)+`,"stop_sequence":null},"usage":{"output_tokens":`+tokens+`}`),
		named("message_stop", ""),
	)
	return s
}

// anthropicPath reports whether a path is one of Anthropic's API.
func anthropicPath(path string) bool { return strings.HasPrefix(path, "/v1/messages") }
