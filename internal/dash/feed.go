package dash

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"
)

// Period is how often a snapshot is built while somebody looks, and how old one may be that is handed out.
const Period = time.Second

// Frame is one snapshot, encoded once for everybody. It is immutable.
type Frame struct {
	seq   uint64
	built time.Time
	data  []byte // JSON
	event []byte // the same as an event of a stream

	replaced chan struct{} // closed when a newer frame is there
}

// Feed makes frames. Use NewFeed; its owner runs Run. It is safe for concurrent use.
type Feed struct {
	source Source

	turn   chan struct{} // capacity 1: full while somebody builds; guards seq
	seq    uint64
	newest atomic.Pointer[Frame] // nil before the first

	viewers atomic.Int64
	wake    chan struct{} // capacity 1: a first viewer has come
	closed  chan struct{} // closed by Close
	closing atomic.Bool
}

// NewFeed returns a feed of what the source says.
func NewFeed(source Source) *Feed {
	return &Feed{source: source, turn: make(chan struct{}, 1), wake: make(chan struct{}, 1), closed: make(chan struct{})}
}

// Run makes one frame a second while there are viewers, until ctx ends or the feed is closed; then it returns nil. It must be called once,
// by the feed's owner, who waits for it.
func (f *Feed) Run(ctx context.Context) error {
	tick := time.NewTicker(Period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-f.closed:
			return nil
		case <-tick.C:
		}
		if f.viewers.Load() == 0 {
			tick.Stop()
			select {
			case <-ctx.Done():
				return nil
			case <-f.closed:
				return nil
			case <-f.wake:
			}
			tick.Reset(Period)
			continue // whoever came has built a frame
		}
		_, _ = f.frame(ctx, Period/2) // unless somebody who asked in between has just built one; without one viewers hear a sign of life
	}
}

// Close ends the streams of all viewers, at once, and those of all that come. It may be called again.
func (f *Feed) Close() {
	if f.closing.CompareAndSwap(false, true) {
		close(f.closed)
	}
}

// Viewers returns how many look.
func (f *Feed) Viewers() int { return int(f.viewers.Load()) }

// enter counts a viewer until the function that it returns is called.
func (f *Feed) enter() (leave func()) {
	if f.viewers.Add(1) == 1 {
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
	return func() { f.viewers.Add(-1) }
}

// latest returns a frame that is less than a Period old. Of all who ask at once, one builds it.
func (f *Feed) latest(ctx context.Context) (*Frame, error) { return f.frame(ctx, Period) }

// frame returns the newest frame, if it is younger than an age, or a new one.
func (f *Feed) frame(ctx context.Context, age time.Duration) (*Frame, error) {
	if fr := f.newest.Load(); fr.fresh(age) {
		return fr, nil
	}
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-f.turn }()
	if fr := f.newest.Load(); fr.fresh(age) {
		return fr, nil // somebody built it meanwhile
	}
	return f.build()
}

func (fr *Frame) fresh(age time.Duration) bool { return fr != nil && time.Since(fr.built) < age }

// build makes the newest frame. It is called with the turn.
func (f *Feed) build() (*Frame, error) {
	view := f.source.View()
	f.seq++
	view.Seq = f.seq
	data, err := json.Marshal(view)
	if err != nil {
		return nil, fmt.Errorf("dash: the view: %w", err)
	}
	event := make([]byte, 0, len(data)+64)
	event = append(strconv.AppendUint(append(event, "id: "...), f.seq, 10), "\nevent: snapshot\ndata: "...)
	event = append(append(event, data...), "\n\n"...)
	fr := &Frame{seq: f.seq, built: time.Now(), data: event[len(event)-len(data)-2 : len(event)-2], event: event, replaced: make(chan struct{})}
	if old := f.newest.Swap(fr); old != nil {
		close(old.replaced)
	}
	return fr, nil
}
