package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"nimsidecar/internal/app"
	"nimsidecar/internal/mock"
)

// mockCommand runs the mock upstream alone.
type mockCommand struct {
	Listen string `default:"127.0.0.1:9192" placeholder:"127.0.0.1:9192" help:"Where it listens."`

	Limits      string  `placeholder:"40-M" help:"The limits of each account and model, all of which hold; none is no limit."`
	Limiter     string  `placeholder:"nvidia" help:"How hits are counted: nvidia, minute, sliding, sliding-refusals, bucket, inflight or none."`
	Burst       int     `help:"The size of a bucket in requests. Default: the N of each limit."`
	RateHeaders string  `placeholder:"none" help:"The headers that tell the limiter's state: none, retry-after, openai, anthropic, openrouter, ietf or ietf-old."`
	Async       bool    `help:"Let a request pass while the limiter is still being asked, as NVIDIA does."`
	TimeScale   float64 `placeholder:"1" help:"How much faster the limiter's clock runs: with 60 its minute lasts a second."`

	Workers     int           `placeholder:"32" help:"How many requests of one model run at once."`
	QueueLength int           `placeholder:"100000" help:"How many more of a model may wait for a worker; -1 is none."`
	Service     time.Duration `placeholder:"0s" help:"How long a worker works before it can begin its answer."`
	FirstByte   time.Duration `placeholder:"0s" help:"A silence after that, before the first byte."`
	ChunkGap    time.Duration `placeholder:"0s" help:"The pause between the events of a stream."`
	Chunks      int           `placeholder:"16" help:"The length of an answer in words."`

	Models []string `help:"The models that it has. Default: any."`
	Keys   []string `help:"The keys that are valid. Default: any."`
	Log    bool     `help:"Print a line for every request."`
}

// Help is what --help says below the first sentence.
func (c *mockCommand) Help() string {
	return "Point a sidecar at it with SIDECAR_UPSTREAM_URL=http://127.0.0.1:9192/v1; it takes any key unless --keys names some. " +
		"While it runs, GET /mock/stats counts what came, GET /mock/arrivals lists it, PUT /mock/limits changes the limits, " +
		"POST /mock/faults makes it fail, and POST /mock/reset starts afresh."
}

// Run serves until ctx ends.
func (c *mockCommand) Run(ctx context.Context, p *process) error {
	o := mock.Options{
		Limits: c.Limits, Limiter: c.Limiter, Burst: c.Burst, RateHeaders: c.RateHeaders, Async: c.Async,
		TimeScale: c.TimeScale, Workers: c.Workers, QueueLength: c.QueueLength, Service: c.Service, FirstByte: c.FirstByte,
		ChunkGap: c.ChunkGap, Chunks: c.Chunks, Models: c.Models, Keys: c.Keys,
	}
	if c.Log {
		o.Log = p.stdout
	}
	upstream, err := mock.New(o)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	l, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return &app.ListenError{Setting: "--listen", Address: c.Listen, Err: err}
	}
	if _, err := fmt.Fprintf(p.stdout, "mock upstream, whose answers are synthetic: http://%s/v1\n", l.Addr()); err != nil {
		return err
	}
	return serveMock(ctx, upstream, l)
}

// serveMock serves a mock upstream until ctx ends; what is running then is cut.
func serveMock(ctx context.Context, upstream *mock.Server, l net.Listener) error {
	server := &http.Server{Handler: upstream, ReadHeaderTimeout: 10 * time.Second}
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(closed)
		_ = upstream.Close()
		_ = server.Close()
	})
	err := server.Serve(l)
	if stop() {
		return err // it ended by itself
	}
	<-closed
	return nil
}
