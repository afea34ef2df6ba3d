package mock_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/mock"
)

func TestStatsJudgeTheLimiterByASecondCount(t *testing.T) {
	t.Parallel()
	bubble(t, "the worst burst a client can see", func(t *testing.T) {
		s := newServer(t, mock.Options{Limits: "40-M,1000-H", Keys: []string{"k"}, Accounts: map[string]string{"k": "acme"}})
		start := time.Now()
		passed(t, s, 1, ask{})
		sleepUntil(start, 59900*time.Millisecond)
		passed(t, s, 39, ask{})
		sleepUntil(start, 60100*time.Millisecond)
		passed(t, s, 45, ask{})
		send(s, ask{key: "stolen"})
		want := mock.Stats{
			Requests: 86, Accepted: 80, Refused: 5,
			Verdicts: map[string]int{"accepted": 80, "quota": 5, "key_dead": 1},
			Scopes: []mock.ScopeStats{{
				Account: "acme", Model: "m", Accepted: 80, Refused: 5, MostRunning: 1,
				Windows: []mock.WindowStats{{Rate: "40-M", MostAccepted: 79, MostCharged: 84}, {Rate: "1000-H", MostAccepted: 80, MostCharged: 85}},
			}},
		}
		if diff := cmp.Diff(want, s.Stats()); diff != "" {
			t.Errorf("Stats() (-want +got):\n%s", diff)
		}
	})
	bubble(t, "a sliding window never holds more than N", func(t *testing.T) {
		s := newServer(t, mock.Options{Limiter: "sliding", Limits: "5-S,40-M", ModelLimits: map[string]string{"b": "7-M"}})
		for range 1000 {
			time.Sleep(70 * time.Millisecond)
			passed(t, s, 1, ask{})
			passed(t, s, 1, ask{model: "b"})
		}
		got := s.Stats().Scopes
		if len(got) != 2 || got[0].Model != "b" || got[1].Model != "m" {
			t.Fatalf("Scopes = %+v; want b and m, in this order", got)
		}
		most := fmt.Sprint(got[0].Windows[0].MostAccepted, got[1].Windows[0].MostAccepted, got[1].Windows[1].MostAccepted)
		if most != "7 5 40" {
			t.Errorf("most accepted in any window: %s; want 7 of 7-M, 5 of 5-S and 40 of 40-M", most)
		}
	})
	bubble(t, "the leak shows", func(t *testing.T) {
		s := newServer(t, mock.Options{Async: true, AsyncPods: 1, Service: 25 * time.Millisecond})
		passed(t, s, 50, ask{})
		if got := s.Stats().Scopes[0].Windows[0]; got != (mock.WindowStats{Rate: "40-M", MostAccepted: 41, MostCharged: 50}) {
			t.Errorf("window %+v; want 41 accepted and 50 charged", got)
		}
	})
}

func TestArrivalsAreBounded(t *testing.T) {
	t.Parallel()
	s := newServer(t, mock.Options{KeepArrivals: 3, Limiter: "none"})
	for i := range 5 {
		send(s, ask{model: fmt.Sprint("m", i)})
	}
	var got []string
	for _, a := range s.Arrivals() {
		got = append(got, fmt.Sprint(a.Sequence, a.Model))
	}
	if diff := cmp.Diff([]string{"3m2", "4m3", "5m4"}, got); diff != "" {
		t.Errorf("Arrivals() (-want +got):\n%s", diff)
	}
	if got := s.Stats().Requests; got != 5 {
		t.Errorf("Requests = %d; want all 5", got)
	}
}
