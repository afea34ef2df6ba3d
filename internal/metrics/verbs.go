package metrics

import (
	"net/http"
	"strings"
	"time"

	"nimsidecar/internal/priority"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Finished counts a request that ended with an answer to its client, exactly once for each. A request whose client left is
// ClientAborted instead, and never Finished.
func (m *Metrics) Finished(class priority.Class, status Status) {
	if m != nil {
		m.requests[class][status].Inc()
	}
}

// ClientAborted counts a request whose client left before its answer was complete.
func (m *Metrics) ClientAborted(phase Phase) {
	if m != nil {
		m.aborts[phase].Inc()
	}
}

// Waited records how long a request waited for its slots, all waits of the request summed. It is called once for each request
// that was in the waiting room, however it left it.
func (m *Metrics) Waited(class priority.Class, wait time.Duration) {
	if m != nil {
		m.waits[class].Observe(wait.Seconds())
	}
}

// Answered records the time from an attempt's start to the head of the provider's answer. It is called only where there was an
// answer: an attempt that broke before has no latency, and zero would be a lie.
func (m *Metrics) Answered(provider string, latency time.Duration) {
	if m != nil {
		m.upstream(provider).latency.Observe(latency.Seconds())
	}
}

// UpstreamError counts an attempt that was refused or broke. The code is the HTTP status in decimal or, where there was none, the
// word of hint.Fault; rare statuses are counted by their range, such as 5xx, and what is neither as other.
func (m *Metrics) UpstreamError(provider, code string) {
	if m == nil {
		return
	}
	errors := m.upstream(provider).errors
	if errors[code] == nil && len(code) == len("5xx") {
		switch code[0] {
		case '3':
			code = "3xx"
		case '4':
			code = "4xx"
		case '5':
			code = "5xx"
		}
	}
	inc(errors, code)
}

// Passthrough counts a request that was sent upstream without a slot.
func (m *Metrics) Passthrough() {
	if m != nil {
		m.passthrough.Inc()
	}
}

// Retried counts an attempt that is made again. The class is the word of hint.Class of the outcome before.
func (m *Metrics) Retried(class string) {
	if m != nil {
		inc(m.retries, class)
	}
}

// Rejected counts a request that was answered with an error of the sidecar's own. The reason is that of X-Sidecar-Reason.
func (m *Metrics) Rejected(reason string) {
	if m != nil {
		inc(m.rejections, reason)
	}
}

// Shared counts a request that might have shared a call or an answer with others, by what became of it: the word of coalesce.Mark.
func (m *Metrics) Shared(result string) {
	if m != nil {
		inc(m.shared, result)
	}
}

// StateChanged counts a change of the state of learning of one of a provider's scopes, to NORMAL, RETREAT or RECOVER.
func (m *Metrics) StateChanged(provider, state string) {
	if m == nil {
		return
	}
	if c := m.changes[provider][strings.ToLower(state)]; c != nil {
		c.Inc()
	}
}

// Handler serves all metrics in the text format of Prometheus or, where the scraper asks for it, of OpenMetrics. That of a nil
// *Metrics answers 404.
func (m *Metrics) Handler() http.Handler {
	if m == nil {
		return http.NotFoundHandler()
	}
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
}

func (m *Metrics) upstream(provider string) upstream {
	if u, ok := m.upstreams[provider]; ok {
		return u
	}
	return m.unknown()
}

// inc moves the counter of a value, or of other when the value is not on the list.
func inc(counters map[string]prometheus.Counter, value string) {
	c := counters[value]
	if c == nil {
		c = counters[other]
	}
	c.Inc()
}
