package top

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nimsidecar/internal/dash"
	"nimsidecar/internal/memnet"
)

// host is where clients expect the sidecar, on the network of a rig.
const host = "localhost:80"

// rig is a sidecar's dashboard on a network of its own, for a bubble.
type rig struct {
	t       *testing.T
	network memnet.Network
	client  *Client
	denied  *dash.Error // what it says to everybody, if it is not nil
	version string      // of what it says
	parts   sync.WaitGroup
	end     func()
}

func (r *rig) View() *dash.View {
	v := sample()
	v.Now, v.Version = time.Now().UnixMilli(), r.version
	return v
}

// newRig returns a rig that serves.
func newRig(t *testing.T) *rig {
	r := &rig{t: t, version: "0.1.0"}
	transport := &http.Transport{DialContext: r.network.DialContext}
	r.client = &Client{Transport: transport, Where: "127.0.0.1:9190", Token: "s3cret"}
	r.serve()
	t.Cleanup(transport.CloseIdleConnections)
	return r
}

// serve starts a sidecar, and sets what stops it.
func (r *rig) serve() {
	l, err := r.network.Listen(host)
	if err != nil {
		r.t.Fatal(err)
	}
	feed := dash.NewFeed(r)
	server := &http.Server{Handler: dash.New(dash.Options{Feed: feed, Read: func(q *http.Request) error {
		switch {
		case r.denied != nil:
			return r.denied
		case q.Header.Get("Authorization") != "Bearer s3cret" || q.Host != "localhost":
			return errors.New("a request of " + q.Host + " without the token")
		}
		return nil
	}})}
	ctx, cancel := context.WithCancel(context.Background())
	r.parts.Go(func() { _ = feed.Run(ctx) })
	r.parts.Go(func() { _ = server.Serve(l) })
	r.end = func() {
		cancel()
		feed.Close()
		_ = server.Close()
		r.parts.Wait()
	}
}

// fake is a terminal that is 80 by 24 and remembers what was written to it.
type fake struct {
	keys    io.Reader
	resized chan os.Signal
	panics  bool // when it is asked for its size

	mu            sync.Mutex // guards the following
	width, height int
	text          bytes.Buffer
	gone          bool
}

// newFake returns a terminal and its keyboard.
func newFake() (*fake, *io.PipeWriter) {
	in, keys := io.Pipe()
	return &fake{keys: in, resized: make(chan os.Signal, 1), width: 80, height: 24}, keys
}

func (f *fake) Read(p []byte) (int, error) { return f.keys.Read(p) }

func (f *fake) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return 0, errors.New("input/output error")
	}
	return f.text.Write(p)
}

func (f *fake) Size() (width, height int) {
	if f.panics {
		panic("no size")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.width, f.height
}

func (f *fake) Resized() <-chan os.Signal { return f.resized }

// change changes the size.
func (f *fake) change(width, height int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.width, f.height = width, height
}

// taken returns what was written since it was asked last.
func (f *fake) taken() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	defer f.text.Reset()
	return f.text.String()
}

// emulator is a terminal as a person sees it: an oracle for what the control sequences of a screen come to.
type emulator struct{ lines []string }

// obey follows what was written. It knows the sequences of a screen and no others.
func (e *emulator) obey(t *testing.T, text string) {
	t.Helper()
	for i, part := range strings.Split(text, "\x1b[") {
		end := strings.IndexFunc(part, func(r rune) bool { return r >= '@' && r <= '~' })
		switch {
		case i == 0 && part == "":
		case i > 0 && end >= 0 && part[:end+1] == "2J":
			e.lines = nil
			e.rest(t, part[end+1:])
		case i > 0 && end >= 0 && strings.HasSuffix(part[:end+1], ";1H"):
			row := 0
			for _, digit := range strings.TrimSuffix(part[:end+1], ";1H") {
				row = 10*row + int(digit-'0')
			}
			e.lines = append(e.lines, make([]string, max(0, row-len(e.lines)))...)
			e.lines[row-1] = part[end+1:]
		case i > 0 && end >= 0 && slices.Contains([]string{"K", "0m", "?7l", "?7h", "?25l", "?25h", "?1049h", "?1049l"}, part[:end+1]):
			e.rest(t, part[end+1:])
		default:
			t.Fatalf("%q is in what was written", part)
		}
	}
}

func (e *emulator) rest(t *testing.T, text string) {
	t.Helper()
	if text != "" {
		t.Fatalf("%q was written at no place", text)
	}
}
