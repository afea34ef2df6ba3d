package faults

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	// secondKey is the key of a second provider, clientKey a client's to the sidecar, and adminToken an administrator's.
	secondKey  = "sk-second-canary-77aa11e0"
	clientKey  = "sk-client-canary-0123456789abcdef"
	adminToken = "tok-admin-canary-5f3a90c1"

	// messagesBody is a request as Anthropic's SDK writes it.
	messagesBody = `{"model":"m1","max_tokens":9,"messages":[{"role":"user","content":"` + canaryPrompt + `"}]}`
	// apiPath is where the dashboard's paths begin.
	apiPath = "/sidecar/api/"
)

// secrets are all that must be seen by nobody but the one whom it is for.
var secrets = []string{canaryKey, secondKey, clientKey, adminToken}

// configured writes a settings file and returns the variable that names it.
func configured(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return "SIDECAR_CONFIG=" + file
}

// bearer is the header line that shows a key.
func bearer(key string) string { return "Authorization: Bearer " + key }

// household is a settings file with a secret of every kind: two providers, the second of which speaks OpenAI's format only, a client
// and an administrator.
func household(first, second *upstream) string {
	return fmt.Sprintf(`
providers:
  - {name: one, url: "%s", speaks: both, limits: 100000-S, accounts: [{keys: ["%s"]}]}
  - {name: two, url: "%s", limits: 100000-S, accounts: [{keys: ["%s"]}]}
clients:
  - {name: me, key: "%s"}
admin: {token: "%s"}
`, first.url(), canaryKey, second.url(), secondKey, clientKey, adminToken)
}

// echo is what an upstream says that repeats the key it was shown wherever it can.
func echo(x *turn, status, mime, body string) {
	key := strings.TrimPrefix(strings.Join(x.get("Authorization"), "")+strings.Join(x.get("X-Api-Key"), ""), "Bearer ")
	x.reply(status, "Content-Type: "+mime+"\r\nX-Echo: "+key+"\r\nNvcf-Reqid: "+key, strings.ReplaceAll(body, "KEY", key))
}

// TestNoSecretIsInAnythingThatIsSentOrLogged is threat 3 on what came after the first version: translated answers, merged models, routes
// to a provider, the dashboard and its API, and the settings.
func TestNoSecretIsInAnythingThatIsSentOrLogged(t *testing.T) {
	t.Parallel()
	const echoed = `{"error":{"message":"key KEY is bad","type":"KEY","code":"KEY"},"detail":"KEY"}`
	scripts := map[string]func(x *turn){
		"openai": func(x *turn) { echo(x, "400 Bad", "application/json", echoed) },
		"text":   func(x *turn) { echo(x, "422 Bad", "text/plain", "KEYKEY and KEY") },
		"problem": func(x *turn) {
			echo(x, "400 Bad", "application/problem+json", `{"title":"KEY","detail":"KEY","status":400}`)
		},
		"server": func(x *turn) { echo(x, "500 Bad", "application/json", echoed) },
		"quota":  func(x *turn) { echo(x, "429 Slow", "application/json", echoed) },
		"no answer": func(x *turn) { // a 200 that cannot be translated: what is said of it may quote it
			echo(x, "200 OK", "application/json", `{"object":"KEY","choices":"KEY"`)
		},
		"first event": func(x *turn) {
			x.write(sseHead + chunk(strings.ReplaceAll("data: "+echoed+"\n\n", "KEY", strings.TrimPrefix(x.get("Authorization")[0], "Bearer "))) + "0\r\n\r\n")
		},
	}
	script := func(x *turn) {
		if run := scripts[number(x.body)]; run != nil {
			run(x)
			return
		}
		echo(x, "401 Unauthorized", "application/json", echoed) // the model lists
	}
	one, two := serve(t, script), serve(t, script)
	s := start(t, nil, configured(t, household(one, two)), "SIDECAR_API_KEYS=", "SIDECAR_MAX_WAIT=1s", "SIDECAR_CACHE_MODELS=*", "SIDECAR_STATE_DIR="+t.TempDir())
	var told strings.Builder
	ask := func(address, text string) answer {
		c := dial(t, address)
		got := c.ask(text)
		told.WriteString(c.received.String())
		return got
	}
	for name := range scripts {
		for _, stream := range []string{"", `"stream":true,`} {
			body := `{"model":"m-` + name + `",` + stream + `"max_tokens":9,"temperature":0,"n":"` + name + `","messages":[{"role":"user","content":"` + canaryPrompt + `"}]}`
			for _, path := range []string{"/v1/chat/completions", "/two/v1/chat/completions", "/v1/messages", "/two/v1/messages"} {
				if name == "no answer" && path != "/two/v1/messages" {
					continue // as it is
				}
				if got := ask(s.proxy, post(path, body, bearer(clientKey))); got.status == 0 {
					t.Errorf("%s on %s: no answer: %s", name, path, got)
				}
			}
		}
	}
	ask(s.proxy, get("/v1/models", bearer(clientKey)))
	ask(s.proxy, get("/v1/models", bearer(adminToken))) // neither is good for the other
	for _, path := range []string{"snapshot", "settings", "queue", "history", "openapi.yaml", "nowhere"} {
		if got := ask(s.proxy, get(apiPath+path, bearer(adminToken))); got.status != 200 && path != "nowhere" {
			t.Errorf("GET %s: %s; want 200", apiPath+path, got)
		}
	}
	for _, body := range []string{
		`{"version":1,"settings":{"admin":{"token":"x"}}}`, `{"version":1,"settings":{"providers":{"one":{"accounts":[]}}}}`, `{"version":1,"settings":{}}`, `{`,
		`{"version":1,"settings":{"` + adminToken[:0] + `log.level":"debug"}}`,
	} {
		ask(s.proxy, build("PATCH", apiPath+"settings", []string{bearer(adminToken), fmt.Sprintf("Content-Length: %d", len(body))}, body))
	}
	for _, address := range []string{s.proxy, s.metrics} {
		for _, path := range []string{"/", "/metrics", "/livez", "/readyz?verbose", "/debug/pprof/", "/debug/pprof/cmdline", "/debug/vars", "/sidecar/"} {
			ask(address, get(path))
		}
	}
	told.WriteString(s.log.String() + s.proc("cmdline"))
	if code := s.stop(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	told.WriteString(s.log.String())
	for _, secret := range secrets {
		if at := strings.Index(told.String(), secret); at >= 0 {
			t.Errorf("%q was sent or logged: …%q…", secret, told.String()[max(0, at-200):at+len(secret)])
		}
	}
}

// TestAnErrorInsideAStreamShowsNoKey is the rest of threat 3: an error event that comes after content.
func TestAnErrorInsideAStreamShowsNoKey(t *testing.T) {
	t.Parallel()
	for name, environ := range map[string]string{"as it is": "SIDECAR_SPEAKS=both", "translated": "SIDECAR_SPEAKS=openai"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, func(x *turn) {
				x.write(sseHead + chunk(event("one")) + chunk(`data: {"error":{"message":"the key `+canaryKey+` is bad"}}`+"\n\n") + "0\r\n\r\n")
			})
			s := start(t, u, unpaced, environ)
			for path, body := range map[string]string{chatPath: streamBody, "/v1/messages": strings.Replace(messagesBody, "{", `{"stream":true,`, 1)} {
				c := dial(t, s.proxy)
				if got := c.ask(post(path, body)); got.status != 200 || strings.Contains(c.received.String(), "[DONE]") {
					t.Errorf("%s: %s; want a 200 that ends with the error", path, got)
				}
			}
		})
	}
}

// TestAKeyThatBeginsLikeAnotherIsHiddenWhole: one configured key may be the beginning of another.
func TestAKeyThatBeginsLikeAnotherIsHiddenWhole(t *testing.T) {
	t.Parallel()
	const rest = "-the-rest-of-it"
	u := serve(t, func(x *turn) {
		x.reply("400 Bad", "Content-Type: text/plain\r\nX-Echo: "+canaryKey+rest, "your key "+canaryKey+rest+" is bad")
	})
	s := start(t, u, unpaced, "SIDECAR_API_KEYS="+canaryKey+","+canaryKey+rest)
	if got := dial(t, s.proxy).ask(chat()); got.status != 400 || strings.Contains(got.body+got.get("X-Echo"), rest) {
		t.Errorf("the answer shows the end of a key: %s", got)
	}
}

// TestAPromptIsKeptNowhere is threat 13: what a client asks and is answered is in no log (each test looks), in no file of the state, and
// not in what the dashboard and the metrics show.
func TestAPromptIsKeptNowhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	u := serve(t, func(x *turn) {
		switch number(x.body) {
		case "echo":
			x.reply("400 "+canaryPrompt, "Content-Type: application/json", `{"error":{"message":"bad prompt: `+canaryPrompt+`"}}`)
		case "event":
			x.write(sseHead + chunk(event(canaryPrompt)) + chunk(`data: {"error":{"message":"`+canaryPrompt+`"}}`+"\n\n") + "0\r\n\r\n")
		default:
			x.reply("200 OK", "Content-Type: application/json", strings.Replace(completion, "hi", canaryPrompt, 1))
		}
	})
	s := start(t, u, "SIDECAR_LIMITS=20-M", "SIDECAR_BURST=20", "SIDECAR_STATE_DIR="+dir, "SIDECAR_CACHE_MODELS=*")
	for _, name := range []string{"echo", "event", "plain"} {
		for _, path := range []string{chatPath, "/v1/messages"} {
			body := `{"model":"m1","max_tokens":9,"stream":` + fmt.Sprint(name == "event") + `,"n":"` + name + `","messages":[{"role":"user","content":"` + canaryPrompt + `"}]}`
			dial(t, s.proxy).ask(post(path, body))
			dial(t, s.proxy).ask(post(path, strings.Replace(body, `"max_tokens":9`, `"max_tokens":"`+canaryPrompt+`"`, 1))) // a mistake that may be quoted
		}
	}
	for range 20 {
		dial(t, s.proxy).send(chat())
	}
	if !until(patience, func() bool { return s.gauge(`sidecar_queue_depth{priority="NORMAL"}`) > 0 }) {
		t.Fatal("nobody waits")
	}
	for _, path := range []string{"snapshot", "queue", "history", "settings"} {
		if got := dial(t, s.proxy).ask(get(apiPath + path)); got.status != 200 || strings.Contains(got.body, canaryPrompt) {
			t.Errorf("GET %s%s: %s; want 200 without the prompt", apiPath, path, got)
		}
	}
	if got := dial(t, s.metrics).ask(get("/metrics")); strings.Contains(got.body, canaryPrompt) {
		t.Errorf("the metrics hold the prompt")
	}
	if code := s.stop(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
	files := 0
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, _ error) error {
		if entry.IsDir() {
			return nil
		}
		files++
		text, err := os.ReadFile(path)
		if err != nil || strings.Contains(string(text), canaryPrompt) || strings.Contains(string(text), canaryKey) {
			t.Errorf("%s holds a prompt or a key (%v)", filepath.Base(path), err)
		}
		if info, _ := entry.Info(); info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v; want it for its owner alone", filepath.Base(path), info.Mode())
		}
		return nil
	})
	if files == 0 {
		t.Error("there is no state on disk")
	}
}

// TestASecretInTheAddressIsShownNowhere: an upstream's URL may hold a password.
func TestASecretInTheAddressIsShownNowhere(t *testing.T) {
	t.Parallel()
	l := listenTCP(t)
	s := launch(t, "SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0", "SIDECAR_LOG_LEVEL=debug",
		"SIDECAR_UPSTREAM_URL=http://user:"+canaryKey+"@"+l.Addr().String()+"/v1") // launch looks for the key in all that it logs
	if !until(patience, func() bool {
		select {
		case <-s.ended:
			return true
		default:
			return strings.Contains(s.log.String(), "serving")
		}
	}) {
		t.Errorf("it neither serves nor ends within %s", patience)
	}
}
