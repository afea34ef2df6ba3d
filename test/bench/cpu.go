package main

import (
	"context"
	"time"
)

// busyConns is how many connections load a proxy at once when its throughput and CPU time are taken.
const busyConns = 64

// measureCPU compares CPU time a request and requests a second under load, and the latency added to a lone request.
func measureCPU(ctx context.Context, l *lab) ([]result, error) {
	upstream := l.upstream.addr
	if l.mock {
		mock, err := l.startMock(ctx)
		if err != nil {
			return nil, err
		}
		defer mock.stop()
		upstream = mock.addr
	}
	base, side, stop, err := l.both(ctx, upstream)
	if err != nil {
		return nil, err
	}
	defer stop()
	for _, p := range []*process{base, side} { // connections, pools and heaps reach their size
		if _, err := loop(p.addr, busyConns, l.duration/2); err != nil {
			return nil, err
		}
	}
	var cpu, rate []pair
	for i := range l.rounds {
		var c, r pair
		err = inTurn(i, base, side, func(p *process, of func(*pair) *float64) error {
			*of(&c), *of(&r), err = busy(p, l.duration)
			return err
		})
		if err != nil {
			return nil, err
		}
		cpu, rate = append(cpu, c), append(rate, r)
	}
	added, err := addedLatency(l, upstream, base, side)
	return []result{
		judge("CPU a request", "µs", cpu, atMost(0.8)),
		judge("requests a second, 64 connections", "1/s", rate, atLeast(1.2)),
		judge("latency added, median, 1 connection", "µs", added, atMost(1).within(noise)),
	}, err
}

// addedLatency takes, in short turns, by how much each proxy's median latency for a lone client exceeds that of
// the upstream itself, in µs.
func addedLatency(l *lab, upstream string, base, side *process) (added []pair, err error) {
	slice := l.duration / 3
	for i := range l.rounds {
		direct, err := quiet(upstream, slice)
		if err != nil {
			return nil, err
		}
		var a pair
		err = inTurn(i, base, side, func(p *process, of func(*pair) *float64) error {
			alone, err := quiet(p.addr, slice)
			*of(&a) = alone - direct
			return err
		})
		if err != nil {
			return nil, err
		}
		added = append(added, a)
	}
	return added, nil
}

// busy loads p and returns the CPU time it took a request, in µs, and the requests a second.
func busy(p *process, d time.Duration) (cpu, rate float64, err error) {
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	took, err := loop(p.addr, busyConns, d)
	if err != nil {
		return 0, 0, err
	}
	elapsed := time.Since(began)
	after, err := p.cpu()
	return micros(after-before) / float64(len(took)), float64(len(took)) / elapsed.Seconds(), err
}

// quiet returns the median latency of a lone client's requests in µs.
func quiet(addr string, d time.Duration) (float64, error) {
	took, err := loop(addr, 1, d)
	return micros(median(took)), err
}
