// Package metrics is every Prometheus metric, its labels and its help text, in one file.
//
// Counters and histograms are moved by the verbs of [Metrics] (verbs.go). Gauges are not kept but asked: at each scrape one
// function gives the whole [State] (state.go), so that no gauge can drift from what it speaks of.
//
// No label takes a value that a client chose. Every label has a closed list of values, known when New is called; what is not on
// the list counts as "other". In particular a model id cannot become a label: no verb has a parameter for one.
package metrics

import (
	"slices"
	"sync"
	"time"

	"nimsidecar/internal/priority"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

//go:generate go test . -run ^TestReferenceIsGenerated$ -update

// Status is how a finished request ended for its client.
type Status uint8

// The statuses of sidecar_requests_total.
const (
	Success     Status = iota // the client got what it asked for
	Ratelimited               // the client got a 429
	Failed                    // the client got any other error; its own mistakes count here as well
)

var statuses = [...]string{Success: "success", Ratelimited: "ratelimited", Failed: "error"}

// Phase is where a request was when its client left.
type Phase uint8

// The phases of sidecar_client_aborts_total.
const (
	Queued     Phase = iota // it was waiting for a slot
	Upstream                // it was sent, and no byte of an answer had reached the client
	Stream                  // its answer was on the way
	SlowReader              // the client had stopped reading, and we cut it off
)

var phases = [...]string{Queued: "queued", Upstream: "upstream", Stream: "stream", SlowReader: "slow_reader"}

// states are the values of Pace.Retreat.
var states = [...]string{"normal", "retreat", "recover"}

// windows are the lengths of Learned.Ceilings.
var windows = [...]string{"minute", "hour", "day"}

// other is the value of every label for what is not on the label's list.
const other = "other"

// reasons are the values of X-Sidecar-Reason, as wire.Reason lists them. A cancelled request counts among the client's aborts.
var reasons = []string{
	"queue_full", "displaced", "queue_timeout", "deadline", "upstream_rate_limited", "upstream_unreachable", "upstream_timeout",
	"draining", "body_too_large", "bad_request", "overloaded", "store_unavailable", "unauthorized", "forbidden_host",
	"forbidden_origin", other,
}

// marks are the words of coalesce.Mark.
var marks = []string{"hit", "coalesced", "miss", "bypass", other}

// classes are the words of hint.Class that are ever tried again.
var classes = []string{
	"quota", "queue_full_upstream", "worker_exhausted", "no_worker", "degraded", "inactive", "not_entitled", "key_dead", "credits",
	"transient", "upstream_error", "broken", other,
}

// codes are the statuses that upstreams are known to refuse with, one class for each range of the rest, and the words of
// hint.Fault for attempts without a status.
var codes = []string{
	"400", "401", "402", "403", "404", "408", "409", "410", "413", "422", "429", "500", "502", "503", "504", "529",
	"3xx", "4xx", "5xx",
	"connect", "dns", "tls", "reset", "no_response", "short_body", "head_timeout", "idle", "protocol", other,
}

// Options are what New needs to know. The zero value works: no provider, no version, started now.
type Options struct {
	Providers []string  // the configured providers, the default one first; anything else counts as "other"
	Version   string    // of this binary, for sidecar_build_info
	Start     time.Time // when the process began, for sidecar_uptime_seconds; zero means when New was called
}

// Metrics holds every metric on a registry of its own, so that several sidecars live in one process. Use New to make one; all
// verbs of a nil *Metrics do nothing. It is safe for concurrent use, and the verbs do not allocate.
type Metrics struct {
	registry *prometheus.Registry
	asker    *asker // of the gauges

	requests    [priority.Count][len(statuses)]prometheus.Counter
	waits       [priority.Count]prometheus.Observer
	aborts      [len(phases)]prometheus.Counter
	upstreams   map[string]upstream // by provider
	unknown     func() upstream     // of a provider that is not configured; made at first use
	retries     map[string]prometheus.Counter
	rejections  map[string]prometheus.Counter
	shared      map[string]prometheus.Counter
	changes     map[string]map[string]prometheus.Counter // of state, by provider and new state
	passthrough prometheus.Counter
}

// upstream is what is counted for one provider.
type upstream struct {
	latency prometheus.Observer
	errors  map[string]prometheus.Counter // by code
}

// New returns the metrics, with every series that can exist present from the start at zero, since a series that begins at its
// first event hides that event from rate() and increase(). The Go and process collectors are on the same registry.
func New(o Options) *Metrics {
	if o.Start.IsZero() {
		o.Start = time.Now()
	}
	m := &Metrics{registry: prometheus.NewRegistry(), asker: newAsker(readings(o))}
	m.registry.MustRegister(
		m.asker,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	factory := promauto.With(m.registry)
	m.defineRequests(factory)
	m.defineUpstreams(factory, o.Providers)
	m.passthrough = factory.NewCounter(prometheus.CounterOpts{
		Name: "sidecar_fallback_passthrough_total",
		Help: "Requests sent upstream without a slot: the queue was full under the overflow policy passthrough, " +
			"or the shared quota store was unavailable.",
	})
	m.retries = children(factory.NewCounterVec(prometheus.CounterOpts{
		Name: "sidecar_retries_total",
		Help: "Attempts made again on behalf of a client that noticed nothing, by the class of the outcome before.",
	}, []string{"class"}), classes)
	changes := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "sidecar_pacing_state_changes_total",
		Help: "Changes of the state of learning, by provider and by the state that was entered.",
	}, []string{"provider", "state"})
	m.changes = map[string]map[string]prometheus.Counter{}
	for _, provider := range o.Providers {
		m.changes[provider] = children(changes.MustCurryWith(prometheus.Labels{"provider": provider}), states[:])
	}
	m.rejections = children(factory.NewCounterVec(prometheus.CounterOpts{
		Name: "sidecar_rejections_total",
		Help: "Requests answered with an error of the sidecar's own, by the X-Sidecar-Reason of the answer.",
	}, []string{"reason"}), reasons)
	m.shared = children(factory.NewCounterVec(prometheus.CounterOpts{
		Name: "sidecar_cache_requests_total",
		Help: "Requests while calls or answers are shared, by what became of them: hit (a kept answer), coalesced (the answer to another's " +
			"call), miss (a call of its own) or bypass (not one to share).",
	}, []string{"result"}), marks)
	return m
}

// defineRequests makes what is counted by class.
func (m *Metrics) defineRequests(factory promauto.Factory) {
	requests := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "sidecar_requests_total",
		Help: "Finished requests by class and by what the client got: success, ratelimited (a 429) or error (any other error). " +
			"A request whose client left counts in sidecar_client_aborts_total instead.",
	}, []string{"priority", "status"})
	waits := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sidecar_queue_latency_seconds",
		Help:    "Time a request waited for its slots, all its waits summed, by class.",
		Buckets: []float64{0.01, 0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120},
	}, []string{"priority"})
	for _, class := range priority.All() {
		m.waits[class] = waits.WithLabelValues(class.String())
		for status, word := range statuses {
			m.requests[class][status] = requests.WithLabelValues(class.String(), word)
		}
	}
	aborts := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "sidecar_client_aborts_total",
		Help: "Requests whose client left before the answer was complete, by phase: queued, upstream (sent, nothing answered yet), " +
			"stream, or slow_reader (cut off for not reading).",
	}, []string{"phase"})
	for phase, word := range phases {
		m.aborts[phase] = aborts.WithLabelValues(word)
	}
}

// defineUpstreams makes what is counted by provider.
func (m *Metrics) defineUpstreams(factory promauto.Factory, providers []string) {
	latency := factory.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "sidecar_upstream_latency_seconds",
		Help:    "Time from an attempt's start to the head of its answer.",
		Buckets: []float64{0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600},
	}, []string{"provider"})
	errors := factory.NewCounterVec(prometheus.CounterOpts{
		Name: "sidecar_upstream_errors_total",
		Help: "Attempts that the upstream refused or that broke, by HTTP status (3xx, 4xx, 5xx for the rarer ones) or, where there " +
			"was none, by fault: connect, dns, tls, reset, no_response, short_body, head_timeout, idle, protocol.",
	}, []string{"status_code", "provider"})
	of := func(provider string) upstream {
		return upstream{
			latency: latency.WithLabelValues(provider),
			errors:  children(errors.MustCurryWith(prometheus.Labels{"provider": provider}), codes),
		}
	}
	m.upstreams = map[string]upstream{}
	for _, provider := range providers {
		m.upstreams[provider] = of(provider)
	}
	m.unknown = sync.OnceValue(func() upstream { return of(other) })
}

// children resolves a counter of one label for every value the label may take.
func children(vec *prometheus.CounterVec, values []string) map[string]prometheus.Counter {
	counters := make(map[string]prometheus.Counter, len(values))
	for _, value := range values {
		counters[value] = vec.WithLabelValues(value)
	}
	return counters
}

// readings are the metrics that are asked at scrape time, each with what it puts of a State.
func readings(o Options) []reading {
	return slices.Concat(defaultPace(), everyPace(o.Providers), everyLearned(o.Providers), []reading{
		{
			gauge, "sidecar_queue_depth", "Requests waiting for a slot, by class.",
			[]string{"priority"},
			func(s *State, put put) {
				for _, class := range priority.All() {
					put(float64(s.Depth[class]), class.String())
				}
			},
		},
		{
			gauge, "sidecar_queue_bytes", "Memory held by the bodies of waiting requests.",
			nil, func(s *State, put put) { put(float64(s.QueueBytes)) },
		},
		{
			gauge, "sidecar_cache_bytes", "Memory held by kept answers.",
			nil, func(s *State, put put) { put(float64(s.CacheBytes)) },
		},
		{
			gauge, "sidecar_cache_answers", "Kept answers.",
			nil, func(s *State, put put) { put(float64(s.CacheAnswers)) },
		},
		{
			gauge, "sidecar_coalesce_waiting", "Requests waiting for the answer to another's call.",
			nil, func(s *State, put put) { put(float64(s.Coalescing)) },
		},
		{
			gauge, "sidecar_open_connections", "Connections that clients hold open to the proxy.",
			nil, func(s *State, put put) { put(float64(s.OpenConnections)) },
		},
		{
			counter, "sidecar_unsolicited_responses_total", "Answers that an upstream sent unasked; each was dropped with its connection.",
			nil, func(s *State, put put) { put(float64(s.Unsolicited)) },
		},
		{
			gauge, "sidecar_health_status", "1 when the sidecar is ready to serve (/readyz), else 0.",
			nil, func(s *State, put put) { put(truth(s.Healthy)) },
		},
		{
			gauge, "sidecar_store_degraded", "1 while what should outlive the process cannot be written, else 0.",
			nil, func(s *State, put put) { put(truth(s.StoreDegraded)) },
		},
		{
			counter, "sidecar_config_reload_failures_total", "Times that the settings were read again and not taken over: those before went on to hold.",
			nil, func(s *State, put put) { put(float64(s.ReloadFailures)) },
		},
		{
			gauge, "sidecar_config_last_reload_success", "1 when the settings were taken over the last time they were read, else 0.",
			nil, func(s *State, put put) { put(truth(!s.ReloadFailed)) },
		},
		{
			gauge, "sidecar_dashboard_viewers", "Open streams of the dashboard.",
			nil, func(s *State, put put) { put(float64(s.Viewers)) },
		},
		{
			gauge, "sidecar_uptime_seconds", "Time since the process began.",
			nil, func(_ *State, put put) { put(time.Since(o.Start).Seconds()) },
		},
		{
			gauge, "sidecar_build_info", "1, with the version of this binary.",
			[]string{"version"},
			func(_ *State, put put) { put(1, o.Version) },
		},
	})
}

// defaultPace are the unlabelled gauges, which speak for the default provider. Dashboards elsewhere know them.
func defaultPace() []reading {
	of := func(value func(Pace) float64) func(*State, put) {
		return func(s *State, put put) { put(value(s.pace(0))) }
	}
	return []reading{
		{
			gauge, "sidecar_tokens_available", "Slots that may be granted now, over all accounts of the default provider.",
			nil, of(func(p Pace) float64 { return p.Tokens }),
		},
		{
			gauge, "sidecar_tokens_rate", "Slots a minute that the limits of the default provider allow, over all its accounts.",
			nil, of(func(p Pace) float64 { return p.TokensRate }),
		},
		{
			gauge, "sidecar_effective_rate_rpm", "Slots a minute that pacing now uses of the default provider's limits.",
			nil, of(func(p Pace) float64 { return p.EffectiveRate }),
		},
		{
			gauge, "sidecar_retreat_state", "Worst state of the default provider's ledgers: 0 NORMAL, 1 RETREAT, 2 RECOVER.",
			nil, of(func(p Pace) float64 { return float64(p.Retreat) }),
		},
		{
			gauge, "sidecar_upstream_429_rate", "Share of the default provider's answers that were 429, 0 to 1, in the observation window.",
			nil, of(func(p Pace) float64 { return p.Rate429 }),
		},
	}
}

// everyPace is the same for every provider, in base units and with a set of states instead of a number.
func everyPace(providers []string) []reading {
	of := func(value func(Pace) float64) func(*State, put) {
		return func(s *State, put put) {
			for i, provider := range providers {
				put(value(s.pace(i)), provider)
			}
		}
	}
	return []reading{
		{
			gauge, "sidecar_slots_available", "Slots that may be granted now, over all accounts of the provider.",
			[]string{"provider"},
			of(func(p Pace) float64 { return p.Tokens }),
		},
		{
			gauge, "sidecar_limit_requests_per_second", "Attempts a second that the provider's limits allow, over all its accounts.",
			[]string{"provider"},
			of(func(p Pace) float64 { return p.TokensRate / 60 }),
		},
		{
			gauge, "sidecar_paced_requests_per_second", "Attempts a second that pacing now uses of the provider's limits.",
			[]string{"provider"},
			of(func(p Pace) float64 { return p.EffectiveRate / 60 }),
		},
		{
			gauge, "sidecar_upstream_refused_ratio", "Share of the provider's answers that were 429, 0 to 1, in the observation window.",
			[]string{"provider"},
			of(func(p Pace) float64 { return p.Rate429 }),
		},
		{
			gauge, "sidecar_pacing_state", "1 for the worst state of the provider's ledgers (normal, retreat or recover), 0 for the rest.",
			[]string{"provider", "state"},
			func(s *State, put put) {
				for i, provider := range providers {
					for retreat, word := range states {
						put(truth(s.pace(i).Retreat == retreat), provider, word)
					}
				}
			},
		},
	}
}

// everyLearned is what has been learned of every provider's limits.
func everyLearned(providers []string) []reading {
	of := func(values func(l *Learned, put put)) func(*State, put) {
		return func(s *State, out put) {
			for i, provider := range providers {
				pace := s.pace(i)
				values(&pace.Learned, func(value float64, labels ...string) { out(value, append([]string{provider}, labels...)...) })
			}
		}
	}
	return []reading{
		{
			gauge, "sidecar_learned_limit_requests", "Smallest learned size of a window of the provider's scopes, in requests; 0 when none is known.",
			[]string{"provider", "window"},
			of(func(l *Learned, put put) {
				for i, window := range windows {
					put(float64(l.Ceilings[i]), window)
				}
			}),
		},
		{
			gauge, "sidecar_learning_scopes", "Scopes (an account, or a model of it) of the provider by the state of their learning.",
			[]string{"provider", "state"},
			of(func(l *Learned, put put) {
				for i, state := range states {
					put(float64(l.States[i]), state)
				}
			}),
		},
		{
			gauge, "sidecar_probe_credit", "Probes that the scope with the least credit could pay for; negative after refusals.",
			[]string{"provider"},
			of(func(l *Learned, put put) { put(l.Credit) }),
		},
		{
			counter, "sidecar_probes_total", "Looks beyond a learned limit by result: raised (there was more), confirmed (refused), idle (too little to send).",
			[]string{"provider", "result"},
			of(func(l *Learned, put put) {
				put(float64(l.Raised), "raised")
				put(float64(l.Confirmed), "confirmed")
				put(float64(l.Idle), "idle")
			}),
		},
		{
			counter, "sidecar_quota_refusals_total", "Quota refusals by the scope whose limit they were put down to.",
			[]string{"provider", "scope"},
			of(func(l *Learned, put put) {
				put(float64(l.ByModel), "model")
				put(float64(l.ByAccount), "account")
			}),
		},
		{
			gauge, "sidecar_learned_in_flight", "Requests of a model that its workers take at once, the smallest known; 0 when none is known.",
			[]string{"provider"},
			of(func(l *Learned, put put) { put(float64(l.InFlight)) }),
		},
		{
			gauge, "sidecar_learned_burst_requests", "Requests that may leave at once after idleness, the smallest of the provider's scopes; 0 when unknown.",
			[]string{"provider"},
			of(func(l *Learned, put put) { put(float64(l.Burst)) }),
		},
	}
}
