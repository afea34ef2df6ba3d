package proxy

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/metrics"
	"nimsidecar/internal/retry"
	"nimsidecar/internal/wire"
)

// end closes the books of a request, whatever happened to it: memory, metrics, log. A panic of ours is one request's end, not the
// process's.
func (x *exchange) end() {
	if p := recover(); p != nil && p != http.ErrAbortHandler {
		x.crashed(p)
	}
	x.hush()
	x.release()
	x.letGo()
	x.shared.leave()
	if x.buffer != nil {
		x.h.buffers.put(x.buffer)
	}
	x.count()
	x.report()
	if x.cut {
		panic(http.ErrAbortHandler)
	}
	x.patience() // net/http has the end of the answer still to send, long after the last chunk perhaps
}

// crashed ends a request that a bug of ours broke: with a plain 500 where nothing was answered yet, else with a cut. The stack holds
// functions and pointers, no contents; what was panicked with might hold some, unless the runtime made it.
func (x *exchange) crashed(p any) {
	text := fmt.Sprintf("%T", p)
	if err, ok := p.(runtime.Error); ok {
		text = err.Error()
	}
	x.h.Logger.Error("request crashed", "id", x.id, "panic", text, "stack", string(debug.Stack()))
	x.fault = "panic"
	x.hush()
	if x.status != 0 && !x.committed || x.content {
		x.cut = true
		return
	}
	defer func() {
		if recover() != nil { // answering is what crashed
			x.cut = true
		}
	}()
	x.refuse(&wire.Error{Message: "nim-sidecar made a mistake with this request and has logged it under the request's id"})
}

// countOutcome counts what the last attempt came to.
func (x *exchange) countOutcome() {
	o := x.outcome
	x.tries.outcomes[o.Class]++
	if retry.Waits(o.Class) {
		x.tries.waits++
	}
	switch {
	case o.Class == hint.Broken:
		x.h.Metrics.UpstreamError(x.to.Provider, string(o.Fault))
	case o.Status >= http.StatusBadRequest:
		x.h.Metrics.UpstreamError(x.to.Provider, strconv.Itoa(o.Status))
	}
}

// count counts the finished request: in exactly one status, or as one whose client left.
func (x *exchange) count() {
	m := x.h.Metrics
	switch {
	case x.reason == wire.Cancelled:
		m.ClientAborted(x.abortPhase())
	case cmp.Or(x.failed, x.status) == http.StatusTooManyRequests:
		m.Finished(x.class, metrics.Ratelimited)
	case cmp.Or(x.failed, x.status) < http.StatusBadRequest && !x.cut:
		m.Finished(x.class, metrics.Success)
	default:
		m.Finished(x.class, metrics.Failed)
	}
	if x.reason != "" && x.reason != wire.Cancelled {
		m.Rejected(string(x.reason))
	}
	if x.shared.mark != "" {
		m.Shared(string(x.shared.mark))
	}
	if x.waits() {
		m.Waited(x.class, x.queued)
	}
}

// waits reports whether the request is one of those that ask for a slot.
func (x *exchange) waits() bool { return x.phase != phaseAdmit && !x.free }

// abortPhase says where in its life the client left the request.
func (x *exchange) abortPhase() metrics.Phase {
	switch {
	case x.slowReader:
		return metrics.SlowReader
	case x.phase == phaseBody:
		return metrics.Stream
	case x.phase == phaseUpstream:
		return metrics.Upstream
	}
	return metrics.Queued
}

// maxLogged is how much of a path is told.
const maxLogged = 256

// shownPath is as much of the path as is told.
func (x *exchange) shownPath() string { return x.r.URL.Path[:min(len(x.r.URL.Path), maxLogged)] }

// log writes the one line of a finished request, in memory with room for all it may say. Never a key, a prompt or an answer.
func (x *exchange) log(attrs []slog.Attr) {
	ctx, handler := context.Background(), x.h.Logger.Handler()
	if !handler.Enabled(ctx, slog.LevelInfo) {
		return
	}
	attrs = append(
		attrs,
		slog.String("id", x.id),
		slog.String("agent", x.agent),
		slog.String("priority", x.class.String()),
		slog.String("model", x.peek.Model),
		slog.String("provider", x.to.Provider),
		slog.String("key", x.keyAlias),
		slog.String("path", x.shownPath()),
		slog.Bool("stream", x.peek.Stream),
		slog.Int64("queue_ms", x.queued.Milliseconds()),
		slog.Int64("upstream_ms", x.upstream.Milliseconds()),
		slog.Int64("first_byte_ms", x.firstByte.Milliseconds()),
		slog.Int("attempts", x.attempts),
		slog.Int("status", x.status),
		slog.String("reason", string(x.reason)),
		slog.Int64("input_tokens", x.usage.InputTokens),
		slog.Int64("output_tokens", x.usage.OutputTokens),
		slog.Int("bytes_in", x.bytesIn),
		slog.Int64("bytes_out", x.written),
	)
	if id := x.outcome.ReqID; id != "" {
		attrs = append(attrs, slog.String("nvcf_reqid", id))
	}
	if x.shared.mark != "" {
		attrs = append(attrs, slog.String("cache", string(x.shared.mark)))
	}
	if x.failed != 0 {
		attrs = append(attrs, slog.Int("told_status", x.failed)) // the status that came too late to be one
	}
	if x.fault != "" {
		attrs = append(attrs, slog.String("fault", x.fault))
	}
	if x.reason != "" || x.cut {
		attrs = append(attrs, slog.String("phase", phaseNames[x.phase]))
	}
	line := slog.NewRecord(time.Now(), slog.LevelInfo, "request", 0) // by hand: a Logger would look for the caller, which nobody is shown
	line.AddAttrs(slog.Attr{Value: slog.GroupValue(attrs...)})       // a group without a name stands for its attributes, and copies none of them
	_ = handler.Handle(ctx, line)
}
