package dash

import (
	"cmp"
	"context"
	"io/fs"
	"net/http"
	"sync"
	"time"

	"nimsidecar/internal/history"
)

// Source gives the state. It must be safe for concurrent use.
type Source interface {
	// View must return the state now, a new value each time, complete but for Seq. It must not wait for anything.
	View() *View
}

// Queue is the waiting room. It must be safe for concurrent use.
type Queue interface {
	// Waiting must return everybody who waits, in order.
	Waiting() []Waiter
	// End must refuse the request with that id and report whether it waited.
	End(id string) bool
}

// Settings are those that may change while running. It must be safe for concurrent use.
type Settings interface {
	// Current must return the settings in effect.
	Current() Steering
	// Patch must check a change whole and apply it whole, or not at all, and return the settings after it. An error that the caller can mend
	// must be a *Error.
	Patch(ctx context.Context, by string, patch []byte) (Steering, error)
}

// History is the past. It must be safe for concurrent use.
type History interface {
	// Series must return a span of history.Spans; ok is false for a name that is none.
	Series(name string) (s history.Series, ok bool)
}

// Access says whether a request may do something, and if not, why: its error must be a *Error. It must be safe for concurrent use.
type Access func(*http.Request) error

// Options are what a Dash is built from. Feed is required; what is nil of the rest is answered with 404, or allowed.
type Options struct {
	Feed     *Feed    // the owner runs it
	Queue    Queue    // who waits
	Settings Settings // that may change while running
	History  History  // of the graphs

	// Read and Write guard what shows the state, and what changes it; nil lets everybody. The page itself holds nothing and is for all.
	Read, Write Access

	// Patience is how long a viewer may take no event before it is dropped; 0 = DefaultPatience.
	Patience time.Duration

	// Page holds the built page; nil is the one in the binary.
	Page fs.FS
}

// DefaultPatience is far more than a connection that is merely slow needs for some kilobytes.
const DefaultPatience = 10 * time.Second

// Dash serves everything below /sidecar/. It is immutable and safe for concurrent use.
type Dash struct {
	Options
	routes []route
	page   func() *page // read when somebody first looks: nobody does at most sidecars, which need not hold it
}

// New returns a Dash.
func New(o Options) *Dash {
	o.Patience = cmp.Or(o.Patience, DefaultPatience)
	if o.Read == nil {
		o.Read = func(*http.Request) error { return nil }
	}
	if o.Write == nil {
		o.Write = func(*http.Request) error { return nil }
	}
	if o.Page == nil {
		o.Page = built()
	}
	d := &Dash{Options: o, page: sync.OnceValue(func() *page { return newPage(o.Page) })}
	d.routes = d.table()
	return d
}
