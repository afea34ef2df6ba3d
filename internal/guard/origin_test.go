package guard

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzJudge: no page is taken for ours but one whose host is the Host that was asked for, as the URL parser of the standard library reads it,
// and none for a listed one but the listed one.
func FuzzJudge(f *testing.F) {
	const listedOrigin = "https://chat.example"
	for _, seed := range [][2]string{
		{"http://127.0.0.1:9190", "127.0.0.1:9190"},
		{"https://LOCALHOST", "localhost"},
		{"null", "localhost"},
		{"", "localhost"},
		{"http://", ""},
		{"http://localhost@evil.example", "localhost"},
		{"http://localhost.evil.example", "localhost"},
		{"http://localhost/", "localhost"},
		{listedOrigin, "localhost"},
		{listedOrigin + ".evil.example", "localhost"},
		{"http://[::1]:1", "[::1]:1"},
		{"https://http://localhost", "localhost"},
	} {
		f.Add(seed[0], seed[1])
	}
	list, walls := newOrigins([]string{listedOrigin, "null", "*"}), newHosts(nil, false)
	f.Fuzz(func(t *testing.T, origin, host string) {
		if !walls.allow(host) {
			return // it has been refused before
		}
		r := &http.Request{Host: host, Header: http.Header{"Origin": {origin}}}
		switch got := list.judge(r); {
		case got == listed && origin != listedOrigin:
			t.Errorf("judge of Origin %q = listed; want that of %q only", origin, listedOrigin)
		case got == own:
			u, err := url.Parse(origin)
			if err != nil || !strings.EqualFold(u.Host, host) || u.User != nil || u.Path != "" || u.Scheme != "http" && u.Scheme != "https" {
				t.Errorf("judge of Origin %q to Host %q = own", origin, host)
			}
		}
	})
}
