package history

import (
	"math"
	"time"
)

// Series is what a graph shows: of each quantity one value a step, all of the same length; NaN where nothing is known.
type Series struct {
	Step time.Duration
	Time []time.Time // the beginnings of the steps

	Granted, Refused []float64          // in the step
	Rate             []float64          // attempts a minute that pacing used, the mean
	Ceiling          []float64          // attempts a minute that were known to be allowed, the mean
	Utilisation      []float64          // of the ceiling, the mean, 0 to 1
	WaitP50, WaitP95 [Classes][]float64 // milliseconds
	Depth            [Classes][]float64 // how many waited, the most
}

// Series returns the complete steps of a span until now, given by its name; ok is false for a name that is none.
func (l *Log) Series(now time.Time, name string) (s Series, ok bool) {
	for i := range l.tiers {
		if t := &l.tiers[i]; t.span.Name == name {
			return t.series(now), true
		}
	}
	return Series{}, false
}

func (t *tier) series(now time.Time) Series {
	s := Series{Step: t.span.Step}
	slot := t.slot(now)
	next := 0 // row to look at
	for at := slot - int64(t.span.Rows); at < slot; at++ {
		for next < len(t.rows) && t.at(next).Slot < at {
			next++
		}
		var r *Row
		if next < len(t.rows) && t.at(next).Slot == at {
			r = &t.at(next).Row
		}
		s.append(time.Unix(0, at*int64(t.span.Step)), r)
	}
	return s
}

// append adds one step; nil is one of which nothing is known.
func (s *Series) append(at time.Time, r *Row) {
	s.Time = append(s.Time, at)
	known := func(f func() float64) float64 {
		if r == nil {
			return math.NaN()
		}
		return f()
	}
	for _, column := range []struct {
		into  *[]float64
		value func() float64
	}{
		{&s.Granted, func() float64 { return float64(r.Granted) }},
		{&s.Refused, func() float64 { return float64(r.Refused) }},
		{&s.Rate, func() float64 { return r.Rate.value() }},
		{&s.Ceiling, func() float64 { return r.Ceiling.value() }},
		{&s.Utilisation, func() float64 { return r.Utilisation.value() }},
	} {
		*column.into = append(*column.into, known(column.value))
	}
	for class := range Classes {
		s.WaitP50[class] = append(s.WaitP50[class], known(func() float64 { return r.wait(class, 0.50) }))
		s.WaitP95[class] = append(s.WaitP95[class], known(func() float64 { return r.wait(class, 0.95) }))
		s.Depth[class] = append(s.Depth[class], known(func() float64 { return float64(r.Depth[class]) }))
	}
}

// wait returns a percentile of the waits of a class in milliseconds, NaN where nobody waited.
func (r *Row) wait(class int, q float64) float64 {
	d, ok := r.Waits[class].Quantile(q)
	if !ok {
		return math.NaN()
	}
	return float64(d) / float64(time.Millisecond)
}
