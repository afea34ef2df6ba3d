package mock

import "strconv"

// respond answers as OpenAI's Responses API does.
func (s *Server) respond(c *call) { s.play(c, newResponses(c.model.name, s.turn(c))) }

// output is the one item of a response, and the events that build it up.
type output struct {
	item         func(status, text string) string
	opened, done func(text string) string // members of the events around the part that grows; nil: it has none
	part         string                   // of the names of the events with its pieces
	at           string                   // members of those events
	text         string                   // the member of the last of them that has the whole text
}

// newResponses writes a turn in the shape of the Responses API.
func newResponses(model string, t turn) *script {
	out := spoken()
	if t.tool != "" {
		out = functionCall(t.tool)
	}
	tokens := strconv.Itoa(len(t.pieces))
	usage := `{"input_tokens":` + blankPrompt + `,"input_tokens_details":{"cached_tokens":0},"output_tokens":` + tokens +
		`,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":` + blankTotal + `}`
	response := func(status, items, usage string) string {
		return `{"id":"resp_mock_` + blankID + `","object":"response","created_at":` + created + `,"status":"` + status +
			`","error":null,"incomplete_details":null,"instructions":null,"metadata":{},"model":` + quote(model) + `,"output":[` + items +
			`],"parallel_tool_calls":true,"temperature":1,"tool_choice":"auto","tools":[],"top_p":1,"usage":` + usage + `}`
	}
	whole := out.item("completed", t.text())
	s := &script{tokens: len(t.pieces), whole: newTemplate(response("completed", whole, usage))}
	add := func(kind, members string) {
		s.events = append(s.events, named("response."+kind, `,"sequence_number":`+strconv.Itoa(len(s.events))+members))
	}
	add("created", `,"response":`+response("in_progress", "", "null"))
	add("in_progress", `,"response":`+response("in_progress", "", "null"))
	add("output_item.added", `,"output_index":0,"item":`+out.item("in_progress", ""))
	if out.opened != nil {
		add("content_part.added", out.opened(""))
	}
	for _, piece := range t.pieces {
		add(out.part+".delta", out.at+`,"delta":`+quote(piece))
	}
	add(out.part+".done", out.at+`,"`+out.text+`":`+quote(t.text()))
	if out.done != nil {
		add("content_part.done", out.done(t.text()))
	}
	add("output_item.done", `,"output_index":0,"item":`+whole)
	add("completed", `,"response":`+response("completed", whole, usage))
	return s
}

// spoken is a message of text.
func spoken() output {
	const id, at = `"msg_mock_` + blankID + `"`, `,"output_index":0,"content_index":0,"item_id":"msg_mock_` + blankID + `"`
	part := func(text string) string {
		return `{"type":"output_text","text":` + quote(text) + `,"annotations":[],"logprobs":[]}`
	}
	around := func(text string) string { return at + `,"part":` + part(text) }
	return output{
		item: func(status, text string) string {
			content := ""
			if status == "completed" {
				content = part(text)
			}
			return `{"type":"message","id":` + id + `,"status":"` + status + `","role":"assistant","content":[` + content + `]}`
		},
		opened: around, done: around,
		part: "output_text", at: at + `,"logprobs":[]`, text: "text",
	}
}

// functionCall is a call of a tool.
func functionCall(name string) output {
	const id = `"fc_mock_` + blankID + `"`
	return output{
		item: func(status, text string) string {
			return `{"type":"function_call","id":` + id + `,"call_id":"call_mock_` + blankID + `","name":` + quote(name) +
				`,"arguments":` + quote(text) + `,"status":"` + status + `"}`
		},
		part: "function_call_arguments", at: `,"output_index":0,"item_id":` + id, text: "arguments",
	}
}
