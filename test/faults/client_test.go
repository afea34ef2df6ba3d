package faults

import (
	"encoding/json"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client is a raw connection to the sidecar. All that it receives is searched for the upstream's key.
type client struct {
	*wire
	t        *testing.T
	received record
}

// tap copies what is read.
type tap struct {
	net.Conn
	into *record
}

func (c tap) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	_, _ = c.into.Write(p[:n])
	return n, err
}

// dial connects to the sidecar.
func dial(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	c := &client{t: t}
	c.wire = newWire(tap{conn, &c.received})
	t.Cleanup(func() {
		_ = c.Close()
		if strings.Contains(c.received.String(), canaryKey) {
			t.Errorf("a client received the upstream's key: %q", c.received.String())
		}
	})
	return c
}

// send writes bytes as they are. The sidecar may have closed already: then the answer says why.
func (c *client) send(text string) { _, _ = c.Write([]byte(text)) }

// half ends the sending side.
func (c *client) half() { _ = c.Conn.(tap).Conn.(*net.TCPConn).CloseWrite() }

// abort ends the connection with a reset.
func (c *client) abort() {
	_ = c.Conn.(tap).Conn.(*net.TCPConn).SetLinger(0)
	_ = c.Close()
}

// answer is a response as it came.
type answer struct {
	status  int // 0: there was none
	interim []int
	header  map[string][]string // by name in lower case
	body    string
	trailer []string
	whole   bool // it ended where its framing says
	wrong   string
	took    time.Duration
}

func (a answer) get(name string) string { return strings.Join(a.header[strings.ToLower(name)], ", ") }

func (a answer) reason() string { return a.get("X-Sidecar-Reason") }

func (a answer) String() string {
	return fmt.Sprintf("status %d, reason %q, whole %v%s, header %v, body %.600q", a.status, a.reason(), a.whole, a.wrong, a.header, a.body)
}

// message returns what an error body says, in either dialect.
func (a answer) message() string {
	var body struct{ Error struct{ Message string } }
	_ = json.Unmarshal([]byte(a.body), &body)
	return body.Error.Message
}

// ask sends a request and reads its answer.
func (c *client) ask(text string) answer {
	c.send(text)
	method, _, _ := strings.Cut(text, " ")
	return c.receive(method)
}

// receive reads one answer to a request of that method. It gives up after a while that no test should take.
func (c *client) receive(method string) answer {
	began := time.Now()
	timer := time.AfterFunc(12*time.Second, func() { _ = c.Close() })
	defer timer.Stop()
	a := answer{header: map[string][]string{}}
	for a.status < 200 {
		if !c.readHead(&a) {
			return a
		}
	}
	switch {
	case method == "HEAD" || a.status == 204 || a.status == 304:
		a.whole = true
	case a.get("Transfer-Encoding") == "chunked":
		c.readChunks(&a)
	case a.get("Content-Length") != "":
		n, err := strconv.Atoi(a.get("Content-Length"))
		if err != nil || n < 0 {
			a.wrong = " (Content-Length)"
			return a
		}
		a.body, a.whole = c.bytes(n)
	default:
		a.body, _ = c.bytes(1 << 40)
		a.whole = a.get("Connection") == "close"
	}
	a.took = time.Since(began)
	return a
}

func (c *client) readHead(a *answer) bool {
	line, ok := c.line()
	if !ok {
		return false
	}
	words := strings.SplitN(strings.TrimSpace(line), " ", 3)
	status := 0
	if len(words) > 1 && (words[0] == "HTTP/1.1" || words[0] == "HTTP/1.0") {
		status, _ = strconv.Atoi(words[1])
	}
	if status == 0 {
		a.wrong = fmt.Sprintf(" (status line %q)", line)
		return false
	}
	header := map[string][]string{}
	for {
		line, ok := c.line()
		if !ok {
			return false
		}
		if line == "\r\n" {
			break
		}
		name, value, _ := strings.Cut(strings.TrimSuffix(line, "\r\n"), ":")
		header[strings.ToLower(name)] = append(header[strings.ToLower(name)], strings.TrimSpace(value))
	}
	if status < 200 {
		a.interim = append(a.interim, status)
		return true
	}
	a.status, a.header = status, header
	return true
}

func (c *client) readChunks(a *answer) {
	for {
		line, ok := c.line()
		size, err := strconv.ParseInt(strings.TrimSpace(line), 16, 32)
		if !ok || err != nil {
			return
		}
		if size == 0 {
			break
		}
		text, ok := c.bytes(int(size))
		a.body += text
		if !ok {
			return
		}
		if end, _ := c.bytes(2); end != "\r\n" {
			return
		}
	}
	for {
		line, ok := c.line()
		if !ok {
			return
		}
		if line == "\r\n" {
			a.whole = true
			return
		}
		a.trailer = append(a.trailer, strings.TrimSpace(line))
	}
}

// closed reports whether the sidecar ends the connection in time.
func (c *client) closed(within time.Duration) bool {
	select {
	case <-c.gone:
		return true
	case <-time.After(within):
		return false
	}
}

// request texts

// get is a GET without a body.
func get(target string, lines ...string) string { return build("GET", target, lines, "") }

// post is a POST of a body of known length.
func post(target, body string, lines ...string) string {
	return build("POST", target, append(lines, "Content-Type: application/json", "Content-Length: "+strconv.Itoa(len(body))), body)
}

// build writes a request. A Host is added unless one is there.
func build(method, target string, lines []string, body string) string {
	host := "Host: 127.0.0.1\r\n"
	for _, line := range lines {
		if strings.HasPrefix(line, "Host:") {
			host = ""
		}
	}
	head := strings.Join(lines, "\r\n")
	if head != "" {
		head += "\r\n"
	}
	return method + " " + target + " HTTP/1.1\r\n" + host + head + "\r\n" + body
}

const (
	chatPath = "/v1/chat/completions"
	chatBody = `{"model":"m1","messages":[{"role":"user","content":"` + canaryPrompt + `"}]}`
	// streamBody asks for a stream.
	streamBody = `{"model":"m1","stream":true,"messages":[{"role":"user","content":"` + canaryPrompt + `"}]}`
)

// chat is an ordinary request.
func chat(lines ...string) string { return post(chatPath, chatBody, lines...) }

// chatStream asks for a stream.
func chatStream(lines ...string) string { return post(chatPath, streamBody, lines...) }
