//go:build !linux

package app

// monotonic is asked for by systemd, which only Linux has.
func monotonic() string { return "0" }
