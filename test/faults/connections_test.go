package faults

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// numbered is a request that its answer must name.
func numbered(number string) string { return post(chatPath, `{"model":"m1","n":"`+number+`"}`) }

// number finds it.
func number(body string) string {
	_, rest, _ := strings.Cut(body, `"n":"`)
	n, _, _ := strings.Cut(rest, `"`)
	return n
}

// answerTo is an answer that names its request.
func answerTo(number string) string {
	body := `{"n":"` + number + `"}`
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

// TestAnUnaskedAnswerReachesNobody is row 8 and the first of section 6: 600 rounds, in each of which an upstream answers twice.
func TestAnUnaskedAnswerReachesNobody(t *testing.T) {
	t.Parallel()
	const rounds = 600
	for _, test := range []struct {
		name   string
		script func(x *turn, stray func())
	}{
		{"both answers in one write", func(x *turn, stray func()) {
			x.write(answerTo(number(x.body)) + answerTo("stray"))
			stray()
		}},
		{"the stray one before the next request", func(x *turn, stray func()) {
			x.write(answerTo(number(x.body)))
			x.write(answerTo("stray"))
			stray()
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			sent := make(chan struct{}, 1)
			u := serve(t, func(x *turn) { test.script(x, func() { sent <- struct{}{} }) })
			s := start(t, u, unpaced)
			c := dial(t, s.proxy)
			wrong := 0
			for i := range rounds {
				n := strconv.Itoa(i)
				got := c.ask(numbered(n))
				if got.status != 200 || number(got.body) != n {
					if wrong++; wrong < 5 {
						t.Errorf("the answer to request %s: %s", n, got)
					}
				}
				<-sent
			}
			if wrong > 0 {
				t.Errorf("%d of %d answers were not the request's own", wrong, rounds)
			}
			u.wantSeen(rounds)
			if n := s.gauge("sidecar_unsolicited_responses_total"); n < rounds/2 {
				t.Errorf("sidecar_unsolicited_responses_total = %v; want about %d", n, rounds)
			}
		})
	}
}

// TestStrayBytesEndTheConnection is the rest of row 8.
func TestStrayBytesEndTheConnection(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]string{
		"a body after 204":           "HTTP/1.1 204 No Content\r\n\r\nnobody asked",
		"a body after 304":           "HTTP/1.1 304 Not Modified\r\n\r\nnobody asked",
		"bytes after the last chunk": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("abc") + "0\r\n\r\nmore",
		"both framings": "HTTP/1.1 200 OK\r\nContent-Length: 8\r\nTransfer-Encoding: chunked\r\n\r\n" +
			chunk("abc") + "0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := serve(t, func(x *turn) {
				if x.number == 1 {
					x.write(first)
					return
				}
				x.write(answerTo(number(x.body)))
			})
			s := start(t, u, unpaced)
			c := dial(t, s.proxy)
			got := c.ask(numbered("1"))
			if strings.Contains(got.body, "nobody asked") || strings.Contains(got.body, "more") {
				t.Errorf("the first answer holds stray bytes: %s", got)
			}
			if got := c.ask(numbered("2")); got.status != 200 || number(got.body) != "2" {
				t.Errorf("the next answer: %s; want its own", got)
			}
			// Of two framings net/http keeps no trace, so that connection may be used again.
			if opened, _ := u.connections(); opened != 2 && name != "both framings" {
				t.Errorf("the upstream had %d connections; want the first one not to be used again", opened)
			}
			u.wantSeen(2)
		})
	}
}

// TestStaleConnectionsFailNobody is section 1.2: the upstream closes each connection at the moment in which it becomes idle, or a little
// later, which is when the next request may be on its way.
func TestStaleConnectionsFailNobody(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		x.write(answerTo(number(x.body)))
		pause(time.Duration(x.number%3) * 300 * time.Microsecond)
		x.close()
	})
	s := start(t, u, unpaced)
	c := dial(t, s.proxy)
	const rounds = 150
	for i := range rounds {
		n := strconv.Itoa(i)
		if got := c.ask(numbered(n)); got.status != 200 || number(got.body) != n {
			t.Errorf("request %s: %s", n, got)
		}
	}
	times := map[string]int{}
	for _, r := range u.seen() {
		times[number(r.body)]++
	}
	for n, ran := range times {
		if ran != 1 {
			t.Errorf("request %s ran %d times", n, ran)
		}
	}
	u.wantSeen(rounds)
}

// TestAConnectionThatDiesUnderARequestIsReplaced is the second half of row 3: the upstream takes the request and closes without a byte.
func TestAConnectionThatDiesUnderARequestIsReplaced(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) {
		if x.on == 2 {
			x.close()
			return
		}
		x.write(answerTo(number(x.body)))
	})
	s := start(t, u, unpaced)
	c := dial(t, s.proxy)
	for i, attempts := range []string{"1", "2", "2"} {
		n := strconv.Itoa(i)
		if got := c.ask(numbered(n)); got.status != 200 || number(got.body) != n || got.get("X-Sidecar-Attempts") != attempts {
			t.Errorf("request %d: %s; want its own answer of attempt %s", i, got, attempts)
		}
	}
}

// TestManyAtOnceGetTheirOwnAnswers is section 6: 300 at once with random delays.
func TestManyAtOnceGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	const crowd = 300
	u := serve(t, func(x *turn) {
		n, _ := strconv.Atoi(number(x.body))
		pause(time.Duration(n*7919%200) * time.Millisecond)
		x.write(answerTo(number(x.body)))
	})
	s := start(t, u, unpaced)
	before := s.scrape()
	var group sync.WaitGroup
	for i := range crowd {
		c := dial(t, s.proxy)
		group.Go(func() {
			n := strconv.Itoa(i)
			if got := c.ask(numbered(n)); got.status != 200 || number(got.body) != n {
				t.Errorf("request %s: %s", n, got)
			}
		})
	}
	group.Wait()
	u.wantSeen(crowd)
	s.wantCounted(before, series{"requests NORMAL success": crowd})
}

func TestOneAfterTheOtherShareAFewConnections(t *testing.T) {
	t.Parallel()
	u := serve(t, func(x *turn) { x.ok() })
	s := start(t, u, unpaced)
	for range 40 {
		dial(t, s.proxy).ask(chat())
	}
	if opened, _ := u.connections(); opened > 5 {
		t.Errorf("40 requests opened %d connections; want 5 at most", opened)
	}
}

// TestAnEventPassesBeforeTheNextOneExists is section 6.
func TestAnEventPassesBeforeTheNextOneExists(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	u := serve(t, func(x *turn) {
		x.write(sseHead)
		for i := range 5 {
			x.write(chunk(event(strconv.Itoa(i))))
			select {
			case <-next:
			case <-x.conn.gone:
				return
			}
		}
		x.write(chunk("data: [DONE]\n\n") + "0\r\n\r\n")
	})
	s := start(t, u, unpaced)
	c := dial(t, s.proxy)
	c.send(chatStream())
	for i := range 5 {
		asked := time.Now()
		if !until(patience, func() bool { return strings.Contains(c.received.String(), event(strconv.Itoa(i))) }) {
			t.Fatalf("event %d does not come before the next one: %q", i, c.received.String())
		}
		if took := time.Since(asked); took > soon {
			t.Errorf("event %d took %s; want %s at most", i, took, soon)
		}
		next <- struct{}{}
	}
	if got := c.receive("POST"); !got.whole || !strings.HasSuffix(got.body, "data: [DONE]\n\n") {
		t.Errorf("the stream ends as %s", got)
	}
}

// TestAStreamCutAnywherePassesByteForByte is section 6: no cut between two writes, inside of a character or of CR LF, changes a byte.
func TestAStreamCutAnywherePassesByteForByte(t *testing.T) {
	t.Parallel()
	const text = ": hello\r\n\r\ndata: {\"t\":\"caf\xc3\xa9 \xf0\x9f\x98\x80\"}\r\n\r\nid: 1\rdata: x\r\revent: e\ndata: y\n\ndata: [DONE]\n\n"
	u := serve(t, func(x *turn) {
		at, _ := strconv.Atoi(number(x.body))
		x.write(sseHead + chunk(text[:at]))
		x.write(chunk(text[at:]) + "0\r\n\r\n")
	})
	s := start(t, u, unpaced)
	c := dial(t, s.proxy)
	for at := 1; at < len(text); at++ {
		got := c.ask(post(chatPath, `{"model":"m1","stream":true,"n":"`+strconv.Itoa(at)+`"}`))
		if !got.whole || got.body != text {
			t.Errorf("cut at %d: %s; want %q", at, got, text)
		}
	}
}

// stalled is a connection of a client that never reads.
func stalled(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}
