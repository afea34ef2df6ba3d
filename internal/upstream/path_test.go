package upstream

import (
	"net/url"
	"path"
	"strings"
	"testing"
)

func TestCheckPath(t *testing.T) {
	t.Parallel()
	good := []string{
		"/", "/models", "/models/", "/models/meta/llama-3.1-8b-instruct", "/chat/completions", "/models/a%20b", "/models/a:b@1",
		"/a.b/..c/.d/e..", "/models/%E6%A8%A1", "/x;y=1", "/models/a%3Ab", "/models/meta%2Fllama", "/models/meta%2fllama",
	}
	bad := []string{
		"", "models", "..", "/..", "/../admin", "/a/../b", "/a/./b", "/.", "//evil.test", "/a//b", "/a/;x/b", "/a/..;/b", "/.;x",
		"/%2e%2e/admin", "/a/%2E./b", "/a%2f..%2fb", "/a%2F%2Fb", "/a%2F.", "/a%5cb", "/a\\b", "/a%252e", "/a%", "/a%4", "/a%zz", "/a%00", "/a%0d%0aX: y",
		"/a%7f", "/a\x00", "/a\r\nX: y", "/a b", "/a?b", "/a#b", "/\x80", "/a%1F", `/a"b`, "/{a}", "/a|b", "/a^b", "/a`b", "/<a>",
	}
	for _, p := range good {
		if err := CheckPath(p); err != nil {
			t.Errorf("CheckPath(%q) = %v; want nil", p, err)
		}
	}
	for _, p := range bad {
		if err, ok := CheckPath(p).(*PathError); !ok || err.Error() == "" {
			t.Errorf("CheckPath(%q) = nil; want a *PathError", p)
		}
	}
}

// What passes stays below the base, however often somebody decodes and cleans it, and is sent byte for byte.
func FuzzCheckedPathsStayBelowTheBase(f *testing.F) {
	for _, seed := range []string{"/models", "/a/../b", "/%2e%2e/x", "/a;..;/b", "/a%252fb", "/models/a%20b", "//x", "/a\\..\\b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		if CheckPath(escaped) != nil {
			return
		}
		decoded := escaped
		for range 3 {
			again, err := url.PathUnescape(decoded)
			if err != nil {
				break
			}
			decoded = again
			for _, p := range []string{decoded, strings.ReplaceAll(decoded, "\\", "/")} {
				if cleaned := path.Clean("/v1" + p); cleaned != "/v1" && !strings.HasPrefix(cleaned, "/v1/") {
					t.Errorf("CheckPath(%q) = nil, but it leads to %q", escaped, cleaned)
				}
			}
		}
		p := &provider{base: url.URL{Scheme: "http", Host: "up.test", Path: "/v1"}}
		var u url.URL
		p.locate(&u, &Request{Path: escaped, RawQuery: "a=b"})
		if want := "/v1" + escaped + "?a=b"; u.RequestURI() != want || u.Host != "up.test" {
			t.Errorf("request URI = %q at %q; want %q", u.RequestURI(), u.Host, want)
		}
	})
}
