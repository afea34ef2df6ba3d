package main

import (
	"encoding/json"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"nimsidecar/internal/dash"
)

// idleSidecar returns the address of a sidecar that nobody asks.
func idleSidecar(t *testing.T) string {
	t.Helper()
	upstream := httptest.NewServer(nil)
	t.Cleanup(upstream.Close)
	out, _ := serving(t, nil, "--upstream-url="+upstream.URL+"/v1", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0")
	address := out.await(t.Context(), t, `"msg":"listening","proxy":"([^"]+)"`)
	out.await(t.Context(), t, `"msg":"serving"`)
	return address
}

func TestStatusSaysHowTheSidecarIs(t *testing.T) {
	t.Parallel()
	address := idleSidecar(t)
	env := []string{"SIDECAR_LISTEN=" + address}
	code, stdout, stderr := call(t, env, "status")
	if code != 0 || stderr != "" || strings.Contains(stdout, "\x1b") {
		t.Errorf("status = %d %q %q; want 0 and plain text", code, stdout, stderr)
	}
	for _, want := range []string{"nim-sidecar ", address, "\nNORMAL\n", "QUEUE 0 of 1000\nURGENT ", "LIMITS 0", "PROVIDERS 1 ", " reachable "} {
		if !strings.Contains(stdout, want) {
			t.Errorf("status says\n%s\nwithout %q", stdout, want)
		}
	}
	if _, stdout, _ := call(t, append(env, "LANG=zh_CN.UTF-8"), "status"); !strings.Contains(stdout, "队列 0 / 1000\n") {
		t.Errorf("in a Chinese locale status says\n%s", stdout)
	}
}

func TestStatusAsJSONIsTheSnapshot(t *testing.T) {
	t.Parallel()
	address := idleSidecar(t)
	code, stdout, stderr := call(t, nil, "status", "--json", "--listen", address)
	_, body := get(t, "http://"+address+"/sidecar/api/snapshot") // less than a second later: the same one
	var printed, asked dash.View
	if err := json.Unmarshal([]byte(stdout), &printed); err != nil || code != 0 || stderr != "" {
		t.Fatalf("status --json = %d %q %q, %v; want JSON", code, stdout, stderr, err)
	}
	if err := json.Unmarshal([]byte(body), &asked); err != nil {
		t.Fatal(err)
	}
	if printed.Seq == asked.Seq && stdout != body+"\n" {
		t.Errorf("status --json prints\n%s\nthe snapshot is\n%s", stdout, body)
	}
	if printed.Seq == 0 || printed.Queue.Capacity != 1000 || len(printed.Providers) != 1 {
		t.Errorf("status --json prints %s; want the sidecar's state", stdout)
	}
}

func TestStatusShowsTheAdminTokenOverAUnixSocket(t *testing.T) {
	t.Parallel()
	upstream := httptest.NewServer(nil)
	t.Cleanup(upstream.Close)
	socket := "unix:" + filepath.Join(t.TempDir(), "s.sock")
	env := []string{"SIDECAR_LISTEN=" + socket, "SIDECAR_ADMIN_TOKEN=a-token-of-some-length", "SIDECAR_UPSTREAM_URL=" + upstream.URL + "/v1"}
	out, _ := serving(t, env, "--metrics-listen=127.0.0.1:0")
	out.await(t.Context(), t, `"msg":"serving"`)
	if code, stdout, stderr := call(t, env, "status"); code != 0 || !strings.Contains(stdout, socket) {
		t.Errorf("status = %d %s%s; want 0 and the socket", code, stdout, stderr)
	}
}

func TestStatusAndTopSayInOneSentenceThatNothingAnswers(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"status", "top"} {
		code, stdout, stderr := call(t, nil, command, "--listen=127.0.0.1:1")
		if code != exitFailed || stdout != "" || !strings.HasPrefix(stderr, "nim-sidecar: no sidecar answers at 127.0.0.1:1: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s = %d %q %q; want %d and a sentence", command, code, stdout, stderr, exitFailed)
		}
		if code, _, stderr := call(t, nil, command, "--listen=x"); code != exitSettings || !strings.Contains(stderr, "--listen") {
			t.Errorf("%s with a bad address = %d %q; want %d and the flag", command, code, stderr, exitSettings)
		}
	}
}

func TestTopWithoutATerminalPrintsAgainAndAgain(t *testing.T) {
	t.Parallel()
	out, stop := serving(t, nil, "top", "--listen", idleSidecar(t))
	out.await(t.Context(), t, `(?s)QUEUE 0 of 1000.*QUEUE 0 of 1000`)
	if code := stop(); code != 0 || strings.Contains(out.String(), "\x1b") {
		t.Errorf("top = %d %q; want 0 and plain text", code, out)
	}
}

func TestCompletionKnowsStatusAndTop(t *testing.T) {
	t.Parallel()
	_, script, _ := call(t, nil, "completion", "bash")
	for _, want := range []string{`" status") words="`, `" top") words="`, " --json"} {
		if !strings.Contains(script, want) {
			t.Errorf("completion bash has no %s", want)
		}
	}
}
