package coalesce

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"
)

// numbered returns the key of number n.
func numbered(n int) (k key) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

// naive is a cache as one would explain it: a list, the one that was asked for last in front.
type naive struct {
	maxBytes int64
	maxAge   time.Duration
	list     []entry
}

func (n *naive) drop(k key) (old *Answer) {
	n.list = slices.DeleteFunc(n.list, func(e entry) bool {
		if e.key == k {
			old = e.answer
		}
		return e.key == k
	})
	return old
}

func (n *naive) get(k key, now time.Time) *Answer {
	a := n.drop(k)
	if a == nil || !now.Before(a.Made.Add(n.maxAge)) {
		return nil
	}
	n.list = slices.Insert(n.list, 0, entry{k, a})
	return a
}

func (n *naive) put(k key, a *Answer) {
	n.drop(k)
	if a.size() > n.maxBytes || n.maxAge == 0 {
		return
	}
	n.list = slices.Insert(n.list, 0, entry{k, a})
	for n.bytes() > n.maxBytes {
		n.list = n.list[:len(n.list)-1]
	}
}

func (n *naive) bytes() (sum int64) {
	for _, e := range n.list {
		sum += e.answer.size()
	}
	return sum
}

func TestCacheDoesWhatANaiveOneDoes(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 1))
		maxBytes, maxAge := random.Int64N(20*entryBytes), time.Duration(random.IntN(60))*time.Second
		c, want := cache{maxBytes: maxBytes, maxAge: maxAge}, naive{maxBytes: maxBytes, maxAge: maxAge}
		now := time.Unix(1e9, 0)
		for step := range 500 {
			k := numbered(random.IntN(30))
			if now = now.Add(time.Duration(random.IntN(5)) * time.Second); random.IntN(2) == 0 {
				a := &Answer{Body: make([]byte, random.IntN(3*entryBytes)), Header: http.Header{"A": {"b"}}, Made: now}
				c.put(k, a)
				want.put(k, a)
			} else if got, want := c.get(k, now), want.get(k, now); got != want {
				t.Fatalf("seed %d, step %d: get = %p; want %p", seed, step, got, want)
			}
			if c.bytes != want.bytes() || len(c.entries) != len(want.list) || c.order.Len() != len(want.list) {
				t.Fatalf("seed %d, step %d: %d bytes, %d entries, %d in order; want %d, %d",
					seed, step, c.bytes, len(c.entries), c.order.Len(), want.bytes(), len(want.list))
			}
			if c.bytes > maxBytes {
				t.Fatalf("seed %d, step %d: %d bytes are kept; want at most %d", seed, step, c.bytes, maxBytes)
			}
		}
	}
}

func TestAnAnswerCountsWithAllItsTexts(t *testing.T) {
	t.Parallel()
	a := Answer{Body: make([]byte, 100), Header: http.Header{"Content-Type": {"text/plain", "x"}}}
	if got, want := a.size(), int64(entryBytes+100+12+10+1); got != want {
		t.Errorf("size() = %d; want %d", got, want)
	}
}

func TestOnlyHeadersForEverybodyAreKept(t *testing.T) {
	t.Parallel()
	got := keptOf(http.Header{
		"Content-Type": {"application/json"}, "Content-Encoding": {"gzip"}, "Content-Length": {"3"}, "Set-Cookie": {"a=b"},
		"X-Request-Id": {"1"}, "X-Ratelimit-Remaining-Requests": {"3"}, "Date": {"now"}, "Openai-Organization": {"o"}, "Nvcf-Reqid": {"2"},
	})
	if len(got) != 2 || got.Get("Content-Type") != "application/json" || got.Get("Content-Encoding") != "gzip" {
		t.Errorf("keptOf = %v; want Content-Type and Content-Encoding", got)
	}
}

func TestOnlyWholeAnswersAreGoodEnough(t *testing.T) {
	t.Parallel()
	const stream = "text/event-stream; charset=utf-8"
	for _, test := range []struct {
		name, media, body string
		want              bool
	}{
		{"plain", "application/json", `{"id":"1"}`, true},
		{"plain, no error", "application/json", `{"id":"1","error":null}`, true},
		{"error in a 200", "application/json", `{"id":"1","error":{"message":"no"}}`, false},
		{"the word as a text", "application/json", `{"a":["error"]}`, true},
		{"not JSON", "text/plain", "error", true},
		{"chat", stream, "data: {\"id\":\"1\"}\n\ndata: [DONE]\n\n", true},
		{"chat with a usage comment behind", stream, "data: {}\n\ndata:[DONE]\n\n: {\"tokens\":1}\n\n", true},
		{"chat, its end missing", stream, "data: {\"id\":\"1\"}\n\n", false},
		{"chat, the end's blank line missing", stream, "data: {}\n\ndata: [DONE]", false},
		{"chat that says it is done", stream, "data: {\"content\":\"data: [DONE]\"}\n\n", false},
		{"chat with an error", stream, "data: {\"error\":{\"message\":\"no\"}}\n\ndata: [DONE]\n\n", false},
		{"messages", stream, "event: message_start\ndata: {}\n\nevent: message_stop\ndata: {}\n\n", true},
		{"messages with an error", stream, "event: error\ndata: {}\n\nevent: message_stop\ndata: {}\n\n", false},
		{"responses", stream, "event: response.completed\ndata: {\"response\":{\"error\":null}}\n\n", true},
		{"responses that failed", stream, "event: response.failed\ndata: {\"response\":{\"error\":{}}}\n\n", false},
		{"nothing", stream, "", false},
	} {
		if got := isWhole(http.Header{"Content-Type": {test.media}}, []byte(test.body)); got != test.want {
			t.Errorf("%s: isWhole = %t; want %t", test.name, got, test.want)
		}
	}
	packed := http.Header{"Content-Type": {stream}, "Content-Encoding": {"gzip"}}
	if isWhole(packed, []byte("data: [DONE]\n\n")) {
		t.Error("isWhole of a compressed stream = true; want false: its end cannot be seen")
	}
	if plain := (http.Header{"Content-Encoding": {"gzip"}}); !isWhole(plain, bytes.Repeat([]byte{1}, 9)) {
		t.Error("isWhole of a compressed body = false; want true")
	}
}
