package upstream

import (
	"context"
	"errors"
	"io"
	"net"

	"nimsidecar/internal/hint"
)

// outcome says what an attempt came to that the transport gave no answer for.
func (a *attempt) outcome(err error) hint.Outcome {
	switch context.Cause(a.ctx) {
	case nil:
		return hint.Failed(a.fault(err))
	case errHeadTimeout:
		return hint.Failed(hint.FaultHeadTimeout)
	case errReplay:
		return hint.Failed(hint.FaultNoResponse)
	}
	return hint.Outcome{Class: hint.Cancelled}
}

// fault says how an attempt broke before its answer's head was in.
func (a *attempt) fault(err error) hint.Fault {
	secure := a.provider.base.Scheme == "https"
	switch {
	case is[*net.DNSError](err):
		return hint.FaultDNS
	case isDial(err):
		return hint.FaultConnect
	case a.conn == nil && secure: // whatever else befalls a connection before it is ready is its handshake's
		return hint.FaultTLS
	case a.conn == nil:
		return hint.FaultConnect
	case a.muxed: // the connection's bytes are not this request's alone, and no head came
		return hint.FaultNoResponse
	}
	switch carried := a.conn.since(a.before); {
	case carried.read == 0:
		return hint.FaultNoResponse
	case carried.ended: // while the head was being read
		return hint.FaultReset
	}
	return hint.FaultProtocol
}

// bodyFault says how a body broke; announced tells that its length was known. "" means that we ended it.
func (a *attempt) bodyFault(err error, announced bool) hint.Fault {
	switch cause := context.Cause(a.ctx); {
	case cause == errIdle:
		return hint.FaultIdle
	case cause != nil:
		return ""
	case announced && errors.Is(err, io.ErrUnexpectedEOF):
		return hint.FaultShortBody
	}
	return hint.FaultReset
}

// is reports whether err is or wraps an E.
func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// isDial reports whether no connection was made at all.
func isDial(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && (op.Op == "dial" || op.Op == "proxyconnect")
}

// streamError has the fields of the HTTP/2 error of net/http, which can be had in no other way: that type lets errors.As fill any
// struct of this form.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error makes it a target of errors.As.
func (streamError) Error() string { return "upstream: the stream was reset" }

// isStreamReset reports whether the peer ended one HTTP/2 stream, on a connection that lives.
func isStreamReset(err error) bool { return is[streamError](err) }
