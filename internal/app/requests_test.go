package app

import (
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/dash"
	"nimsidecar/internal/history"
)

// line is the line of a finished request, as proxy writes it, with other attributes behind it.
func line(id string, more ...slog.Attr) slog.Record {
	r := slog.NewRecord(time.UnixMilli(1_000_000), slog.LevelInfo, "request", 0)
	r.AddAttrs(
		slog.String("id", id), slog.String("agent", "planner"), slog.String("priority", "HIGH"), slog.String("model", "m"),
		slog.String("provider", "nvidia"), slog.String("key", "main-1"), slog.String("path", "/v1/chat/completions"),
		slog.Bool("stream", true), slog.Int64("queue_ms", 200), slog.Int64("upstream_ms", 500), slog.Int64("first_byte_ms", 300),
		slog.Int("attempts", 2), slog.Int("status", 200), slog.String("reason", ""), slog.Int64("input_tokens", 12),
		slog.Int64("output_tokens", 0), slog.Int("bytes_in", 9), slog.Int64("bytes_out", 9),
	)
	r.AddAttrs(more...)
	return r
}

// shown hands lines to a tap and returns the requests that the dashboard then shows.
func shown(t *testing.T, lines ...slog.Record) ([]dash.Request, *past) {
	t.Helper()
	p := newPast()
	handler := tap{slog.DiscardHandler, p}
	for _, l := range lines {
		if err := handler.Handle(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	return p.requests(), p
}

func TestTheLineOfARequestIsShownOnTheDashboard(t *testing.T) {
	t.Parallel()
	pointer := func(n int64) *int64 { return &n }
	whole := dash.Request{
		ID: "a", Class: "HIGH", Agent: "planner", Model: text("m"), Provider: "nvidia", Key: text("main-1"), Path: "/v1/chat/completions",
		Stream: true, Status: 200, Started: 1_000_000 - 700, QueuedMS: 200, FirstByteMS: pointer(300), TotalMS: 700,
		Attempts:    []dash.Attempt{{AtMS: 200, TookMS: 500, Outcome: "ok"}},
		InputTokens: pointer(12), OutputTokens: pointer(0),
	}
	failed := whole
	failed.ID, failed.Status, failed.Reason = "b", 502, text("upstream_unreachable")
	failed.Attempts = []dash.Attempt{{AtMS: 200, TookMS: 500, Outcome: "error"}}
	refused := dash.Request{ID: "c", Class: "NORMAL", Started: 1_000_000, Attempts: []dash.Attempt{}}
	bare := slog.NewRecord(time.UnixMilli(1_000_000), slog.LevelInfo, "request", 0)
	bare.AddAttrs(slog.String("id", "c"))
	other := slog.NewRecord(time.UnixMilli(1_000_000), slog.LevelInfo, "serving", 0)

	got, p := shown(
		t, line("a", slog.String("nvcf_reqid", "x")), other,
		line("b", slog.Int("status", 502), slog.String("reason", "upstream_unreachable")), bare,
	)
	if diff := cmp.Diff([]dash.Request{refused, failed, whole}, got); diff != "" {
		t.Errorf("requests, the newest first, -want +got:\n%s", diff)
	}
	var waits history.Waits
	waits.Add(200 * time.Millisecond)
	waits.Add(200 * time.Millisecond)
	if high := p.log.Waits(time.UnixMilli(1_000_000), 1, 1); high != waits {
		t.Errorf("waits of class HIGH = %v; want %v", high, waits)
	}
}

func TestTheDashboardShowsTheLastRequestsOnly(t *testing.T) {
	t.Parallel()
	var lines []slog.Record
	for i := range shownRequests + 3 {
		lines = append(lines, line(strconv.Itoa(i)))
	}
	got, _ := shown(t, lines...)
	if newest, oldest := got[0].ID, got[len(got)-1].ID; len(got) != shownRequests || newest != "52" || oldest != "3" {
		t.Errorf("%d requests from %s to %s; want %d from 52 to 3", len(got), newest, oldest, shownRequests)
	}
}

// What a request pays for being shown. Budget: 1 µs, no allocation.
func BenchmarkShowRequest(b *testing.B) {
	handler, l := tap{slog.DiscardHandler, newPast()}, line("req_1")
	b.ReportAllocs()
	for b.Loop() {
		handler.see(l)
	}
}
