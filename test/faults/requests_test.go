package faults

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestSlowSendersAreEnded is rows 22 and 23: a head, and a body, that come byte by byte. It takes 30 s, most of it waiting.
func TestSlowSendersAreEnded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 30 s")
	}
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, slow)
	before := s.scrape()
	head, body := dial(t, s.proxy), dial(t, s.proxy)
	began := time.Now()
	head.send("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\n")
	body.send("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n\r\n{")
	headEnded := time.Duration(0)
	drip := time.NewTicker(200 * time.Millisecond)
	defer drip.Stop()
	for time.Since(began) < 34*time.Second {
		select {
		case <-head.gone:
			if headEnded == 0 {
				headEnded = time.Since(began)
			}
		default:
			head.send("X")
		}
		body.send(" ")
		if strings.Contains(body.received.String(), "\r\n\r\n") {
			break
		}
		<-drip.C
	}
	if headEnded == 0 || headEnded > 12*time.Second {
		t.Errorf("the connection of a slow head ended after %s; want 12 s at most", headEnded)
	}
	got := body.receive("POST")
	if took := time.Since(began); got.status != 408 || got.reason() != "bad_request" || took < 30*time.Second {
		t.Errorf("the slow body was answered after %s: %s; want 408 bad_request after 30 s", took, got)
	}
	s.wantCounted(before, series{"requests NORMAL error": 1, "rejections bad_request": 1})
	u.wantSeen(0)
}

// TestABodyThatComesLateTakesNoSlot is the rest of row 23.
func TestABodyThatComesLateTakesNoSlot(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, "SIDECAR_LIMITS=1-M")
	late := dial(t, s.proxy)
	text := chat()
	late.send(text[:len(text)-1])
	pause(100 * time.Millisecond)
	if opened, _ := u.connections(); opened != 0 {
		t.Errorf("a request whose body is not there yet opened %d connections upstream", opened)
	}
	if got := dial(t, s.proxy).ask(chat()); got.status != 200 || got.get("X-Sidecar-Queue-Wait-Ms") != "0" {
		t.Errorf("the only slot was not free for another request: %s", got)
	}
}

// TestABodyThatIsCutNeverReachesTheUpstream is row 24.
func TestABodyThatIsCutNeverReachesTheUpstream(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	before := s.scrape()
	for _, text := range []string{
		"POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{\"model\":\"m1\"}",
		"POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(`{"model":"m1"}`),
		"POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n{}",
	} {
		c := dial(t, s.proxy)
		c.send(text)
		c.half()
		if got := c.receive("POST"); got.status != 400 || got.reason() != "bad_request" {
			t.Errorf("%q: %s; want 400 bad_request", text, got)
		}
	}
	s.wantCounted(before, series{"requests NORMAL error": 3, "rejections bad_request": 3})
	u.wantSeen(0)
}

// TestAHugeRequestIsRefused is rows 26 and 27.
func TestAHugeRequestIsRefused(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced, "SIDECAR_MAX_BODY=1MB")
	before := s.scrape()
	declared := dial(t, s.proxy)
	began := time.Now()
	declared.send("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000001\r\n\r\n")
	if got := declared.receive("POST"); got.status != 413 || got.reason() != "body_too_large" || time.Since(began) > soon {
		t.Errorf("a body that is announced as too large: %s; want 413 before it is sent", got)
	}
	chunked := dial(t, s.proxy)
	chunked.send("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 20 {
		chunked.send(chunk(strings.Repeat("x", 64<<10)))
	}
	if got := chunked.receive("POST"); got.status != 413 || got.reason() != "body_too_large" {
		t.Errorf("a body that becomes too large: %s; want 413", got)
	}
	s.wantCounted(before, series{"requests NORMAL error": 2, "rejections body_too_large": 2})
	expecting := dial(t, s.proxy)
	got := expecting.ask("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 1000001\r\n\r\n")
	if got.status != 413 || len(got.interim) > 0 {
		t.Errorf("a client that asks first: %v, then %s; want 413 without a 100", got.interim, got)
	}
	if got := dial(t, s.proxy).ask(get("/v1/models", "X-Big: "+strings.Repeat("x", 70<<10))); got.status != 431 {
		t.Errorf("a head of 70 KiB: %s; want 431", got)
	}
	exact := `{"model":"m1","x":"` + strings.Repeat("x", 1000000-21) + `"}`
	if got := dial(t, s.proxy).ask(post(chatPath, exact)); got.status != 200 {
		t.Errorf("a body of exactly the limit: %s; want 200", got)
	}
	u.wantSeen(1)
}

// TestAPackedBodyIsRefused is row 28.
func TestAPackedBodyIsRefused(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	for _, encoding := range []string{"gzip", "br", "zstd", "identity, gzip"} {
		got := dial(t, s.proxy).ask(post(chatPath, pack(chatBody), "Content-Encoding: "+encoding))
		if got.status != 400 || got.reason() != "bad_request" || !strings.Contains(got.message(), "Content-Encoding") {
			t.Errorf("Content-Encoding: %s: %s; want 400 that names the header", encoding, got)
		}
	}
	u.wantSeen(0)
}

// framings are row 29: requests whose end two readers could see at different places. Each is followed by an ordinary request, the last
// one on its connection.
var framings = func() (all []string) {
	with := func(lines, body string) {
		all = append(all, "POST "+chatPath+" HTTP/1.1\r\nHost: 127.0.0.1\r\n"+lines+"\r\n"+body)
	}
	const smuggled = "GET /v1/smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
	for _, lines := range []string{
		"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
		"Transfer-Encoding: chunked, identity\r\n",
		"Transfer-Encoding: identity, chunked\r\n",
		"Transfer-Encoding: gzip, chunked\r\n",
		"Transfer-Encoding: xchunked\r\n",
		"Transfer-Encoding : chunked\r\n",
		"Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n",
		"Transfer-Encoding: \x0bchunked\r\nContent-Length: 5\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
		"Transfer-Encoding: CHUNKED\r\nContent-Length: 5\r\n",
		"X: y\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		" Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		"X: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
		"Transfer-Encoding\x00: chunked\r\nContent-Length: 5\r\n",
		"Transfer_Encoding: chunked\r\nContent-Length: 5\r\n",
		"Content-Length: 5\r\nContent-Length: 6\r\n",
		"Content-Length: 5, 6\r\n",
		"Content-Length: +5\r\n",
		"Content-Length: -1\r\n",
		"Content-Length: 0x5\r\n",
		"Content-Length: 5 5\r\n",
		"Content-Length: 5.0\r\n",
		"Content-Length: \r\n",
		"Content-Length: 99999999999999999999\r\n",
		"Content-Length : 5\r\n",
		"Content-Length: 5\nX: y\r\n",
		"Content-Length: 5\rX: y\r\n",
		"Content-Length: 5\x00\r\n",
		"Content\x00-Length: 5\r\n",
		": empty\r\nContent-Length: 5\r\n",
		"no colon\r\nContent-Length: 5\r\n",
	} {
		with(lines, "0\r\n\r\n"+smuggled)
	}
	for _, body := range []string{
		"5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhelloXX0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n",
		"+5\r\nhello\r\n0\r\n\r\n", "-5\r\nhello\r\n0\r\n\r\n", " 5\r\nhello\r\n0\r\n\r\n", "5 \r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n0\r\n\r\n",
		"5;a=\"\n\"\r\nhello\r\n0\r\n\r\n", "5;\r\nhello\r\n0\r\n\r\n", "\r\nhello\r\n0\r\n\r\n", "fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
		"5\r\nhello\r\n00\r\n\r\n", "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", "5\r\nhello\r\n0\r\nA: b\nC: d\r\n\r\n",
		"5\r\nhello\r\n0\n\n", "5_0\r\nhello\r\n0\r\n\r\n", "5\r\r\nhello\r\n0\r\n\r\n",
	} {
		with("Transfer-Encoding: chunked\r\n", body+smuggled)
	}
	return all
}()

// TestNoFramingSmugglesARequest is row 29: whatever the client writes, the upstream never has more requests than the client got answers,
// and no answer blames the upstream.
func TestNoFramingSmugglesARequest(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	before := s.scrape()
	for _, text := range framings {
		had := len(u.seen())
		c := dial(t, s.proxy)
		c.send(text)
		forwarded := 0
		if !c.closed(50 * time.Millisecond) { // it waits for more
			c.half()
			forwarded++ // the half-close may have ended one before its answer
		}
		for i := 0; ; i++ {
			got := c.receive("POST")
			if got.status == 0 {
				if i == 0 {
					t.Errorf("%q: no answer", text)
				}
				break
			}
			if got.status >= 500 && got.status != 501 { // RFC 9112, 6.1: an unknown transfer coding is a 501
				t.Errorf("%q: %s; want no server error", text, got)
			}
			if got.get("X-Sidecar-Provider") != "" {
				forwarded++
			}
		}
		pauseUntilIdle(s)
		if now := len(u.seen()) - had; now > forwarded {
			t.Errorf("%q: the upstream had %d requests, the client %d answers", text, now, forwarded)
		}
	}
	for _, r := range u.seen() {
		if len(r.get("Transfer-Encoding")) > 0 {
			t.Errorf("a body went up with a framing of the client's: %q", r.raw)
		}
	}
	grown := s.scrape().since(before)
	for name := range grown {
		if strings.HasPrefix(name, "upstream_errors") || strings.HasPrefix(name, "retries") {
			t.Errorf("a client's mistake counted as %s", name)
		}
	}
}

// pauseUntilIdle waits until the sidecar holds no more connections of clients.
func pauseUntilIdle(s *sidecar) {
	if !until(patience, func() bool { return s.gauge("sidecar_open_connections") == 0 }) {
		s.t.Errorf("connections of clients are left open")
	}
}

// TestHeadersOfOneHopStayThere is row 30, in both directions.
func TestHeadersOfOneHopStayThere(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		x.reply("200 OK", "Connection: X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n"+
			"Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Credentials: true\r\nX-Kept: yes", "{}")
	})
	s := start(t, u, unpaced)
	got := dial(t, s.proxy).ask(chat(
		"Connection: Authorization, X-Own, close", "X-Own: 1", "Keep-Alive: timeout=5", "Proxy-Authorization: Basic eA==", "Proxy-Connection: keep-alive",
		"TE: gzip, trailers", "Trailer: X-Sum", "Authorization: Bearer clients-own", "X-Api-Key: clients-own", "Cookie: a=b", "X-Forwarded-For: 1.2.3.4",
		"X-Forwarded-Host: evil.example", "Forwarded: for=1.2.3.4", "X-Real-Ip: 1.2.3.4", "X-Sidecar-Agent: me", "X-Priority: 1", "X-Kept: yes",
		"Via: 1.1 evil.example", "NVCF-Shadow: 1", "function-id: 1", "function-version-id: 1",
	))
	if got.status != 200 || got.get("X-Kept") != "yes" {
		t.Errorf("answer: %s; want 200", got)
	}
	for _, name := range []string{"X-Own", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "Access-Control-Allow-Origin", "Access-Control-Allow-Credentials"} {
		if got.get(name) != "" {
			t.Errorf("the client got %s: %s", name, got.get(name))
		}
	}
	u.wantSeen(1)
	r := u.seen()[0]
	for _, line := range r.header {
		switch name, _, _ := strings.Cut(line, ":"); name {
		case "Host", "User-Agent", "Content-Length", "Content-Type", "Authorization", "Te", "X-Kept":
		default:
			t.Errorf("the upstream got %q", line)
		}
	}
	for name, want := range map[string]string{
		"Host": u.listener.Addr().String(), "Authorization": "Bearer " + canaryKey, "TE": "trailers", "X-Kept": "yes", "Content-Type": "application/json",
	} {
		if values := r.get(name); len(values) != 1 || values[0] != want {
			t.Errorf("the upstream got %s %q; want %q once", name, values, want)
		}
	}
	if r.body != chatBody {
		t.Errorf("the upstream got the body %q; want %q", r.body, chatBody)
	}
}

// TestOtherProtocolsAndMethodsAreRefused is rows 31 and 42.
func TestOtherProtocolsAndMethodsAreRefused(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	const smuggled = "GET /v1/smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
	for name, test := range map[string]struct {
		text   string
		status []int
	}{
		"h2c":           {get("/v1/models", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"), []int{426}},
		"websocket":     {get("/v1/realtime", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: x", "Sec-WebSocket-Version: 13"), []int{426}},
		"trace":         {build("TRACE", "/v1/models", nil, ""), []int{405, 501}},
		"connect":       {"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", []int{400, 403, 404, 405, 501}},
		"connect to us": {"CONNECT 127.0.0.1:9190 HTTP/1.1\r\nHost: 127.0.0.1:9190\r\n\r\n", []int{400, 403, 404, 405, 501}},
		"prior h2":      {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", []int{400, 403, 404, 405, 505}},
		"expect":        {post(chatPath, chatBody, "Expect: 200-ok"), []int{417}},
		"HTTP/0.9":      {"GET /v1/models\r\n", []int{400}},
		"HTTP/3.0":      {"GET /v1/models HTTP/3.0\r\nHost: 127.0.0.1\r\n\r\n", []int{400, 505}},
	} {
		c := dial(t, s.proxy)
		c.send(test.text)
		got := c.receive("GET")
		found := false
		for _, status := range test.status {
			found = found || got.status == status
		}
		if !found {
			t.Errorf("%s: %s; want %v", name, got, test.status)
		}
		if strings.HasPrefix(name, "h2c") || name == "websocket" {
			if got.reason() != "bad_request" {
				t.Errorf("%s: reason %q; want bad_request", name, got.reason())
			}
		}
	}
	u.wantSeen(0)
	c := dial(t, s.proxy) // what follows a refused switch is a request of its own or nothing
	c.send(get("/v1/models", "Connection: Upgrade", "Upgrade: h2c") + smuggled)
	if got := c.receive("GET"); got.status != 426 {
		t.Errorf("a switch with bytes behind it: %s; want 426", got)
	}
	c.half()
	answers := 0
	for c.receive("GET").status != 0 {
		answers++
	}
	if n := len(u.seen()); n > answers {
		t.Errorf("the upstream had %d requests after a refused switch, the client %d answers", n, answers)
	}
	asking := dial(t, s.proxy)
	asking.send("POST " + chatPath + " HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: " + strconv.Itoa(len(chatBody)) + "\r\n\r\n")
	if !until(patience, func() bool { return strings.HasPrefix(asking.received.String(), "HTTP/1.1 100 ") }) {
		t.Errorf("Expect: 100-continue is not answered")
	}
	asking.send(chatBody)
	if got := asking.receive("POST"); got.status != 200 || fmt.Sprint(got.interim) != "[100]" {
		t.Errorf("after 100-continue: %v, %s; want 200", got.interim, got)
	}
}

// TestAHeaderThatCannotBeUnderstoodIsNamed is row 40.
func TestAHeaderThatCannotBeUnderstoodIsNamed(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	for _, test := range []struct{ line, names string }{
		{"X-Sidecar-Priority: critical", "urgent"},
		{"X-Sidecar-Priority: 4", "urgent"},
		{"X-Sidecar-Priority: high\r\nX-Sidecar-Priority: low", "X-Sidecar-Priority"},
		{"X-Sidecar-Priority: h\xc3\xafgh", "urgent"},
		{"X-Sidecar-Priority: " + strings.Repeat("x", 5000), "urgent"},
		{"X-Sidecar-Max-Wait: soon", "90s"},
		{"X-Sidecar-Max-Wait: -1s", "90s"},
		{"X-Sidecar-Max-Wait: 1s\r\nX-Sidecar-Max-Wait: 2s", "90s"},
		{"X-Sidecar-Agent: " + strings.Repeat("a", 500), "128"},
		{"X-Sidecar-Agent: caf\xc3\xa9", "ASCII"},
		{"X-Sidecar-Agent: a\r\nX-Sidecar-Agent: b", "one"},
	} {
		before := s.scrape()
		got := dial(t, s.proxy).ask(chat(test.line))
		name, _, _ := strings.Cut(test.line, ":")
		if got.status != 400 || got.reason() != "bad_request" || !strings.Contains(got.message(), name) || !strings.Contains(got.message(), test.names) {
			t.Errorf("%.60q: %s; want 400 that names the header and %q", test.line, got, test.names)
		}
		if len(got.body) > 1000 {
			t.Errorf("%.60q: the answer repeats %d bytes", test.line, len(got.body))
		}
		s.wantCounted(before, series{"requests NORMAL error": 1, "rejections bad_request": 1})
	}
	u.wantSeen(0)
	for _, line := range []string{"X-Sidecar-Priority: URGENT", "X-Sidecar-Priority: 0", "X-Priority: nonsense", "X-Stainless-Timeout: nonsense", "X-Request-Id: caf\xc3\xa9"} {
		if got := dial(t, s.proxy).ask(chat(line)); got.status != 200 {
			t.Errorf("%q: %s; want 200", line, got)
		}
	}
}

// TestOddBodiesPassUnchanged is row 41.
func TestOddBodiesPassUnchanged(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	c := dial(t, s.proxy)
	for _, body := range []string{
		"", "{", "null", "[]", `"x"`, "\x00\x00", "\xef\xbb\xbf{\"model\":\"m1\"}", `{"model":"a","model":"b"}`, `{"model":null}`, `{"model":{"x":1}}`,
		`{"model":"\ud800"}`, `{"model":"m` + "\xff\xfe" + `"}`, `{"stream":"yes","model":7}`, `{"service_tier":{}}`, `{"model":"a\u0000b"}`,
		strings.Repeat("[", 200_000), strings.Repeat(`{"a":`, 100_000), `{"x":"` + strings.Repeat(`\"`, 100_000) + `","model":"m1"}`,
		`{"n":` + strings.Repeat("9", 100_000) + `}`, "model=m1&x=%ff", `{"model":"<img src=x onerror=alert(1)>"}`, `{"model":"a\nb\"c"}`,
	} {
		had := len(u.seen())
		got := c.ask(post(chatPath, body))
		switch seen := u.seen(); {
		case got.status == 400 && got.reason() == "bad_request" && len(seen) == had:
		case got.status == 200 && len(seen) == had+1 && seen[had].body == body:
		default:
			t.Errorf("%.40q: %s, %d requests upstream; want the upstream's answer to the same bytes, or 400", body, got, len(seen)-had)
		}
	}
	if got := c.ask(post(chatPath, `{"model":"`+strings.Repeat("m", 300)+`"}`)); got.status != 400 {
		t.Errorf("a model's name of 300 bytes: %s; want 400", got)
	}
}

// TestNoPathLeavesTheProvidersV1 is row 43.
func TestNoPathLeavesTheProvidersV1(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	for _, target := range []string{
		"/v1/../admin", "/v1/..", "/v1/./x", "/v1/%2e%2e/admin", "/v1/%2E%2E%2Fadmin", "/v1/..%2fadmin", "/v1/%252e%252e/admin", "/v1//x", "/v1/x//y",
		"/v1/x/../../admin", "/v1/..;/admin", "/v1/x%5c..%5cadmin", "/v1/x\\..\\admin", "/v1/%00", "/v1/x%0d%0aX:%20y", "/v1/%zz", "/v1/x%", "//v1/x",
		"/../v1/x", "/admin", "/v2/x", "/v1", "/other/v1/x", "/upstream/v1/../../x", "/%76%31/x", "/V1/x", "http://evil.example/v1/x",
		"http://127.0.0.1/v1/x", "//evil.example/v1/x", "evil.example:443", "*", "/v1/x#fragment", "/v1/" + strings.Repeat("../", 50) + "etc/passwd",
		"/v1/@evil.example/", "/v1/x?u=http://evil.example/", "/v1/.%2e/x", "/v1/caf\xc3\xa9", "/upstream/v1//evil.example/x",
	} {
		had := len(u.seen())
		got := dial(t, s.proxy).ask(post(target, chatBody))
		seen := u.seen()
		if len(seen) == had {
			if got.status < 400 || got.status >= 500 {
				t.Errorf("%q: %s; want 4xx", target, got)
			}
			continue
		}
		up := seen[had].target
		if host := seen[had].get("Host"); !strings.HasPrefix(up, "/v1/") || strings.Contains(up, "..") || strings.Contains(strings.ToLower(up), "%2e") ||
			strings.Contains(up, "//") && !strings.Contains(up, "?") || host[0] != u.listener.Addr().String() {
			t.Errorf("%q went up as %q to %q", target, up, host)
		}
	}
	for target, want := range map[string]string{
		"/v1/models/meta%2Fllama": "/v1/models/meta%2Fllama", "/upstream/v1/x?a=b%20c&d=..": "/v1/x?a=b%20c&d=..", "/v1/a:b;c=d": "/v1/a:b;c=d",
	} {
		had := len(u.seen())
		if got := dial(t, s.proxy).ask(post(target, chatBody)); got.status != 200 || len(u.seen()) != had+1 || u.seen()[had].target != want {
			t.Errorf("%q: %s; want it to go up as %q", target, got, want)
		}
	}
}

// TestNothingThatAClientSendsMakesASeries is row 44.
func TestNothingThatAClientSendsMakesASeries(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	c := dial(t, s.proxy)
	c.ask(chat())
	before := len(s.scrape())
	for i := range 300 {
		n := strconv.Itoa(i)
		c.ask(post("/v1/made/up/"+n, `{"model":"made-up-`+n+`"}`, "X-Sidecar-Agent: agent-"+n, "X-Request-Id: id-"+n, "User-Agent: ua-"+n))
		c.ask(chat("X-Sidecar-Priority: p" + n))
		c.ask(get("/nowhere/" + n))
		c.ask(get("/provider" + n + "/v1/models"))
		c.ask(get("/v1/models", "Origin: http://o"+n+".example"))
		c.ask(get("/v1/models", "Host: h"+n+".example"))
	}
	if now := len(s.scrape()); now > before+5 {
		t.Errorf("1,800 requests with made-up names made %d series of %d; want 5 more at most", now, before)
	}
}
