package upstream

import (
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/memnet"
)

// TestTheHostDecidesWhatLimitHeadersMean: Groq counts requests by the day in the header in which others count them by the minute.
func TestTheHostDecidesWhatLimitHeadersMean(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 200 OK\r\nX-RateLimit-Limit-Requests: 14400\r\nX-RateLimit-Remaining-Requests: 14370\r\nContent-Length: 2\r\n\r\nok"
	for host, period := range map[string]time.Duration{"api.groq.com": 24 * time.Hour, "api.openai.com": time.Minute, "llm.example.com": 0} {
		synctest.Test(t, func(t *testing.T) {
			network := new(memnet.Network)
			l, err := network.Listen(host + ":80")
			if err != nil {
				t.Fatal(err)
			}
			stop := serve(l, replies(answer, true))
			defer stop()
			table := newTable(t, Provider{URL: parseURL(t, "http://"+host+"/v1")}, network.DialContext)
			defer table.Close()
			a := post(t.Context(), table, "hello")
			defer a.Close()
			want := hint.Sign{Unit: hint.Requests, Period: period, Limit: hint.Tell(14400), Remaining: hint.Tell(14370)}
			if len(a.Outcome.Signs) != 1 || a.Outcome.Signs[0] != want {
				t.Errorf("%s: Signs = %+v; want %+v", host, a.Outcome.Signs, want)
			}
		})
	}
}
