package mock_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"nimsidecar/internal/mock"
)

// A limit of two a day, and a third request.
func Example() {
	s, err := mock.New(mock.Options{Limits: "2-D", Chunks: 6})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	web := httptest.NewServer(s)
	defer web.Close()

	for range 3 {
		r, _ := http.NewRequest(http.MethodPost, web.URL+"/v1/chat/completions", strings.NewReader(`{"model":"mock/any"}`))
		r.Header.Set("Authorization", "Bearer any-key")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.StatusCode, string(body))
	}
	// Output:
	// 200 {"id":"chatcmpl-mock-b186ea69","object":"chat.completion","created":735790403,"model":"mock/any","choices":[{"index":0,"message":{"role":"assistant","content":"This is a synthetic answer of"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":6,"completion_tokens":6,"total_tokens":12}}
	// 200 {"id":"chatcmpl-mock-b186ea69","object":"chat.completion","created":735790403,"model":"mock/any","choices":[{"index":0,"message":{"role":"assistant","content":"This is a synthetic answer of"},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":6,"completion_tokens":6,"total_tokens":12}}
	// 429 {"status":429,"title":"Too Many Requests"}
}

// A model goes offline for two requests.
func ExampleServer_Arm() {
	s, err := mock.New(mock.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	if err := s.Arm(mock.Fault{Name: "offline", Times: 2}); err != nil {
		fmt.Println(err)
		return
	}
	for range 3 {
		rec := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodPost, "/v1/chat/completions", strings.NewReader(`{"model":"m"}`))
		r.Header.Set("Authorization", "Bearer k")
		s.ServeHTTP(rec, r)
		fmt.Println(rec.Code, rec.Header().Get("Retry-After"))
	}
	// Output:
	// 503 10800
	// 503 10800
	// 200
}
