package hint

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTheIETFsFieldsAreUnderstoodInEveryDialect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		source string
		lines  []string
		want   []Sign
	}{
		{"draft 11", []string{`RateLimit-Policy: "default";q=100;w=60`, `RateLimit: "default";r=50;t=30`}, []Sign{limit(Requests, time.Minute, 100, 50, 30*time.Second)}},
		{"draft 11, units and a partition", []string{
			`RateLimit-Policy: "b";q=65535;qu="content-bytes";w=10;pk=:sdfjLJUOUH==:, "c";q=5;qu="concurrent-requests"`, `RateLimit: "c";r=2, "b";r=7;t=8`,
		}, []Sign{limit(Concurrent, 0, 5, 2, -1)}},
		{"draft 11, two policies", []string{
			`RateLimit-Policy: "minute";q=40;w=60, "hour";q=1000;w=3600`, `RateLimit: "hour";r=12;t=1800, "minute";r=39;t=59`,
		}, []Sign{limit(Requests, time.Minute, 40, 39, 59*time.Second), limit(Requests, time.Hour, 1000, 12, 30*time.Minute)}},
		{"draft 11, a state alone", []string{`RateLimit: "default";r=0;t=5`}, []Sign{limit(Requests, 0, -1, 0, 5*time.Second)}},
		{"draft 11, a name that is a number", []string{`RateLimit: "100";r=3`}, []Sign{limit(Requests, 0, -1, 3, -1)}},
		{"draft 8, names as tokens, one line each", []string{`RateLimit-Policy: fixed;q=100;w=60`, `RateLimit: fixed;r=99;t=50`, `RateLimit: daily;r=1;t=36000`}, []Sign{limit(Requests, time.Minute, 100, 99, 50*time.Second), limit(Requests, 0, -1, 1, 10*time.Hour)}},
		{"draft 6, with its policy", []string{"RateLimit-Limit: 100", "RateLimit-Remaining: 40", "RateLimit-Reset: 30", "RateLimit-Policy: 100;w=60"}, []Sign{limit(Requests, time.Minute, 100, 40, 30*time.Second)}},
		{"draft 5, policies in the limit", []string{"RateLimit-Limit: 10, 10;w=1;burst=1000, 1000;w=3600", "RateLimit-Remaining: 4", "RateLimit-Reset: 1"}, []Sign{limit(Requests, time.Second, 10, 4, time.Second), limit(Requests, time.Hour, 1000, -1, -1)}},
		{"draft 0", []string{"RateLimit-Limit: 10", "RateLimit-Remaining: 4", "RateLimit-Reset: 1"}, []Sign{limit(Requests, 0, 10, 4, time.Second)}},
		{"draft 0, what is left told twice", []string{"RateLimit-Limit: 10", "RateLimit-Remaining: 4", "RateLimit-Remaining: 5"}, []Sign{limit(Requests, 0, 10, -1, -1)}},
		{"a name with quotes in it", []string{`RateLimit-Policy: "a\"b;q=1";q=5`, `RateLimit: "a\"b;q=1";r=2`}, []Sign{limit(Requests, 0, 5, 2, -1)}},
	} {
		for d := range dialectCount {
			if got := Classify(now, Answer{Status: 200, Header: header(tt.lines...), Dialect: d}).Signs; !slices.Equal(got, tt.want) {
				t.Errorf("%s, dialect %d: %+v; want %+v", tt.source, d, got, tt.want)
			}
		}
	}
}

func TestAPolicyAloneIsEvidenceToo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		source string
		lines  []string
		want   []Sign
	}{
		{"draft 11, policies alone", []string{`"a";q=40;w=31622400`, `"b";q=9`}, []Sign{limit(Requests, 366*24*time.Hour, 40, -1, -1), limit(Requests, 0, 9, -1, -1)}},
		{"a policy of a vendor's own words", []string{`300;w=5;burst=330;comment="token bucket";category="trigger";flag`}, []Sign{limit(Requests, 5*time.Second, 300, -1, -1)}},
		{"blanks where they are allowed", []string{" \"a\" ; q=5;  w=60 \t,  \"b\";q=6  "}, []Sign{limit(Requests, time.Minute, 5, -1, -1), limit(Requests, 0, 6, -1, -1)}},
	} {
		if got := ietf(nil, now, http.Header{"Ratelimit-Policy": tt.lines}); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v; want %+v", tt.source, got, tt.want)
		}
	}
}

func TestAMalformedFieldIsIgnoredAsAWhole(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		``, `,`, `"a`, `"a";`, `"a";q`, `"a";q=`, `"a";q=x`, `"a";q=-1`, `"a";q=1.5`, `"a";q=1;w=1e3`, `"a";w=99999999999`, `"a";w=31622401`, `"a";Q=1`, `"a";=1`,
		`"a";q=5,`, `"a";q=5,,"b";q=6`, `"a";q=5 "b";q=6`, `("a" "b");q=5`, `"a\`, `:abc`, `"a";q=5;t=soon`, "\x00", `é;q=5`, `"a";q="5"`, `limit=100, remaining=50`,
	} {
		if got := items([]string{`"fine";q=1`, field}); got != nil {
			t.Errorf("items(%q) = %+v; want none", field, got)
		}
	}
}

func TestTenThousandPoliciesAreEight(t *testing.T) {
	t.Parallel()
	for name, lines := range map[string][]string{
		"in one line": {strings.Repeat(`"a";q=5, `, 10_000) + "what comes later is not read"},
		"in as many":  slices.Repeat([]string{`"a";q=5`}, 10_000),
	} {
		if got := items(lines); len(got) != MaxSigns {
			t.Errorf("%s: %d items; want %d", name, len(got), MaxSigns)
		}
		h := http.Header{"Ratelimit-Policy": lines, "Ratelimit": lines, "Ratelimit-Limit": lines}
		got := ietf(nil, now, h)
		checkSigns(t, got)
		if len(got) != MaxSigns {
			t.Errorf("%s: %d signs; want %d", name, len(got), MaxSigns)
		}
	}
}

// FuzzItems writes a list as the RFC does and reads it back; and no text may do harm.
func FuzzItems(f *testing.F) {
	f.Add(`"a";q=100;w=60, "b";q=5;qu="concurrent-requests"`, "default", uint32(100), uint16(60))
	f.Add(`10, 10;w=1, 50;w=60;comment="x\"y"`, `a\b"c`, uint32(0), uint16(0))
	f.Add(`"`, "", uint32(7), uint16(1))
	f.Fuzz(func(t *testing.T, field, name string, q uint32, w uint16) {
		for _, i := range items([]string{field}) {
			if i.name == "" {
				t.Fatalf("items(%q) has an item without a name", field)
			}
		}
		checkSigns(t, ietf(nil, now, http.Header{"Ratelimit-Policy": {field}, "Ratelimit": {field}, "Ratelimit-Limit": {field}}))
		quoted := `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
		list := fmt.Sprintf(`%s;q=%d;w=%d , azAZ09/*;pk=:AA==:;az09_-.*;qu="requests";q=%[3]d,%[2]d;w=1`, quoted, q, w)
		got := items([]string{list})
		want := []item{
			{name: quoted, quota: Tell(int(q)), window: Tell(time.Duration(w) * time.Second)},
			{name: "azAZ09/*", quota: Tell(int(w)), unit: "requests"},
			{name: fmt.Sprint(q), window: Tell(time.Second)},
		}
		if !slices.Equal(got, want) {
			t.Fatalf("items(%q) = %+v; want %+v", list, got, want)
		}
	})
}
