package faults

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestOneRefusalIsWaitedOutUnseen is row 10.
func TestOneRefusalIsWaitedOutUnseen(t *testing.T) {
	t.Parallel()
	var again time.Time
	u := serve(t, func(x *turn) {
		if x.number == 1 {
			again = time.Now().Add(time.Second)
			x.reply("429 Too Many Requests", "Retry-After: 1", "slow down")
			return
		}
		if time.Now().Before(again) {
			t.Errorf("the upstream said Retry-After: 1 and was asked %s earlier", time.Until(again))
		}
		x.ok()
	})
	s := start(t, u, unpaced)
	before := s.scrape()
	got := dial(t, s.proxy).ask(chat())
	if got.status != 200 || got.body != completion || got.get("X-Sidecar-Attempts") != "2" {
		t.Errorf("answer: %s; want 200 of the second attempt", got)
	}
	s.wantCounted(before, series{"requests NORMAL success": 1, "upstream_errors 429": 1, "retries quota": 1})
	u.wantSeen(2)
}

// TestNothingButRefusalsEndsWithAnAnswer is row 11.
func TestNothingButRefusalsEndsWithAnAnswer(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.reply("429 Too Many Requests", "Retry-After: 30", "slow down") })
	s := start(t, u, unpaced)
	before := s.scrape()
	began := time.Now()
	got := dial(t, s.proxy).ask(chat("X-Sidecar-Max-Wait: 2s"))
	if took := time.Since(began); took > soon {
		t.Errorf("it took %s; want it told at once, since the upstream's pause ends after the deadline", took)
	}
	wait, _ := strconv.Atoi(got.get("Retry-After"))
	if got.status != 429 || got.reason() != "upstream_rate_limited" || wait < 1 || wait > 60 {
		t.Errorf("answer: %s; want 429 upstream_rate_limited and a Retry-After of 1 to 60", got)
	}
	if milliseconds, _ := strconv.Atoi(got.get("Retry-After-Ms")); milliseconds > wait*1000 || milliseconds <= (wait-1)*1000 {
		t.Errorf("Retry-After-Ms = %s beside Retry-After = %d", got.get("Retry-After-Ms"), wait)
	}
	s.wantCounted(before, series{"requests NORMAL ratelimited": 1, "rejections upstream_rate_limited": 1, "upstream_errors 429": 1})
	if rate := s.gauge("sidecar_upstream_429_rate"); rate != 1 {
		t.Errorf("sidecar_upstream_429_rate = %v; want 1", rate)
	}
	u.wantSeen(1)
}

// TestAClientsMistakeIsPassedOnOnceByteForByte is row 12.
func TestAClientsMistakeIsPassedOnOnceByteForByte(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 404, 413, 422} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			const body = `{"error":{"message":"caf` + "\xc3\xa9 \x01" + `","type":"invalid_request_error"}} `
			u := serve(t, func(x *turn) { x.reply(fmt.Sprintf("%d Because", status), "Content-Type: application/json", body) })
			s := start(t, u, unpaced)
			before := s.scrape()
			got := dial(t, s.proxy).ask(chat())
			if got.status != status || got.body != body || got.reason() != "" || got.get("X-Sidecar-Attempts") != "1" {
				t.Errorf("answer: %s; want %d %q of the only attempt", got, status, body)
			}
			s.wantCounted(before, series{"requests NORMAL error": 1, "upstream_errors " + strconv.Itoa(status): 1})
			u.wantSeen(1)
		})
	}
	t.Run("problem+json becomes the shape of the path", func(t *testing.T) {
		t.Parallel()
		u := serve(t, func(x *turn) {
			x.reply("400 Bad Request", "Content-Type: application/problem+json", `{"type":"urn:x","title":"Bad Request","status":400,"detail":"no such voice"}`)
		})
		s := start(t, u, unpaced)
		for _, path := range []string{chatPath, "/v1/messages"} {
			if got := dial(t, s.proxy).ask(post(path, messagesBody)); got.status != 400 || !strings.Contains(got.message(), "no such voice") {
				t.Errorf("%s: %s; want 400 with the detail as its message", path, got)
			}
		}
	})
}

// TestADeadKeyIsReplacedAndNeverShown is row 13.
func TestADeadKeyIsReplacedAndNeverShown(t *testing.T) {
	t.Parallel()
	const second = "nvapi-second-77aa11"
	dead := map[string]bool{}
	u := serve(t, func(x *turn) {
		key := strings.TrimPrefix(x.get("Authorization")[0], "Bearer ")
		if dead[key] {
			x.reply("401 Unauthorized", "Content-Type: application/json\r\nWWW-Authenticate: Bearer "+key, `{"error":{"message":"key `+key+` is dead"}}`)
			return
		}
		x.ok()
	})
	s := start(t, u, unpaced, "SIDECAR_API_KEYS="+canaryKey+","+second)
	dead[canaryKey] = true
	c := dial(t, s.proxy)
	for range 4 {
		if got := c.ask(chat()); got.status != 200 {
			t.Errorf("with one of two keys dead: %s; want 200", got)
		}
	}
	if n := len(u.seen()); n != 5 {
		t.Errorf("4 requests made %d attempts; want 5: the dead key is tried once", n)
	}
	dead[second] = true
	got := c.ask(chat())
	if got.status != 401 || !strings.Contains(got.body, "is dead") || strings.Contains(got.body+got.get("WWW-Authenticate"), second) {
		t.Errorf("with all keys dead: %s; want the upstream's 401 without the key", got)
	}
	if !until(15*time.Second, func() bool { return dial(t, s.proxy).ask(get("/readyz")).status == 503 }) {
		t.Errorf("GET /readyz still says that it is ready, with all keys dead")
	}
}

// TestAServerErrorIsTriedOnceMore is row 14.
func TestAServerErrorIsTriedOnceMore(t *testing.T) {
	t.Parallel()
	for _, status := range []int{500, 502, 503, 504} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			t.Parallel()
			const body = `{"error":{"message":"trouble"}}`
			u := serve(t, func(x *turn) { x.reply(fmt.Sprintf("%d Trouble", status), "Content-Type: application/json", body) })
			s := start(t, u, unpaced)
			got := dial(t, s.proxy).ask(chat())
			if got.status != status || got.body != body || got.reason() != "" || got.get("X-Sidecar-Attempts") != "2" {
				t.Errorf("answer: %s; want the upstream's own %d of the second attempt", got, status)
			}
			u.wantSeen(2)
		})
	}
	t.Run("a second attempt that goes well", func(t *testing.T) {
		t.Parallel()
		var refused time.Time
		u := serve(t, func(x *turn) {
			if x.number == 1 {
				refused = time.Now()
				x.reply("503 Service Unavailable", "Retry-After: 1", "busy")
				return
			}
			if waited := time.Since(refused); waited < time.Second {
				t.Errorf("asked again after %s; want Retry-After: 1 to be heeded", waited)
			}
			x.ok()
		})
		s := start(t, u, unpaced)
		if got := dial(t, s.proxy).ask(chat()); got.status != 200 {
			t.Errorf("answer: %s; want 200", got)
		}
	})
}

// TestAnAnswerBeforeTheBodyIsReadReachesTheClient is row 15.
func TestAnAnswerBeforeTheBodyIsReadReachesTheClient(t *testing.T) {
	t.Parallel()
	l := listenTCP(t)
	s := start(t, nil, unpaced, "SIDECAR_UPSTREAM_URL=http://"+l.Addr().String()+"/v1")
	go func() { // answers as soon as the head is there, reads no more, and closes
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 512)
			_, _ = c.Read(b)
			reply(c, "413 Content Too Large", "Connection: close", "too much")
			_ = c.Close()
		}
	}()
	body := `{"model":"m1","input":"` + strings.Repeat("x", 4<<20) + `"}`
	for i := range 10 {
		if got := dial(t, s.proxy).ask(post(chatPath, body)); got.status != 413 || got.body != "too much" {
			t.Errorf("answer %d of 10: %s; want the upstream's 413", i, got)
		}
	}
}

// TestARedirectIsPassedOnAndNotFollowed is row 16 and a part of threat 4.
func TestARedirectIsPassedOnAndNotFollowed(t *testing.T) {
	t.Parallel()
	trap := serve(t, func(x *turn) {
		t.Errorf("the sidecar followed a redirect: %s %s", x.method, x.target)
		x.ok()
	})
	u := serve(t, func(x *turn) {
		x.reply(strings.TrimPrefix(x.target, "/v1/")+" Elsewhere", "Location: "+trap.url()+"/chat/completions", "moved")
	})
	s := start(t, u, unpaced)
	for _, status := range []int{301, 302, 303, 307, 308} {
		got := dial(t, s.proxy).ask(post(fmt.Sprintf("/v1/%d", status), chatBody))
		if got.status != status || got.body != "moved" || !strings.HasPrefix(got.get("Location"), trap.url()) {
			t.Errorf("answer: %s; want %d as it came", got, status)
		}
	}
	u.wantSeen(5)
	trap.wantSeen(0)
}
