//go:build unix

package top

import (
	"os"
	"os/signal"
	"syscall"
)

// notifyResize has the system say when the size of the terminal has changed.
func notifyResize(c chan<- os.Signal) { signal.Notify(c, syscall.SIGWINCH) }

func stopResize(c chan<- os.Signal) { signal.Stop(c) }
