package wire

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"strings"
)

// Request is what the body of a request says that the sidecar must know. The zero value is a body that says nothing.
type Request struct {
	Model       string // as named; it shares no memory with the body
	HasModel    bool   // a model is named, be the name empty
	Stream      bool   // the answer is to be an event stream
	ServiceTier string // OpenAI's service_tier
}

// Peek reads the top level of a JSON object, or the fields of a multipart form, without changing or keeping the body. Of members
// with one name the first counts, as at NVIDIA's gateway. It is tolerant: a member of another type counts as absent, and a body
// that is neither gives the zero Request. Whether a body is JSON is seen from its bytes, since curl labels JSON as a form.
func Peek(contentType string, body []byte) Request {
	if strings.HasPrefix(contentType, "multipart/form-data") {
		return peekForm(contentType, body)
	}
	var model, stream, tier []byte
	whole := members(body, func(name, value []byte) {
		switch string(name) {
		case "model":
			keepFirst(&model, value)
		case "stream":
			keepFirst(&stream, value)
		case "service_tier":
			keepFirst(&tier, value)
		}
	})
	if !whole {
		return Request{}
	}
	r := Request{Stream: string(stream) == "true"}
	r.Model, r.HasModel = text(model)
	r.ServiceTier, _ = text(tier)
	return r
}

// keepFirst sets *kept to value unless it is set already.
func keepFirst(kept *[]byte, value []byte) {
	if *kept == nil {
		*kept = value
	}
}

// maxField is the longest form field that is read; longer ones are files.
const maxField = 1 << 10

// peekForm reads the fields of a form with files, such as that of /v1/images/edits.
func peekForm(contentType string, body []byte) (r Request) {
	_, parameters, err := mime.ParseMediaType(contentType)
	if err != nil {
		return Request{}
	}
	form := multipart.NewReader(bytes.NewReader(body), parameters["boundary"])
	for {
		part, err := form.NextRawPart()
		if err != nil {
			return r
		}
		switch name := part.FormName(); {
		case name == "model" && !r.HasModel:
			value, err := io.ReadAll(io.LimitReader(part, maxField))
			r.Model, r.HasModel = strings.ToValidUTF8(string(value), "\uFFFD"), err == nil
		case name == "stream" && !r.Stream:
			value, _ := io.ReadAll(io.LimitReader(part, maxField))
			r.Stream = string(value) == "true"
		}
	}
}
