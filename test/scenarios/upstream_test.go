package scenarios

import (
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// policy is a client without a sidecar.
type policy struct {
	clients int           // that send one after the other
	every   time.Duration // between two sends of a client
	retry   time.Duration // instead, after a refusal; zero is every
	burst   int           // sends of a client at a time
	sends   int           // bounds all of them; zero is by time
}

// try runs a policy for ten minutes against a limit of 40 a minute and returns what passed and what was refused.
func try(t *testing.T, pods int, p policy) (passed, dropped int) {
	t.Helper()
	synctest.Test(t, func(*testing.T) {
		u := Upstream{Kind: limiter.FirstHit, Rates: "40-M", Pods: pods}
		up := newUpstream(u, &timetable{start: time.Now()}, stream(1, "upstream"))
		end := time.Now().Add(10 * time.Minute)
		w := &world{}
		for i := range p.clients {
			w.work.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				for n := 0; time.Now().Before(end) && (p.sends == 0 || n < p.sends); n++ {
					pause := p.every
					for range max(1, p.burst) {
						if up.hit(hit{model: "m"}) == refused && p.retry > 0 {
							pause = p.retry
						}
					}
					time.Sleep(pause)
				}
			})
		}
		w.work.Wait()
		for _, h := range up.hits {
			if h.verdict == refused {
				dropped++
			} else {
				passed++
			}
		}
	})
	return passed, dropped
}

// The rows that were measured on NVIDIA's own limiter, in a minute and in ten.
func TestTheUpstreamLeaksAsMeasured(t *testing.T) {
	t.Parallel()
	between := func(least, most int) [2]int { return [2]int{least, most} }
	for _, tt := range []struct {
		name            string
		p               policy
		pods            int
		passed, dropped [2]int
	}{
		{"100, one at a time, synchronous", policy{clients: 1, every: 100 * time.Millisecond, sends: 100}, 0, between(40, 40), between(60, 60)},
		{"100, one at a time, one pod", policy{clients: 1, every: 100 * time.Millisecond, sends: 100}, 1, between(41, 41), between(59, 59)},
		{"100 at once, synchronous", policy{clients: 1, burst: 100, sends: 1}, 0, between(40, 40), between(60, 60)},
		{"100 at once, one pod", policy{clients: 1, burst: 100, sends: 1}, 1, between(68, 100), between(0, 32)},
		{"one per 1.51 s, synchronous", policy{clients: 1, every: 1510 * time.Millisecond}, 0, between(398, 398), between(0, 0)},
		{"one per 1.51 s, one pod", policy{clients: 1, every: 1510 * time.Millisecond}, 1, between(398, 398), between(0, 0)},
		{"one per 1.40 s, synchronous", policy{clients: 1, every: 1400 * time.Millisecond}, 0, between(400, 400), between(29, 29)},
		{"one per 1.40 s, one pod", policy{clients: 1, every: 1400 * time.Millisecond}, 1, between(401, 401), between(28, 28)},
		{"bursts of 40 every 61 s, one pod", policy{clients: 1, every: 61 * time.Second, burst: 40}, 1, between(400, 400), between(0, 0)},
		{"4 workers that retry every 2 s, synchronous", policy{clients: 4, every: 10 * time.Millisecond, retry: 2 * time.Second}, 0, between(400, 410), between(1150, 1200)},
		{"4 workers that retry every 2 s, one pod", policy{clients: 4, every: 10 * time.Millisecond, retry: 2 * time.Second}, 1, between(400, 411), between(1150, 1200)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			passed, dropped := try(t, tt.pods, tt.p)
			if passed < tt.passed[0] || passed > tt.passed[1] || dropped < tt.dropped[0] || dropped > tt.dropped[1] {
				t.Errorf("%d passed and %d were refused; want %v and %v", passed, dropped, tt.passed, tt.dropped)
			}
		})
	}
}

// Each pod lets one through after a minute without a refusal, and a refusal renews only its own pod's flag.
func TestEachPodLeaksOnce(t *testing.T) {
	t.Parallel()
	for _, pods := range []int{1, 2, 4, 8} {
		passed, _ := try(t, pods, policy{clients: 1, every: 50 * time.Millisecond, sends: 1000})
		if want := 40 + pods; passed != want {
			t.Errorf("%d pods let %d of 1,000 within 50 s through; want %d", pods, passed, want)
		}
	}
}

func TestABanLastsAnHourAndIsNotProlonged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := Upstream{Kind: limiter.Sliding, Rates: "1-M", Ban: Ban{After: 10, For: time.Hour}}
		up := newUpstream(u, &timetable{start: time.Now()}, stream(1, "upstream"))
		send := func() verdict { return up.hit(hit{model: "m"}) }
		send()
		for range 9 {
			send()
		}
		time.Sleep(time.Minute)
		if got := send(); got != accepted || up.bans != 0 {
			t.Fatalf("after nine refusals in a row: verdict %d, %d bans; want it accepted, no ban", got, up.bans)
		}
		for range 10 {
			send()
		}
		time.Sleep(time.Hour - 1)
		if got := send(); got != refused || up.bans != 1 {
			t.Errorf("an instant before the end of the ban: verdict %d, %d bans; want it refused, one ban", got, up.bans)
		}
		time.Sleep(time.Nanosecond)
		if got := send(); got != accepted {
			t.Errorf("at the end of the ban: verdict %d; want it accepted", got)
		}
	})
}

func TestTheUpstreamDoesWhatElseItIsTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := Upstream{Kind: limiter.Sliding, Rates: "100-M", InFlight: 2, Errors: 0.5, Outage: Outage{At: time.Hour, For: time.Minute}}
		table := newTimetable(&u, time.Now(), 2*time.Hour, stream(1, "table"))
		up := newUpstream(u, table, stream(1, "upstream"))
		seen := map[verdict]int{}
		for range 50 {
			seen[up.hit(hit{model: "m"})]++
		}
		if seen[accepted] != 2 || seen[busy] == 0 || seen[failed] == 0 || seen[refused] != 0 {
			t.Errorf("50 at once, two at a time, half of them failing: %v; want two accepted, some failed, the rest busy", seen)
		}
		up.done()
		time.Sleep(time.Until(table.outage[0]))
		if got := up.hit(hit{model: "m"}); got != refused {
			t.Errorf("in the outage: verdict %d; want it refused", got)
		}
		time.Sleep(time.Minute)
		if got := up.hit(hit{model: "m"}); got != accepted && got != failed {
			t.Errorf("after the outage: verdict %d; want it passed", got)
		}
	})
}
