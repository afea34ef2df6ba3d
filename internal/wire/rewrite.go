package wire

import (
	"bytes"
	"encoding/json"
	"mime"
	"strings"
)

// Rewrite returns a copy of a request's body that names another model, and is the same in every other byte. ok is false where the
// body names none: exactly where Peek finds none, for a body that Peek understands. The body itself is not changed.
//
// Of several members or fields with the name, which servers read differently, each gets the model, so that what was decided about
// here is what runs there.
func Rewrite(contentType string, body []byte, model string) (rewritten []byte, ok bool) {
	var at []span
	value := []byte(model)
	if strings.HasPrefix(contentType, "multipart/form-data") {
		at = formModels(contentType, body)
	} else {
		at = jsonModels(body)
		value = quote(model)
	}
	if len(at) == 0 {
		return nil, false
	}
	rewritten = make([]byte, 0, len(body)+len(at)*len(value))
	end := 0
	for _, old := range at {
		rewritten = append(append(rewritten, body[end:old.start]...), value...)
		end = old.end
	}
	return append(rewritten, body[end:]...), true
}

// span is a part of a body.
type span struct{ start, end int }

// quote writes a text as a JSON string.
func quote(s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil {
		panic("wire: a string that is no JSON: " + err.Error()) // broken UTF-8 is replaced, so there is none
	}
	return quoted
}

// jsonModels returns where the values of the top level's models stand, if the body is an object whose first one is a string.
func jsonModels(body []byte) (at []span) {
	s := scanner{text: body}
	named := false
	whole := s.object(func(name, value []byte) {
		if string(name) != "model" {
			return
		}
		if len(at) == 0 {
			_, named = text(value)
		}
		at = append(at, span{s.at - len(value), s.at}) // the scanner stands behind the value
	})
	if !whole || !s.end() || !named {
		return nil
	}
	return at
}

// formModels returns where the values of a form's fields named model stand.
func formModels(contentType string, body []byte) (at []span) {
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || parameters["boundary"] == "" {
		return nil
	}
	delimiter := []byte("\r\n--" + parameters["boundary"])
	start := 0
	if !bytes.HasPrefix(body, delimiter[2:]) { // a preamble
		if start = next(body, delimiter, 0); start < 0 {
			return nil
		}
	}
	for {
		end := next(body, delimiter, start+1)
		if end < 0 {
			return at
		}
		head, _, found := bytes.Cut(body[start:end], []byte("\r\n\r\n"))
		if found && isModelField(head) {
			at = append(at, span{start + len(head) + len("\r\n\r\n"), end})
		}
		start = end
	}
}

// next returns where the next delimiter begins; -1 if there is none.
func next(body, delimiter []byte, from int) int {
	at := bytes.Index(body[min(from, len(body)):], delimiter)
	if at < 0 {
		return -1
	}
	return from + at
}

// isModelField reports whether the head of a form's part, with the delimiter before it, is that of the field model.
func isModelField(head []byte) bool {
	for line := range bytes.SplitSeq(head, []byte("\r\n")) {
		name, value, found := bytes.Cut(line, []byte(":"))
		if !found || !strings.EqualFold(string(name), "Content-Disposition") {
			continue
		}
		_, parameters, err := mime.ParseMediaType(string(value))
		return err == nil && parameters["name"] == "model"
	}
	return false
}
