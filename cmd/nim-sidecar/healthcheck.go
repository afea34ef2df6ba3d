package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"nimsidecar/internal/config"
)

// healthcheckCommand asks a running sidecar whether it works.
type healthcheckCommand struct {
	settings `embed:""`

	Ready bool `help:"Ask whether it is ready to serve, too: whether its listeners are up and the upstream can be reached."`
}

// healthTimeout is shorter than what container engines and kubelets commonly wait for.
const healthTimeout = 3 * time.Second

// Run asks /livez or /readyz where the settings say that the sidecar listens. Whatever is wrong is exit code 1: a health check knows
// no other.
func (c *healthcheckCommand) Run(ctx context.Context, p *process) error {
	settings, err := c.load(p)
	if err != nil {
		return fmt.Errorf("the settings that say where to ask: %s", err) //nolint:errorlint // its class, exit code 78, must not show
	}
	address, err := config.ParseAddress(settings.Listen)
	if err != nil {
		panic(fmt.Sprintf("nim-sidecar: an address that config let through: %v", err))
	}
	path := "/livez"
	if c.Ready {
		path = "/readyz?verbose"
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	return ask(ctx, address, path)
}

// transportTo returns a transport that goes to an address of this machine, whatever proxy the environment names and whatever host the
// URL names: that is localhost, which every sidecar answers to.
func transportTo(a config.Address) *http.Transport {
	network, target := a.Dial()
	return &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, target)
		},
		MaxIdleConnsPerHost: 100,
	}
}

// ask gets a path of the sidecar at an address; every answer but 200 is an error.
func ask(ctx context.Context, a config.Address, path string) error {
	transport := transportTo(a)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("the sidecar does not answer: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return fmt.Errorf("%s: %s: %s", path, answer.Status, strings.TrimSpace(string(body)))
}
