package main

import (
	"fmt"
	"strings"

	"nimsidecar/internal/config"
)

// configCommands look at settings.
type configCommands struct {
	Check   configCheck   `cmd:"" help:"Try the settings, and say what they come to or everything that is wrong: exit 0 or 78."`
	Print   configPrint   `cmd:"" help:"Print the settings in effect and where each came from; secrets are ***."`
	Schema  configSchema  `cmd:"" help:"Print the JSON schema of the settings file, for editors."`
	Example configExample `cmd:"" help:"Print a commented settings file."`
}

type configCheck struct {
	settings `embed:""`
}

// Run prints ok and a summary.
func (c *configCheck) Run(p *process) error {
	settings, err := c.load(p)
	if err != nil {
		return err
	}
	fmt.Fprint(p.stdout, "ok\n"+summary(settings))
	return nil
}

// summary says in a few lines what settings come to.
func summary(c *config.Config) string {
	var b strings.Builder
	fmt.Fprintf(&b, "listens on %s, metrics on %s, client keys: %d\n", c.Listen, c.MetricsListen, len(c.Clients))
	for i := range c.Providers {
		p := &c.Providers[i]
		keys := 0
		for _, account := range p.Accounts {
			keys += len(account.Keys)
		}
		whose := "each client's own key"
		switch {
		case keys > 0:
			whose = fmt.Sprintf("keys %d, accounts %d", keys, len(p.Accounts))
		case len(c.Clients) > 0:
			whose = "no key, since what a client sends is its key to the sidecar"
		}
		fmt.Fprintf(&b, "provider %s at %s: %s, limits %s, account limits %s\n", p.Name, p.URL, whose, p.Rates(), p.AccountLimits)
	}
	for _, warning := range c.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	return b.String()
}

type configPrint struct {
	settings `embed:""`
}

// Run prints the settings in effect.
func (c *configPrint) Run(p *process) error {
	settings, err := c.load(p)
	if err != nil {
		return err
	}
	_, err = p.stdout.Write(settings.YAML())
	return err
}

type configSchema struct{}

// Run prints the schema.
func (c *configSchema) Run(p *process) error {
	_, err := p.stdout.Write(config.Schema())
	return err
}

type configExample struct{}

// Run prints the example.
func (c *configExample) Run(p *process) error {
	_, err := p.stdout.Write(config.Example())
	return err
}
