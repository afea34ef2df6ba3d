package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// request is what an SDK sent, and what it got, in the words of clients/wire.mjs.
type request struct {
	Path    string            `json:"path"`
	Retry   string            `json:"retry"`
	Timeout string            `json:"timeout"`
	Body    string            `json:"body"`
	Bytes   int               `json:"bytes"`
	SHA256  string            `json:"sha256"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Head    float64           `json:"head"` // ms
	Raw     string            `json:"raw"`  // of a stream
}

// wire is a transport that takes down what passes.
type wire struct {
	mu   sync.Mutex // guards the following
	sent []*request
}

const shown = 100_000 // bytes of a body that are worth showing

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	taken := &request{Path: r.URL.Path, Retry: r.Header.Get("X-Stainless-Retry-Count"), Timeout: r.Header.Get("X-Stainless-Timeout")}
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		_ = r.Body.Close()
		r.Body = io.NopCloser(bytes.NewReader(body))
		sum := sha256.Sum256(body)
		taken.Bytes, taken.SHA256 = len(body), hex.EncodeToString(sum[:])
		if len(body) < shown {
			taken.Body = string(body)
		}
	}
	w.mu.Lock()
	w.sent = append(w.sent, taken)
	w.mu.Unlock()
	began := time.Now()
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	taken.Status, taken.Headers = answer.StatusCode, map[string]string{}
	taken.Head = float64(time.Since(began).Microseconds()) / 1000
	for name, values := range answer.Header {
		taken.Headers[strings.ToLower(name)] = strings.Join(values, ", ")
	}
	if strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
		answer.Body = &watched{ReadCloser: answer.Body, wire: w, request: taken}
	}
	return answer, nil
}

// watched is the body of a stream.
type watched struct {
	io.ReadCloser
	wire    *wire
	request *request
}

func (b *watched) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	b.request.Raw += string(p[:n])
	return n, err
}

// taken returns what was sent until now.
func (w *wire) taken() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]*request, len(w.sent))
	for i, sent := range w.sent {
		until := *sent
		list[i] = &until
	}
	return list
}

func (c *call) client() *http.Client { return &http.Client{Transport: c.wire} }
