package proxy

import (
	"context"
	"fmt"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/wire"
)

// queue makes a ticket that of the request, of which heartbeats tell.
func (x *exchange) queue(ticket *gate.Ticket) {
	x.take()
	defer x.give()
	x.ticket = ticket
}

// wait returns the ticket's next grant. Without one the request has been ended, since it was refused or its client left, or is to go on to
// its next target.
func (x *exchange) wait(ticket *gate.Ticket) (*gate.Grant, verdict) {
	stays := x.decided(ticket)
	x.queued = x.earlier + ticket.Waited()
	if !stays {
		x.endedByContext()
		return nil, ended
	}
	grant, refusal := ticket.Result()
	if grant != nil {
		x.standing = grant.Standing()
		return grant, served
	}
	if refusal.Reason == gate.QueueFull && x.settings.Passthrough {
		x.h.Metrics.Passthrough()
		x.bypass = true
		return x.h.Gate.Passthrough(x.request()), served
	}
	if len(x.rest) > 0 && tooLate[refusal.Reason] {
		return nil, elsewhere
	}
	x.refuse(x.explain(refusal))
	return nil, ended
}

// decided waits until a ticket is granted or refused; false when the client leaves before. Most are at once, and to look costs less than to
// wait for two things.
func (x *exchange) decided(ticket *gate.Ticket) bool {
	select {
	case <-ticket.Decided():
		return true
	default:
	}
	select {
	case <-ticket.Decided():
		return true
	case <-x.r.Context().Done():
		ticket.Abandon()
		return false
	}
}

// explanations say, for each way in which the gate refuses, whose limit it was and what helps.
var explanations = map[gate.Reason]string{
	gate.QueueFull:           "nim-sidecar's queue is full and holds nothing less urgent (queue.capacity)",
	gate.Displaced:           "nim-sidecar's queue is full and a more urgent request took this one's place",
	gate.QueueTimeout:        "no slot came free in time: the request waited as long as it may (queue.max_wait or X-Sidecar-Max-Wait)",
	gate.Deadline:            "the request cannot start before its client gives up (X-Sidecar-Max-Wait or the SDK's time-out)",
	gate.UpstreamRateLimited: "the provider's rate limit is spent until after this request's deadline",
	gate.Draining:            "nim-sidecar is shutting down: send the request again",
	gate.Cancelled:           "the request was taken out of nim-sidecar's queue by its operator",
}

// explain is the answer to a request that the gate refused. Where it waited for a provider that cannot be reached, not for a limit, it
// says so.
func (x *exchange) explain(refusal *gate.Refusal) *wire.Error {
	now := time.Now()
	if until := x.heldUntil(now); tooLate[refusal.Reason] && !until.IsZero() {
		return &wire.Error{
			Reason: wire.UpstreamUnreachable, RetryAfter: max(until.Sub(now), time.Second),
			Message: fmt.Sprintf("provider %s is out of use for the moment: its last answers were failures", x.to.Provider),
		}
	}
	message := explanations[refusal.Reason]
	if refusal.Estimate > 0 {
		message += fmt.Sprintf("; it could start in about %s", refusal.Estimate.Round(time.Second))
	}
	return &wire.Error{
		Reason: wire.Reason(refusal.Reason), RetryAfter: refusal.RetryAfter, Message: message,
		NoRetry: refusal.Reason == gate.QueueTimeout && x.announced, // its client has given up by now
	}
}

// stopping reports whether the sidecar has ended the request, since it stops and waits no longer.
func (x *exchange) stopping() bool { return context.Cause(x.r.Context()) == ErrStopping }

// left reports whether the client hung up, as opposed to the sidecar's own stop.
func (x *exchange) left() bool {
	cause := context.Cause(x.r.Context())
	return cause != nil && cause != ErrStopping
}
