package metrics

import (
	"sync/atomic"

	"nimsidecar/internal/priority"

	"github.com/prometheus/client_golang/prometheus"
)

// State is what the gauges speak of, at one moment. The zero value is an unhealthy sidecar with nothing in it.
type State struct {
	Providers       []Pace              // in the order of Options.Providers; the first also stands in the unlabelled gauges
	Depth           [priority.Count]int // how many requests wait, by class
	QueueBytes      int64               // memory held by the bodies of waiting requests
	CacheBytes      int64               // memory held by kept answers
	CacheAnswers    int                 // kept answers
	Coalescing      int                 // requests that wait for the answer to another's call
	OpenConnections int                 // of clients to the proxy
	Unsolicited     uint64              // answers that upstreams sent unasked since the start; it never falls
	Healthy         bool                // what /readyz says
	StoreDegraded   bool                // state is kept in memory although there is a directory for it
	Viewers         int                 // open streams of the dashboard
	ReloadFailures  uint64              // times that the settings were read again and not taken over; it never falls
	ReloadFailed    bool                // the last time was one of them
}

// Pace is how one provider is being paced, over all its accounts.
type Pace struct {
	Tokens        float64 // slots that may be granted now
	TokensRate    float64 // slots a minute that the limits allow
	EffectiveRate float64 // slots a minute that pacing now uses of them
	Retreat       int     // the worst state of a ledger: 0 NORMAL, 1 RETREAT, 2 RECOVER
	Rate429       float64 // share of the answers in the observation window that were 429, 0 to 1
	Learned       Learned // of the limits
}

// Learned is what has been learned of one provider's limits, over all its scopes. The zero value is that nothing is learned.
type Learned struct {
	Ceilings [len(windows)]int // the smallest learned size of a window of each length; 0 = none is known
	States   [len(states)]int  // scopes in each state
	Credit   float64           // probes that the scope with the least could pay for
	Burst    int               // how many the scope with the least sends at once; 0 = unknown
	InFlight int               // how many of a model's requests run at once, where workers were found busy; 0 = no bound is known

	Raised, Confirmed, Idle uint64 // probes by result; they never fall
	ByModel, ByAccount      uint64 // quota refusals by what they were put down to; they never fall
}

// pace returns the pace of the i-th provider, zero when the state does not speak of it.
func (s *State) pace(i int) Pace {
	if i < len(s.Providers) {
		return s.Providers[i]
	}
	return Pace{}
}

// Watch makes state the source of the gauges: it is called once a scrape, by several scrapes at once when they overlap. Until
// then the gauges show the zero State.
func (m *Metrics) Watch(state func() State) {
	if m != nil {
		m.asker.state.Store(&state)
	}
}

// reading is a metric that is asked at scrape time.
type reading struct {
	kind       prometheus.ValueType
	name, help string
	labels     []string
	read       func(s *State, put put)
}

// The kinds of a reading.
const (
	gauge   = prometheus.GaugeValue
	counter = prometheus.CounterValue
)

// put gives one series of a reading: its value and the values of its labels.
type put func(value float64, labels ...string)

// asker is the one collector of all readings. A scrape sees them all at the same moment.
type asker struct {
	readings []reading
	descs    []*prometheus.Desc // by reading
	state    atomic.Pointer[func() State]
}

func newAsker(readings []reading) *asker {
	a := &asker{readings: readings}
	for _, r := range readings {
		a.descs = append(a.descs, prometheus.NewDesc(r.name, r.help, r.labels, nil))
	}
	return a
}

// Describe implements prometheus.Collector.
func (a *asker) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range a.descs {
		descs <- desc
	}
}

// Collect implements prometheus.Collector.
func (a *asker) Collect(series chan<- prometheus.Metric) {
	var s State
	if state := a.state.Load(); state != nil {
		s = (*state)()
	}
	for i, r := range a.readings {
		r.read(&s, func(value float64, labels ...string) {
			series <- prometheus.MustNewConstMetric(a.descs[i], r.kind, value, labels...)
		})
	}
}

// truth is how Prometheus spells a bool.
func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
