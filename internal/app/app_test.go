package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"nimsidecar/internal/config"
	"nimsidecar/internal/memnet"
)

// settings loads settings given as NAME=value, over an upstream that nobody serves.
func settings(t testing.TB, environ ...string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Sources{Environ: append([]string{"SIDECAR_UPSTREAM_URL=http://up.test/v1", "SIDECAR_API_KEYS=nvapi-test"}, environ...)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// options are those of an app on a network of its own.
func options(c *config.Config, n *memnet.Network, log io.Writer) Options {
	return Options{
		Config: c, Version: "test", DialContext: n.DialContext, Logger: slog.New(slog.NewTextHandler(log, nil)),
		Listen: func(_, address string) (net.Listener, error) { return n.Listen(address) },
	}
}

// wantFree fails for each address that cannot be listened on.
func wantFree(t *testing.T, n *memnet.Network, addresses ...string) {
	t.Helper()
	for _, address := range addresses {
		l, err := n.Listen(address)
		if err != nil {
			t.Errorf("%s is still taken: %v", address, err)
			continue
		}
		_ = l.Close()
	}
}

func TestAFailedStartClosesWhatItHadOpened(t *testing.T) {
	t.Parallel()
	const proxy, metrics = "127.0.0.1:9190", "127.0.0.1:9191"
	t.Run("the second listener's port is taken", func(t *testing.T) {
		t.Parallel()
		var n memnet.Network
		taken, err := n.Listen(metrics)
		if err != nil {
			t.Fatal(err)
		}
		a, err := New(options(settings(t), &n, io.Discard))
		failure, ok := errors.AsType[*ListenError](err)
		if a != nil || !ok || failure.Setting != "metrics_listen" || failure.Address != metrics || !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("New() = %v, %v; want a *ListenError of metrics_listen that wraps EADDRINUSE", a, err)
		}
		if ok && !strings.Contains(failure.Error(), metrics) {
			t.Errorf("%q does not name %s", failure, metrics)
		}
		_ = taken.Close()
		wantFree(t, &n, proxy, metrics)
	})
	t.Run("a provider that cannot be", func(t *testing.T) {
		t.Parallel()
		var n memnet.Network
		c := settings(t)
		c.Providers[0].URL.RawQuery = "x=1"
		if a, err := New(options(c, &n, io.Discard)); a != nil || err == nil {
			t.Errorf("New() = %v, %v; want an error", a, err)
		}
		wantFree(t, &n, proxy, metrics)
	})
}

// get asks a path of an app and returns the status, 0 when there was no answer.
func get(ctx context.Context, n *memnet.Network, address, path string) int {
	client := http.Client{Transport: &http.Transport{DialContext: n.DialContext, DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, http.NoBody)
	if err != nil {
		return 0
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// The bubble itself fails if a goroutine of any of the apps is left.
func TestAppsMayStartAndStopAllAtOnceAndAtAnyMoment(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const apps, rounds = 10, 50
		var n memnet.Network
		var group sync.WaitGroup
		for i := range apps {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			c := settings(t, "SIDECAR_LISTEN=127.0.0.1:0", "SIDECAR_METRICS_LISTEN=127.0.0.1:0", "SIDECAR_SHUTDOWN_TIMEOUT=2s")
			group.Go(func() {
				for round := range rounds {
					a, err := New(options(c, &n, io.Discard))
					if err != nil {
						t.Errorf("app %d, round %d: New() = %v", i, round, err)
						return
					}
					ctx, stop := context.WithTimeout(context.Background(), time.Duration(random.IntN(4))*time.Millisecond)
					var client sync.WaitGroup
					if random.IntN(2) == 0 {
						client.Go(func() { get(context.Background(), &n, a.Addr(), "/v1/chat/completions") })
					}
					if err := a.Run(ctx); err != nil {
						t.Errorf("app %d, round %d: Run() = %v; want nil", i, round, err)
					}
					stop()
					wantFree(t, &n, a.Addr(), a.MetricsAddr())
					client.Wait()
				}
			})
		}
		group.Wait()
		synctest.Wait()
		if open := n.Open(); open != 0 {
			t.Errorf("%d connections are left open", open)
		}
	})
}

func TestRunEndsInOrderWhenAListenerDies(t *testing.T) {
	t.Parallel()
	for part, listener := range map[string]func(*App) net.Listener{
		"proxy server":   func(a *App) net.Listener { return a.proxyListener },
		"metrics server": func(a *App) net.Listener { return a.metricsListener },
	} {
		synctest.Test(t, func(t *testing.T) {
			var n memnet.Network
			var log bytes.Buffer
			a, err := New(options(settings(t), &n, &log))
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan error, 1)
			go func() { ended <- a.Run(t.Context()) }()
			synctest.Wait()
			_ = listener(a).Close()
			if err := <-ended; err == nil || !strings.HasPrefix(err.Error(), part+": ") || !errors.Is(err, net.ErrClosed) {
				t.Errorf("Run() = %v; want the failure of the %s", err, part)
			}
			if !strings.Contains(log.String(), "draining") || !strings.Contains(log.String(), "stopped") {
				t.Errorf("it did not stop in order: %s", &log)
			}
			wantFree(t, &n, a.Addr(), a.MetricsAddr())
		})
	}
}

func TestTwoAppsShareNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n memnet.Network
		var group sync.WaitGroup
		apps, stops := make([]*App, 2), make([]context.CancelFunc, 2)
		for i := range apps {
			var err error
			c := settings(t, fmt.Sprintf("SIDECAR_LISTEN=127.0.0.1:%d", 9000+i), fmt.Sprintf("SIDECAR_METRICS_LISTEN=127.0.0.1:%d", 9100+i))
			if apps[i], err = New(options(c, &n, io.Discard)); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			stops[i] = stop
			group.Go(func() {
				if err := apps[i].Run(ctx); err != nil {
					t.Errorf("app %d: Run() = %v", i, err)
				}
			})
		}
		synctest.Wait()
		stops[0]()
		synctest.Wait()
		if got := get(t.Context(), &n, apps[1].Addr(), "/livez"); got != http.StatusOK {
			t.Errorf("/livez of the second, after the first has stopped = %d; want 200", got)
		}
		if got := get(t.Context(), &n, apps[0].Addr(), "/livez"); got != 0 {
			t.Errorf("/livez of the first, after it has stopped = %d; want no answer", got)
		}
		stops[1]()
		group.Wait()
	})
}

func TestTheStartSaysWhatItDoesInWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		env  []string
		says []string
	}{
		{"with a key", nil, []string{"proxy=127.0.0.1:9190", "metrics=127.0.0.1:9191", "url=http://up.test/v1", `key="the sidecar's"`, "keys=1", "limits=none", "memory"}},
		{"with limits", []string{"SIDECAR_LIMITS=40-M,1000-H", "SIDECAR_ACCOUNT_LIMITS=9-S"}, []string{"limits=40-M,1000-H", "account_limits=9-S"}},
		{
			"NVIDIA without a key",
			[]string{"SIDECAR_UPSTREAM_URL=https://integrate.api.nvidia.com/v1", "SIDECAR_API_KEYS="},
			[]string{"provider=nvidia", "each client's own", "NVIDIA_API_KEY", "https://build.nvidia.com", "keys=0", "limits=40-M"},
		},
		{"a misspelt variable", []string{"SIDECAR_LIMIT=40-M"}, []string{"level=WARN", "SIDECAR_LIMITS?"}},
	} {
		var n memnet.Network
		var log bytes.Buffer
		a, err := New(options(settings(t, tt.env...), &n, &log))
		if err != nil {
			t.Fatal(err)
		}
		a.undo.run(a.logger)
		for _, text := range tt.says {
			if !strings.Contains(log.String(), text) {
				t.Errorf("%s: the log does not say %q:\n%s", tt.name, text, &log)
			}
		}
		if strings.Contains(log.String(), "nvapi-") {
			t.Errorf("%s: the log holds a key", tt.name)
		}
	}
}
