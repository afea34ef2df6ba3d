package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// The request headers with which the bench tells its upstream how to answer; a proxy passes them on.
const (
	chunksHeader   = "X-Bench-Chunks"   // answer with a stream of so many events and [DONE]
	intervalHeader = "X-Bench-Interval" // a duration between two events; none = all at once
)

// jsonAnswer is a whole chat completion of about 1 KB, head included.
func jsonAnswer() []byte {
	text := strings.Repeat("The quick brown fox jumps over the lazy dog. ", 16)
	body := fmt.Sprintf(`{"id":"chatcmpl-0123456789","object":"chat.completion","created":1700000000,"model":"meta/llama-3.1-8b-instruct",`+
		`"choices":[{"index":0,"message":{"role":"assistant","content":%q},"logprobs":null,"finish_reason":"stop"}],`+
		`"usage":{"prompt_tokens":151,"completion_tokens":160,"total_tokens":311}}`, text)
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

const (
	streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
	eventHead  = `data: {"sent":` // then the time in Unix nanoseconds, in 19 digits
	eventTail  = `,"id":"chatcmpl-0123456789","object":"chat.completion.chunk","created":1700000000,"model":"meta/llama-3.1-8b-instruct",` +
		`"choices":[{"index":0,"delta":{"content":" token"},"logprobs":null,"finish_reason":null}]}` + "\n\n"
	eventSize = len(eventHead) + 19 + len(eventTail)
	done      = "data: [DONE]\n\n"
)

// streamSize is the length of the body of a stream with so many events.
func streamSize(chunks int) int { return chunks*eventSize + len(done) }

// appendEvent appends one event, stamped with the time, as a chunk of the chunked encoding.
func appendEvent(b []byte, sent time.Time) []byte {
	return fmt.Appendf(b, "%x\r\n%s%019d%s\r\n", eventSize, eventHead, sent.UnixNano(), eventTail)
}

func appendDone(b []byte) []byte { return fmt.Appendf(b, "%x\r\n%s\r\n0\r\n\r\n", len(done), done) }

// upstream answers every request, after its last byte, by a prepared answer. It is cheap and stands on no server
// library, so that what it costs does not blur the difference between the proxies.
type upstream struct {
	answer  []byte
	streams atomic.Uint64
}

func serveUpstream(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	return (&upstream{answer: jsonAnswer()}).run(l)
}

// run serves the connections of l until it is closed and the last of them has ended.
func (u *upstream) run(l net.Listener) error {
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		conns.Go(func() {
			defer c.Close()
			u.serve(c)
		})
	}
}

// serve answers the requests of one connection until it ends.
func (u *upstream) serve(c net.Conn) {
	r := bufio.NewReader(c)
	for {
		request, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if _, err := io.Copy(io.Discard, request.Body); err != nil {
			return
		}
		if chunks, _ := strconv.Atoi(request.Header.Get(chunksHeader)); chunks > 0 {
			interval, _ := time.ParseDuration(request.Header.Get(intervalHeader))
			err = u.stream(c, chunks, interval)
		} else {
			_, err = c.Write(u.answer)
		}
		if err != nil {
			return
		}
	}
}

// stream sends events, each in a write of its own if they lie apart in time. The phases of streams that begin together
// are spread over the interval, by the golden ratio, so that their events do not come in bursts.
func (u *upstream) stream(c net.Conn, chunks int, interval time.Duration) error {
	b := append(make([]byte, 0, 4096), streamHead...)
	if interval == 0 {
		for range chunks {
			b = appendEvent(b, time.Now())
		}
		_, err := c.Write(appendDone(b))
		return err
	}
	if _, err := c.Write(b); err != nil {
		return err
	}
	phase := time.Duration(u.streams.Add(1)*618_033_989%1_000_000_000) * interval / 1_000_000_000
	next := time.Now().Add(phase)
	for range chunks {
		time.Sleep(time.Until(next))
		next = next.Add(interval)
		if _, err := c.Write(appendEvent(b[:0], time.Now())); err != nil {
			return err
		}
	}
	_, err := c.Write(appendDone(b[:0]))
	return err
}
