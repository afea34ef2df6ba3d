package proxy

import (
	"net/http"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// exchange is one request and all that becomes of it. It is owned by the handler's goroutine, but for its pulse.
type exchange struct {
	pulse
	route

	h        *Handler
	settings *Settings
	w        http.ResponseWriter
	control  http.ResponseController // of w
	r        *http.Request
	began    time.Time

	// What was asked, set by admit.
	id         string
	client     guard.Client
	agent      string
	path       string // below /v1, escaped, with its slash
	body       []byte
	deadline   time.Time // latest grant
	held       int64     // bytes of bodies that count in the handler's budget
	peek       wire.Request
	admitted   bool // all of it was understood
	dialect    wire.Dialect
	class      priority.Class
	classAsked bool
	free       bool          // costs no quota
	silence    time.Duration // the longest that its SDK bears; 0 = not told
	announced  bool          // the client itself named the deadline
	repeat     bool          // an SDK's repetition of a request, or one that has waited for another's call in vain

	// What is sent.
	translation *translation     // nil where no target needs one, set by choose
	outgoing    upstream.Request // to the present target, set by aim
	shared      sharing          // what of it others have sent as well

	// The running attempt; both nil between attempts.
	grant  *gate.Grant // nil also for what costs no quota
	answer *upstream.Answer

	buffer *[]byte // what answers are read into; lent by the handler, nil before it is needed

	// What happened, set on the way.
	attempts   int            // at all targets
	tried      []Attempt      // those before the last, as far as they are told of
	outcome    hint.Outcome   // the last attempt's
	standing   quota.Standing // what is left of the lane's limit, as of the last grant
	keyAlias   string
	queued     time.Duration // all waiting for grants
	sentAt     time.Duration // from the arrival to the start of the last attempt
	endedAt    time.Duration // from the arrival to its end
	firstByte  time.Duration // from the arrival to the first byte for the client
	upstream   time.Duration // the attempt that was passed on, until its body ended
	written    int64         // bytes of body sent to the client
	status     int           // what the client got; 499 when it left
	reason     wire.Reason   // why the sidecar itself ended it
	fault      string        // finer cause of a failure, for the log
	usage      wire.Usage
	bytesIn    int
	failed     int   // the status of the error that was told in an answer whose head was out; 0 = none
	phase      phase // where it is, for the log
	bypass     bool  // it is sent without a slot: the queue was full
	passed     bool  // the answer is being passed on: nothing is repeated
	cut        bool  // the connection must be broken off
	slowReader bool  // the client stopped reading
}

// phase is where in its life a request is; the log says where it ended.
type phase uint8

const (
	phaseAdmit phase = iota
	phaseQueue
	phaseUpstream
	phaseBody
)

// phaseNames are the words of the log.
var phaseNames = [...]string{"admit", "queue", "upstream", "body"}

// statusClientGone is what the log says when the client hung up; nobody receives it.
const statusClientGone = 499

// newExchange returns the exchange of a request that has just come.
func newExchange(h *Handler, w http.ResponseWriter, r *http.Request) *exchange {
	return &exchange{
		h: h, settings: h.settings.Load(), w: w, control: *http.NewResponseController(w), r: r, began: time.Now(), class: priority.Normal,
	}
}

// took returns how long ago the last attempt began.
func (x *exchange) took() time.Duration { return time.Since(x.began) - x.sentAt }

// memory returns what answers are read into.
func (x *exchange) memory() []byte {
	if x.buffer == nil {
		x.buffer = x.h.buffers.get(smallBuffer)
	}
	return *x.buffer
}

// gone records that the client hung up. It needs the turn.
func (x *exchange) gone() {
	x.status, x.reason = statusClientGone, wire.Cancelled
}
