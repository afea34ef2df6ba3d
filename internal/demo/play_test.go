package demo_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/demo"
	"nimsidecar/internal/priority"
)

func TestAScenePlaysAfterTheOneBeforeAndAllOverAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Second)
		defer cancel()
		var at []time.Duration
		var limits []string
		err := demo.Play(ctx, []demo.Scene{{After: 2 * time.Second, Limits: "1-S"}, {After: 3 * time.Second, Limits: "2-S"}}, func(s demo.Scene) error {
			at, limits = append(at, time.Since(began)), append(limits, s.Limits)
			return nil
		})
		if err != nil || time.Since(began) != 11*time.Second {
			t.Errorf("Play = %v after %v; want nil after 11 s", err, time.Since(began))
		}
		if want := []time.Duration{2 * time.Second, 5 * time.Second, 7 * time.Second, 10 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("scenes at %v; want %v", at, want)
		}
		if want := []string{"1-S", "2-S", "1-S", "2-S"}; !slices.Equal(limits, want) {
			t.Errorf("limits %v; want %v", limits, want)
		}
	})
}

func TestAPlayEndsWithWhatCannotHappen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		broken := errors.New("no such limit")
		if err := demo.Play(t.Context(), demo.Scenes(), func(demo.Scene) error { return broken }); !errors.Is(err, broken) {
			t.Errorf("Play = %v; want %v", err, broken)
		}
	})
}

func TestTheScenesFallAndRiseWithinMinutes(t *testing.T) {
	t.Parallel()
	var all time.Duration
	times := map[string]int{}
	for _, s := range demo.Scenes() {
		all += s.After
		times[s.Model]++
		if s.After <= 0 || s.Limits == "" || s.Says == "" || !slices.ContainsFunc(demo.Sample(), func(a demo.Agent) bool { return a.Model == s.Model }) {
			t.Errorf("scene %+v; want a pause, limits, a sentence and a model that somebody asks for", s)
		}
	}
	if all > 4*time.Minute || len(times) < 2 {
		t.Errorf("the scenes take %v with %d models; want 4 min at most and several", all, len(times))
	}
	for model, n := range times {
		if n < 2 {
			t.Errorf("the limit of %s changes %d times; want it to come back", model, n)
		}
	}
}

func TestABurstComesAllAtOnceAndPausesWhenItsLastIsAnswered(t *testing.T) {
	t.Parallel()
	s := &sidecar{takes: 2 * time.Second}
	agents := []demo.Agent{{Name: "a", Model: "m", Class: priority.Urgent, Workers: 3, Pause: 4 * time.Second, Together: true}}
	traffic := send(t, s, demo.Options{Agents: agents, Random: half}, 13*time.Second)
	var at []time.Duration
	contents := map[string]bool{}
	for _, a := range s.arrived {
		at = append(at, a.at)
		contents[a.content] = true
	}
	if want := []time.Duration{2 * time.Second, 2 * time.Second, 2 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second}; !slices.Equal(at, want) {
		t.Errorf("requests at %v; want %v", at, want)
	}
	if traffic.Answered(priority.Urgent) != 6 || s.most != 3 || len(contents) != 6 {
		t.Errorf("%d answered, %d at once, %d different; want 6, 3, 6", traffic.Answered(priority.Urgent), s.most, len(contents))
	}
}
