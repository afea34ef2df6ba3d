//go:build !windows

package store

import (
	"errors"
	"os"
	"syscall"
)

// takeLock opens the lock file, and makes it if there is none. The lock ends with the process, however that ends.
func takeLock(path string) (*lock, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, err
	}
	return &lock{file}, nil
}

// close lets another process have the lock, also where a child that is just being started still has the file. The file stays: to
// remove it would let two processes hold one each.
func (l *lock) close() error {
	return errors.Join(syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN), l.file.Close())
}
