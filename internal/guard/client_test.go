package guard

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"nimsidecar/internal/priority"
	"nimsidecar/internal/secret"
	"nimsidecar/internal/wire"
)

// Two keys of unlike length, both too odd to occur by chance.
const aliceKey, bobKey = "ns-alice-6f1d0c52a7", "ns-bob-93be"

func household() *Guard {
	low := priority.Low
	return New(Options{Clients: []Client{
		{Name: "alice", Key: secret.New(aliceKey)},
		{Name: "bob", Key: secret.New(bobKey), Class: &low, Highest: &low},
		{Name: "keyless"},
	}})
}

func TestIdentify(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		header http.Header
		want   string // the client; empty = unauthorized
	}{
		{"bearer", http.Header{"Authorization": {"Bearer " + aliceKey}}, "alice"},
		{"bearer in another letter case", http.Header{"Authorization": {"bEARER " + bobKey}}, "bob"},
		{"bearer with blanks", http.Header{"Authorization": {"Bearer   " + bobKey + " "}}, "bob"},
		{"x-api-key", http.Header{"X-Api-Key": {bobKey}}, "bob"},
		{"both", http.Header{"Authorization": {"Bearer " + aliceKey}, "X-Api-Key": {bobKey}}, "alice"},
		{"another scheme beside x-api-key", http.Header{"Authorization": {"Basic eDp5"}, "X-Api-Key": {bobKey}}, "bob"},
		{"an empty bearer beside x-api-key", http.Header{"Authorization": {"Bearer "}, "X-Api-Key": {bobKey}}, "bob"},

		{"nothing", http.Header{}, ""},
		{"a foreign key", http.Header{"Authorization": {"Bearer nvapi-x"}}, ""},
		{"a foreign key beside a good one", http.Header{"Authorization": {"Bearer nvapi-x"}, "X-Api-Key": {bobKey}}, ""},
		{"the beginning of a key", http.Header{"Authorization": {"Bearer " + aliceKey[:len(aliceKey)-1]}}, ""},
		{"a key and more", http.Header{"Authorization": {"Bearer " + aliceKey + "0"}}, ""},
		{"a key in another letter case", http.Header{"Authorization": {"Bearer " + strings.ToUpper(aliceKey)}}, ""},
		{"a key without its scheme", http.Header{"Authorization": {aliceKey}}, ""},
		{"a key of a foreign scheme", http.Header{"Authorization": {"Basic " + aliceKey}}, ""},
		{"the empty key", http.Header{"Authorization": {"Bearer "}, "X-Api-Key": {""}}, ""},
		{"a good key given second", http.Header{"X-Api-Key": {"x", bobKey}}, ""},
		{"a very long key", http.Header{"X-Api-Key": {strings.Repeat("x", 60_000)}}, ""},
		{"a key that looks like a query", http.Header{"X-Api-Key": {"' OR 1=1 --"}}, ""},
	} {
		client, refusal := household().Identify(tt.header)
		if client.Name != tt.want || (refusal == nil) != (tt.want != "") {
			t.Errorf("%s: Identify = %q, %v; want %q", tt.name, client.Name, refusal, tt.want)
		}
		if refusal != nil && refusal.Reason != wire.Unauthorized {
			t.Errorf("%s: the reason is %q; want %q", tt.name, refusal.Reason, wire.Unauthorized)
		}
	}
}

func TestAClientBringsItsClasses(t *testing.T) {
	t.Parallel()
	client, _ := household().Identify(http.Header{"X-Api-Key": {bobKey}})
	if client.Class == nil || *client.Class != priority.Low || client.Highest == nil || *client.Highest != priority.Low {
		t.Errorf("Identify = %+v; want bob with LOW and at most LOW", client)
	}
}

func TestAKeyThatWasRecognisedIsTakenOut(t *testing.T) {
	t.Parallel()
	own := "sk-ant-her-own"
	for _, tt := range []struct {
		name   string
		header http.Header
		left   string // of the headers that hold credentials
	}{
		{"a bearer", http.Header{"Authorization": {"Bearer " + aliceKey}}, ""},
		{"x-api-key", http.Header{"X-Api-Key": {bobKey}}, ""},
		{"a bearer beside the provider's key", http.Header{"Authorization": {"Bearer " + aliceKey}, "X-Api-Key": {own}}, own},
		{"x-api-key beside another scheme", http.Header{"Authorization": {"Basic eDp5"}, "X-Api-Key": {bobKey}}, "Basic eDp5"},
		{"a foreign key", http.Header{"Authorization": {"Bearer " + own}}, "Bearer " + own},
	} {
		_, _ = household().Identify(tt.header)
		if got := tt.header.Get("Authorization") + tt.header.Get("X-Api-Key"); got != tt.left {
			t.Errorf("%s: Identify leaves %q; want %q", tt.name, got, tt.left)
		}
	}
}

func TestWithoutClientsEverybodyIsNobody(t *testing.T) {
	t.Parallel()
	for _, h := range []http.Header{{}, {"Authorization": {"Bearer nvapi-x"}}} {
		if client, refusal := New(Options{}).Identify(h); refusal != nil || client != (Client{}) {
			t.Errorf("Identify(%v) = %+v, %v; want the zero client", h, client, refusal)
		}
	}
}

func TestAClientWithoutAKeyDoesNotOpenTheDoor(t *testing.T) {
	t.Parallel()
	g := New(Options{Clients: []Client{{Name: "keyless"}}})
	for _, h := range []http.Header{{}, {"X-Api-Key": {""}}, {"Authorization": {"Bearer"}}, {"X-Api-Key": {"x"}}} {
		if client, refusal := g.Identify(h); refusal == nil {
			t.Errorf("Identify(%v) = %q; want unauthorized", h, client.Name)
		}
	}
}

// A stranger's key may be the provider's, sent to us by mistake.
func TestARefusalDoesNotRepeatTheKey(t *testing.T) {
	t.Parallel()
	_, refusal := household().Identify(http.Header{"X-Api-Key": {"nvapi-very-secret"}})
	if text := fmt.Sprintf("%+v", refusal); strings.Contains(text, "very-secret") || strings.Contains(text, aliceKey) {
		t.Errorf("the refusal repeats a key: %s", text)
	}
}

// FuzzIdentify: nobody gets in but with a whole key in one of the two headers.
func FuzzIdentify(f *testing.F) {
	f.Add("Bearer "+aliceKey, "")
	f.Add("", bobKey)
	f.Add("Bearer\t"+aliceKey, " ")
	f.Add("Bearer  ", "\x00")
	g := household()
	f.Fuzz(func(t *testing.T, authorization, apiKey string) {
		client, refusal := g.Identify(http.Header{"Authorization": {authorization}, "X-Api-Key": {apiKey}})
		if refusal != nil {
			return
		}
		key := map[string]string{"alice": aliceKey, "bob": bobKey}[client.Name]
		bearer := len(authorization) > 7 && strings.EqualFold(authorization[:7], "bearer ") && strings.TrimSpace(authorization[7:]) == key
		if key == "" || !bearer && strings.TrimSpace(apiKey) != key {
			t.Errorf("%q and %q let in %q", authorization, apiKey, client.Name)
		}
	})
}

// BenchmarkIdentify: budget 400 ns and no allocation with ten clients, most of it the digest.
func BenchmarkIdentify(b *testing.B) {
	var clients []Client
	for i := range 10 {
		clients = append(clients, Client{Name: fmt.Sprint(i), Key: secret.New(strings.Repeat("k", 40) + fmt.Sprint(i))})
	}
	g, h := New(Options{Clients: clients}), http.Header{}
	key := []string{"Bearer " + strings.Repeat("k", 40) + "9"}
	b.ReportAllocs()
	for b.Loop() {
		h["Authorization"] = key // a recognised key is taken out
		if _, refusal := g.Identify(h); refusal != nil {
			b.Fatal(refusal)
		}
	}
}
