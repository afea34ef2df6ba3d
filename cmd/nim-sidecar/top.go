package main

import (
	"context"
	"os"

	"nimsidecar/internal/top"
)

// topCommand shows the state of a running sidecar until it is ended.
type topCommand struct {
	settings `embed:""`
}

// Help is what --help says below the first sentence.
func (c *topCommand) Help() string {
	return "q or Ctrl-C ends it. It finds the sidecar in the same settings as the sidecar itself. Where the output is no terminal, or a dumb one, it " +
		"prints the state once a second as plain text. NO_COLOR takes the colours away, and LANG chooses English or Chinese."
}

// Run shows the state until ctx ends or somebody types q. Keys are those of the process's own terminal, which only a process that writes to
// one reads.
func (c *topCommand) Run(ctx context.Context, p *process) (err error) {
	client, end, err := c.client(p)
	if err != nil {
		return err
	}
	defer end()
	o := top.Options{Client: client, Out: p.stdout, Language: top.LanguageOf(p.environ), Colour: colours(p)}
	if out, ok := p.stdout.(*os.File); ok && !dumb(p.environ) {
		if console, ok := top.OpenConsole(os.Stdin, out); ok {
			defer func() { _ = console.Close() }() // where it fails the terminal has gone
			o.Terminal = console
		}
	}
	return top.Run(ctx, o)
}
