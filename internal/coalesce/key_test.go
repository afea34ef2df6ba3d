package coalesce

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// keyed returns the key of a request to /chat/completions.
func keyed(t *testing.T, r Request) key {
	t.Helper()
	if r.Path == "" {
		r.Path = "/chat/completions"
	}
	body, ok := readForm(r.Body)
	if !ok {
		t.Fatalf("readForm(%s) = false; want true", r.Body)
	}
	return keyOf(&r, body, paths[r.Path].silent)
}

func TestBodiesThatSayTheSameHaveOneKey(t *testing.T) {
	t.Parallel()
	const body = `{"model":"m","messages":[{"role":"user","content":"a \" b"}],"temperature":0,"stop":[1,2]}`
	for _, same := range []string{
		" { \"stop\" : [1 ,\t2], \"temperature\":0,\r\n\"messages\" : [ {\"role\":\"user\", \"content\" : \"a \\\" b\" } ] ,\"model\":\"m\"} ",
		`{"user":"alice","metadata":{"a":1},"prompt_cache_key":"k","safety_identifier":"s",` + body[1:],
	} {
		if keyed(t, Request{Body: []byte(body)}) != keyed(t, Request{Body: []byte(same)}) {
			t.Errorf("%s and %s have two keys; want one", body, same)
		}
	}
}

func TestBodiesThatDifferHaveTwoKeys(t *testing.T) {
	t.Parallel()
	const body = `{"model":"m","tools":[{"a":1,"b":2}],"temperature":0,"stop":"a b"}`
	seen := map[key]string{}
	for _, other := range []string{
		body,
		strings.Replace(body, `"m"`, `"M"`, 1),
		strings.Replace(body, `"m"`, `"m","stream":true`, 1),
		strings.Replace(body, `"m"`, `"m","stream":false`, 1),
		strings.Replace(body, `"m"`, `"m","stream_options":{"include_usage":true}`, 1),
		strings.Replace(body, `"m"`, `"m","seed":1`, 1),
		strings.Replace(body, `"temperature":0`, `"temperature":0.0`, 1),
		strings.Replace(body, `"a b"`, `"a  b"`, 1),
		strings.Replace(body, `"a b"`, `"ab"`, 1),
		strings.Replace(body, `"a b"`, `"\u0061 b"`, 1),
		strings.Replace(body, `{"a":1,"b":2}`, `{"b":2,"a":1}`, 1), // the order in which a structured answer is written
		strings.Replace(body, `"stop"`, `"stops"`, 1),
		`{"model":"m"}`,
		`{"mode":"lm"}`,
		`{"model":[1 2]}`, // invalid, and to stay so
		`{"model":[12]}`,
		`{"model":[tr ue]}`,
		`{"model":[true]}`,
	} {
		k := keyed(t, Request{Body: []byte(other)})
		if first, taken := seen[k]; taken {
			t.Errorf("%s and %s have one key; want two", first, other)
		}
		seen[k] = other
	}
}

func TestResponsesRepeatWhoAsksSoThatCounts(t *testing.T) {
	t.Parallel()
	plain := keyed(t, Request{Path: "/responses", Body: []byte(`{"model":"m"}`)})
	if plain == keyed(t, Request{Path: "/responses", Body: []byte(`{"model":"m","metadata":{"id":"1"}}`)}) {
		t.Error("metadata makes no difference at /responses; want a key of its own")
	}
}

// asked is a request that the tables below vary.
func asked() Request {
	return Request{
		Provider: "p", Path: "/embeddings", RawQuery: "a=1", Client: "alice", Body: []byte(`{"input":"x"}`),
		Header: http.Header{"Accept": {"*/*"}, "Authorization": {"Bearer 1"}},
	}
}

func TestWhatCountsBesideTheBody(t *testing.T) {
	t.Parallel()
	seen := map[key]string{}
	for _, test := range []struct {
		name   string
		change func(r *Request)
	}{
		{"nothing", func(*Request) {}},
		{"provider", func(r *Request) { r.Provider = "q" }},
		{"path", func(r *Request) { r.Path = "/ranking" }},
		{"query", func(r *Request) { r.RawQuery = "a=2" }},
		{"client", func(r *Request) { r.Client = "bob" }},
		{"no client", func(r *Request) { r.Client = "" }},
		{"text moved over a border", func(r *Request) { r.Provider, r.Path = "p/", "embeddings" }},
		{"credential", func(r *Request) { r.Header.Set("Authorization", "Bearer 2") }},
		{"other credential", func(r *Request) { r.Header.Set("X-Api-Key", "1") }},
		{"unheard-of credential", func(r *Request) { r.Header.Set("Ocp-Apim-Subscription-Key", "1") }},
		{"our key", func(r *Request) { r.OurKey = true }},
		{"accept", func(r *Request) { r.Header.Set("Accept", "text/event-stream") }},
		{"two values", func(r *Request) { r.Header.Add("Accept", "*/*") }},
		{"value as a header", func(r *Request) { r.Header["Accept"] = []string{"*/*", "Authorization"} }},
		{"value in another header", func(r *Request) {
			r.Header = http.Header{"Accept": {"*/*"}, "Authorization": {"Authorization", "Bearer 1"}}
		}},
		{"header in the body", func(r *Request) {
			r.Header, r.Body = http.Header{"Accept": {"*/*"}}, []byte(`{"Authorization":"Bearer 1","input":"x"}`)
		}},
		{"version", func(r *Request) { r.Header.Set("Anthropic-Version", "2023-06-01") }},
		{"coding", func(r *Request) { r.Header.Set("Accept-Encoding", "gzip") }},
		{"body", func(r *Request) { r.Body = []byte(`{"input":"y"}`) }},
	} {
		r := asked()
		test.change(&r)
		k := keyed(t, r)
		if first, taken := seen[k]; taken {
			t.Errorf("%s and %s have one key; want two", first, test.name)
		}
		seen[k] = test.name
	}
}

func TestWhatDoesNotCountBesideTheBody(t *testing.T) {
	t.Parallel()
	plain := asked()
	want := keyed(t, plain)
	for _, name := range []string{
		"X-Request-Id", "X-Sidecar-Agent", "X-Sidecar-Priority", "X-Stainless-Retry-Count", "User-Agent", "Traceparent", "X-Forwarded-For",
		"Cache-Control", "Sec-Fetch-Mode", "Cookie", "Proxy-Authorization", "Connection", "Idempotency-Key",
	} {
		r := asked()
		r.Header.Set(name, "7")
		if keyed(t, r) != want {
			t.Errorf("%s makes a difference; want none", name)
		}
	}
	ours, theirs := asked(), asked()
	ours.OurKey, theirs.OurKey = true, true
	theirs.Header.Set("Authorization", "Bearer 2")
	theirs.Header.Set("X-Api-Key", "3")
	if keyed(t, ours) != keyed(t, theirs) {
		t.Error("the client's credential makes a difference where our key goes up; want none")
	}
	r := asked()
	r.Class = 3
	if keyed(t, r) != want {
		t.Error("the class makes a difference to kept answers; want none")
	}
}

// oracle reads a body as encoding/json does: its members by name, without white space; ok where each name is there once and plain.
func oracle(body []byte) (members map[string]string, ok bool) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	if token, err := decoder.Token(); err != nil || token != json.Delim('{') {
		return nil, false
	}
	members = map[string]string{}
	for decoder.More() {
		start := decoder.InputOffset()
		name, err := decoder.Token()
		if err != nil {
			return nil, false
		}
		escaped := bytes.IndexByte(body[start:decoder.InputOffset()], '\\') >= 0
		var value json.RawMessage
		var text bytes.Buffer
		if decoder.Decode(&value) != nil || json.Compact(&text, value) != nil {
			return nil, false
		}
		if _, twice := members[name.(string)]; twice || escaped {
			return nil, false
		}
		members[name.(string)] = text.String()
	}
	_, endErr := decoder.Token()
	_, restErr := decoder.Token()
	return members, endErr == nil && restErr == io.EOF && len(members) <= maxMembers
}

func FuzzKeyIsEqualExactlyForEqualMembers(f *testing.F) {
	for _, seed := range [][2]string{
		{`{"a":1,"b":[1, 2]}`, `{"b":[1,2],"a":1}`},
		{`{"a":"x y"}`, `{ "a" : "x y" }`},
		{`{"a":1}`, `{"a":1.0}`},
		{`{"a":{"b":1,"c":2}}`, `{"a":{"c":2,"b":1}}`},
		{`{"a":1,"a":2}`, `{"\u0061":2}`},
		{`{"a":"\\\""}`, `{"a":"\\"}`},
		{`[]`, `{}`},
		{`{"a":-1e9,"":null}`, `{"":null,"a":-1e9}`},
	} {
		f.Add([]byte(seed[0]), []byte(seed[1]), uint64(1))
	}
	f.Fuzz(func(t *testing.T, a, b []byte, seed uint64) {
		formA, okA := readForm(a)
		formB, okB := readForm(b)
		if !json.Valid(a) || !json.Valid(b) || !utf8.Valid(a) || !utf8.Valid(b) {
			return // nothing is promised, but not to panic
		}
		membersA, wantA := oracle(a)
		membersB, wantB := oracle(b)
		if okA != wantA || okB != wantB {
			t.Fatalf("readForm(%s), readForm(%s) = %t, %t; want %t, %t", a, b, okA, okB, wantA, wantB)
		}
		if !okA {
			return
		}
		keyA := keyOf(&Request{}, formA, nil)
		if again, _ := readForm(shuffled(membersA, seed)); keyOf(&Request{}, again, nil) != keyA {
			t.Fatalf("%s has another key than its members in another order", a)
		}
		if want := maps.Equal(membersA, membersB); okB && (keyOf(&Request{}, formB, nil) == keyA) != want {
			t.Fatalf("%s and %s have the same key: %t; want %t", a, b, !want, want)
		}
	})
}

// shuffled writes members in a random order with white space between.
func shuffled(members map[string]string, seed uint64) []byte {
	random := rand.New(rand.NewPCG(seed, 0))
	names := slices.Sorted(maps.Keys(members))
	random.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	var b bytes.Buffer
	b.WriteString("\n{")
	for i, name := range names {
		if i > 0 {
			b.WriteString(" ,")
		}
		b.WriteString(" \"" + name + "\"\t:" + members[name] + strings.Repeat(" ", random.IntN(3)))
	}
	b.WriteString("}\r\n")
	return b.Bytes()
}

func TestABodyOfTooManyMembersIsNotRead(t *testing.T) {
	t.Parallel()
	body := func(n int) []byte {
		members := map[string]string{}
		for i := range n {
			members[strings.Repeat("x", i)] = "0"
		}
		return shuffled(members, 1)
	}
	if _, ok := readForm(body(maxMembers)); !ok {
		t.Errorf("readForm of %d members = false; want true", maxMembers)
	}
	if _, ok := readForm(body(maxMembers + 1)); ok {
		t.Errorf("readForm of %d members = true; want false", maxMembers+1)
	}
}

func TestBrokenBodiesAreNotRead(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		"", " ", "null", "[]", `"x"`, "{", "}", `{"a"}`, `{"a":}`, `{"a":1`, `{"a":1,}`, `{"a":1 2}`, `{,}`, `{"a":1}}`, `{"a":1}{}`,
		`{a:1}`, `{"a:1}`, `{"a":"}`, `{"a":[}`, `{"a":1"b":2}`, `{"a":1,"a":1}`, `{"\u0061":1}`,
	} {
		if _, ok := readForm([]byte(body)); ok {
			t.Errorf("readForm(%s) = true; want false", body)
		}
	}
}
