package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/demo"
	"nimsidecar/internal/priority"
)

// arrival is a request as the sidecar would see it.
type arrival struct {
	at                 time.Duration // since the start
	agent, class, auth string
	model              string
	stream             bool
	content            string
}

// sidecar is a fake: it notes what arrives, and answers after some time with the status that answer gives.
type sidecar struct {
	start   time.Time
	takes   time.Duration
	answer  func(n int) (status int, header http.Header, err error) // nil is 200
	mu      sync.Mutex                                              // guards the following
	arrived []arrival
	running int
	most    int // that ran at once
}

func (s *sidecar) RoundTrip(r *http.Request) (*http.Response, error) {
	var in struct {
		Model    string
		Stream   bool
		Messages []struct{ Role, Content string }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || len(in.Messages) != 1 || r.Method != http.MethodPost ||
		r.URL.String() != "http://sidecar/v1/chat/completions" || r.Header.Get("Content-Type") != "application/json" {
		return nil, errors.New("not a chat request: " + r.Method + " " + r.URL.String())
	}
	s.mu.Lock()
	s.arrived = append(s.arrived, arrival{
		at: time.Since(s.start), agent: r.Header.Get("X-Sidecar-Agent"), class: r.Header.Get("X-Sidecar-Priority"),
		auth: r.Header.Get("Authorization"), model: in.Model, stream: in.Stream, content: in.Messages[0].Content,
	})
	n := len(s.arrived)
	s.running++
	s.most = max(s.most, s.running)
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.running--
		s.mu.Unlock()
	}()
	select {
	case <-time.After(s.takes):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	status, header, err := http.StatusOK, http.Header{}, error(nil)
	if s.answer != nil {
		status, header, err = s.answer(n)
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: header, Body: io.NopCloser(strings.NewReader("{}"))}, err
}

// send runs traffic for a while against s, in a bubble of its own.
func send(t *testing.T, s *sidecar, o demo.Options, d time.Duration) (traffic *demo.Traffic) {
	synctest.Test(t, func(t *testing.T) {
		s.start = time.Now()
		o.URL, o.Transport = "http://sidecar/v1", s
		traffic = demo.New(o)
		ctx, cancel := context.WithTimeout(t.Context(), d)
		defer cancel()
		if err := traffic.Run(ctx); err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
		if took := time.Since(s.start); took != d {
			t.Errorf("Run took %v; want %v", took, d)
		}
		if s.running != 0 {
			t.Errorf("%d requests run after Run", s.running)
		}
	})
	return traffic
}

func half() float64 { return 0.5 }

func TestTheSampleHasEveryClassStreamingAndNot(t *testing.T) {
	t.Parallel()
	s := &sidecar{takes: time.Second}
	traffic := send(t, s, demo.Options{}, time.Minute)
	classes, streams, models := map[string]bool{}, map[bool]bool{}, map[string]bool{}
	for _, a := range s.arrived {
		classes[a.class], streams[a.stream], models[a.model] = true, true, true
		if a.agent == "" || a.model == "" || !strings.HasPrefix(a.content, "Sample request ") || a.auth != "" {
			t.Fatalf("arrived %+v; want a named agent and model, sample content and no key", a)
		}
	}
	if got := slices.Sorted(maps.Keys(classes)); !slices.Equal(got, []string{"HIGH", "LOW", "NORMAL", "URGENT"}) || len(streams) != 2 || len(models) < 2 {
		t.Errorf("classes %v, streams %v, models %v; want all four, both, several", got, streams, models)
	}
	workers := 0
	for _, a := range demo.Sample() {
		workers += a.Workers
	}
	if s.most > workers {
		t.Errorf("%d requests ran at once; want at most the %d workers", s.most, workers)
	}
	for _, c := range priority.All() {
		if traffic.Answered(c) == 0 || traffic.Refused(c) != 0 {
			t.Errorf("%v: %d answered, %d refused; want some and none", c, traffic.Answered(c), traffic.Refused(c))
		}
	}
}

func TestAnAgentPausesBetweenAnswerAndRequest(t *testing.T) {
	t.Parallel()
	s := &sidecar{takes: 2 * time.Second}
	agents := []demo.Agent{{Name: "a", Model: "m", Class: priority.High, Workers: 1, Pause: 4 * time.Second}}
	traffic := send(t, s, demo.Options{Agents: agents, Random: half}, 19*time.Second)
	var at []time.Duration
	for _, a := range s.arrived {
		at = append(at, a.at)
	}
	if want := []time.Duration{2 * time.Second, 8 * time.Second, 14 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("requests at %v; want %v", at, want)
	}
	if got := traffic.Answered(priority.High); got != 3 {
		t.Errorf("%d answered; want 3", got)
	}
}

func TestARefusedAgentComesAgainWhenItIsTold(t *testing.T) {
	t.Parallel()
	s := &sidecar{answer: func(n int) (int, http.Header, error) {
		switch n {
		case 1:
			return http.StatusTooManyRequests, http.Header{"Retry-After": {"7"}}, nil
		case 2:
			return http.StatusServiceUnavailable, http.Header{}, nil
		case 3:
			return 0, nil, errors.New("connection refused")
		}
		return http.StatusOK, http.Header{}, nil
	}}
	agents := []demo.Agent{{Name: "a", Model: "m", Class: priority.Low, Workers: 1, Pause: 10 * time.Second}}
	traffic := send(t, s, demo.Options{Agents: agents, Random: half}, 20*time.Second)
	var at []time.Duration
	for _, a := range s.arrived {
		at = append(at, a.at)
	}
	if want := []time.Duration{5 * time.Second, 12 * time.Second, 13 * time.Second, 14 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("requests at %v; want %v", at, want)
	}
	if a, r := traffic.Answered(priority.Low), traffic.Refused(priority.Low); a != 1 || r != 3 {
		t.Errorf("%d answered, %d refused; want 1 and 3", a, r)
	}
}

func TestTheEndOfRunIsNoRefusal(t *testing.T) {
	t.Parallel()
	s := &sidecar{takes: time.Hour}
	agents := []demo.Agent{{Name: "a", Model: "m", Class: priority.Normal, Workers: 3}}
	traffic := send(t, s, demo.Options{Agents: agents}, time.Minute)
	if a, r := traffic.Answered(priority.Normal), traffic.Refused(priority.Normal); len(s.arrived) != 3 || a != 0 || r != 0 {
		t.Errorf("%d arrived, %d answered, %d refused; want 3, 0, 0", len(s.arrived), a, r)
	}
}
