//go:build !unix

package top

import "os"

// notifyResize does nothing: there is no such signal, and the size is asked for with each event.
func notifyResize(chan<- os.Signal) {}

func stopResize(chan<- os.Signal) {}
