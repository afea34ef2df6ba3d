package mock

import (
	"slices"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// Stats are the totals since the start or the last reset.
type Stats struct {
	// Requests is how many arrived, outside /mock/.
	Requests int `json:"requests"`
	// Verdicts is how many got each verdict: see Arrival.
	Verdicts map[string]int `json:"verdicts"`
	// Aborted is how many clients left before their answer had ended.
	Aborted int `json:"aborted"`
	// Accepted is how many the limiter let through.
	Accepted int `json:"accepted"`
	// Refused is how many it refused.
	Refused int `json:"refused"`
	// Scopes are the same for each account and model that came by the limiter, sorted.
	Scopes []ScopeStats `json:"scopes"`
}

// ScopeStats are the totals of one account on one model, over all active versions.
type ScopeStats struct {
	// Account is whose hits these are.
	Account string `json:"account"`
	// Model is what they were for.
	Model string `json:"model"`
	// Accepted is how many the limiter let through.
	Accepted int `json:"accepted"`
	// Refused is how many it refused.
	Refused int `json:"refused"`
	// Running is how many of those let through have not ended.
	Running int `json:"running"`
	// MostRunning is the largest number that ran at once.
	MostRunning int `json:"most_running"`
	// Windows tell, for each period that a limit ever had, how full the fullest window was.
	Windows []WindowStats `json:"windows"`
}

// WindowStats are the most hits in any window of a length, wherever it begins. They are counted from the times alone,
// without asking a limiter, so that they can judge it.
type WindowStats struct {
	// Rate is the limit that held last for that period, such as "40-M".
	Rate string `json:"rate"`
	// MostAccepted is the largest number that passed within less than a period.
	MostAccepted int `json:"most_accepted"`
	// MostCharged is the largest number that was charged within less than a period, refusals included.
	MostCharged int `json:"most_charged"`
}

// scope is the counters of one account on one model: the limiters that decide, and a count of what they let happen. The
// quota's lock guards it.
type scope struct {
	generation int               // of the policy that the limiters follow
	limiters   []limiter.Limiter // one for each version

	accepted, refused, running, mostRunning int
	rates                                   []limiter.Rate // one for each period there ever was
	passed, charged                         tally
}

// setRates changes the limits, and counts the windows of these periods from now on, besides those it already counts.
func (sc *scope) setRates(rates []limiter.Rate) {
	for _, l := range sc.limiters {
		l.SetRates(rates)
	}
	for _, r := range rates {
		i := slices.IndexFunc(sc.rates, func(known limiter.Rate) bool { return known.Period == r.Period })
		if i >= 0 {
			sc.rates[i] = r
			continue
		}
		sc.rates = append(sc.rates, r)
		sc.passed.watch(r.Period)
		sc.charged.watch(r.Period)
	}
}

// count takes down a verdict.
func (sc *scope) count(at time.Time, ok bool) {
	if !ok {
		sc.refused++
		return
	}
	sc.accepted++
	sc.running++
	sc.mostRunning = max(sc.mostRunning, sc.running)
	sc.passed.add(at)
}

func (sc *scope) stats(account, model string) ScopeStats {
	s := ScopeStats{
		Account: account, Model: model,
		Accepted: sc.accepted, Refused: sc.refused,
		Running: sc.running, MostRunning: sc.mostRunning,
		Windows: []WindowStats{},
	}
	for i, r := range sc.rates {
		if r.Period > 0 {
			s.Windows = append(s.Windows, WindowStats{
				Rate:         r.String(),
				MostAccepted: sc.passed.windows[i].most,
				MostCharged:  sc.charged.windows[i].most,
			})
		}
	}
	return s
}

// tally finds the fullest window of each period in a series of times, none of which lies before the one before it: two hits
// are in one window if less than a period lies between them.
type tally struct {
	times   []time.Time
	windows []window
}

type window struct {
	period time.Duration
	first  int // index of the oldest time that is in one window with the latest
	most   int
}

// maxTally bounds the memory of a tally: a window that holds more is counted as this many.
const maxTally = 1 << 18

func (t *tally) watch(period time.Duration) {
	t.windows = append(t.windows, window{period: period, first: len(t.times)})
}

func (t *tally) add(at time.Time) {
	if len(t.windows) == 0 {
		return
	}
	t.times = append(t.times, at)
	oldest := len(t.times)
	for i := range t.windows {
		w := &t.windows[i]
		for at.Sub(t.times[w.first]) >= w.period && w.first < len(t.times)-1 || len(t.times)-w.first > maxTally {
			w.first++
		}
		w.most = max(w.most, len(t.times)-w.first)
		oldest = min(oldest, w.first)
	}
	if oldest > len(t.times)/2 { // moves each time once on average
		t.times = t.times[:copy(t.times, t.times[oldest:])]
		for i := range t.windows {
			t.windows[i].first -= oldest
		}
	}
}
