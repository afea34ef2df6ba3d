// Command bench is the sidecar side by side with a plain reverse proxy: CPU, latency, streams, memory.
//
// Run it from the root of the module, on Linux, with nothing else of weight running:
//
//	go run ./test/bench
//
// It builds the sidecar, starts it beside 20 lines of httputil.ReverseProxy in front of one cheap upstream, loads the
// two in turn, in rounds of changing order, and prints one table. Whatever is compared is a ratio taken inside a
// round, and the median of those ratios is judged: a slow moment of the machine slows both. All processes share the
// machine's cores, so the ratios are worth more than the absolute figures. The exit status is 1 when a budget is missed.
//
// The program is its own upstream and ReverseProxy, as the sub-commands upstream and reverseproxy, which take their
// addresses from the sidecar's environment variables.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags.
type options struct {
	only     string
	rounds   int
	duration time.Duration
	json     string
	sidecar  string
	mock     bool
}

// parts are the chapters of the comparison, in the order they run.
func parts() map[string]func(context.Context, *lab) ([]result, error) {
	return map[string]func(context.Context, *lab) ([]result, error){"cpu": measureCPU, "sse": measureStreams, "mem": measureMemory}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 1 && args[0] == "upstream" {
		return fail(stderr, serveUpstream(os.Getenv(listenEnv)))
	}
	if len(args) == 1 && args[0] == "reverseproxy" {
		return fail(stderr, serveReverseProxy(os.Getenv(listenEnv), os.Getenv(upstreamEnv)))
	}
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.only, "only", "cpu,sse,mem", "the `parts` to run")
	flags.IntVar(&o.rounds, "rounds", 15, "rounds of each comparison")
	flags.DurationVar(&o.duration, "duration", time.Second, "length of one loaded measurement")
	flags.StringVar(&o.json, "json", "", "also write the results to this `file`")
	flags.StringVar(&o.sidecar, "sidecar", "", "the sidecar's `command`; reverseproxy compares the ReverseProxy with itself, which shows the noise (default: build ./cmd/nim-sidecar and run its serve)")
	flags.BoolVar(&o.mock, "mock", false, "measure CPU in front of nim-sidecar mock instead of the bench's own upstream")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	results, err := compare(ctx, o, stderr)
	if len(results) == 0 {
		return fail(stderr, err)
	}
	fmt.Fprintf(stdout, "%s %s/%s, %d CPUs, %d rounds of %v\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.rounds, o.duration)
	printTable(stdout, results)
	if o.json != "" {
		err = errors.Join(err, writeJSON(o.json, results))
	}
	if err != nil {
		return fail(stderr, err)
	}
	if slices.ContainsFunc(results, func(r result) bool { return !r.Pass }) {
		return 1
	}
	return 0
}

// compare runs the parts that were asked for. With an error come the results of the parts before.
func compare(ctx context.Context, o options, progress io.Writer) ([]result, error) {
	if o.rounds < 1 || o.duration <= 0 {
		return nil, fmt.Errorf("rounds = %d and duration = %v: both must be positive", o.rounds, o.duration)
	}
	names := strings.Split(o.only, ",")
	for _, name := range names {
		if parts()[name] == nil {
			return nil, fmt.Errorf("-only %s: there is no part %q, only cpu, sse and mem", o.only, name)
		}
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	l, err := newLab(ctx, o, dir, progress)
	if err != nil {
		return nil, err
	}
	defer l.upstream.stop()
	var all []result
	for _, name := range names {
		fmt.Fprintf(progress, "bench: measuring %s ...\n", name)
		results, err := parts()[name](ctx, l)
		if err != nil {
			return all, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, results...)
	}
	return all, nil
}

func writeJSON(file string, results []result) error {
	text, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(file), append(text, '\n'), 0o644)
}

// fail prints err and returns the exit status that belongs to it.
func fail(stderr io.Writer, err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(stderr, "bench:", err)
	return 1
}
