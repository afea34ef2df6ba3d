package proxy

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"strings"
	"time"
)

// usual are the default settings of heartbeats.
var usual = Heartbeat{Mode: ModeAuto, Plain: PlainAuto, Interval: 15 * time.Second, CommitAfter: 2 * time.Second}

// heard is what a client got over the network, piece by piece.
type heard struct {
	*http.Response
	script []string // what came at each moment, as "17s text"; estimates are left out, since the gate's tests check them
	body   string
	err    error // of the body: io.ErrUnexpectedEOF where it was cut
	took   time.Duration
}

var estimate = regexp.MustCompile(`, about [0-9hms]+\n`)

// ask sends a request over the rig's network and hears the answer out.
func (r *rig) ask(req *http.Request) heard {
	return r.askBy(req, r.network.DialContext)
}

// askBy is ask with a dialer.
func (r *rig) askBy(req *http.Request, dial func(context.Context, string, string) (net.Conn, error)) heard {
	transport := &http.Transport{DialContext: dial, DisableCompression: true}
	defer transport.CloseIdleConnections()
	began := time.Now()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return heard{err: err, took: time.Since(began)}
	}
	defer func() { _ = resp.Body.Close() }()
	h := heard{Response: resp}
	for piece := make([]byte, 64<<10); ; {
		n, err := resp.Body.Read(piece)
		if n > 0 {
			h.body += string(piece[:n])
			h.hear(time.Since(began).String()+" ", estimate.ReplaceAllString(string(piece[:n]), "\n"))
		}
		if err != nil {
			if err != io.EOF {
				h.err = err
			}
			h.took = time.Since(began)
			return h
		}
	}
}

// hear notes what came at a moment.
func (h *heard) hear(moment, text string) {
	if last := len(h.script) - 1; last >= 0 && strings.HasPrefix(h.script[last], moment) {
		h.script[last] += text
		return
	}
	h.script = append(h.script, moment+text)
}

// post is a request to a path, with header lines.
func post(path, body string, headers ...string) *http.Request {
	req, err := http.NewRequest(http.MethodPost, "http://side.test:80"+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	return req
}

// The bodies of requests that want a stream, and of one that does not.
const (
	wantsStream = `{"model":"m/a","stream":true,"messages":[]}`
	wantsPlain  = `{"model":"m/a","messages":[]}`
)

// after is what an upstream does: it waits, and ends when it is left.
func after(r *http.Request, pause time.Duration) bool {
	select {
	case <-time.After(pause):
		return true
	case <-r.Context().Done():
		return false
	}
}

// tracing is a context whose request tells of interim answers.
func tracing(ctx context.Context, told func(status int)) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(status int, _ textproto.MIMEHeader) error {
		told(status)
		return nil
	}})
}
