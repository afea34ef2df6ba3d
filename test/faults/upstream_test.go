package faults

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// upstream is a scripted server with a parser of its own, which takes nothing but HTTP/1.1 requests of one clear framing. It answers
// the sidecar's own questions for the model list, which carry no key, by itself.
type upstream struct {
	t        *testing.T
	listener net.Listener
	script   func(x *turn)
	pings    atomic.Int64

	mu       sync.Mutex
	requests []*request
	opened   int
	open     int
	wrong    []string // what was not a request
}

// request is one request as it came.
type request struct {
	raw    string // head and body
	method string
	target string
	header []string // lines
	body   string
}

// get returns the values of a header.
func (r *request) get(name string) (values []string) {
	for _, line := range r.header {
		if n, v, _ := strings.Cut(line, ":"); strings.EqualFold(n, name) {
			values = append(values, strings.TrimSpace(v))
		}
	}
	return values
}

// turn is one request and the connection that it must be answered on.
type turn struct {
	*request
	number int // from 1, in the order of arrival, model lists of the sidecar's own not counted
	on     int // which request on this connection it is, from 1
	conn   *wire
	closed bool
}

// wire is a connection that is always read, so that the peer's end is seen at once.
type wire struct {
	net.Conn
	gone chan struct{} // closed when the peer has ended the connection

	mu   sync.Mutex
	more sync.Cond
	data []byte
	err  error
}

func newWire(c net.Conn) *wire {
	w := &wire{Conn: c, gone: make(chan struct{})}
	w.more.L = &w.mu
	go w.pump()
	return w
}

func (w *wire) pump() {
	b := make([]byte, 64<<10)
	for {
		n, err := w.Conn.Read(b)
		w.mu.Lock()
		w.data = append(w.data, b[:n]...)
		if err != nil {
			w.err = err
			close(w.gone)
		}
		w.more.Broadcast()
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// take waits until size, asked of what has come, names a length, and takes so many bytes. ok is false when the connection ends
// before; then what is left is returned.
func (w *wire) take(size func(data []byte) int) (taken string, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		if n := size(w.data); n >= 0 && n <= len(w.data) {
			taken = string(w.data[:n])
			w.data = w.data[n:]
			return taken, true
		}
		if w.err != nil {
			return string(w.data), false
		}
		w.more.Wait()
	}
}

// line takes a line that ends in CR LF.
func (w *wire) line() (string, bool) {
	line, ok := w.take(func(data []byte) int {
		i := bytes.Index(data, []byte("\r\n"))
		if i < 0 {
			return -1
		}
		return i + 2
	})
	return line, ok
}

func (w *wire) bytes(n int) (string, bool) { return w.take(func([]byte) int { return n }) }

// reset ends the connection with a reset.
func (w *wire) reset() {
	if tcp, ok := w.Conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = w.Conn.Close()
}

// serve starts an upstream with a script, which is run for each request; it may close the connection.
func serve(t *testing.T, script func(x *turn)) *upstream {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, script)
}

func serveOn(t *testing.T, l net.Listener, script func(x *turn)) *upstream {
	u := &upstream{t: t, listener: l, script: script}
	t.Cleanup(func() {
		_ = l.Close()
		u.mu.Lock()
		defer u.mu.Unlock()
		for _, what := range u.wrong {
			t.Errorf("the upstream got what is no request: %s", what)
		}
	})
	go u.accept()
	return u
}

func (u *upstream) accept() {
	for {
		c, err := u.listener.Accept()
		if err != nil {
			return
		}
		go u.handle(newWire(c))
	}
}

func (u *upstream) url() string { return "http://" + u.listener.Addr().String() + "/v1" }

// handle reads requests off a connection until it ends.
func (u *upstream) handle(w *wire) {
	defer func() { _ = w.Close() }()
	counted := false
	defer func() {
		if counted {
			u.mu.Lock()
			u.open--
			u.mu.Unlock()
		}
	}()
	for on := 1; ; on++ {
		r, complaint := parseRequest(w)
		if complaint != "" {
			u.mu.Lock()
			u.wrong = append(u.wrong, complaint)
			u.mu.Unlock()
		}
		if r == nil {
			return
		}
		if r.method == "GET" && r.target == "/v1/models" && len(r.get("Authorization")) == 0 { // so that tests begin with no pooled connection
			reply(w, "200 OK", "Content-Type: application/json\r\nConnection: close", `{"object":"list","data":[]}`)
			u.pings.Add(1)
			return
		}
		x := &turn{request: r, conn: w, on: on}
		u.mu.Lock()
		if !counted {
			counted = true
			u.opened++
			u.open++
		}
		u.requests = append(u.requests, r)
		x.number = len(u.requests)
		u.mu.Unlock()
		u.script(x)
		if x.closed {
			return // a request that had come meanwhile was not looked at
		}
	}
}

// parseRequest reads one request. Nil without a complaint is an ordinary end of the connection.
func parseRequest(w *wire) (r *request, complaint string) {
	head, ok := w.take(func(data []byte) int {
		i := bytes.Index(data, []byte("\r\n\r\n"))
		if i < 0 {
			return -1
		}
		return i + 4
	})
	if !ok {
		if head != "" {
			return nil, fmt.Sprintf("half a head %q", head)
		}
		return nil, ""
	}
	lines := strings.Split(strings.TrimSuffix(head, "\r\n\r\n"), "\r\n")
	words := strings.Split(lines[0], " ")
	if len(words) != 3 || words[2] != "HTTP/1.1" || strings.ContainsAny(strings.ReplaceAll(head, "\r\n", ""), "\r\n\x00") {
		return nil, fmt.Sprintf("a head %q", head)
	}
	r = &request{raw: head, method: words[0], target: words[1], header: lines[1:]}
	for _, line := range r.header {
		if name, _, found := strings.Cut(line, ":"); !found || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Sprintf("a header line %q", line)
		}
	}
	lengths, codings := r.get("Content-Length"), r.get("Transfer-Encoding")
	switch {
	case len(lengths) > 1 || len(codings) > 0 || len(r.get("Host")) != 1: // we always know the length before we send
		return nil, fmt.Sprintf("framing %q, %q, hosts %q", lengths, codings, r.get("Host"))
	case len(lengths) == 0:
		return r, ""
	}
	n, err := strconv.Atoi(lengths[0])
	if err != nil || n < 0 {
		return nil, fmt.Sprintf("Content-Length %q", lengths[0])
	}
	if r.body, ok = w.bytes(n); !ok {
		return nil, "" // cut: it was not wholly sent
	}
	r.raw += r.body
	return r, ""
}

// seen returns the requests so far.
func (u *upstream) seen() []*request {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.requests[:len(u.requests):len(u.requests)]
}

// connections returns how many have been opened for requests, and how many are open.
func (u *upstream) connections() (opened, open int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.opened, u.open
}

// wantSeen waits until the upstream has had exactly n requests.
func (u *upstream) wantSeen(n int) {
	u.t.Helper()
	if !until(patience, func() bool { return len(u.seen()) >= n }) || len(u.seen()) != n {
		u.t.Errorf("the upstream had %d requests; want %d", len(u.seen()), n)
	}
}

// write sends bytes as they are. The peer may have left.
func (x *turn) write(text string) {
	_, _ = x.conn.Write([]byte(text))
}

// reply answers with a body of known length.
func (x *turn) reply(status, header, body string) { reply(x.conn, status, header, body) }

// ok gives an ordinary answer.
func (x *turn) ok() { x.reply("200 OK", "Content-Type: application/json", completion) }

// close ends the connection.
func (x *turn) close() {
	x.closed = true
	_ = x.conn.Close()
}

// hold waits until the peer leaves.
func (x *turn) hold() { <-x.conn.gone }

// completion is an ordinary answer.
const completion = `{"id":"c1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}],` +
	`"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}`

func reply(w net.Conn, status, header, body string) {
	if header != "" {
		header += "\r\n"
	}
	_, _ = fmt.Fprintf(w, "HTTP/1.1 %s\r\n%sContent-Length: %d\r\n\r\n%s", status, header, len(body), body)
}

// sseHead begins a stream of server-sent events in chunks.
const sseHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

// chunk is one chunk of a body.
func chunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// event is one event of a chat stream.
func event(content string) string {
	return `data: {"object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"` + content + `"}}]}` + "\n\n"
}

// pause waits for a while: for what only time tells, such as that something does not happen.
func pause(d time.Duration) { <-time.After(d) }
