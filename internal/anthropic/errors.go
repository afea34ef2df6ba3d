package anthropic

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Error is why a request cannot be translated: the client's mistake, or something the chat format has no word for. It is to be
// answered with 400 and never repeated as it is.
type Error struct {
	Param   string // the member at fault, as a path such as messages.3.content.0.source.type, or body for all of it
	Message string // a sentence that names the member, its value and what helps; it holds no prompt
}

// Error returns the message.
func (e *Error) Error() string { return "anthropic: " + e.Message }

// wrong makes an Error of a member, what is wrong with it, and what helps.
func wrong(param, fault, remedy string) error {
	return &Error{Param: param, Message: fmt.Sprintf("%s: %s; %s", param, fault, remedy)}
}

// quote shows a value that a client sent, but not much of it.
func quote(value string) string { return fmt.Sprintf("%.60q", value) }

// at returns the path of the i-th element of a list.
func at(param string, i int) string { return param + "." + strconv.Itoa(i) }

// decode reads what a client sent as the member param.
func decode(param string, raw []byte, into any) error {
	err := json.Unmarshal(raw, into)
	if err == nil {
		return nil
	}
	mistyped, ok := errors.AsType[*json.UnmarshalTypeError](err)
	if !ok {
		return wrong("body", "it is not JSON ("+err.Error()+")", "send valid JSON")
	}
	path := strings.Trim(param+"."+mistyped.Field, ".")
	if path == "" {
		path = "body"
	}
	kind, _, _ := strings.Cut(mistyped.Value, " ") // a number is followed by its digits
	return wrong(path, "its type is "+kind, "send "+expected(mistyped.Type.Kind()))
}

// expected names the JSON type that a kind is read from.
func expected(kind reflect.Kind) string {
	switch kind {
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Int64:
		return "a whole number"
	}
	return "an object"
}

// encode writes a value as JSON in which <, > and & stay as they are, since a prompt is full of them.
func encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// kinds are Anthropic's words for the statuses of errors.
var kinds = map[int]string{
	http.StatusUnauthorized:          "authentication_error",
	http.StatusPaymentRequired:       "billing_error",
	http.StatusForbidden:             "permission_error",
	http.StatusNotFound:              "not_found_error",
	http.StatusRequestEntityTooLarge: "request_too_large",
	http.StatusTooManyRequests:       "rate_limit_error",
	http.StatusServiceUnavailable:    "overloaded_error",
	http.StatusGatewayTimeout:        "timeout_error",
	529:                              "overloaded_error",
}

// kindOf returns Anthropic's word for an error: by its status, by the word it came with if both dialects have that, or the general
// one.
func kindOf(status int, word string) string {
	if kind := kinds[status]; kind != "" {
		return kind
	}
	if status >= http.StatusBadRequest && status < http.StatusInternalServerError || word == "invalid_request_error" {
		return "invalid_request_error"
	}
	for _, kind := range kinds {
		if kind == word {
			return kind
		}
	}
	return "api_error"
}

// problem is an error as providers with an OpenAI-style API tell it.
type problem struct {
	Message string          `json:"message"`
	Type    string          `json:"type"`
	Code    json.RawMessage `json:"code"`
}

// problemOf reads the error member of an answer or a chunk, an object or a mere text; ok is false if there is none.
func problemOf(raw json.RawMessage) (p problem, ok bool) {
	if isNull(raw) {
		return p, false
	}
	if json.Unmarshal(raw, &p) != nil && p.Message == "" {
		if json.Unmarshal(raw, &p.Message) != nil {
			p.Message = string(raw)
		}
	}
	if p.Message == "" {
		p.Message = "the provider told of an error without saying what it is"
	}
	return p, true
}

// kind returns Anthropic's word for the error. A code that is a number is the status it would have had.
func (p problem) kind() string {
	status, _ := strconv.Atoi(string(bytes.Trim(p.Code, `"`)))
	return kindOf(status, p.Type)
}

// failure is an error in Anthropic's shape, as a body and as the data of an event.
type failure struct {
	Type  string `json:"type"`
	Error struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	} `json:"error"`
	RequestID string `json:"request_id,omitempty"`
}

// newFailure fills in a failure.
func newFailure(kind, message, requestID string) failure {
	f := failure{Type: "error", RequestID: requestID}
	f.Error.Type, f.Error.Message = kind, message
	return f
}

// TranslateError brings an OpenAI-style error body, {"error":{"message","type","code"}}, into Anthropic's shape. The status, which
// decides the type, is the upstream's own and stays. ok is false for any other body, also one that has Anthropic's shape already:
// those without an error member are the matter of package wire.
func TranslateError(status int, body []byte, requestID string) (translated []byte, ok bool) {
	var envelope struct {
		Type  string          `json:"type"`
		Error json.RawMessage `json:"error"`
	}
	if json.Unmarshal(body, &envelope) != nil || envelope.Type == "error" {
		return nil, false
	}
	p, ok := problemOf(envelope.Error)
	if !ok {
		return nil, false
	}
	translated, err := encode(newFailure(kindOf(status, p.Type), p.Message, requestID))
	return translated, err == nil
}

// Refused returns which of the members that a translated request may do without a provider's refusal names, so that the request can be
// translated again without them; none if the refusal is about something else. NVIDIA's models differ in what they take, and answer
// 400 or 422 with texts such as "Unsupported parameter(s): reasoning_effort" or "body -> user: Extra inputs are not permitted".
func Refused(refusal []byte) (members []string) {
	if !complaint.Match(refusal) {
		return nil
	}
	for word := range bytes.FieldsFuncSeq(refusal, isNoName) {
		if name := string(word); isOptional(name) && !slices.Contains(members, name) {
			members = append(members, name)
		}
	}
	return members
}

// isNoName reports whether a character cannot be part of a member's name.
func isNoName(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') }
