package app

import (
	"context"
	"log/slog"
	"time"

	"nimsidecar/internal/dash"
	"nimsidecar/internal/priority"
)

// tap is a log handler that shows every finished request to the dashboard on its way into the log.
type tap struct {
	slog.Handler
	past *past
}

// Enabled implements slog.Handler: the dashboard wants to see what the log does not.
func (t tap) Enabled(ctx context.Context, level slog.Level) bool {
	return level == slog.LevelInfo || t.Handler.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (t tap) Handle(ctx context.Context, line slog.Record) error {
	if line.Message == "request" {
		t.see(line)
	}
	if !t.Handler.Enabled(ctx, line.Level) {
		return nil
	}
	return t.Handler.Handle(ctx, line)
}

// WithAttrs implements slog.Handler.
func (t tap) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tap{t.Handler.WithAttrs(attrs), t.past}
}

// WithGroup implements slog.Handler.
func (t tap) WithGroup(name string) slog.Handler { return tap{t.Handler.WithGroup(name), t.past} }

// see reads a line.
func (t tap) see(line slog.Record) {
	values := make(map[string]slog.Value, line.NumAttrs())
	line.Attrs(func(a slog.Attr) bool { values[a.Key] = a.Value; return true })
	word := func(key string) string { return values[key].String() }
	number := func(key string) int64 {
		if v := values[key]; v.Kind() == slog.KindInt64 {
			return v.Int64()
		}
		return 0
	}
	class, err := priority.Parse(word("priority"))
	if err != nil {
		class = priority.Normal
	}
	queued, took, first := number("queue_ms"), number("upstream_ms"), number("first_byte_ms")
	r := dash.Request{
		ID: word("id"), Class: class.String(), Agent: word("agent"), Model: text(word("model")), Provider: word("provider"),
		Key: text(word("key")), Path: word("path"), Status: int(number("status")), Reason: text(word("reason")), QueuedMS: queued,
		TotalMS: max(queued+took, first), Attempts: []dash.Attempt{},
	}
	r.Stream = values["stream"].Kind() == slog.KindBool && values["stream"].Bool()
	r.Started = line.Time.Add(-time.Duration(r.TotalMS) * time.Millisecond).UnixMilli()
	if first > 0 {
		r.FirstByteMS = &first
	}
	if number("attempts") > 0 {
		outcome := "ok"
		if r.Status >= 400 {
			outcome = "error"
		}
		r.Attempts = append(r.Attempts, dash.Attempt{AtMS: queued, TookMS: took, Outcome: outcome})
	}
	if in, out := number("input_tokens"), number("output_tokens"); in+out > 0 {
		r.InputTokens, r.OutputTokens = &in, &out
	}
	t.past.end(line.Time, r, class, r.Status != 499 || queued > 0)
}
