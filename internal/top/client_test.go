package top

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/dash"
)

func TestASnapshotIsWhatTheSidecarWrote(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		defer r.end()
		raw, v, err := r.client.Snapshot(t.Context())
		if err != nil || v.State != "RETREAT" || v.Seq != 1 || !strings.HasPrefix(string(raw), `{"seq":1,"now":`) || !strings.HasSuffix(string(raw), "}") {
			t.Errorf("Snapshot = %.40s, %+v, %v; want the sample and its JSON", raw, v, err)
		}
	})
}

func TestWhatIsWrongIsOneSentence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		say := func(status int, body string) func() {
			return func() {
				l, err := r.network.Listen(host)
				if err != nil {
					t.Fatal(err)
				}
				server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
					if status == 0 {
						<-q.Context().Done()
						return
					}
					w.WriteHeader(status)
					_, _ = w.Write([]byte(body))
				})}
				r.parts.Go(func() { _ = server.Serve(l) })
				r.end = func() { _ = server.Close(); r.parts.Wait() }
			}
		}
		for _, tt := range []struct {
			name  string
			serve func()
			want  string
		}{
			{"nobody", func() { r.end = func() {} }, "no sidecar answers at 127.0.0.1:9190: "},
			{"somebody else", say(404, "<html>nginx</html>"), "what answers at 127.0.0.1:9190 is no sidecar: it says 404 to /sidecar/api/snapshot"},
			{"somebody who says yes to everything", say(200, "{}"), "what answers at 127.0.0.1:9190 is no sidecar of this version"},
			{"no JSON", say(200, "hello"), "what answers at 127.0.0.1:9190 is no sidecar of this version"},
			{"nobody who hurries", say(0, ""), "no sidecar answers at 127.0.0.1:9190: it takes too long"},
			{"a sidecar that wants a token", func() {
				r.denied = &dash.Error{Status: 401, Code: dash.Unauthorized, Message: "show the \x1b[31mtoken"}
				r.serve()
			}, "the sidecar at 127.0.0.1:9190 says 401: show the ?[31mtoken"},
		} {
			r.end()
			tt.serve()
			_, _, err := r.client.Snapshot(t.Context())
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("%s: %v; want one sentence, %s", tt.name, err, tt.want)
			}
		}
		r.end()
	})
}

// TestAStreamIsFollowedThroughBreaks has a sidecar that goes and comes back, and one that falls silent.
func TestAStreamIsFollowedThroughBreaks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var heard []news
		done := make(chan struct{})
		go func() {
			defer close(done)
			r.client.follow(ctx, func(n news) { heard = append(heard, n) })
		}()
		time.Sleep(2500 * time.Millisecond) // at 0, 1 and 2 s
		synctest.Wait()
		if len(heard) != 3 || heard[2].err != nil {
			t.Fatalf("in 2.5 s %d came, the last of them with %v; want 3 snapshots", len(heard), heard[len(heard)-1].err)
		}
		if v, err := r.client.read(heard[2].raw); err != nil || v.Seq != 3 {
			t.Errorf("the third is %+v, %v; want number 3", v, err)
		}
		r.end()
		synctest.Wait()
		time.Sleep(1500 * time.Millisecond) // refused once, a second after the break
		synctest.Wait()
		if len(heard) != 5 || heard[3].err == nil || heard[4].err == nil {
			t.Fatalf("after the break %d came; want two troubles after 3 snapshots", len(heard))
		}
		r.serve()
		time.Sleep(time.Second)
		synctest.Wait()
		if last := heard[len(heard)-1]; last.err != nil {
			t.Errorf("after the return there is %v; want a snapshot", last.err)
		}
		cancel()
		<-done
		r.end()
	})
}

func TestASilentStreamIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.end()
		l, err := r.network.Listen(host)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-q.Context().Done()
		})}
		r.parts.Go(func() { _ = server.Serve(l) })
		began := time.Now()
		if err := r.client.stream(t.Context(), func(news) { t.Error("something came") }); err == nil || time.Since(began) != silence {
			t.Errorf("a silent stream ended after %v with %v; want %v and an error", time.Since(began), err, silence)
		}
		_ = server.Close()
		r.parts.Wait()
	})
}
