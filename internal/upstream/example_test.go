package upstream_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"

	"nimsidecar/internal/secret"
	"nimsidecar/internal/upstream"
)

func ExampleTable_Attempt() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s with %s", r.Method, r.URL, r.Header.Get("Authorization"))
	}))
	defer server.Close()
	base, err := url.Parse(server.URL)
	if err != nil {
		panic(err)
	}

	table, err := upstream.New(upstream.Options{Providers: []upstream.Provider{{
		Name: "example", URL: base, Accounts: []upstream.Account{{
			Name: "team", Keys: []upstream.Key{{Alias: "first", Secret: secret.New("made-up")}},
		}},
	}}})
	if err != nil {
		panic(err)
	}
	defer table.Close()

	lane := table.Lanes(upstream.Target{Provider: "example", Model: "a-model"}, 0, nil)[0]
	answer := table.Attempt(context.Background(), lane, &upstream.Request{Method: "GET", Path: "/models", RawQuery: "limit=1"})
	defer answer.Close()
	body, err := io.ReadAll(answer)
	fmt.Println(lane, answer.Outcome.Class, answer.KeyAlias)
	fmt.Println(string(body), err)
	// Output:
	// example/team/a-model ok first
	// GET /v1/models?limit=1 with Bearer made-up <nil>
}

func ExampleCheckPath() {
	for _, path := range []string{"/models/meta/llama-3.1-8b-instruct", "/../admin", "/models/meta%2Fllama"} {
		fmt.Println(path, "-", upstream.CheckPath(path))
	}
	// Output:
	// /models/meta/llama-3.1-8b-instruct - <nil>
	// /../admin - it holds a dot segment
	// /models/meta%2Fllama - <nil>
}
