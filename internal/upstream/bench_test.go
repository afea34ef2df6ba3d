package upstream

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const completion = `{"id":"chatcmpl-1","object":"chat.completion","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"}}]}`

// clientHeader is what an SDK sends.
func clientHeader() http.Header {
	return http.Header{
		"Accept": {"application/json"}, "Accept-Encoding": {"gzip, deflate"}, "Authorization": {"Bearer client"},
		"Content-Length": {"400"}, "Content-Type": {"application/json"}, "User-Agent": {"OpenAI/Python 1.99.0"},
		"X-Sidecar-Priority": {"high"}, "X-Stainless-Arch": {"x64"}, "X-Stainless-Async": {"false"}, "X-Stainless-Lang": {"python"},
		"X-Stainless-Os": {"Linux"}, "X-Stainless-Package-Version": {"1.99.0"}, "X-Stainless-Retry-Count": {"0"},
		"X-Stainless-Runtime": {"CPython"}, "X-Stainless-Runtime-Version": {"3.13"},
	}
}

// quick answers whatever comes in one read, without parsing it.
func quick(answer string) func(net.Conn) {
	return func(c net.Conn) {
		b := make([]byte, 64<<10)
		for {
			if _, err := c.Read(b); err != nil {
				return
			}
			if _, err := io.WriteString(c, answer); err != nil {
				return
			}
		}
	}
}

var jsonAnswer = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nNvcf-Reqid: 1\r\nContent-Length: %d\r\n\r\n%s", len(completion), completion)

// BenchmarkAttempt is a short request with a short answer over loopback. Budget: at most 4 µs and 5 allocations more than
// BenchmarkBareRoundTrip, for the choice of a key, the headers both ways, two time-outs, the guard of the pool and the class.
func BenchmarkAttempt(b *testing.B) {
	table := newTable(b, Provider{URL: serveSocket(b, quick(jsonAnswer)), Accounts: accounts("one")}, nil)
	b.Cleanup(table.Close)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	body := []byte(strings.Repeat("x", 400))
	header := clientHeader()
	lane := table.Lanes(Target{"up", "model"}, 0, header)[0]
	sent := func() {}
	into := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		a := table.Attempt(ctx, lane, &Request{
			Method: "POST", Path: "/chat/completions", Header: header, Body: body, Sent: sent, Deadline: time.Now().Add(time.Minute),
		})
		if n, err := a.Read(into); n != len(completion) || err != io.EOF {
			b.Fatal(n, err, a.Outcome)
		}
		a.Close()
	}
}

// BenchmarkBareRoundTrip is the same with nothing but an http.Transport, a clone of the headers and a context of its own.
func BenchmarkBareRoundTrip(b *testing.B) {
	u := serveSocket(b, quick(jsonAnswer))
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: maxIdle}
	b.Cleanup(transport.CloseIdleConnections)
	parent, stop := context.WithCancel(b.Context())
	defer stop()
	body := []byte(strings.Repeat("x", 400))
	header := clientHeader()
	into := make([]byte, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		ctx, cancel := context.WithCancel(parent)
		r, err := http.NewRequestWithContext(ctx, "POST", u.String()+"/chat/completions", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header = header.Clone()
		response, err := transport.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		if n, err := response.Body.Read(into); n != len(completion) || err != nil && err != io.EOF {
			b.Fatal(n, err)
		}
		_, _ = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		cancel()
	}
}

// BenchmarkLanes budget: 1 µs, 1 allocation for 4 accounts.
func BenchmarkLanes(b *testing.B) {
	table := newTable(b, Provider{URL: parseURL(b, "https://up.test"), Accounts: accounts("a", "b", "c", "d")}, nil)
	header := clientHeader()
	b.ReportAllocs()
	for b.Loop() {
		if len(table.Lanes(Target{"up", "model"}, 7, header)) != 4 {
			b.Fatal("lanes are missing")
		}
	}
}

// BenchmarkFirstEvent budget: 1 µs, no allocation for an ordinary first event.
func BenchmarkFirstEvent(b *testing.B) {
	text := []byte("data: " + completion + "\n\n")
	b.ReportAllocs()
	for b.Loop() {
		if firstEvent(text, false) != content {
			b.Fatal("not an ordinary event")
		}
	}
}
