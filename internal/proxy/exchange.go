package proxy

import (
	"net/http"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// exchange is one request and all that becomes of it. It is owned by the handler's goroutine.
type exchange struct {
	h     *Handler
	w     http.ResponseWriter
	r     *http.Request
	began time.Time

	// What was asked, set by admit.
	id         string
	dialect    wire.Dialect
	provider   string
	path       string // escaped, below /v1
	free       bool   // costs no quota
	client     guard.Client
	class      priority.Class
	classAsked bool
	agent      string
	deadline   time.Time     // latest grant
	announced  bool          // the client itself named the deadline
	repeat     bool          // an SDK's repetition of a request
	lanes      []limit.Scope // where it may be sent
	body       []byte
	held       int64 // bytes of body that count in the handler's budget
	peek       wire.Request

	// The running attempt; both nil between attempts.
	grant  *gate.Grant // nil also for what costs no quota
	answer *upstream.Answer

	// What happened, set on the way.
	attempts   int
	outcomes   [hint.ClassCount]uint8 // how often each class was answered
	outcome    hint.Outcome           // the last attempt's
	lane       limit.Scope            // where the last attempt went
	standing   quota.Standing         // what is left of the lane's limit, as of the last grant
	bypass     bool                   // it is sent without a slot: the queue was full
	waits      int                    // attempts refused for a cause that waiting cures
	committed  bool                   // the head of the answer is out
	keyAlias   string
	queued     time.Duration // all waiting for grants
	sentAt     time.Time     // start of the attempt that was passed on
	firstByte  time.Duration // from the arrival to the first byte for the client
	upstream   time.Duration // the attempt that was passed on, until its body ended
	written    int64         // bytes of body sent to the client
	status     int           // what the client got; 499 when it left
	reason     wire.Reason   // why the sidecar itself ended it
	fault      string        // finer cause of a failure, for the log
	reqID      string        // nvcf-reqid
	usage      wire.Usage
	bytesIn    int
	phase      phase       // where it is, for the log
	broken     *wire.Error // why the stream broke after its head was out
	cut        bool        // the connection must be broken off
	slowReader bool        // the client stopped reading
	panicked   any         // what a stand-in of the handler panicked with
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

// gone records that the client hung up.
func (x *exchange) gone() {
	x.status, x.reason = statusClientGone, wire.Cancelled
}
