package upstream

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/secret"
)

// configured is a provider with one key.
func configured(t testing.TB, nvidia bool, names ...string) *provider {
	t.Helper()
	p, err := newProvider(Provider{URL: parseURL(t, "https://up.test"), Accounts: accounts(names...), NVIDIA: nvidia}, "agent/1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestWhatGoesUp(t *testing.T) {
	t.Parallel()
	own := http.Header{"Authorization": {"Bearer client"}, "X-Api-Key": {"client"}, "Api-Key": {"client"}, "Cookie": {"a=b"}, "User-Agent": {"sdk"}}
	tests := []struct {
		name     string
		nvidia   bool
		accounts []string
		client   http.Header
		want     http.Header
	}{
		{
			name: "a configured key takes the place of the client's", accounts: []string{"one"}, client: own.Clone(),
			want: http.Header{"Authorization": {"Bearer secret-of-one"}, "User-Agent": {"sdk"}},
		},
		{
			name: "without one the client's own goes up", client: own.Clone(),
			want: http.Header{"Authorization": {"Bearer client"}, "X-Api-Key": {"client"}, "Api-Key": {"client"}, "User-Agent": {"sdk"}},
		},
		{
			name: "Connection cannot name the key away", accounts: []string{"one"},
			client: http.Header{"Connection": {"close, Authorization, X-Mine"}, "X-Mine": {"1"}, "User-Agent": {"sdk"}},
			want:   http.Header{"Authorization": {"Bearer secret-of-one"}, "User-Agent": {"sdk"}},
		},
		{
			name: "hop-by-hop, forwarded and our own headers stay here",
			client: http.Header{
				"Keep-Alive": {"1"}, "Proxy-Authorization": {"1"}, "Te": {"gzip"}, "Trailer": {"X"}, "Transfer-Encoding": {"chunked"},
				"Upgrade": {"h2c"}, "Forwarded": {"for=1"}, "X-Forwarded-For": {"1"}, "X-Forwarded-Host": {"1"}, "X-Real-Ip": {"1"}, "Via": {"1"},
				"X-Sidecar-Priority": {"low"}, "X-Sidecar-Anything": {"1"}, "X-Priority": {""}, "Nvcf-Shadow": {"1"}, "Function-Id": {"1"},
				"Function-Version-Id": {"1"}, "Host": {"evil"}, "Content-Length": {"9"}, "Expect": {"100-continue"}, "Origin": {"http://a"},
				"User-Agent": {"sdk"}, "Referer": {"http://a"}, "Accept-Encoding": {"gzip"}, "Nvcf-Input-Asset-References": {"x"},
				"X-Stainless-Lang": {"python"}, "X-Request-Id": {"1"}, "Accept": {"a", "b"},
			},
			want: http.Header{
				"User-Agent": {"sdk"}, "Referer": {"http://a"}, "Accept-Encoding": {"gzip"}, "Nvcf-Input-Asset-References": {"x"},
				"X-Stainless-Lang": {"python"}, "X-Request-Id": {"1"}, "Accept": {"a", "b"},
			},
		},
		{
			name: "TE: trailers is for the upstream", client: http.Header{"Te": {"gzip, Trailers"}, "User-Agent": {"sdk"}},
			want: http.Header{"Te": {"trailers"}, "User-Agent": {"sdk"}},
		},
		{
			name: "a client without a User-Agent gets ours", client: nil,
			want: http.Header{"User-Agent": {"agent/1"}},
		},
		{
			name: "NVIDIA gets our User-Agent and a poll time", nvidia: true, accounts: []string{"one"}, client: http.Header{"User-Agent": {"sdk"}},
			want: http.Header{"Authorization": {"Bearer secret-of-one"}, "User-Agent": {"agent/1"}, "Nvcf-Poll-Seconds": {"600"}},
		},
		{
			name: "the client's own poll time wins", nvidia: true, client: http.Header{"Nvcf-Poll-Seconds": {"5"}},
			want: http.Header{"User-Agent": {"agent/1"}, "Nvcf-Poll-Seconds": {"5"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := configured(t, tt.nvidia, tt.accounts...)
				var c credential
				if len(p.accounts) > 0 {
					c.account = p.accounts[0]
				}
				r := &Request{Header: tt.client}
				first := p.header(r, c, time.Now().Add(10*time.Minute))
				if diff := cmp.Diff(tt.want, first); diff != "" {
					t.Errorf("header (-want +got):\n%s", diff)
				}
				second := p.header(r, c, time.Now().Add(5*time.Second))
				if diff := cmp.Diff(tt.want, first); diff != "" {
					t.Errorf("header of the second attempt changed the first one's (-want +got):\n%s", diff)
				}
				if polls := second[headerPoll]; len(polls) > 0 {
					if polls[0] != "5" {
						t.Errorf("the second attempt polls for %q s; want 5", polls)
					}
					second[headerPoll] = tt.want[headerPoll]
				}
				if diff := cmp.Diff(tt.want, second); diff != "" {
					t.Errorf("header of the second attempt (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestPollSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for left, want := range map[time.Duration]int{
			-time.Hour: 1, 0: 1, 500 * time.Millisecond: 1, 90*time.Second + 1: 90, time.Hour: 3600, 24 * time.Hour: 3600,
		} {
			if got := pollSeconds(time.Now().Add(left)); got != want {
				t.Errorf("pollSeconds with %v left = %d; want %d", left, got, want)
			}
		}
	})
}

func TestWhatComesDown(t *testing.T) {
	t.Parallel()
	p := configured(t, false, "one", "two")
	h := http.Header{
		"Connection": {"X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"1"}, "Proxy-Authenticate": {"1"}, "Upgrade": {"h2c"},
		"Access-Control-Allow-Origin": {"*"}, "Access-Control-Allow-Credentials": {"true"},
		"Retry-After": {"7"}, "Nvcf-Reqid": {"1"}, "Content-Length": {"3"},
		"X-Echo": {"a", "Bearer secret-of-two, secret-of-two", "secret-of-one"},
	}
	p.clean(h)
	want := http.Header{
		"Retry-After": {"7"}, "Nvcf-Reqid": {"1"}, "Content-Length": {"3"},
		"X-Echo": {"a", "Bearer *************, *************", "*************"},
	}
	if diff := cmp.Diff(want, h); diff != "" {
		t.Errorf("clean (-want +got):\n%s", diff)
	}
}

// However a text with a key is cut into reads, the key is never seen and every other byte is.
func FuzzMaskAtAnyCut(f *testing.F) {
	const key = "nvapi-0123456789"
	f.Add("before "+key+" after "+key, uint8(3))
	f.Add(key[:10]+key+key[5:], uint8(1))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		var keys redactor
		keys.add(secret.New(key))
		a := &Answer{failed: true, attempt: attempt{provider: &provider{keys: keys}}}
		var got []byte
		for i := 0; i < len(text); i += int(size) + 1 {
			a.take(chunk{bytes: []byte(text[i:min(i+int(size)+1, len(text))])})
			n := a.safe()
			got = append(got, a.held[:n]...)
			a.held = a.held[n:]
		}
		got = append(got, a.held...)
		want := []byte(text)
		keys.mask(want)
		if string(got) != string(want) {
			t.Errorf("masked in pieces of %d = %q; want %q", int(size)+1, got, want)
		}
	})
}
