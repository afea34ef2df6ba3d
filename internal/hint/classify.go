package hint

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

// MaxBody is how many bytes of an error body Classify looks at; callers need not read more.
const MaxBody = 8 << 10

// Answer is what Classify reads. Header is not changed.
type Answer struct {
	Status  int
	Header  http.Header
	Dialect Dialect // of the provider: what its limit headers mean

	// Body is the head of the body, at most MaxBody bytes of it. For a status below 300 give it only where it is known to be an
	// error, such as the first event of a stream that is an error event: ordinary answers may quote any of the texts.
	Body string
}

// problemJSON is how NVIDIA's gateway labels its own refusals.
const problemJSON = "application/problem+json"

// longOffline is the Retry-After from which a 503 means a model that was taken offline, not a busy one: the gateway sends 10800.
const longOffline = time.Hour

// Classify says what an answer means. The first rule that fits decides; every answer has a class. It never panics, whatever the
// bytes. now is the time against which dates are read.
func Classify(now time.Time, a Answer) Outcome {
	d := a.Dialect.rules()
	o := Outcome{Status: a.Status, ReqID: first(a.Header, "Nvcf-Reqid")}
	if !d.silent(a.Header) {
		o.Signs = d.signs(now, a.Header)
	}
	if a.Body == "" && ordinary(a.Status) {
		return o
	}
	o.RetryAfter, o.Asked = RetryAfter(now, a.Header)
	body := a.Body[:min(len(a.Body), MaxBody)]
	f := facts{Outcome: &o, body: body}
	f.problem = strings.HasPrefix(first(a.Header, "Content-Type"), problemJSON)
	for i := range rules {
		if rules[i].fits(&f) {
			o.Class = rules[i].class
			break
		}
	}
	if o.Refused() || o.Status == http.StatusTooManyRequests {
		o.explain(now, body)
	}
	if o.Refused() && d.alone && len(o.Signs) == 1 {
		o.Signs[0].Blamed = true
	}
	return o
}

// ordinary reports whether an answer of this status that says nothing can only be OK: most answers need no walk through the rules.
func ordinary(status int) bool {
	return status >= http.StatusOK && status < http.StatusBadRequest && status != http.StatusAccepted
}

// first returns the first value of a header; name must be in canonical form, so that the look-up costs no conversion.
func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// facts are what rules ask about.
type facts struct {
	*Outcome
	body    string
	problem bool // the body is problem+json
}

// fits reports whether every condition that the rule sets holds.
func (r *rule) fits(f *facts) bool {
	return r.covers(f.Status) &&
		(!r.problem || f.problem) &&
		(!r.queued || f.ReqID != "") &&
		(!r.empty || f.body == "") &&
		(!r.long || f.RetryAfter >= longOffline) &&
		(len(r.says) == 0 || anyIn(r.says, f.body, strings.Contains)) &&
		(len(r.opens) == 0 || anyIn(r.opens, message(f.body), strings.HasPrefix))
}

// covers reports whether the rule is about answers of this status.
func (r *rule) covers(status int) bool {
	if len(r.status) == 0 && r.from == 0 {
		return true
	}
	return slices.Contains(r.status, status) || r.from > 0 && status >= r.from && (r.below == 0 || status < r.below)
}

// anyIn reports whether s holds one of the texts, where holds says how.
func anyIn(texts []string, s string, holds func(s, text string) bool) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return holds(s, text) })
}

// message returns the sentence of an error body: the member that holds it in the shapes of NVIDIA, OpenAI and Anthropic, else the
// body as it is. What a server repeats of the request stands in other members, or after the beginning of the sentence.
func message(body string) string {
	var members map[string]any
	if json.Unmarshal([]byte(body), &members) != nil {
		return body
	}
	if inner, ok := members["error"].(map[string]any); ok {
		members = inner
	}
	for _, name := range [...]string{"message", "detail", "title", "error"} {
		if sentence, ok := members[name].(string); ok {
			return sentence
		}
	}
	return ""
}
