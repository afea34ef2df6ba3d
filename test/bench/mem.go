package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	openStreams    = 2000
	queuedRequests = 10_000
	settle         = 2 * time.Second // for a heap to come to rest, or to show that it does not
)

// measureMemory takes the resident set of fresh processes: idle, with streams open, and with requests in the queue.
func measureMemory(ctx context.Context, l *lab) ([]result, error) {
	base, side, stop, err := l.both(ctx, l.upstream.addr)
	if err != nil {
		return nil, err
	}
	defer stop()
	var idle, open pair
	err = inTurn(0, base, side, func(p *process, of func(*pair) *float64) error {
		if *of(&idle), err = peak(p); err != nil {
			return err
		}
		*of(&open), err = growth(p, openStreams, requestTo(p.addr, 3600, time.Second), awaitFirstEvent)
		return err
	})
	if err != nil {
		return nil, err
	}
	idle = pair{base: idle.base / 1024, side: idle.side / 1024}
	results := []result{
		judge("resident set, idle", "MiB", []pair{idle}, atMostValue(20)),
		judge("growth an open stream, 2,000 open", "KiB", []pair{open}, atMostValue(60)),
	}
	if l.standIn() {
		return results, nil // it has no queue
	}
	queued, err := l.queued(ctx)
	r := judge("growth a queued request, 10,000 queued", "KiB", []pair{{side: queued}}, atMostValue(30))
	r.Alone = true
	return append(results, r), err
}

// queued returns the growth of a sidecar, in KiB a request, when its limit holds back all requests but the first.
func (l *lab) queued(ctx context.Context) (float64, error) {
	side, err := l.startSidecar(ctx, l.upstream.addr, limitsEnv+"=1-M")
	if err != nil {
		return 0, err
	}
	defer side.stop()
	if _, err := loop(side.addr, 1, 0); err != nil { // takes the only slot of the next minute
		return 0, err
	}
	depth := func(conns []*conn) (int, error) {
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
			n, err := queueDepth(side.metrics)
			if err != nil || n == queuedRequests {
				return n, err
			}
			if time.Now().After(deadline) {
				return n, fmt.Errorf("the queue holds %d requests after %v, want %d; the first client was told: %w", n, patience, queuedRequests, conns[0].told())
			}
		}
	}
	return growth(side, queuedRequests, requestTo(side.addr, 0, 0), depth)
}

// told returns the answer that a client was not meant to get, or why there is none.
func (c *conn) told() error {
	c.SetDeadline(time.Now().Add(time.Second))
	_, err := c.answer()
	return err
}

// growth sends the request on n connections, waits until ready says how many of them are where they should be, and
// returns by how much the resident set of p has grown, in KiB each.
func growth(p *process, n int, request []byte, ready func([]*conn) (int, error)) (float64, error) {
	before, err := peak(p)
	if err != nil {
		return 0, err
	}
	conns := make([]*conn, n)
	defer func() {
		for _, c := range conns {
			if c != nil {
				c.Close()
			}
		}
	}()
	for i := range conns {
		if conns[i], err = dial(p.addr, i); err != nil {
			return 0, fmt.Errorf("connection %d of %d (is the limit of open files, ulimit -Hn, above twice that?): %w", i+1, n, err)
		}
		if _, err := conns[i].Write(request); err != nil {
			return 0, err
		}
	}
	there, err := ready(conns)
	if err != nil {
		return 0, err
	}
	after, err := peak(p)
	return (after - before) / float64(there), err
}

// awaitFirstEvent reads the head and the first event of each stream. A few lost streams do not spoil the figure: sse.go
// counts those.
func awaitFirstEvent(conns []*conn) (open int, err error) {
	var lost losses
	parallel(len(conns), func(i int) error {
		conns[i].SetDeadline(time.Now().Add(patience))
		body, err := conns[i].answer()
		if err == nil {
			_, err = io.ReadFull(body, make([]byte, eventSize))
		}
		if err != nil {
			lost.add(err)
		}
		return nil
	})
	open = len(conns) - int(lost.n.Load())
	if open < len(conns)*99/100 {
		return open, fmt.Errorf("only %d of %d streams are open; of the others one: %v", open, len(conns), lost.why.Load())
	}
	return open, nil
}

// peak returns the largest resident set of p in a while, in KiB.
func peak(p *process) (float64, error) {
	most := 0
	for until := time.Now().Add(settle); time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
		now, err := p.rss()
		if err != nil {
			return 0, err
		}
		most = max(most, now)
	}
	return float64(most), nil
}

// queueDepth asks the sidecar's metrics how many requests wait, all classes together.
func queueDepth(metrics string) (int, error) {
	response, err := http.Get("http://" + metrics + "/metrics")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	return sumOf(string(text), "sidecar_queue_depth{")
}

// sumOf adds up the samples of a Prometheus exposition whose lines begin with prefix.
func sumOf(exposition, prefix string) (sum int, err error) {
	found := false
	for line := range strings.Lines(exposition) {
		if sample, ok := strings.CutPrefix(line, prefix); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(sample[strings.LastIndexByte(sample, ' ')+1:]), 64)
			if err != nil {
				return 0, err
			}
			sum, found = sum+int(n), true
		}
	}
	if !found {
		return 0, fmt.Errorf("the metrics have no line that begins with %s", prefix)
	}
	return sum, nil
}
