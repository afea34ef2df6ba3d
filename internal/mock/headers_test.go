package mock_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock"
)

func TestEveryDialectTellsTheStateOfTheLimit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		dialect         string
		names           []string
		second, refused []string // of the second request, 20 s after the first, and of a third one at once; 2-M, twice as fast
	}{
		{"none", []string{"Retry-After", "X-Ratelimit-Limit", "X-Ratelimit-Limit-Requests"}, []string{"", "", ""}, []string{"", "", ""}},
		{"retry-after", []string{"Retry-After"}, []string{""}, []string{"10"}},
		{
			"openai",
			[]string{"X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests", "Retry-After"},
			[]string{"2", "0", "9.75s", ""},
			[]string{"2", "0", "9.75s", "10"},
		},
		{
			"anthropic",
			[]string{"Anthropic-Ratelimit-Requests-Limit", "Anthropic-Ratelimit-Requests-Remaining", "Anthropic-Ratelimit-Requests-Reset", "Retry-After"},
			[]string{"2", "0", "2000-01-01T00:00:30Z", ""},
			[]string{"2", "0", "2000-01-01T00:00:30Z", "10"},
		},
		{
			"openrouter",
			[]string{"X-Ratelimit-Limit", "X-Ratelimit-Remaining", "X-Ratelimit-Reset"},
			[]string{"2", "0", "946684830000"},
			[]string{"2", "0", "946684830000"},
		},
		{
			"ietf-old",
			[]string{"Ratelimit-Limit", "Ratelimit-Remaining", "Ratelimit-Reset"},
			[]string{"2", "0", "10"},
			[]string{"2", "0", "10"},
		},
		{
			"ietf",
			[]string{"Ratelimit-Policy", "Ratelimit"},
			[]string{`"requests";q=2;w=30`, `"requests";r=0;t=10`},
			[]string{`"requests";q=2;w=30`, `"requests";r=0;t=10`},
		},
	} {
		bubble(t, tt.dialect, func(t *testing.T) {
			s := newServer(t, mock.Options{Limits: "2-M", RateHeaders: tt.dialect, TimeScale: 2})
			values := func(h http.Header) (list []string) {
				for _, name := range tt.names {
					list = append(list, h.Get(name))
				}
				return list
			}
			send(s, ask{})
			time.Sleep(20250 * time.Millisecond)
			if diff := cmp.Diff(tt.second, values(send(s, ask{}).Header())); diff != "" {
				t.Errorf("%q of an answer (-want +got):\n%s", tt.names, diff)
			}
			if diff := cmp.Diff(tt.refused, values(send(s, ask{}).Header())); diff != "" {
				t.Errorf("%q of a refusal (-want +got):\n%s", tt.names, diff)
			}
		})
	}
}

func TestWhatHasNotSeenTheLimiterSaysNothingOfIt(t *testing.T) {
	t.Parallel()
	for name, o := range map[string]mock.Options{
		"refused at the gate": {RateHeaders: "openai", ModelStates: map[string]string{"m": "degraded"}},
		"no limit":            {RateHeaders: "openai", Limiter: "none"},
		"passed unasked":      {RateHeaders: "openai", Async: true},
	} {
		s := newServer(t, o)
		if got := send(s, ask{}).Header().Get("X-Ratelimit-Limit-Requests"); got != "" {
			t.Errorf("%s: X-RateLimit-Limit-Requests %s; want none", name, got)
		}
	}
}

func TestAFaultsOwnHeaderWins(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{RateHeaders: "openai"})
	arm(t, s, mock.Fault{Name: "quota", Header: map[string]string{"X-RateLimit-Remaining-Requests": "99"}})
	if got := send(s, ask{}).Header().Get("X-Ratelimit-Remaining-Requests"); got != "99" {
		t.Errorf("X-RateLimit-Remaining-Requests %s; want the fault's 99", got)
	}
}
