package main

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// versionCommand prints the version.
type versionCommand struct{}

// Run prints version, commit, Go version and platform.
func (c *versionCommand) Run(p *process) error {
	_, err := fmt.Fprintf(p.stdout, "nim-sidecar %s (commit %s, %s, %s/%s)\n", version(), commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}

// version returns what the go command wrote into the binary: the tag of the commit, or a version made from the commit.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "(devel)" {
		return "dev"
	}
	return cmp.Or(info.Main.Version, "dev")
}

// committed returns the day of that commit, such as 2026-11-25; "" where it is not known.
func committed() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if day, _, cut := strings.Cut(s.Value, "T"); s.Key == "vcs.time" && cut {
			return day
		}
	}
	return ""
}

// commit returns the commit that the binary was built from, with a + when there were changes to it.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	found, changed := "unknown", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			found = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	return found + changed
}
