package proxy

import (
	"context"
	"fmt"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/wire"
)

// wait returns the ticket's next grant, or nil after the request has been ended: refused, or left by its client.
func (x *exchange) wait(ticket *gate.Ticket) *gate.Grant {
	select {
	case <-ticket.Decided():
	case <-x.r.Context().Done():
		ticket.Abandon()
		x.queued = ticket.Waited()
		x.endedByContext()
		return nil
	}
	x.queued = ticket.Waited()
	grant, refusal := ticket.Result()
	if grant != nil {
		x.standing = grant.Standing()
		return grant
	}
	if refusal.Reason == gate.QueueFull && x.h.Passthrough {
		x.h.Metrics.Passthrough()
		x.bypass = true
		return x.h.Gate.Passthrough(x.request())
	}
	x.refuse(x.explain(refusal))
	return nil
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

// explain is the answer to a request that the gate refused.
func (x *exchange) explain(refusal *gate.Refusal) *wire.Error {
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
