package store

import (
	"testing"
	"time"

	"nimsidecar/internal/quota"
)

func TestALineGoesThereAndBack(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, set := range []time.Duration{0, time.Hour, -50 * 365 * 24 * time.Hour} {
		l := line{origin: now, set: int64(set)}
		for _, d := range []time.Duration{0, time.Nanosecond, -time.Hour, 40 * time.Hour} {
			stamp := l.stamp(now.Add(d))
			if got := l.moment(stamp).Sub(now); got != d {
				t.Errorf("set by %v: moment(stamp(%v)) = %v; want the same", set, d, got)
			}
			if want := now.Add(d + set).UnixNano(); stamp != want {
				t.Errorf("set by %v: stamp(%v) = %d; want %d", set, d, stamp, want)
			}
		}
		if got := l.drift(now); got != -set {
			t.Errorf("set by %v: drift() = %v; want %v", set, got, -set)
		}
	}
}

// The line believes that the clock was last set to an hour less, or more, than it says: as if it had been set just now.
func TestAClockThatIsSetTakesAllChargesWithIt(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]time.Duration{"forward": time.Hour, "back": -time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, _ := open(t, t.TempDir())
			now := time.Now()
			s.vault.line.set = -int64(by)
			short := quota.Charge{ID: 1, Scope: model("m"), At: now.Add(-50 * time.Second), Until: now.Add(10 * time.Second)}
			must(t, s.Charged(short))
			s.Sent(1, short.At)
			must(t, s.Charged(charge(2, now)))
			s.Sent(3, now)
			s.second(now)
			s.minute(t.Context(), now)
			s.second(now) // nothing is left to follow
			if got := s.Stats().ClockJumps; got != 1 {
				t.Errorf("ClockJumps = %d; want 1", got)
			}
			must(t, s.Charged(charge(4, now)))
			m := restoreCopy(t, s)
			wantIDs(t, m, 1, 2, 4)
			for i, want := range []time.Time{short.At, now, now} {
				if got := m.Charges[i].At; !sameMoment(got, want) {
					t.Errorf("charge %d is of %v; want %v, by the clock as it is now", m.Charges[i].ID, got, want)
				}
			}
			if got := m.Charges[0].Until; !sameMoment(got, short.Until) {
				t.Errorf("it counts until %v; want %v", got, short.Until)
			}
		})
	}
}

func TestAClockThatIsNudgedIsNotFollowed(t *testing.T) {
	t.Parallel()
	s, l := open(t, "")
	s.vault.line.set = int64(noticeable - time.Millisecond*100)
	s.second(time.Now())
	if got := s.Stats().ClockJumps; got != 0 || l.String() != "" {
		t.Errorf("ClockJumps = %d, log %s; want none", got, l)
	}
}

func TestTheGapMovesWithTheClock(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	now := time.Now()
	s.vault.line.set = -int64(30 * time.Minute)
	s.vault.miss(now.Add(10 * time.Minute))
	s.second(now)
	if m := restoreCopy(t, s); !m.Lost {
		t.Error("not Lost; want Lost: ten minutes are not over because the clock was set")
	}
}

func TestAdoptBringsChargesInLineWithThePresent(t *testing.T) {
	t.Parallel()
	const now, end = 1_000_000, 900_000 // the process ended a little while ago
	for _, tt := range []struct {
		name      string
		row, want row
	}{
		{"sent, counts still", row{at: 990_000, span: 60_000, until: 1_050_000}, row{at: 990_000, span: 60_000, until: 1_050_000}},
		{"sent, expired", row{at: 100_000, span: 60_000, until: 160_000}, row{at: 100_000, span: 60_000, until: 160_000}},
		{"open at the end", row{at: 800_000, span: 60_000, open: true}, row{at: 800_000, span: 60_000, until: 960_000, open: true}},
		{"made after the last sign of life", row{at: 950_000, span: 60_000, open: true}, row{at: 950_000, span: 60_000, until: 1_010_000, open: true}},
		{"adopted before", row{at: 800_000, span: 60_000, until: 960_000, open: true}, row{at: 800_000, span: 60_000, until: 960_000, open: true}},
		{"sent in the future", row{at: 1_500_000, span: 60_000, until: 1_560_000}, row{at: now, span: 60_000, until: 1_060_000}},
		{"open in the future", row{at: 1_500_000, span: 60_000, open: true}, row{at: now, span: 60_000, until: 1_060_000, open: true}},
		{"ends in the future", row{at: 990_000, span: 10_000, until: 2_000_000}, row{at: 990_000, span: 10_000, until: 1_010_000}},
		{"counts for a year", row{at: 990_000, span: int64(365 * 24 * time.Hour), until: int64(365 * 24 * time.Hour)}, row{at: 990_000, span: int64(longest), until: now + int64(longest)}},
		{"counts backwards", row{at: 990_000, span: -5, open: true}, row{at: 990_000, span: 0, until: 990_000, open: true}},
	} {
		rows := []row{tt.row}
		changed := adopt(rows, now, end)
		if rows[0] != tt.want {
			t.Errorf("%s: adopt(%+v) = %+v; want %+v", tt.name, tt.row, rows[0], tt.want)
		}
		if want := tt.row != tt.want; len(changed) == 1 != want {
			t.Errorf("%s: %d rows changed; want that to be %t", tt.name, len(changed), want)
		}
		if again := adopt(rows, now, now); len(again) > 0 {
			t.Errorf("%s: a second time gives %+v; want it unchanged", tt.name, again)
		}
	}
}

func TestTimesOfAClockThatWasSetBackBetweenTwoProcessesAreClamped(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	ahead := time.Now().Add(5 * time.Hour)
	c := quota.Charge{ID: 1, Scope: model("m"), At: ahead, Until: ahead.Add(time.Minute)}
	must(t, s.Charged(c))
	s.Sent(1, ahead)
	must(t, s.Remember(t.Context(), []quota.Learned{{Scope: model("m"), Saved: ahead}}))
	began := time.Now()
	s, m := reopen(t, s)
	wantIDs(t, m, 1)
	got := m.Charges[0]
	if got.At.Before(began) || got.At.After(time.Now()) || !sameMoment(got.Until, got.At.Add(time.Minute)) {
		t.Errorf("it is of %v, until %v; want now and a minute later", got.At, got.Until)
	}
	if saved := m.Learned[0].Saved; saved.After(time.Now()) {
		t.Errorf("learned in the future, %v; want now", saved)
	}
	for more := true; more; {
		more = s.vault.tidy(time.Now().Add(2 * time.Minute))
	}
	if n, err := s.vault.disk.number("SELECT count(*) FROM charges"); n != 0 || err != nil {
		t.Errorf("%d charges, %v two minutes later; want none: what is stored was clamped as well", n, err)
	}
}
