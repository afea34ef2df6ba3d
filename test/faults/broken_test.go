package faults

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// brokenAnswer is one of rows 1 to 7: an upstream does one thing to one request, on a fresh connection.
type brokenAnswer struct {
	name     string
	settings string
	request  string // "" = an ordinary chat
	script   func(x *turn)

	status  int
	reason  string
	cut     bool
	says    []string // parts of the body
	never   []string
	counted series
	atLeast time.Duration
	atMost  time.Duration
}

var brokenAnswers = []brokenAnswer{
	{
		name: "1 a stream that is reset after an event", request: chatStream(),
		script: func(x *turn) {
			x.write(sseHead + chunk(event("one")))
			pause(100 * time.Millisecond)
			x.conn.reset()
		},
		status: 200, cut: true, says: []string{event("one"), `data: {"error":`, "upstream_unreachable"},
		counted: series{"requests NORMAL error": 1, "upstream_errors reset": 1},
	},
	{
		name: "1 a stream without its last chunk", request: chatStream(),
		script: func(x *turn) {
			x.write(sseHead + chunk(event("one")) + chunk(event("two")))
			x.close()
		},
		status: 200, cut: true, says: []string{event("one") + event("two"), `data: {"error":`},
		counted: series{"requests NORMAL error": 1, "upstream_errors reset": 1},
	},
	{
		name: "1 a stream with a malformed chunk", request: chatStream(),
		script: func(x *turn) {
			x.write(sseHead + chunk(event("one")) + "zz\r\nnonsense")
			x.hold()
		},
		status: 200, cut: true, says: []string{event("one"), `data: {"error":`}, never: []string{"nonsense"},
		counted: series{"requests NORMAL error": 1, "upstream_errors reset": 1},
	},
	{
		name: "1 an Anthropic stream that breaks", settings: "SIDECAR_SPEAKS=both", request: post("/v1/messages", streamBody),
		script: func(x *turn) {
			x.write(sseHead + chunk("event: content_block_delta\ndata: {\"type\":\"content_block_delta\"}\n\n"))
			x.close()
		},
		status: 200, cut: true, says: []string{"event: error\ndata: {\"type\":\"error\""}, never: []string{"message_stop"},
		counted: series{"requests NORMAL error": 1, "upstream_errors reset": 1},
	},
	{
		name: "1 a body of known length that is cut",
		script: func(x *turn) {
			x.write("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + strings.Repeat("x", 20000))
			x.close()
		},
		status: 200, cut: true, never: []string{"error"},
		counted: series{"requests NORMAL error": 1, "upstream_errors short_body": 1},
	},
	{
		name: "1 a body that ends with its connection, by a reset",
		script: func(x *turn) {
			x.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf")
			pause(100 * time.Millisecond)
			x.conn.reset()
		},
		status: 200, cut: true,
		counted: series{"requests NORMAL error": 1, "upstream_errors reset": 1},
	},
	{
		name: "2 no byte of an announced body",
		script: func(x *turn) {
			x.write("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n")
			x.close()
		},
		status: 502, reason: "upstream_unreachable",
		counted: series{"requests NORMAL error": 1, "upstream_errors short_body": 1},
	},
	{
		name: "2 half of a small announced body",
		script: func(x *turn) {
			x.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":")
			x.close()
		},
		status: 502, reason: "upstream_unreachable", never: []string{"half"},
		counted: series{"requests NORMAL error": 1, "upstream_errors short_body": 1},
	},
	{
		name:   "3 no head at all",
		script: func(x *turn) { x.close() },
		status: 502, reason: "upstream_unreachable",
		counted: series{"requests NORMAL error": 1, "upstream_errors no_response": 1},
	},
	{
		name:   "3 a reset instead of a head",
		script: func(x *turn) { x.conn.reset() },
		status: 502, reason: "upstream_unreachable",
		counted: series{"requests NORMAL error": 1, "upstream_errors no_response": 1},
	},
	{
		name: "5 silence before the head", settings: "SIDECAR_HEAD_TIMEOUT=1s",
		script: (*turn).hold,
		status: 504, reason: "upstream_timeout", atLeast: time.Second, atMost: 2 * time.Second,
		counted: series{"requests NORMAL error": 1, "upstream_errors head_timeout": 1},
	},
	{
		name: "6 silence inside a stream, with half a frame", settings: "SIDECAR_STREAM_IDLE_TIMEOUT=1s", request: chatStream(),
		script: func(x *turn) {
			x.write(sseHead + chunk(event("one")+`data: {"half`))
			x.hold()
		},
		status: 200, cut: true, says: []string{event("one") + "data: {\"error\":", "upstream_timeout"}, never: []string{`"half`},
		counted: series{"requests NORMAL error": 1, "upstream_errors idle": 1}, atLeast: time.Second, atMost: 2 * time.Second,
	},
	{
		name: "6 silence inside a body that is no stream", settings: "SIDECAR_STREAM_IDLE_TIMEOUT=1s",
		script: func(x *turn) {
			x.write("HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\nhalf")
			x.hold()
		},
		status: 200, cut: true, atLeast: time.Second, atMost: 2 * time.Second,
		counted: series{"requests NORMAL error": 1, "upstream_errors idle": 1},
	},
	{
		name: "7 what is not HTTP",
		script: func(x *turn) {
			x.write("SSH-2.0-OpenSSH_9.6\r\n\r\n")
			x.hold()
		},
		status: 502, reason: "upstream_unreachable", never: []string{"SSH"},
		counted: series{"requests NORMAL error": 1, "upstream_errors protocol": 1},
	},
	{
		name: "7 a head without an end",
		script: func(x *turn) {
			x.write("HTTP/1.1 200 OK\r\n")
			for range 400 {
				x.write("X-More: " + strings.Repeat("m", 1000) + "\r\n")
			}
			x.hold()
		},
		status: 502, reason: "upstream_unreachable",
		counted: series{"requests NORMAL error": 1, "upstream_errors protocol": 1},
	},
	{
		name: "7 a switch to a protocol that nobody asked for",
		script: func(x *turn) {
			x.write("HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nbytes of another protocol")
			x.hold()
		},
		status: 502, reason: "upstream_unreachable", never: []string{"another"},
		counted: series{"requests NORMAL error": 1, "upstream_errors protocol": 1},
	},
	{
		name: "7 repeated lengths that differ",
		script: func(x *turn) {
			x.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc")
			x.hold()
		},
		status: 502, reason: "upstream_unreachable",
		counted: series{"requests NORMAL error": 1, "upstream_errors protocol": 1},
	},
}

// rejected is the reason that log and metrics give: also where the head had been sent and could not say it any more.
func (test *brokenAnswer) rejected() string {
	if test.counted["upstream_errors idle"]+test.counted["upstream_errors head_timeout"] > 0 {
		return "upstream_timeout"
	}
	return "upstream_unreachable"
}

func TestABrokenAnswerIsAnHonestFailureAndEndsItsConnection(t *testing.T) {
	t.Parallel()
	for _, test := range brokenAnswers {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, test.script)
			s := start(t, u, unpaced, test.settings)
			before := s.scrape()
			text := test.request
			if text == "" {
				text = chat()
			}
			began := time.Now()
			c := dial(t, s.proxy)
			got := c.ask(text)
			took := time.Since(began)
			if got.status != test.status || got.reason() != test.reason || got.whole == test.cut {
				t.Errorf("answer: %s; want %d, reason %q, whole %v", got, test.status, test.reason, !test.cut)
			}
			for _, part := range test.says {
				if !strings.Contains(got.body, part) {
					t.Errorf("the body %q lacks %q", got.body, part)
				}
			}
			for _, part := range append(test.never, "[DONE]") {
				if strings.Contains(got.body, part) {
					t.Errorf("the body %q holds %q", got.body, part)
				}
			}
			if test.cut && !c.closed(patience) {
				t.Errorf("the connection of a cut answer stays open")
			}
			if most := max(test.atMost, test.atLeast); most > 0 && (took < test.atLeast || took > most) {
				t.Errorf("it took %s; want %s to %s", took, test.atLeast, most)
			}
			s.wantCounted(before, test.counted.and("rejections "+test.rejected()))
			u.wantSeen(1)
			if !until(soon, func() bool { _, open := u.connections(); return open == 0 }) {
				t.Errorf("the connection to the upstream stays open")
			}
		})
	}
}

// TestAnUnreachableUpstreamIsToldInTimeAndComesBackByItself is row 4.
func TestAnUnreachableUpstreamIsToldInTimeAndComesBackByItself(t *testing.T) {
	t.Parallel()
	plain, silent := listenTCP(t), listenTCP(t)
	go func() {
		for {
			c, err := plain.Accept()
			if err != nil {
				return
			}
			reply(c, "400 Bad Request", "Connection: close", "")
			_ = c.Close()
		}
	}()
	address := refuse(t, "127.77.0.1:0")
	for _, test := range []struct {
		name, url, code string
		attempts        float64
	}{
		{"a refused connection", "http://" + address + "/v1", "connect", 4},
		{"a name that is none", "http://nim-sidecar.invalid/v1", "dns", 4},
		{"no TLS on the other side", "https://" + plain.Addr().String() + "/v1", "tls", 4},
		{"a handshake that hangs", "https://" + silent.Addr().String() + "/v1", "tls", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, nil, unpaced, "SIDECAR_UPSTREAM_URL="+test.url)
			before := s.scrape()
			began := time.Now()
			got := dial(t, s.proxy).ask(chat())
			if took := time.Since(began); took > 10*time.Second {
				t.Errorf("the failure was told after %s; want 10 s at most", took)
			}
			if got.status != 502 || got.reason() != "upstream_unreachable" || got.get("X-Should-Retry") != "true" {
				t.Errorf("answer: %s; want 502 upstream_unreachable, to be sent again", got)
			}
			if attempts := got.get("X-Sidecar-Attempts"); attempts != fmt.Sprint(test.attempts) {
				t.Errorf("X-Sidecar-Attempts = %s; want %v", attempts, test.attempts)
			}
			s.wantCounted(before, series{
				"requests NORMAL error": 1, "rejections upstream_unreachable": 1, "upstream_errors " + test.code: test.attempts, "retries broken": test.attempts - 1,
			})
		})
	}
	t.Run("back without a restart", func(t *testing.T) {
		t.Parallel()
		address := refuse(t, "127.77.0.2:0")
		s := start(t, nil, unpaced, "SIDECAR_UPSTREAM_URL=http://"+address+"/v1")
		if got := dial(t, s.proxy).ask(chat()); got.status != 502 {
			t.Fatalf("answer: %s; want 502", got)
		}
		l, err := net.Listen("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		serveOn(t, l, func(x *turn) { x.ok() })
		if got := dial(t, s.proxy).ask(chat()); got.status != 200 {
			t.Errorf("answer after the upstream came back: %s; want 200", got)
		}
	})
}

// refuse returns a free port of an address, where nobody listens. The address should be the test's own, so that no other is given the port.
func refuse(t *testing.T, address string) string {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return l.Addr().String()
}

// TestAnUpstreamThatIsDownLeavesTheProbesQuick is row 18.
func TestAnUpstreamThatIsDownLeavesTheProbesQuick(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0") // connects and never answers
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	s := start(t, nil, unpaced, "SIDECAR_UPSTREAM_URL=http://"+silent.Addr().String()+"/v1")
	for path, want := range map[string]int{"/livez": 200, "/healthz": 200, "/readyz": 503, "/readyz?verbose": 503} {
		for range 5 {
			c := dial(t, s.proxy)
			began := time.Now()
			got := c.ask(get(path))
			if took := time.Since(began); got.status != want || took > soon {
				t.Errorf("GET %s = %d after %s; want %d within %s", path, got.status, took, want, soon)
			}
		}
	}
	if got := dial(t, s.metrics).ask(get("/livez")); got.status != 200 {
		t.Errorf("GET /livez on the metrics port = %s; want 200", got)
	}
	if v := s.gauge("sidecar_health_status"); v != 0 {
		t.Errorf("sidecar_health_status = %v; want 0", v)
	}
}

func TestProbesAskTheUpstreamAtMostOnceInAWhile(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	if !until(patience, func() bool { return dial(t, s.proxy).ask(get("/readyz")).status == 200 }) {
		t.Errorf("GET /readyz never said 200")
	}
	before := u.pings.Load()
	for range 100 {
		dial(t, s.proxy).ask(get("/readyz"))
	}
	if asked := u.pings.Load() - before; asked > 1 {
		t.Errorf("100 probes asked the upstream %d times; want 1 at most", asked)
	}
	u.wantSeen(0)
}

// TestWhatHTTPAllowsPassesUnchanged is row 9.
func TestWhatHTTPAllowsPassesUnchanged(t *testing.T) {
	t.Parallel()
	packed := pack(strings.Repeat("packed ", 1000))
	u := serve(t, func(x *turn) {
		switch x.target {
		case "/v1/hints":
			x.write("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
			x.ok()
		case "/v1/trailers":
			x.write("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("abc") + "0\r\nX-Sum: 6\r\n\r\n")
		case "/v1/packed":
			x.reply("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip", packed)
		case "/v1/empty":
			x.write("HTTP/1.1 204 No Content\r\n\r\n")
		case "/v1/head":
			x.write("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
		default:
			x.ok()
		}
	})
	s := start(t, u, unpaced)
	c := dial(t, s.proxy)
	if got := c.ask(post("/v1/hints", "{}")); got.status != 200 || fmt.Sprint(got.interim) != "[103 102]" || got.body != completion {
		t.Errorf("interim answers %v, then %s; want 103, 102 and the answer", got.interim, got)
	}
	if got := c.ask(post("/v1/trailers", "{}", "TE: trailers")); got.body != "abc" || fmt.Sprint(got.trailer) != "[X-Sum: 6]" {
		t.Errorf("trailer %q of %s; want X-Sum: 6", got.trailer, got)
	}
	if got := c.ask(post("/v1/packed", "{}", "Accept-Encoding: gzip")); got.body != packed || got.get("Content-Encoding") != "gzip" {
		t.Errorf("a packed answer does not pass as it is: %s", got)
	}
	if got := c.ask(post("/v1/plain", "{}")); got.body != completion {
		t.Errorf("answer: %s; want %q", got, completion)
	}
	if got := c.ask(post("/v1/empty", "{}")); got.status != 204 || got.get("Content-Length") != "" {
		t.Errorf("answer: %s; want an empty 204", got)
	}
	if got := c.ask(build("HEAD", "/v1/head", nil, "")); got.status != 200 || got.get("Content-Length") != "12345" {
		t.Errorf("HEAD: %s; want 200 and the length", got)
	}
	if got := c.ask(build("OPTIONS", chatPath, nil, "")); got.status != 200 {
		t.Errorf("OPTIONS: %s; want 200", got)
	}
	u.wantSeen(7)
	for _, r := range u.seen() {
		if accepts := r.get("Accept-Encoding"); len(accepts) > 0 != (r.target == "/v1/packed") {
			t.Errorf("%s went up with Accept-Encoding %q; want the client's own only", r.target, accepts)
		}
	}
}

// pack compresses a text.
func pack(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// TestABombCostsNoMemory is the last sentence of row 9.
func TestABombCostsNoMemory(t *testing.T) {
	t.Parallel()
	bomb := pack(strings.Repeat("\x00", 200<<20))
	u := serve(t, func(x *turn) {
		status := "200 OK"
		if x.number%2 == 0 {
			status = "400 Bad Request"
		}
		x.reply(status, "Content-Type: application/json\r\nContent-Encoding: gzip", bomb)
	})
	s := start(t, u, unpaced)
	for i := range 4 {
		if got := dial(t, s.proxy).ask(chat()); got.body != bomb {
			t.Errorf("answer %d has status %d and %d bytes; want the %d bytes as they came", i, got.status, len(got.body), len(bomb))
		}
	}
	if most := s.memory("VmHWM"); most > 96<<10 {
		t.Errorf("the program took %d KiB; want less than 96 MiB", most)
	}
}
