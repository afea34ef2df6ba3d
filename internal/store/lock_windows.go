package store

import (
	"errors"
	"os"
	"syscall"
)

// sharingViolation is ERROR_SHARING_VIOLATION: somebody else has the file open.
const sharingViolation syscall.Errno = 32

// takeLock opens the lock file for this process alone, and makes it if there is none. The lock ends with the process, however that
// ends.
func takeLock(path string) (*lock, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const alone = 0
	handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, alone, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, sharingViolation) {
		return nil, errLocked
	}
	if err != nil {
		return nil, err
	}
	return &lock{os.NewFile(uintptr(handle), path)}, nil
}

// close lets another process have the lock.
func (l *lock) close() error { return l.file.Close() }
