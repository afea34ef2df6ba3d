package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	pacedStreams  = 128 // at once, each with an event every pacedInterval: 12,800 events a second
	pacedInterval = 10 * time.Millisecond

	// A round of short streams, whose upstream answers at once. They last 50 ms: a proxy that closes the upstream's
	// connection too early does not harm a stream that has already arrived.
	shortStreams  = 500
	shortEvents   = 25
	shortInterval = 2 * time.Millisecond
)

// measureStreams compares CPU time and delay of each event of a stream, and counts streams that do not arrive whole.
func measureStreams(ctx context.Context, l *lab) ([]result, error) {
	base, side, stop, err := l.both(ctx, l.upstream.addr)
	if err != nil {
		return nil, err
	}
	defer stop()
	var cpu, delay []pair
	var lost pair
	for i := range l.rounds {
		var c, d pair
		err = inTurn(i, base, side, func(p *process, of func(*pair) *float64) error {
			var losses losses
			if err := short(p.addr, shortStreams, &losses); err != nil {
				return err
			}
			*of(&c), *of(&d), err = paced(p, int(l.duration/pacedInterval), &losses)
			*of(&lost) += float64(losses.n.Load())
			if why := losses.why.Load(); why != nil {
				fmt.Fprintf(l.progress, "bench: %d streams lost by %s, the last one: %v\n", losses.n.Load(), p.cmd.Args, why)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		cpu, delay = append(cpu, c), append(delay, d)
	}
	return []result{
		judge("CPU an event of a stream", "µs", cpu, atMost(1).within(noise)),
		judge("delay of an event, median", "µs", delay, atMost(1).within(noise)),
		judge("streams lost", "of "+count(l.rounds*(shortStreams+pacedStreams)), []pair{lost}, atMostValue(0)),
	}, nil
}

// losses counts the streams that did not arrive whole; why is the text of the last one's error.
type losses struct {
	n   atomic.Int64
	why atomic.Value
}

func (l *losses) add(err error) {
	l.n.Add(1)
	l.why.Store(err.Error())
}

// paced reads pacedStreams streams at once and returns the CPU time that p took an event, and the median delay of an
// event between the upstream and the client, both in µs.
func paced(p *process, events int, lost *losses) (cpu, delay float64, err error) {
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	delays := make([][]time.Duration, pacedStreams)
	request := requestTo(p.addr, events, pacedInterval)
	parallel(pacedStreams, func(i int) error {
		c, err := dial(p.addr, i)
		if err == nil {
			delays[i], err = c.stream(request, events)
			c.Close()
		}
		if err != nil {
			lost.add(err)
		}
		return nil
	})
	after, err := p.cpu()
	var all []time.Duration
	for _, d := range delays {
		all = append(all, d...)
	}
	return micros(after-before) / float64(len(all)), micros(median(all)), err
}

// short asks for n short streams over busyConns connections. A connection that broke is replaced, as a client would.
func short(addr string, n int64, lost *losses) error {
	request := requestTo(addr, shortEvents, shortInterval)
	var started atomic.Int64
	return parallel(busyConns, func(i int) error {
		for {
			c, err := dial(addr, i)
			for err == nil {
				if started.Add(1) > n {
					return c.Close()
				}
				_, err = c.stream(request, shortEvents)
			}
			if c == nil {
				return err
			}
			c.Close()
			lost.add(err)
		}
	})
}

// stream asks for a stream and reads it to its end.
func (c *conn) stream(request []byte, events int) ([]time.Duration, error) {
	body, err := c.ask(request)
	if err != nil {
		return nil, err
	}
	return readStream(body, events)
}
