package deploy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

const (
	service = "deploy/systemd/nim-sidecar.service"
	socket  = "deploy/systemd/nim-sidecar.socket"
)

// tool returns the path of a program, which Debian's package brings where it is missing.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	if found, err := exec.LookPath(name); err == nil {
		return found
	}
	out, err := exec.Command("sh", "-ec", "apt-get install -y "+debian+" || { apt-get update; apt-get install -y "+debian+"; }").CombinedOutput()
	if err != nil {
		t.Fatalf("there is no %s, and it cannot be installed: install %s (%v)\n%s", name, debian, err, out)
	}
	found, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheUnitIsHardened(t *testing.T) {
	t.Parallel()
	analyze := tool(t, "systemd-analyze", "systemd")
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=15", filepath.Join(root, service)).CombinedOutput() // tenths
	if err != nil {
		t.Errorf("systemd-analyze security: %v; want an exposure of at most 1.5\n%s", err, out)
	}
	verdict := strings.TrimSpace(string(out[strings.LastIndex(strings.TrimSpace(string(out)), "\n")+1:]))
	t.Log(verdict)
	if !strings.Contains(verdict, "OK") {
		t.Errorf("the verdict is %q; want OK", verdict)
	}
}

func TestSystemdUnderstandsTheUnits(t *testing.T) {
	t.Parallel()
	analyze := tool(t, "systemd-analyze", "systemd")
	dir := t.TempDir()
	for _, name := range []string{service, socket} {
		// it looks whether the program and the man page are there, which they are once the package is installed
		text := strings.ReplaceAll(strings.ReplaceAll(read(t, name), "/usr/bin/nim-sidecar", binary), "man:nim-sidecar(1)", "")
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(name)), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(analyze, "verify", filepath.Join(dir, filepath.Base(service)), filepath.Join(dir, filepath.Base(socket)))
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "nim-sidecar.") {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

func TestTheUnitSetsWhatTheProgramReads(t *testing.T) {
	t.Parallel()
	example := read(t, ".env.example")
	unit := map[string]string{}
	for _, line := range lines(read(t, service)) {
		key, value, _ := strings.Cut(line, "=")
		if key == "Environment" {
			key, value, _ = strings.Cut(value, "=")
			if !strings.Contains(example, "\n#"+strings.TrimSuffix(key, "_FILE")+"=") && key != "GOMEMLIMIT" {
				t.Errorf("%s is no setting", key)
			}
		}
		unit[key] = value
	}
	for key, want := range map[string]string{
		"Type": "notify", "WatchdogSec": "30", "RestartPreventExitStatus": "2 78", "DynamicUser": "yes", "LimitCORE": "0", "MemoryDenyWriteExecute": "yes",
		"ExecStart": "/usr/bin/nim-sidecar serve", "StateDirectory": "nim-sidecar", "SIDECAR_STATE_DIR": "%S/nim-sidecar",
		"LoadCredential": "nvidia_api_key:/etc/nim-sidecar/nvidia_api_key", "NVIDIA_API_KEY_FILE": "%d/nvidia_api_key",
	} {
		if unit[key] != want {
			t.Errorf("%s=%s; want %s", key, unit[key], want)
		}
	}
	for _, key := range []string{"MemoryMax", "TasksMax", "LimitNOFILE", "TimeoutStopSec"} {
		if unit[key] == "" {
			t.Errorf("the unit does not bound %s", key)
		}
	}
	if !strings.Contains(read(t, socket), "\nListenStream=127.0.0.1:9190\n") {
		t.Error("the socket is not where the program listens by default")
	}
}

// manager is a service manager's end of sd_notify.
type manager struct {
	conn *net.UnixConn
	path string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "ns") // the name of t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(); _ = os.RemoveAll(dir) })
	return &manager{conn, path}
}

// hears returns the next message that is about something else than the watchdog, and how often that was fed before.
func (m *manager) hears(t *testing.T) (message string, fed int) {
	t.Helper()
	buffer := make([]byte, 4096)
	for {
		n, err := m.conn.Read(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if message = string(buffer[:n]); message != "WATCHDOG=1" {
			return message, fed
		}
		fed++
	}
}

func TestTheManagerHearsOfStartReloadAndStop(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	p := start(t, exec.Command(binary), "SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0", "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=300000")
	for _, step := range []struct {
		signal syscall.Signal // comes first
		want   []string
	}{
		{0, []string{"READY=1\nSTATUS=serving on 127.0.0.1:"}},
		{syscall.SIGHUP, []string{"RELOADING=1\nMONOTONIC_USEC=", "READY=1"}},
		{syscall.SIGTERM, []string{"STOPPING=1\nSTATUS=draining"}},
	} {
		if step.signal != 0 {
			if err := p.Process.Signal(step.signal); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range step.want {
			if got, _ := m.hears(t); !strings.HasPrefix(got, want) {
				t.Errorf("after %v the manager hears %q; want %q", step.signal, got, want)
			}
		}
	}
	if code := p.wait(t); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// Whether it starves when the loop hangs is tested in internal/app.
func TestAWatchdogIsFedWhileTheProcessWorks(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	p := start(t, exec.Command(binary), "SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0", "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=30000")
	m.hears(t)
	buffer := make([]byte, 64)
	for range 5 {
		if n, err := m.conn.Read(buffer); err != nil || string(buffer[:n]) != "WATCHDOG=1" {
			t.Fatalf("the manager hears %q, %v; want WATCHDOG=1", buffer[:n], err)
		}
	}
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.hears(t)
}

// activate starts the program as systemd does that passes it a listener.
func activate(t *testing.T, l *net.TCPListener, environ ...string) *program {
	t.Helper()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	cmd := exec.Command("/bin/sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=nim-sidecar.socket exec "+binary+" serve") // only the shell knows the number
	cmd.ExtraFiles = []*os.File{f}
	return start(t, cmd, append([]string{"SIDECAR_METRICS_LISTEN=127.0.0.1:0"}, environ...)...)
}

func tcp(t *testing.T, address string) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

// ask asks whether the process lives, on a connection of its own, and waits as long as it takes.
func ask(address string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	status, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && !strings.Contains(status, " 200 ") {
		err = fmt.Errorf("answered %q", status)
	}
	return err
}

// TestARestartRefusesNoConnection asks without a pause while the program is stopped and started again, three times.
func TestARestartRefusesNoConnection(t *testing.T) {
	t.Parallel()
	l := tcp(t, "127.0.0.1:0")
	address := l.Addr().String()
	stop, done, asked := make(chan struct{}), make(chan error, 1), make(chan struct{}, 1<<20)
	go func() {
		for {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if err := ask(address); err != nil {
				done <- err
				return
			}
			asked <- struct{}{}
		}
	}()
	for range 3 {
		p := activate(t, l)
		for range 20 {
			select {
			case <-asked:
			case err := <-done:
				t.Fatalf("a client met %v; want an answer, however late", err)
			}
		}
		if !strings.Contains(p.said.String(), `"proxy":"`+address+`"`) {
			t.Errorf("the program does not say that it listens on %s", address)
		}
		if err := p.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if code := p.wait(t); code != 0 {
			t.Errorf("exit code %d; want 0", code)
		}
	}
	last := activate(t, l) // for the client that waits now
	close(stop)
	if err := <-done; err != nil {
		t.Errorf("a client met %v; want an answer, however late", err)
	}
	_ = last.Process.Signal(syscall.SIGTERM)
	last.wait(t)
}

func TestAPassedListenerIsHeldToTheSameRules(t *testing.T) {
	t.Parallel()
	p := activate(t, tcp(t, "0.0.0.0:0"))
	if code := p.wait(t); code != 78 || !strings.Contains(p.said.String(), "no client needs a key") {
		t.Errorf("open to everybody it ends with %d; want 78, and why", code)
	}
	p = activate(t, tcp(t, "0.0.0.0:0"), "SIDECAR_CLIENT_KEYS=alice:key-of-alice")
	if !until(func() bool { return strings.Contains(p.said.String(), `"msg":"serving"`) }) {
		t.Error("with client keys it does not serve")
	}
}

func TestOneSocketIsPassedAndNoMore(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("/bin/sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=2 exec "+binary)
	if p := start(t, cmd); p.wait(t) != 78 || !strings.Contains(p.said.String(), "exactly one ListenStream") {
		t.Errorf("with two sockets it ends with %d; want 78, and why", p.ProcessState.ExitCode())
	}
	cmd = exec.Command("/bin/sh", "-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec "+binary+" 3</dev/null")
	if p := start(t, cmd); p.wait(t) != 78 || !strings.Contains(p.said.String(), "no listening stream socket") {
		t.Errorf("with a file in the place of a socket it ends with %d; want 78, and why", p.ProcessState.ExitCode())
	}
}
