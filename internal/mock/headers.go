package mock

import (
	"net/http"
	"strconv"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// rateLine is one header in which a limiter tells its state.
type rateLine struct {
	name  string
	value func(rateView) string
}

// rateView is a limiter's state in real time.
type rateView struct {
	limiter.State
	now time.Time
}

// dialects are the ways in which providers tell the state of their limits. All but "none" add Retry-After to a refusal.
var dialects = map[string][]rateLine{
	"none":        {},
	"retry-after": {},
	"openai":      {{"X-Ratelimit-Limit-Requests", limit}, {"X-Ratelimit-Remaining-Requests", left}, {"X-Ratelimit-Reset-Requests", resetText}},
	"anthropic":   {{"Anthropic-Ratelimit-Requests-Limit", limit}, {"Anthropic-Ratelimit-Requests-Remaining", left}, {"Anthropic-Ratelimit-Requests-Reset", resetDate}},
	"openrouter":  {{"X-Ratelimit-Limit", limit}, {"X-Ratelimit-Remaining", left}, {"X-Ratelimit-Reset", resetMillis}},
	"ietf":        {{"Ratelimit-Policy", policyItem}, {"Ratelimit", limitItem}},
	"ietf-old":    {{"Ratelimit-Limit", limit}, {"Ratelimit-Remaining", left}, {"Ratelimit-Reset", resetSeconds}},
}

func limit(v rateView) string { return strconv.Itoa(v.Rate.N) }
func left(v rateView) string  { return strconv.Itoa(v.Left) }
func policyItem(v rateView) string {
	return `"requests";q=` + limit(v) + `;w=` + seconds(v.Rate.Period)
}
func limitItem(v rateView) string    { return `"requests";r=` + left(v) + `;t=` + seconds(v.Reset) }
func resetSeconds(v rateView) string { return seconds(v.Reset) }
func resetText(v rateView) string    { return v.Reset.Round(time.Millisecond).String() }
func resetDate(v rateView) string    { return v.now.Add(v.Reset).UTC().Format(time.RFC3339) }
func resetMillis(v rateView) string  { return strconv.FormatInt(v.now.Add(v.Reset).UnixMilli(), 10) }

// seconds returns whole seconds, rounded up so that nobody comes too early.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// tellRate sets the headers of the dialect, if the limiter was asked and the dialect has any.
func (s *Server) tellRate(c *call, refused bool) {
	if s.options.RateHeaders == "none" || c.verdict.state.Rate.N == 0 {
		return
	}
	clock := s.quota.clock
	v := rateView{State: c.verdict.state, now: time.Now()}
	v.Rate.Period, v.Reset, v.Wait = clock.real(v.Rate.Period), clock.real(v.Reset), clock.real(v.Wait)
	h := c.w.Header()
	for _, line := range dialects[s.options.RateHeaders] {
		setUnset(h, line.name, line.value(v))
	}
	if refused && v.Wait > 0 {
		setUnset(h, "Retry-After", seconds(v.Wait))
	}
}

// setUnset sets a header unless a fault has set it already.
func setUnset(h http.Header, name, value string) {
	if h.Get(name) == "" {
		h.Set(name, value)
	}
}
