package upstream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/hint"

	"github.com/google/go-cmp/cmp"
)

// twoProviders is a table of the providers one and two, one key each, with routes.
func twoProviders(t testing.TB, routes ...Route) *Table {
	t.Helper()
	table, err := New(Options{Routes: routes, Providers: []Provider{
		{Name: "one", URL: parseURL(t, "https://one.test"), Accounts: accounts("a")},
		{Name: "two", URL: parseURL(t, "https://two.test"), Accounts: accounts("b")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestARequestGoesAlongTheRouteOfItsModel(t *testing.T) {
	t.Parallel()
	table := twoProviders(
		t,
		Route{Alias: "fast", Targets: []Target{{"two", "small"}, {"one", "large"}}, FallbackAfter: time.Minute},
		Route{Alias: "two/*", Targets: []Target{{"two", "*"}}},
		Route{Alias: "gpt-*", Targets: []Target{{"two", ""}, {"one", "oss-*-mini"}}},
		Route{Alias: "*-mini", Targets: []Target{{"one", "fixed"}}},
		Route{Alias: "gpt-9", Targets: []Target{{"one", "nine"}}},
	)
	for _, tt := range []struct{ provider, model, want string }{
		{"", "fast", "two small, one large"},
		{"", "two/llama/8b", "two llama/8b"},
		{"", "gpt-4o-mini", "two gpt-4o-mini, one oss-4o-mini-mini"}, // the first pattern that fits
		{"", "gpt-", "two gpt-, one oss--mini"},
		{"", "gpt-9", "one nine"}, // exact before any pattern
		{"", "o3-mini", "one fixed"},
		{"", "Fast", "one Fast"},
		{"", "other", "one other"},
		{"", "", "one "},
		{"two", "fast", "two fast"}, // an alias holds on /v1/... only
		{"one", "gpt-9", "one gpt-9"},
	} {
		choice := table.Choose(tt.provider, tt.model)
		var got []string
		for _, to := range choice.Targets {
			got = append(got, to.Provider+" "+to.Model)
		}
		if text := strings.Join(got, ", "); text != tt.want || (choice.FallbackAfter == time.Minute) != (tt.want == "two small, one large") {
			t.Errorf("Choose(%q, %q) = %s after %s; want %s", tt.provider, tt.model, text, choice.FallbackAfter, tt.want)
		}
	}
}

func TestWhatIsDownComesLastAndIsNeverLeftOut(t *testing.T) {
	t.Parallel()
	route := Route{Alias: "fast", Targets: []Target{{"one", "m"}, {"two", "m"}}}
	one, two := []Target{{"one", "m"}, {"two", "m"}}, []Target{{"two", "m"}, {"one", "m"}}
	many := func(table *Table, provider string, o hint.Outcome) {
		for range 10 {
			table.providers[provider].breaker.note(time.Now(), time.Now(), "m", o)
		}
	}
	refuse := func(table *Table, provider string, class hint.Class) {
		table.providers[provider].accounts[0].note(time.Now(), ruling{began: time.Now(), model: "m", class: class})
	}
	for _, tt := range []struct {
		name string
		do   func(*Table)
		want []Target
	}{
		{"nothing", func(*Table) {}, one},
		{"the first cannot be reached", func(t *Table) { many(t, "one", broken(hint.FaultConnect)) }, two},
		{"its model is degraded", func(t *Table) { many(t, "one", answered(hint.Degraded)) }, two},
		{"its model is gone", func(t *Table) { many(t, "one", answered(hint.Gone)) }, two},
		{"its model is offline", func(t *Table) { many(t, "one", answered(hint.Offline)) }, two},
		{"its only key is dead", func(t *Table) { refuse(t, "one", hint.KeyDead) }, two},
		{"its account has no credits", func(t *Table) { refuse(t, "one", hint.Credits) }, two},
		{"its key may not use the model", func(t *Table) { refuse(t, "one", hint.NotEntitled) }, two},
		{"its quota is spent", func(t *Table) { many(t, "one", answered(hint.Quota)) }, one},
		{"the second cannot be reached", func(t *Table) { many(t, "two", broken(hint.FaultDNS)) }, one},
		{"both cannot be reached", func(t *Table) {
			many(t, "one", broken(hint.FaultConnect))
			many(t, "two", broken(hint.FaultConnect))
		}, one},
	} {
		table := twoProviders(t, route)
		tt.do(table)
		if diff := cmp.Diff(tt.want, table.Choose("", "fast").Targets); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if got := table.Choose("", "m").Targets; len(got) != 1 || got[0] != (Target{"one", "m"}) {
			t.Errorf("%s: without a route it goes to %v; want the default provider", tt.name, got)
		}
	}
}

func TestNewRefusesRoutesThatLeadNowhere(t *testing.T) {
	t.Parallel()
	to := []Target{{"up", "m"}}
	for _, tt := range []struct {
		name   string
		routes []Route
		says   string
	}{
		{"no alias", []Route{{Targets: to}}, "name"},
		{"two stars", []Route{{Alias: "a*b*", Targets: to}}, "one *"},
		{"no target", []Route{{Alias: "a"}}, "no target"},
		{"twice", []Route{{Alias: "a", Targets: to}, {Alias: "a", Targets: to}}, "taken"},
		{"nobody's", []Route{{Alias: "a", Targets: []Target{{"down", "m"}}}}, `no provider "down"`},
		{"a star from nowhere", []Route{{Alias: "a", Targets: []Target{{"up", "m*"}}}}, "alias has none"},
	} {
		_, err := New(Options{Providers: []Provider{{Name: "up", URL: parseURL(t, "https://up.test")}}, Routes: tt.routes})
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: New = %v; want an error that says %s", tt.name, err, tt.says)
		}
	}
}

// FuzzMatch compares match with what a pattern means: a name is the text before the *, what matched, and the text after it.
func FuzzMatch(f *testing.F) {
	f.Add("gpt-*", "gpt-4o")
	f.Add("*", "")
	f.Add("a*a", "a")
	f.Add("ab*ba", "abxba")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.Count(pattern, "*") != 1 {
			return // the settings allow one
		}
		matched, ok := match(pattern, name)
		want := false
		for from := range len(name) + 1 {
			for to := from; to <= len(name); to++ {
				want = want || strings.Replace(pattern, "*", name[from:to], 1) == name
			}
		}
		if ok != want || ok && strings.Replace(pattern, "*", matched, 1) != name {
			t.Errorf("match(%q, %q) = %q, %t; want %t", pattern, name, matched, ok, want)
		}
	})
}

// BenchmarkChoose budget: 100 ns and one allocation without a route.
func BenchmarkChoose(b *testing.B) {
	table := twoProviders(b, Route{Alias: "fast", Targets: []Target{{"two", "small"}}})
	b.ReportAllocs()
	for b.Loop() {
		if len(table.Choose("", "meta/llama").Targets) != 1 {
			b.Fatal("no target")
		}
	}
}

func ExampleTable_Choose() {
	table, err := New(Options{
		Providers: []Provider{{Name: "nvidia", URL: mustParse("https://integrate.api.nvidia.com/v1")}, {Name: "groq", URL: mustParse("https://api.groq.com/openai/v1")}},
		Routes:    []Route{{Alias: "groq/*", Targets: []Target{{"groq", "*"}}}},
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(table.Choose("", "groq/llama-3.1-8b-instant").Targets)
	fmt.Println(table.Choose("", "meta/llama-3.1-8b-instruct").Targets)
	// Output:
	// [{groq llama-3.1-8b-instant}]
	// [{nvidia meta/llama-3.1-8b-instruct}]
}
