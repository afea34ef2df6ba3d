package proxy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/retry"
	"nimsidecar/internal/wire"
)

// ErrStopping is the cause with which a request's context must be cancelled when the sidecar stops and will not wait any longer:
// it tells a stop from a client that left.
var ErrStopping = errors.New("proxy: the sidecar is shutting down")

// verdict is what came of a request at one target.
type verdict uint8

const (
	ended     verdict = iota // the request has been answered by the sidecar, or its client has left
	served                   // x.answer is to be passed on
	elsewhere                // the next target is to be tried
)

// forward takes the admitted request to its targets, as often as it takes, until x.answer is the one to pass on. It reports false when
// there is none, and the request has been ended.
func (x *exchange) forward() bool {
	x.aim()
	if x.free {
		return x.forwardFree()
	}
	x.phase = phaseQueue
	for {
		ticket := x.h.Gate.Enqueue(x.request())
		x.queue(ticket)
		x.keepAlive(x.form, x.settings.Heartbeat.CommitAfter)
		switch x.attend(ticket) {
		case served:
			return true
		case ended:
			return false
		case elsewhere:
			x.phase = phaseQueue
			x.advance()
		}
	}
}

// attend makes an attempt with each grant of a ticket, until one is to be passed on or none is left.
func (x *exchange) attend(ticket *gate.Ticket) (v verdict) {
	for {
		if x.grant, v = x.wait(ticket); x.grant == nil {
			return v
		}
		decision := x.send(x.grant.Lane(), x.grant.Sent)
		x.grant.Observe(x.outcome)
		if decision.Action == retry.Pass && x.mend() {
			decision.Action = retry.Again
		}
		if decision.Action == retry.Pass || decision.Action == retry.GiveUp {
			return x.answered(decision)
		}
		x.release()
		x.h.Metrics.Retried(x.outcome.Class.String())
		if decision.Action == retry.Elsewhere {
			return elsewhere
		}
		x.phase = phaseQueue
		if decision.OtherKey {
			x.findLanes() // without the account whose last key was refused
		}
		ticket.Requeue(decision.At, x.lanes)
	}
}

// forwardFree sends a request that costs no quota: at once, beside the queue, and again only where that needs no waiting.
func (x *exchange) forwardFree() bool {
	for !x.h.Gate.Draining() {
		decision := x.send(x.lanes[0], nil)
		if decision.Action != retry.Again || !decision.At.IsZero() {
			return x.answered(decision) == served
		}
		x.release()
		x.findLanes()
	}
	x.refuse(draining())
	return false
}

// release ends the running attempt, if there is one: the upstream's connection is given back or closed, the time that it took is
// booked, and the ledgers are told what was used. After a crash of ours in the middle of sending, all of it was.
func (x *exchange) release() {
	use := quota.Use{Written: true}
	if x.answer != nil {
		use.Written = x.answer.Written
		x.answer.Close()
		x.endedAt = time.Since(x.began)
		if x.answer.Status != 0 {
			x.upstream = x.endedAt - x.sentAt
		}
		x.answer = nil
	}
	if x.grant != nil {
		x.grant.Settle(use)
		x.grant = nil
	}
}

// send makes one attempt, whose answer is then x.answer and its outcome x.outcome, and decides what follows from it. sent is called
// once the request is wholly written; it may be nil.
func (x *exchange) send(lane limit.Scope, sent func()) retry.Decision {
	x.phase = phaseUpstream
	if x.attempts++; x.attempts > 1 {
		x.remember()
	}
	x.tries.attempts++
	x.sentAt = time.Since(x.began)
	x.outgoing.Sent = sent
	answer := x.h.Upstream.Attempt(x.r.Context(), lane, &x.outgoing)
	x.answer, x.outcome = answer, answer.Outcome
	x.keyAlias = answer.KeyAlias
	if answer.Status != 0 {
		x.h.Metrics.Answered(lane.Provider, x.took())
	}
	if x.outcome.Class == hint.OK {
		var late func() // none for who gets heartbeats meanwhile: so a stream that begins with an error can be repeated unseen
		if !x.kept && x.convert == nil {
			late = x.lateHead
		}
		answer.First(x.memory(), firstWait, late)
		x.outcome = answer.Outcome
	}
	x.check()
	x.countOutcome()
	if x.outcome.Class == hint.OK || x.passed || x.bypass { // all is well, the head is out, or it has no place in the queue to go back to
		return retry.Decision{Action: retry.Pass}
	}
	return retry.Decide(retry.Input{
		Outcome: x.outcome, Attempts: x.tries.attempts, Waits: x.tries.waits, SameClass: int(x.tries.outcomes[x.outcome.Class]),
		Now: time.Now(), Deadline: x.deadline, Written: answer.Written, Reused: answer.Reused, Took: x.took(),
		OtherKey: x.keyAlias != "" && slices.ContainsFunc(x.lanes, x.h.Upstream.Usable), OtherTarget: len(x.rest) > 0,
		Random: rand.Float64(),
	})
}

// lateHead sends the head of a success whose body takes its time. It stands in for the handler, which waits in Answer.First for the
// body meanwhile.
func (x *exchange) lateHead() {
	defer x.keepPanic()
	x.take()
	defer x.give()
	if x.grant != nil {
		x.grant.Observe(x.outcome)
	}
	x.passed, x.sealed = true, true
	x.head()
	x.patience()
	x.flush()
}

// interim passes an upstream's 1xx answer on. It runs inside Attempt, so the handler is not writing.
func (x *exchange) interim(status int, header http.Header) {
	defer x.keepPanic()
	x.take()
	defer x.give()
	if x.headOut || !x.r.ProtoAtLeast(1, 1) { // too late, or it knows of none (RFC 9110, 15.2)
		return
	}
	x.sendInterim(status, header)
}

// answered says whether the last attempt's answer is to be passed on; if not, it ends the request and says why there is none.
func (x *exchange) answered(decision retry.Decision) verdict {
	switch {
	case x.passed:
		return served
	case x.outcome.Class == hint.Cancelled || x.r.Context().Err() != nil:
		x.endedByContext()
	case x.outcome.Class == hint.Broken:
		x.fault = string(x.outcome.Fault)
		x.shared.failed()
		x.refuse(unreachable(x.outcome.Fault, x.to.Provider, x.attempts))
	case x.outcome.Class == hint.Quota && decision.Action == retry.GiveUp:
		x.refuse(&wire.Error{
			Reason: wire.UpstreamRateLimited, RetryAfter: x.outcome.RetryAfter,
			Message: fmt.Sprintf("provider %s refused this request %d times: its rate limit is spent (not nim-sidecar's)", x.to.Provider, x.attempts),
		})
	case x.outcome.Class == hint.InProgress && x.outcome.ReqID != "" && !x.free: // elsewhere, and where a job is asked after, 202 is an answer
		x.shared.failed()
		x.refuse(&wire.Error{Reason: wire.UpstreamTimeout, Message: fmt.Sprintf(
			"provider %s went on working beyond its own poll time and gives no way to fetch the answer", x.to.Provider)})
	default:
		return served
	}
	return ended
}

// unreachable is the answer to an attempt that gave no complete HTTP answer.
func unreachable(fault hint.Fault, provider string, attempts int) *wire.Error {
	reason, what := wire.UpstreamUnreachable, "could not be reached or gave no usable answer"
	if fault == hint.FaultHeadTimeout || fault == hint.FaultIdle {
		reason, what = wire.UpstreamTimeout, "did not answer in the allowed time"
	}
	return &wire.Error{Reason: reason, Message: fmt.Sprintf("provider %s %s (%s, attempt %d)", provider, what, fault, attempts)}
}

// endedByContext tells a client that left from a sidecar that stops.
func (x *exchange) endedByContext() {
	if x.stopping() {
		x.refuse(draining())
		return
	}
	x.take()
	defer x.give()
	x.gone()
}

// draining is the answer while the sidecar stops.
func draining() *wire.Error {
	return &wire.Error{Reason: wire.Draining, RetryAfter: time.Second, Message: "nim-sidecar is shutting down: send the request again"}
}
