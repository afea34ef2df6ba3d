package upstream

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/secret"
)

// byKey answers each request by the key it came with; without an entry with 200.
func byKey(answers map[string]string) func(net.Conn) {
	return each(func(c net.Conn, r *http.Request, _ string) bool {
		text := answers[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
		if text == "" {
			text = ok
		}
		_, err := io.WriteString(c, text)
		return err == nil
	})
}

const (
	dead       = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"
	noCredits  = "HTTP/1.1 402 Payment Required\r\nContent-Length: 0\r\n\r\n"
	notForThis = "HTTP/1.1 404 Not Found\r\nContent-Type: application/problem+json\r\nContent-Length: 36\r\n\r\n" +
		`{"detail":"Not found for account 1"}`
)

func twoKeys() []Account {
	return []Account{{Name: "one", Keys: []Key{
		{Alias: "a", Secret: secret.New("key-number-a")}, {Alias: "b", Secret: secret.New("key-number-b")},
	}}}
}

func TestKeysOfAnAccountTakeTurns(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{Accounts: twoKeys()}, byKey(nil), func(r *rig) {
		var used []string
		for range 4 {
			a := r.post()
			used = append(used, a.KeyAlias)
			a.Close()
		}
		if got := fmt.Sprint(used); got != "[a b a b]" {
			t.Errorf("keys used = %s; want [a b a b]", got)
		}
	})
}

func TestADeadKeyIsBenchedAndTriedAgainLater(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"key-number-a": dead}
	bubble(t, Provider{Accounts: twoKeys()}, byKey(answers), func(r *rig) {
		use := func(want string, class hint.Class) {
			a := r.post()
			defer a.Close()
			if a.KeyAlias != want || a.Outcome.Class != class {
				t.Errorf("key %s, class %v; want %s, %v", a.KeyAlias, a.Outcome.Class, want, class)
			}
		}
		use("a", hint.KeyDead)
		for range 3 {
			use("b", hint.OK)
		}
		time.Sleep(benchTime)
		use("a", hint.KeyDead) // one request asks again
		use("b", hint.OK)
		use("b", hint.OK)
		delete(answers, "key-number-a")
		time.Sleep(benchTime)
		use("a", hint.OK)
		use("b", hint.OK)
		use("a", hint.OK)
	})
}

func TestLanesLeaveOutWhatTheProviderHasRefused(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"secret-of-one": dead, "secret-of-two": noCredits, "secret-of-three": notForThis}
	bubble(t, Provider{Accounts: accounts("one", "two", "three")}, byKey(answers), func(r *rig) {
		lanes := func(model string) string {
			var names []string
			for _, lane := range r.Lanes("up", model, nil) {
				names = append(names, lane.Account)
			}
			return strings.Join(names, " ")
		}
		steps := []struct{ before, other string }{ // lanes of the model, and of another one, before each attempt
			{"one two three", "one two three"},
			{"two three", "two three"},
			{"three", "three"},
			{"one two three", "three"}, // none is left: all are
		}
		for i, step := range steps {
			if m, other := lanes("m"), lanes("other"); m != step.before || other != step.other {
				t.Errorf("step %d: lanes = %q and %q; want %q and %q", i, m, other, step.before, step.other)
			}
			lane := r.Lanes("up", "m", nil)[0]
			if i == len(steps)-1 {
				break
			}
			if !r.Usable(lane) {
				t.Errorf("step %d: %v is not usable before its refusal", i, lane)
			}
			a := r.Attempt(r.t.Context(), lane, &Request{Method: "POST", Path: "/x"})
			a.Close()
			if r.Usable(lane) {
				t.Errorf("step %d: %v is usable after %v", i, lane, a.Outcome.Class)
			}
		}
		if err := r.Ping(r.t.Context()); err != nil {
			t.Errorf("Ping = %v; want none: a model that is not for an account is no fault of its key", err)
		}
		clear(answers)
		for _, name := range []string{"one", "two", "three"} { // a success takes it back at once
			r.Attempt(r.t.Context(), limit.Scope{Provider: "up", Account: name, Model: "m"}, &Request{Method: "POST", Path: "/x"}).Close()
		}
		if got := lanes("m"); got != "one two three" {
			t.Errorf("lanes after successes = %q; want all", got)
		}
	})
}

func TestPingFailsWhenEveryKeyIsBenched(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{Accounts: accounts("one")}, byKey(map[string]string{"secret-of-one": dead}), func(r *rig) {
		r.post().Close()
		if err := r.Ping(r.t.Context()); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Ping = %v; want an error without the key", err)
		}
		time.Sleep(benchTime)
		if err := r.Ping(r.t.Context()); err != nil {
			t.Errorf("Ping after the bench = %v; want none", err)
		}
	})
}

func TestAClientsOwnCredentialIsNeverBenched(t *testing.T) {
	t.Parallel()
	bubble(t, Provider{}, byKey(map[string]string{"client-key": dead}), func(r *rig) {
		for range 3 {
			request := &Request{Method: "POST", Path: "/x", Header: http.Header{"Authorization": {"Bearer client-key"}}}
			lane := r.Lanes("up", "m", request.Header)[0]
			a := r.Attempt(r.t.Context(), lane, request)
			a.Close()
			if a.Outcome.Class != hint.KeyDead || a.KeyAlias != "" || !r.Usable(lane) {
				t.Errorf("class %v, alias %q, usable %t; want key_dead, none, true", a.Outcome.Class, a.KeyAlias, r.Usable(lane))
			}
		}
		if err := r.Ping(r.t.Context()); err != nil {
			t.Errorf("Ping = %v; want none", err)
		}
	})
}

func TestAClientsCredentialIsAnAccountOfItsOwn(t *testing.T) {
	t.Parallel()
	table := newTable(t, Provider{URL: parseURL(t, "https://up.test")}, nil)
	name := func(h http.Header) string { return table.Lanes("up", "", h)[0].Account }
	alice := name(http.Header{"Authorization": {"Bearer alice"}})
	for _, h := range []http.Header{{"Authorization": {"bearer  alice"}}, {"X-Api-Key": {"alice"}}, {"Api-Key": {"alice"}}} {
		if got := name(h); got != alice {
			t.Errorf("account of %v = %s; want %s", h, got, alice)
		}
	}
	bob, nobody := name(http.Header{"X-Api-Key": {"bob"}}), name(nil)
	if alice == bob || bob == nobody || strings.Contains(alice, "alice") || nobody != "client-none" {
		t.Errorf("accounts = %s, %s, %s; want three, none naming its key", alice, bob, nobody)
	}
	if lane := table.Lanes("up", "", nil)[0]; lane.Model != limit.NoModel {
		t.Errorf("model of a request without one = %q; want %q", lane.Model, limit.NoModel)
	}
	if lanes := table.Lanes("nobody", "m", nil); lanes != nil || table.Usable(limit.Scope{Provider: "nobody"}) {
		t.Errorf("an unknown provider has lanes %v", lanes)
	}
}

func TestABenchedKeyIsLoggedOnceByItsAlias(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	bubble(t, Provider{Accounts: accounts("one")}, byKey(map[string]string{"secret-of-one": dead}), func(r *rig) {
		r.logger = slog.New(slog.NewTextHandler(&log, nil))
		for range 3 {
			r.post().Close()
		}
		lines := strings.Count(log.String(), "\n")
		if lines != 1 || !strings.Contains(log.String(), "key=one-key reason=key_dead") || strings.Contains(log.String(), "secret") {
			t.Errorf("log = %q; want one line that names the alias", log.String())
		}
	})
}

func TestTheModelsThatAnAccountRemembersAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, err := newAccount(accounts("one")[0])
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 * maxBarred {
			a.note(time.Now(), 0, fmt.Sprint(i), hint.NotEntitled)
		}
		if got := len(a.barred); got > maxBarred {
			t.Errorf("%d models are remembered; want at most %d", got, maxBarred)
		}
	})
}
