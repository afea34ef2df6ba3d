package mock

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"
)

// A stage is where on its way a request meets a refusal or a fault.
type stage int

const (
	atGate   stage = iota // before the limiter: costs nothing
	atWorker              // after the limiter: charged
	atDoor                // before even the body has been read
)

// A refusal is an answer of the gateway or a worker that is not what was asked for. The {words} in its body are filled in.
type refusal struct {
	stage       stage
	status      int
	contentType string
	body        string
	id          bool     // past limiter and queue: carries nvcf-reqid and nvcf-status
	header      []string // more headers, "Name: value"
}

// free is a refusal before the limiter, which costs nothing.
func free(status int, contentType, body string, header ...string) refusal {
	return refusal{atGate, status, contentType, body, false, header}
}

// charged is a refusal by the limiter or after it.
func charged(status int, contentType, body string, header ...string) refusal {
	return refusal{atWorker, status, contentType, body, false, header}
}

// worked is an answer after the queue, as a rule the worker's own.
func worked(status int, contentType, body string, header ...string) refusal {
	return refusal{atWorker, status, contentType, body, true, header}
}

const (
	problem  = "application/problem+json"
	plain    = "text/plain; charset=utf-8"
	jsonBody = "application/json"
	sse      = "text/event-stream"
	untyped  = ""
)

// endOfLife is when the models of the state "gone" ended, and deprecation when those of the state "deprecated" will.
const (
	endOfLife   = "2026-01-01T00:00:00Z"
	deprecation = "2099-01-01T00:00:00Z"
)

// refusals are all answers that NVIDIA's gateway and its workers are known to give instead of the one that was asked for, by
// the name under which a Fault calls for them.
var refusals = map[string]refusal{
	// The limiter and the queue.
	"quota":            charged(429, problem, `{"status":429,"title":"Too Many Requests"}`),
	"quota_message":    charged(429, problem, `{"detail":"Try again later or use a partner endpoint.","status":429,"title":"Too Many Requests"}`),
	"queue_full":       charged(429, problem, `{"status":429,"title":"Too Many Requests","detail":"maximum messages exceeded"}`),
	"queue_trouble":    charged(429, problem, `{"status":429,"title":"Too Many Requests","detail":"insufficient resources"}`),
	"publish_failed":   charged(500, problem, `{"status":500,"title":"Internal Server Error","detail":"Error publishing to nats; cause: timed out"}`),
	"payload_too_big":  charged(500, problem, `{"status":500,"title":"Internal Server Error","detail":"payload size exceeds 6MB"}`),
	"internal":         charged(500, problem, `{"status":500,"title":"Internal Server Error","detail":"a; cause: b"}`),
	"no_worker":        worked(504, untyped, ``),
	"overall_timeout":  charged(408, untyped, ``),
	"client_closed":    charged(499, problem, `{"type":"about:blank","title":"Client Closed Request","status":499,"detail":"client closed request"}`),
	"in_progress":      worked(202, untyped, ``),
	"llm_gateway":      charged(429, jsonBody, `{"message":"rate limit exceeded"}`, "X-Ratelimit-Limit-Tokens: 1000", "X-Ratelimit-Remaining-Tokens: 0", "X-Ratelimit-Reset-Tokens: 6.5s", "Retry-After: 7"),
	"llm_gateway_long": charged(429, jsonBody, `{"message":"rate limit exceeded"}`, "X-Ratelimit-Limit-Tokens: 1000", "X-Ratelimit-Remaining-Tokens: 0", "X-Ratelimit-Reset-Tokens: 1h0m0s", "Retry-After: 3600", "X-Should-Retry: false"),

	// The worker.
	"worker_quota":     worked(429, jsonBody, `{"message":"too many requests","type":"Too Many Requests","code":429}`),
	"worker_exhausted": worked(503, jsonBody, `{"message":"ResourceExhausted: Worker local total request limit reached ({busy}/{workers})","type":"Service Unavailable","code":503}`),
	"workers_busy":     worked(503, jsonBody, `{"message":"ResourceExhausted: All workers are busy, please retry later","type":"Service Unavailable","code":503}`),
	"overloaded":       worked(503, jsonBody, `{"message":"Service temporarily overloaded","type":"Service Unavailable","code":503}`),
	"site_overloaded":  worked(529, untyped, ``),
	"worker_invalid":   worked(400, jsonBody, `{"message":"unsupported parameter","type":"Bad Request","code":400}`),
	"redirect":         worked(307, untyped, ``, "Location: http://other.invalid/v1/chat/completions"),
	"stream_error":     worked(200, sse, "data: {\"error\":{\"message\":\"ResourceExhausted: All workers are busy, please retry later\",\"type\":\"Service Unavailable\",\"code\":503}}\n\n"),

	// The request itself.
	"bad_json":        free(500, plain, `failed to decode json body: invalid character`),
	"no_model":        free(400, plain, `{"error":{"message":"model field is required","type":"invalid_request_error","param":null,"code":"missing_required_field"}}`),
	"body_too_large":  free(400, plain, `{"error":{"message":"Please make sure your payload is below 26214400 bytes in size. If larger assets are required please refer to our Assets API.","type":"invalid_request_error","param":null,"code":"invalid_image_format"}}`),
	"broken_upload":   free(400, problem, `{"status":400,"title":"Bad Request","detail":"failed to read request body: connection closed before message completed"}`),
	"bad_poll":        free(400, problem, `{"status":400,"title":"Bad Request","detail":"failed to parse poll duration"}`),
	"shadow_header":   free(400, plain, `reserved header in external request`),
	"priority_header": free(400, jsonBody, `{"message":"X-Priority is a reserved header and cannot be set by the client"}`),
	"early_answer":    {atDoor, 413, jsonBody, `{"message":"request entity too large"}`, false, []string{"Connection: close"}},

	// The key and the account.
	"no_credential":  free(401, plain, "Header of type `authorization` was missing"),
	"bad_header":     free(401, plain, `Unauthorized access`),
	"bad_credential": free(401, problem, `{"status":401,"title":"Unauthorized","detail":"Authentication failed"}`),
	"key_dead":       free(403, problem, `{"status":403,"title":"Forbidden","detail":"Authorization failed"}`),
	"not_shared":     free(403, problem, `{"status":403,"title":"Forbidden","detail":"Function '{function}':  Not shared with the account '{account}'"}`),
	"key_too_narrow": free(403, problem, `{"status":403,"title":"Forbidden","detail":"Missing resource entry in ApiKey for the function"}`),
	"filtered":       free(403, "text/html", `<html><body>403 Forbidden</body></html>`),
	"credits":        free(402, problem, `{"status":402,"title":"Payment Required","detail":"Account '{account}': Cloud credits expired - Please contact NVIDIA representatives"}`),
	"auth_slow":      free(504, problem, `{"status":504,"title":"Gateway Timeout","detail":"deadline exceeded"}`),
	"bad_gateway":    free(502, problem, `{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"Upstream request failed."}`),
	"control_plane":  free(503, problem, `{"status":503,"title":"Service Unavailable","detail":"service unavailable"}`),

	// The model.
	"not_found":            free(404, plain, "404 page not found\n", "X-Content-Type-Options: nosniff"),
	"no_such_model":        free(404, plain, `Model does not exist by the name of {model}`),
	"not_entitled":         free(404, problem, `{"status":404,"title":"Not Found","detail":"Function '{function}': Not found for account '{account}'"}`),
	"not_entitled_version": free(404, problem, `{"status":404,"title":"Not Found","detail":"Function id '{function}', version '{function}': Not found for account '{account}'"}`),
	"inactive":             free(404, problem, `{"status":404,"title":"Not Found","detail":"Function id '{function}' version '{function}': Specified function in account '{account}' is not found"}`),
	"degraded":             free(400, problem, `{"status":400,"title":"Bad Request","detail":"Function id '{function}': DEGRADED function cannot be invoked"}`),
	"offline":              free(503, problem, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"This model is offline for maintenance."}`, "Retry-After: 10800"),
	"gone":                 free(410, problem, `{"type":"about:blank","title":"Gone","status":410,"detail":"The model '{model}' has reached its end of life on `+endOfLife+` and is no longer available."}`),

	// What else the control plane's codes become.
	"already_exists":      free(409, problem, `{"status":409,"title":"Conflict","detail":"already exists"}`),
	"failed_precondition": free(412, problem, `{"status":412,"title":"Precondition Failed","detail":"failed precondition"}`),
	"unimplemented":       free(501, problem, `{"status":501,"title":"Not Implemented","detail":"unimplemented"}`),
	"worker_gone":         free(504, problem, `{"status":504,"title":"Gateway Timeout","detail":"worker did not acknowledge the status request."}`),
}

// modelStates are the values of Options.ModelStates: all but the last are refusals.
var modelStates = []string{"offline", "gone", "degraded", "inactive", "not_entitled", "deprecated"}

// function is the id that every model has here; a real one is random.
const function = "00000000-0000-4000-8000-0000000000f1"

// refuse answers with the refusal of that name, as the armed fault f, if there is one, would have it.
func (s *Server) refuse(c *call, name string, f *Fault) {
	ref := refusals[name]
	if name != "quota" { // which is the common one, and has no blanks
		ref.body = s.fillIn(c, ref.body)
	}
	for _, line := range ref.header {
		name, value, _ := strings.Cut(line, ": ")
		setUnset(c.w.Header(), name, value)
	}
	if f != nil {
		ref.status, ref.body = cmp.Or(f.Status, ref.status), cmp.Or(f.Body, ref.body)
	}
	if ref.id {
		s.identify(c, ref.status)
	}
	c.send(ref.status, ref.contentType, []byte(ref.body))
}

// send sends a whole answer. A client that has gone is seen by its context.
func (c *call) send(status int, contentType string, body []byte) {
	c.head(contentType, len(body))
	c.w.WriteHeader(status)
	_, _ = c.w.Write(body)
}

// head sets the headers of a body. Without a type net/http would guess one.
func (c *call) head(contentType string, length int) {
	h := c.w.Header()
	h["Content-Type"] = nil
	if contentType != untyped {
		h.Set("Content-Type", contentType)
	}
	h.Set("Content-Length", strconv.Itoa(length))
}

// fillIn fills the {words} of a refusal's body.
func (s *Server) fillIn(c *call, body string) string {
	workers := max(s.options.Workers, 1) // negative is any number, of which none is ever exhausted
	return strings.NewReplacer(
		"{model}", inside(c.ask.Model.value),
		"{account}", inside(c.lane.account),
		"{function}", function,
		"{workers}", strconv.Itoa(workers),
		"{busy}", strconv.Itoa(workers+1),
	).Replace(body)
}

// identify says that the request got past limiter and queue: its id, what became of it, and the permissive CORS headers that
// such answers carry.
func (s *Server) identify(c *call, status int) {
	result := "fulfilled"
	switch {
	case status == http.StatusAccepted:
		result = "in-progress"
	case status >= 400:
		result = "errored"
	}
	h := c.w.Header()
	h.Set("Nvcf-Reqid", c.reqID())
	h.Set("Nvcf-Status", result)
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "nvcf-reqid")
	if c.model.state == "deprecated" {
		h.Set("Deprecation", deprecation)
	}
}
