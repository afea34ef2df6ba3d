package faults

import (
	"fmt"
	"strings"
	"testing"
)

// TestAWebPageGetsNothing is threat 1.
func TestAWebPageGetsNothing(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	shapes := map[string]string{
		"a simple POST as text":      build("POST", chatPath, []string{"Origin: http://evil.example", "Content-Type: text/plain", fmt.Sprintf("Content-Length: %d", len(chatBody))}, chatBody),
		"a form":                     build("POST", chatPath, []string{"Origin: null", "Content-Type: application/x-www-form-urlencoded", "Content-Length: 3"}, "a=b"),
		"a GET without CORS":         get("/v1/models", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: no-cors"),
		"another port of this host":  get("/v1/models", "Origin: http://localhost:3000"),
		"another name of this host":  get("/v1/models", "Origin: http://localhost"),
		"same site, other origin":    get("/v1/models", "Sec-Fetch-Site: same-site"),
		"a HEAD":                     build("HEAD", "/v1/models", []string{"Sec-Fetch-Site: cross-site"}, ""),
		"an event source":            get("/v1/models", "Accept: text/event-stream", "Origin: https://evil.example"),
		"two origins":                get("/v1/models", "Origin: http://127.0.0.1", "Origin: http://evil.example"),
		"a preflight":                build("OPTIONS", chatPath, []string{"Origin: http://evil.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true"}, ""),
		"a DELETE":                   build("DELETE", "/v1/files/x", []string{"Origin: http://evil.example"}, ""),
		"an origin that begins well": get("/v1/models", "Origin: http://127.0.0.1.evil.example"),
		"an origin with our address": get("/v1/models", "Origin: http://127.0.0.1@evil.example"),
		"a websocket":                get("/v1/realtime", "Origin: http://evil.example", "Connection: Upgrade", "Upgrade: websocket"),
		"an empty origin":            get("/v1/models", "Origin:"),
	}
	for name, text := range shapes {
		for _, path := range []string{"", "/livez", "/readyz", "/", "/nowhere"} {
			if path != "" {
				_, rest, _ := strings.Cut(text, " HTTP/1.1")
				method, _, _ := strings.Cut(text, " ")
				text = method + " " + path + " HTTP/1.1" + rest
			}
			method, _, _ := strings.Cut(text, " ")
			got := dial(t, s.proxy).ask(text)
			if got.status != 403 || got.reason() != "forbidden_origin" || got.get("X-Sidecar-Provider") != "" {
				t.Errorf("%s, %s %s: %s; want 403 forbidden_origin", name, method, path, got)
			}
			for header := range got.header {
				if strings.HasPrefix(header, "access-control-") {
					t.Errorf("%s: the answer has %s", name, header)
				}
			}
		}
		if got := dial(t, s.metrics).ask(get("/metrics", "Origin: http://evil.example")); got.status != 403 {
			t.Errorf("metrics for a web page: %s; want 403", got)
		}
	}
	early := dial(t, s.proxy) // its body is not waited for
	early.send("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://evil.example\r\nContent-Length: 1000\r\n\r\n")
	if got := early.receive("POST"); got.status != 403 {
		t.Errorf("a page's POST whose body does not come: %s; want 403", got)
	}
	u.wantSeen(0)
	for _, lines := range [][]string{
		{"Host: 127.0.0.1:9190", "Origin: http://127.0.0.1:9190", "Sec-Fetch-Site: same-origin"}, {"Sec-Fetch-Site: none"}, {},
	} {
		if got := dial(t, s.proxy).ask(get("/v1/models", lines...)); got.status != 200 {
			t.Errorf("%q: %s; want 200", lines, got)
		}
	}
}

// TestAListedPageMayUseItAndNobodyElse is the opt-in of threat 1.
func TestAListedPageMayUseItAndNobodyElse(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		x.reply("200 OK", "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true", "{}")
	})
	s := start(t, u, unpaced, "SIDECAR_ALLOWED_ORIGINS=https://chat.example")
	got := dial(t, s.proxy).ask(chat("Origin: https://chat.example", "Sec-Fetch-Site: cross-site"))
	if got.status != 200 || got.get("Access-Control-Allow-Origin") != "https://chat.example" || got.get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("a listed page: %s; want 200 for its origin only, without credentials", got)
	}
	had := len(u.seen())
	got = dial(t, s.proxy).ask(build("OPTIONS", chatPath, []string{
		"Origin: https://chat.example", "Access-Control-Request-Method: POST", "Access-Control-Request-Private-Network: true",
	}, ""))
	if got.status != 204 || got.get("Access-Control-Allow-Private-Network") != "" || len(u.seen()) != had {
		t.Errorf("its preflight: %s; want 204 of our own, without private networks", got)
	}
	if got := dial(t, s.proxy).ask(chat("Origin: https://chat.example.evil.example")); got.status != 403 {
		t.Errorf("a page that looks like it: %s; want 403", got)
	}
}

// TestAForeignNameIsNotOurs is threat 2: DNS rebinding, on every listener and path, before anything is routed.
func TestAForeignNameIsNotOurs(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced, "SIDECAR_ALLOWED_HOSTS=sidecar")
	for _, host := range []string{
		"evil.example", "", ":9190", "127.0.0.1.nip.io", "localhost.evil.example", "localhost.", "0x7f000001", "2130706433", "127.1", "localhost:4000/#@x",
		"localhost#@evil.example", "localhost evil.example", "user@localhost", "10.0.0.1", "[::1", "[fe80::1%25lo]", "127.0.0.1:99999999", "localhost\x00", "sidecar.evil.example",
	} {
		for _, path := range []string{"/v1/models", "/livez", "/readyz", "/", "/nowhere"} {
			for _, address := range []string{s.proxy, s.metrics} {
				got := dial(t, address).ask(get(path, "Host: "+host))
				refused := got.status == 403 && got.reason() == "forbidden_host" && strings.Contains(got.message(), "SIDECAR_ALLOWED_HOSTS")
				if malformed := got.status == 400; !refused && !malformed { // net/http refuses some by itself
					t.Errorf("Host %q, %s: %s; want 403 forbidden_host that names the setting", host, path, got)
				}
			}
		}
	}
	for name, text := range map[string]string{
		"two hosts":                            "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
		"no host":                              "GET /v1/models HTTP/1.1\r\n\r\n",
		"HTTP/1.0 without a host":              "GET /v1/models HTTP/1.0\r\n\r\n",
		"an absolute target":                   "GET http://evil.example/v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"an absolute target of a name of ours": "GET http://localhost/v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n",
	} {
		if got := dial(t, s.proxy).ask(text); got.status != 403 && got.status != 400 {
			t.Errorf("%s: %s; want 403 or 400", name, got)
		}
	}
	u.wantSeen(0)
	for _, host := range []string{"localhost", "LOCALHOST:9190", "127.0.0.1", "127.8.8.8:1", "[::1]:9190", "a.localhost", "sidecar", "Sidecar:9190"} {
		if got := dial(t, s.proxy).ask(get("/v1/models", "Host: "+host)); got.status != 200 {
			t.Errorf("Host %q: %s; want 200", host, got)
		}
	}
	seen := u.seen()
	for _, r := range seen {
		if host := r.get("Host"); host[0] != u.listener.Addr().String() {
			t.Errorf("the upstream got Host %q; want its own", host)
		}
	}
}

// TestTheKeyIsSeenByTheUpstreamOnly is threat 3: the upstream sends the key back wherever it can. All that clients receive and all that is
// logged is searched for it when the test ends.
func TestTheKeyIsSeenByTheUpstreamOnly(t *testing.T) {
	t.Parallel()
	errorBody := func(fill int) string {
		return `{"error":{"message":"` + strings.Repeat("x", fill) + " key " + canaryKey + ` is bad","type":"` + canaryKey + `"}}`
	}
	scripts := map[string]func(x *turn){
		"error": func(x *turn) {
			x.reply("400 "+canaryKey, "Content-Type: application/json\r\nX-Echo: "+canaryKey+"\r\nX-Twice: "+canaryKey+canaryKey+"\r\nNvcf-Reqid: "+canaryKey, errorBody(0))
		},
		"denied": func(x *turn) { x.reply("403 Forbidden", "Content-Type: application/json", errorBody(0)) },
		"large":  func(x *turn) { x.reply("422 Bad", "Content-Type: application/json", errorBody(100_000)) },
		"boundary": func(x *turn) {
			x.reply("400 Bad", "Content-Type: text/plain", strings.Repeat("y", 8192-10)+canaryKey+strings.Repeat("z", 200_000)+canaryKey)
		},
		"pieces": func(x *turn) {
			x.write("HTTP/1.1 500 Bad\r\nTransfer-Encoding: chunked\r\n\r\n")
			for _, b := range []byte(errorBody(0)) {
				x.write(chunk(string(b)))
			}
			x.write("0\r\nX-Trailer: " + canaryKey + "\r\n\r\n")
		},
		"problem": func(x *turn) {
			x.reply("400 Bad", "Content-Type: application/problem+json", `{"title":"`+canaryKey+`","detail":"`+canaryKey+`","status":400}`)
		},
		"success header": func(x *turn) { x.reply("200 OK", "Set-Cookie: k="+canaryKey+"\r\nX-Echo: Bearer "+canaryKey, "{}") },
		"redirect":       func(x *turn) { x.reply("302 Found", "Location: http://evil.example/?k="+canaryKey, "see "+canaryKey) },
		"first event": func(x *turn) {
			x.write(sseHead + chunk("data: "+errorBody(0)+"\n\n") + "0\r\n\r\n")
		},
		"hints":    func(x *turn) { x.write("HTTP/1.1 103 Early Hints\r\nLink: <" + canaryKey + ">\r\n\r\n"); x.ok() },
		"not HTTP": func(x *turn) { x.write(canaryKey + "\r\n\r\n"); x.close() },
		"bad head": func(x *turn) { x.write("HTTP/1.1 200 OK\r\nBad Header " + canaryKey + ": x\r\n\r\n"); x.close() },
		"bad chunk": func(x *turn) {
			x.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + canaryKey + "\r\n")
			x.close()
		},
	}
	u := serve(t, func(x *turn) {
		if auth := x.get("Authorization"); len(auth) != 1 || auth[0] != "Bearer "+canaryKey {
			t.Errorf("the upstream got Authorization %q; want the key", auth)
		}
		scripts[number(x.body)](x)
	})
	s := start(t, u, unpaced, "SIDECAR_SPEAKS=both")
	for name := range scripts {
		for _, body := range []string{`{"model":"m1","n":"` + name + `"}`, `{"model":"m1","stream":true,"n":"` + name + `"}`} {
			for _, path := range []string{chatPath, "/v1/messages"} {
				c := dial(t, s.proxy)
				if got := c.ask(post(path, body)); got.status == 0 {
					t.Errorf("%s: no answer", name)
				}
				if strings.Contains(c.received.String(), canaryKey) {
					t.Errorf("%s: the client received the key", name)
				}
			}
		}
	}
	for _, address := range []string{s.proxy, s.metrics} {
		for _, path := range []string{
			"/", "/livez", "/readyz?verbose", "/metrics", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars", "/sidecar/", "/sidecar/api/settings",
			"/sidecar/api/snapshot", "/config", "/.env",
		} {
			if got := dial(t, address).ask(get(path)); strings.HasPrefix(path, "/debug") && got.status < 400 {
				t.Errorf("GET %s: %s; want it not to exist", path, got)
			}
		}
	}
	if args := s.proc("cmdline"); strings.Contains(args, canaryKey) {
		t.Errorf("the key stands on the command line")
	}
	if code := s.stop(patience); code != 0 {
		t.Errorf("exit code %d; want 0", code)
	}
}

// TestTheKeyGoesNowhereElse is threat 4: nothing that a client says chooses where a request goes.
func TestTheKeyGoesNowhereElse(t *testing.T) {
	t.Parallel()
	trap := serve(t, func(x *turn) {
		t.Errorf("a client made the sidecar speak to another host: %s %s %q", x.method, x.target, x.header)
		x.ok()
	})
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	elsewhere := trap.listener.Addr().String()
	for _, text := range []string{
		post("http://"+elsewhere+chatPath, chatBody),
		post("http://"+elsewhere+chatPath, chatBody, "Host: "+elsewhere),
		post("//"+elsewhere+chatPath, chatBody),
		post("/v1/http://"+elsewhere+chatPath, chatBody),
		post("/v1/@"+elsewhere+"/chat", chatBody),
		post(chatPath+"?api_base=http://"+elsewhere+"&base_url=http://"+elsewhere, chatBody),
		post(chatPath, `{"model":"m1","api_base":"http://`+elsewhere+`","base_url":"http://`+elsewhere+`","extra":{"api_base":"http://`+elsewhere+`"}}`),
		chat("X-Forwarded-Host: "+elsewhere, "Forwarded: host="+elsewhere, "X-Original-URL: http://"+elsewhere, "X-Api-Base: http://"+elsewhere),
		"CONNECT " + elsewhere + " HTTP/1.1\r\nHost: " + elsewhere + "\r\n\r\n",
		post(chatPath, chatBody, "Host: "+elsewhere),
		post("/"+elsewhere+chatPath, chatBody),
		post("/http:/"+elsewhere+"/v1/x", chatBody),
	} {
		if got := dial(t, s.proxy).ask(text); got.status == 0 || got.status >= 500 && got.status != 501 {
			t.Errorf("%.100q: %s; want 200 or 4xx", text, got)
		}
	}
	trap.wantSeen(0)
	for _, r := range u.seen() {
		if !strings.HasPrefix(r.target, "/v1/") || r.get("Host")[0] != u.listener.Addr().String() || len(r.get("X-Forwarded-Host")) > 0 {
			t.Errorf("the upstream got %s %s with %q", r.method, r.target, r.header)
		}
	}
}

// TestAClientKeyIsNeededAndNeverForwarded is threat 8 as far as this version has it.
func TestAClientKeyIsNeededAndNeverForwarded(t *testing.T) {
	t.Parallel()
	const key = "sk-client-0123456789abcdef"
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced, "SIDECAR_CLIENT_KEYS=me:"+key)
	for _, line := range []string{
		"X-None: 1", "Authorization: Bearer wrong", "Authorization: Bearer", "Authorization: Basic " + key, "Authorization: " + key, "X-Api-Key: ' OR 1=1 --",
		"Authorization: Bearer " + key + "x", "Authorization: Bearer " + key[:len(key)-1], "Cookie: key=" + key, "Authorization: Bearer " + canaryKey,
	} {
		c := dial(t, s.proxy)
		c.send("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\n" + line + "\r\nContent-Length: 1000\r\n\r\n")
		if got := c.receive("POST"); got.status != 401 || got.reason() != "unauthorized" {
			t.Fatalf("%q: %s; want 401 before the body is sent", line, got)
		}
	}
	u.wantSeen(0)
	for _, line := range []string{"Authorization: Bearer " + key, "authorization: bearer " + key, "X-Api-Key: " + key} {
		if got := dial(t, s.proxy).ask(chat(line)); got.status != 200 {
			t.Errorf("%q: %s; want 200", line, got)
		}
	}
	for _, r := range u.seen() {
		if strings.Contains(r.raw, key) {
			t.Errorf("the upstream got the client's key: %q", r.raw)
		}
	}
	if strings.Contains(s.log.String(), key) {
		t.Errorf("the client's key stands in the log")
	}
}
