package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"nimsidecar/internal/app"
	"nimsidecar/internal/config"
)

// serveCommand runs the sidecar.
type serveCommand struct {
	settings `embed:""`
}

// Run serves until ctx ends.
func (c *serveCommand) Run(ctx context.Context, p *process) error {
	service, err := app.FromSystemd(p.environ)
	if err != nil {
		return err
	}
	load := func() (*config.Config, error) {
		given := c.given()
		if address := service.Address(); address != "" {
			given["listen"] = address
		}
		return config.Load(config.Sources{Flags: given, Environ: p.environ})
	}
	settings, err := load()
	if err != nil {
		return err
	}
	logger, level := newLogger(settings.Log, p.stdout)
	sidecar, err := app.New(app.Options{
		Config: settings, Logger: logger, Level: level, Version: version(), Reload: load, Service: service,
	})
	if err != nil {
		return err
	}
	defer onHangup(func() { _ = sidecar.Reload(ctx) })() // it says itself what is wrong
	return sidecar.Run(ctx)
}

// newLogger returns the log, on stdout, where containers and service managers expect it, and what sets its level.
func newLogger(settings config.Log, stdout io.Writer) (*slog.Logger, *slog.LevelVar) {
	level := new(slog.LevelVar)
	if err := level.UnmarshalText([]byte(settings.Level)); err != nil {
		panic(fmt.Sprintf("nim-sidecar: a level that config let through: %v", err))
	}
	options := &slog.HandlerOptions{Level: level}
	if settings.Format == "text" || settings.Format == "auto" && isTerminal(stdout) {
		return slog.New(slog.NewTextHandler(stdout, options)), level
	}
	return slog.New(slog.NewJSONHandler(stdout, options)), level
}

// isTerminal reports whether a person is likely to read what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// onHangup calls f at each SIGHUP, which by default would end the process. The function that it returns ends this and waits for its
// goroutine.
func onHangup(f func()) (end func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	var group sync.WaitGroup
	group.Go(func() {
		for range hangups {
			f()
		}
	})
	return func() {
		signal.Stop(hangups)
		close(hangups)
		group.Wait()
	}
}
