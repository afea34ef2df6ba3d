package proxy

import (
	"log/slog"
	"slices"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/wire"
)

// Finished is what became of one request.
type Finished struct {
	ID       string         // as in X-Request-Id
	Agent    string         // who asked
	Client   string         // the configured client; "" = there are none
	Model    string         // as the request names it; "" = it names none
	Provider string         // the last it was meant for; "" = that was not understood
	Key      string         // alias of the last attempt's; "" = the client's own, or no attempt
	Path     string         // as the client wrote it, its beginning
	Class    priority.Class // it was served in
	Stream   bool           // the client asked for an event stream
	Queued   bool           // it asked for a slot, at once granted or not

	Status int         // the client got; 499 when it left
	Reason wire.Reason // why the sidecar itself ended it; "" = it did not

	Began     time.Time     // when it came
	Wait      time.Duration // all waits together
	FirstByte time.Duration // from its beginning to the first byte of the answer; 0 = there was none
	Total     time.Duration // from its beginning to its end

	// Attempts are in order; of many the first and the last maxTold. They are valid until the call is over.
	Attempts []Attempt

	InputTokens, OutputTokens int64  // as far as the answer told them
	Cache                     string // as in X-Sidecar-Cache
}

// Attempt is one send to an upstream.
type Attempt struct {
	At      time.Duration // from the beginning of the request to its own
	Took    time.Duration // until its end
	Outcome string        // the word of its hint.Class, such as ok or quota; broken also where only its body broke
}

// maxTold is how many attempts are told of from each end of their row.
const maxTold = 8

// report is the memory that the end of a request is told with. It is lent by the handler.
type report struct {
	attrs    [24]slog.Attr
	attempts [1]Attempt // nearly all requests have one
}

// report tells the log and the listener what became of the request.
func (x *exchange) report() {
	lent, ok := x.h.reports.Get().(*report)
	if !ok {
		lent = new(report)
	}
	defer x.h.reports.Put(lent)
	x.log(lent.attrs[:0])
	if x.h.Finished == nil {
		return
	}
	f := Finished{
		ID: x.id, Agent: x.agent, Client: x.client.Name, Model: x.peek.Model, Provider: x.to.Provider, Key: x.keyAlias, Path: x.shownPath(),
		Class: x.class, Stream: x.peek.Stream, Queued: x.waits(), Status: x.status, Reason: x.reason,
		Began: x.began, Wait: x.queued, FirstByte: x.firstByte, Total: time.Since(x.began), Attempts: x.tried,
		InputTokens: x.usage.InputTokens, OutputTokens: x.usage.OutputTokens, Cache: string(x.shared.mark),
	}
	if len(f.Attempts) == 0 {
		f.Attempts = lent.attempts[:0]
	}
	if x.attempts > 0 {
		f.Attempts = append(f.Attempts, x.attempt())
	}
	x.h.Finished(f)
}

// remember keeps what is told of an attempt that another one follows.
func (x *exchange) remember() {
	if len(x.tried) == 2*maxTold-1 { // with the last there will be one more
		x.tried = slices.Delete(x.tried, maxTold, maxTold+1)
	}
	x.tried = append(x.tried, x.attempt())
}

// attempt is what is told of the last attempt once it has ended.
func (x *exchange) attempt() Attempt {
	class := x.outcome.Class
	switch {
	case class != hint.OK || x.reason == "" && x.failed == 0: // it is as it was when its body began
	case x.reason == wire.Cancelled || x.reason == wire.Draining:
		class = hint.Cancelled
	default:
		class = hint.Broken
	}
	return Attempt{At: x.sentAt, Took: max(0, x.endedAt-x.sentAt), Outcome: class.String()} // a crash may have left it without an end
}
