package coalesce

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
)

// chatBody is a body of about n bytes, as an agent sends it: a few long texts.
func chatBody(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"model":"m","temperature":0,"messages":[`)
	for b.Len() < n {
		fmt.Fprintf(&b, `{"role":"user","content":"%s \"quoted\" %s"},`, bytes.Repeat([]byte("word "), 400), bytes.Repeat([]byte("line\\n"), 300))
	}
	b.WriteString(`{"role":"user","content":""}]}`)
	return b.Bytes()
}

// tokenBody is a body of about n bytes of numbers, the worst that the scanner meets.
func tokenBody(n int) []byte {
	return append(append([]byte(`{"model":"m","input":[`), bytes.Repeat([]byte("123, "), n/5)...), `1]}`...)
}

// BenchmarkKey must read a body of 1 MB in less than 3 ms if it is texts and in less than 15 ms if it is numbers with blanks between
// them, with less than 4 KiB of memory.
func BenchmarkKey(b *testing.B) {
	for name, body := range map[string][]byte{"texts": chatBody(1e6), "numbers": tokenBody(1e6)} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			r := Request{Path: "/chat/completions", Body: body, Header: http.Header{"Accept": {"*/*"}, "X-Stainless-Os": {"Linux"}}}
			for b.Loop() {
				form, ok := readForm(body)
				if !ok {
					b.Fatal("the body is not read")
				}
				keyOf(&r, form, paths[r.Path].silent)
			}
		})
	}
}

// BenchmarkHit must answer a request of 4 KB from the cache in less than 25 µs.
func BenchmarkHit(b *testing.B) {
	g := New(options())
	r := Request{Method: http.MethodPost, Path: "/chat/completions", Body: chatBody(4000)}
	g.Join(&r).Finish(http.StatusOK, jsonHeader())
	b.ReportAllocs()
	for b.Loop() {
		s := g.Join(&r)
		if s.Answer() == nil {
			b.Fatal("no hit")
		}
		s.Leave()
	}
}

// BenchmarkMiss must lead a request of 4 KB through join, record and finish in less than 100 µs, 10 KB of answer included.
func BenchmarkMiss(b *testing.B) {
	o := options()
	o.Cache = Rules{}
	g, chunk, header := New(o), make([]byte, 1000), jsonHeader()
	r := Request{Method: http.MethodPost, Path: "/chat/completions", Body: chatBody(4000)}
	b.ReportAllocs()
	for b.Loop() {
		s := g.Join(&r)
		for range 10 {
			s.Record(chunk)
		}
		s.Finish(http.StatusOK, header)
		s.Leave()
	}
}

// BenchmarkBypass must find in less than 100 ns that a request to a path that is not named has no part in this.
func BenchmarkBypass(b *testing.B) {
	g := New(options())
	r := Request{Method: http.MethodPost, Path: "/images/generations", Body: chatBody(1e6)}
	b.ReportAllocs()
	for b.Loop() {
		if g.Join(&r) != nil {
			b.Fatal("a seat; want none")
		}
	}
}
