package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/dash"
)

// sights are what a demo is there to show.
type sights struct {
	refused, ceilings, waiting, states, failed map[string]bool
}

// see takes a look at the dashboard of a demo.
func (s *sights) see(t *testing.T, address string) {
	t.Helper()
	_, body := get(t, "http://"+address+"/sidecar/api/snapshot")
	var v dash.View
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	s.states[v.State] = true
	for _, l := range v.Limits {
		if l.Model == nil {
			continue
		}
		if l.Refusals > 0 {
			s.refused[*l.Model] = true
		}
		for _, w := range l.Windows {
			s.ceilings[fmt.Sprintf("%s %d-%s", *l.Model, w.Limit, w.Period)] = true
		}
	}
	for _, c := range v.Queue.Classes {
		if c.Waiting > 0 {
			s.waiting[c.Class] = true
		}
	}
	for _, r := range v.Requests {
		if r.Status >= 400 {
			s.failed[r.ID] = true
		}
	}
}

// lookAround looks as often as a dashboard moves, until all was seen, and reports whether that was in time.
func lookAround(patience time.Duration, all func() bool) bool {
	tick := time.NewTicker(dash.Period / 2)
	defer tick.Stop()
	for end := time.Now().Add(patience); !all(); <-tick.C {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// TestTheDemoShowsWhatThereIsToSee looks at a real demo until it has seen it all, and at most as long as a person is willing to.
func TestTheDemoShowsWhatThereIsToSee(t *testing.T) {
	t.Parallel()
	p, address := start(t, nil, `"msg":"listening","proxy":"([0-9.:]+)"`, build(t), "demo", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--log-format=json")
	began := time.Now()
	s := sights{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	const models = 3
	changed := func(to string) bool { // a state may last for less than a look takes to come; the log has them all
		return strings.Contains(p.out.String(), `"to":"`+to+`"`)
	}
	all := func() bool {
		s.see(t, address)
		return len(s.refused) > 0 && len(s.ceilings) > models && len(s.waiting) >= 3 && s.states["RETREAT"] && changed("RECOVER") && changed("NORMAL")
	}
	if !lookAround(90*time.Second, all) {
		t.Errorf("within 90 s these were seen: refused %v, ceilings %v, waiting %v, states %v; want a refusal, a ceiling that moves, three classes and RETREAT; and in the log RECOVER and NORMAL",
			slices.Sorted(maps.Keys(s.refused)), slices.Sorted(maps.Keys(s.ceilings)), slices.Sorted(maps.Keys(s.waiting)), slices.Sorted(maps.Keys(s.states)))
	}
	log, code := p.stop(t)
	took, used := time.Since(began), p.cmd.ProcessState.UserTime()+p.cmd.ProcessState.SystemTime()
	t.Logf("in %v it took %v of a processor", took, used)
	if used > time.Second+took/8 { // it starts, and then takes 4 % of an idle machine's
		t.Errorf("it took %v of a processor in %v; want little", used, took)
	}
	if code != exitOK || len(s.failed) > 0 {
		t.Errorf("the demo ended with %d, and the dashboard has shown failed requests %v; want 0 and none", code, s.failed)
	}
	ended := slices.DeleteFunc(log, func(line string) bool { return !strings.Contains(line, `"msg":"sample traffic ended"`) })
	good := regexp.MustCompile(`"answered":[1-9]\d*,"refused":0}`)
	if len(ended) != 4 || slices.ContainsFunc(ended, func(line string) bool { return !good.MatchString(line) }) {
		t.Errorf("the sample traffic says\n%s\nwant all four classes answered, and nobody refused", strings.Join(ended, "\n"))
	}
}

func TestTheDemoSaysWhereToLook(t *testing.T) {
	t.Parallel()
	out, stop := serving(t, nil, "demo", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0")
	page := out.await(t.Context(), t, `DEMO: the dashboard is (http://\S+/sidecar/), and in another terminal nim-sidecar top --listen 127\.0\.0\.1:\d+\.\n`)
	if status, _ := get(t, page); status != 200 {
		t.Errorf("GET %s = %d; want the dashboard", page, status)
	}
	stop()
	socket := "unix:" + t.TempDir() + "/s.sock"
	out, _ = serving(t, nil, "demo", "--listen="+socket, "--metrics-listen=127.0.0.1:0")
	out.await(t.Context(), t, `DEMO: watch it with nim-sidecar top --listen `+regexp.QuoteMeta(socket)+`;`)
}
