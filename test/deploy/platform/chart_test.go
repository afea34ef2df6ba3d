package platform

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/yaml"
)

const (
	deploy  = "../../../deploy"
	chart   = deploy + "/helm/nim-sidecar"
	central = deploy + "/kubernetes/central.yaml"
)

// render renders the chart as helm install would, with values given as YAML, and returns the manifests, and NOTES.txt, by file.
func render(t *testing.T, values string) (map[string]string, error) {
	t.Helper()
	c, err := loader.Load(chart)
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, given, chartutil.ReleaseOptions{Name: "nim-sidecar", Namespace: "agents", IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return nil, err // of the schema
	}
	files, err := engine.Engine{Strict: true}.Render(c, all)
	short := map[string]string{}
	for name, text := range files {
		if text = strings.TrimSpace(text); text != "" && path.Base(name)[0] != '_' {
			short[path.Base(name)] = text + "\n"
		}
	}
	return short, err
}

// kinds makes an empty object of each kind that there may be.
func kinds() map[string]func() any {
	return map[string]func() any{
		"Deployment":            func() any { return new(appsv1.Deployment) },
		"Job":                   func() any { return new(batchv1.Job) },
		"Service":               func() any { return new(corev1.Service) },
		"ServiceAccount":        func() any { return new(corev1.ServiceAccount) },
		"ConfigMap":             func() any { return new(corev1.ConfigMap) },
		"PersistentVolumeClaim": func() any { return new(corev1.PersistentVolumeClaim) },
		"NetworkPolicy":         func() any { return new(networkingv1.NetworkPolicy) },
		"ServiceMonitor":        func() any { return new(map[string]any) }, // the operator's: its types would be another module
	}
}

// decode reads a manifest into Kubernetes' own type: a field that it does not have, or has twice, is an error, as with a strict API server.
func decode(t *testing.T, name, text string) any {
	t.Helper()
	var head struct {
		Kind     string
		Metadata struct{ Name string }
	}
	if err := yaml.Unmarshal([]byte(text), &head); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, text)
	}
	empty := kinds()[head.Kind]
	if empty == nil {
		t.Fatalf("%s has the kind %q, which this test does not know", name, head.Kind)
	}
	if bad := validation.IsDNS1123Subdomain(head.Metadata.Name); len(bad) > 0 {
		t.Errorf("%s: the name %q: %s", name, head.Metadata.Name, bad)
	}
	object := empty()
	if err := yaml.UnmarshalStrict([]byte(text), object); err != nil {
		t.Errorf("%s is no %s: %v\n%s", name, head.Kind, err, text)
	}
	return object
}

// find returns the one object of a type among manifests.
func find[T any](t *testing.T, files map[string]string) (found *T) {
	t.Helper()
	for name, text := range files {
		if !strings.HasSuffix(name, ".yaml") {
			continue
		}
		if object, ok := decode(t, name, text).(*T); ok {
			found = object
		}
	}
	if found == nil {
		t.Fatalf("no %T among %q", found, slices.Sorted(maps.Keys(files)))
	}
	return found
}

func TestTheChartRendersToWhatKubernetesTakes(t *testing.T) {
	t.Parallel()
	const usual = "configmap.yaml"
	for _, tt := range []struct {
		name, values  string
		with, without []string // files
	}{
		{"as it is", "", []string{"deployment.yaml", "service.yaml", "networkpolicy.yaml", "pvc.yaml", "serviceaccount.yaml"}, []string{usual, "servicemonitor.yaml"}},
		{"with a settings file", "config: {providers: [{limits: 40-M}]}", []string{usual}, nil},
		{"open, without keys", "{clients: {existingSecret: '', open: true}, apiKey: {existingSecret: ''}}", nil, nil},
		{"without anything to keep", "{persistence: {enabled: false}, networkPolicy: {enabled: false}}", nil, []string{"pvc.yaml", "networkpolicy.yaml"}},
		{"with a claim that exists", "{persistence: {existingClaim: mine}}", nil, []string{"pvc.yaml"}},
		{"for the operator", "{serviceMonitor: {enabled: true, labels: {release: prometheus}}}", []string{"servicemonitor.yaml"}, nil},
		{
			"with everything else", "{podAnnotations: {a: b}, podLabels: {c: d}, nodeSelector: {e: f}, tolerations: [{operator: Exists}], affinity: {nodeAffinity: {}}, " +
				"priorityClassName: high, imagePullSecrets: [{name: s}], extraEnv: [{name: SIDECAR_LOG_LEVEL, value: debug}], fullnameOverride: other, " +
				"serviceAccount: {create: false}, networkPolicy: {clients: [{namespaceSelector: {}}]}, image: {digest: 'sha256:" + strings.Repeat("0", 64) + "'}}",
			nil,
			[]string{"serviceaccount.yaml"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files, err := render(t, tt.values)
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range files {
				if strings.HasSuffix(name, ".yaml") {
					decode(t, name, text)
				}
			}
			for _, name := range tt.with {
				if files[name] == "" {
					t.Errorf("there is no %s", name)
				}
			}
			for _, name := range tt.without {
				if files[name] != "" {
					t.Errorf("there is a %s:\n%s", name, files[name])
				}
			}
			wantHardened(t, find[appsv1.Deployment](t, files).Spec.Template.Spec)
		})
	}
}

func TestHelmLintsTheChart(t *testing.T) {
	t.Parallel()
	linted := lint.AllWithKubeVersion(chart, nil, "agents", nil)
	for _, m := range linted.Messages {
		if m.Severity > support.InfoSev { // an icon is only a recommendation
			t.Error(m)
		}
	}
}

func TestTheSchemaRefusesValuesThatCannotBe(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		"replicas: 2":                   "replicas", // two would spend the quota twice
		"clients: {existingSecret: ''}": "clients",
		"image: {digest: sha256:abc}":   "digest",
		"service: {port: 99999}":        "port",
		"persistence: {size: much}":     "size",
		"config: {listen: ':80'}":       "config", // probes and service know the ports
		"goMemLimit: 900M":              "goMemLimit",
		"networkPolicy: {client: []}":   "client",
	} {
		if _, err := render(t, values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("rendering with %s: %v; want an error about %s", values, err, want)
		}
	}
}

// wantHardened checks the pod security standard "restricted", and what else a pod of ours promises.
func wantHardened(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	for what, holds := range map[string]bool{
		"no token of the API":                pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken,
		"no variables of services":           pod.EnableServiceLinks != nil && !*pod.EnableServiceLinks,
		"runAsNonRoot":                       pod.SecurityContext.RunAsNonRoot != nil && *pod.SecurityContext.RunAsNonRoot,
		"a numeric user":                     pod.SecurityContext.RunAsUser != nil && *pod.SecurityContext.RunAsUser == 65532,
		"seccomp":                            pod.SecurityContext.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault,
		"a grace above the shutdown timeout": *pod.TerminationGracePeriodSeconds > 30,
	} {
		if !holds {
			t.Errorf("the pod lacks: %s", what)
		}
	}
	for _, c := range slices.Concat(pod.InitContainers, pod.Containers) {
		s := c.SecurityContext
		if s == nil || s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" {
			t.Errorf("container %s may get more rights", c.Name)
		}
		if c.Name != "nim-sidecar" {
			continue
		}
		if s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Error("the root of nim-sidecar is not read-only")
		}
		if c.Resources.Limits.Memory().IsZero() || c.LivenessProbe == nil || c.StartupProbe == nil {
			t.Error("nim-sidecar has no limit of memory, or no liveness or startup probe")
		}
		if p := c.LivenessProbe; p != nil && p.HTTPGet.Path != "/livez" {
			t.Errorf("liveness asks %s; want /livez, which no provider can fail", p.HTTPGet.Path)
		}
		mounted := map[string]bool{}
		for _, v := range pod.Volumes {
			mounted[v.Name] = true
		}
		for _, m := range c.VolumeMounts {
			if !mounted[m.Name] {
				t.Errorf("%s is mounted from the volume %s, which there is not", m.MountPath, m.Name)
			}
		}
		wantSettings(t, c.Env)
	}
}

// wantSettings checks that what is set is a setting.
func wantSettings(t *testing.T, env []corev1.EnvVar) {
	t.Helper()
	example, err := os.ReadFile("../../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range env {
		if strings.HasPrefix(v.Name, "SIDECAR_") && !regexp.MustCompile(`(?m)^#`+v.Name+`=`).Match(example) {
			t.Errorf("%s is no setting", v.Name)
		}
	}
}

func TestTheDeploymentAnswersToTheNamesOfItsService(t *testing.T) {
	t.Parallel()
	files, err := render(t, "service: {port: 80}")
	if err != nil {
		t.Fatal(err)
	}
	d, s := find[appsv1.Deployment](t, files), find[corev1.Service](t, files)
	if got, want := d.Spec.Template.Labels, s.Spec.Selector; !contains(got, want) {
		t.Errorf("the pod has the labels %v; the service selects %v", got, want)
	}
	if got, want := d.Spec.Template.Labels, find[networkingv1.NetworkPolicy](t, files).Spec.PodSelector.MatchLabels; !contains(got, want) {
		t.Errorf("the pod has the labels %v; the network policy selects %v", got, want)
	}
	hosts := ""
	for _, v := range d.Spec.Template.Spec.Containers[0].Env {
		if v.Name == "SIDECAR_ALLOWED_HOSTS" {
			hosts = v.Value
		}
	}
	if want := "nim-sidecar,nim-sidecar.agents,nim-sidecar.agents.svc,nim-sidecar.agents.svc.cluster.local"; hosts != want {
		t.Errorf("it answers to %q; want %q", hosts, want)
	}
	if *d.Spec.Replicas != 1 || d.Spec.Strategy.Type != appsv1.RecreateDeploymentStrategyType {
		t.Errorf("%d replicas, %s; want 1, Recreate: two would spend the quota twice", *d.Spec.Replicas, d.Spec.Strategy.Type)
	}
}

func contains(all, some map[string]string) bool {
	for key, value := range some {
		if all[key] != value {
			return false
		}
	}
	return len(some) > 0
}

func TestASettingsFileStartsThePodAnewWhenItChanges(t *testing.T) {
	t.Parallel()
	sums := map[string]bool{}
	for _, limit := range []string{"40-M", "20-M"} {
		files, err := render(t, "config: {providers: [{limits: "+limit+"}]}")
		if err != nil {
			t.Fatal(err)
		}
		sums[find[appsv1.Deployment](t, files).Spec.Template.Annotations["checksum/config"]] = true
		if got := find[corev1.ConfigMap](t, files).Data["config.yaml"]; !strings.Contains(got, "limits: "+limit) {
			t.Errorf("the settings file is %q; want the limit in it", got)
		}
	}
	if len(sums) != 2 {
		t.Errorf("two settings files have the checksums %v; want two", sums)
	}
}

//nolint:gochecknoglobals // a flag of the test
var update = flag.Bool("update", false, "write deploy/kubernetes/central.yaml from the chart")

// TestThePlainManifestsAreTheChartWithItsDefaults keeps central.yaml, for those without Helm, in step with the chart.
func TestThePlainManifestsAreTheChartWithItsDefaults(t *testing.T) {
	t.Parallel()
	files, err := render(t, "")
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString(`# One central nim-sidecar for the namespace agents: the chart in deploy/helm with its defaults, written by
#   go -C test/deploy/platform test -run Plain . -args -update
# It needs a secret:
#   kubectl -n agents create secret generic nim-sidecar --from-literal=api-keys=nvapi-... --from-literal=client-keys=alice:KEY1,bob:KEY2
`)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, ".yaml") {
			fmt.Fprintf(&want, "---\n%s", regexp.MustCompile(`(?m)^ +(app.kubernetes.io/managed-by|helm.sh/chart): .*\n`).ReplaceAllString(files[name], ""))
		}
	}
	if *update {
		if err := os.WriteFile(central, []byte(want.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(central); err != nil || string(got) != want.String() {
		t.Errorf("%s is not what the chart renders to: write it anew with -args -update (%v)", central, err)
	}
	for i, text := range strings.Split(want.String(), "---\n")[1:] {
		decode(t, fmt.Sprintf("%s, part %d", central, i), text)
	}
}

func TestTheSidecarInAPodEndsWithItsApplication(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(deploy + "/kubernetes/sidecar.yaml")
	if err != nil {
		t.Fatal(err)
	}
	pod := decode(t, "sidecar.yaml", string(text)).(*batchv1.Job).Spec.Template.Spec
	wantHardened(t, pod)
	c := pod.InitContainers[0]
	if c.RestartPolicy == nil || *c.RestartPolicy != corev1.ContainerRestartPolicyAlways {
		t.Error("it is an init container that must end; want restartPolicy Always")
	}
	if got := strings.Join(c.StartupProbe.Exec.Command, " "); got != "/nim-sidecar healthcheck --ready" {
		t.Errorf("the application starts after %q; want the sidecar to be ready", got)
	}
	for _, v := range c.Env {
		if v.Name == "SIDECAR_LISTEN" && !strings.HasPrefix(v.Value, "127.0.0.1:") {
			t.Errorf("the proxy listens on %s; want loopback", v.Value)
		}
	}
}
