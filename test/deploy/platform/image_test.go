package platform

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

func TestBuildKitUnderstandsTheDockerfile(t *testing.T) {
	t.Parallel()
	f, err := os.Open("../../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	tree, err := parser.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	complain := linter.New(&linter.Config{Warn: func(rule, _, _, message string, _ []parser.Range) { t.Errorf("%s: %s", rule, message) }})
	stages, _, err := instructions.Parse(tree.AST, complain)
	if err != nil {
		t.Fatal(err)
	}
	image := stages[len(stages)-1]
	var exec, check []string
	for _, command := range image.Commands {
		switch c := command.(type) {
		case *instructions.EntrypointCommand:
			exec = c.CmdLine
		case *instructions.HealthCheckCommand:
			check = c.Health.Test
		}
	}
	if !slices.Equal(exec, []string{"/nim-sidecar"}) || !slices.Equal(check, []string{"CMD", "/nim-sidecar", "healthcheck"}) {
		t.Errorf("the image runs %q, and its health check %q; want the program itself, without a shell", exec, check)
	}
}

func TestComposeUnderstandsItsFile(t *testing.T) {
	t.Parallel()
	const name = "../../../compose.yaml"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: "/here", ConfigFiles: []types.ConfigFile{{Filename: name, Content: text}}, Environment: types.Mapping{},
	}, func(o *loader.Options) { o.SetProjectName("nim-sidecar", true) })
	if err != nil {
		t.Fatal(err)
	}
	s := project.Services["nim-sidecar"]
	if !s.ReadOnly || len(s.Secrets) != 1 || s.StopGracePeriod == nil || s.StopGracePeriod.String() != "40s" {
		t.Errorf("read_only %t, %d secrets, stop_grace_period %v; want true, 1, 40s", s.ReadOnly, len(s.Secrets), s.StopGracePeriod)
	}
	if file := project.Secrets["nvidia_api_key"].File; !strings.HasSuffix(file, "/secrets/nvidia_api_key") {
		t.Errorf("the key is in %q; want secrets/nvidia_api_key", file)
	}
}
