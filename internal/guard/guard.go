// Package guard is who may speak to us: Host, Origin, client keys, admin token.
//
// A sidecar on a loopback port is not out of reach: every web page that its user opens can send requests there. Two checks keep
// pages out, on every path and method and before anything else is looked at:
//
//   - Host (host.go): a page whose own name was made to point at 127.0.0.1 (DNS rebinding) still says that name;
//   - Origin and Sec-Fetch-Site (origin.go): a browser says truly which page a request comes from.
//
// Programs that are no browsers send neither Origin nor Sec-Fetch-Site and pass. Client keys (client.go) are for people.
package guard

import (
	"fmt"
	"maps"
	"net"
	"net/http"

	"nimsidecar/internal/wire"
)

// Options are what New needs to know. The zero value lets in what speaks to a loopback name or address, without keys.
type Options struct {
	// AllowedHosts are further names or IP addresses that the sidecar answers to, such as nim-sidecar in a compose file. Letter
	// case and ports do not matter. What is neither a name nor an address matches nothing; there are no wildcards.
	AllowedHosts []string
	// AllowedOrigins are web origins whose pages may use the sidecar, such as https://chat.example or app://obsidian.md.
	AllowedOrigins []string
	// Clients are those who may send requests; none means everybody. See Identify.
	Clients []Client
	// AnyHostBound says that the listener is deliberately bound beyond loopback: then the sidecar answers to every IP address, since
	// it has some that it does not know and an address, unlike a name, cannot be rebound.
	AnyHostBound bool
	// Refused, when set, is told the reason of each request that Wrap refuses, for the metrics. It must not block.
	Refused func(wire.Reason)
}

// Guard decides who may speak to us. Use New to make one. It never changes and is safe for concurrent use.
type Guard struct {
	hosts   hosts
	origins origins
	clients []keyed
	refused func(wire.Reason)
}

// New returns a guard.
func New(o Options) *Guard {
	if o.Refused == nil {
		o.Refused = func(wire.Reason) {}
	}
	return &Guard{
		hosts:   newHosts(o.AllowedHosts, o.AnyHostBound),
		origins: newOrigins(o.AllowedOrigins),
		clients: newKeyed(o.Clients),
		refused: o.Refused,
	}
}

// Wrap returns next behind the checks of Host and Origin. It belongs round everything a listener serves, metrics, probes and
// unknown paths included. What is refused gets a 403 whose message names the setting that would let it in; its body is not read.
//
// Over a Unix socket any Host is good, since its clients have none to name and a page cannot reach it. The Origin counts there as
// well: a reverse proxy may stand in front.
func (g *Guard) Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Host != "":
			// Of an absolute target net/http keeps the target's host and drops the Host header, so whether the two agree can no longer
			// be told. We are no forward proxy, nobody needs to send one.
			g.refuse(w, r, wire.ForbiddenHost, "nim-sidecar takes no absolute request target, since it is not a forward proxy: "+
				"take it out of HTTP_PROXY and use it as the base URL (SIDECAR_ALLOWED_HOSTS does not change this)")
		case !g.hosts.allow(r.Host) && !overUnixSocket(r):
			g.refuse(w, r, wire.ForbiddenHost, fmt.Sprintf("nim-sidecar does not answer to the host %q: "+
				"if it is a name of this sidecar, add it to SIDECAR_ALLOWED_HOSTS", clip(r.Host)))
		default:
			g.checkOrigin(w, r, next)
		}
	})
}

func (g *Guard) checkOrigin(w http.ResponseWriter, r *http.Request, next http.Handler) {
	switch g.origins.judge(r) {
	case own:
		next.ServeHTTP(w, r)
	case listed:
		if !answerPreflight(w, r) {
			next.ServeHTTP(w, r)
		}
	case foreign:
		from := "another site"
		if origin := r.Header.Get("Origin"); origin != "" {
			from = fmt.Sprintf("the origin %q", clip(origin))
		}
		g.refuse(w, r, wire.ForbiddenOrigin, "nim-sidecar takes no requests that a web page of "+from+" makes: "+
			"if its pages may use this sidecar, add the origin to SIDECAR_ALLOWED_ORIGINS")
	}
}

func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, reason wire.Reason, message string) {
	g.refused(reason)
	e := wire.Error{Reason: reason, Message: message}
	status, header, body := e.Render(wire.DialectOf(r.URL.Path), r.Header.Get("X-Request-Id"))
	maps.Copy(w.Header(), header)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// overUnixSocket reports whether a request came over a Unix socket.
func overUnixSocket(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return local != nil && local.Network() == "unix"
}

// clip bounds what a message repeats of a value that a stranger chose.
func clip(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
