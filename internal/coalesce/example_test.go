package coalesce_test

import (
	"fmt"
	"net/http"
	"time"

	"nimsidecar/internal/coalesce"
)

// Two clients ask the same at the same time, and a third one a little later: one call answers all.
func ExampleGroup() {
	embeddings := coalesce.Rules{Models: []string{"*"}, Paths: []string{"/embeddings"}}
	group := coalesce.New(coalesce.Options{Coalesce: embeddings, Cache: embeddings, MaxBytes: 1 << 20, MaxAge: time.Hour})
	ask := func(body string) *coalesce.Seat {
		return group.Join(&coalesce.Request{Provider: "nvidia", Method: http.MethodPost, Path: "/embeddings", Body: []byte(body)})
	}

	first, second := ask(`{"model":"m","input":"x"}`), ask(`{"input": "x", "model": "m"}`)
	defer first.Leave()
	defer second.Leave()

	<-first.Ready() // it has no answer, so it makes the call
	first.Record([]byte(`{"data":[]}`))
	first.Finish(http.StatusOK, http.Header{"Content-Type": {"application/json"}})

	<-second.Ready()
	third := ask(`{"model":"m","input":"x"}`)
	defer third.Leave()
	for _, seat := range []*coalesce.Seat{first, second, third} {
		fmt.Println(seat.Mark(), seat.Answer() != nil)
	}
	// Output:
	// miss false
	// coalesced true
	// hit true
}
