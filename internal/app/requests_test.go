package app

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/dash"
	"nimsidecar/internal/gate"
	"nimsidecar/internal/history"
	"nimsidecar/internal/priority"
	"nimsidecar/internal/proxy"
	"nimsidecar/internal/wire"
)

// finished is a request that has ended, after an attempt that was refused and one that was served.
func finished(id string) proxy.Finished {
	const ms = time.Millisecond
	return proxy.Finished{
		ID: id, Agent: "planner", Client: "ann", Model: "m", Provider: "nvidia", Key: "main-1", Path: "/v1/chat/completions", Class: priority.High,
		Stream: true, Queued: true, Status: 200, Began: time.UnixMilli(1_000_000), Wait: 200 * ms, FirstByte: 300 * ms, Total: 700*ms + 999*time.Microsecond,
		Attempts:    []proxy.Attempt{{At: 100 * ms, Took: 50 * ms, Outcome: "quota"}, {At: 250 * ms, Took: 450 * ms, Outcome: "ok"}},
		InputTokens: 12, Cache: "miss",
	}
}

func TestARequestThatHasEndedIsShownWithEveryAttempt(t *testing.T) {
	t.Parallel()
	number := func(n int64) *int64 { return &n }
	want := []dash.Request{
		{ID: "c", Class: "NORMAL", Started: 2_000_000, Status: 400, Reason: text("bad_request"), Attempts: []dash.Attempt{}},
		{
			ID: "b", Class: "HIGH", Agent: "planner", Model: text("m"), Provider: "nvidia", Key: text("main-1"), Path: "/v1/chat/completions",
			Stream: true, Status: 502, Reason: text("upstream_unreachable"), Started: 1_000_000, QueuedMS: 200, TotalMS: 700,
			Attempts: []dash.Attempt{{AtMS: 100, TookMS: 50, Outcome: "broken"}},
		},
		{
			ID: "a", Class: "HIGH", Agent: "planner", Model: text("m"), Provider: "nvidia", Key: text("main-1"), Path: "/v1/chat/completions",
			Stream: true, Status: 200, Started: 1_000_000, QueuedMS: 200, FirstByteMS: number(300), TotalMS: 700,
			Attempts:    []dash.Attempt{{AtMS: 100, TookMS: 50, Outcome: "quota"}, {AtMS: 250, TookMS: 450, Outcome: "ok"}},
			InputTokens: number(12), OutputTokens: number(0),
		},
	}
	p := newPast()
	p.end(finished("a"))
	failed := finished("b")
	failed.Status, failed.Reason, failed.FirstByte, failed.InputTokens = 502, wire.UpstreamUnreachable, 0, 0
	failed.Attempts = failed.Attempts[:1]
	failed.Attempts[0].Outcome = "broken"
	p.end(failed)
	failed.Attempts[0].Outcome = "another's" // its memory is lent
	p.end(proxy.Finished{ID: "c", Class: priority.Normal, Status: 400, Reason: wire.BadRequest, Began: time.UnixMilli(2_000_000)})
	if diff := cmp.Diff(want, p.requests()); diff != "" {
		t.Errorf("requests, the newest first, -want +got:\n%s", diff)
	}
	var waits history.Waits
	waits.Add(200 * time.Millisecond)
	waits.Add(200 * time.Millisecond)
	if high := p.log.Waits(time.UnixMilli(1_000_700), 1, 1); high != waits {
		t.Errorf("waits of class HIGH = %v; want %v", high, waits)
	}
	if normal := p.log.Waits(time.UnixMilli(2_000_000), 2, 1); normal != (history.Waits{}) {
		t.Errorf("waits of class NORMAL = %v; want none: the request was refused before it could wait", normal)
	}
}

func TestTheDashboardShowsTheLastRequestsOnly(t *testing.T) {
	t.Parallel()
	p := newPast()
	for i := range 2*shownRequests + 3 {
		f := finished(strconv.Itoa(i))
		f.Attempts[1].At = time.Duration(i) * time.Millisecond
		p.end(f)
		got := p.requests()
		first, last := got[0], got[len(got)-1]
		oldest := max(0, i+1-shownRequests)
		if len(got) != i+1-oldest || first.ID != strconv.Itoa(i) || last.ID != strconv.Itoa(oldest) || last.Attempts[1].AtMS != int64(oldest) {
			t.Fatalf("after %d: %d requests from %s to %s, whose attempt is at %d; want from %d to %d", i, len(got), first.ID, last.ID, last.Attempts[1].AtMS, i, oldest)
		}
	}
}

// What a request pays for being shown. Budget: 1 µs, no allocation.
func BenchmarkShowRequest(b *testing.B) {
	p, f := newPast(), finished("req_1")
	b.ReportAllocs()
	for b.Loop() {
		p.end(f)
	}
}

func TestWhoWaitsIsShownWithItsClientWhereThereIsOne(t *testing.T) {
	t.Parallel()
	got := waiting([]gate.Waiter{{ID: "a", Client: "ann"}, {ID: "b"}})
	if got[0].Client == nil || *got[0].Client != "ann" || got[1].Client != nil {
		t.Errorf("clients = %v, %v; want ann, and none", got[0].Client, got[1].Client)
	}
}
