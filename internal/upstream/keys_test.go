package upstream

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/secret"

	"github.com/google/go-cmp/cmp"
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

func TestADeadKeyIsTriedByOneRequestAfterAGrowingTime(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"key-number-a": dead}
	bubble(t, Provider{Accounts: twoKeys()}, byKey(answers), func(r *rig) {
		use := func(want string, class hint.Class) {
			t.Helper()
			a := r.post()
			defer a.Close()
			if a.KeyAlias != want || a.Outcome.Class != class {
				t.Errorf("key %s, class %v; want %s, %v", a.KeyAlias, a.Outcome.Class, want, class)
			}
		}
		use("a", hint.KeyDead)
		for _, out := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 16 * time.Minute, 32 * time.Minute, time.Hour, time.Hour} {
			time.Sleep(out - 1)
			use("b", hint.OK)
			time.Sleep(1 * time.Nanosecond)
			use("a", hint.KeyDead) // one request asks again
			use("b", hint.OK)
		}
		delete(answers, "key-number-a")
		time.Sleep(time.Hour)
		use("a", hint.OK)
		use("b", hint.OK)
		use("a", hint.OK)
		answers["key-number-a"] = dead
		use("b", hint.OK)
		use("a", hint.KeyDead)
		use("b", hint.OK)
		time.Sleep(time.Minute) // what was mended begins anew
		use("a", hint.KeyDead)
	})
}

func TestRefusalsOfOneMomentAreOneBench(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, err := newAccount(twoKeys()[0])
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(3 * time.Second)
		benches := 0
		for range 20 { // all were under way when the first was refused
			if out, _ := a.note(time.Now(), ruling{began: began, class: hint.KeyDead}); out > 0 {
				benches++
			}
			time.Sleep(10 * time.Millisecond)
		}
		if keys := a.view(); benches != 1 || keys[0].Until.Sub(keys[0].Since) != time.Minute {
			t.Errorf("%d benches, out from %s to %s; want 1, for a minute", benches, keys[0].Since, keys[0].Until)
		}
	})
}

func TestLanesLeaveOutWhatTheProviderHasRefused(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"secret-of-one": dead, "secret-of-two": noCredits, "secret-of-three": notForThis}
	bubble(t, Provider{Accounts: accounts("one", "two", "three")}, byKey(answers), func(r *rig) {
		lanes := func(model string) string {
			var names []string
			for _, lane := range r.Lanes(Target{"up", model}, 0, nil) {
				names = append(names, lane.Account)
			}
			slices.Sort(names) // they take turns to be the first
			return strings.Join(names, " ")
		}
		steps := []struct{ account, before, other string }{ // lanes of the model, and of another one, before each attempt
			{"one", "one three two", "one three two"},
			{"two", "three two", "three two"},
			{"three", "three", "three"},
			{"", "one three two", "three"}, // none is left: all are
		}
		for i, step := range steps {
			if m, other := lanes("m"), lanes("other"); m != step.before || other != step.other {
				t.Errorf("step %d: lanes = %q and %q; want %q and %q", i, m, other, step.before, step.other)
			}
			if step.account == "" {
				break
			}
			lane := limit.Scope{Provider: "up", Account: step.account, Model: "m"}
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
		if got := lanes("m"); got != "one three two" {
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
		time.Sleep(benching.first)
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
			lane := r.Lanes(Target{"up", "m"}, 0, request.Header)[0]
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
	name := func(h http.Header) string { return table.Lanes(Target{Provider: "up"}, 0, h)[0].Account }
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
	if again := name(http.Header{"Authorization": {"Bearer alice"}}); again != alice {
		t.Errorf("account of the first client, after others = %s; want %s", again, alice)
	}
	if lane := table.Lanes(Target{Provider: "up"}, 0, nil)[0]; lane.Model != limit.NoModel {
		t.Errorf("model of a request without one = %q; want %q", lane.Model, limit.NoModel)
	}
	if lanes := table.Lanes(Target{"nobody", "m"}, 0, nil); lanes != nil || table.Usable(limit.Scope{Provider: "nobody"}) {
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
			a.note(time.Now(), ruling{model: fmt.Sprint(i), class: hint.NotEntitled})
		}
		if got := len(a.barred); got > maxBarred {
			t.Errorf("%d models are remembered; want at most %d", got, maxBarred)
		}
	})
}

func TestARightToAModelIsTheKeysOwn(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"key-number-a": notForThis}
	bubble(t, Provider{Accounts: twoKeys()}, byKey(answers), func(r *rig) {
		lane := limit.Scope{Provider: "up", Account: "one", Model: "m"}
		use := func(model, want string) {
			t.Helper()
			lane.Model = model
			a := r.Attempt(r.t.Context(), lane, &Request{Method: "POST", Path: "/x"})
			a.Close()
			if a.KeyAlias != want {
				t.Errorf("key for %s = %s; want %s", model, a.KeyAlias, want)
			}
		}
		use("m", "a") // not entitled
		if !r.Usable(lane) {
			t.Errorf("the account cannot be used for the model; want its other key")
		}
		use("m", "b")
		use("m", "b")
		delete(answers, "key-number-a")
		use("other", "a")
		use("m", "b")
		if keys := r.View()[0].Keys; len(keys[0].Barred) != 1 || keys[0].Barred[0].Model != "m" || len(keys[1].Barred) != 0 || !keys[0].Since.IsZero() {
			t.Errorf("keys = %+v; want m barred for the first only", keys)
		}
		time.Sleep(time.Minute)
		use("m", "a")
		if keys := r.View()[0].Keys; len(keys[0].Barred) != 0 {
			t.Errorf("barred after a success = %+v; want nothing", keys[0].Barred)
		}
	})
}

func TestTheViewTellsWhyAKeyIsOutAndNeverItsValue(t *testing.T) {
	t.Parallel()
	answers := map[string]string{"secret-of-one": dead, "secret-of-two": noCredits}
	bubble(t, Provider{Accounts: accounts("one", "two", "three")}, byKey(answers), func(r *rig) {
		start := time.Now()
		for _, name := range []string{"one", "two", "three"} {
			r.Attempt(r.t.Context(), limit.Scope{Provider: "up", Account: name, Model: "m"}, &Request{Method: "POST", Path: "/x"}).Close()
		}
		out := func(reason string) Out { return Out{Reason: reason, Since: start, Until: start.Add(time.Minute)} }
		want := []ProviderView{{Name: "up", Keys: []KeyView{
			{Account: "one", Alias: "one-key", Out: out("key_dead")},
			{Account: "two", Alias: "two-key", Out: out("credits")},
			{Account: "three", Alias: "three-key"},
		}}}
		if diff := cmp.Diff(want, r.View()); diff != "" {
			t.Errorf("View() (-want +got):\n%s", diff)
		}
	})
}
