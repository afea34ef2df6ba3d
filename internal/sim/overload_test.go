package sim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"nimsidecar/internal/mock"
)

// overload is what a crowd of clients got.
type overload struct {
	mu      sync.Mutex // guards the following
	answers map[string]int
	agents  map[string]float64
	classes map[string]int
	low     []time.Time // when a LOW one was answered
}

func (o *overload) note(agent, class string, r Reply) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answers[fmt.Sprintf("%d %s", r.Status, r.Header.Get("X-Sidecar-Reason"))]++
	if r.Status != http.StatusOK || r.Err != nil {
		return
	}
	o.agents[agent]++
	o.classes[class]++
	if class == "low" {
		o.low = append(o.low, r.At)
	}
}

// A thousand clients of 50 agents ask again and again, for an hour, of a key that lets 600 a minute through.
func TestOverloadIsSharedAndBreaksNobody(t *testing.T) {
	const agents, clients = 50, 20
	setup := Setup{Mock: mock.Options{Limits: "600-M"}, Env: []string{"SIDECAR_LIMITS=600-M", "SIDECAR_ADAPTIVE=false"}}
	bubble(t, setup, func(t *testing.T, l *Lab) {
		o := overload{answers: map[string]int{}, agents: map[string]float64{}, classes: map[string]int{}}
		start := time.Now()
		var crowd sync.WaitGroup
		for i := range agents * clients {
			agent := fmt.Sprint("agent", i%agents)
			class := []string{"urgent", "high", "high", "high", "normal", "normal", "normal", "normal", "low", "low"}[i/agents%10]
			headers := []string{"X-Sidecar-Agent: " + agent, "X-Sidecar-Priority: " + class}
			if i/agents == 14 {
				headers = append(headers, "X-Stainless-Timeout: 20")
			}
			crowd.Go(func() {
				for time.Since(start) < time.Hour {
					r := l.Chat("m/a", false, headers...)
					o.note(agent, class, r)
					if r.Status != http.StatusOK || class == "urgent" {
						time.Sleep(47*time.Second + time.Duration(i)*time.Millisecond) // never just when the server lets go of an idle connection
					}
				}
			})
		}
		crowd.Wait()
		o.wantFair(t, start)
	})
}

func (o *overload) wantFair(t *testing.T, start time.Time) {
	t.Helper()
	for answer, n := range o.answers {
		if !slices.Contains([]string{"200 ", "429 queue_full", "429 displaced", "503 deadline", "503 queue_timeout"}, answer) {
			t.Errorf("%d answers are %q; want those that the contract names", n, answer)
		}
	}
	if full := o.answers["429 queue_full"] + o.answers["429 displaced"]; full > 0 || o.answers["503 deadline"] == 0 {
		t.Errorf("answers = %v; want all to find a place, and those in haste to be told", o.answers)
	}
	sum, squares := 0.0, 0.0
	for _, n := range o.agents {
		sum += n
		squares += n * n
	}
	if jain := sum * sum / (squares * float64(len(o.agents))); jain < 0.98 || len(o.agents) != 50 {
		t.Errorf("Jain's index of %d agents = %.4f; want at least 0.98 of 50: %v", len(o.agents), jain, slices.Sorted(maps.Values(o.agents)))
	}
	if sum < 0.97*600*60 {
		t.Errorf("%v answers in an hour; want nearly the 36,000 that the key lets through", sum)
	}
	last := start
	for _, at := range o.low {
		if gap := at.Sub(last); gap > 8*time.Second {
			t.Errorf("no LOW one is answered for %s at %s; want one in 8 s", gap, at.Sub(start))
		}
		last = at
	}
	if share := float64(o.classes["low"]) / sum; share < 0.023 {
		t.Errorf("LOW has %.3f of all answers; want at least its share: %v", share, o.classes)
	}
}
