// Package demo is sample traffic of all four classes.
//
// Each agent works as real ones do: it sends a request, reads the whole answer, pauses, and sends the next. So the load follows the
// pace that the sidecar grants, and the waiting room never fills beyond the number of workers. What the answers say does not matter
// and is thrown away.
package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"nimsidecar/internal/priority"
)

// Options configure Traffic. URL is required; the rest has usable zero values.
type Options struct {
	URL       string            // of the sidecar's API, up to and including /v1
	Transport http.RoundTripper // nil is http.DefaultTransport
	Agents    []Agent           // nil is Sample()
	Random    func() float64    // in [0, 1), varies the pauses; must be safe for concurrent use; nil is math/rand/v2
	Logger    *slog.Logger      // nil discards
}

// Agent is one that asks, over and over.
type Agent struct {
	Name    string         // as the sidecar shows it
	Model   string         // that it asks for
	Class   priority.Class // of its requests
	Stream  bool           // whether it asks for streams
	Workers int            // how many requests it has under way at most
	Pause   time.Duration  // from the end of an answer to the next request: between half of it and one and a half

	// Together is whether all workers ask at the same time, and pause when the last has its answer: a burst.
	Together bool
}

// The models of the sample.
const (
	Large = "meta/llama-3.3-70b-instruct"
	Small = "meta/llama-3.1-8b-instruct"
	Coder = "qwen/qwen2.5-coder-32b-instruct"
)

// Sample returns agents of all four classes, together somewhat more than a dozen requests a second can satisfy.
func Sample() []Agent {
	return []Agent{
		{Name: "chat-ui", Model: Large, Class: priority.Urgent, Stream: true, Workers: 2, Pause: 4 * time.Second},
		{Name: "incident-bot", Model: Large, Class: priority.Urgent, Stream: true, Workers: 12, Pause: 20 * time.Second, Together: true},
		{Name: "pair-programmer", Model: Coder, Class: priority.High, Stream: true, Workers: 5, Pause: 2 * time.Second},
		{Name: "planner", Model: Large, Class: priority.High, Stream: true, Workers: 3, Pause: 3 * time.Second},
		{Name: "reviewer", Model: Coder, Class: priority.Normal, Stream: true, Workers: 5, Pause: time.Second},
		{Name: "researcher", Model: Large, Class: priority.Normal, Workers: 8, Pause: time.Second},
		{Name: "nightly-labels", Model: Large, Class: priority.Low, Workers: 12},
		{Name: "embedder", Model: Small, Class: priority.Low, Workers: 4, Pause: time.Second},
	}
}

// Traffic is the traffic of some agents. Run it once.
type Traffic struct {
	Options // immutable, defaults filled in

	answered [priority.Count]atomic.Int64
	refused  [priority.Count]atomic.Int64
}

// New returns the traffic of o.Agents.
func New(o Options) *Traffic {
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	if o.Agents == nil {
		o.Agents = Sample()
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Traffic{Options: o}
}

// Answered returns how many requests of a class were answered, whole and without an error.
func (t *Traffic) Answered(c priority.Class) int64 { return t.answered[c].Load() }

// Refused returns how many requests of a class ended in any other way, but for those that the end of Run cut.
func (t *Traffic) Refused(c priority.Class) int64 { return t.refused[c].Load() }

// Run sends until ctx ends, and returns nil once nothing is under way any more.
func (t *Traffic) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, a := range t.Agents {
		if a.Together {
			group.Go(func() { t.burst(ctx, a) })
			continue
		}
		for range a.Workers {
			group.Go(func() { t.work(ctx, a) })
		}
	}
	group.Wait()
	for _, c := range priority.All() {
		t.Logger.Info("sample traffic ended", "priority", c.String(), "answered", t.Answered(c), "refused", t.Refused(c))
	}
	return nil
}

// work is one worker of an agent. It begins somewhere in a pause, so that not all begin at once.
func (t *Traffic) work(ctx context.Context, a Agent) {
	pause := time.Duration(t.Random() * float64(a.Pause))
	for number := 1; sleep(ctx, pause); number++ {
		pause = cmp.Or(t.count(ctx, a, number), t.pause(a))
	}
}

// burst is all workers of an agent that asks together.
func (t *Traffic) burst(ctx context.Context, a Agent) {
	pause := time.Duration(t.Random() * float64(a.Pause))
	for number := 1; sleep(ctx, pause); number += a.Workers {
		var group sync.WaitGroup
		for i := range a.Workers {
			group.Go(func() { t.count(ctx, a, number+i) })
		}
		group.Wait()
		pause = t.pause(a)
	}
}

// pause returns how long an agent pauses now.
func (t *Traffic) pause(a Agent) time.Duration {
	return time.Duration((0.5 + t.Random()) * float64(a.Pause))
}

// count sends one request and counts how it ended. After a refusal it says when to try again.
func (t *Traffic) count(ctx context.Context, a Agent, number int) (again time.Duration) {
	again, err := t.ask(ctx, a, number)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		t.refused[a.Class].Add(1)
		t.Logger.Debug("sample request refused", "agent", a.Name, "error", err)
		return again
	default:
		t.answered[a.Class].Add(1)
	}
	return 0
}

// afterRefusal is the pause after a refusal that names none.
const afterRefusal = time.Second

// ask sends one request and reads the whole answer. After an error it says when to try again.
func (t *Traffic) ask(ctx context.Context, a Agent, number int) (again time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL+"/chat/completions", bytes.NewReader(body(a, number)))
	if err != nil {
		return afterRefusal, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(priority.Header, a.Class.String())
	request.Header.Set("X-Sidecar-Agent", a.Name)
	answer, err := t.Transport.RoundTrip(request)
	if err != nil {
		return afterRefusal, err
	}
	defer func() { _ = answer.Body.Close() }()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return afterRefusal, err
	}
	if answer.StatusCode != http.StatusOK {
		return retryAfter(answer.Header), fmt.Errorf("%s, %s", answer.Status, answer.Header.Get("X-Sidecar-Reason"))
	}
	return 0, nil
}

// retryAfter returns how long a refusal asks to wait.
func retryAfter(h http.Header) time.Duration {
	if seconds, err := strconv.Atoi(h.Get("Retry-After")); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	return afterRefusal
}

// body returns a chat request.
func body(a Agent, number int) []byte {
	b, err := json.Marshal(map[string]any{
		"model": a.Model, "stream": a.Stream,
		"messages": []map[string]string{{"role": "user", "content": fmt.Sprintf("Sample request %d of %s.", number, a.Name)}},
	})
	if err != nil {
		panic("demo: a request that is no JSON: " + err.Error())
	}
	return b
}

// sleep waits, and reports whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
