package guard

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"nimsidecar/internal/secret"
)

// from is a request of a peer with some headers, given as Name: value.
func from(peer string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/sidecar/api/snapshot", http.NoBody)
	r.RemoteAddr = peer
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	return r
}

func TestWhoMayLookAndChange(t *testing.T) {
	t.Parallel()
	const token = "tok-5f3a"
	with, without := NewAdmin(secret.New(token)), NewAdmin(secret.Text{})
	const local, remote = "127.0.0.1:5000", "192.0.2.7:5000"
	for _, tt := range []struct {
		name        string
		admin       Admin
		request     *http.Request
		read, write Permit
	}{
		{"this machine, no token configured", without, from(local), Granted, Granted},
		{"this machine over IPv6", without, from("[::1]:5000"), Granted, Granted},
		{"this machine over a mapped address", without, from("[::ffff:127.0.0.1]:5000"), Granted, Granted},
		{"elsewhere, no token configured", without, from(remote), Remote, Remote},
		{"elsewhere, with an invented token", without, from(remote, "Authorization: Bearer x"), Remote, Remote},
		{"elsewhere, with the empty token", without, from(remote, "Authorization: Bearer "), Remote, Remote},
		{"passed on by a reverse proxy", without, from(local, "X-Forwarded-For: 203.0.113.5"), Remote, Remote},
		{"passed on, as RFC 7239 says it", without, from(local, "Forwarded: for=203.0.113.5"), Remote, Remote},
		{"passed on, as nginx says it", without, from(local, "X-Real-IP: 203.0.113.5"), Remote, Remote},
		{"elsewhere, claiming to be passed on from here", without, from(remote, "X-Forwarded-For: 127.0.0.1"), Remote, Remote},
		{"a peer without an address", without, from("@"), Remote, Remote},

		{"our own page", without, from(local, "Origin: http://example.com"), Granted, Granted},
		{"a listed page in a browser of this machine", without, from(local, "Origin: https://chat.example"), Granted, Remote},
		{"a listed page without the token", with, from(local, "Origin: https://chat.example"), Granted, TokenLess},
		{"a listed page with the token", with, from(local, "Origin: https://chat.example", "Authorization: Bearer "+token), Granted, Granted},

		{"this machine without the token", with, from(local), Granted, TokenLess},
		{"this machine with the token", with, from(local, "Authorization: Bearer "+token), Granted, Granted},
		{"this machine with another token", with, from(local, "Authorization: Bearer "+token+"x"), Granted, TokenLess},
		{"this machine with the beginning of it", with, from(local, "Authorization: Bearer "+token[:4]), Granted, TokenLess},
		{"another scheme", with, from(local, "Authorization: Basic "+token), Granted, TokenLess},
		{"elsewhere without the token", with, from(remote), TokenLess, TokenLess},
		{"elsewhere with the token", with, from(remote, "Authorization: bearer  "+token), Granted, Granted},
		{"the zero value, this machine", Admin{}, from(local), Granted, Granted},
		{"the zero value, elsewhere", Admin{}, from(remote, "Authorization: Bearer "), Remote, Remote},
	} {
		if read, write := tt.admin.MayRead(tt.request), tt.admin.MayWrite(tt.request); read != tt.read || write != tt.write {
			t.Errorf("%s: MayRead, MayWrite = %d, %d; want %d, %d", tt.name, read, write, tt.read, tt.write)
		}
	}
}

func TestAUnixSocketIsThisMachine(t *testing.T) {
	t.Parallel()
	r := from("@")
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.UnixAddr{Name: "/run/x", Net: "unix"}))
	if !IsLocal(r) {
		t.Error("IsLocal() of a request over a Unix socket = false; want true")
	}
	if r.Header.Set("X-Forwarded-For", "203.0.113.5"); IsLocal(r) {
		t.Error("IsLocal() of one that was passed on = true; want false")
	}
}

// FuzzMayWrite: nobody changes anything but with the whole token, whatever the header looks like.
func FuzzMayWrite(f *testing.F) {
	const token = "tok-5f3a"
	for _, seed := range []string{"", "Bearer", "Bearer " + token, "bearer  " + token + " ", "Basic " + token, token, "Bearer " + token + "x", "Bearer \x00"} {
		f.Add(seed)
	}
	admin := NewAdmin(secret.New(token))
	f.Fuzz(func(t *testing.T, authorization string) {
		r := from("127.0.0.1:5000")
		r.Header["Authorization"] = []string{authorization}
		shown := len(authorization) > 7 && strings.EqualFold(authorization[:7], "bearer ") && strings.TrimSpace(authorization[7:]) == token
		if got := admin.MayWrite(r) == Granted; got != shown {
			t.Errorf("MayWrite with Authorization %q = %v; want %v", authorization, got, shown)
		}
	})
}
