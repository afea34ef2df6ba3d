// Command nim-sidecar is sub-commands, signals, exit codes.
//
// Each command is a struct whose fields are its flags and whose Run does the work; the flags of the settings are made from
// config.Settings. Nothing here reads the environment, writes to the terminal or ends the process but through what run is given, so
// everything is tested by calling run.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"

	"nimsidecar/internal/app"
	"nimsidecar/internal/config"

	"github.com/alecthomas/kong"
)

// The exit codes. 69 and 78 are EX_UNAVAILABLE and EX_CONFIG of sysexits.h; a service manager must not restart on 78.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitPort     = 69
	exitSettings = 78
)

func main() {
	if os.Getenv("GOGC") == "" {
		boundGarbage()
	}
	log.SetOutput(io.Discard) // net/http writes there, past our own log, and quotes what an upstream sent
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the process
		<-signals
		signal.Stop(signals) // before anything says that the stop has begun: a second signal ends the process at once, as it does by default
		stop()
	}()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// process is what a command may use of the process it runs in.
type process struct {
	environ        []string
	stdout, stderr io.Writer
	grammar        *kong.Kong
}

// run runs one command until it is done or ctx ends, and returns the exit code.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	p := &process{environ: environ, stdout: stdout, stderr: stderr}
	helped := false
	grammar, err := kong.New(newCommands(), kong.Name("nim-sidecar"),
		kong.Description("Shares one scarce LLM quota between many agents: paces, queues, and hides the refusals."),
		kong.Writers(stdout, stderr), kong.Exit(func(int) { helped = true }), kong.Vars{"version": version()},
		kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(p), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))
	if err != nil {
		panic("nim-sidecar: the grammar of the command line: " + err.Error())
	}
	p.grammar = grammar
	command, err := grammar.Parse(args)
	if helped {
		return exitOK // the help was printed, whatever else stands on the line
	}
	if err != nil {
		fmt.Fprintf(stderr, "nim-sidecar: %v (try nim-sidecar --help)\n", err)
		return exitUsage
	}
	if err := command.Run(); err != nil {
		code := exitCode(err)
		if code == exitSettings {
			fmt.Fprintln(stderr, "nim-sidecar: these settings are not valid:")
		} else {
			fmt.Fprint(stderr, "nim-sidecar: ")
		}
		fmt.Fprintln(stderr, err)
		return code
	}
	return exitOK
}

// errUsage marks what is wrong with the command line but only its command can tell.
var errUsage = errors.New("wrong usage")

// exitCode classifies an error.
func exitCode(err error) int {
	if _, ok := errors.AsType[*config.Problem](err); ok {
		return exitSettings
	}
	if _, ok := errors.AsType[*app.ListenError](err); ok {
		return exitPort
	}
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}
