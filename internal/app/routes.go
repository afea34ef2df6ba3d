package app

import (
	"maps"
	"net/http"
	"strings"

	"nimsidecar/internal/dash"
	"nimsidecar/internal/wire"
)

// routes sends each path of the proxy port where it belongs. It is not an http.ServeMux, which would answer odd paths with a
// redirect of its own: what is under /v1/ goes to the provider as the client wrote it, or nowhere.
func (a *App) routes(forward http.Handler) http.Handler {
	forward = a.running.wrap(forward)
	live, ready := a.health.Live(), a.health.Ready()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/livez", "/healthz":
			live.ServeHTTP(w, r)
		case "/readyz":
			ready.ServeHTTP(w, r)
		case "/":
			a.root(w, r)
		default:
			if isDash(r.URL.Path) {
				a.dashboard.ServeHTTP(w, r)
				return
			}
			if isForwarded(r.URL.EscapedPath()) {
				forward.ServeHTTP(w, r)
				return
			}
			a.notFound(w, r)
		}
	})
}

// isDash reports whether a path is the dashboard's.
func isDash(path string) bool { return path+"/" == dash.Prefix || strings.HasPrefix(path, dash.Prefix) }

// isForwarded reports whether a path is /v1/... or /{provider}/v1/...
func isForwarded(path string) bool {
	if strings.HasPrefix(path, "/v1/") {
		return true
	}
	_, rest, found := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return found && strings.HasPrefix(rest, "v1/")
}

// metricsRoutes are the paths of the metrics port.
func (a *App) metricsRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metrics.Handler())
	mux.Handle("GET /livez", a.health.Live())
	return mux
}

// welcome is what a person sees who opens the proxy's address with something that follows no redirects.
const welcome = `nim-sidecar is running.

  /sidecar/     the dashboard
  /v1/...       your provider's API, paced and queued: use http://<this address>/v1 as the base URL
  /readyz       is it ready? (?verbose says why not)
  metrics port  /metrics
`

// root answers a person who looks, and agents that ask HEAD / before anything else.
func (a *App) root(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		a.notFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if r.Method == http.MethodGet {
		dash.Redirect(w)
	}
	_, _ = w.Write([]byte(welcome)) // net/http sends no body to HEAD
}

// notFound answers a path that is nobody's, in the shape that SDKs show: a base URL without /v1 is the usual mistake.
func (a *App) notFound(w http.ResponseWriter, r *http.Request) {
	e := wire.Error{
		Reason: wire.BadRequest, Status: http.StatusNotFound, Param: "path",
		Message: "nim-sidecar has no such path: requests go to /v1/... or /{provider}/v1/..., so the base URL ends in /v1",
	}
	a.metrics.Rejected(string(e.Reason))
	status, header, body := e.Render(wire.DialectOf(r.URL.Path), r.Header.Get("X-Request-Id"))
	maps.Copy(w.Header(), header)
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
