package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"time"
)

// patience bounds every exchange with a program under measurement: what takes longer is broken.
const patience = 30 * time.Second

// requestTo returns the bytes of a chat completion request of about 1.5 KB as an SDK sends it. With chunks > 0 the
// upstream answers with a stream of so many events, one every interval.
func requestTo(addr string, chunks int, interval time.Duration) []byte {
	system := strings.Repeat("You are a careful assistant that answers in few words. ", 8)
	user := strings.Repeat("Please sum up what the paper says about rate limits. ", 8)
	body := fmt.Sprintf(`{"model":"meta/llama-3.1-8b-instruct","messages":[{"role":"system","content":%q},{"role":"user","content":%q}],`+
		`"temperature":0.2,"top_p":0.7,"max_tokens":1024,"stream":%t}`, system, user, chunks > 0)
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST /v1/chat/completions HTTP/1.1\r\nHost: %s\r\n", addr)
	b.WriteString("Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nContent-Type: application/json\r\n" +
		"User-Agent: OpenAI/Python 2.8.0\r\nAuthorization: Bearer not-a-key\r\nX-Stainless-Lang: python\r\nX-Stainless-Package-Version: 2.8.0\r\n" +
		"X-Stainless-OS: Linux\r\nX-Stainless-Arch: x64\r\nX-Stainless-Runtime: CPython\r\nX-Stainless-Runtime-Version: 3.12.3\r\n" +
		"X-Stainless-Async: async:asyncio\r\nX-Stainless-Retry-Count: 0\r\nX-Stainless-Read-Timeout: 600\r\n")
	if chunks > 0 {
		fmt.Fprintf(&b, "%s: %d\r\n", chunksHeader, chunks)
	}
	if interval > 0 {
		fmt.Fprintf(&b, "%s: %v\r\n", intervalHeader, interval)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return b.Bytes()
}

// conn is a client's keep-alive connection. It understands just enough HTTP/1.1 to read whole answers cheaply.
type conn struct {
	net.Conn
	r *bufio.Reader
}

// dial connects to addr as the i-th client. The clients spread over eight loopback addresses, so that tens of
// thousands of connections do not run out of ports.
func dial(addr string, i int) (*conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}, Timeout: patience}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &conn{c, bufio.NewReader(c)}, nil
}

// ask sends a request and reads the head of its answer.
func (c *conn) ask(request []byte) (body io.Reader, err error) {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	return c.answer()
}

// answer reads the head of an answer, which must be a 200, and returns its body, which must be read to its end.
func (c *conn) answer() (body io.Reader, err error) {
	status, err := c.line()
	if err != nil {
		return nil, err
	}
	if code := bytes.Fields(status); len(code) < 2 || string(code[1]) != "200" {
		more, _ := c.r.Peek(c.r.Buffered())
		return nil, fmt.Errorf("answer %q, want 200: %.600q", status, more)
	}
	size, chunked := int64(0), false
	for {
		line, err := c.line()
		if err != nil {
			return nil, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch value = bytes.TrimSpace(value); {
		case len(line) == 0 && chunked:
			return &chunkedBody{httputil.NewChunkedReader(c.r), c}, nil
		case len(line) == 0:
			return io.LimitReader(c.r, size), nil
		case bytes.EqualFold(name, []byte("Content-Length")):
			if size, err = strconv.ParseInt(string(value), 10, 64); err != nil {
				return nil, err
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
}

// line returns the next line without its end; it is valid until the next read.
func (c *conn) line() ([]byte, error) {
	line, err := c.r.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// chunkedBody reads the empty line after the last chunk, which httputil leaves in place, so that the connection can be
// used again. Trailers are not expected.
type chunkedBody struct {
	chunks io.Reader
	c      *conn
}

func (b *chunkedBody) Read(p []byte) (int, error) {
	n, err := b.chunks.Read(p)
	if err == io.EOF {
		if line, bad := b.c.line(); bad != nil || len(line) != 0 {
			return n, fmt.Errorf("after the last chunk: %q, %w", line, bad)
		}
	}
	return n, err
}

// parallel runs f(0) to f(n-1) at once, waits for all, and returns the first error with the number of others.
func parallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	var first error
	failed := 0
	for _, err := range errs {
		if err != nil {
			failed++
			if first == nil {
				first = err
			}
		}
	}
	if failed > 1 {
		return fmt.Errorf("%d of %d failed, the first one: %w", failed, n, first)
	}
	return first
}

// loop asks over and over on so many connections for d, each waiting for its whole answer before it asks again, and
// returns how long each request took. Each connection asks at least once.
func loop(addr string, conns int, d time.Duration) ([]time.Duration, error) {
	took := make([][]time.Duration, conns)
	request := requestTo(addr, 0, 0)
	until := time.Now().Add(d)
	err := parallel(conns, func(i int) error {
		c, err := dial(addr, i)
		if err != nil {
			return err
		}
		defer c.Close()
		for began := time.Now(); ; {
			body, err := c.ask(request)
			if err != nil {
				return err
			}
			if _, err := io.Copy(io.Discard, body); err != nil {
				return err
			}
			ended := time.Now()
			took[i] = append(took[i], ended.Sub(began))
			if began = ended; !began.Before(until) {
				return nil
			}
		}
	})
	var all []time.Duration
	for _, t := range took {
		all = append(all, t...)
	}
	return all, err
}

// readStream reads a stream to its end and returns how long each event was under way. A stream that does not end with
// [DONE], or whose length is not that of so many events, is an error.
func readStream(body io.Reader, chunks int) (delays []time.Duration, err error) {
	r := bufio.NewReader(body)
	size, last := 0, ""
	for {
		line, err := r.ReadSlice('\n')
		now := time.Now()
		size += len(line)
		if stamp, ok := bytes.CutPrefix(line, []byte(eventHead)); ok && len(stamp) > 19 {
			nanos, err := strconv.ParseInt(string(stamp[:19]), 10, 64)
			if err != nil {
				return nil, err
			}
			delays = append(delays, now.Sub(time.Unix(0, nanos)))
		}
		if len(line) > 1 {
			last = string(line)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return delays, err
		}
	}
	if want := streamSize(chunks); size != want || len(delays) != chunks || last+"\n" != done {
		return delays, fmt.Errorf("stream of %d bytes and %d events that ends with %q; want %d, %d and [DONE]", size, len(delays), last, want, chunks)
	}
	return delays, nil
}
