package quota_test

import (
	"fmt"
	"testing"
	"time"

	"nimsidecar/internal/hint"
	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// trusts are all kinds of trust, by name.
func trusts() map[string]quota.Trust {
	return map[string]quota.Trust{"fixed": quota.Fixed, "promise": quota.Promise, "hint": quota.Hint}
}

// even returns a book for a model of an upstream that takes half a window at once.
func even(text string, trust quota.Trust) *quota.Book {
	return quota.New(quota.Options{Terms: func(s limit.Scope) quota.Terms {
		if s.WholeAccount() {
			return quota.Terms{Trust: trust, PerModel: true}
		}
		return quota.Terms{Rates: rates(text), Trust: trust, BurstShare: 0.5, PerModel: true}
	}})
}

// line is a book with somebody who always wants to send, and an upstream that never refuses.
type line struct {
	*testing.T
	book *quota.Book
	lane limit.Scope
	now  time.Time
	left []time.Time // when each left
}

// try lets one leave if it may, answered at once.
func (l *line) try(c quota.Claim) (granted bool, r quota.Readiness) {
	h, r := l.book.Reserve(l.now, l.lane, c)
	if h == nil {
		return false, r
	}
	l.book.Sent(l.now, h)
	l.book.Observe(l.now, h, hint.Outcome{Class: hint.OK, Status: 200})
	l.book.Settle(l.now, h, quota.Use{Written: true})
	l.left = append(l.left, l.now)
	return true, quota.Readiness{}
}

// until lets as many leave as can before a time, and goes there.
func (l *line) until(end time.Time, c quota.Claim) {
	l.Helper()
	for l.now.Before(end) {
		granted, r := l.try(c)
		switch {
		case granted:
		case r.At.IsZero() || !r.At.After(l.now):
			l.Fatalf("Reserve(%v) = nil, %v; want a later time", l.now.Sub(start), r.At)
		default:
			l.now = r.At
		}
	}
	l.now = end
}

// wait returns how long a claim has to wait from now on, going there.
func (l *line) wait(c quota.Claim) time.Duration {
	l.Helper()
	from := l.now
	for {
		granted, r := l.try(c)
		if granted {
			return l.now.Sub(from)
		}
		if r.At.IsZero() || !r.At.After(l.now) {
			l.Fatalf("Reserve(%v) = nil, %v; want a later time", l.now.Sub(start), r.At)
		}
		l.now = r.At
	}
}

// between returns how many left from a time on, before another.
func (l *line) between(from, to time.Time) (n int) {
	for _, at := range l.left {
		if !at.Before(from) && at.Before(to) {
			n++
		}
	}
	return n
}

// Of 40 a minute, 20 go at once. The other 20 places of the window and the moment at which those leave it are 21 steps of 60.5 s / 21. The
// last three are kept for urgent requests and released one by one, the even distance of 60.5 s / 40 before the next, so that none is lost.
func TestWhatIsLeftOfAWindowAfterABurstIsSpreadEvenly(t *testing.T) {
	t.Parallel()
	const span = 60500 * time.Millisecond
	l := &line{T: t, book: even("40-M", quota.Fixed), lane: lane("a", "m"), now: start}
	l.until(start.Add(5*span), ordinary)
	var want []time.Duration
	for i := range 40 {
		switch {
		case i < 20:
			want = append(want, 0)
		case i < 37:
			want = append(want, time.Duration(i-19)*span/21)
		default:
			want = append(want, span-time.Duration(40-i)*span/40)
		}
	}
	for i, want := range want {
		if got := l.left[i].Sub(start); (got - want).Abs() > time.Microsecond {
			t.Errorf("number %d left at %v; want %v", i, got, want)
		}
	}
	for w := range 5 {
		if got := l.between(start.Add(time.Duration(w)*span), start.Add(time.Duration(w+1)*span)); got != 40 {
			t.Errorf("%d left in window %d; want 40", got, w)
		}
	}
	for i := 41; i < len(l.left); i++ {
		if gap := l.left[i].Sub(l.left[i-1]); gap < span/41 || gap > span/20 {
			t.Errorf("at %v the distance is %v; want it between %v and %v", l.left[i].Sub(start), gap, span/41, span/20)
		}
	}
}

// Whenever it comes after a burst, and however the limit came to be known, the first urgent request starts within two send intervals.
func TestUrgentAfterABurstStartsWithinTwoSendIntervals(t *testing.T) {
	t.Parallel()
	for name, trust := range trusts() {
		for _, n := range []int{3, 10, 15, 40, 120} {
			t.Run(fmt.Sprint(name, "/", n), func(t *testing.T) {
				t.Parallel()
				most := 2 * 60500 * time.Millisecond / time.Duration(n)
				for came := start; came.Before(second(130)); came = came.Add(700 * time.Millisecond) {
					l := &line{T: t, book: even(fmt.Sprintf("%d-M", n), trust), lane: lane("a", "m"), now: start}
					l.until(came, ordinary)
					if got := l.wait(one); got > most {
						t.Errorf("after %v of backlog an urgent request waits %v; want at most %v", came.Sub(start), got, most)
					}
				}
			})
		}
	}
}

// 37 of 40 may go at once to NORMAL where an operator has fixed the burst. HIGH has one more place, URGENT two more.
func TestWhatIsKeptAfterABurst(t *testing.T) {
	t.Parallel()
	l := &line{T: t, book: newBook(limits{"*": "40-M"}), lane: lane("a", "m"), now: start}
	for _, step := range []struct {
		name  string
		claim quota.Claim
		want  int
	}{{"NORMAL", ordinary, 37}, {"HIGH", quota.Claim{High: true}, 1}, {"NORMAL", ordinary, 0}, {"URGENT", one, 2}, {"URGENT", one, 0}} {
		got := 0
		for ok, _ := l.try(step.claim); ok; ok, _ = l.try(step.claim) {
			got++
		}
		if got != step.want {
			t.Errorf("%d %s left at %v; want %d", got, step.name, l.now.Sub(start), step.want)
		}
	}
}

// What is kept is released as the time comes near at which the burst leaves: a place that nobody urgent wanted is not lost.
func TestWhatIsKeptIsReleasedBeforeTheBurstLeaves(t *testing.T) {
	t.Parallel()
	l := &line{T: t, book: newBook(limits{"*": "40-M"}), lane: lane("a", "m"), now: start}
	l.until(second(60.5), ordinary)
	if got := len(l.left); got != 40 {
		t.Errorf("%d left before the burst has left the window; want 40", got)
	}
	if third := l.left[37]; third.Before(second(50)) {
		t.Errorf("the first of the places that are kept is gone at %v; want it kept for most of the window", third.Sub(start))
	}
}

// A whole hour is not spaced like a bucket where a minute is told as well: nobody urgent waits for that.
func TestAnHourBehindAMinuteIsNotSpaced(t *testing.T) {
	t.Parallel()
	l := &line{T: t, now: start, lane: lane("a", "m"), book: quota.New(quota.Options{Terms: func(limit.Scope) quota.Terms {
		return quota.Terms{Rates: rates("40-M,200-H")}
	}})}
	for ok := true; ok; ok, _ = l.try(one) {
	}
	want := 60500 * time.Millisecond * 100 / (40 * 102)
	if got := l.wait(one); (got - want).Abs() > time.Microsecond {
		t.Errorf("after the burst somebody urgent waits %v; want %v, the pace of the minute", got, want)
	}
}

// A slot that was given back gives back its even distance, too.
func TestRefundGivesBackTheEvenDistance(t *testing.T) {
	t.Parallel()
	b, m := even("4-H", quota.Fixed), lane("a", "m")
	for range 2 {
		b.Sent(start, reserve(t, b, start, m))
	}
	h, r := b.Reserve(start, m, ordinary)
	if h != nil {
		t.Fatal("the third of four an hour left with the first two; want it spread")
	}
	h, _ = b.Reserve(r.At, m, ordinary)
	b.Settle(r.At, h, quota.Use{}) // no connection
	if h, again := b.Reserve(r.At, m, ordinary); h == nil {
		t.Errorf("after a slot was given back Reserve = nil, %v later; want it at once", again.At.Sub(r.At))
	}
}

// A known hour lasts: a backlog spends half of it as fast as its minute allows, and the rest evenly, while somebody urgent comes every
// minute and somebody HIGH more often. It does not matter who says what the hour holds.
func TestAKnownHourIsSpread(t *testing.T) {
	t.Parallel()
	for name, trust := range trusts() {
		if trust == quota.Hint {
			continue // it may find that the hour holds more
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := &line{T: t, book: even("40-M,1000-H", trust), lane: lane("a", "m"), now: start}
			worst := time.Duration(0)
			for minute := range 6 * 60 {
				came := start.Add(time.Duration(minute) * time.Minute)
				l.until(came.Add(20*time.Second), ordinary)
				l.wait(quota.Claim{High: true})
				l.until(came.Add(40*time.Second), ordinary)
				worst = max(worst, l.wait(one))
			}
			if most := 2 * 3602 * time.Second / 1000; worst > most {
				t.Errorf("somebody urgent waited %v; want at most %v", worst, most)
			}
			if got := l.between(start, start.Add(time.Hour/4)); got < 500 || got > 600 {
				t.Errorf("%d left in the first quarter of an hour; want the free half, and a few more", got)
			}
			for hour := range 5 {
				from := start.Add(time.Duration(hour) * 3602 * time.Second)
				if got := l.between(from, from.Add(3602*time.Second)); got < 980 || got > 1000 {
					t.Errorf("%d left in hour %d; want 980 to 1000", got, hour)
				}
			}
		})
	}
}
