package scenarios

import (
	"testing"
	"time"

	"nimsidecar/internal/mock/limiter"
)

// noon is a full minute.
func noon() time.Time { return time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC) }

// The figures are counted by hand.
func TestTheOracleSendsAtTheVeryInstants(t *testing.T) {
	t.Parallel()
	forty := Upstream{Kind: limiter.Sliding, Rates: "40-M"}
	for _, tt := range []struct {
		name  string
		u     Upstream
		after time.Duration // the full minute
		table timetable
		span  time.Duration
		want  int
	}{
		{"sliding", forty, 0, timetable{}, 10 * time.Minute, 400},
		{"first hit", Upstream{Kind: limiter.FirstHit, Rates: "40-M"}, 30 * time.Second, timetable{}, 10 * time.Minute, 400},
		{"the clock's minute has eleven beginnings", Upstream{Kind: limiter.Minute, Rates: "40-M"}, 30 * time.Second, timetable{}, 10 * time.Minute, 440},
		{"a bucket gives its ten, then one in 1.5 s", Upstream{Kind: limiter.Bucket, Burst: 10, Rates: "40-M"}, 0, timetable{}, 10 * time.Minute, 409},
		{"an hour", Upstream{Kind: limiter.FirstHit, Rates: "40-M,1000-H"}, 0, timetable{}, 3 * time.Hour, 3000},
		{"two counters", Upstream{Kind: limiter.FirstHit, Rates: "40-M", Versions: 2}, 0, timetable{}, 10 * time.Minute, 800},
		{
			"models under an account",
			Upstream{Kind: limiter.Sliding, Rates: "40-M", Models: []Model{{"ten", "10-M"}, {"twenty", "20-M"}, {"free", ""}}},
			0,
			timetable{},
			10 * time.Minute, 400,
		},
		{
			"models that do not fill the account",
			Upstream{Kind: limiter.Sliding, Rates: "40-M", Models: []Model{{"ten", "10-M"}, {"twenty", "20-M"}}},
			0,
			timetable{},
			10 * time.Minute, 300,
		},
		{
			"a step down frees nothing until the forty have aged", forty, 0,
			timetable{changes: []dated{{noon().Add(270 * time.Second), "20-M"}}},
			10 * time.Minute, 5*40 + 5*20,
		},
		{
			"a step up gives the difference at once", forty, 0,
			timetable{changes: []dated{{noon().Add(270 * time.Second), "60-M"}}},
			10 * time.Minute, 5*40 + 20 + 5*40 + 5*20,
		},
		{
			"an outage", forty, 0,
			timetable{outage: [2]time.Time{noon().Add(2 * time.Minute), noon().Add(5 * time.Minute)}},
			10 * time.Minute, 2*40 + 5*40,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.table.start = noon().Add(tt.after)
			if got := len(oracle(&tt.u, &tt.table, tt.table.start.Add(tt.span))); got != tt.want {
				t.Errorf("the oracle got %d through in %s; want %d", got, tt.span, tt.want)
			}
		})
	}
}

// A client that does nothing but try, where refusals cost nothing, is the plainest optimum there is.
func TestTheOracleIsAsGoodAsHammering(t *testing.T) {
	t.Parallel()
	for _, u := range []Upstream{
		{Kind: limiter.Sliding, Rates: "40-M,300-H"},
		{Kind: limiter.Bucket, Burst: 7, Rates: "40-M"},
		{Kind: limiter.Sliding, Rates: "35-M", Swing: Swing{25, 45, 20 * time.Minute}},
		{Kind: limiter.Sliding, Rates: "40-M", Changes: []Change{{At: 10 * time.Minute, Rates: "15-M"}}},
		{Kind: limiter.Bucket, Burst: 10, Rates: "40-M", Changes: []Change{{At: 10 * time.Minute, Rates: "60-M"}}},
		{Kind: limiter.Sliding, Rates: "40-M", Models: []Model{{"ten", "10-M"}, {"free", ""}}},
	} {
		end := noon().Add(30 * time.Minute)
		table := newTimetable(&u, noon(), 30*time.Minute, stream(3, "hammer"))
		best := len(oracle(&u, table, end))
		c, p, got := newCounters(&u), player{timetable: table}, 0
		for now := noon(); now.Before(end); now = now.Add(10 * time.Millisecond) {
			p.apply(now, c)
			for _, model := range u.models() {
				for c.hit(now, model) {
					got++
				}
			}
		}
		if got > best || float64(got) < 0.99*float64(best) {
			t.Errorf("%+v: hammering got %d through, the oracle %d; want the oracle as good, and not more than 1 %% better", u, got, best)
		}
	}
}
