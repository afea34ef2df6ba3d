package metrics

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"nimsidecar/internal/priority"
)

func TestNilMetricsDoNothing(t *testing.T) {
	t.Parallel()
	var m *Metrics
	everyVerb(m)
	m.Watch(func() State { return State{} })
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusNotFound {
		t.Errorf("GET /metrics of nil metrics = %d; want 404", w.Code)
	}
}

func TestTwoInstancesCountApart(t *testing.T) {
	t.Parallel()
	a, b := New(Options{}), New(Options{})
	a.Passthrough()
	if got := value(t, a, "sidecar_fallback_passthrough_total"); got != 1 {
		t.Errorf("passthroughs of the first = %v; want 1", got)
	}
	if got := value(t, b, "sidecar_fallback_passthrough_total"); got != 0 {
		t.Errorf("passthroughs of the second = %v; want 0", got)
	}
}

func TestConcurrentVerbsAndScrapesLoseNothing(t *testing.T) {
	t.Parallel()
	const workers, each = 8, 200
	m := New(Options{Providers: []string{"nvidia"}})
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for range each {
				everyVerb(m)
			}
			m.Watch(func() State { return State{Healthy: true} })
			gather(t, m)
		})
	}
	all.Wait()
	for _, series := range []string{
		"sidecar_requests_total{NORMAL,success}", "sidecar_client_aborts_total{queued}", "sidecar_fallback_passthrough_total{}",
		"sidecar_upstream_errors_total{nvidia,503}", "sidecar_retries_total{quota}", "sidecar_rejections_total{draining}",
		"sidecar_cache_requests_total{hit}",
	} {
		if got := counts(gather(t, m))[series]; got != workers*each {
			t.Errorf("%s = %v; want %d", series, got, workers*each)
		}
	}
}

// everyVerb moves each verb once.
func everyVerb(m *Metrics) {
	m.Finished(priority.Normal, Success)
	m.ClientAborted(Queued)
	m.Waited(priority.Normal, time.Second)
	m.Answered("nvidia", time.Second)
	m.UpstreamError("nvidia", "503")
	m.Passthrough()
	m.Retried("quota")
	m.Rejected("draining")
	m.Shared("hit")
}

func TestVerbsDoNotAllocate(t *testing.T) {
	m := New(Options{Providers: []string{"nvidia"}}) // not parallel: AllocsPerRun counts the whole process
	if n := testing.AllocsPerRun(100, func() { everyVerb(m) }); n != 0 {
		t.Errorf("the verbs allocate %v times; want 0", n)
	}
}

// BenchmarkVerbs: budget 100 ns and no allocation each.
func BenchmarkVerbs(b *testing.B) {
	m := New(Options{Providers: []string{"nvidia", "spare"}})
	for _, bb := range []struct {
		name string
		verb func()
	}{
		{"Finished", func() { m.Finished(priority.Normal, Success) }},
		{"ClientAborted", func() { m.ClientAborted(Stream) }},
		{"Waited", func() { m.Waited(priority.Normal, 3*time.Second) }},
		{"Answered", func() { m.Answered("spare", 3*time.Second) }},
		{"UpstreamError", func() { m.UpstreamError("spare", "429") }},
		{"UpstreamErrorRare", func() { m.UpstreamError("spare", "521") }},
		{"Passthrough", func() { m.Passthrough() }},
		{"Retried", func() { m.Retried("worker_exhausted") }},
		{"Rejected", func() { m.Rejected("queue_timeout") }},
		{"Shared", func() { m.Shared("coalesced") }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bb.verb()
			}
		})
	}
}

// BenchmarkScrape: budget 2 ms for everything, the collectors of the runtime included; a scrape comes every 15 s.
func BenchmarkScrape(b *testing.B) {
	m := example(time.Now())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := m.registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
