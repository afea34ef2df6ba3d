package deploy

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/goccy/go-yaml"
)

// instruction is one of a Dockerfile.
type instruction struct{ name, text string }

// stages cuts a Dockerfile into its stages, comments left out and lines joined.
func stages(text string) (all [][]instruction) {
	joined := strings.ReplaceAll(strings.Join(lines(text), "\n"), "\\\n", " ")
	for line := range strings.SplitSeq(joined, "\n") {
		name, rest, _ := strings.Cut(line, " ")
		if name == "FROM" {
			all = append(all, nil)
		}
		all[len(all)-1] = append(all[len(all)-1], instruction{name, strings.Join(strings.Fields(rest), " ")})
	}
	return all
}

// of returns the texts of all instructions of a name.
func of(stage []instruction, name string) (all []string) {
	for _, i := range stage {
		if i.name == name {
			all = append(all, i.text)
		}
	}
	return all
}

// last is the stage that becomes the image, with its ENV as NAME=value.
func last(t *testing.T) (stage []instruction, environ []string) {
	t.Helper()
	all := stages(read(t, "Dockerfile"))
	stage = all[len(all)-1]
	for _, text := range of(stage, "ENV") {
		environ = append(environ, strings.Fields(text)...)
	}
	return stage, environ
}

func TestTheImageHoldsNothingButTheProgram(t *testing.T) {
	t.Parallel()
	all := stages(read(t, "Dockerfile"))
	image, environ := last(t)
	build := all[0]
	if from := of(build, "FROM"); !regexp.MustCompile(`golang:\d+\.\d+\.\d+-\w+ AS build$`).MatchString(from[0]) {
		t.Errorf("it is built in %q; want a whole version of Go", from)
	}
	run := strings.Join(of(build, "RUN"), " && ")
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "-buildvcs=true", "ca-certificates.crt"} {
		if !strings.Contains(run, want) {
			t.Errorf("the build lacks %s: %s", want, run)
		}
	}
	for name, want := range map[string][]string{
		"FROM": {"scratch"}, "USER": {"65532:65532"}, "ENTRYPOINT": {`["/nim-sidecar"]`}, "CMD": {`["serve"]`}, "RUN": nil, "EXPOSE": {"9190 9191"},
		"VOLUME": {"/var/lib/nim-sidecar"},
	} {
		if got := of(image, name); !slices.Equal(got, want) {
			t.Errorf("%s is %q; want %q", name, got, want)
		}
	}
	for _, want := range []string{"SIDECAR_LISTEN=:9190", "SIDECAR_METRICS_LISTEN=:9191", "SIDECAR_STATE_DIR=/var/lib/nim-sidecar"} {
		if !slices.Contains(environ, want) {
			t.Errorf("the environment is %q; want %s", environ, want)
		}
	}
	if strings.Contains(strings.Join(environ, " "), "ALLOW_OPEN") {
		t.Error("the image is open to everybody by default")
	}
	labels := strings.Join(of(image, "LABEL"), " ")
	for want := range strings.FieldsSeq("title description version revision created licenses documentation") {
		if !strings.Contains(labels, "org.opencontainers.image."+want+"=") {
			t.Errorf("there is no label %s", want)
		}
	}
}

func TestNoFileOfGitIsKeptFromTheImagesBuild(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("git", "-C", root, "ls-files").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, pattern := range lines(read(t, ".dockerignore")) {
		anywhere := strings.TrimPrefix(pattern, "**/")
		for file := range strings.FieldsSeq(string(out)) {
			parts := strings.Split(file, "/")
			for i := range parts {
				whole, _ := filepath.Match(pattern, strings.Join(parts[:i+1], "/"))
				part, _ := filepath.Match(anywhere, parts[i])
				if whole || anywhere != pattern && part {
					t.Errorf("%s keeps %s away, and the version would say that the tree was changed", pattern, file)
				}
			}
		}
		if pattern == ".git" {
			t.Error("without .git the binary would not know its version")
		}
	}
	if got := lines(read(t, ".dockerignore")); !slices.Contains(got, "secrets") || !slices.Contains(got, ".env") {
		t.Errorf("the build gets %q; want neither secrets nor .env", got)
	}
}

// ports returns n free ones.
func ports(t *testing.T, n int) (free []int) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		free = append(free, l.Addr().(*net.TCPAddr).Port)
	}
	return free
}

// inside returns a command in the root directory of an image, as its user. Root may enter it; who is not root may as well, as what it
// takes for the image's user in a namespace of its own.
func inside(dir string, args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	const user = 65532
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: dir, Credential: &syscall.Credential{Uid: user, Gid: user}}
	if os.Getuid() != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot: dir, Cloneflags: syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: user, HostID: os.Getgid(), Size: 1}},
		}
	}
	cmd.Dir = "/"
	return cmd
}

// imageRoot makes the image's root directory, as its last stage says, with nothing in it that its user could write but its state.
func imageRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = os.Chmod(dir, 0o755)
		_ = os.RemoveAll(dir)
	})
	if err := os.Link(binary, filepath.Join(dir, "nim-sidecar")); err != nil { // a copy could still be open for writing when it is started
		t.Fatal(err)
	}
	state := filepath.Join(dir, "var/lib/nim-sidecar")
	if err := os.MkdirAll(state, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		err = os.Chown(state, 65532, 65532)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"var/lib", "var", "."} {
		if err := os.Chmod(filepath.Join(dir, part), 0o555); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// serving starts the program in an image's root directory, on ports that nobody has, and returns it with its environment.
func serving(t *testing.T, dir string, environ []string) (*program, []string) {
	t.Helper()
	for {
		free := ports(t, 2)
		on := append(slices.Clone(environ), fmt.Sprintf("SIDECAR_LISTEN=:%d", free[0]), fmt.Sprintf("SIDECAR_METRICS_LISTEN=:%d", free[1]))
		p := start(t, inside(dir, "/nim-sidecar", "serve"), on...)
		serves := until(func() bool { return p.hasEnded() || strings.Contains(p.said.String(), `"msg":"serving"`) })
		switch {
		case serves && !p.hasEnded():
			return p, on
		case !serves || p.ProcessState.ExitCode() != 69: // 69: somebody else took a port meanwhile
			t.Fatal("it does not serve")
		}
	}
}

// TestTheImagesRootIsEnough runs the program alone in the image's root directory, as its user, and asks it as the health check does.
func TestTheImagesRootIsEnough(t *testing.T) {
	t.Parallel()
	image, environ := last(t)
	dir := imageRoot(t)
	p := start(t, inside(dir, "/nim-sidecar", "serve"), environ...)
	if code := p.wait(t); code != 78 || !strings.Contains(p.said.String(), "SIDECAR_ALLOW_OPEN") {
		t.Fatalf("without client keys it ends with %d; want 78, and how to allow it", code)
	}
	p, environ = serving(t, dir, append(environ, "SIDECAR_CLIENT_KEYS=alice:key-of-alice"))
	var check []string
	_, command, _ := strings.Cut(of(image, "HEALTHCHECK")[0], "CMD ")
	if err := json.Unmarshal([]byte(command), &check); err != nil {
		t.Fatalf("HEALTHCHECK CMD %s: %v; want the exec form, since there is no shell", command, err)
	}
	ask := start(t, inside(dir, check...), environ...)
	if code := ask.wait(t); code != 0 {
		t.Errorf("the health check of a running sidecar ends with %d; want 0: %s", code, ask.said)
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d after SIGTERM; want 0", code)
	}
	ask = start(t, inside(dir, check...), environ...)
	if code := ask.wait(t); code != 1 {
		t.Errorf("the health check of nobody ends with %d; want 1", code)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "var/lib/nim-sidecar")); err != nil || len(files) == 0 {
		t.Errorf("its state is %v, %v; want files", files, err)
	}
}

// composition is what compose.yaml may say.
type composition struct {
	Services map[string]struct {
		Build, Image, User, Restart string
		Ports                       []string
		Environment                 map[string]string
		Secrets, Volumes            []string
		Healthcheck                 struct {
			Test        []string
			Interval    string
			Timeout     string
			StartPeriod string `yaml:"start_period"`
			Retries     int
		}
		StopGracePeriod string         `yaml:"stop_grace_period"`
		ReadOnly        bool           `yaml:"read_only"`
		CapDrop         []string       `yaml:"cap_drop"`
		SecurityOpt     []string       `yaml:"security_opt"`
		MemLimit        string         `yaml:"mem_limit"`
		PidsLimit       int            `yaml:"pids_limit"`
		Ulimits         map[string]int `yaml:"ulimits"`
		Logging         map[string]any
	}
	Volumes map[string]any
	Secrets map[string]struct{ File string }
}

func TestTheComposeFileIsHardened(t *testing.T) {
	t.Parallel()
	var c composition
	if err := yaml.NewDecoder(strings.NewReader(read(t, "compose.yaml")), yaml.Strict()).Decode(&c); err != nil {
		t.Fatal(err)
	}
	s := c.Services["nim-sidecar"]
	image, _ := last(t)
	if user := of(image, "USER")[0]; s.User != user || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		t.Errorf("user %s, read_only %t, cap_drop %q, security_opt %q; want %s, true, ALL and no-new-privileges", s.User, s.ReadOnly, s.CapDrop, s.SecurityOpt, user)
	}
	if s.MemLimit == "" || s.PidsLimit == 0 || s.Ulimits["nofile"] == 0 {
		t.Errorf("mem_limit %q, pids_limit %d, ulimits %v; want bounds", s.MemLimit, s.PidsLimit, s.Ulimits)
	}
	for _, port := range s.Ports {
		if s.Environment["SIDECAR_ALLOW_OPEN"] == "true" && !strings.HasPrefix(port, "127.0.0.1:") {
			t.Errorf("the port %s is open to everybody, and no client needs a key", port)
		}
	}
	if _, command, _ := strings.Cut(of(image, "HEALTHCHECK")[0], "CMD "); fmt.Sprintf("%q", s.Healthcheck.Test[1:]) != strings.ReplaceAll(command, ",", "") {
		t.Errorf("the health check is %q; want the image's, %s", s.Healthcheck.Test, command)
	}
	for name, value := range s.Environment {
		if key := strings.TrimSuffix(name, "_FILE"); name != "GOMEMLIMIT" && !strings.Contains(read(t, ".env.example"), "\n#"+key+"=") {
			t.Errorf("%s is no setting", name)
		}
		if secret, ok := strings.CutPrefix(value, "/run/secrets/"); ok && (!slices.Contains(s.Secrets, secret) || c.Secrets[secret].File == "") {
			t.Errorf("%s is no secret of the service", value)
		}
		if strings.HasPrefix(value, "nvapi-") {
			t.Errorf("%s holds a key", name)
		}
	}
}
