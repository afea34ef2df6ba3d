package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/memnet"

	"github.com/google/go-cmp/cmp"
)

// shelf is an upstream's list of models. It is safe for concurrent use.
type shelf struct {
	mu    sync.Mutex
	list  string        // the answer's body; "" = a 500
	delay time.Duration // before the answer
	asked atomic.Int64
}

func (s *shelf) set(list string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = list
}

// handle answers GET /v1/models.
func (s *shelf) handle(c net.Conn) {
	each(func(c net.Conn, r *http.Request, _ string) bool {
		s.asked.Add(1)
		s.mu.Lock()
		list, delay := s.list, s.delay
		s.mu.Unlock()
		time.Sleep(delay)
		status := "200 OK"
		if list == "" || r.URL.Path != "/v1/models" {
			status = "500 Internal Server Error"
		}
		_, err := fmt.Fprintf(c, "HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s", status, len(list), list)
		return err == nil
	})(c)
}

// listOf is a list of models as OpenAI writes it, with a field of its own in each entry.
func listOf(ids ...string) string {
	var entries []string
	for _, id := range ids {
		entries = append(entries, fmt.Sprintf(`{"id":%q, "object":"model","created":1,"owned_by":"x","extra":[1.0]}`, id))
	}
	return `{"object":"list","data":[` + strings.Join(entries, ",") + `]}`
}

// shelves runs test before the providers one, two and so on.
func shelves(t *testing.T, routes []Route, test func(t *testing.T, table *Table, all []*shelf)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		network, o, all := new(memnet.Network), Options{Routes: routes, Logger: slog.New(slog.DiscardHandler)}, []*shelf(nil)
		for _, name := range []string{"one", "two", "three"} {
			l, err := network.Listen(name + ".test:80")
			if err != nil {
				t.Fatal(err)
			}
			s := new(shelf)
			defer serve(l, s.handle)()
			all = append(all, s)
			o.Providers = append(o.Providers, Provider{Name: name, URL: parseURL(t, "http://"+name+".test"), Accounts: accounts("of-" + name)})
		}
		o.DialContext = network.DialContext
		table, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		test(t, table, all)
		table.Close()
	})
}

// ids are those of a merged list.
func ids(t *testing.T, body []byte, err error) string {
	t.Helper()
	var answer struct {
		Object string
		Data   []struct{ ID, Object string }
	}
	if err != nil || json.Unmarshal(body, &answer) != nil || answer.Object != "list" {
		t.Errorf("Models = %s, %v; want a list", body, err)
	}
	var all []string
	for _, m := range answer.Data {
		if m.Object != "model" {
			t.Errorf("%s is a %q; want a model", m.ID, m.Object)
		}
		all = append(all, m.ID)
	}
	return strings.Join(all, " ")
}

func TestModelsMergesWhatAllProvidersListAndEachIDLeadsBack(t *testing.T) {
	t.Parallel()
	routes := []Route{{Alias: "fast", Targets: []Target{{"two", "b"}}}, {Alias: "x/*", Targets: []Target{{"two", "*"}}}}
	shelves(t, routes, func(t *testing.T, table *Table, all []*shelf) {
		if got := table.Choose("", "b").Targets[0]; got != (Target{"one", "b"}) {
			t.Errorf("before anything is listed b goes to %v; want the default provider", got)
		}
		all[0].set(listOf("a", "two/a", "fast"))
		all[1].set(listOf("a", "b", "c"))
		all[2].set(listOf("c", "a", "a"))
		body, err := table.Models(t.Context())
		if got, want := ids(t, body, err), "fast a two/a one/fast b c three/c three/a"; got != want {
			t.Errorf("ids = %s; want %s", got, want)
		}
		if entry := `{"id":"b","object":"model","created":1,"owned_by":"x","extra":[1.0]}`; !strings.Contains(string(body), entry) {
			t.Errorf("list = %s; want the entry of b in it as it came", body)
		}
		for name, want := range map[string]Target{
			"a": {"one", "a"}, "two/a": {"one", "two/a"}, "one/fast": {"one", "fast"}, "b": {"two", "b"}, "c": {"two", "c"},
			"three/c": {"three", "c"}, "three/a": {"three", "a"}, "unheard-of": {"one", "unheard-of"}, "fast": {"two", "b"},
		} {
			if got := table.Choose("", name).Targets; len(got) != 1 || got[0] != want {
				t.Errorf("Choose(%q) = %v; want %v", name, got, want)
			}
		}
		if got := table.Choose("one", "b").Targets[0]; got != (Target{"one", "b"}) {
			t.Errorf("with a provider in the path b goes to %v; want that provider", got)
		}
	})
}

func TestAListIsAskedForOnceAMinuteWhoeverAsks(t *testing.T) {
	t.Parallel()
	shelves(t, nil, func(t *testing.T, table *Table, all []*shelf) {
		for i, s := range all {
			s.delay = time.Duration(i+1) * time.Second
			s.set(listOf(fmt.Sprint("m", i)))
		}
		start := time.Now()
		left, leave := context.WithCancel(t.Context())
		leave()
		var group sync.WaitGroup
		for i := range 100 {
			group.Go(func() {
				ctx := t.Context()
				if i%10 == 0 {
					ctx = left // those who leave spoil nothing for the others
				}
				body, err := table.Models(ctx)
				if ctx == left && err != nil {
					return
				}
				if got := ids(t, body, err); got != "m0 m1 m2" || time.Since(start) != 3*time.Second {
					t.Errorf("ids = %s after %s; want all, after 3s: providers are asked at once", got, time.Since(start))
				}
			})
		}
		group.Wait()
		time.Sleep(listTTL - time.Second)
		_, _ = table.Models(t.Context())
		for i, s := range all {
			if n := s.asked.Load(); n != 1 {
				t.Errorf("provider %d was asked %d times; want 1", i, n)
			}
		}
		time.Sleep(time.Second)
		_, _ = table.Models(t.Context())
		if n := all[0].asked.Load(); n != 2 {
			t.Errorf("after a minute it was asked %d times; want 2", n)
		}
	})
}

func TestAProviderThatFailsIsStoodInForByItsLastListAndThenLeftOut(t *testing.T) {
	t.Parallel()
	shelves(t, nil, func(t *testing.T, table *Table, all []*shelf) {
		_, err := table.Models(t.Context())
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("Models = %v while nobody answers; want an error without a key", err)
		}
		all[1].set(listOf("b"))
		time.Sleep(failureTTL)
		body, err := table.Models(t.Context())
		if got := ids(t, body, err); got != "b" {
			t.Errorf("ids = %s; want those of the one that answers", got)
		}
		if got := table.Choose("", "b").Targets[0].Provider; got != "one" {
			t.Errorf("b goes to %s; want the default provider, whose list is not known", got)
		}
		for _, s := range all {
			s.set(listOf("a", "b"))
		}
		all[2].set("{}") // no list
		steps := []struct {
			after time.Duration
			want  string
		}{{listTTL, "a b two/a two/b"}, {listTTL, "a b two/a two/b"}, {listKept, "a b"}}
		for i, step := range steps {
			time.Sleep(step.after)
			body, err = table.Models(t.Context())
			if got := ids(t, body, err); got != step.want {
				t.Errorf("step %d: ids = %s; want %s", i, got, step.want)
			}
			all[1].set("")
		}
	})
}

func TestAProviderThatHangsHoldsNobodyUpForLong(t *testing.T) {
	t.Parallel()
	shelves(t, nil, func(t *testing.T, table *Table, all []*shelf) {
		for _, s := range all {
			s.set(listOf("m"))
		}
		all[0].delay = time.Hour
		start := time.Now()
		body, err := table.Models(t.Context())
		if got := ids(t, body, err); got != "m three/m" || time.Since(start) != listTimeout {
			t.Errorf("ids = %s after %s; want those of the others after %s", got, time.Since(start), listTimeout)
		}
		all[0].mu.Lock()
		all[0].delay = 0
		all[0].mu.Unlock()
		time.Sleep(time.Hour) // its connection ends
	})
}

func TestOneProviderWithoutRoutesIsForwardedAsItIs(t *testing.T) {
	t.Parallel()
	one := newTable(t, Provider{URL: parseURL(t, "https://up.test")}, nil)
	if one.Merges() || !twoProviders(t).Merges() {
		t.Errorf("Merges() = %t for one provider, %t for two; want false, true", one.Merges(), twoProviders(t).Merges())
	}
	routed, err := New(Options{
		Providers: []Provider{{Name: "up", URL: parseURL(t, "https://up.test")}},
		Routes:    []Route{{Alias: "a", Targets: []Target{{"up", "b"}}}},
	})
	if err != nil || !routed.Merges() {
		t.Errorf("Merges() = %t with a route, %v; want true", routed.Merges(), err)
	}
}

func TestAnEntryOfAnotherFormIsKept(t *testing.T) {
	t.Parallel()
	shelves(t, nil, func(t *testing.T, table *Table, all []*shelf) {
		// as Anthropic writes it
		all[0].set(`{"data":[{"type":"model","id":"claude","display_name":"C","created_at":"2026-01-01T00:00:00Z"},{"no":"id"},7],"has_more":false}`)
		all[1].set(listOf("claude"))
		all[2].set(`[]`)
		body, err := table.Models(t.Context())
		if got := ids(t, body, err); got != "claude two/claude" {
			t.Fatalf("ids = %s", got)
		}
		var answer struct{ Data []map[string]any }
		_ = json.Unmarshal(body, &answer)
		want := map[string]any{
			"id": "claude", "type": "model", "display_name": "C", "created_at": "2026-01-01T00:00:00Z",
			"object": "model", "created": 0.0, "owned_by": "one",
		}
		if diff := cmp.Diff(want, answer.Data[0]); diff != "" {
			t.Errorf("entry (-want +got):\n%s", diff)
		}
		if got := answer.Data[1]["extra"]; got == nil {
			t.Errorf("a renamed entry = %v; want its other members kept", answer.Data[1])
		}
	})
}

// FuzzList looks for an answer that makes Models panic or give no JSON.
func FuzzList(f *testing.F) {
	f.Add(listOf("a", "b"))
	f.Add(`{"data":[{"id":"a","object":null},{"id":""}]}`)
	f.Add(`{"data":null}`)
	f.Fuzz(func(t *testing.T, text string) {
		l, err := readList(strings.NewReader(text))
		if err != nil {
			return
		}
		table := twoProviders(t)
		table.catalogue.lists = map[string]list{"one": l, "two": l}
		body, err := table.mergedLocked()
		if err != nil || !json.Valid(body) {
			t.Errorf("the list of %q twice = %s, %v", text, body, err)
		}
	})
}
