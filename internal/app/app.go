// Package app builds the one object graph, starts it, reloads it, stops it in order.
//
// Nothing here is global: two sidecars run in one process. New is deliberately one straight line, so that the whole machine can be
// read on one screen and a half; each thing that must be undone registers its undo the moment it exists, and a failed New undoes
// what was done. Run returns only when everything that it started has ended.
package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"nimsidecar/internal/coalesce"
	"nimsidecar/internal/config"
	"nimsidecar/internal/dash"
	"nimsidecar/internal/gate"
	"nimsidecar/internal/guard"
	"nimsidecar/internal/health"
	"nimsidecar/internal/metrics"
	"nimsidecar/internal/proxy"
	"nimsidecar/internal/quota"
	"nimsidecar/internal/store"
	"nimsidecar/internal/upstream"
)

// Options is what an App is built from. Config is required; the rest has usable zero values.
type Options struct {
	Config  *config.Config
	Logger  *slog.Logger // nil discards
	Version string       // shown in metrics; "" is "dev"

	Level  *slog.LevelVar                 // what Logger logs, so that it can be changed while running; nil stays as it is
	Reload func() (*config.Config, error) // reads the settings again; nil = they cannot be
	Demo   bool                           // the answers are synthetic: the dashboard says so

	Service Service // the service manager; Config must have been loaded with its Address

	// Listen and DialContext replace the network in tests; nil is the real one.
	Listen      func(network, address string) (net.Listener, error)
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// App is one sidecar. Run it once.
type App struct {
	logger   *slog.Logger
	shutdown time.Duration // bound of an ordered stop
	service  Service

	store    *store.Store // nil without a state directory
	book     *quota.Book
	gate     *gate.Gate
	upstream *upstream.Table
	shared   *coalesce.Group // nil where nothing is shared or kept
	health   *health.Health
	metrics  *metrics.Metrics

	version   string
	demo      bool
	steering  *steering
	past      *past
	feed      *dash.Feed
	dashboard http.Handler

	proxyListener, metricsListener net.Listener
	proxyServer, metricsServer     *http.Server
	accepted                       chan struct{} // closed when the proxy's server takes no connection any more

	running     running
	connections connections
	undo        undoStack

	// abort ends every running request with proxy.ErrStopping as its cause.
	abort context.CancelCauseFunc
}

// New builds a sidecar and binds its listeners: from then on clients can connect, and are served once Run is called. A port that
// is taken is a *ListenError.
func New(o Options) (_ *App, err error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Listen == nil {
		o.Listen = listen
	}
	c := o.Config
	a := &App{
		logger: o.Logger, shutdown: c.ShutdownTimeout, service: o.Service, version: o.Version, demo: o.Demo,
		accepted: make(chan struct{}),
		steering: newSteering(c, o.Logger), past: newPast(),
	}
	defer func() {
		if err != nil {
			a.undo.run(o.Logger)
		}
	}()

	if a.proxyListener, err = a.bind(o.Service.listen(o.Listen), "listen", c.Listen); err != nil {
		return nil, err
	}
	a.proxyListener = spare(a.proxyListener, descriptors())
	if a.metricsListener, err = a.bind(o.Listen, "metrics_listen", c.MetricsListen); err != nil {
		return nil, err
	}

	if err = a.openStore(c, o.Logger); err != nil {
		return nil, err
	}
	c = a.steering.config()
	a.upstream, err = upstream.New(upstream.Options{
		Providers: providers(c), Routes: routes(c), UserAgent: userAgent(o.Version), Logger: o.Logger, DialContext: o.DialContext,
	})
	if err != nil {
		return nil, fmt.Errorf("app: %w", err)
	}
	a.undo.add("upstream connections", func() error { a.upstream.Close(); return nil })
	a.gate = gate.New(gate.Options{
		Budget: budget{a.book, a.upstream}, Journal: a.journal(), Capacity: c.Queue.Capacity, Displace: c.Queue.Overflow == config.OverflowReject,
		Logger: o.Logger,
	})

	a.health = health.New(health.Options{Checks: a.checks()})
	a.metrics = metrics.New(metrics.Options{Providers: names(c), Version: o.Version, Start: time.Now()})
	a.shared = shared(c)
	keeper := guard.New(guardOptions(c, a.metrics))
	handler := proxy.New(proxy.Options{
		Guard: keeper, Gate: a.gate, Upstream: a.upstream, Metrics: a.metrics, Logger: o.Logger, Finished: a.past.end,
		MaxBody: int64(c.MaxBody), MaxBytes: int64(c.Queue.MaxBytes), Settings: proxySettings(c), Coalesce: a.shared,
	})
	a.metrics.Watch(a.state(handler))
	a.steer(o, handler)
	a.buildDash(c, handler)

	base, abort := context.WithCancelCause(context.Background())
	a.abort = abort
	a.undo.add("running requests", func() error { abort(proxy.ErrStopping); return nil })
	a.proxyServer = server(base, keeper.Wrap(a.routes(handler)), o.Logger)
	a.proxyServer.ConnState = a.connections.count
	if c.H2C {
		a.proxyServer.Protocols.SetUnencryptedHTTP2(true)
	}
	a.metricsServer = server(base, keeper.Wrap(a.metricsRoutes()), o.Logger)
	a.announce(c)
	return a, nil
}

// Addr returns where the proxy listens, such as 127.0.0.1:9190.
func (a *App) Addr() string { return a.proxyListener.Addr().String() }

// MetricsAddr returns where the metrics are.
func (a *App) MetricsAddr() string { return a.metricsListener.Addr().String() }

// server is an HTTP server with the limits of the fault table: a head must come within 10 s and fit in 64 KiB. There is no read or
// write time-out for a whole request: a generation may take an hour; proxy bounds bodies and chunks one by one.
func server(base context.Context, h http.Handler, logger *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:                      boundBodies(h),
		BaseContext:                  func(net.Listener) context.Context { return base },
		ReadHeaderTimeout:            10 * time.Second,
		IdleTimeout:                  2 * time.Minute,
		MaxHeaderBytes:               60 << 10, // net/http adds 4 KiB of its own
		DisableGeneralOptionsHandler: true,
		Protocols:                    protocols,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// unreadWait is how long an answer may wait for the rest of a body that nobody has read.
const unreadWait = time.Second

// boundBodies bounds that wait. Before net/http sends the answer of a handler that did not read the body, such as a refusal of a web
// page, it reads what is left of up to 256 KiB, so that the connection can be used again; a body that does not come would hold answer
// and connection for ever. Who reads a body sets a deadline of its own.
func boundBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(unreadWait))
		}
		next.ServeHTTP(w, r)
	})
}
