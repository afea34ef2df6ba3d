package upstream

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/memnet"
)

func TestABrokenAnswerIsNeverAWholeOne(t *testing.T) {
	t.Parallel()
	const json = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nNvcf-Reqid: 7\r\n"
	large := strings.Repeat("x", smallBody)
	tests := []struct {
		name, answer string
		reset        bool // end with RST, not FIN
		outcome      hint.Fault
		prefix       string     // of the body, if there is a head
		body         hint.Fault // how it ends
	}{
		{name: "nothing", outcome: hint.FaultNoResponse},
		{name: "nothing, reset", reset: true, outcome: hint.FaultNoResponse},
		{name: "half a head", answer: "HTTP/1.1 200 OK\r\nContent-", outcome: hint.FaultReset},
		{name: "not HTTP", answer: "SSH-2.0-OpenSSH_9.9\r\n\r\n", outcome: hint.FaultProtocol},
		{name: "endless head", answer: json + "X: " + strings.Repeat("x", 300<<10), outcome: hint.FaultProtocol},
		{name: "bad length", answer: json + "Content-Length: x\r\n\r\n", outcome: hint.FaultProtocol},
		{name: "another protocol", answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n", outcome: hint.FaultProtocol},
		{name: "small body, nothing", answer: json + "Content-Length: 9\r\n\r\n", outcome: hint.FaultShortBody},
		{name: "small body, short", answer: json + "Content-Length: 9\r\n\r\nabc", outcome: hint.FaultShortBody},
		{name: "small body, reset", answer: json + "Content-Length: 9\r\n\r\n", reset: true, outcome: hint.FaultReset},
		{name: "large body, short", answer: json + "Content-Length: 9000\r\n\r\n" + large, prefix: large, body: hint.FaultShortBody},
		{name: "no last chunk", answer: streamHead + event, prefix: "data: x\n\n", body: hint.FaultReset},
		{name: "half a chunk", answer: streamHead + "9\r\ndata", prefix: "data", body: hint.FaultReset},
		{name: "malformed chunk", answer: streamHead + event + "zz\r\n", prefix: "data: x\n\n", body: hint.FaultReset},
		{name: "no chunk", answer: streamHead, body: hint.FaultReset},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Provider{}, each(func(c net.Conn, _ *http.Request, _ string) bool {
				_, _ = io.WriteString(c, tt.answer)
				if tt.reset {
					time.Sleep(time.Second) // what was sent arrives first
					c.(*memnet.Conn).Reset()
				}
				return false
			}), func(r *rig) {
				a := r.post()
				defer a.Close()
				if !a.Written {
					t.Error("Written = false")
				}
				if tt.outcome != "" {
					expectOutcome(t, a, hint.Broken, tt.outcome)
					expectBroken(t, a, "", tt.outcome)
					if want := a.Header.Get("Nvcf-Reqid"); a.Outcome.ReqID != want {
						t.Errorf("ReqID = %q; want %q", a.Outcome.ReqID, want)
					}
					return
				}
				expectOutcome(t, a, hint.OK, "")
				expectBroken(t, a, tt.prefix, tt.body)
			})
		})
	}
}

func TestAnInterimFloodIsNoAnswer(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, replies(strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", maxInterim+1)+ok, true), func(r *rig) {
		seen := 0
		a := r.attemptFirst(r.t.Context(), &Request{Method: "POST", Path: "/x", Interim: func(int, http.Header) { seen++ }})
		defer a.Close()
		expectOutcome(t, a, hint.Broken, hint.FaultProtocol)
		if seen != maxInterim {
			t.Errorf("%d interim answers were passed on; want %d", seen, maxInterim)
		}
	})
}

func TestAnErrorIsClassifiedByItsBodyAndPassedOnWhole(t *testing.T) {
	t.Parallel()
	exhausted := `{"message":"ResourceExhausted: All workers are busy, please retry later"}`
	long := `{"detail":"` + strings.Repeat("x", 20<<10) + `"}`
	tests := []struct {
		name, head string
		chunks     []string // of a chunked body, each with its pause
		class      hint.Class
		after      time.Duration // when the class is known
		body       string
	}{
		{"quota", "429 Too Many Requests\r\nRetry-After: 7", []string{`0s|{"status":429}`}, hint.Quota, 0, `{"status":429}`},
		{"exhaustion", "503 Service Unavailable", []string{"1s|" + exhausted}, hint.WorkerExhausted, time.Second, exhausted},
		{"in pieces", "503 Service Unavailable", []string{"0s|" + exhausted[:20], "1s|" + exhausted[20:]}, hint.WorkerExhausted, time.Second, exhausted},
		{"too slow to wait for", "503 Service Unavailable", []string{"3s|" + exhausted}, hint.Transient, errorWait, exhausted},
		{"longer than is looked at", "400 Bad Request", []string{"0s|" + long}, hint.ClientError, 0, long},
		{"empty", "504 Gateway Timeout\r\nNvcf-Reqid: 1", nil, hint.NoWorker, 0, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for i, chunk := range tt.chunks {
				pause, text, _ := strings.Cut(chunk, "|")
				tt.chunks[i] = pause + "|" + asChunk(text)
			}
			chunks := append(tt.chunks, "0s|"+lastChunk)
			bubble(t, Provider{}, trickle("HTTP/1.1 "+tt.head+"\r\nTransfer-Encoding: chunked\r\n\r\n", chunks...), func(r *rig) {
				start := time.Now()
				a := r.post()
				defer a.Close()
				if took := time.Since(start); a.Outcome.Class != tt.class || took != tt.after {
					t.Errorf("class %v after %v; want %v after %v", a.Outcome.Class, took, tt.class, tt.after)
				}
				expectWhole(t, a, tt.body)
			})
		})
	}
}

func TestOurKeysAreMaskedInErrors(t *testing.T) {
	t.Parallel()
	const key = "secret-of-one"
	text := strings.Repeat("x", 8<<10-5) + key + strings.Repeat("y", 5000) + key
	answer := "HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Bearer " + key + "\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, size := range []int{1, 7, 4096, len(text)} {
		var chunks strings.Builder
		for i := 0; i < len(text); i += size {
			chunks.WriteString(asChunk(text[i:min(i+size, len(text))]))
		}
		bubble(t, Provider{Accounts: accounts("one")}, replies(answer+chunks.String()+lastChunk, true), func(r *rig) {
			a := r.post()
			defer a.Close()
			expectWhole(t, a, strings.ReplaceAll(text, key, strings.Repeat("*", len(key))))
			if got, want := a.Header.Get("Www-Authenticate"), "Bearer "+strings.Repeat("*", len(key)); got != want {
				t.Errorf("header = %q; want %q", got, want)
			}
		})
	}
}

func TestAPackedErrorIsClassifiedAndPassedOnPacked(t *testing.T) {
	t.Parallel()
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, _ = io.WriteString(w, `{"message":"ResourceExhausted: All workers are busy"}`+strings.Repeat(" ", 5<<20))
	w.Close()
	answer := fmt.Sprintf("HTTP/1.1 503 Service Unavailable\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", packed.Len(), &packed)
	bubble(t, Provider{}, replies(answer, true), func(r *rig) {
		a := r.post()
		defer a.Close()
		expectOutcome(t, a, hint.WorkerExhausted, "")
		expectWhole(t, a, packed.String())
	})
}

func TestOurKeysAreMaskedInErrorEvents(t *testing.T) {
	t.Parallel()
	text := streamHead + asChunk("data: {\"error\":\"the key secret-of-one is bad\"}\n\n") + lastChunk
	bubble(t, Provider{Accounts: accounts("one")}, replies(text, true), func(r *rig) {
		a := r.post()
		defer a.Close()
		a.First(nil, time.Second, func() { t.Error("First is late") })
		expectWhole(t, a, "data: {\"error\":\"the key ************* is bad\"}\n\n")
	})
}

// asChunk frames text for a chunked body.
func asChunk(text string) string {
	const hex = "0123456789abcdef"
	size := ""
	for n := len(text); n > 0; n /= 16 {
		size = hex[n%16:n%16+1] + size
	}
	return size + "\r\n" + text + "\r\n"
}

func TestFirstFindsTheErrorInTheFirstEvent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		chunks []string
		late   bool
		after  time.Duration
		class  hint.Class
		fault  hint.Fault
	}{
		{"an event", []string{"1s|" + asChunk("data: {\"choices\":[]}\n\n"), "0s|" + lastChunk}, false, time.Second, hint.OK, ""},
		{"silence", []string{"1m|" + lastChunk}, true, time.Minute, hint.OK, ""},
		{"a comment, then silence", []string{"1s|" + asChunk(": ping\n\n"), "1m|" + lastChunk}, true, 61 * time.Second, hint.OK, ""},
		{"a late comment", []string{"11s|" + asChunk(": ping\n\n"), "1m|" + lastChunk}, true, 11 * time.Second, hint.OK, ""},
		{"a late error", []string{"11s|" + asChunk("data: {\"error\":1}\n\n"), "0s|" + lastChunk}, true, 11 * time.Second, hint.OK, ""},
		{"a late cut", []string{"11s|"}, true, 11 * time.Second, hint.OK, ""},
		{
			"an error after a comment",
			[]string{"1s|" + asChunk(": ping\n\n"), "1s|" + asChunk("data: {\"error\":{\"message\":\"boom\"}}\n\n"), "0s|" + lastChunk},
			false, 2 * time.Second, hint.UpstreamError, "",
		},
		{
			"exhaustion in two pieces",
			[]string{"0s|" + asChunk("event: error\n"), "1s|" + asChunk("data: {\"message\":\"ResourceExhausted\"}\n\n"), "0s|" + lastChunk},
			false, time.Second, hint.WorkerExhausted, "",
		},
		{"a rate limit", []string{"0s|" + asChunk("data: {\"error\":{\"type\":\"rate_limit_error\"}}\n\n"), "0s|" + lastChunk}, false, 0, hint.Quota, ""},
		{"a bare error that ends", []string{"0s|" + asChunk(`{"error":"x"}`), "1s|" + lastChunk}, false, time.Second, hint.UpstreamError, ""},
		{"a cut", []string{"1s|"}, false, time.Second, hint.Broken, hint.FaultReset},
		{"nothing, whole", []string{"1s|" + lastChunk}, false, time.Second, hint.OK, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bubble(t, Provider{}, trickle(streamHead, tt.chunks...), func(r *rig) {
				a := r.post()
				defer a.Close()
				expectOutcome(t, a, hint.OK, "")
				start, late := time.Now(), time.Duration(0)
				a.First(nil, 10*time.Second, func() { late = time.Since(start) })
				if took := time.Since(start); (late != 0) != tt.late || took != tt.after || tt.late && late != 10*time.Second {
					t.Errorf("First took %v and was late after %v; want %v, late %t", took, late, tt.after, tt.late)
				}
				expectOutcome(t, a, tt.class, tt.fault)
			})
		})
	}
}

func TestFirstKeepsEveryByteForRead(t *testing.T) {
	t.Parallel()
	chunks := []string{"1s|" + asChunk(": ping\n\n"), "2s|" + asChunk("data: a\n"), "2s|" + asChunk("\ndata: b\n\n"), "2s|" + lastChunk}
	for _, waits := range [][]time.Duration{nil, {0}, {time.Millisecond, 500 * time.Millisecond}, {1500 * time.Millisecond}, {time.Hour}} {
		bubble(t, Provider{}, trickle(streamHead, chunks...), func(r *rig) {
			a := r.post()
			defer a.Close()
			for _, wait := range waits {
				a.First(nil, wait, func() {})
			}
			expectWhole(t, a, ": ping\n\ndata: a\n\ndata: b\n\n")
			expectOutcome(t, a, hint.OK, "")
		})
	}
}

func TestFirstMayBeLentWhatReadFills(t *testing.T) {
	t.Parallel()
	const text = ": ping\n\ndata: a\n\ndata: b\n\n"
	chunks := []string{"1s|" + asChunk(text[:8]), "2s|" + asChunk(text[8:16]), "2s|" + asChunk(text[16:]), "2s|" + lastChunk}
	for _, size := range []int{1, 10, 64} {
		bubble(t, Provider{}, trickle(streamHead, chunks...), func(r *rig) {
			a := r.post()
			defer a.Close()
			lent := make([]byte, size)
			a.First(lent, time.Minute, func() { t.Error("First is late") })
			var got []byte
			for {
				n, err := a.Read(lent)
				got = append(got, lent[:n]...)
				if err != nil {
					break
				}
			}
			if string(got) != text {
				t.Errorf("%d bytes lent: read %q; want %q", size, got, text)
			}
		})
	}
}

func TestNextGivesWhatIsHeldInOnePieceAndThenWhatComes(t *testing.T) {
	t.Parallel()
	const text = ": ping\n\ndata: a\n\ndata: b\n\n"
	chunks := []string{"1s|" + asChunk(text[:8]), "2s|" + asChunk(text[8:17]), "2s|" + asChunk(text[17:]), "2s|" + lastChunk}
	for _, size := range []int{1, 10, 64} {
		bubble(t, Provider{}, trickle(streamHead, chunks...), func(r *rig) {
			a := r.post()
			defer a.Close()
			lent := make([]byte, size)
			start := time.Now()
			a.First(lent, 0, nil)
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("First, which nobody is told of when it is late, took %v; want 3s", took)
			}
			var pieces []string
			for {
				piece, err := a.Next(lent)
				pieces = append(pieces, string(piece))
				if err != nil {
					break
				}
			}
			if held := pieces[0]; len(held) < 16 || strings.Join(pieces, "") != text { // what decides is the line end before the last one
				t.Errorf("%d bytes lent: pieces %q; want the first event in one, and the rest of %q", size, pieces, text)
			}
		})
	}
	small := strings.Repeat("x", smallBody-1)
	bubble(t, Provider{}, trickle("HTTP/1.1 200 OK\r\nContent-Length: 8191\r\n\r\n", "0s|"+small), func(r *rig) {
		a := r.post()
		piece, err := a.Next(nil)
		if string(piece) != small || err != io.EOF {
			t.Errorf("Next = %d bytes, %v; want the whole body with its end", len(piece), err)
		}
		a.Close()
		if piece, err := a.Next(nil); len(piece) != 0 || err == nil {
			t.Errorf("Next after the end = %q, %v; want nothing", piece, err)
		}
	})
}

func TestACommentIsNotHeldBackOnceFirstIsLate(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, trickle(streamHead, "1s|"+asChunk(": ping\n\n"), "1h|"+lastChunk), func(r *rig) {
		a := r.post()
		defer a.Close()
		start := time.Now()
		a.First(nil, 500*time.Millisecond, func() {})
		b := make([]byte, 64)
		n, err := a.Read(b)
		if took := time.Since(start); string(b[:n]) != ": ping\n\n" || err != nil || took != time.Second {
			t.Errorf("Read = %q, %v after %v; want the comment after 1s, when it came", b[:n], err, took)
		}
	})
}

func TestFirstOfAnOrdinaryBodyWaitsForItsFirstByte(t *testing.T) {
	t.Parallel()
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	bubble(t, Provider{}, trickle(head, "20ms|"+asChunk(`{"error":"quoted, not meant"}`), "1s|"+lastChunk), func(r *rig) {
		a := r.post()
		defer a.Close()
		start := time.Now()
		a.First(nil, 50*time.Millisecond, func() { t.Error("First is late") })
		if took := time.Since(start); took != 20*time.Millisecond {
			t.Errorf("First took %v; want 20ms", took)
		}
		expectOutcome(t, a, hint.OK, "")
		expectWhole(t, a, `{"error":"quoted, not meant"}`)
	})
}

func TestCloseWaitsForTheReadOfAnErrorBody(t *testing.T) {
	t.Parallel()
	head := "HTTP/1.1 500 Oops\r\nTransfer-Encoding: chunked\r\n\r\n"
	bubble(t, Provider{}, trickle(head, "1h|"+lastChunk), func(r *rig) {
		a := r.post()
		if a.pending == nil {
			t.Error("no read is under way; the test shows nothing")
		}
		a.Close()
		if a.pending != nil {
			t.Error("a read is under way after Close")
		}
		synctest.Wait()
		expectBroken(t, a, "", "")
	})
}

func TestFirstEvent(t *testing.T) {
	t.Parallel()
	tests := []struct {
		text  string
		ended bool
		want  verdict
	}{
		{"", false, undecided},
		{"", true, undecided},
		{"\n\n: comment\n", true, undecided},
		{": comm", false, undecided},
		{"d", false, undecided},
		{"data: {", false, undecided},
		{"data: {\"choices\"", false, undecided},
		{"data: {\"choices\"", true, content},
		{"data: {\"choices\":[{\"index", false, content},
		{"data: {\"error\"", false, undecided},
		{"data: {\"error\"", true, failure},
		{"data: { \"error\" : {}}\n", false, undecided},
		{"data: { \"error\" : {}}\n\n", false, failure},
		{"data: {\"error\":{}}\r\n\r\n", false, failure},
		{"event: message\n", false, undecided},
		{"event: message\ndata: {\"error\":1}\n\n", false, failure},
		{"event: message_start\ndata: {\"type\":\"message_start\"}\n\n", false, content},
		{"event: error\ndata: {}\n\n", false, failure},
		{"id: 7\nretry: 10\n: x\n\ndata: {\"type\":\"error\"}\n\n", false, failure},
		{"data: {\"object\":\"error\",\"message\":\"m\"}\n\n", false, failure},
		{"data: [DONE]\n\n", false, content},
		{"data: the word \"error\" in an answer\n\n", false, content},
		{`{"error":{}}`, false, undecided},
		{`{"error":{}}`, true, failure},
		{"<html>", false, undecided},
		{"<html>\n", false, content},
		{": " + strings.Repeat("x", maxFirstEvent), false, undecided},
		{"data: {\"error\":\"" + strings.Repeat("x", maxFirstEvent), false, failure},
	}
	for _, tt := range tests {
		if got := firstEvent([]byte(tt.text), tt.ended); got != tt.want {
			t.Errorf("firstEvent(%.60q, %t) = %d; want %d", tt.text, tt.ended, got, tt.want)
		}
	}
}

// More bytes never take back a decision, so that First may stop reading at the first one.
func FuzzFirstEventIsMonotone(f *testing.F) {
	f.Add(": x\n\nevent: error\ndata: {\"error\":1}\n\n", uint(5))
	f.Add("data: {\"choices\":[]}\n\n", uint(3))
	f.Add("id\nretry: 1\r\ndata:{\"object\":\"error\"}\r\n\r\n", uint(20))
	f.Fuzz(func(t *testing.T, text string, cut uint) {
		whole := firstEvent([]byte(text), false)
		part := firstEvent([]byte(text[:cut%uint(len(text)+1)]), false)
		if part != undecided && part != whole {
			t.Errorf("firstEvent of a part of %q = %d, of the whole %d", text, part, whole)
		}
	})
}

// Small bodies lie in lent memory: none may show up in another answer, and none is there any more when its answer has been closed.
func TestSmallAnswersKeepTheirOwnBytes(t *testing.T) {
	t.Parallel()
	echo := each(func(c net.Conn, _ *http.Request, body string) bool {
		_, err := fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		return err == nil
	})
	bubble(t, Provider{}, echo, func(r *rig) {
		first, second := post(r.t.Context(), r.Table, "first"), post(r.t.Context(), r.Table, "second")
		expectWhole(r.t, second, "second")
		second.Close()
		third := post(r.t.Context(), r.Table, "third")
		expectWhole(r.t, first, "first")
		third.Close()
		expectBroken(r.t, third, "", "")
		fourth := post(r.t.Context(), r.Table, "fourth")
		first.Close()
		third.Close()
		expectWhole(r.t, post(r.t.Context(), r.Table, "fifth"), "fifth")
		expectWhole(r.t, fourth, "fourth")
	})
}
