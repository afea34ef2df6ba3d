package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"nimsidecar/internal/config"
	"nimsidecar/internal/top"
)

// statusCommand prints the state of a running sidecar once.
type statusCommand struct {
	settings `embed:""`

	JSON bool `name:"json" help:"Print it as JSON: exactly what /sidecar/api/snapshot says."`
}

// Run asks where the settings say that the sidecar listens.
func (c *statusCommand) Run(ctx context.Context, p *process) error {
	client, end, err := c.client(p)
	if err != nil {
		return err
	}
	defer end()
	raw, view, err := client.Snapshot(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		_, err = p.stdout.Write(append(raw, '\n'))
		return err
	}
	now := time.Now()
	look := top.Look{Language: top.LanguageOf(p.environ), Colour: colours(p), Where: client.Where, Now: now, Heard: now}
	_, err = fmt.Fprintln(p.stdout, strings.Join(top.Lines(view, look), "\n"))
	return err
}

// client returns who asks the sidecar that these settings describe, and what ends its connections.
func (s *settings) client(p *process) (c *top.Client, end func(), err error) {
	loaded, err := s.load(p)
	if err != nil {
		return nil, nil, fmt.Errorf("the settings that say where to ask: %w", err)
	}
	address, err := config.ParseAddress(loaded.Listen)
	if err != nil {
		panic(fmt.Sprintf("nim-sidecar: an address that config let through: %v", err))
	}
	transport := transportTo(address)
	return &top.Client{Transport: transport, Where: loaded.Listen, Token: loaded.Admin.Token.Reveal()}, transport.CloseIdleConnections, nil
}

// colours reports whether colours are wanted: on a terminal that has some, unless NO_COLOR is set to anything (https://no-color.org).
func colours(p *process) bool {
	f, ok := p.stdout.(*os.File)
	return ok && isTerminal(f) && !dumb(p.environ) && !setTo(p.environ, "NO_COLOR", func(value string) bool { return value != "" })
}

// dumb reports whether the terminal understands no control sequences.
func dumb(environ []string) bool {
	return setTo(environ, "TERM", func(value string) bool { return value == "dumb" })
}

// setTo reports whether a variable has a value that is so.
func setTo(environ []string, name string, is func(value string) bool) bool {
	for _, pair := range environ {
		if value, ok := strings.CutPrefix(pair, name+"="); ok {
			return is(value)
		}
	}
	return false
}
