package main

import (
	"net/http"
	"net/http/httputil"
	"net/url"
)

// serveReverseProxy is what the sidecar is compared with: the standard library's proxy, flushing at once, with the
// standard transport, whose two idle connections a host would be an unfair handicap.
func serveReverseProxy(addr, upstream string) error {
	target, err := url.Parse(upstream)
	if err != nil {
		return err
	}
	target.Path = "" // the request's own path has /v1
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 20_000
	return http.ListenAndServe(addr, &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		FlushInterval: -1,
		Transport:     transport,
	})
}
