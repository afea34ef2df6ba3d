package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The sidecar's environment variables that the bench sets; its other programs read the first two as well.
const (
	listenEnv   = "SIDECAR_LISTEN"
	upstreamEnv = "SIDECAR_UPSTREAM_URL"
	metricsEnv  = "SIDECAR_METRICS_LISTEN"
	limitsEnv   = "SIDECAR_LIMITS"
	capacityEnv = "SIDECAR_QUEUE_CAPACITY"
)

// outOfTheWay is a limit that no load of this machine reaches: pacing is on, but nobody waits for it.
const outOfTheWay = "1000000-S"

// mockCommand is how nim-sidecar is asked to be an upstream that answers at once.
func mockCommand(binary, addr string) []string {
	return []string{binary, "mock", "--listen", addr, "--limits", "none", "--workers", "10000"}
}

// lab is what all parts measure in: the programs and one running upstream.
type lab struct {
	options
	dir      string
	progress io.Writer
	self     string   // this program
	sidecar  []string // the command that runs the sidecar
	upstream *process
}

func newLab(ctx context.Context, o options, dir string, progress io.Writer) (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	l := &lab{options: o, dir: dir, progress: progress, self: self}
	switch o.sidecar {
	case "":
		binary := filepath.Join(dir, "nim-sidecar")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", binary, "./cmd/nim-sidecar")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		build.Stderr = progress
		if err := build.Run(); err != nil {
			return nil, fmt.Errorf("building the sidecar (is this the root of the module?): %w", err)
		}
		l.sidecar = []string{binary, "serve"}
	case "reverseproxy":
		l.sidecar = []string{self, "reverseproxy"}
	default:
		l.sidecar = strings.Fields(o.sidecar)
	}
	l.upstream, err = l.start(ctx, []string{self, "upstream"})
	return l, err
}

// standIn reports whether something that has no queue stands in for the sidecar.
func (l *lab) standIn() bool { return l.options.sidecar == "reverseproxy" }

func (l *lab) startReverseProxy(ctx context.Context, upstream string) (*process, error) {
	return l.start(ctx, []string{l.self, "reverseproxy"}, upstreamEnv+"=http://"+upstream+"/v1")
}

// startSidecar starts a sidecar with every feature on, whose queue is out of the way; later settings beat earlier ones.
func (l *lab) startSidecar(ctx context.Context, upstream string, settings ...string) (*process, error) {
	metrics, err := freeAddr()
	if err != nil {
		return nil, err
	}
	settings = append([]string{
		upstreamEnv + "=http://" + upstream + "/v1", metricsEnv + "=" + metrics, limitsEnv + "=" + outOfTheWay, capacityEnv + "=20000",
	}, settings...)
	p, err := l.start(ctx, l.sidecar, settings...)
	if err == nil {
		p.metrics = metrics
	}
	return p, err
}

// start runs a command on a free address and waits until it takes connections.
func (l *lab) start(ctx context.Context, command []string, env ...string) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, l.dir, addr, command, append(env, listenEnv+"="+addr))
}

// both starts the ReverseProxy and the sidecar in front of upstream, and returns what stops them.
func (l *lab) both(ctx context.Context, upstream string) (base, side *process, stop func(), err error) {
	base, err = l.startReverseProxy(ctx, upstream)
	if err != nil {
		return nil, nil, nil, err
	}
	side, err = l.startSidecar(ctx, upstream)
	if err != nil {
		return nil, nil, nil, errors.Join(err, base.stop())
	}
	return base, side, func() { base.stop(); side.stop() }, nil
}

// freeAddr returns an address of the loopback that nobody listened on a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (l *lab) startMock(ctx context.Context) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	return startProcess(ctx, l.dir, addr, mockCommand(l.sidecar[0], addr), nil)
}
