//go:build unix

package app

import (
	"math"
	"syscall"
)

// descriptors returns how many files and connections the process may have open at once; 0 = nobody says.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || uint64(limit.Cur) > math.MaxInt32 {
		return 0
	}
	return int(limit.Cur)
}
