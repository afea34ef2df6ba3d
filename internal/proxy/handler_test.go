package proxy

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/secret"
)

func TestARequestKeepsTheSettingsThatItBeganWith(t *testing.T) {
	beating(t, Heartbeat{}, "1-H", says(streamType, 0, hello+theEnd), func(r *rig) {
		ask := func() (heard, time.Duration) {
			got := r.ask(post("/v1/chat/completions", wantsStream))
			return got, got.took
		}
		ask() // now there is no slot for an hour
		before := make(chan time.Duration)
		go func() {
			_, took := ask()
			before <- took
		}()
		synctest.Wait()
		held := r.Held()
		r.Apply(Settings{MaxWait: 30 * time.Second, Heartbeat: usual})
		if held != int64(len(wantsStream)) || r.Held() != held {
			t.Errorf("%d bytes are held, and %d after a change of settings; want the %d of the body that waits", held, r.Held(), len(wantsStream))
		}
		got, took := ask()
		if want := beats(seconds(2, 17), queued); took != 30*time.Second || len(got.script) != 3 || !slices.Equal(got.script[:2], want) {
			t.Errorf("who came after the change heard %q until %s; want %q, and its end after 30 s", got.script, took, want)
		}
		if took := <-before; took != time.Minute {
			t.Errorf("who came before the change waited %s; want the minute of then", took)
		}
	})
}

func TestPassthroughIsSwitchedWhileRunning(t *testing.T) {
	bubble(t, "1-H", says(jsonType, 0, "{}"), func(r *rig) {
		r.ask(post("/v1/chat/completions", wantsPlain)) // now there is no slot for an hour
		r.gate.Apply(gate.Settings{Capacity: 1})
		waits := make(chan heard)
		go func() { waits <- r.ask(post("/v1/chat/completions", wantsPlain)) }()
		synctest.Wait()
		for _, tt := range []struct {
			passthrough bool
			status      int
		}{{false, http.StatusTooManyRequests}, {true, http.StatusOK}, {false, http.StatusTooManyRequests}} {
			r.Apply(Settings{MaxWait: time.Minute, Passthrough: tt.passthrough})
			if got := r.ask(post("/v1/chat/completions", wantsPlain)); got.StatusCode != tt.status || got.took > time.Second {
				t.Errorf("passthrough %t with a full queue: %d after %s; want %d at once", tt.passthrough, got.StatusCode, got.took, tt.status)
			}
		}
		<-waits
	})
}

func TestAppliedSettingsHaveDefaults(t *testing.T) {
	t.Parallel()
	h := New(Options{})
	first := *h.settings.Load()
	h.Apply(Settings{MaxWait: time.Hour, Heartbeat: Heartbeat{Mode: ModeChunk, Interval: time.Second}})
	want := Settings{MaxWait: time.Hour, Heartbeat: Heartbeat{Mode: ModeChunk, Interval: MinInterval}}
	if got := *h.settings.Load(); got != want {
		t.Errorf("settings = %+v; want %+v", got, want)
	}
	h.Apply(Settings{})
	want = Settings{MaxWait: DefaultMaxWait, Heartbeat: Heartbeat{Mode: ModeOff, Interval: DefaultInterval}}
	if got := *h.settings.Load(); got != want || first != want {
		t.Errorf("settings = %+v, those of New %+v; want %+v", got, first, want)
	}
}

// A short answer is there as a whole before its head goes out, and nothing is gained by passing it on in pieces.
func TestAShortAnswerGoesOutInOnePiece(t *testing.T) {
	for _, size := range []int{1, smallBuffer - 1, smallBuffer, smallBuffer + 1, 4 << 10, 8<<10 - 1} {
		bubble(t, "", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(size))
			_, _ = w.Write([]byte(strings.Repeat("x", size)))
		}, func(r *rig) {
			w := &sink{header: http.Header{}}
			if r.serve(w, chat(context.Background(), "false")); w.n != size || w.writes != 1 {
				t.Errorf("%d bytes came in %d writes; want %d in one", w.n, w.writes, size)
			}
		})
	}
}

func TestWhoWaitsIsShownWithItsClientAndItsAgent(t *testing.T) {
	bubble(t, "1-H", says(jsonType, 0, "{}"), func(r *rig) {
		r.Guard = guard.New(guard.Options{Clients: []guard.Client{{Name: "alice", Key: secret.New("key-a")}}})
		ask := func() heard {
			return r.ask(post("/v1/chat/completions", wantsPlain, "Authorization: Bearer key-a", "X-Sidecar-Agent: coder"))
		}
		ask() // now there is no slot for an hour
		ended := make(chan heard)
		go func() { ended <- ask() }()
		synctest.Wait()
		if w := r.gate.Waiting(); len(w) != 1 || w[0].Client != "alice" || w[0].Agent != "coder" {
			t.Errorf("Waiting() = %+v; want agent coder of client alice", w)
		}
		<-ended
	})
}
