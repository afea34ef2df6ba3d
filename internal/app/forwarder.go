package app

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"

	"nimsidecar/internal/config"
	"nimsidecar/internal/proxy"
)

// forwarder is the proxy's handler, replaced by one with other settings while requests run: each keeps the one it began with. It is safe
// for concurrent use.
type forwarder struct {
	options proxy.Options
	current atomic.Pointer[proxy.Handler]

	mu  sync.Mutex       // guards the following
	all []*proxy.Handler // those that may hold requests, the current one last
}

func newForwarder(o proxy.Options) *forwarder {
	f := &forwarder{options: o}
	f.use(o)
	return f
}

// use makes a handler with those options the current one.
func (f *forwarder) use(o proxy.Options) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := proxy.New(o)
	f.all = append(slices.DeleteFunc(f.all, func(h *proxy.Handler) bool { return h.Held() == 0 }), h)
	f.current.Store(h)
}

// apply changes what may change while running.
func (f *forwarder) apply(c *config.Config) {
	o := f.options
	o.MaxWait, o.Passthrough, o.Heartbeat = c.Queue.MaxWait, c.Queue.Overflow == config.OverflowPassthrough, heartbeat(c)
	f.use(o)
}

// ServeHTTP hands a request to the current handler.
func (f *forwarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.current.Load().ServeHTTP(w, r)
}

// Held returns how many bytes of request bodies are held.
func (f *forwarder) Held() (bytes int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.all {
		bytes += h.Held()
	}
	return bytes
}
