package limiter

import "time"

// bucket holds a token bucket for each rate; a hit takes a token from all of them or from none.
type bucket struct {
	windowed
	burst int
	tanks []tank
}

// tank is one bucket, in whole numbers so that no rounding adds up: a token weighs Period units, and each nanosecond adds N.
type tank struct {
	rate  Rate
	size  int64 // burst × Period
	level int64
	last  time.Time // when level was true
}

// maxLevel bounds the size of a tank, so that filling it cannot overflow.
const maxLevel = 1 << 62

func burstOf(r Rate, burst int) int {
	if burst == 0 {
		return r.N
	}
	return burst
}

// SetRates keeps the tokens of the periods that stay, as far as they still fit in.
func (b *bucket) SetRates(rates []Rate) {
	tanks := make([]tank, len(rates))
	for i, r := range rates {
		size := int64(burstOf(r, b.burst)) * int64(r.Period)
		tanks[i] = tank{rate: r, size: size, level: size}
		for _, old := range b.tanks {
			if old.rate.Period == r.Period {
				tanks[i].level, tanks[i].last = min(old.level, size), old.last
			}
		}
	}
	b.tanks = tanks
}

func (b *bucket) Hit(now time.Time) bool {
	ok := true
	for i := range b.tanks {
		b.tanks[i].fill(now)
		ok = ok && b.tanks[i].level >= int64(b.tanks[i].rate.Period)
	}
	if ok {
		for i := range b.tanks {
			b.tanks[i].level -= int64(b.tanks[i].rate.Period)
		}
	}
	return ok
}

func (t *tank) fill(now time.Time) {
	n := int64(t.rate.N)
	if past := int64(now.Sub(t.last)); past > (t.size-t.level)/n {
		t.level = t.size
	} else {
		t.level += past * n
	}
	t.last = now
}

func (b *bucket) State(now time.Time) State {
	s := State{Left: maxN}
	for _, t := range b.tanks { // copies: asking changes nothing
		t.fill(now)
		token := int64(t.rate.Period)
		s = s.tighter(State{
			Rate:  t.rate,
			Left:  int(t.level / token),
			Reset: t.until(t.size),
			Wait:  t.until(token),
		})
	}
	return s
}

// until returns the time to the given level, rounded up to the next nanosecond.
func (t *tank) until(level int64) time.Duration {
	if t.level >= level {
		return 0
	}
	n := int64(t.rate.N)
	return time.Duration((level - t.level + n - 1) / n)
}
