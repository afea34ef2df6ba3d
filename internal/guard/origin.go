package guard

import (
	"net/http"
	"slices"
	"strings"
)

// verdict is whose page a request comes from.
type verdict uint8

const (
	foreign verdict = iota // a page that may not use us
	own                    // our own page, or no page at all
	listed                 // a page that the settings allow
)

// origins are the web origins whose pages may use the sidecar besides its own.
type origins []string

func newOrigins(allowed []string) (list origins) {
	for _, entry := range allowed {
		entry = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(entry), "/"))
		if strings.Contains(entry, "://") { // never null, which any sandboxed page may claim, nor *
			list = append(list, entry)
		}
	}
	return list
}

// judge says whose page a request comes from, from what browsers add to it and no page can change. Reading counts like writing:
// there is no method that a foreign page may use, since even a GET holds a stream open or spends a slot.
//
// Browsers send Sec-Fetch-Site to trustworthy addresses only (https, localhost, 127.0.0.1), and Origin with everything but plain
// navigation and no-cors reads; so each must be good where it is given.
func (list origins) judge(r *http.Request) verdict {
	if given := r.Header["Origin"]; len(given) > 0 {
		switch {
		case len(given) > 1:
			return foreign
		case slices.Contains(list, given[0]):
			return listed
		case !isOwn(given[0], r.Host):
			return foreign
		}
	}
	for _, site := range r.Header["Sec-Fetch-Site"] {
		if site != "same-origin" && site != "none" {
			return foreign
		}
	}
	return own
}

// isOwn reports whether an origin is the one that the request was sent to. The scheme may be https although we speak http: the
// encryption may end before us.
func isOwn(origin, host string) bool {
	rest, ok := strings.CutPrefix(origin, "http://")
	if !ok {
		rest, ok = strings.CutPrefix(origin, "https://")
	}
	return ok && strings.EqualFold(rest, host)
}

// answerPreflight lets a listed page read the answer (the CORS protocol of the Fetch standard), and answers the question that its
// browser may ask before the request; then it returns true. Cookies are never allowed, nor is anything said about private networks.
func answerPreflight(w http.ResponseWriter, r *http.Request) bool {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
	h.Set("Access-Control-Expose-Headers", "*")
	h.Add("Vary", "Origin")
	method := r.Header.Get("Access-Control-Request-Method")
	if r.Method != http.MethodOptions || method == "" {
		return false
	}
	h.Set("Access-Control-Allow-Methods", method)
	if headers := r.Header.Get("Access-Control-Request-Headers"); headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true
}
