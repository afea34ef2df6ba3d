package metrics

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

const reference = "../../docs/metrics.md"

// contract are the names that stay as they are, CONTRACT section 6.
const contract = `sidecar_requests_total sidecar_tokens_available sidecar_tokens_rate sidecar_queue_depth sidecar_queue_latency_seconds
	sidecar_upstream_latency_seconds sidecar_upstream_errors_total sidecar_fallback_passthrough_total sidecar_health_status
	sidecar_uptime_seconds sidecar_retreat_state sidecar_effective_rate_rpm sidecar_upstream_429_rate`

const preface = `<!-- Generated from internal/metrics by go generate. Do not edit. -->

# Metrics

The metrics port (` + "`127.0.0.1:9191`" + `) serves ` + "`/metrics`" + ` in the text formats of Prometheus and OpenMetrics. Every series exists from the
start at zero, so that ` + "`increase()`" + ` sees the first event. No label takes a value that a client chose: what is not on a label's list
counts as ` + "`other`" + `, and a model's name is never a label. The collectors of the Go runtime (` + "`go_…`" + `) and of the process
(` + "`process_…`" + `) are served as well.

A *slot* is the permission for one attempt at the upstream. The names ` + "`sidecar_tokens_…`" + ` count slots too: they are older than the word.

## Which question, which query

| question | query |
|---|---|
| Do clients see refusals? | ` + "`sum(rate(sidecar_requests_total{status=\"ratelimited\"}[5m]))`" + ` |
| How long do the slowest HIGH requests wait? | ` + "`histogram_quantile(0.95, sum by (le) (rate(sidecar_queue_latency_seconds_bucket{priority=\"HIGH\"}[5m])))`" + ` |
| How full is the queue? | ` + "`sum(sidecar_queue_depth)`" + ` |
| What share of what the limits allow does pacing use? | ` + "`sidecar_effective_rate_rpm / sidecar_tokens_rate`" + ` |
| Is the upstream refusing, and with what? | ` + "`sum by (provider, status_code) (rate(sidecar_upstream_errors_total[5m])) > 0`" + ` |
| How many refusals were hidden from clients? | ` + "`increase(sidecar_retries_total{class=\"quota\"}[1h])`" + ` |
| Why did we refuse? | ` + "`increase(sidecar_rejections_total[1h]) > 0`" + ` |
| Where do clients give up? | ` + "`increase(sidecar_client_aborts_total[1h]) > 0`" + ` |
`

// TestReferenceIsGenerated writes docs/metrics.md from a scrape when it is run with -update, as go generate does.
func TestReferenceIsGenerated(t *testing.T) {
	t.Parallel()
	var thirteen, beside []*dto.MetricFamily
	for name, f := range gather(t, New(Options{Providers: []string{"nvidia"}, Version: "1.2.3"})) {
		switch {
		case slices.Contains(strings.Fields(contract), name):
			thirteen = append(thirteen, f)
		case strings.HasPrefix(name, "sidecar_"):
			beside = append(beside, f)
		}
	}
	golden(t, reference, preface+
		"\n## The thirteen that stay as they are\n\nDashboards elsewhere use them. Where there are several providers, those without a `provider` label speak for the default one.\n\n"+
		table(thirteen)+"\n## Beside them\n\n"+table(beside))
}

func TestReferenceAsksForNothingThatDoesNotExist(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(reference)
	if err != nil {
		t.Fatal(err)
	}
	families := gather(t, example(time.Now()))
	for _, name := range regexp.MustCompile(`sidecar_[a-z0-9_]*[a-z0-9]\b`).FindAllString(string(text), -1) {
		if families[strings.TrimSuffix(name, "_bucket")] == nil && name != "sidecar_tokens" {
			t.Errorf("%s speaks of %s, which does not exist", reference, name)
		}
	}
}

// table is the families as Markdown, sorted by name.
func table(families []*dto.MetricFamily) string {
	slices.SortFunc(families, func(a, b *dto.MetricFamily) int { return cmp.Compare(a.GetName(), b.GetName()) })
	var b strings.Builder
	b.WriteString("| metric | type | labels | what it says |\n|---|---|---|---|\n")
	for _, f := range families {
		help := f.GetHelp()
		if bounds := bounds(f.GetMetric()[0]); bounds != nil {
			help += " Buckets: " + strings.Join(bounds, ", ") + "."
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.GetName(), strings.ToLower(f.GetType().String()), labels(f), help)
	}
	return b.String()
}

// labels lists the labels of a family with their values in the order of first appearance; those that settings decide are named only.
func labels(f *dto.MetricFamily) string {
	var names []string
	values := map[string][]string{}
	for _, series := range f.GetMetric() {
		for _, l := range series.GetLabel() {
			if !slices.Contains(names, l.GetName()) {
				names = append(names, l.GetName())
			}
			if !slices.Contains(values[l.GetName()], l.GetValue()) {
				values[l.GetName()] = append(values[l.GetName()], l.GetValue())
			}
		}
	}
	var cells []string
	for _, name := range names {
		cell := "`" + name + "`"
		if name != "provider" && name != "version" {
			cell += ": " + strings.Join(values[name], ", ")
		}
		cells = append(cells, cell)
	}
	return strings.Join(cells, " · ")
}
