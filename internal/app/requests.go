package app

import (
	"time"

	"nimsidecar/internal/dash"
	"nimsidecar/internal/proxy"
)

// end notes a request that has ended, and how long it waited if it was in the waiting room. The memory of the one that it takes the place
// of is used again.
func (p *past) end(f proxy.Finished) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f.Queued {
		p.log.Waited(f.Began.Add(f.Total), int(f.Class), f.Wait)
	}
	if len(p.finished) < shownRequests {
		p.finished = append(p.finished, proxy.Finished{})
	}
	into := &p.finished[p.next]
	attempts := append(into.Attempts[:0], f.Attempts...)
	*into = f
	into.Attempts = attempts
	p.next = (p.next + 1) % shownRequests
}

// requests returns the last requests, the newest first.
func (p *past) requests() []dash.Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]dash.Request, len(p.finished))
	for i := range all {
		all[i] = request(&p.finished[(p.next-1-i+shownRequests)%shownRequests])
	}
	return all
}

// request is one that has ended, as the dashboard shows it.
func request(f *proxy.Finished) dash.Request {
	r := dash.Request{
		ID: f.ID, Class: f.Class.String(), Agent: f.Agent, Model: text(f.Model), Provider: f.Provider, Key: text(f.Key), Path: f.Path,
		Stream: f.Stream, Status: f.Status, Reason: text(string(f.Reason)), Started: f.Began.UnixMilli(), QueuedMS: f.Wait.Milliseconds(),
		TotalMS: f.Total.Milliseconds(), Attempts: make([]dash.Attempt, len(f.Attempts)),
	}
	if f.FirstByte > 0 {
		r.FirstByteMS = whole(f.FirstByte)
	}
	for i, a := range f.Attempts {
		r.Attempts[i] = dash.Attempt{AtMS: a.At.Milliseconds(), TookMS: a.Took.Milliseconds(), Outcome: a.Outcome}
	}
	if in, out := f.InputTokens, f.OutputTokens; in+out > 0 {
		r.InputTokens, r.OutputTokens = &in, &out
	}
	return r
}

// whole is a duration in whole milliseconds.
func whole(d time.Duration) *int64 {
	ms := d.Milliseconds()
	return &ms
}
