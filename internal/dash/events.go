package dash

import (
	"io"
	"net/http"
	"time"
)

const (
	// beginning tells the browser to come back after a second when the stream breaks.
	beginning = "retry: 1000\n\n"
	// quiet is how long a stream may be silent before it is shown to be alive. It is only when the feed's loop is stuck.
	quiet = 15 * time.Second
	alive = ": alive\n\n"
)

// events streams every frame from the newest on. Whoever comes back, with a Last-Event-ID or without, gets the newest at once: what was
// missed meanwhile is not news.
func (d *Dash) events(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/event-stream; charset=utf-8")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	if r.Method == http.MethodHead {
		return
	}
	defer d.Feed.enter()()
	frame, err := d.Feed.latest(r.Context())
	if err != nil {
		d.fail(w, r, err)
		return
	}
	v := viewer{w: w, control: http.NewResponseController(w), patience: d.Patience}
	silence := time.NewTimer(quiet)
	defer silence.Stop()
	ok := v.send(append([]byte(beginning), frame.event...))
	for ok {
		select {
		case <-r.Context().Done():
			return
		case <-d.Feed.closed:
			return
		case <-frame.replaced:
			frame = d.Feed.newest.Load()
			ok = v.send(frame.event)
		case <-silence.C:
			ok = v.send([]byte(alive))
		}
		silence.Reset(quiet)
	}
}

// viewer is one who reads a stream.
type viewer struct {
	w        io.Writer
	control  *http.ResponseController
	patience time.Duration
}

// send reports whether the viewer has taken what is sent within its patience. After that the connection cannot be used any more.
func (v *viewer) send(b []byte) bool {
	if err := v.control.SetWriteDeadline(time.Now().Add(v.patience)); err != nil {
		return false
	}
	if _, err := v.w.Write(b); err != nil {
		return false
	}
	return v.control.Flush() == nil
}
