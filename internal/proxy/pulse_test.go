package proxy

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// manyEvents is an event stream of n events with every kind of line end, some large.
func manyEvents(random *rand.Rand, n int) []byte {
	var b bytes.Buffer
	for i := range n {
		end := []string{"\n", "\r\n", "\r"}[random.IntN(3)]
		if random.IntN(5) == 0 {
			fmt.Fprintf(&b, "id: %d%s", i, end)
		}
		fmt.Fprintf(&b, "data: {\"n\":%d,\"text\":%q}%s%s", i, strings.Repeat("x", random.IntN(3000)), end, end)
	}
	return b.Bytes()
}

// A stream comes in a thousand pieces, cut anywhere, with pauses between them in which the heart beats. What the client gets is the
// stream, byte for byte, with heartbeats between its events and nowhere else; what the upstream got is the client's body.
func TestBytesAreTheSameThroughAThousandCutsWithHeartbeats(t *testing.T) {
	const cuts, streams = 100, 10
	for seed := range uint64(streams) {
		random := rand.New(rand.NewPCG(seed, 4))
		stream := manyEvents(random, 60)
		sent := fmt.Sprintf(`{"model":"m/a","stream":true,"x":%q}`, strings.Repeat("é\n", random.IntN(100_000)))
		var received [sha256.Size]byte
		beating(t, Heartbeat{Mode: ModeAuto, Interval: MinInterval}, "", func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			received = sha256.Sum256(body)
			w.Header().Set("Content-Type", "text/event-stream")
			at := make([]int, cuts)
			for i := range at {
				at[i] = random.IntN(len(stream))
			}
			slices.Sort(at)
			from := 0
			for _, to := range append(at, len(stream)) {
				time.Sleep(time.Duration(random.IntN(40_000)) * time.Millisecond)
				_, _ = w.Write(stream[from:to])
				_ = http.NewResponseController(w).Flush()
				from = to
			}
		}, func(r *rig) {
			got := r.ask(post("/v1/chat/completions", sent))
			rest, beats := []byte(got.body), 0
			var whole []byte
			for len(rest) > 0 {
				if after, found := bytes.CutPrefix(rest, []byte(waiting)); found {
					if before := len(whole); before > 0 && !endsEvent(whole) {
						t.Fatalf("seed %d: a heartbeat stands inside an event, after %q", seed, whole[max(0, before-20):])
					}
					rest, beats = after, beats+1
					continue
				}
				whole, rest = append(whole, rest[0]), rest[1:]
			}
			if sha256.Sum256(whole) != sha256.Sum256(stream) || beats < cuts/4 || got.err != nil {
				t.Errorf("seed %d: %d bytes and %d heartbeats came, %v; want the %d bytes of the stream with many between them", seed, len(whole), beats, got.err, len(stream))
			}
			if received != sha256.Sum256([]byte(sent)) {
				t.Errorf("seed %d: the upstream got another body than the client sent", seed)
			}
		})
	}
}

// endsEvent reports whether b ends with a blank line.
func endsEvent(b []byte) bool {
	for _, end := range []string{"\n\n", "\r\r", "\r\n\r\n"} {
		if bytes.HasSuffix(b, []byte(end)) {
			return true
		}
	}
	return false
}

func TestAnEventThatIsTooLargeToHoldIsNotInterrupted(t *testing.T) {
	huge := "data: " + strings.Repeat("x", 3<<20)
	beating(t, usual, "", says(streamType, 40*time.Second, huge, "\n\n", hello), func(r *rig) {
		got := r.ask(post("/v1/chat/completions", wantsStream))
		_, rest, _ := strings.Cut(got.body, huge)
		if want := "\n\n" + waiting + waiting + hello; rest != want || got.err != nil {
			t.Errorf("after the event's beginning came %.200q, %v; want its end, then %q", rest, got.err, want[2:])
		}
	})
}

// impatient gives up after a silence, as a proxy in between or an SDK's read time-out does.
type impatient struct {
	net.Conn
	silence time.Duration
}

func (c impatient) Read(p []byte) (int, error) {
	_ = c.SetReadDeadline(time.Now().Add(c.silence))
	return c.Conn.Read(p)
}

func TestAClientWithAnIdleTimeOutOfAMinuteWaits150SecondsForItsAnswer(t *testing.T) {
	for mode, answered := range map[Mode]bool{ModeAuto: true, ModeOff: false} {
		for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/v1/responses"} {
			beating(t, Heartbeat{Mode: mode, CommitAfter: 2 * time.Second}, "1-M", says(streamType, 0, hello, theEnd), func(r *rig) {
				r.waitAtMost(time.Hour)
				for range 3 { // one that is served at once, two who wait before us
					go r.ask(post(path, wantsPlain))
					synctest.Wait()
				}
				dial := func(ctx context.Context, network, address string) (net.Conn, error) {
					conn, err := r.network.DialContext(ctx, network, address)
					return impatient{conn, time.Minute}, err
				}
				got := r.askBy(post(path, wantsStream, "X-Stainless-Read-Timeout: 60"), dial)
				if ok := got.err == nil && strings.HasSuffix(got.body, hello+theEnd); ok != answered || answered && got.took < 150*time.Second {
					t.Errorf("%s, %s: heard %q, %v after %s; want an answer: %t", mode, path, got.script, got.err, got.took, answered)
				}
			})
		}
	}
}

// A client leaves; its upstream must see it within a second, and nothing may be left of it: the rig looks at slots and bytes, the bubble
// at goroutines, memnet at connections.
func TestAClientThatLeavesIsForgottenWhereverItWaits(t *testing.T) {
	const times = 50
	for _, tt := range []struct {
		name   string
		rates  string
		busy   bool
		answer func(w http.ResponseWriter, r *http.Request)
		asked  bool // the upstream gets the request
	}{
		{name: "queued", rates: "1-H", busy: true, answer: says(streamType, 0, hello)},
		{name: "retrying", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "50")
			w.WriteHeader(http.StatusTooManyRequests)
		}},
		{name: "before the head", asked: true, answer: func(_ http.ResponseWriter, r *http.Request) { after(r, time.Hour) }},
		{name: "mid-stream", asked: true, answer: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for range 600 {
				_, _ = io.WriteString(w, hello)
				_ = http.NewResponseController(w).Flush()
				if !after(r, 13*time.Second) {
					return
				}
			}
		}},
	} {
		random := rand.New(rand.NewPCG(uint64(len(tt.name)), 50))
		var seen, running atomic.Int64 // when the upstream last saw somebody leave; how many it serves
		beating(t, usual, tt.rates, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			running.Add(1)
			defer running.Add(-1)
			tt.answer(w, r)
			if r.Context().Err() != nil {
				seen.Store(time.Now().UnixNano())
			}
		}, func(r *rig) {
			if tt.busy {
				r.ask(post("/v1/chat/completions", wantsPlain))
			}
			for range times {
				patience := time.Duration(1+random.IntN(45_000)) * time.Millisecond // before and after the commit, at a beat and between two
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				r.ask(post("/v1/chat/completions", wantsStream).WithContext(ctx))
				cancel()
				left := time.Now()
				synctest.Wait()
				if delay := time.Unix(0, seen.Load()).Sub(left); tt.asked && (delay < 0 || delay > time.Second) {
					t.Errorf("%s: the upstream saw the client leave %s after it did; want at most a second", tt.name, delay)
				}
				if running.Load() != 0 || r.gate.Len() != 0 || r.Held() != 0 || r.ledger.charged != r.ledger.settled {
					t.Fatalf("%s: %d attempts run, %d wait, %d bytes are held, %d of %d slots are settled; want nothing left",
						tt.name, running.Load(), r.gate.Len(), r.Held(), r.ledger.settled, r.ledger.charged)
				}
			}
		})
	}
}

// A client that does not read gets the beats that its connection holds; then one beat waits in its write, alone, until the client counts
// as gone.
func TestBeatsDoNotPileUpBeforeAClientThatDoesNotRead(t *testing.T) {
	var took atomic.Int64
	beating(t, usual, "", func(_ http.ResponseWriter, r *http.Request) {
		arrived := time.Now()
		_, _ = io.Copy(io.Discard, r.Body) // only then does a server see who leaves
		after(r, time.Hour)
		took.Store(int64(time.Since(arrived)))
	}, func(r *rig) {
		r.network.Buffer = 600 // the head and a few beats
		conn, err := r.network.DialContext(context.Background(), "tcp", "side.test:80")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		fmt.Fprintf(conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: side\r\nContent-Length: %d\r\n\r\n%s", len(wantsStream), wantsStream)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if took := time.Duration(took.Load()); took < stalled || took > 5*time.Minute {
			t.Errorf("the upstream was left after %s; want it some time after %s of a client that reads nothing", took, stalled)
		}
		if !strings.Contains(r.log.String(), `"reason":"cancelled"`) {
			t.Errorf("the log is %s; want the client's leave in it", r.log)
		}
	})
}

// The heart of a request that has ended is lent to another one, and must keep the time of that one only.
func TestAHeartThatWasLentBeforeBeatsInTime(t *testing.T) {
	pause := time.Second
	beating(t, usual, "", func(w http.ResponseWriter, r *http.Request) { says(streamType, pause, hello+theEnd)(w, r) }, func(r *rig) {
		for i := range 12 {
			pause = []time.Duration{time.Second, 40 * time.Second, 3 * time.Second}[i%3]
			got := r.ask(post("/v1/chat/completions", wantsStream))
			due := slices.DeleteFunc(seconds(2, 17, 32), func(d time.Duration) bool { return d > pause })
			if want := merge([]string{pause.String() + " " + hello + theEnd}, beats(due, waiting)); !slices.Equal(got.script, want) {
				t.Errorf("request %d heard %q; want %q", i, got.script, want)
			}
			time.Sleep(time.Duration(i) * 700 * time.Millisecond)
		}
	})
}

// deaf is a client that nothing can be written to.
type deaf struct{ sink }

func (*deaf) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAHeartIsLentAgainOnlyIfItWasStoppedBeforeItBeatAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		client http.ResponseWriter
		pause  time.Duration
		free   bool
	}{
		{"before its first beat", &sink{header: http.Header{}}, time.Second, true},
		{"between two beats", &sink{header: http.Header{}}, 20 * time.Second, true},
		{"after the beat that was its last", &deaf{sink{header: http.Header{}}}, 20 * time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			x := asked(t, http.MethodPost, "/v1/chat/completions")
			x = newExchange(x.h, tt.client, x.r)
			x.interval = usual.Interval
			x.keepAlive(comments, 2*time.Second)
			time.Sleep(tt.pause)
			synctest.Wait()
			x.hush()
			if lent := x.heart == nil; lent != tt.free {
				t.Errorf("%s: the heart was given back: %t; want %t", tt.name, lent, tt.free)
			}
			x.hush() // as at the end of all
		})
	}
}

// failing is a listener whose connections fail every write from a time on, although nothing is to be read on them.
type failing struct {
	net.Listener
	from time.Time
}

func (l failing) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return failingConn{conn, l.from}, err
}

type failingConn struct {
	net.Conn
	from time.Time
}

func (c failingConn) Write(p []byte) (int, error) {
	if !time.Now().Before(c.from) {
		return 0, errors.New("no route to host")
	}
	return c.Conn.Write(p)
}

// A client that vanished without a word is found by the beat that fails: in the queue, before the head and mid-stream.
func TestABeatThatFailsIsTheClientsLeave(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rates  string
		busy   bool
		answer http.HandlerFunc
	}{
		{"in the queue", "1-H", true, says(streamType, 0, hello)},
		{"before the head", "", false, slowly(time.Hour, 200, streamType, hello)},
		{"mid-stream", "", false, says(streamType, time.Hour, "", hello)},
		{"in the gap of a stream that nobody asked for", "", false, func(w http.ResponseWriter, r *http.Request) {
			says(streamType, 0, hello)(w, r)
			_ = http.NewResponseController(w).Flush()
			after(r, time.Hour)
		}},
	} {
		beating(t, usual, tt.rates, tt.answer, func(r *rig) {
			r.waitAtMost(time.Hour)
			if tt.busy {
				r.ask(post("/v1/chat/completions", wantsPlain))
			}
			r.log.Reset()
			listener, err := r.network.Listen("failing.test:80")
			if err != nil {
				t.Fatal(err)
			}
			server := &http.Server{Handler: r.Handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
			go func() { _ = server.Serve(failing{listener, time.Now().Add(16 * time.Second)}) }()
			req := post("/v1/chat/completions", wantsStream)
			if tt.name == "in the gap of a stream that nobody asked for" {
				req = post("/v1/chat/completions", wantsPlain)
			}
			req.URL.Host = "failing.test:80"
			got := r.ask(req)
			synctest.Wait()
			if got.err == nil || got.took < 16*time.Second || got.took > 32*time.Second || !strings.Contains(r.log.String(), `"reason":"cancelled"`) {
				t.Errorf("%s: ended %v after %s, logged %s; want the client's leave at the first beat after 16 s", tt.name, got.err, got.took, r.log)
			}
			_ = server.Close()
		})
	}
}

func TestAStreamThatBeginsWithManyCommentsIsNotHeldBackForLong(t *testing.T) {
	flood := strings.Repeat(": processing\n\n", 1000)
	beating(t, usual, "", says(streamType, time.Second, flood, hello), func(r *rig) {
		got := r.ask(post("/v1/chat/completions", wantsStream))
		if want := []string{"1s " + flood, "2s " + hello}; !slices.Equal(got.script, want) {
			t.Errorf("heard %.100q and so on; want the comments as they come", got.script)
		}
	})
}

// asleep is a client's connection that reads nothing before a time.
type asleep struct {
	net.Conn
	until time.Time
}

func (c asleep) Read(p []byte) (int, error) {
	<-time.After(time.Until(c.until))
	return c.Conn.Read(p)
}

// Whoever finds the other one writing, the handler a beat or a beat the handler, the client gets everything in order.
func TestHandlerAndHeartbeatTakeTurnsBeforeAClientThatReadsLate(t *testing.T) {
	const events = 200
	for _, tt := range []struct {
		name   string
		answer http.HandlerFunc
		until  time.Duration
		body   string
	}{
		{
			"the handler finds a beat writing", slowly(70*time.Second, 200, streamType, hello), 90 * time.Second,
			strings.Repeat(waiting, 5) + hello, // the fifth, at 62 s, waits for room
		},
		{
			"a beat finds the handler writing", func(w http.ResponseWriter, r *http.Request) {
				says(streamType, 0, strings.Repeat(hello, events))(w, r)
				_ = http.NewResponseController(w).Flush()
				after(r, 70*time.Second)
			}, 50 * time.Second,
			strings.Repeat(hello, events) + strings.Repeat(waiting, 4), // at 65 s and so on
		},
	} {
		beating(t, usual, "", tt.answer, func(r *rig) {
			r.network.Buffer = 400
			dial := func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := r.network.DialContext(ctx, network, address)
				return asleep{conn, time.Now().Add(tt.until)}, err
			}
			if got := r.askBy(post("/v1/chat/completions", wantsStream), dial); got.err != nil || got.body != tt.body {
				t.Errorf("%s: heard %d bytes, %v, ending %q; want %d", tt.name, len(got.body), got.err, got.body[max(0, len(got.body)-500):], len(tt.body))
			}
		})
	}
}
