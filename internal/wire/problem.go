package wire

import (
	"bytes"
	"net/http"
	"slices"
	"strings"
)

// plainRefusals are how the answers begin that NVIDIA's gateway gives as plain text.
var plainRefusals = []string{
	"404 page not found",
	"Header of type `authorization` was missing",
	"Unauthorized access",
	"failed to decode json body",
	"Model does not exist by the name of",
	"reserved header in external request",
}

// TranslateProblem brings an upstream's error body into the shape of d, since SDKs show nothing of a body that has no error member:
// problem+json and its like ({"status","title","detail"}), {"message","type","code"}, the plain texts of NVIDIA's gateway, and an
// empty body. The message keeps what they say. ok is false for a body that has the member already or is not known: it is to be
// passed on as it is. The status is the upstream's own and stays.
func TranslateProblem(d Dialect, status int, contentType string, body []byte, requestID string) (translated []byte, ok bool) {
	p := payload{status: status, kind: kindOf(d, status), requestID: requestID}
	trimmed := bytes.TrimSpace(body)
	switch {
	case len(trimmed) == 0:
		p.message = strings.TrimSpace(http.StatusText(status) + " (the upstream's answer was empty)")
	case trimmed[0] == '{':
		p.message, p.param, p.code = problemText(trimmed)
	case isPlain(contentType) && slices.ContainsFunc(plainRefusals, func(text string) bool { return bytes.HasPrefix(trimmed, []byte(text)) }):
		p.message = string(trimmed)
	}
	if p.message == "" {
		return nil, false
	}
	return p.json(d), true
}

// isPlain reports whether a content type is plain text or missing.
func isPlain(contentType string) bool {
	return contentType == "" || strings.HasPrefix(contentType, "text/plain")
}

// maxDetail bounds a detail that is not a sentence but a list of findings, as validators send it.
const maxDetail = 2 << 10

// problemText returns what a JSON error body without an error member says; the message is empty when it has that member or says
// nothing.
func problemText(body []byte) (message, param, code string) {
	var title, detail string
	shaped := false
	whole := members(body, func(name, value []byte) {
		switch string(name) {
		case "error":
			shaped = true
		case "message":
			message, _ = text(value)
		case "title":
			title, _ = text(value)
		case "detail":
			if detail, _ = text(value); detail == "" && len(value) <= maxDetail && value[0] == '[' {
				detail = string(value)
			}
		case "param":
			param, _ = text(value)
		case "code":
			code, _ = text(value)
		}
	})
	if !whole || shaped {
		return "", "", ""
	}
	sentences := slices.DeleteFunc([]string{message, title, detail}, func(s string) bool { return s == "" })
	return strings.Join(sentences, ": "), param, code
}
