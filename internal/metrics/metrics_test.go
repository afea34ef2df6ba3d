package metrics

import (
	"bytes"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/wire"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// example has two providers and something in every kind of metric.
func example(start time.Time) *Metrics {
	m := New(Options{Providers: []string{"nvidia", "spare"}, Version: "1.2.3", Start: start})
	m.Finished(priority.Urgent, Success)
	m.Finished(priority.Low, Ratelimited)
	m.Finished(priority.Normal, Failed)
	m.Finished(priority.Normal, Failed)
	m.ClientAborted(Stream)
	m.Waited(priority.High, 3*time.Second)
	m.Answered("nvidia", 700*time.Millisecond)
	m.UpstreamError("nvidia", "429")
	m.UpstreamError("spare", "dns")
	m.Passthrough()
	m.Retried("quota")
	m.Rejected("queue_full")
	m.Shared("coalesced")
	m.Watch(func() State {
		return State{
			Providers: []Pace{
				{Tokens: 7, TokensRate: 90, EffectiveRate: 60, Retreat: 2, Rate429: 0.25},
				{Tokens: 1.5, TokensRate: 30, EffectiveRate: 15},
			},
			Depth:           [priority.Count]int{priority.Urgent: 1, priority.Low: 40},
			QueueBytes:      1 << 20,
			CacheBytes:      4096,
			CacheAnswers:    3,
			Coalescing:      2,
			OpenConnections: 41,
			Unsolicited:     3,
			Healthy:         true,
		}
	})
	return m
}

// scrape returns the answer of the metrics port, without the Go and process collectors, which differ from run to run.
func scrape(t *testing.T, m *Metrics, accept string) (text, contentType string) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("GET /metrics = %d %s; want 200", w.Code, w.Body)
	}
	runtime := regexp.MustCompile(`(?m)^(# [A-Z]+ )?(go|process)_.*\n`)
	return runtime.ReplaceAllString(w.Body.String(), ""), w.Header().Get("Content-Type")
}

// golden compares got with a file that users rely on.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is stale, run go generate ./internal/metrics if that is what you mean (-file +got):\n%s", file, diff)
	}
}

// A bubble's clock stands still, so that the uptime is exact.
func TestExpositionIsTheGolden(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		text, _ := scrape(t, example(time.Now().Add(-90*time.Second)), "")
		golden(t, "testdata/metrics.txt", text)
	})
}

// The table is CONTRACT section 6, written down by hand: whatever the golden file becomes, dashboards elsewhere read these.
func TestTheThirteenAreAsPromised(t *testing.T) {
	t.Parallel()
	const (
		gauge     = dto.MetricType_GAUGE
		counter   = dto.MetricType_COUNTER
		histogram = dto.MetricType_HISTOGRAM
	)
	promised := []struct {
		name    string
		kind    dto.MetricType
		labels  string // in order of the alphabet
		series  int    // with the providers nvidia and spare; 0 = not promised
		buckets string
	}{
		{"sidecar_requests_total", counter, "priority status", 12, ""},
		{"sidecar_tokens_available", gauge, "", 1, ""},
		{"sidecar_tokens_rate", gauge, "", 1, ""},
		{"sidecar_queue_depth", gauge, "priority", 4, ""},
		{"sidecar_queue_latency_seconds", histogram, "priority", 4, "0.01 0.05 0.1 0.5 1 2 5 10 30 60 120"},
		{"sidecar_upstream_latency_seconds", histogram, "provider", 2, "0.1 0.5 1 2 5 10 30 60 120 300 600"},
		{"sidecar_upstream_errors_total", counter, "provider status_code", 0, ""},
		{"sidecar_fallback_passthrough_total", counter, "", 1, ""},
		{"sidecar_health_status", gauge, "", 1, ""},
		{"sidecar_uptime_seconds", gauge, "", 1, ""},
		{"sidecar_retreat_state", gauge, "", 1, ""},
		{"sidecar_effective_rate_rpm", gauge, "", 1, ""},
		{"sidecar_upstream_429_rate", gauge, "", 1, ""},
	}
	families := gather(t, New(Options{Providers: []string{"nvidia", "spare"}}))
	for _, want := range promised {
		f := families[want.name]
		if f == nil {
			t.Errorf("%s does not exist before the first event", want.name)
			continue
		}
		if f.GetType() != want.kind {
			t.Errorf("%s is a %v; want %v", want.name, f.GetType(), want.kind)
		}
		if n := len(f.GetMetric()); want.series > 0 && n != want.series {
			t.Errorf("%s has %d series before the first event; want %d", want.name, n, want.series)
		}
		for _, series := range f.GetMetric() {
			if got := strings.Join(labelNames(series), " "); got != want.labels {
				t.Errorf("%s has the labels %q; want %q", want.name, got, want.labels)
			}
			if got := strings.Join(bounds(series), " "); got != want.buckets {
				t.Errorf("%s has the buckets %q; want %q", want.name, got, want.buckets)
			}
		}
	}
}

func TestNamesAndHelpPassTheLinter(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(example(time.Now()).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestOpenMetricsIsNegotiated(t *testing.T) {
	t.Parallel()
	m := example(time.Now())
	for _, tt := range []struct{ accept, contentType, end string }{
		{"", "text/plain", "\n"},
		{"text/plain;version=0.0.4", "text/plain", "\n"},
		{"application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "application/openmetrics-text", "# EOF\n"},
	} {
		text, contentType := scrape(t, m, tt.accept)
		if !strings.HasPrefix(contentType, tt.contentType) {
			t.Errorf("Accept %q gives %q; want %s", tt.accept, contentType, tt.contentType)
		}
		if !strings.HasSuffix(text, tt.end) {
			t.Errorf("Accept %q ends in %q; want %q", tt.accept, text[len(text)-20:], tt.end)
		}
		if !strings.Contains(text, `sidecar_requests_total{priority="NORMAL",status="error"} 2`) {
			t.Errorf("Accept %q does not tell of the two failed requests", tt.accept)
		}
	}
}

func TestGoAndProcessCollectorsAreOnTheSameRegistry(t *testing.T) {
	t.Parallel()
	families := gather(t, New(Options{}))
	for _, name := range []string{"go_goroutines", "process_start_time_seconds"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// The first version's uptime stood still when scraped.
func TestUptimeIsTrueAtEveryScrape(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{})
		for _, want := range []float64{0, 90, 180} {
			if got := value(t, m, "sidecar_uptime_seconds"); got != want {
				t.Errorf("uptime = %v; want %v", got, want)
			}
			time.Sleep(90 * time.Second)
		}
	})
}

func TestOneScrapeAsksOnce(t *testing.T) {
	t.Parallel()
	m, asked := New(Options{Providers: []string{"nvidia", "spare"}}), 0
	m.Watch(func() State {
		asked++
		return State{}
	})
	gather(t, m)
	if asked != 1 {
		t.Errorf("a scrape asked for the state %d times; want 1", asked)
	}
}

func TestBeforeWatchTheGaugesAreThereAndZero(t *testing.T) {
	t.Parallel()
	m := New(Options{})
	for _, name := range []string{"sidecar_health_status", "sidecar_tokens_available", "sidecar_retreat_state"} {
		if got := value(t, m, name); got != 0 {
			t.Errorf("%s = %v; want 0", name, got)
		}
	}
}

func TestUnknownLabelValuesCountAsOther(t *testing.T) {
	t.Parallel()
	m := New(Options{Providers: []string{"nvidia"}})
	before := seriesCount(gather(t, m))
	for _, tt := range []struct {
		verb func(m *Metrics)
		want string // the one series that moves
	}{
		{func(m *Metrics) { m.UpstreamError("nvidia", "418") }, `sidecar_upstream_errors_total{nvidia,4xx}`},
		{func(m *Metrics) { m.UpstreamError("nvidia", "307") }, `sidecar_upstream_errors_total{nvidia,3xx}`},
		{func(m *Metrics) { m.UpstreamError("nvidia", "599") }, `sidecar_upstream_errors_total{nvidia,5xx}`},
		{func(m *Metrics) { m.UpstreamError("nvidia", "200") }, `sidecar_upstream_errors_total{nvidia,other}`},
		{func(m *Metrics) { m.UpstreamError("nvidia", "5000") }, `sidecar_upstream_errors_total{nvidia,other}`},
		{func(m *Metrics) { m.UpstreamError("nvidia", "") }, `sidecar_upstream_errors_total{nvidia,other}`},
		{func(m *Metrics) { m.UpstreamError("nvidia", "meta/llama") }, `sidecar_upstream_errors_total{nvidia,other}`},
		{func(m *Metrics) { m.UpstreamError("nvidia", "tls") }, `sidecar_upstream_errors_total{nvidia,tls}`},
		{func(m *Metrics) { m.Retried("meta/llama") }, `sidecar_retries_total{other}`},
		{func(m *Metrics) { m.Rejected("meta/llama") }, `sidecar_rejections_total{other}`},
	} {
		was := counts(gather(t, m))
		tt.verb(m)
		now := counts(gather(t, m))
		for series, n := range now {
			if moved := n - was[series]; moved != 0 && (series != tt.want || moved != 1) {
				t.Errorf("%s moved by %v; want only %s to move by 1", series, moved, tt.want)
			}
		}
		if now[tt.want]-was[tt.want] != 1 {
			t.Errorf("%s did not move", tt.want)
		}
	}
	if after := seriesCount(gather(t, m)); after != before {
		t.Errorf("unknown values made %d series", after-before)
	}
}

// FuzzNothingMakesEndlessSeries throws arbitrary words at every verb that takes one.
func FuzzNothingMakesEndlessSeries(f *testing.F) {
	f.Add("nvidia", "429")
	f.Add("meta/llama-3.3-70b-instruct", "5xx")
	f.Add("\xff\x00", "\xff??")
	m := New(Options{Providers: []string{"nvidia"}})
	m.Answered("a provider that nobody configured", time.Second)
	m.UpstreamError("a provider that nobody configured", "500")
	families, err := m.registry.Gather()
	if err != nil {
		f.Fatal(err)
	}
	want := seriesCount(byName(families))
	f.Fuzz(func(t *testing.T, a, b string) {
		m.Answered(a, time.Second)
		m.UpstreamError(a, b)
		m.Retried(b)
		m.Rejected(b)
		if got := seriesCount(gather(t, m)); got != want {
			t.Fatalf("%q and %q made %d series", a, b, got-want)
		}
	})
}

// Each list is compared with the package that owns the words, which level 2 must not import.
func TestListsKnowTheWordsOfTheOtherPackages(t *testing.T) {
	t.Parallel()
	var known []string
	for c := range hint.ClassCount {
		known = append(known, hint.Class(c).String())
	}
	for _, class := range classes {
		if class != other && !slices.Contains(known, class) {
			t.Errorf("retry class %q is no class of hint", class)
		}
	}
	for _, fault := range []hint.Fault{
		hint.FaultConnect, hint.FaultDNS, hint.FaultTLS, hint.FaultReset, hint.FaultNoResponse, hint.FaultShortBody,
		hint.FaultHeadTimeout, hint.FaultIdle, hint.FaultProtocol,
	} {
		if !slices.Contains(codes, string(fault)) {
			t.Errorf("fault %q is no code of sidecar_upstream_errors_total", fault)
		}
	}
	for _, reason := range []wire.Reason{ // but Cancelled, which is a client's abort
		wire.QueueFull, wire.Displaced, wire.QueueTimeout, wire.Deadline, wire.UpstreamRateLimited, wire.UpstreamUnreachable,
		wire.UpstreamTimeout, wire.Draining, wire.BodyTooLarge, wire.BadRequest, wire.Overloaded, wire.StoreUnavailable,
		wire.Unauthorized, wire.ForbiddenHost, wire.ForbiddenOrigin,
	} {
		if !slices.Contains(reasons, string(reason)) {
			t.Errorf("reason %q is none of sidecar_rejections_total", reason)
		}
	}
}

func ExampleMetrics_Watch() {
	m := New(Options{Providers: []string{"nvidia"}})
	m.Watch(func() State {
		return State{Providers: []Pace{{Tokens: 12, TokensRate: 40, EffectiveRate: 40}}, Healthy: true}
	})
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	for line := range bytes.Lines(w.Body.Bytes()) {
		if bytes.HasPrefix(line, []byte("sidecar_tokens_")) {
			fmt.Printf("%s", line)
		}
	}
	// Output:
	// sidecar_tokens_available 12
	// sidecar_tokens_rate 40
}

// What follows reads a registry from the outside.

func gather(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return byName(families)
}

func byName(families []*dto.MetricFamily) map[string]*dto.MetricFamily {
	named := map[string]*dto.MetricFamily{}
	for _, f := range families {
		named[f.GetName()] = f
	}
	return named
}

// value is that of the only series of a counter or gauge.
func value(t *testing.T, m *Metrics, name string) float64 {
	t.Helper()
	f := gather(t, m)[name]
	if len(f.GetMetric()) != 1 {
		t.Fatalf("%s has %d series; want 1", name, len(f.GetMetric()))
	}
	series := f.GetMetric()[0]
	return series.GetCounter().GetValue() + series.GetGauge().GetValue()
}

// counts are the values of all counters, named as name{values of the labels}.
func counts(families map[string]*dto.MetricFamily) map[string]float64 {
	all := map[string]float64{}
	for name, f := range families {
		for _, series := range f.GetMetric() {
			if series.GetCounter() != nil && strings.HasPrefix(name, "sidecar_") {
				all[name+"{"+strings.Join(labelValues(series), ",")+"}"] = series.GetCounter().GetValue()
			}
		}
	}
	return all
}

func seriesCount(families map[string]*dto.MetricFamily) (n int) {
	for name, f := range families {
		if strings.HasPrefix(name, "sidecar_") {
			n += len(f.GetMetric())
		}
	}
	return n
}

func labelNames(series *dto.Metric) (names []string) {
	for _, l := range series.GetLabel() {
		names = append(names, l.GetName())
	}
	return names
}

func labelValues(series *dto.Metric) (values []string) {
	for _, l := range series.GetLabel() {
		values = append(values, l.GetValue())
	}
	return values
}

func bounds(series *dto.Metric) (bounds []string) {
	for _, b := range series.GetHistogram().GetBucket() {
		bounds = append(bounds, fmt.Sprint(b.GetUpperBound()))
	}
	return bounds
}
