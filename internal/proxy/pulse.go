package proxy

import (
	"maps"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/gate"
)

// pulse is the part of an exchange that is shared between its handler and its heartbeats. Two goroutines may want to write to the
// client, the handler's (or what stands in for it while it waits in a call) and the timer's; they take turns. A beat never waits for its
// turn: when the handler is writing, that is as good as a beat. Events of a stream cost the two atomic operations of a turn, and no
// stream has a goroutine for its heartbeats.
type pulse struct {
	turn  atomic.Uint32 // free or taken
	heart *heart        // nil where there is nothing to send

	// Set before the heart beats.
	interval   time.Duration
	kept       bool // the client gets a 200 before the upstream has answered, if that takes its time
	streamForm form // the form in a stream

	// Of whoever has the turn.
	form      form
	ticket    *gate.Ticket  // what it waits with in the queue; nil where it does not
	spoke     time.Duration // from the arrival until something was sent last
	chunked   time.Duration // from the arrival to the last chunk without content
	patient   time.Duration // from the arrival until the client was last given a while to take what is sent to it; 0 = never
	panicked  any           // what another goroutine than the handler's panicked with
	sealed    bool          // it is decided what is answered: a beat may commit no more
	committed bool          // a 200 of our own is out
	headOut   bool          // a final head is out: that, or the answer's
	content   bool          // a byte of the answer's body is out
	tells     teller        // how an error can be told once the head is out
	inside    bool          // what is out ends inside an event
	done      bool          // the stream has said that it ends: nothing of ours may follow
}

// The values of pulse.turn.
const (
	free uint32 = iota
	taken
)

// teller is how an error can be told in an answer whose head is out.
type teller uint8

const (
	untold  teller = iota // not at all: the answer is cut
	byEvent               // as an event of the stream
	byBody                // as the body of the 200
)

// take waits for the turn to write to the client. A panic in a stand-in goes on here.
func (x *exchange) take() {
	for !x.turn.CompareAndSwap(free, taken) {
		<-x.heart.beaten
	}
	if p := x.panicked; p != nil {
		x.panicked = nil
		x.give()
		panic(p)
	}
}

// check lets a panic of a stand-in go on in the handler.
func (x *exchange) check() {
	x.take()
	x.give()
}

// give ends a turn.
func (x *exchange) give() { x.turn.Store(free) }

// keepPanic is deferred by what stands in for the handler on another goroutine, where a panic of ours would end the process.
func (x *exchange) keepPanic() {
	if p := recover(); p != nil {
		x.panicked = p
	}
}

// keepAlive lets the heart beat in the given form, if it does not beat yet; the first beat comes after a while, the others after each interval of silence.
func (x *exchange) keepAlive(f form, first time.Duration) {
	if f == silent || x.heart != nil {
		return
	}
	x.form = f
	x.spoke = time.Since(x.began) + first - x.interval
	x.chunked = x.spoke
	x.heart = x.h.hearts.get()
	x.heart.of.Store(x)
	x.heart.timer.Reset(first)
}

// heart calls the beat of the exchange that has it.
type heart struct {
	timer  *time.Timer
	beaten chan struct{} // capacity 1: a beat has ended
	of     atomic.Pointer[exchange]
}

// hearts lends them: nearly all requests end before their first heartbeat, and need no timer made for that.
type hearts struct{ pool sync.Pool }

// get returns a heart that stands still.
func (p *hearts) get() *heart {
	if h, ok := p.pool.Get().(*heart); ok {
		return h
	}
	h := &heart{beaten: make(chan struct{}, 1)}
	h.timer = time.AfterFunc(time.Hour, h.beat)
	h.timer.Stop()
	return h
}

// put takes a heart back that was stopped before it could beat again. A beat that has just ended may still say so to its next owner, who
// then looks at its turn once more.
func (p *hearts) put(h *heart) {
	h.of.Store(nil)
	p.pool.Put(h)
}

// beat sends a heartbeat if one is due, and arms the timer again. It is the timer's function.
func (h *heart) beat() {
	x := h.of.Load()
	if !x.turn.CompareAndSwap(free, taken) {
		h.timer.Reset(x.interval)
		return
	}
	defer func() {
		x.give()
		select {
		case h.beaten <- struct{}{}:
		default:
		}
	}()
	defer x.keepPanic()
	if x.form == silent {
		return
	}
	now := time.Since(x.began)
	left := x.spoke + x.interval - now
	if left <= 0 {
		if !x.say(now) {
			x.form = silent
			return
		}
		left = x.interval
	}
	h.timer.Reset(left)
}

// say sends a heartbeat, where one may stand; false when the client is gone. The server then ends the request's context, and with it the
// wait or the attempt.
func (x *exchange) say(now time.Duration) bool {
	if x.inside || x.done || x.sealed && !(x.headOut && x.form.streams()) {
		return true
	}
	x.spoke = now
	if x.form == interims {
		x.sendInterim(http.StatusProcessing, nil)
		return true
	}
	if !x.headOut {
		x.commit()
	}
	x.patience()
	_, ok := x.emit(x.appendBeat(make([]byte, 0, 64), now))
	return ok && x.flush()
}

// commit sends a 200 before the upstream has answered, with the headers whose values are known.
func (x *exchange) commit() {
	x.committed, x.headOut = true, true
	x.status = http.StatusOK
	header := x.w.Header()
	header["Content-Type"], x.tells = []string{"application/json"}, byBody
	if x.form != spaces {
		header["Content-Type"], x.tells = []string{"text/event-stream"}, byEvent
		unbuffer(header)
	}
	x.setHeaders(header, early)
	x.w.WriteHeader(http.StatusOK)
	clear(header) // net/http has a copy
}

// unbuffer asks what stands in between to pass a stream on as it comes, unless its headers already say something of that.
func unbuffer(h http.Header) {
	if _, ok := h["Cache-Control"]; !ok {
		h["Cache-Control"] = []string{"no-cache, no-transform"}
	}
	if _, ok := h["X-Accel-Buffering"]; !ok {
		h["X-Accel-Buffering"] = []string{"no"}
	}
}

// sendInterim sends a 1xx answer with those headers only.
func (x *exchange) sendInterim(status int, header http.Header) {
	own := x.w.Header()
	final := maps.Clone(own)
	clear(own)
	maps.Copy(own, header)
	x.patience() // a client that does not read must not hold the attempt's slot
	x.w.WriteHeader(status)
	_ = x.control.SetWriteDeadline(time.Time{})
	x.patient = 0
	clear(own)
	maps.Copy(own, final)
}

// seal ends the time in which a beat may commit, since it is decided what is answered. It reports whether one has.
func (x *exchange) seal() (committed bool) {
	x.take()
	defer x.give()
	x.sealed = true
	return x.committed
}

// hush ends the heartbeats: none is sent after it has returned.
func (x *exchange) hush() {
	for !x.turn.CompareAndSwap(free, taken) {
		<-x.heart.beaten
	}
	x.form = silent
	if h := x.heart; h != nil && h.timer.Stop() { // else a beat has begun, and will need it
		x.heart = nil
		x.h.hearts.put(h)
	}
	x.give()
}
