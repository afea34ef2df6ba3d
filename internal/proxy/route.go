package proxy

import (
	"maps"
	"time"

	"nimsidecar/internal/gate"
	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/upstream"
	"nimsidecar/internal/wire"
)

// route is where a request goes: to one target, or along several, each tried when the one before cannot serve it. What several says is
// settled before the heart beats; the rest is its handler's.
type route struct {
	to      upstream.Target   // the present target; before choose, the provider alone
	named   bool              // the path names the provider
	rest    []upstream.Target // the targets after it; nil for nearly all requests
	several bool              // there were others at the beginning

	fallbackAfter time.Duration // how long it may wait for a slot of a target that is not the last; 0 = as long as it can
	until         time.Time     // the latest grant at the present target
	lanes         []limit.Scope // where it may be sent now
	tries         tries
	translates    bool          // what is sent there is a translation
	convert       convert       // how a plain answer from there is made anew; nil = it is passed on as it is
	earlier       time.Duration // what it has waited before it came to the present target
}

// tries are the attempts at one target.
type tries struct {
	attempts int
	waits    int                    // refused for a cause that waiting or another key cures
	outcomes [hint.ClassCount]uint8 // how often each class was answered
}

// choose finds the targets of the request.
func (x *exchange) choose() *wire.Error {
	x.to.Model = x.peek.Model
	if !x.named && x.h.Upstream.Merges() {
		choice := x.h.Upstream.Choose("", x.peek.Model)
		x.to, x.rest, x.fallbackAfter = choice.Targets[0], choice.Targets[1:], choice.FallbackAfter
	}
	refusal := x.learnToSpeak()
	x.several = len(x.rest) > 0
	x.free = x.h.Upstream.Free(x.to.Provider, x.r.Method, x.path)
	return refusal
}

// aim makes ready what is sent to the present target. The header is the request's own, which nobody here reads once the first attempt has
// begun, but for the client's credential. Where there is another target each gets a copy: no provider's key may reach the next.
func (x *exchange) aim() {
	o := upstream.Request{
		Method: x.r.Method, Path: x.path, RawQuery: x.r.URL.RawQuery, Header: x.r.Header, Body: x.body,
		Stream: x.peek.Stream, Interim: x.interim,
	}
	if x.several {
		o.Header = maps.Clone(o.Header)
	}
	x.speak(&o)
	x.rename(&o)
	if x.h.Upstream.Keys(x.to.Provider) > 1 {
		o.Conversation = wire.Conversation(o.Body)
	}
	x.outgoing = o
	x.tries = tries{}
	x.until = x.deadline
	if soon := time.Now().Add(x.fallbackAfter); len(x.rest) > 0 && x.fallbackAfter > 0 && soon.Before(x.until) {
		x.until = soon
	}
	x.findLanes()
}

// rename makes a body name the model as the present target calls it.
func (x *exchange) rename(o *upstream.Request) {
	if x.to.Model == x.peek.Model {
		return
	}
	if body, ok := wire.Rewrite(o.Header.Get("Content-Type"), o.Body, x.to.Model); ok {
		o.Body = body
		x.hold(int64(len(body)))
	}
}

// advance goes on to the next target.
func (x *exchange) advance() {
	x.to, x.rest = x.rest[0], x.rest[1:]
	x.earlier = x.queued
	x.aim()
}

// findLanes finds where the request may be sent now.
func (x *exchange) findLanes() {
	x.lanes = x.h.Upstream.Lanes(x.to, x.outgoing.Conversation, x.r.Header)
}

// request is what the gate is told. Where there is another target it is told as if the client itself would leave at the deadline: so it
// says at once that a request would come too late here.
func (x *exchange) request() gate.Request {
	return gate.Request{
		ID: x.id, Class: x.class, Agent: x.agent, Client: x.client.Name, Lanes: x.lanes, Claim: quota.Claim{Requests: 1},
		Deadline: x.until, Announced: x.announced || len(x.rest) > 0, Repeat: x.repeat,
	}
}

// tooLate are the refusals that say that a target cannot serve a request in time.
var tooLate = map[gate.Reason]bool{gate.Deadline: true, gate.UpstreamRateLimited: true, gate.QueueTimeout: true}

// heldUntil returns when the first of the lanes may be tried again, if all are held back since their provider cannot be reached or their
// model fails; else the zero time.
func (x *exchange) heldUntil(now time.Time) (first time.Time) {
	for _, lane := range x.lanes {
		until := x.h.Upstream.Held(now, lane)
		if until.IsZero() {
			return until
		}
		if first.IsZero() || until.Before(first) {
			first = until
		}
	}
	return first
}
