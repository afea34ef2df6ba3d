//go:build unix

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// child is nim-sidecar in a process of its own.
type child struct {
	*exec.Cmd
	out *output
}

func startChild(t *testing.T, args ...string) child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := child{exec.CommandContext(t.Context(), exe, args...), newOutput()}
	c.Env = append(os.Environ(), asMain+"=1")
	c.Stdout, c.Stderr = c.out, c.out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c child) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := c.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func TestSignals(t *testing.T) {
	t.Parallel()
	c := startChild(t, "serve", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--upstream-url=http://127.0.0.1:1/v1", "--provider-name=nvidia")
	c.out.await(t.Context(), t, `"msg":"serving"`)
	c.signal(t, syscall.SIGHUP)
	c.out.await(t.Context(), t, "settings read again")
	c.signal(t, syscall.SIGTERM)
	if err := c.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v; want exit code 0:\n%s", err, c.out)
	}
	c.out.await(t.Context(), t, `"msg":"stopped"`)
}

func TestASecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/slow") {
			close(asked)
			<-r.Context().Done()
		}
	}))
	defer upstream.Close()
	c := startChild(t, "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--upstream-url="+upstream.URL+"/v1", "--shutdown-timeout=1h")
	address := c.out.await(t.Context(), t, `"msg":"listening","proxy":"([^"]+)"`)
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, "GET /v1/slow HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-asked
	c.signal(t, syscall.SIGTERM)
	c.out.await(t.Context(), t, `"msg":"draining"`)
	c.signal(t, syscall.SIGTERM)
	var ended *exec.ExitError
	if err := c.Wait(); !errors.As(err, &ended) || !strings.Contains(ended.String(), "terminated") {
		t.Errorf("after the second SIGTERM: %v; want terminated", err)
	}
	if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil {
		t.Errorf("the cut request was answered %q", line)
	}
}

func TestBashCompletes(t *testing.T) {
	t.Parallel()
	_, script, _ := call(t, nil, "completion", "bash")
	tests := []struct {
		line string // its last word is being typed
		want string
	}{
		{"nim-sidecar he", "healthcheck"},
		{"nim-sidecar --queue-c", "--queue-capacity"},
		{"nim-sidecar config ", "check print schema example"},
		{"nim-sidecar config print --log-l", "--log-level"},
		{"nim-sidecar serve --listen :1 --metrics-", "--metrics-listen"},
		{"nim-sidecar completion f", "fish"},
		{"nim-sidecar demo --upstream", ""},
	}
	for _, tt := range tests {
		words := strings.Split(tt.line, " ")
		for i, w := range words {
			words[i] = "'" + w + "'"
		}
		command := exec.CommandContext(t.Context(), "bash", "--norc", "-c", fmt.Sprintf(
			"%s\nCOMP_WORDS=(%s); COMP_CWORD=%d; _nim_sidecar; echo ${COMPREPLY[@]}", script, strings.Join(words, " "), len(words)-1))
		got, err := command.CombinedOutput()
		if err != nil || !slices.Equal(strings.Fields(string(got)), strings.Fields(tt.want)) {
			t.Errorf("%q completes to %q, %v; want %q", tt.line, got, err, tt.want)
		}
	}
}
