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

// finished is what the line of a request says: what the dashboard shows of it, in a form that costs a request nothing but the copy.
type finished struct {
	ended                                         time.Time
	id, agent, model, provider, key, path, reason string
	class                                         priority.Class
	stream                                        bool

	status, attempts          int64
	queued, took, first       int64 // milliseconds
	inputTokens, outputTokens int64
}

// see reads a line. What it does not know, it passes over.
func (t tap) see(line slog.Record) {
	f := finished{ended: line.Time, class: priority.Normal}
	line.Attrs(func(a slog.Attr) bool { f.read(a); return true })
	t.past.end(&f)
}

// read reads one attribute of a line.
func (f *finished) read(a slog.Attr) {
	switch a.Value.Kind() {
	case slog.KindString:
		if into := f.word(a.Key); into != nil {
			*into = a.Value.String()
		} else if a.Key == "priority" {
			f.class, _ = priority.Parse(a.Value.String()) // it was written by String
		}
	case slog.KindInt64:
		if into := f.number(a.Key); into != nil {
			*into = a.Value.Int64()
		}
	case slog.KindBool:
		f.stream = f.stream || a.Key == "stream" && a.Value.Bool()
	}
}

// word returns where the text of that name belongs, nil where it is not shown.
func (f *finished) word(key string) *string {
	switch key {
	case "id":
		return &f.id
	case "agent":
		return &f.agent
	case "model":
		return &f.model
	case "provider":
		return &f.provider
	case "key":
		return &f.key
	case "path":
		return &f.path
	case "reason":
		return &f.reason
	}
	return nil
}

// number returns where the number of that name belongs, nil where it is not shown.
func (f *finished) number(key string) *int64 {
	switch key {
	case "status":
		return &f.status
	case "attempts":
		return &f.attempts
	case "queue_ms":
		return &f.queued
	case "upstream_ms":
		return &f.took
	case "first_byte_ms":
		return &f.first
	case "input_tokens":
		return &f.inputTokens
	case "output_tokens":
		return &f.outputTokens
	}
	return nil
}

// waited reports whether the request was in the waiting room.
func (f *finished) waited() bool { return f.status != 499 || f.queued > 0 }

// request returns the request as the dashboard shows it.
func (f *finished) request() dash.Request {
	total := max(f.queued+f.took, f.first)
	r := dash.Request{
		ID: f.id, Class: f.class.String(), Agent: f.agent, Model: text(f.model), Provider: f.provider, Key: text(f.key), Path: f.path,
		Stream: f.stream, Status: int(f.status), Reason: text(f.reason), QueuedMS: f.queued, TotalMS: total, Attempts: []dash.Attempt{},
		Started: f.ended.Add(-time.Duration(total) * time.Millisecond).UnixMilli(),
	}
	if f.first > 0 {
		r.FirstByteMS = &f.first
	}
	if f.attempts > 0 {
		outcome := "ok"
		if f.status >= 400 {
			outcome = "error"
		}
		r.Attempts = append(r.Attempts, dash.Attempt{AtMS: f.queued, TookMS: f.took, Outcome: outcome})
	}
	if f.inputTokens+f.outputTokens > 0 {
		r.InputTokens, r.OutputTokens = &f.inputTokens, &f.outputTokens
	}
	return r
}
