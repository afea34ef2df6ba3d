package hint

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// explaining are texts of which one is in every body that explains a refusal: only then is it worth to be taken apart.
var explaining = []string{"google.rpc.", "ate limit", "Request too large", `"metadata"`}

// refusal is the parts of an error body that explain one.
type refusal struct {
	Error struct {
		Message string   `json:"message"`
		Details []detail `json:"details"`
		// Metadata is OpenRouter's: the headers that it, or the provider behind it, would have sent.
		Metadata struct {
			Headers map[string]json.RawMessage `json:"headers"`
		} `json:"metadata"`
	} `json:"error"`
}

// explain adds what the body of a refusal says about limits and, where no header has said it, when to come again. The body may be
// JSON, Gemini's list of one, or an event of a stream: what matters is the first object in it.
func (o *Outcome) explain(now time.Time, body string) {
	start := strings.IndexByte(body, '{')
	if start < 0 || !anyIn(explaining, body, strings.Contains) {
		return
	}
	var r refusal
	_ = json.NewDecoder(strings.NewReader(body[start:])).Decode(&r) // members of a wrong type are left out, and all where it is cut
	o.readHeaders(now, r.Error.Metadata.Headers)
	o.readSentence(r.Error.Message)
	o.readDetails(r.Error.Details)
}

// ask takes over how long a body asks to wait, unless a header has said it.
func (o *Outcome) ask(wait string) {
	if d, err := time.ParseDuration(wait); err == nil && !o.Asked {
		o.RetryAfter, o.Asked = min(max(d, 0), MaxRetryAfter), true
	}
}

// readHeaders reads headers that stand in a body.
func (o *Outcome) readHeaders(now time.Time, headers map[string]json.RawMessage) {
	h := http.Header{}
	for name, value := range headers {
		h.Add(name, strings.Trim(string(value), `"`))
	}
	for _, s := range DialectOpenRouter.rules().signs(now, h) {
		o.Signs = merged(o.Signs, s)
	}
	if wait, ok := RetryAfter(now, h); ok && !o.Asked {
		o.RetryAfter, o.Asked = wait, true
	}
}

// detail is a part of Google's errors.
type detail struct {
	Violations []violation `json:"violations"` // of a google.rpc.QuotaFailure
	RetryDelay string      `json:"retryDelay"` // of a google.rpc.RetryInfo
}

// violation is a quota of Google's that is exceeded.
type violation struct {
	Metric string      `json:"quotaMetric"` // such as generativelanguage.googleapis.com/generate_content_free_tier_requests
	ID     string      `json:"quotaId"`     // such as GenerateRequestsPerDayPerProjectPerModel-FreeTier
	Value  json.Number `json:"quotaValue"`
}

// readDetails reads Google's list of the quotas that refused, and when to come again. It tells of a few seconds even where the quota
// of a day is spent: then nothing is asked for.
func (o *Outcome) readDetails(details []detail) {
	for _, d := range details {
		for _, v := range d.Violations {
			if s, ok := v.sign(); ok {
				o.Signs = merged(o.Signs, s)
			}
		}
	}
	if s, ok := o.Exhausted(); ok && s.Period >= day {
		return
	}
	for _, d := range details {
		o.ask(d.RetryDelay)
	}
}

// word is a part of a quota's name and its meaning.
type word[T any] struct {
	part    string
	meaning T
}

// meaning returns what the first word means that is part of the name.
func meaning[T any](words []word[T], name string) (m T, ok bool) {
	for _, w := range words {
		if strings.Contains(name, w.part) {
			return w.meaning, true
		}
	}
	return m, false
}

// The words in the names of Google's quotas, without case and underscores.
var (
	quotaUnits   = []word[Unit]{{"inputtoken", InputTokens}, {"outputtoken", OutputTokens}, {"token", Tokens}, {"request", Requests}}
	quotaPeriods = []word[time.Duration]{{"persecond", time.Second}, {"perminute", time.Minute}, {"perhour", time.Hour}, {"perday", day}}
	quotaReaches = []word[Reach]{{"permodel", ReachModel}, {"perbasemodel", ReachModel}, {"perproject", ReachAccount}}
)

// sign returns what a violation says; ok is false where it counts what is no limit of ours, such as images or searches.
func (v *violation) sign() (s Sign, ok bool) {
	name := strings.ReplaceAll(strings.ToLower(v.ID+" "+v.Metric), "_", "")
	unit, ok := meaning(quotaUnits, name)
	period, _ := meaning(quotaPeriods, name)
	reach, _ := meaning(quotaReaches, name)
	ok = ok && !strings.Contains(name, "search")
	return Sign{Unit: unit, Reach: reach, Period: period, Limit: count(string(v.Value)), Remaining: Tell(0), Blamed: true}, ok
}

// maxSentence is how much of a message is compared with the sentences: they are shorter.
const maxSentence = 1 << 10

// sentence is how a provider explains a refusal in words. Its pattern's groups are named unit (where there is none, it speaks of
// requests), period, limit, used and wait; the words of the first two are looked up below.
type sentence struct {
	pattern *regexp.Regexp
	reach   Reach
}

// sentences are those that are known, as their providers write them.
var sentences = [...]sentence{
	{ // OpenAI, Groq: Rate limit reached for gpt-4o in organization org-x on requests per min (RPM): Limit 3, Used 3, Requested 1. Please try again in 20s.
		pattern: regexp.MustCompile(`^(?:Rate limit reached|Request too large) for .* on (?P<unit>requests|(?:input |output )?tokens) per ` +
			`(?P<period>[a-z]+)(?: \([A-Z]+\))?: Limit (?P<limit>\d+)(?:, Used (?P<used>\d+))?(?:.* try again in (?P<wait>[0-9hms.]*[hms]))?`),
		reach: ReachModel,
	},
	{ // Anthropic: This request would exceed your organization's rate limit of 30,000 input tokens per minute
		pattern: regexp.MustCompile(`^This request would exceed (?:your organization.s rate limit|the rate limit for your organization)` +
			`(?: \([^)]*\))? of (?P<limit>[0-9,]+) (?P<unit>requests|(?:input |output )?tokens) per (?P<period>[a-z]+)`),
	},
	{ // Azure: Requests to the … have exceeded token rate limit of your current OpenAI S0 pricing tier.
		pattern: regexp.MustCompile(`^Requests to the .* have exceeded (?P<unit>call|token) rate limit`),
	},
	{ // OpenRouter: Rate limit exceeded: free-models-per-day.
		pattern: regexp.MustCompile(`^Rate limit exceeded: free-models-per-(?P<period>min|day)`),
		reach:   ReachAccount,
	},
	{ // OpenRouter: Rate limit exceeded: limit_rpm/meta-llama/llama-3.3-70b-instruct:free
		pattern: regexp.MustCompile(`^Rate limit exceeded: limit_rp(?P<period>m|d)/`),
		reach:   ReachModel,
	},
}

// The words of sentences.
var (
	unitWords = map[string]Unit{
		"requests": Requests, "call": Requests, "tokens": Tokens, "token": Tokens, "input tokens": InputTokens, "output tokens": OutputTokens,
	}
	periodWords = map[string]time.Duration{
		"sec": time.Second, "second": time.Second, "m": time.Minute, "min": time.Minute, "minute": time.Minute,
		"hour": time.Hour, "d": day, "day": day, "month": month,
	}
)

// readSentence reads the message of a refusal, if it is one of the sentences.
func (o *Outcome) readSentence(message string) {
	message = message[:min(len(message), maxSentence)]
	for _, known := range sentences {
		groups := known.pattern.FindStringSubmatch(message)
		if groups == nil {
			continue
		}
		group := func(name string) string {
			if i := known.pattern.SubexpIndex(name); i >= 0 {
				return groups[i]
			}
			return ""
		}
		s := Sign{
			Unit: unitWords[group("unit")], Reach: known.reach, Period: periodWords[group("period")],
			Limit: count(strings.ReplaceAll(group("limit"), ",", "")), Blamed: true,
		}
		if used, ok := count(group("used")).Get(); ok {
			s.Remaining = Tell(max(s.Limit.value-used, 0))
		}
		o.Signs = merged(o.Signs, s)
		o.ask(group("wait"))
		return
	}
}
