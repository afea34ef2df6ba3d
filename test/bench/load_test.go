package main

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/memnet"
)

// toUpstream returns a client's connection to an upstream that runs until the test ends.
func toUpstream(t *testing.T) *conn {
	t.Helper()
	network := new(memnet.Network)
	l, err := network.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := network.DialContext(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() { (&upstream{answer: jsonAnswer()}).serve(server) })
	t.Cleanup(func() {
		client.Close()
		serving.Wait()
	})
	return &conn{client, bufio.NewReader(client)}
}

func TestUpstreamAnswersEachRequestOfAConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := toUpstream(t)
		for range 3 {
			body, err := c.ask(requestTo("upstream", 0, 0))
			if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(body)
			if err != nil || len(text) < 1000 || len(text) > 1200 || !bytes.HasSuffix(text, []byte("}}")) {
				t.Errorf("the answer has %d bytes, %v; want about 1 KB of JSON", len(text), err)
			}
			delays, err := c.stream(requestTo("upstream", 5, 0), 5)
			if len(delays) != 5 || err != nil {
				t.Errorf("stream = %d delays, %v; want 5, nil", len(delays), err)
			}
		}
	})
}

// TestUpstreamKeepsItsPace needs virtual time: events are exactly as far apart as asked for, and under way for no time.
func TestUpstreamKeepsItsPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := toUpstream(t)
		began := time.Now()
		delays, err := c.stream(requestTo("upstream", 101, 100*time.Millisecond), 101)
		if err != nil || len(delays) != 101 {
			t.Fatalf("stream = %d delays, %v; want 101, nil", len(delays), err)
		}
		if most := quantile(delays, 1); most != 0 {
			t.Errorf("an event was under way for %v; want 0s", most)
		}
		const phase = 61_803_398 // of the first stream, in ns: the golden ratio of the interval
		if took, want := time.Since(began), 10*time.Second+phase; took != want {
			t.Errorf("101 events took %v; want %v", took, want)
		}
	})
}

func TestRequestIsOneThatServersUnderstand(t *testing.T) {
	t.Parallel()
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(requestTo("127.0.0.1:9190", 3, time.Second))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || int64(len(body)) != r.ContentLength || len(body) < 900 || len(body) > 1200 {
		t.Errorf("the body has %d bytes of %d, %v; want about 1 KB", len(body), r.ContentLength, err)
	}
	if r.Host != "127.0.0.1:9190" || r.Method != "POST" || r.Header.Get(chunksHeader) != "3" || r.Header.Get(intervalHeader) != "1s" {
		t.Errorf("the request is %s to %s with %v; want a POST to 127.0.0.1:9190 that asks for 3 events, one a second", r.Method, r.Host, r.Header)
	}
	if !bytes.Contains(body, []byte(`"stream":true`)) || bytes.Contains(requestTo("x", 0, 0), []byte(`"stream":true`)) {
		t.Error("stream is not true exactly when a stream is asked for")
	}
}

// canned is a connection whose peer says what it says and then closes.
func canned(t *testing.T, text string) *conn {
	t.Helper()
	client, server := net.Pipe()
	var writing sync.WaitGroup
	writing.Go(func() {
		io.WriteString(server, text)
		server.Close()
	})
	t.Cleanup(func() {
		client.Close()
		writing.Wait()
	})
	return &conn{client, bufio.NewReader(client)}
}

func TestAnswer(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       string // the body
		bad        string
	}{
		{"length", "HTTP/1.1 200 OK\r\nA: b\r\ncontent-length: 2\r\n\r\nhi+", "hi", ""},
		{"chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1;x=y\r\n!\r\n0\r\n\r\n+", "hi!", ""},
		{"empty", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", ""},
		{"other status", "HTTP/1.1 429 Too Many Requests\r\nX-Sidecar-Reason: queue_full\r\n\r\n", "", "queue_full"},
		{"not HTTP", "hello\r\n", "", "want 200"},
		{"nothing", "", "", "EOF"},
		{"cut in the head", "HTTP/1.1 200 OK\r\nA: b", "", "EOF"},
		{"cut in a chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi", "hi", "unexpected EOF"},
		{"cut after the last chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", "hi", "after the last chunk"},
		{"length of no number", "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "", "invalid syntax"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			body, err := canned(t, test.text).answer()
			var got []byte
			if err == nil {
				got, err = io.ReadAll(body)
			}
			if string(got) != test.want {
				t.Errorf("the body is %q; want %q", got, test.want)
			}
			if test.bad == "" && err != nil || test.bad != "" && (err == nil || !strings.Contains(err.Error(), test.bad)) {
				t.Errorf("the error is %v; want one with %q", err, test.bad)
			}
		})
	}
}

func TestReadStreamFindsWhatIsMissing(t *testing.T) {
	t.Parallel()
	var framed bytes.Buffer
	u := &upstream{}
	client, server := net.Pipe()
	var writing sync.WaitGroup
	writing.Go(func() { u.stream(server, 3, 0); server.Close() })
	io.Copy(&framed, client)
	writing.Wait()
	body, err := (&conn{nil, bufio.NewReader(&framed)}).answer()
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(body)
	if err != nil || len(text) != streamSize(3) {
		t.Fatalf("a stream of 3 events has %d bytes, %v; want %d", len(text), err, streamSize(3))
	}
	whole := string(text)
	for _, test := range []struct {
		name, text string
		ok         bool
	}{
		{"whole", whole, true},
		{"without [DONE]", strings.TrimSuffix(whole, done), false},
		{"without the last byte", whole[:len(whole)-1], false},
		{"without an event", whole[eventSize:], false},
		{"with an event twice", whole[:eventSize] + whole, false},
		{"with a heartbeat", ": still waiting\n\n" + whole, false},
		{"with a changed byte in a stamp", strings.Replace(whole, eventHead, eventHead[:len(eventHead)-1]+"x", 1), false},
		{"empty", "", false},
	} {
		if delays, err := readStream(strings.NewReader(test.text), 3); (err == nil) != test.ok {
			t.Errorf("%s: readStream = %d delays, %v; want an error: %t", test.name, len(delays), err, !test.ok)
		}
	}
	broken := errors.New("broken")
	if _, err := readStream(io.MultiReader(strings.NewReader(whole[:100]), errReader{broken}), 3); err != broken {
		t.Errorf("readStream of a body that breaks = %v; want its error", err)
	}
}

type errReader struct{ error }

func (r errReader) Read([]byte) (int, error) { return 0, r.error }

func TestParallelReportsTheFirstErrorAndTheirNumber(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	err := parallel(10, func(i int) error {
		if i%2 == 1 {
			return broken
		}
		return nil
	})
	if want := "5 of 10 failed, the first one: broken"; err == nil || err.Error() != want || !errors.Is(err, broken) {
		t.Errorf("parallel = %v; want %s", err, want)
	}
	if err := parallel(10, func(int) error { return nil }); err != nil {
		t.Errorf("parallel = %v; want nil", err)
	}
}

func TestSumOf(t *testing.T) {
	t.Parallel()
	const metrics = "# TYPE sidecar_queue_depth gauge\nsidecar_queue_depth{priority=\"HIGH\"} 2\nsidecar_queue_depth{priority=\"LOW\"} 1e+04\nsidecar_queue_depth_other 5\n"
	if got, err := sumOf(metrics, "sidecar_queue_depth{"); got != 10_002 || err != nil {
		t.Errorf("sumOf = %d, %v; want 10002, nil", got, err)
	}
	if _, err := sumOf(metrics, "gone{"); err == nil {
		t.Error("sumOf of a metric that is not there = nil; want an error")
	}
	if _, err := sumOf("a{} x\n", "a{"); err == nil {
		t.Error("sumOf of a value that is no number = nil; want an error")
	}
}
