//go:build !unix

package upstream

import "syscall"

// rawReader is never ready here: such systems have no read that can be made under a lock. What is left of the guarantee is that
// the transport's reader is parked, and that what it reads before a request is written spoils the connection.
type rawReader struct{}

func (*rawReader) bind(*conn, syscall.RawConn) {}
func (*rawReader) ready() bool                 { return false }
func (*rawReader) read([]byte) (int, error)    { return 0, nil }
func (*rawReader) peek() (n int, ended bool)   { return 0, false }
