package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"nimsidecar/internal/app"
	"nimsidecar/internal/config"
	"nimsidecar/internal/demo"
	"nimsidecar/internal/mock"
)

// demoCommand runs everything at once: a mock upstream, the sidecar in front of it, and sample traffic.
type demoCommand struct {
	settings `embed:""`
}

// demoNotice is said on both outputs, so that nobody takes the answers for real.
const demoNotice = "DEMO: every answer is synthetic, made by a built-in mock upstream. No provider is asked and no quota is spent."

// demoHint is where the sidecar begins to learn. It is no promise: what the mock allows differs from model to model, and moves.
const demoHint = "8-S"

// demoUpstream is a mock whose limits are learned while somebody looks: its windows last a second, its answers half a second to two.
func demoUpstream() mock.Options {
	return mock.Options{
		Limits: demoHint, ModelLimits: map[string]string{demo.Coder: "6-S"},
		FirstByte: 300 * time.Millisecond, ChunkGap: 120 * time.Millisecond, Chunks: 10,
	}
}

// demoSettings are the settings that the demo takes from its user. Providers, keys and clients are its own, so that no real key is
// used and no real upstream reached.
func demoSettings(all []config.Setting) (taken []config.Setting) {
	for _, s := range all {
		if s.Path != "" && !strings.HasPrefix(s.Path, "providers") && !strings.HasPrefix(s.Path, "clients") {
			taken = append(taken, s)
		}
	}
	return taken
}

// Run serves until ctx ends.
func (c *demoCommand) Run(ctx context.Context, p *process) error {
	upstream, err := mock.New(demoUpstream())
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { _ = l.Close() }()
	settings, err := c.loadDemo(p, "http://"+l.Addr().String()+"/v1")
	if err != nil {
		return err
	}
	logger, level := newLogger(settings.Log, p.stdout)
	fmt.Fprintln(p.stderr, demoNotice)
	logger.Warn(demoNotice)
	sidecar, err := app.New(app.Options{
		Config: settings, Logger: logger, Level: level, Version: version(), Demo: true,
		Reload: func() (*config.Config, error) { return c.loadDemo(p, "http://"+l.Addr().String()+"/v1") },
	})
	if err != nil {
		return err
	}
	defer onHangup(func() { _ = sidecar.Reload(ctx) })() // it says itself what is wrong
	address, err := listeningOn(settings, sidecar)
	if err != nil {
		return err
	}
	transport := transportTo(address)
	defer transport.CloseIdleConnections()
	traffic := demo.New(demo.Options{URL: "http://localhost/v1", Transport: transport, Logger: logger})
	play := func(ctx context.Context) error {
		fmt.Fprint(p.stderr, demoWelcome(address))
		return demo.Play(ctx, demo.Scenes(), func(s demo.Scene) error {
			fmt.Fprintf(p.stderr, "DEMO: now %s.\n", s.Says)
			return upstream.SetLimits(mock.LimitChange{Model: s.Model, Limits: s.Limits})
		})
	}
	return together(ctx, sidecar.Run, traffic.Run, play, func(ctx context.Context) error { return serveMock(ctx, upstream, l) })
}

// demoWelcome says where to look.
func demoWelcome(a config.Address) string {
	if a.Path != "" {
		return fmt.Sprintf("DEMO: watch it with nim-sidecar top --listen unix:%s; Ctrl-C ends it.\n", a.Path)
	}
	_, here := a.Dial()
	return fmt.Sprintf("DEMO: the dashboard is http://%s/sidecar/, and in another terminal nim-sidecar top --listen %s.\n", here, here) +
		fmt.Sprintf("DEMO: the base URL is http://%s/v1, with any key; Ctrl-C ends it.\n", here) +
		"DEMO: agents of all four classes share three models, whose limits nobody told; what changes is said here.\n"
}

// listeningOn returns where a sidecar can be reached; its port may have been chosen by the system.
func listeningOn(settings *config.Config, sidecar *app.App) (config.Address, error) {
	address, err := config.ParseAddress(settings.Listen)
	if err != nil || address.Path != "" {
		return address, err
	}
	return config.ParseAddress(sidecar.Addr())
}

// together runs all parts until ctx ends or one of them does, and returns when the last has ended.
func together(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	failures := make([]error, len(parts))
	var group sync.WaitGroup
	for i, run := range parts {
		group.Go(func() {
			defer end()
			failures[i] = run(ctx)
		})
	}
	group.Wait()
	return errors.Join(failures...)
}

// loadDemo loads the settings that the demo takes, and adds its own.
func (c *demoCommand) loadDemo(p *process, upstream string) (*config.Config, error) {
	flags := c.given()
	flags["upstream-url"], flags["provider-name"], flags["limits-hint"] = upstream, "demo", demoHint
	taken := map[string]bool{}
	for _, s := range c.list {
		for _, name := range s.Env {
			taken[name], taken[name+"_FILE"] = true, s.Secret
		}
	}
	environ := []string{"SIDECAR_API_KEYS=key-of-the-demo"} // the mock takes any key, but wants one; wherever an answer's headers hold it, it is masked
	for _, pair := range p.environ {
		if name, _, _ := strings.Cut(pair, "="); taken[name] {
			environ = append(environ, pair)
		}
	}
	if isTerminal(p.stdout) && !setTo(p.environ, "SIDECAR_LOG_LEVEL", func(string) bool { return true }) {
		environ = append(environ, "SIDECAR_LOG_LEVEL=warn") // a line for each of a dozen requests a second would hide what the demo says
	}
	return config.Load(config.Sources{Flags: flags, Environ: environ})
}
