package upstream

import (
	"io"
	"net"
	"net/http"
	"testing"

	"nimsidecar/internal/wire"
)

func TestAProviderSpeaksWhatItsSettingsSay(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		speaks            []wire.Dialect
		openAI, anthropic bool
	}{
		{nil, true, false},
		{[]wire.Dialect{wire.OpenAI}, true, false},
		{[]wire.Dialect{wire.Anthropic}, false, true},
		{[]wire.Dialect{wire.Anthropic, wire.OpenAI}, true, true},
	} {
		table := newTable(t, Provider{URL: parseURL(t, "https://up.test"), Speaks: tt.speaks}, nil)
		if o, a := table.Speaks("up", wire.OpenAI), table.Speaks("up", wire.Anthropic); o != tt.openAI || a != tt.anthropic {
			t.Errorf("with %v it speaks OpenAI's %t, Anthropic's %t; want %t, %t", tt.speaks, o, a, tt.openAI, tt.anthropic)
		}
		if table.Speaks("nobody", wire.OpenAI) {
			t.Error("an unknown provider speaks")
		}
	}
}

func TestWhatCostsNoQuota(t *testing.T) {
	t.Parallel()
	openAI := newTable(t, Provider{URL: parseURL(t, "https://up.test")}, nil)
	anthropic := newTable(t, Provider{URL: parseURL(t, "https://up.test"), Speaks: []wire.Dialect{wire.Anthropic}}, nil)
	for _, tt := range []struct {
		method, path      string
		openAI, anthropic bool
	}{
		{"GET", "/models", true, true},
		{"HEAD", "/models/meta/llama", true, true},
		{"GET", "/modelsx", false, false},
		{"GET", "/files", false, false},
		{"POST", "/models", false, false},
		{"OPTIONS", "/chat/completions", true, true},
		{"POST", "/chat/completions", false, false},
		{"POST", "/messages", false, false},
		{"POST", "/messages/count_tokens", false, true}, // elsewhere it is translated, or counted here
	} {
		if o, a := openAI.Free("up", tt.method, tt.path), anthropic.Free("up", tt.method, tt.path); o != tt.openAI || a != tt.anthropic {
			t.Errorf("Free(%s %s) = %t, and at Anthropic %t; want %t, %t", tt.method, tt.path, o, a, tt.openAI, tt.anthropic)
		}
	}
}

func TestAKeyGoesWhereTheProviderLooksForIt(t *testing.T) {
	t.Parallel()
	var seen http.Header
	handle := each(func(c net.Conn, r *http.Request, _ string) bool {
		seen = r.Header
		_, err := io.WriteString(c, ok)
		return err == nil
	})
	for _, tt := range []struct {
		apiKey                 bool
		path, version          string
		bearer, bare, versions string
	}{
		{false, "/messages", "", "Bearer secret-of-one", "", ""},
		{false, "/chat/completions", "", "Bearer secret-of-one", "", ""},
		{true, "/messages", "", "", "secret-of-one", "2023-06-01"},
		{true, "/messages", "2030-01-01", "", "secret-of-one", "2030-01-01"},
		{true, "/models", "", "", "secret-of-one", "2023-06-01"},
		{true, "/chat/completions", "", "Bearer secret-of-one", "", ""},
	} {
		bubble(t, Provider{Accounts: accounts("one"), APIKey: tt.apiKey}, handle, func(r *rig) {
			client := http.Header{"Authorization": {"Bearer theirs"}, "X-Api-Key": {"theirs"}}
			if tt.version != "" {
				client["Anthropic-Version"] = []string{tt.version}
			}
			r.attemptFirst(r.t.Context(), &Request{Method: "POST", Path: tt.path, Header: client}).Close()
			if a, b, v := seen.Get("Authorization"), seen.Get("X-Api-Key"), seen.Get("Anthropic-Version"); a != tt.bearer || b != tt.bare || v != tt.versions {
				t.Errorf("X-Api-Key %t, %s: Authorization %q, X-Api-Key %q, version %q; want %q, %q, %q", tt.apiKey, tt.path, a, b, v, tt.bearer, tt.bare, tt.versions)
			}
		})
	}
	bubble(t, Provider{APIKey: true}, handle, func(r *rig) { // without a key of ours the client's own goes up as it came
		r.attemptFirst(r.t.Context(), &Request{Method: "POST", Path: "/messages", Header: http.Header{"Authorization": {"Bearer oauth"}}}).Close()
		if seen.Get("Authorization") != "Bearer oauth" || seen.Get("X-Api-Key") != "" {
			t.Errorf("the client's credential became %v", seen)
		}
	})
}
