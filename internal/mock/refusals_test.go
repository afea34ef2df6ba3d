package mock_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"nimsidecar/internal/mock"
)

const (
	pj   = "application/problem+json"
	text = "text/plain; charset=utf-8"
	js   = "application/json"
	fn   = "00000000-0000-4000-8000-0000000000f1"
)

// rows are the answers that section 6 and 10 of the description of NVIDIA's API list, written down a second time.
var rows = []struct {
	fault       string
	status      int
	contentType string
	body        string
	id, charged bool
	header      string
}{
	{"quota", 429, pj, `{"status":429,"title":"Too Many Requests"}`, false, true, ""},
	{"quota_message", 429, pj, `{"detail":"Try again later or use a partner endpoint.","status":429,"title":"Too Many Requests"}`, false, true, ""},
	{"queue_full", 429, pj, `{"status":429,"title":"Too Many Requests","detail":"maximum messages exceeded"}`, false, true, ""},
	{"queue_trouble", 429, pj, `{"status":429,"title":"Too Many Requests","detail":"insufficient resources"}`, false, true, ""},
	{"publish_failed", 500, pj, `{"status":500,"title":"Internal Server Error","detail":"Error publishing to nats; cause: timed out"}`, false, true, ""},
	{"payload_too_big", 500, pj, `{"status":500,"title":"Internal Server Error","detail":"payload size exceeds 6MB"}`, false, true, ""},
	{"internal", 500, pj, `{"status":500,"title":"Internal Server Error","detail":"a; cause: b"}`, false, true, ""},
	{"bad_gateway", 502, pj, `{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"Upstream request failed."}`, false, false, ""},
	{"no_worker", 504, "", "", true, true, ""},
	{"overall_timeout", 408, "", "", false, true, ""},
	{"client_closed", 499, pj, `{"type":"about:blank","title":"Client Closed Request","status":499,"detail":"client closed request"}`, false, true, ""},
	{"in_progress", 202, "", "", true, true, ""},
	{"llm_gateway", 429, js, `{"message":"rate limit exceeded"}`, false, true, "Retry-After: 7"},
	{"llm_gateway_long", 429, js, `{"message":"rate limit exceeded"}`, false, true, "X-Should-Retry: false"},

	{"worker_quota", 429, js, `{"message":"too many requests","type":"Too Many Requests","code":429}`, true, true, ""},
	{"worker_exhausted", 503, js, `{"message":"ResourceExhausted: Worker local total request limit reached (33/32)","type":"Service Unavailable","code":503}`, true, true, ""},
	{"workers_busy", 503, js, `{"message":"ResourceExhausted: All workers are busy, please retry later","type":"Service Unavailable","code":503}`, true, true, ""},
	{"overloaded", 503, js, `{"message":"Service temporarily overloaded","type":"Service Unavailable","code":503}`, true, true, ""},
	{"site_overloaded", 529, "", "", true, true, ""},
	{"worker_invalid", 400, js, `{"message":"unsupported parameter","type":"Bad Request","code":400}`, true, true, ""},
	{"redirect", 307, "", "", true, true, "Location: http://other.invalid/v1/chat/completions"},
	{"stream_error", 200, "text/event-stream", `data: {"error":{"message":"ResourceExhausted: All workers are busy, please retry later","type":"Service Unavailable","code":503}}` + "\n\n", true, true, ""},

	{"bad_json", 500, text, `failed to decode json body: invalid character`, false, false, ""},
	{"no_model", 400, text, `{"error":{"message":"model field is required","type":"invalid_request_error","param":null,"code":"missing_required_field"}}`, false, false, ""},
	{"body_too_large", 400, text, `{"error":{"message":"Please make sure your payload is below 26214400 bytes in size. If larger assets are required please refer to our Assets API.","type":"invalid_request_error","param":null,"code":"invalid_image_format"}}`, false, false, ""},
	{"broken_upload", 400, pj, `{"status":400,"title":"Bad Request","detail":"failed to read request body: connection closed before message completed"}`, false, false, ""},
	{"bad_poll", 400, pj, `{"status":400,"title":"Bad Request","detail":"failed to parse poll duration"}`, false, false, ""},
	{"shadow_header", 400, text, `reserved header in external request`, false, false, ""},
	{"priority_header", 400, js, `{"message":"X-Priority is a reserved header and cannot be set by the client"}`, false, false, ""},
	{"early_answer", 413, js, `{"message":"request entity too large"}`, false, false, "Connection: close"},

	{"no_credential", 401, text, "Header of type `authorization` was missing", false, false, ""},
	{"bad_header", 401, text, `Unauthorized access`, false, false, ""},
	{"bad_credential", 401, pj, `{"status":401,"title":"Unauthorized","detail":"Authentication failed"}`, false, false, ""},
	{"key_dead", 403, pj, `{"status":403,"title":"Forbidden","detail":"Authorization failed"}`, false, false, ""},
	{"not_shared", 403, pj, `{"status":403,"title":"Forbidden","detail":"Function '` + fn + `':  Not shared with the account 'acme'"}`, false, false, ""},
	{"key_too_narrow", 403, pj, `{"status":403,"title":"Forbidden","detail":"Missing resource entry in ApiKey for the function"}`, false, false, ""},
	{"filtered", 403, "text/html", `<html><body>403 Forbidden</body></html>`, false, false, ""},
	{"credits", 402, pj, `{"status":402,"title":"Payment Required","detail":"Account 'acme': Cloud credits expired - Please contact NVIDIA representatives"}`, false, false, ""},
	{"auth_slow", 504, pj, `{"status":504,"title":"Gateway Timeout","detail":"deadline exceeded"}`, false, false, ""},
	{"control_plane", 503, pj, `{"status":503,"title":"Service Unavailable","detail":"service unavailable"}`, false, false, ""},

	{"not_found", 404, text, "404 page not found\n", false, false, "X-Content-Type-Options: nosniff"},
	{"no_such_model", 404, text, `Model does not exist by the name of a/b`, false, false, ""},
	{"not_entitled", 404, pj, `{"status":404,"title":"Not Found","detail":"Function '` + fn + `': Not found for account 'acme'"}`, false, false, ""},
	{"not_entitled_version", 404, pj, `{"status":404,"title":"Not Found","detail":"Function id '` + fn + `', version '` + fn + `': Not found for account 'acme'"}`, false, false, ""},
	{"inactive", 404, pj, `{"status":404,"title":"Not Found","detail":"Function id '` + fn + `' version '` + fn + `': Specified function in account 'acme' is not found"}`, false, false, ""},
	{"degraded", 400, pj, `{"status":400,"title":"Bad Request","detail":"Function id '` + fn + `': DEGRADED function cannot be invoked"}`, false, false, ""},
	{"offline", 503, pj, `{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"This model is offline for maintenance."}`, false, false, "Retry-After: 10800"},
	{"gone", 410, pj, `{"type":"about:blank","title":"Gone","status":410,"detail":"The model 'a/b' has reached its end of life on 2026-01-01T00:00:00Z and is no longer available."}`, false, false, ""},

	{"already_exists", 409, pj, `{"status":409,"title":"Conflict","detail":"already exists"}`, false, false, ""},
	{"failed_precondition", 412, pj, `{"status":412,"title":"Precondition Failed","detail":"failed precondition"}`, false, false, ""},
	{"unimplemented", 501, pj, `{"status":501,"title":"Not Implemented","detail":"unimplemented"}`, false, false, ""},
	{"worker_gone", 504, pj, `{"status":504,"title":"Gateway Timeout","detail":"worker did not acknowledge the status request."}`, false, false, ""},
}

func TestEveryRefusalIsByteForByteTheRealOne(t *testing.T) {
	t.Parallel()
	for _, tt := range rows {
		t.Run(tt.fault, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, mock.Options{Accounts: map[string]string{"k": "acme"}})
			arm(t, s, mock.Fault{Name: tt.fault})
			rec := send(s, ask{model: "a/b"})

			if rec.Code != tt.status || rec.Body.String() != tt.body {
				t.Errorf("answer %d %q; want %d %q", rec.Code, rec.Body, tt.status, tt.body)
			}
			h := rec.Header()
			if got := h.Get("Content-Type"); got != tt.contentType {
				t.Errorf("Content-Type %q; want %q", got, tt.contentType)
			}
			if got := h.Get("Nvcf-Reqid") != "" && h.Get("Nvcf-Status") != ""; got != tt.id {
				t.Errorf("carries nvcf-reqid and nvcf-status: %v; want %v", got, tt.id)
			}
			if name, value, ok := strings.Cut(tt.header, ": "); ok && h.Get(name) != value {
				t.Errorf("%s is %q; want %q", name, h.Get(name), value)
			}
			if tt.fault == "quota" && (h.Get("Retry-After") != "" || h.Get("X-Ratelimit-Limit") != "") {
				t.Errorf("a 429 of the limiter has headers %v; want no hint of when to come back", h)
			}
			got := s.Arrivals()
			if len(got) != 1 || got[0].Verdict != tt.fault || got[0].Charged != tt.charged {
				t.Errorf("Arrivals() = %+v; want one, %s, charged: %v", got, tt.fault, tt.charged)
			}
			if rec := send(s, ask{}); rec.Code != http.StatusOK {
				t.Errorf("the next request got %d; want the fault to have hit only one", rec.Code)
			}
		})
	}
}

// The faults that are no rows here are tested one by one.
func TestEveryFaultIsTested(t *testing.T) {
	t.Parallel()
	tested := []string{
		"bad_chunk", "close", "cut", "delay", "early_end", "empty_stream", "endless_head", "garbage_head", "half_frame",
		"half_frame_stall", "hang", "pause", "reset", "slow_stream", "stall", "stray_bytes", "truncated", "two_framings", "unsolicited",
	}
	for _, tt := range rows {
		tested = append(tested, tt.fault)
	}
	slices.Sort(tested)
	if got := mock.FaultNames(); !slices.Equal(got, tested) {
		t.Errorf("FaultNames() = %q; want %q", got, tested)
	}
}

func TestStatusOfAnAnswerPastTheQueueIsNamed(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]string{"": "fulfilled", "in_progress": "in-progress", "no_worker": "errored", "redirect": "fulfilled", "worker_invalid": "errored"} {
		s := newServer(t, mock.Options{})
		if fault != "" {
			arm(t, s, mock.Fault{Name: fault})
		}
		h := send(s, ask{}).Header()
		if got := h.Get("Nvcf-Status"); got != want {
			t.Errorf("fault %q: nvcf-status %q; want %q", fault, got, want)
		}
		if got := h.Get("Nvcf-Reqid"); got != "00000000-0000-4000-8000-000000000001" {
			t.Errorf("fault %q: nvcf-reqid %q; want the UUID of the first request", fault, got)
		}
		if got := h.Get("Access-Control-Allow-Origin"); got != "*" {
			t.Errorf("fault %q: Access-Control-Allow-Origin %q; want the permissive one that must not reach a browser", fault, got)
		}
	}
}
