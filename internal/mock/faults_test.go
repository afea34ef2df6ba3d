package mock_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/memnet"
	"nimsidecar/internal/mock"
)

// overTheNet serves s on an in-memory network until the test ends, and returns how to reach it.
func overTheNet(t *testing.T, s *mock.Server) func() net.Conn {
	t.Helper()
	network := new(memnet.Network)
	l, err := network.Listen("mock:80")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		server.Close()
		<-ended
		time.Sleep(time.Second) // net/http lingers on a connection that it closes
	})
	return func() net.Conn {
		conn, err := network.DialContext(t.Context(), "tcp", "mock:80")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
}

// put writes a request to a connection.
func put(t *testing.T, conn net.Conn, a ask) {
	t.Helper()
	if err := a.request().Write(conn); err != nil {
		t.Fatal(err)
	}
}

// get reads one answer from a connection: its status and body, and how it ended.
func get(r *bufio.Reader) (status int, body string, err error) {
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	read, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(read), err
}

const streamed = `{"model":"m","stream":true}`

func TestAStreamBreaksWhereTheFaultSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		fault  mock.Fault
		whole  int  // events that arrive whole
		half   bool // and half of one more
		silent bool // and then nothing, instead of an end
		end    error
	}{
		{mock.Fault{Name: "cut", Chunks: 2}, 2, false, false, io.ErrUnexpectedEOF},
		{mock.Fault{Name: "cut"}, 0, false, false, io.ErrUnexpectedEOF},
		{mock.Fault{Name: "stall", Chunks: 2}, 2, false, true, nil},
		{mock.Fault{Name: "half_frame", Chunks: 1}, 1, true, false, io.ErrUnexpectedEOF},
		{mock.Fault{Name: "truncated", Chunks: 1}, 1, true, false, io.ErrUnexpectedEOF},
		{mock.Fault{Name: "half_frame_stall", Chunks: 1}, 1, true, true, nil},
		{mock.Fault{Name: "early_end", Chunks: 3}, 3, false, false, nil},
		{mock.Fault{Name: "empty_stream", Chunks: 3}, 0, false, false, nil},
	} {
		bubble(t, tt.fault.Name, func(t *testing.T) {
			s := newServer(t, mock.Options{})
			arm(t, s, tt.fault)
			conn := overTheNet(t, s)()
			put(t, conn, ask{body: streamed})
			start := time.Now()
			if err := conn.SetReadDeadline(start.Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			status, body, err := get(bufio.NewReader(conn))

			if silent := time.Since(start) == time.Hour; silent != tt.silent {
				t.Errorf("the answer ended after %v; want silence: %v", time.Since(start), tt.silent)
			}
			if !tt.silent && !errors.Is(err, tt.end) || status != http.StatusOK {
				t.Errorf("status %d, then the body ended with %v; want 200, %v", status, err, tt.end)
			}
			whole := strings.Count(body, "\n\n")
			rest := body[strings.LastIndex(body, "\n\n")+1:]
			if whole != tt.whole || strings.Contains(rest, "data: ") != tt.half || strings.Contains(body, "[DONE]") {
				t.Errorf("%d whole events, then %q; want %d, half of one: %v, no [DONE]", whole, rest, tt.whole, tt.half)
			}
			if got := charges(s); got != 1 {
				t.Errorf("%d charged; want 1", got)
			}
		})
	}
}

func TestAWholeAnswerBreaksInTheMiddle(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]error{"truncated": io.ErrUnexpectedEOF, "cut": io.ErrUnexpectedEOF, "early_end": io.ErrUnexpectedEOF, "empty_stream": nil} {
		bubble(t, fault, func(t *testing.T) {
			s := newServer(t, mock.Options{})
			arm(t, s, mock.Fault{Name: fault})
			conn := overTheNet(t, s)()
			put(t, conn, ask{})
			status, body, err := get(bufio.NewReader(conn))
			if status != http.StatusOK || !errors.Is(err, want) || (body == "") != (fault == "empty_stream") {
				t.Errorf("%d %q, then %v; want 200 and %v", status, body, err, want)
			}
		})
	}
}

func TestAConnectionEndsWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for fault, want := range map[string]error{"reset": syscall.ECONNRESET, "close": io.EOF} {
		bubble(t, fault, func(t *testing.T) {
			s := newServer(t, mock.Options{})
			arm(t, s, mock.Fault{Name: fault})
			conn := overTheNet(t, s)()
			put(t, conn, ask{})
			if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, want) {
				t.Errorf("read %d bytes, %v; want none, %v", n, err, want)
			}
			if got := charges(s); got != 1 {
				t.Errorf("%d charged; want 1: bytes had been written", got)
			}
		})
	}
}

func TestWhatIsNoHTTP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ fault, begins string }{
		{"garbage_head", "\x16\x03\x01 this is no HTTP"},
		{"bad_chunk", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"},
		{"two_framings", "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"endless_head", "HTTP/1.1 200 OK\r\nX-Filler: xxx"},
	} {
		bubble(t, tt.fault, func(t *testing.T) {
			s := newServer(t, mock.Options{})
			arm(t, s, mock.Fault{Name: tt.fault})
			conn := overTheNet(t, s)()
			put(t, conn, ask{})
			got, err := readAll(t, conn)
			if err != nil || !strings.HasPrefix(got, tt.begins) {
				t.Errorf("%.100q, %v; want %q and an end", got, err, tt.begins)
			}
			if tt.fault == "endless_head" && (len(got) < 1<<20 || strings.Contains(got, "\r\n\r\n")) {
				t.Errorf("a head of %d bytes; want a megabyte without an end", len(got))
			}
		})
	}
}

func TestASecondAnswerComesUnasked(t *testing.T) {
	t.Parallel()
	bubble(t, "unsolicited", func(t *testing.T) {
		s := newServer(t, mock.Options{})
		arm(t, s, mock.Fault{Name: "unsolicited"})
		conn := overTheNet(t, s)()
		put(t, conn, ask{})
		r := bufio.NewReader(conn)
		_, right, err := get(r)
		if err != nil || right != send(newServer(t, mock.Options{}), ask{}).Body.String() {
			t.Errorf("first answer %s, %v; want the usual one", right, err)
		}
		if status, second, err := get(r); status != http.StatusOK || err != nil || !strings.Contains(second, "nobody asked for this") {
			t.Errorf("second answer %d %s, %v; want one that nobody asked for", status, second, err)
		}
		start := time.Now()
		if _, err := r.ReadByte(); err != io.EOF || time.Since(start) != time.Second {
			t.Errorf("the connection ended with %v after %v; want EOF after 1s", err, time.Since(start))
		}
	})
	bubble(t, "stray_bytes", func(t *testing.T) {
		s := newServer(t, mock.Options{})
		arm(t, s, mock.Fault{Name: "stray_bytes"})
		conn := overTheNet(t, s)()
		put(t, conn, ask{})
		if got, err := readAll(t, conn); err != nil || !strings.HasPrefix(got, "HTTP/1.1 204 No Content\r\n") || !strings.HasSuffix(got, "\r\n\r\nstray bytes") {
			t.Errorf("%q, %v; want a 204 with a body", got, err)
		}
	})
}

func TestAnEarlyAnswerDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, mock.Options{})
		arm(t, s, mock.Fault{Name: "early_answer"})
		conn := overTheNet(t, s)()
		if _, err := io.WriteString(conn, "POST "+chatPath+" HTTP/1.1\r\nHost: mock\r\nContent-Length: 1000000\r\n\r\n{"); err != nil {
			t.Fatal(err)
		}
		if status, body, err := get(bufio.NewReader(conn)); status != http.StatusRequestEntityTooLarge || err != nil {
			t.Errorf("%d %s, %v; want 413 before the body is there", status, body, err)
		}
	})
}

func TestAnswersThatComeLate(t *testing.T) {
	t.Parallel()
	bubble(t, "delay", func(t *testing.T) {
		s := newServer(t, mock.Options{Service: time.Second})
		arm(t, s, mock.Fault{Name: "delay", Delay: time.Minute, Header: map[string]string{"X-Extra": "yes"}})
		start := time.Now()
		if rec := send(s, ask{}); rec.Code != http.StatusOK || time.Since(start) != 61*time.Second || rec.Header().Get("X-Extra") != "yes" {
			t.Errorf("%d after %v with %v; want 200 after 1m1s with X-Extra", rec.Code, time.Since(start), rec.Header())
		}
	})
	bubble(t, "delay of a refusal", func(t *testing.T) {
		s := newServer(t, mock.Options{})
		arm(t, s, mock.Fault{Name: "queue_trouble", Delay: 31 * time.Second})
		start := time.Now()
		if rec := send(s, ask{}); rec.Code != http.StatusTooManyRequests || time.Since(start) != 31*time.Second {
			t.Errorf("%d after %v; want 429 after 31s", rec.Code, time.Since(start))
		}
	})
	bubble(t, "slow_stream", func(t *testing.T) {
		s := newServer(t, mock.Options{Chunks: 3})
		arm(t, s, mock.Fault{Name: "slow_stream", Times: 2})
		start := time.Now()
		send(s, ask{body: streamed})
		if got := time.Since(start); got != 4*time.Second {
			t.Errorf("a slow stream of 5 events took %v; want 4s", got)
		}
		send(s, ask{})
		if got := time.Since(start); got != 4*time.Second {
			t.Errorf("what is no stream ended after %v; want at once", got-4*time.Second)
		}
	})
	bubble(t, "pause", func(t *testing.T) {
		s := newServer(t, mock.Options{Chunks: 3})
		arm(t, s, mock.Fault{Name: "pause", Chunks: 2, Delay: time.Minute})
		arm(t, s, mock.Fault{Name: "pause"})
		start := time.Now()
		rec := send(s, ask{body: streamed})
		if got := time.Since(start); got != time.Minute || len(events(t, rec.Body.String())) != 5 {
			t.Errorf("a stream with a pause took %v and is %s; want 1m0s, and all of it", got, rec.Body)
		}
		send(s, ask{body: streamed})
		if got := time.Since(start); got != time.Minute+time.Second {
			t.Errorf("the next one took %v; want the default of 1s", got-time.Minute)
		}
	})
	bubble(t, "hang", func(t *testing.T) {
		s := newServer(t, mock.Options{})
		arm(t, s, mock.Fault{Name: "hang"})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		start := time.Now()
		if rec := send(s, ask{ctx: ctx}); rec.Code != -1 || time.Since(start) != time.Hour {
			t.Errorf("%d after %v; want it to end without an answer when the client gives up", rec.Code, time.Since(start))
		}
		if got := s.Stats().Aborted; got != 1 {
			t.Errorf("%d aborted; want 1", got)
		}
	})
}

func TestFaultsHitInOrderAndOnlyWhatTheyShould(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{Limits: "6-D"})
	arm(t, s, mock.Fault{Name: "degraded", Times: 2, Model: "a"})
	arm(t, s, mock.Fault{Name: "workers_busy"})
	arm(t, s, mock.Fault{Name: "gone", Times: -1, Model: "b"})
	var got []int
	for _, model := range []string{"b", "c", "a", "a", "a", "b", "c", "c", "c", "c", "c", "c", "b"} {
		got = append(got, send(s, ask{model: model}).Code)
	}
	if diff := cmp.Diff([]int{410, 503, 400, 400, 200, 410, 200, 200, 200, 200, 200, 429, 410}, got); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
	// A request that is refused before it gets there does not use a fault up.
	arm(t, s, mock.Fault{Name: "workers_busy"})
	if got := send(s, ask{model: "c"}).Code; got != http.StatusTooManyRequests {
		t.Errorf("a request over the limit got %d; want 429", got)
	}
	if got := send(s, ask{model: "d"}).Code; got != http.StatusServiceUnavailable {
		t.Errorf("the next one within a limit got %d; want 503", got)
	}
}

func TestARefusalCanBeChanged(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	arm(t, s, mock.Fault{Name: "quota", Status: 418, Body: "other {model}", Header: map[string]string{"Retry-After": "5"}})
	rec := send(s, ask{})
	if rec.Code != 418 || rec.Body.String() != "other {model}" || rec.Header().Get("Retry-After") != "5" {
		t.Errorf("%d %s %v; want 418, the body as given, and Retry-After: 5", rec.Code, rec.Body, rec.Header())
	}
	arm(t, s, mock.Fault{Name: "offline", Header: map[string]string{"Retry-After": "60"}})
	if got := send(s, ask{}).Header().Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After %s; want the fault's 60 instead of the refusal's own", got)
	}
}

func TestArmNamesWhatItCannotDo(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	for _, tt := range []struct {
		fault mock.Fault
		want  string
	}{
		{mock.Fault{}, `fault "": want one of already_exists, `},
		{mock.Fault{Name: "earthquake"}, `fault "earthquake": want one of`},
		{mock.Fault{Name: "early_answer", Model: "m"}, `before the model is known: want no model, got "m"`},
		{mock.Fault{Name: "cut", Delay: -1}, "delay -1ns, chunks 0: want nothing negative"},
		{mock.Fault{Name: "cut", Chunks: -2}, "chunks -2"},
		{mock.Fault{Name: "quota", Status: 100}, "status 100: want 200 to 999"},
		{mock.Fault{Name: "cut", Status: 500}, `fault "cut" is no refusal`},
		{mock.Fault{Name: "cut", Body: "x"}, `fault "cut" is no refusal`},
	} {
		if err := s.Arm(tt.fault); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Arm(%+v) = %v; want %q", tt.fault, err, tt.want)
		}
	}
	if got := send(s, ask{}).Code; got != http.StatusOK {
		t.Errorf("after faults that were not armed: %d; want 200", got)
	}
}

func TestWithoutAConnectionToTakeAnAnswerIsBrokenOff(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{})
	arm(t, s, mock.Fault{Name: "garbage_head"})
	if got := send(s, ask{}).Code; got != -1 {
		t.Errorf("a recorder, which has no connection, got %d; want the answer to break off", got)
	}
}

func TestAClientThatLeavesAStreamIsNoticed(t *testing.T) {
	t.Parallel()
	bubble(t, "", func(t *testing.T) {
		s := newServer(t, mock.Options{ChunkGap: time.Minute})
		conn := overTheNet(t, s)()
		put(t, conn, ask{body: streamed})
		time.Sleep(150 * time.Second)
		conn.Close()
		synctest.Wait()
		if got := s.Stats(); got.Aborted != 1 || got.Scopes[0].Running != 0 {
			t.Errorf("Stats() = %+v; want one aborted and none running at once", got)
		}
	})
}
