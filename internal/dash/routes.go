package dash

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
)

// Prefix is where all paths of the dashboard begin.
const Prefix = "/sidecar/"

// route is one path of the API.
type route struct {
	path    string   // below Prefix; one that ends in / has something behind it
	methods []string // that are allowed
	handle  http.HandlerFunc
}

// table lists the paths of the API.
func (d *Dash) table() []route {
	read, steer, end := []string{"GET", "HEAD"}, []string{"GET", "HEAD", "PATCH"}, []string{"DELETE"}
	return []route{
		{"api/snapshot", read, d.snapshot},
		{"api/events", read, d.events},
		{"api/history", read, d.history},
		{"api/settings", steer, d.settings},
		{"api/queue", read, d.queue},
		{"api/queue/", end, d.endWait},
		{"api/openapi.yaml", read, d.openAPI},
	}
}

// securityHeaders are on every answer. The page loads nothing from elsewhere and runs nothing inline; no other page may frame it.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
	"X-Content-Type-Options":  "nosniff",
	"X-Frame-Options":         "DENY",
	"Referrer-Policy":         "no-referrer",
	"Cache-Control":           "no-store",
}

// ServeHTTP answers the paths below /sidecar/ and /sidecar itself. All that it says of paths is relative, so that a reverse proxy may take
// a prefix away in front of them.
func (d *Dash) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range securityHeaders {
		w.Header().Set(name, value)
	}
	path, below := strings.CutPrefix(r.URL.Path, Prefix)
	if !below {
		redirect(w, strings.Trim(Prefix, "/")+"/")
		return
	}
	if !strings.HasPrefix(path, "api/") {
		d.page().serve(d, w, r, path)
		return
	}
	for _, route := range d.routes {
		rest, match := strings.CutPrefix(path, route.path)
		if !match || (rest == "") == strings.HasSuffix(route.path, "/") {
			continue
		}
		d.call(w, r, route)
		return
	}
	d.fail(w, r, notFound("there is no such path below /sidecar/api/: /sidecar/api/openapi.yaml lists them"))
}

// call checks method and access, and calls the route.
func (d *Dash) call(w http.ResponseWriter, r *http.Request, route route) {
	if !allowed(w, r, route.methods) {
		d.fail(w, r, &Error{
			Status: http.StatusMethodNotAllowed, Param: "method", Code: BadRequest,
			Message: r.Method + " is not for this path: use " + strings.Join(route.methods, " or "),
		})
		return
	}
	access := d.Read
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		access = d.Write
	}
	if err := access(r); err != nil {
		d.fail(w, r, err)
		return
	}
	route.handle(w, r)
}

// allowed reports whether the method is one of those; if not, it says which are.
func allowed(w http.ResponseWriter, r *http.Request, methods []string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	w.Header().Set("Allow", strings.Join(methods, ", "))
	return false
}

// redirect sends to a path relative to that of the request, which http.Redirect would make absolute.
func redirect(w http.ResponseWriter, path string) {
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusFound)
}

// Redirect sends whoever asks for / to the dashboard.
func Redirect(w http.ResponseWriter) { redirect(w, strings.TrimPrefix(Prefix, "/")) }

// The codes of an Error.
const (
	BadRequest   = "bad_request"
	Unauthorized = "unauthorized"
	Forbidden    = "forbidden"
	NotFound     = "not_found"
	Conflict     = "conflict"
	Internal     = "internal"
)

// Error is an answer that says no. Its fields but for Status are the JSON of its body.
type Error struct {
	Status  int    `json:"-"`       // of HTTP
	Message string `json:"message"` // what is wrong, with the value, and what helps
	Param   string `json:"param"`   // the setting, parameter or header that is meant; "" for none
	Code    string `json:"code"`    // one of the constants
}

// Error is the message.
func (e *Error) Error() string { return e.Message }

func notFound(message string) *Error {
	return &Error{Status: http.StatusNotFound, Param: "path", Code: NotFound, Message: message}
}

// fail answers with an error. What is no *Error is a fault of ours, of which nothing is told.
func (d *Dash) fail(w http.ResponseWriter, r *http.Request, err error) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		if r.Context().Err() != nil {
			return // nobody listens
		}
		e = &Error{Status: http.StatusInternalServerError, Code: Internal, Message: "nim-sidecar made a mistake with this request"}
	}
	if e.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="nim-sidecar"`)
	}
	reply(w, r, e.Status, map[string]*Error{"error": e})
}

// reply answers with JSON.
func reply(w http.ResponseWriter, r *http.Request, status int, value any) {
	body, err := json.Marshal(value)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":{"message":"the answer is no JSON","param":"","code":"internal"}}`)
	}
	send(w, r, status, "application/json", body)
}

// send answers with a body.
func send(w http.ResponseWriter, r *http.Request, status int, mime string, body []byte) {
	w.Header().Set("Content-Type", mime)
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // who does not take it has left
	}
}
