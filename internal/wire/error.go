package wire

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Dialect is whose format a path speaks.
type Dialect uint8

// The dialects.
const (
	OpenAI Dialect = iota
	Anthropic
)

// DialectOf returns the dialect of a path: Anthropic for /v1/messages, /{provider}/v1/messages and what is below them, else OpenAI.
func DialectOf(path string) Dialect {
	before, rest, found := strings.Cut(path, "/v1/messages")
	if found && strings.LastIndexByte(before, '/') <= 0 && (rest == "" || rest[0] == '/') {
		return Anthropic
	}
	return OpenAI
}

// Reason says why the sidecar itself ended a request: the closed list of the header X-Sidecar-Reason, of the log and of metrics.
type Reason string

// The reasons.
const (
	QueueFull           Reason = "queue_full"
	Displaced           Reason = "displaced"
	QueueTimeout        Reason = "queue_timeout"
	Deadline            Reason = "deadline"
	UpstreamRateLimited Reason = "upstream_rate_limited"
	UpstreamUnreachable Reason = "upstream_unreachable"
	UpstreamTimeout     Reason = "upstream_timeout"
	Draining            Reason = "draining"
	BodyTooLarge        Reason = "body_too_large"
	BadRequest          Reason = "bad_request"
	Overloaded          Reason = "overloaded"
	StoreUnavailable    Reason = "store_unavailable"
	Unauthorized        Reason = "unauthorized"
	ForbiddenHost       Reason = "forbidden_host"
	ForbiddenOrigin     Reason = "forbidden_origin"
	Cancelled           Reason = "cancelled"
)

// advice is what an answer tells SDKs about sending the request again.
type advice uint8

const (
	silent  advice = iota // nothing: they know what the status means
	again                 // x-should-retry: true, with Retry-After
	useless               // x-should-retry: false
)

// reasons holds how each reason is rendered: the status, the type in the two dialects, the advice, and the message where the caller
// has no better one.
var reasons = map[Reason]struct {
	status            int
	openAI, anthropic string
	advice            advice
	message           string
}{
	QueueFull:           {429, "rate_limit_error", "rate_limit_error", again, "nim-sidecar's queue is full"},
	Displaced:           {429, "rate_limit_error", "rate_limit_error", again, "a more urgent request took this one's place in nim-sidecar's full queue"},
	QueueTimeout:        {503, "rate_limit_error", "overloaded_error", again, "the request waited in nim-sidecar's queue as long as it may"},
	Deadline:            {503, "rate_limit_error", "overloaded_error", useless, "the request cannot start before its client gives up"},
	UpstreamRateLimited: {429, "rate_limit_error", "rate_limit_error", again, "the provider's rate limit is spent until after the request's deadline"},
	UpstreamUnreachable: {502, "server_error", "api_error", again, "the provider could not be reached or gave no usable answer"},
	UpstreamTimeout:     {504, "server_error", "api_error", silent, "the provider did not answer in the allowed time"},
	Draining:            {503, "server_error", "overloaded_error", again, "nim-sidecar is shutting down"},
	BodyTooLarge:        {413, "invalid_request_error", "request_too_large", silent, "the request body is too large"},
	BadRequest:          {400, "invalid_request_error", "invalid_request_error", silent, "the request cannot be understood"},
	Overloaded:          {503, "server_error", "overloaded_error", again, "nim-sidecar holds as many waiting requests as it may"},
	StoreUnavailable:    {507, "server_error", "api_error", silent, "nim-sidecar cannot store this durably"},
	Unauthorized:        {401, "authentication_error", "authentication_error", silent, "nim-sidecar does not know this key"},
	ForbiddenHost:       {403, "permission_error", "permission_error", silent, "nim-sidecar does not answer to this Host"},
	ForbiddenOrigin:     {403, "permission_error", "permission_error", silent, "nim-sidecar does not answer pages of this Origin"},
	Cancelled:           {499, "invalid_request_error", "invalid_request_error", useless, "the request was cancelled"},
}

// MaxRetryAfter is the longest wait that an answer of ours asks for: some SDKs sleep whatever they are told, others give up or
// ignore it beyond this.
const MaxRetryAfter = time.Minute

// Error is an answer of our own. The zero value is no valid answer: it needs a reason.
type Error struct {
	Reason  Reason
	Status  int    // another status than the reason's, such as 408 of bad_request; 0 = the reason's
	Message string // a sentence that says whose limit it is and what helps; empty = the reason's
	Param   string // the header or field that is wrong, if one is

	// RetryAfter is when a repetition may succeed. It is told only where the reason says that a repetition makes sense, within
	// (0, MaxRetryAfter]; 0 = one second.
	RetryAfter time.Duration

	// NoRetry says that a repetition makes no sense, whatever the reason says: the client's own deadline has passed.
	NoRetry bool
}

// Render returns the answer: its status, the headers to set (X-Sidecar-Reason, Content-Type, and as advised X-Should-Retry,
// Retry-After in whole seconds and Retry-After-Ms), and the body in the shape of d. The headers belong to the caller. A reason that
// is not in the list is rendered as an internal error; the empty one is not named.
func (e Error) Render(d Dialect, requestID string) (status int, h http.Header, body []byte) {
	row := reasons[e.Reason]
	h = http.Header{"Content-Type": {"application/json"}}
	if e.Reason != "" {
		h["X-Sidecar-Reason"] = []string{string(e.Reason)}
	}
	switch {
	case row.advice == useless || e.NoRetry:
		h["X-Should-Retry"] = []string{"false"}
	case row.advice == again:
		wait := roundUp(min(e.RetryAfter, MaxRetryAfter), time.Millisecond)
		if wait <= 0 {
			wait = time.Second
		}
		h["X-Should-Retry"] = []string{"true"}
		h["Retry-After"] = []string{strconv.FormatInt(int64(roundUp(wait, time.Second)/time.Second), 10)}
		h["Retry-After-Ms"] = []string{strconv.FormatInt(wait.Milliseconds(), 10)}
	}
	p := e.payload(d, requestID)
	return p.status, h, p.json(d)
}

// StreamError returns the event that tells of e inside a stream whose 200 has been sent already, in the form that the SDKs of d show.
func StreamError(d Dialect, e Error, requestID string) []byte {
	body := e.payload(d, requestID).json(d)
	prefix := "data: "
	if d == Anthropic {
		prefix = "event: error\ndata: "
	}
	return append(append([]byte(prefix), body...), "\n\n"...)
}

// payload is what an error says, whoever made it.
type payload struct {
	status    int
	kind      string // the dialect's word for it
	message   string
	param     string // empty = none
	code      string // empty = none
	requestID string
}

// payload fills in what e leaves to its reason.
func (e Error) payload(d Dialect, requestID string) payload {
	row, known := reasons[e.Reason]
	p := payload{status: row.status, kind: row.openAI, message: row.message, param: e.Param, code: string(e.Reason), requestID: requestID}
	if d == Anthropic {
		p.kind = row.anthropic
	}
	if !known {
		p.status = http.StatusInternalServerError
	}
	if e.Status != 0 {
		p.status = e.Status
	}
	if !known || e.Status != 0 {
		p.kind = kindOf(d, p.status)
	}
	if e.Message != "" {
		p.message = e.Message
	}
	return p
}

// kinds are the error types of the dialects that a status stands for.
var kinds = map[int]struct{ openAI, anthropic string }{
	http.StatusUnauthorized:          {"authentication_error", "authentication_error"},
	http.StatusForbidden:             {"permission_error", "permission_error"},
	http.StatusNotFound:              {"not_found_error", "not_found_error"},
	http.StatusRequestEntityTooLarge: {"invalid_request_error", "request_too_large"},
	http.StatusTooManyRequests:       {"rate_limit_error", "rate_limit_error"},
	http.StatusServiceUnavailable:    {"server_error", "overloaded_error"},
	529:                              {"server_error", "overloaded_error"},
}

// kindOf returns the dialect's error type for a status.
func kindOf(d Dialect, status int) string {
	kind, ok := kinds[status]
	switch {
	case !ok && status < http.StatusInternalServerError:
		return "invalid_request_error"
	case d == Anthropic && ok:
		return kind.anthropic
	case d == Anthropic:
		return "api_error"
	case ok:
		return kind.openAI
	}
	return "server_error"
}

// openAIBody and anthropicBody are the shapes that SDKs take apart.
type (
	openAIBody struct {
		Error struct {
			Message string  `json:"message"`
			Type    string  `json:"type"`
			Param   *string `json:"param"`
			Code    *string `json:"code"`
		} `json:"error"`
	}
	anthropicBody struct {
		Type  string `json:"type"`
		Error struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"error"`
		RequestID string `json:"request_id"`
	}
)

// json renders p in the shape of d. Encoding strings cannot fail.
func (p payload) json(d Dialect) []byte {
	if d == Anthropic {
		body := anthropicBody{Type: "error", RequestID: p.requestID}
		body.Error.Type, body.Error.Message = p.kind, p.message
		encoded, _ := json.Marshal(body)
		return encoded
	}
	var body openAIBody
	body.Error.Type, body.Error.Message = p.kind, p.message
	body.Error.Param, body.Error.Code = optional(p.param), optional(p.code)
	encoded, _ := json.Marshal(body)
	return encoded
}

// optional is null for the empty string.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
