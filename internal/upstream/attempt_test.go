package upstream

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
)

func TestAttemptSendsTheRequestInOneWriteAndReturnsItsAnswer(t *testing.T) {
	t.Parallel()
	var request string
	handle := func(c net.Conn) {
		b := make([]byte, 4096)
		n, _ := c.Read(b)
		request = string(b[:n])
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nAccess-Control-Allow-Origin: *\r\nKeep-Alive: timeout=5\r\n"+
			"Connection: X-Hop\r\nX-Hop: 1\r\nNvcf-Reqid: 42\r\nContent-Length: 2\r\n\r\nok")
		hangs(c)
	}
	p := Provider{Accounts: accounts("one"), NVIDIA: true}
	bubble(t, p, handle, func(r *rig) {
		var sent atomic.Int64
		a := r.attemptFirst(r.t.Context(), &Request{
			Method: "POST", Path: "/chat/completions", RawQuery: "a=b%20c",
			Header:   http.Header{"Content-Type": {"application/json"}, "Content-Length": {"7"}, "X-Sidecar-Agent": {"me"}, "User-Agent": {"agent/1"}},
			Body:     []byte(`{"a":1}`),
			Deadline: time.Now().Add(90 * time.Second),
			Sent:     func() { sent.Add(1) },
		})
		defer a.Close()
		synctest.Wait()
		want := "POST /v1/chat/completions?a=b%20c HTTP/1.1\r\nHost: up.test:80\r\nUser-Agent: nim-sidecar\r\nContent-Length: 7\r\n" +
			"Authorization: Bearer secret-of-one\r\nContent-Type: application/json\r\nNvcf-Poll-Seconds: 90\r\n\r\n" + `{"a":1}`
		if request != want {
			t.Errorf("the upstream read at once\n%q; want\n%q", request, want)
		}
		if a.Status != 200 || a.ContentLength != 2 || a.KeyAlias != "one-key" || !a.Written || a.Reused || sent.Load() != 1 {
			t.Errorf("answer = %d, length %d, key %q, written %t, reused %t, sent %d times; want 200, 2, one-key, true, false, 1",
				a.Status, a.ContentLength, a.KeyAlias, a.Written, a.Reused, sent.Load())
		}
		expectOutcome(t, a, hint.OK, "")
		if a.Outcome.ReqID != "42" {
			t.Errorf("ReqID = %q; want 42", a.Outcome.ReqID)
		}
		for _, name := range []string{"Access-Control-Allow-Origin", "Keep-Alive", "Connection", "X-Hop"} {
			if a.Header[name] != nil {
				t.Errorf("the answer's header has %s", name)
			}
		}
		expectWhole(t, a, "ok")
	})
}

func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	chunked := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
	refused := "HTTP/1.1 429 Too Many Requests\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"
	for _, text := range []string{ok, chunked, refused} {
		bubble(t, Provider{}, replies(text, false), func(r *rig) {
			for i := range 40 {
				a := r.post()
				if a.Reused != (i > 0) {
					t.Errorf("request %d: Reused = %t", i, a.Reused)
				}
				if a.Status == 200 {
					expectWhole(t, a, "ok")
				}
				a.Close() // a refusal's body has been read for its class
			}
			if open := r.network.Open(); open != 1 {
				t.Errorf("%d connections are open; want 1", open)
			}
			if strays := r.Unsolicited(); strays != 0 {
				t.Errorf("Unsolicited() = %d; want 0", strays)
			}
		})
	}
}

func TestSilenceBeforeTheHeadEndsAtTheHeadTimeout(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{HeadTimeout: 7 * time.Second}, hangs, func(r *rig) {
		start := time.Now()
		a := r.post()
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("took %v; want 7s", took)
		}
		expectOutcome(t, a, hint.Broken, hint.FaultHeadTimeout)
		if !a.Written || a.Status != 0 || a.Header != nil {
			t.Errorf("written %t, status %d, header %v; want true, 0, none", a.Written, a.Status, a.Header)
		}
		synctest.Wait()
		if open := r.network.Open(); open != 0 {
			t.Errorf("the upstream's connection is still open")
		}
	})
}

// trickle answers with the head and then with one chunk an event, each after its pause.
func trickle(head string, chunks ...string) func(net.Conn) {
	return each(func(c net.Conn, _ *http.Request, _ string) bool {
		_, _ = io.WriteString(c, head)
		for _, chunk := range chunks {
			pause, text, _ := strings.Cut(chunk, "|")
			d, err := time.ParseDuration(pause)
			if err != nil {
				panic(err)
			}
			time.Sleep(d)
			if _, err := io.WriteString(c, text); err != nil {
				return false
			}
		}
		return false
	})
}

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	event      = "9\r\ndata: x\n\n\r\n"
	lastChunk  = "0\r\n\r\n"
)

func TestSilenceInsideAStreamEndsAtTheIdleTimeout(t *testing.T) {
	t.Parallel()
	p := Provider{StreamIdleTimeout: 5 * time.Second}
	bubble(t, p, trickle(streamHead, "4s|"+event, "4s|"+event, "1h|"+event), func(r *rig) {
		a := r.post()
		defer a.Close()
		start := time.Now()
		expectBroken(t, a, "data: x\n\ndata: x\n\n", hint.FaultIdle)
		if took := time.Since(start); took != 13*time.Second {
			t.Errorf("took %v; want 4s + 4s + 5s of silence", took)
		}
	})
}

func TestASlowClientIsNotASilentUpstream(t *testing.T) {
	t.Parallel()
	p := Provider{StreamIdleTimeout: 5 * time.Second, HeadTimeout: time.Second}
	bubble(t, p, trickle(streamHead, "0s|"+event, "30m|"+event+lastChunk), func(r *rig) {
		a := r.post()
		defer a.Close()
		b := make([]byte, 9)
		_, err := io.ReadFull(a, b)
		time.Sleep(time.Hour)
		if err != nil {
			t.Error(err)
		}
		expectWhole(t, a, "data: x\n\n")
	})
}

func TestAClientThatLeavesEndsTheUpstreamsConnectionAtOnce(t *testing.T) {
	t.Parallel()
	answers := map[string][]string{ // a head, and chunks
		"before the head": {"", "1h|"},
		"in mid-stream":   {streamHead, "0s|" + event, "1h|" + event},
		"in a short body": {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", "0s|abc", "1h|"},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var ended time.Time
			bubble(t, Provider{}, func(c net.Conn) { hangsUntil(c, trickle(answer[0], answer[1:]...), &ended) }, func(r *rig) {
				ctx, cancel := context.WithCancel(r.t.Context())
				left := time.AfterFunc(3*time.Second, cancel)
				defer left.Stop()
				start := time.Now()
				a := post(ctx, r.Table, "hello")
				if a.Status == 0 {
					expectOutcome(t, a, hint.Cancelled, "")
				}
				_, err := io.ReadAll(a)
				if broken, ok := err.(*BodyError); !ok || broken.Fault != "" {
					t.Errorf("reading gave %v; want a *BodyError without a fault", err)
				}
				a.Close()
				if took := time.Since(start); took != 3*time.Second {
					t.Errorf("ended after %v; want 3s", took)
				}
				synctest.Wait()
				if took := ended.Sub(start); took != 3*time.Second {
					t.Errorf("the upstream saw it after %v; want 3s", took)
				}
			})
		})
	}
}

// hangsUntil handles a connection and notes when its peer closed it.
func hangsUntil(c net.Conn, handle func(net.Conn), ended *time.Time) {
	near, far := net.Pipe() // what the peer sends goes on to handle
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(far, c)
		*ended = time.Now()
		far.Close()
	})
	wg.Go(func() { _, _ = io.Copy(c, far) })
	handle(near)
	wg.Wait()
}

func TestClosingAnAnswerEndsTheUpstreamsConnection(t *testing.T) {
	t.Parallel()
	for _, read := range []bool{false, true} {
		broke := make(chan error, 1)
		handle := each(func(c net.Conn, _ *http.Request, _ string) bool {
			_, _ = io.WriteString(c, streamHead)
			for {
				if _, err := io.WriteString(c, event); err != nil {
					broke <- err
					return false
				}
			}
		})
		bubble(t, Provider{}, handle, func(r *rig) {
			a := r.post()
			if read {
				a.First(nil, time.Minute, func() {})
				_, _ = io.CopyN(io.Discard, a, 1<<20)
			}
			a.Close()
			a.Close() // twice is allowed
			synctest.Wait()
			select {
			case <-broke:
			default:
				t.Error("the upstream can still write")
			}
			if n, err := io.Copy(io.Discard, a); err == nil || n > smallBody {
				t.Errorf("a closed answer gave %d bytes, %v; want an error", n, err)
			}
		})
	}
}

func TestInterimAnswersArePassedOnBut100(t *testing.T) {
	t.Parallel()
	text := "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: close\r\nAccess-Control-Allow-Origin: *\r\n\r\n" + ok
	bubble(t, Provider{}, replies(text, false), func(r *rig) {
		var got []string
		a := r.attemptFirst(r.t.Context(), &Request{Method: "GET", Path: "/models", Interim: func(status int, h http.Header) {
			got = append(got, fmt.Sprint(status, h))
		}})
		defer a.Close()
		if want := "[103 map[Link:[</a>]]]"; fmt.Sprint(got) != want {
			t.Errorf("Interim got %v; want %s", got, want)
		}
		expectWhole(t, a, "ok")
	})
}

func TestInterimIsNeverCalledAfterAttempt(t *testing.T) {
	t.Parallel()
	called := 0
	a := &attempt{provider: configured(t, false), request: &Request{Interim: func(int, http.Header) { called++ }}}
	for _, over := range []bool{false, true} {
		if err := a.got1xx(http.StatusEarlyHints, nil); err != nil {
			t.Error(err)
		}
		if called != 1 {
			t.Errorf("after the end %t: Interim was called %d times; want once, before it", over, called)
		}
		a.finish(false)
	}
}

func TestTrailersCompressionRedirectsAndEmptyBodiesPass(t *testing.T) {
	t.Parallel()
	const zipped = "\x1f\x8b\x08not really"
	tests := []struct {
		name, method, answer, body string
		status                     int
		length                     int64
		header, trailer            string
	}{
		{"trailer", "POST", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n", "ok", 200, -1, "", "7"},
		{"gzip", "POST", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 13\r\n\r\n" + zipped, zipped, 200, 13, "", ""},
		{"redirect", "POST", "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://evil.test/\r\nContent-Length: 0\r\n\r\n", "", 307, 0, "http://evil.test/", ""},
		{"HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", "", 200, 1234, "", ""},
		{"OPTIONS", "OPTIONS", "HTTP/1.1 204 No Content\r\nAllow: POST\r\n\r\n", "", 204, 0, "", ""},
		{"304", "GET", "HTTP/1.1 304 Not Modified\r\n\r\n", "", 304, 0, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Provider{}, replies(tt.answer, false), func(r *rig) {
				for range 2 { // the connection stays good
					a := r.attemptFirst(r.t.Context(), &Request{Method: tt.method, Path: "/x"})
					if a.Status != tt.status || a.ContentLength != tt.length || a.Header.Get("Location") != tt.header {
						t.Errorf("got %d, length %d, Location %q; want %d, %d, %q",
							a.Status, a.ContentLength, a.Header.Get("Location"), tt.status, tt.length, tt.header)
					}
					expectWhole(t, a, tt.body)
					if got := a.Trailer().Get("X-Sum"); got != tt.trailer {
						t.Errorf("trailer = %q; want %q", got, tt.trailer)
					}
					a.Close()
				}
				if open := r.network.Open(); open != 1 {
					t.Errorf("%d connections; want 1", open)
				}
			})
		})
	}
}

func TestARequestThatFillsTheBufferExactlyIsReportedAsSent(t *testing.T) {
	t.Parallel()
	for missing := -2; missing <= 2; missing++ {
		bubble(t, Provider{}, replies(ok, false), func(r *rig) {
			head := len("POST /v1/x HTTP/1.1\r\nHost: up.test:80\r\nUser-Agent: nim-sidecar\r\nContent-Length: 4000\r\n\r\n")
			var sent atomic.Int64
			a := r.attemptFirst(r.t.Context(), &Request{
				Method: "POST", Path: "/x", Body: make([]byte, bufferSize-head-missing), Sent: func() { sent.Add(1) },
			})
			defer a.Close()
			synctest.Wait()
			if sent.Load() != 1 {
				t.Errorf("%d bytes short of the buffer: Sent was called %d times; want once", missing, sent.Load())
			}
		})
	}
}

func TestAPathThatLeavesV1IsNotSent(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, replies(ok, false), func(r *rig) {
		a := r.attemptFirst(r.t.Context(), &Request{Method: "GET", Path: "/../admin"})
		defer a.Close()
		expectOutcome(t, a, hint.ClientError, "")
		if _, err := a.Read(make([]byte, 1)); err == nil || a.Written || r.network.Open() != 0 {
			t.Errorf("err %v, written %t, %d connections; want an error, false, none", err, a.Written, r.network.Open())
		}
	})
}

func TestALaneThatLanesDidNotGiveIsTheCallersBug(t *testing.T) {
	t.Parallel()
	table := newTable(t, Provider{URL: parseURL(t, "http://up.test/v1"), Accounts: accounts("one")}, nil)
	lane := table.Lanes(Target{"up", "m"}, 0, nil)[0]
	for _, change := range []func(){func() { lane.Account = "two" }, func() { lane.Provider = "down" }} {
		change()
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Attempt on lane %v did not panic", lane)
				}
			}()
			table.Attempt(t.Context(), lane, &Request{Path: "/x"})
		}()
	}
}

// early answers after the first byte of a request and closes, the rest unread.
func early(c net.Conn) {
	in := bufio.NewReader(c)
	if _, err := in.Peek(1); err == nil {
		_, _ = io.WriteString(c, "HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 3\r\n\r\nbig")
	}
}

func TestAnAnswerBeforeTheBodyIsReadIsSeen(t *testing.T) {
	t.Parallel()
	table := newTable(t, Provider{URL: serveSocket(t, early)}, nil)
	defer table.Close()
	body := strings.Repeat("x", 20<<20)
	for i := range 20 {
		a := post(t.Context(), table, body)
		if a.Status != http.StatusRequestEntityTooLarge || !a.Written {
			t.Errorf("request %d: status %d, written %t, %+v; want 413, true", i, a.Status, a.Written, a.Outcome)
		}
		expectWhole(t, a, "big")
		a.Close()
	}
}

func TestAWriteErrorWithoutAnAnswerIsReportedInTime(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, func(c net.Conn) { _, _ = c.Read(make([]byte, 1)) }, func(r *rig) {
		start := time.Now()
		a := post(r.t.Context(), r.Table, strings.Repeat("x", 1<<20))
		defer a.Close()
		expectOutcome(t, a, hint.Broken, hint.FaultNoResponse)
		if took := time.Since(start); took > answerGrace || !a.Written {
			t.Errorf("took %v, written %t; want at most %v, true", took, a.Written, answerGrace)
		}
	})
}

func TestALongRequestIsSentBeforeItIsAnswered(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, bufferSize - 150, bufferSize - 1, bufferSize, bufferSize + 1, 5000, 100_000} {
		bubble(t, Provider{}, trickle("", "1m|"+ok), func(r *rig) {
			sent := make(chan time.Time, 2)
			start := time.Now()
			a := r.attemptFirst(r.t.Context(), &Request{
				Method: "POST", Path: "/x", Body: make([]byte, size), Sent: func() { sent <- time.Now() },
			})
			defer a.Close()
			if took := (<-sent).Sub(start); took != 0 || len(sent) != 0 {
				t.Errorf("%d bytes: Sent was called after %v, and %d times more; want at once, and once", size, took, len(sent))
			}
		})
	}
}
