package proxy

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"nimsidecar/internal/wire"
)

// patient is a recorder that keeps the read deadlines it was given.
type patient struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (p *patient) SetReadDeadline(t time.Time) error {
	p.deadlines = append(p.deadlines, t)
	return nil
}

// reading returns an exchange with a body to read; announced is its Content-Length.
func reading(t testing.TB, body io.Reader, announced int64) (*exchange, *patient) {
	t.Helper()
	x := asked(t, http.MethodPost, "/v1/x")
	w := &patient{ResponseRecorder: httptest.NewRecorder()}
	x.r.Body, x.r.ContentLength = io.NopCloser(body), announced
	return newExchange(x.h, w, x.r), w
}

func TestABodyIsReadWholeWhateverItsPieces(t *testing.T) {
	t.Parallel()
	body := bytes.Repeat([]byte("0123456789abcdef"), 5_000)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader, "in bytes": iotest.OneByteReader, "with its end": iotest.DataErrReader,
	} {
		for _, size := range []int{0, 1, 511, 512, 513, trusted, trusted + 1, len(body)} {
			for _, announced := range []int64{int64(size), -1} {
				x, _ := reading(t, wrap(bytes.NewReader(body[:size])), announced)
				if refusal := x.readBody(); refusal != nil || !bytes.Equal(x.body, body[:size]) {
					t.Errorf("%s, %d bytes, announced as %d: %d bytes, %v; want all", name, size, announced, len(x.body), refusal)
				}
				if x.bytesIn != size || x.h.Held() != int64(size) {
					t.Errorf("%s, %d bytes: %d counted and %d held; want as many", name, size, x.bytesIn, x.h.Held())
				}
				if x.letGo(); x.h.Held() != 0 || x.body != nil {
					t.Errorf("%s, %d bytes: %d are held after letGo; want 0", name, size, x.h.Held())
				}
			}
		}
	}
}

func TestABodyThatEarnsTimeGetsIt(t *testing.T) {
	t.Parallel()
	x, w := reading(t, iotest.HalfReader(bytes.NewReader(make([]byte, 3*bodyPace))), 3*bodyPace)
	if refusal := x.readBody(); refusal != nil {
		t.Fatalf("refused: %s", refusal.Message)
	}
	first, last, after := w.deadlines[0].Sub(x.began), w.deadlines[len(w.deadlines)-2].Sub(x.began), w.deadlines[len(w.deadlines)-1]
	if first != bodyGrace || last != bodyGrace+4*time.Second || !after.IsZero() {
		t.Errorf("deadlines: first %s, last %s, after the body %v; want 30s, 34s, none", first, last, after)
	}
}

func TestABodyThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	stopped, stop := context.WithCancelCause(context.Background())
	stop(ErrStopping)
	broken := errors.New("broken")
	for _, tt := range []struct {
		name      string
		body      io.Reader
		announced int64
		ctx       context.Context
		reason    wire.Reason
		status    int // of the reason, where it is 0
	}{
		{name: "announced too large", body: strings.NewReader(""), announced: 1001, reason: wire.BodyTooLarge},
		{name: "too large", body: strings.NewReader(strings.Repeat("x", 1001)), announced: -1, reason: wire.BodyTooLarge},
		{name: "beyond the budget", body: strings.NewReader(strings.Repeat("x", 901)), announced: -1, reason: wire.Overloaded},
		{name: "too slow", body: io.MultiReader(strings.NewReader("x"), iotest.ErrReader(os.ErrDeadlineExceeded)), announced: 2, reason: wire.BadRequest, status: 408},
		{name: "cut", body: io.MultiReader(strings.NewReader("x"), iotest.ErrReader(broken)), announced: 2, reason: wire.BadRequest},
		{name: "cut by the stop", body: iotest.ErrReader(broken), announced: 2, ctx: stopped, reason: wire.Draining},
	} {
		x, w := reading(t, tt.body, tt.announced)
		x.h.MaxBody, x.h.MaxBytes = 1000, 900
		if tt.ctx != nil {
			x.r = x.r.WithContext(tt.ctx)
		}
		refusal := x.readBody()
		if refusal == nil || refusal.Reason != tt.reason || refusal.Status != tt.status {
			t.Errorf("%s: refusal = %+v; want %s with status %d", tt.name, refusal, tt.reason, tt.status)
		}
		if w.Header().Get("Connection") != "close" {
			t.Errorf("%s: the connection is to be kept; want it closed, since the rest of the body is not read", tt.name)
		}
		if x.letGo(); x.h.Held() != 0 {
			t.Errorf("%s: %d bytes are still held; want 0", tt.name, x.h.Held())
		}
	}
}

func TestTheBudgetOfBodiesIsSharedAndGivenBack(t *testing.T) {
	t.Parallel()
	h := New(Options{MaxBytes: 1000})
	var held sync.Map
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			x := &exchange{h: h}
			held.Store(i, x.hold(100))
			x.letGo()
		})
	}
	group.Wait()
	if h.Held() != 0 {
		t.Errorf("%d bytes are held after everybody let go; want 0", h.Held())
	}
	one, two := &exchange{h: h}, &exchange{h: h}
	if !one.hold(600) || two.hold(600) {
		t.Error("the second 600 of 1000 bytes were granted, or the first not")
	}
	if two.letGo(); !two.hold(400) {
		t.Error("what is left was not granted after the refusal")
	}
}

func TestALongModelNameIsRefused(t *testing.T) {
	t.Parallel()
	for length, ok := range map[int]bool{maxModel: true, maxModel + 1: false} {
		body := `{"model":"` + strings.Repeat("m", length) + `"}`
		x, _ := reading(t, strings.NewReader(body), int64(len(body)))
		if refusal := x.readBody(); (refusal == nil) != ok || ok != (x.peek.Model != "") {
			t.Errorf("a model's name of %d bytes: refused: %t, kept: %t; want it kept: %t", length, refusal != nil, x.peek.Model != "", ok)
		}
	}
}

func TestBuffersComeInTwoSizes(t *testing.T) {
	t.Parallel()
	var b buffers
	for _, size := range []int{smallBuffer, largeBuffer} {
		p := b.get(size)
		if len(*p) != size {
			t.Errorf("get(%d) has %d bytes", size, len(*p))
		}
		b.put(p)
	}
	defer func() {
		if recover() == nil {
			t.Error("get of another size did not panic")
		}
	}()
	b.get(smallBuffer + 1)
}
