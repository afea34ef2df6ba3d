package platform

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	rulesFile   = deploy + "/prometheus/rules.yaml"
	dashboard   = deploy + "/grafana/nim-sidecar.json"
	golden      = "../../../internal/metrics/testdata/metrics.txt" // what a test of internal/metrics compares its exposition with
	runbook     = "docs/operations.md"
	intervalVar = "$__rate_interval"
)

// foreign are the metrics of others that may be asked for: Prometheus' own, and those of client_golang's collectors.
func foreign() []string {
	return []string{"up", "process_open_fds", "process_max_fds", "process_resident_memory_bytes", "process_cpu_seconds_total", "go_goroutines"}
}

// exposed are the values of each label of each series that there is, by the series' name as PromQL knows it.
func exposed(t *testing.T) map[string]map[string][]string {
	t.Helper()
	f, err := os.Open(golden)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	reader := expfmt.NewTextParser(model.LegacyValidation)
	families, err := reader.TextToMetricFamilies(f)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string][]string{}
	for name, family := range families {
		names := []string{name}
		if family.GetType() == dto.MetricType_HISTOGRAM {
			names = []string{name + "_bucket", name + "_count", name + "_sum"}
		}
		for _, n := range names {
			values := map[string][]string{}
			for _, m := range family.GetMetric() {
				for _, label := range m.GetLabel() {
					values[label.GetName()] = append(values[label.GetName()], label.GetValue())
				}
			}
			if strings.HasSuffix(n, "_bucket") {
				values["le"] = []string{"+Inf"}
			}
			all[n] = values
		}
	}
	return all
}

// check parses an expression, and reports each series in it that does not exist, and each label value that none has.
func check(expr string, all map[string]map[string][]string) (problems []string) {
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(strings.ReplaceAll(expr, intervalVar, "1m"))
	if err != nil {
		return []string{err.Error()}
	}
	parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			problems = append(problems, wrong(n, all)...)
		case *parser.Call:
			counter := regexp.MustCompile(`_(total|bucket|count|sum)$`)
			if range_, ok := n.Args[0].(*parser.MatrixSelector); ok && slices.Contains([]string{"rate", "increase"}, n.Func.Name) {
				if name := range_.VectorSelector.(*parser.VectorSelector).Name; !counter.MatchString(name) {
					problems = append(problems, fmt.Sprintf("%s of %s, which is no counter", n.Func.Name, name))
				}
			}
		}
		return nil
	})
	return problems
}

// wrong says what a selector asks for in vain.
func wrong(n *parser.VectorSelector, all map[string]map[string][]string) (problems []string) {
	values, ours := all[n.Name]
	if !ours && !slices.Contains(foreign(), n.Name) {
		return []string{n.Name + " does not exist"}
	}
	for _, m := range n.LabelMatchers {
		if m.Name == model.MetricNameLabel || m.Name == "instance" || m.Name == "job" {
			continue
		}
		if m.Name == "provider" && len(values["provider"]) > 0 {
			continue // they are the operator's
		}
		for alternative := range strings.SplitSeq(m.Value, "|") {
			one := labels.MustNewMatcher(m.Type, m.Name, alternative)
			if !slices.ContainsFunc(values[m.Name], one.Matches) {
				problems = append(problems, fmt.Sprintf("no %s has %s", n.Name, one))
			}
		}
	}
	return problems
}

func TestChecksFindWhatDoesNotExist(t *testing.T) {
	t.Parallel()
	all := exposed(t)
	for expr, want := range map[string]string{
		"sidecar_requests_total{":                                    "parse error",
		"sidecar_request_total":                                      "does not exist",
		`sidecar_requests_total{status="limited"}`:                   "no sidecar_requests_total has",
		`sidecar_requests_total{state="error"}`:                      "no sidecar_requests_total has",
		`sidecar_rejections_total{reason=~"queue_full|dispaced"}`:    "dispaced",
		"rate(sidecar_queue_depth[5m])":                              "no counter",
		"sum(rate(sidecar_queue_latency_seconds[$__rate_interval]))": "does not exist",
	} {
		if got := strings.Join(check(expr, all), "; "); !strings.Contains(got, want) {
			t.Errorf("check(%s) = %q; want %q", expr, got, want)
		}
	}
}

func TestEveryAlertAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(rulesFile)
	if err != nil {
		t.Fatal(err)
	}
	groups, errs := rulefmt.Parse(text, false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil {
		t.FailNow()
	}
	all, page := exposed(t), headings(t)
	named := map[string]bool{}
	for _, group := range groups.Groups {
		for _, rule := range group.Rules {
			named[rule.Alert] = true
			for _, problem := range check(rule.Expr, all) {
				t.Errorf("%s: %s", rule.Alert, problem)
			}
			if got, want := rule.Annotations["runbook_url"], runbook+"#"+strings.ToLower(rule.Alert); got != want {
				t.Errorf("%s leads to %q; want %q", rule.Alert, got, want)
			}
			if !page[rule.Alert] {
				t.Errorf("%s has no heading %q", runbook, rule.Alert)
			}
			if !slices.Contains([]string{"critical", "warning", "info"}, rule.Labels["severity"]) || rule.Annotations["summary"] == "" || rule.Annotations["description"] == "" {
				t.Errorf("%s lacks its severity, summary or description", rule.Alert)
			}
		}
	}
	for name := range page {
		if strings.HasPrefix(name, "Sidecar") && !named[name] {
			t.Errorf("%s explains %s, which is no alert", runbook, name)
		}
	}
}

// headings are those of the runbook.
func headings(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile("../../../" + runbook)
	if err != nil {
		t.Errorf("the alerts lead into it: %v", err)
	}
	all := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^#+ +`?([^`\n]*?)`?$").FindAllSubmatch(text, -1) {
		all[string(m[1])] = true
	}
	return all
}

// TestPromtoolTakesTheAlertsAndTheirTests runs Prometheus' own tool, and with it the situations of rules_test.yaml.
func TestPromtoolTakesTheAlertsAndTheirTests(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	for _, args := range [][]string{{"check", "rules", "rules.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		cmd := exec.Command(tool, args...)
		cmd.Dir = filepath.Dir(rulesFile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// promtool returns the path of the tool: the installed one, or that of Debian's package, of which nothing is installed or started.
func promtool(t *testing.T) string {
	t.Helper()
	if tool, err := exec.LookPath("promtool"); err == nil {
		return tool
	}
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", "apt-get download prometheus || { apt-get update; apt-get download prometheus; }; dpkg-deb -x prometheus_*.deb .")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("there is no promtool, and it cannot be fetched from Debian: install Prometheus (%v)\n%s", err, out)
	}
	return filepath.Join(dir, "usr/bin/promtool")
}

// panel is a panel of Grafana's, as far as it matters here.
type panel struct {
	ID          int
	Type, Title string
	Description string
	Datasource  *source
	GridPos     struct{ X, Y, W, H int }
	Targets     []struct {
		Expr       string
		Datasource *source
	}
}

type source struct{ UID string }

func TestEveryPanelAsksForWhatThereIs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(dashboard)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		UID        string
		Panels     []panel
		Templating struct {
			List []struct{ Name, Type string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	if d.UID != "nim-sidecar" {
		t.Errorf("the uid is %q; want nim-sidecar, so that links to it hold", d.UID)
	}
	if !slices.ContainsFunc(d.Templating.List, func(v struct{ Name, Type string }) bool { return v.Name == "DS_PROMETHEUS" && v.Type == "datasource" }) {
		t.Error("there is no variable DS_PROMETHEUS for the data source")
	}
	all, seen, used := exposed(t), map[string]bool{}, map[string]bool{}
	for i, p := range d.Panels {
		if id := fmt.Sprint(p.ID); seen[id] || p.ID == 0 || p.Title == "" {
			t.Errorf("panel %d has the number %s again, or no title", i, id)
		} else {
			seen[id] = true
		}
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || p.Datasource == nil || p.Datasource.UID != "${DS_PROMETHEUS}" || len(p.Targets) == 0 {
			t.Errorf("%s lacks its description, its queries, or the data source ${DS_PROMETHEUS}", p.Title)
		}
		for _, other := range d.Panels[:i] {
			a, b := p.GridPos, other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("%s lies over %s", p.Title, other.Title)
			}
		}
		for _, query := range p.Targets {
			for _, problem := range check(query.Expr, all) {
				t.Errorf("%s: %s: %s", p.Title, query.Expr, problem)
			}
			for _, name := range regexp.MustCompile(`sidecar_\w+`).FindAllString(query.Expr, -1) {
				used[name] = true
			}
			if query.Datasource == nil || query.Datasource.UID != "${DS_PROMETHEUS}" {
				t.Errorf("%s asks another data source", p.Title)
			}
		}
	}
	for _, name := range []string{"sidecar_queue_depth", "sidecar_queue_latency_seconds_bucket", "sidecar_upstream_refused_ratio", "sidecar_rejections_total"} {
		if !used[name] {
			t.Errorf("no panel shows %s; shown are %q", name, slices.Sorted(maps.Keys(used)))
		}
	}
}
