package mock

import (
	"encoding/json"
	"net/http"
	"slices"
)

// routes are the paths that a model answers.
var routes = map[string]func(*Server, *call){
	"/v1/chat/completions":      (*Server).chat,
	"/v1/completions":           (*Server).complete,
	"/v1/embeddings":            (*Server).embed,
	"/v1/responses":             (*Server).respond,
	"/v1/messages":              (*Server).message,
	"/v1/messages/count_tokens": (*Server).countTokens,
}

// answer is the worker's answer, whole or broken as the call's fault has it.
func (s *Server) answer(c *call) { routes[c.r.URL.Path](s, c) }

func (s *Server) chat(c *call) {
	t := s.turn(c)
	switch {
	case t.words: // which is the common one, made beforehand
		s.play(c, c.model.chat)
	case t.tool != "":
		s.play(c, newScript(toolShape(t.tool), c.model.name, t.pieces))
	default:
		s.play(c, newScript(chatShape(), c.model.name, t.pieces))
	}
}

func (s *Server) complete(c *call) { s.play(c, c.model.text) }

// play sends what a script says, in one piece or as a stream.
func (s *Server) play(c *call, sc *script) {
	b := c.blanks(sc.tokens)
	if c.ask.Stream.value {
		s.stream(c, sc, b)
		return
	}
	s.sendWhole(c, sc.whole.append(make([]byte, 0, 2048), b))
}

// sendWhole sends a JSON body, or breaks in the middle of it.
func (s *Server) sendWhole(c *call, body []byte) {
	s.identify(c, http.StatusOK)
	e := c.ending
	switch {
	case e == nil:
		c.send(http.StatusOK, jsonBody, body)
		return
	case e.empty:
		c.head(jsonBody, 0)
		c.flush(nil)
	default:
		c.head(jsonBody, len(body))
		c.flush(body[:len(body)/2])
	}
	e.how(s, c)
}

// stream sends events, each flushed by itself.
func (s *Server) stream(c *call, sc *script, b blanks) {
	c.w.Header().Set("Content-Type", sse)
	s.identify(c, http.StatusOK)
	events := slices.Clip(sc.events) // so that appending copies
	if wantsUsage(c.ask.StreamOptions) {
		events = append(events, sc.usage...)
	}
	if s.options.UsageComments {
		events = append(events, sc.note...)
	}
	events = append(events, sc.end...)
	buffer := make([]byte, 0, 1024)
	for i, event := range events {
		if i > 0 {
			s.wait(c, c.gap)
		}
		if c.rest > 0 && i == c.fault.Chunks {
			s.wait(c, c.rest)
		}
		buffer = event.append(buffer[:0], b)
		if c.ending != nil && (c.ending.empty || i >= c.fault.Chunks) {
			if c.ending.half {
				c.flush(buffer[:len(buffer)/2])
			}
			c.flush(nil) // the head, if nothing else
			c.ending.how(s, c)
			return
		}
		c.flush(buffer)
	}
}

// flush writes and pushes it out to the client, which may have gone.
func (c *call) flush(p []byte) {
	_, _ = c.w.Write(p)
	_ = http.NewResponseController(c.w).Flush()
}

func wantsUsage(options json.RawMessage) bool {
	var o struct {
		IncludeUsage bool `json:"include_usage"`
	}
	return len(options) > 0 && json.Unmarshal(options, &o) == nil && o.IncludeUsage
}
