package top

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"nimsidecar/internal/dash"
)

// Options configure Run. Client is required, and either Terminal or Out.
type Options struct {
	Client   *Client
	Terminal Terminal  // nil is none: then the view is written to Out, again and again
	Out      io.Writer // for text without control sequences
	Language Language  // of its words
	Colour   bool      // whether there are colours
}

// period is how often the view is shown while nothing happens, so that its clock goes.
const period = time.Second

// Run shows the view until ctx ends, somebody types q or Ctrl-C, or the terminal has gone; then it returns nil. Whatever ends it, a panic
// too, the terminal is as it was. It returns an error at once if no sidecar answers; later it waits until one answers again, and says so.
func Run(ctx context.Context, o Options) error {
	_, v, err := o.Client.Snapshot(ctx)
	if err != nil {
		return err
	}
	w := &watch{Options: o, view: v, heard: time.Now()}
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	heard, typed := make(chan news), make(chan struct{})
	group.Go(func() {
		o.Client.follow(ctx, func(n news) {
			select {
			case heard <- n:
			case <-ctx.Done():
			}
		})
	})
	if o.Terminal == nil {
		return w.write(ctx, heard)
	}
	go awaitQuit(o.Terminal, typed)
	return w.show(ctx, heard, typed)
}

// awaitQuit reads keys until one of them ends the view, or the terminal ends. Nobody waits for it: a read of a terminal cannot be ended.
func awaitQuit(keys io.Reader, typed chan<- struct{}) {
	buffer := make([]byte, 64)
	for {
		n, err := keys.Read(buffer)
		if err != nil || bytes.ContainsAny(buffer[:n], "qQ\x03\x04") { // Ctrl-C and Ctrl-D are characters here
			close(typed)
			return
		}
	}
}

// watch is a view that is being looked at. It is owned by the goroutine of Run.
type watch struct {
	Options
	view    *dash.View
	heard   time.Time
	trouble string
}

// hear takes over what has come.
func (w *watch) hear(n news) {
	if n.err == nil {
		var v *dash.View
		if v, n.err = w.Client.read(n.raw); n.err == nil {
			w.view, w.heard, w.trouble = v, time.Now(), ""
			return
		}
	}
	w.trouble = n.err.Error()
}

// lines returns the view now.
func (w *watch) lines(width, height int) []string {
	return Lines(w.view, Look{
		Width: width, Height: height, Language: w.Language, Colour: w.Colour, Live: w.Terminal != nil,
		Where: w.Client.Where, Now: time.Now(), Heard: w.heard, Trouble: w.trouble,
	})
}

// show shows the view on the terminal.
func (w *watch) show(ctx context.Context, heard <-chan news, typed <-chan struct{}) error {
	defer func() { _, _ = io.WriteString(w.Terminal, leave) }()
	if _, err := io.WriteString(w.Terminal, enter); err != nil {
		return nil // it has gone
	}
	s := screen{out: w.Terminal}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		width, height := w.Terminal.Size()
		if s.show(w.lines(width, height), width, height) != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-typed:
			return nil
		case n := <-heard:
			w.hear(n)
		case <-w.Terminal.Resized():
			s.width = 0 // the terminal may have moved what it showed, even if it has its old size again
		case <-tick.C:
		}
	}
}

// write writes the view once a second.
func (w *watch) write(ctx context.Context, heard <-chan news) error {
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(w.Out, strings.Join(w.lines(0, 0), "\n")+"\n\n"); err != nil {
			return nil // nobody reads any more
		}
		for due := false; !due; {
			select {
			case <-ctx.Done():
				return nil
			case n := <-heard:
				w.hear(n)
			case <-tick.C:
				due = true
			}
		}
	}
}
