package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// everyPath is one of each kind that the proxy's port knows, and one of each that it does not.
var everyPath = []string{
	"/", "/livez", "/readyz", "/healthz", "/v1/models", chatPath, "/v1/messages", "/v1/messages/count_tokens", "/upstream/v1/models", "/sidecar", "/sidecar/",
	apiPath + "snapshot", apiPath + "events", apiPath + "history", apiPath + "settings", apiPath + "queue", apiPath + "queue/x", apiPath + "openapi.yaml", apiPath + "nowhere",
	"/metrics", "/nowhere", "/v1/files", "/v1/batches",
}

// everyMethod is every method that a page or a program may send.
var everyMethod = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// TestEveryPathAndMethodIsClosedToPagesAndForeignNames is threats 1 and 2 for the whole table of paths and methods, on one connection each
// so that it is quick. Whoever adds a path adds it to everyPath; what is not there is not reached either, since the walls stand in front
// of the routes.
func TestEveryPathAndMethodIsClosedToPagesAndForeignNames(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	before := s.scrape()
	for _, wall := range []struct {
		reason string
		lines  []string
	}{
		{"forbidden_origin", []string{"Origin: https://evil.example"}},
		{"forbidden_origin", []string{"Origin: null", "Sec-Fetch-Site: same-origin"}},
		{"forbidden_origin", []string{"Sec-Fetch-Site: cross-site"}},
		{"forbidden_origin", []string{"Origin: http://127.0.0.1", "Sec-Fetch-Site: same-site"}},
		{"forbidden_origin", []string{"Sec-Fetch-Site: none", "Sec-Fetch-Site: cross-site"}},
		{"forbidden_host", []string{"Host: rebound.example"}},
		{"forbidden_host", []string{"Host: rebound.example", "Origin: http://rebound.example", "Sec-Fetch-Site: same-origin"}},
	} {
		for _, address := range []string{s.proxy, s.metrics} {
			c := dial(t, address)
			for _, path := range everyPath {
				for _, method := range everyMethod {
					got := c.ask(build(method, path, slices.Concat(wall.lines, []string{"Content-Length: 0"}), ""))
					if got.status != 403 || got.reason() != wall.reason {
						t.Fatalf("%s %s with %q: %s; want 403 %s", method, path, wall.lines, got, wall.reason)
					}
				}
			}
		}
	}
	u.wantSeen(0)
	each := float64(2 * len(everyPath) * len(everyMethod))
	s.wantCounted(before, series{"rejections forbidden_origin": 5 * each, "rejections forbidden_host": 2 * each})
}

// TestWritesNeedTheTokenAndReadsDoNot is threat 7: with an admin token whoever changes something must show it, on this machine too.
func TestWritesNeedTheTokenAndReadsDoNot(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, "SIDECAR_LIMITS=1-M", "SIDECAR_ADMIN_TOKEN="+adminToken, "SIDECAR_CLIENT_KEYS=me:"+clientKey)
	if got := dial(t, s.proxy).ask(chat(bearer(clientKey))); got.status != 200 {
		t.Fatalf("the first request: %s", got)
	}
	waits := waiting(s, chat(bearer(clientKey), "X-Request-Id: w1"), "NORMAL")
	patch := func(lines ...string) answer {
		const body = `{"version":1,"settings":{"queue":{"capacity":7}}}`
		return dial(t, s.proxy).ask(build("PATCH", apiPath+"settings", append(lines, fmt.Sprintf("Content-Length: %d", len(body))), body))
	}
	for _, lines := range [][]string{
		nil,
		{"Authorization: "},
		{"Authorization: Bearer"},
		{"Authorization: " + adminToken},
		{"Authorization: Basic " + adminToken},
		{"X-Api-Key: " + adminToken},
		{"Cookie: token=" + adminToken},
		{bearer(adminToken[:len(adminToken)-1])},
		{bearer(adminToken + "x")},
		{bearer(strings.ToUpper(adminToken))},
		{bearer(clientKey)},
		{bearer(canaryKey)},
		{bearer("wrong"), bearer(adminToken)},
	} {
		got := patch(lines...)
		gone := dial(t, s.proxy).ask(build("DELETE", apiPath+"queue/w1", lines, ""))
		if got.status != 401 || gone.status != 401 || got.get("WWW-Authenticate") == "" {
			t.Errorf("%q: PATCH %s; DELETE %s; want 401 for both", lines, got, gone)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS"} { // none of them is a way round
		for _, lines := range [][]string{nil, {bearer(adminToken)}, {"X-HTTP-Method-Override: PATCH"}} {
			if got := dial(t, s.proxy).ask(build(method, apiPath+"settings", lines, "")); got.status != 405 {
				t.Errorf("%s settings with %q: %s; want 405", method, lines, got)
			}
		}
	}
	for _, path := range []string{"snapshot", "settings", "queue", "history", "openapi.yaml"} {
		if got := dial(t, s.proxy).ask(get(apiPath + path)); got.status != 200 || strings.Contains(got.body, `"capacity":7`) {
			t.Errorf("GET %s%s on this machine: %s; want 200", apiPath, path, got)
		}
		if got := dial(t, s.proxy).ask(get(apiPath+path, "X-Forwarded-For: 203.0.113.5")); got.status != 401 {
			t.Errorf("GET %s%s through a reverse proxy: %s; want 401", apiPath, path, got)
		}
	}
	if got := dial(t, s.proxy).ask(chat(bearer(adminToken))); got.status != 401 {
		t.Errorf("a request with the admin's token: %s; want 401, since it is no client's key", got)
	}
	if got := patch(bearer(adminToken)); got.status != 200 {
		t.Errorf("PATCH with the token: %s; want 200", got)
	}
	if got := dial(t, s.proxy).ask(build("DELETE", apiPath+"queue/w1", []string{bearer(adminToken)}, "")); got.status != 204 {
		t.Errorf("DELETE with the token: %s; want 204", got)
	}
	if got := waits.receive("POST"); got.status < 400 {
		t.Errorf("the request that was taken out: %s; want an error", got)
	}
	if said := s.log.String(); strings.Contains(said, adminToken) || strings.Contains(said, clientKey) {
		t.Error("the log holds the admin's token or a client's key")
	}
}

// TestAListedPageChangesNothingWithoutTheToken: a page that may use the sidecar is not its administrator because its browser runs here.
func TestAListedPageChangesNothingWithoutTheToken(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced, "SIDECAR_ALLOWED_ORIGINS=https://chat.example")
	const body = `{"version":1,"settings":{"drain":true}}`
	lines := []string{"Origin: https://chat.example", "Sec-Fetch-Site: cross-site", fmt.Sprintf("Content-Length: %d", len(body))}
	if got := dial(t, s.proxy).ask(build("PATCH", apiPath+"settings", lines, body)); got.status != 403 {
		t.Errorf("a listed page's PATCH: %s; want 403", got)
	}
	if got := dial(t, s.proxy).ask(build("DELETE", apiPath+"queue/x", lines[:2], "")); got.status != 403 {
		t.Errorf("a listed page's DELETE: %s; want 403", got)
	}
	own := []string{"Origin: http://127.0.0.1", "Sec-Fetch-Site: same-origin", lines[2]}
	if got := dial(t, s.proxy).ask(build("PATCH", apiPath+"settings", own, strings.Replace(body, "true", "null", 1)+" ")); got.status == 403 {
		t.Errorf("the dashboard's own PATCH: %s; want it not to be forbidden", got)
	}
}

// TestTheDashboardLoadsNothingFromElsewhere is the rest of threat 7: every answer below /sidecar/ carries the policy, errors too.
func TestTheDashboardLoadsNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	s := start(t, serve(t, func(x *turn) { x.ok() }), unpaced)
	c := dial(t, s.proxy)
	for _, path := range everyPath {
		if !strings.HasPrefix(path, "/sidecar") || path == apiPath+"events" {
			continue
		}
		for _, method := range []string{"GET", "PATCH"} {
			got := c.ask(build(method, path, []string{"Content-Length: 0"}, ""))
			policy := got.get("Content-Security-Policy")
			if !strings.Contains(policy, "default-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") || got.get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s: %s; want a Content-Security-Policy and nosniff", method, path, got)
			}
		}
	}
}

// TestWhatTheUpstreamAllowsPagesIsNotPassedOn is threat 1's "strip Access-Control-*", for answers that are made anew: translated, shared and
// kept ones. What a listed page was allowed must not be kept for others either.
func TestWhatTheUpstreamAllowsPagesIsNotPassedOn(t *testing.T) {
	t.Parallel()
	const cors = "\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nAccess-Control-Expose-Headers: *\r\nAccess-Control-Allow-Private-Network: true"
	u := serve(t, func(x *turn) {
		switch {
		case strings.Contains(x.body, `"stream":true`):
			x.write(strings.Replace(sseHead, "\r\n\r\n", cors+"\r\n\r\n", 1) + chunk(event("hi")+"data: [DONE]\n\n") + "0\r\n\r\n")
		case number(x.body) == "bad":
			x.reply("400 Bad", "Content-Type: application/json"+cors, `{"error":{"message":"no"}}`)
		default:
			x.reply("200 OK", "Content-Type: application/json"+cors, completion)
		}
	})
	s := start(t, u, unpaced, "SIDECAR_CACHE_MODELS=*", "SIDECAR_COALESCE_MODELS=*", "SIDECAR_ALLOWED_ORIGINS=https://chat.example")
	const page = "Origin: https://chat.example"
	for _, path := range []string{chatPath, "/v1/messages", "/v1/models"} {
		for _, more := range []string{"", `"stream":true,`, `"n":"bad",`} {
			body := `{` + more + `"model":"m1","max_tokens":9,"temperature":0,"messages":[{"role":"user","content":"hi"}]}`
			text := func(lines ...string) string { return post(path, body, lines...) }
			if path == "/v1/models" {
				text = func(lines ...string) string { return get(path, lines...) }
			}
			first := dial(t, s.proxy).ask(text(page, "Accept: x"))
			if first.get("Access-Control-Allow-Origin") != "https://chat.example" || first.get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s for a listed page: %s; want it allowed alone", path, more, first)
			}
			again := dial(t, s.proxy).ask(text("Accept: x"))
			for header := range again.header {
				if strings.HasPrefix(header, "access-control-") {
					t.Errorf("%s %s: the answer (%s) has %s: %q", path, more, again.get("X-Sidecar-Cache"), header, again.header[header])
				}
			}
			if path == chatPath && more == "" && again.get("X-Sidecar-Cache") != "hit" {
				t.Errorf("the same request again: %s; want a kept answer", again)
			}
		}
	}
}

// TestNoListOfModelsFollowsARedirect is threat 4 for what the sidecar asks by itself: the list of models, with a key and without.
func TestNoListOfModelsFollowsARedirect(t *testing.T) {
	t.Parallel()
	trap := serve(t, func(x *turn) { t.Errorf("a redirect was followed: %s %s", x.method, x.target); x.ok() })
	u := serve(t, func(x *turn) { x.reply("307 Elsewhere", "Location: "+trap.url()+"/models", "moved") })
	s := start(t, nil, "SIDECAR_API_KEYS=", configured(t, household(u, u)))
	if got := dial(t, s.proxy).ask(get("/v1/models", bearer(clientKey))); got.status == 0 || got.status == 200 {
		t.Errorf("the list of models: %s; want an error", got)
	}
	for _, path := range []string{"/v1/messages", "/two/v1/messages"} {
		if got := dial(t, s.proxy).ask(post(path, messagesBody, bearer(clientKey))); got.status == 200 || got.status == 0 {
			t.Errorf("%s: %s; want no success", path, got)
		}
	}
	trap.wantSeen(0)
	if n := trap.pings.Load(); n > 0 {
		t.Errorf("the trap was asked for its models %d times", n)
	}
}
