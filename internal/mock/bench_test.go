package mock_test

import (
	"net/http"
	"strings"
	"testing"

	"nimsidecar/internal/mock"
)

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (s *sink) Header() http.Header         { return s.header }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      {}

// benchmarkChat measures one handler call for a body of about 1 kB.
func benchmarkChat(b *testing.B, o mock.Options, stream string) {
	s, err := mock.New(o)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	text := `{"model":"m",` + stream + `"messages":[{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 80) + `"}]}`
	body := strings.NewReader(text)
	r, err := http.NewRequest(http.MethodPost, "/v1/chat/completions", body)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer k")
	w := &sink{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		body.Reset(text)
		clear(w.header)
		s.ServeHTTP(w, r)
	}
}

// BenchmarkChat has a budget of 12 µs: a tenth of what a Go proxy in front of it costs.
func BenchmarkChat(b *testing.B) {
	benchmarkChat(b, mock.Options{Limiter: "none", Chunks: 150}, "")
}

// BenchmarkRefusal has a budget of 12 µs.
func BenchmarkRefusal(b *testing.B) {
	benchmarkChat(b, mock.Options{Limits: "1-D"}, "")
}

// BenchmarkStream of 50 events has a budget of 40 µs.
func BenchmarkStream(b *testing.B) {
	benchmarkChat(b, mock.Options{Limiter: "none", Chunks: 48}, `"stream":true,`)
}
