package upstream

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/secret"
)

func TestNewRefusesSettingsThatCannotWork(t *testing.T) {
	t.Parallel()
	base := parseURL(t, "https://up.test/v1")
	key := func(text string) []Key { return []Key{{Alias: "k", Secret: secret.New(text)}} }
	tests := []struct {
		name      string
		providers []Provider
		says      string
	}{
		{"none", nil, "no provider"},
		{"no URL", []Provider{{Name: "up"}}, "scheme"},
		{"no host", []Provider{{Name: "up", URL: &url.URL{Scheme: "http"}}}, "host"},
		{"another scheme", []Provider{{Name: "up", URL: parseURL(t, "ftp://up.test")}}, "scheme"},
		{"a secret in the URL", []Provider{{Name: "up", URL: parseURL(t, "https://user:hidden@up.test")}}, "only"},
		{"a query", []Provider{{Name: "up", URL: parseURL(t, "https://up.test?a=b")}}, "only"},
		{"escapes", []Provider{{Name: "up", URL: parseURL(t, "https://up.test/a%2fb")}}, "escapes"},
		{"an international host", []Provider{{Name: "up", URL: parseURL(t, "https://bücher.test")}}, "xn--"},
		{"twice the name", []Provider{{Name: "up", URL: base}, {Name: "up", URL: base}}, "taken"},
		{"an account without keys", []Provider{{Name: "up", URL: base, Accounts: []Account{{Name: "one"}}}}, "key"},
		{"an account without a name", []Provider{{Name: "up", URL: base, Accounts: []Account{{Keys: key("hidden")}}}}, "name"},
		{"twice an account", []Provider{{Name: "up", URL: base, Accounts: accounts("one", "one")}}, "taken"},
		{"an empty key", []Provider{{Name: "up", URL: base, Accounts: []Account{{Name: "one", Keys: key("")}}}}, "empty"},
		{"a broken key", []Provider{{Name: "up", URL: base, Accounts: []Account{{Name: "one", Keys: key("hidden\n")}}}}, "characters"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := New(Options{Providers: tt.providers})
			if err == nil || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("New = %v; want an error that says %q and no secret", err, tt.says)
			}
		})
	}
}

func TestTheFirstProviderIsTheDefault(t *testing.T) {
	t.Parallel()
	base := parseURL(t, "https://up.test/v1")
	table, err := New(Options{Providers: []Provider{{Name: "one", URL: base}, {Name: "two", URL: base, HeadTimeout: time.Second}}})
	if err != nil {
		t.Fatal(err)
	}
	if table.Default() != "one" || !table.Has("two") || table.Has("three") {
		t.Errorf("default %q, has two %t, has three %t; want one, true, false", table.Default(), table.Has("two"), table.Has("three"))
	}
	one, two := table.providers["one"], table.providers["two"]
	if one.headLimit != DefaultHeadTimeout || one.idleLimit != DefaultStreamIdleTimeout || two.headLimit != time.Second {
		t.Errorf("time-outs = %v, %v and %v; want the defaults and 1s", one.headLimit, one.idleLimit, two.headLimit)
	}
}

func TestTheBasePathIsV1UnlessTheURLHasOne(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"http://up.test":                "http://up.test/v1/x",
		"http://up.test/":               "http://up.test/v1/x",
		"http://up.test/v1/":            "http://up.test/v1/x",
		"http://up.test:81/openai/v1":   "http://up.test:81/openai/v1/x",
		"https://[::1]:8443/api/v1beta": "https://[::1]:8443/api/v1beta/x",
	} {
		p, err := newProvider(Provider{URL: parseURL(t, base)}, "")
		if err != nil {
			t.Fatal(err)
		}
		var u url.URL
		p.locate(&u, &Request{Path: "/x"})
		if u.String() != want {
			t.Errorf("with %s: %s; want %s", base, u.String(), want)
		}
	}
}

func TestPingAsksForTheModelsWithoutAKey(t *testing.T) {
	t.Parallel()
	var asked *http.Request
	handle := each(func(c net.Conn, r *http.Request, _ string) bool {
		asked = r
		_, err := c.Write([]byte("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\nboom"))
		return err == nil
	})
	bubble(t, Provider{Accounts: accounts("one"), NVIDIA: true}, handle, func(r *rig) {
		for range 3 {
			if err := r.Ping(r.t.Context()); err != nil {
				t.Errorf("Ping = %v; want none: any answer is a good one", err)
			}
		}
		if asked.Method != "GET" || asked.URL.Path != "/v1/models" || asked.Header.Get("Authorization") != "" || asked.Header.Get("Nvcf-Poll-Seconds") == "" {
			t.Errorf("asked %s %s with %v; want GET /v1/models without a key", asked.Method, asked.URL, asked.Header)
		}
		if open := r.network.Open(); open != 1 {
			t.Errorf("%d connections; want 1", open)
		}
	})
}

func TestPingIsBoundByItsContext(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, hangs, func(r *rig) {
		ctx, cancel := context.WithTimeout(r.t.Context(), 3*time.Second)
		defer cancel()
		start := time.Now()
		if err := r.Ping(ctx); err == nil || time.Since(start) != 3*time.Second {
			t.Errorf("Ping = %v after %v; want an error after 3s", err, time.Since(start))
		}
	})
}
