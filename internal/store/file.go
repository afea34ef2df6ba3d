package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// An InUseError says that another process keeps its state in the directory.
type InUseError struct {
	Dir string // absolute
}

// Error says what is wrong and what to do.
func (e *InUseError) Error() string {
	return fmt.Sprintf("the state directory %s is in use by another process: stop that one, or give this one a state_dir of its own", e.Dir)
}

// isForOperator reports whether a start must fail with err.
func isForOperator(err error) bool {
	var inUse *InUseError
	var newer *NewerError
	return errors.As(err, &inUse) || errors.As(err, &newer)
}

// degradedError is what Degraded returns while the state is in memory.
type degradedError struct {
	dir   string
	cause error
}

func (e *degradedError) Error() string {
	return fmt.Sprintf("the state cannot be kept in %s: %v: %s", e.dir, e.cause, remedy(e.cause))
}

func (e *degradedError) Unwrap() error { return e.cause }

// damageError says what is wrong with a file that is not what it should be.
type damageError struct{ what string }

func (e *damageError) Error() string { return e.what }

// code returns SQLite's primary result code of an error, 0 if it is none of SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

// isDamage reports whether an error says that the file is not one of ours, or not any more.
func isDamage(err error) bool {
	var damage *damageError
	c := code(err)
	return errors.As(err, &damage) || c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB
}

// explain says of an error in opening the file what SQLite cannot know.
func (v *vault) explain(err error) error {
	var newer *NewerError
	switch c := code(err); {
	case errors.As(err, &newer):
		newer.Path = v.path()
	case c == sqlite3.SQLITE_BUSY:
		return &InUseError{Dir: v.dir}
	case c == sqlite3.SQLITE_ERROR: // our statements are right, so its tables are not
		return &damageError{err.Error()}
	}
	return err
}

// remedy says what an operator can do about a disk that cannot be written.
func remedy(err error) string {
	switch c := code(err); {
	case c == sqlite3.SQLITE_FULL, errors.Is(err, syscall.ENOSPC):
		return "free some space on its disk"
	case c == sqlite3.SQLITE_READONLY, c == sqlite3.SQLITE_CANTOPEN, c == sqlite3.SQLITE_PERM, errors.Is(err, fs.ErrPermission):
		return "let the user of this process write there"
	}
	return "look at the directory and at the health of its disk"
}

// prepareFile makes the file if there is none, for this user alone, since SQLite would make it as the umask says, and its journal
// after it.
func prepareFile(path string) (fresh bool, err error) {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return false, err
		}
		return true, f.Close()
	case err != nil:
		return false, err
	case !info.Mode().IsRegular():
		return false, &damageError{"it is not a file"}
	case info.Size() == 0:
		return false, &damageError{"it is empty"}
	case info.Mode().Perm()&0o077 != 0:
		return false, os.Chmod(path, 0o600)
	}
	return false, nil
}

// source is how SQLite calls a file.
func source(path string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // of a drive
	}
	return (&url.URL{Scheme: "file", Path: slashed}).String()
}

// setAside renames the file and its journal, so that a new one can be begun, and says so.
func (v *vault) setAside(cause error, now time.Time) error {
	v.gap = v.line.stamp(now) + int64(longest)
	var to string
	for at := now.Unix(); to == "" || !isAbsent(to); at++ {
		to = v.path() + ".corrupt-" + strconv.FormatInt(at, 10)
	}
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Rename(v.path()+suffix, to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	v.logger.Error("the state was damaged: it is set aside and a new one begun; what was sent lately is not known, so the shortest window counts as full",
		"file", to, "error", cause, "remedy", "look at the health of the disk; delete the file, or keep it for a report")
	return nil
}

var errLocked = errors.New("locked by another process")

// lock is a file that one process at a time can hold open, and the gap in it.
type lock struct{ file *os.File }

// gapFormat has a fixed width, so that a gap always takes the place of another and no disk is too full for it.
const gapFormat = "%020d\n"

// gap returns the stamp in the file; that of a new file is 0.
func (l *lock) gap() (int64, error) {
	buffer := make([]byte, 64)
	n, err := l.file.ReadAt(buffer, 0)
	switch {
	case n == 0 && errors.Is(err, io.EOF):
		return 0, nil
	case n == 0:
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(buffer[:n])), 10, 64)
}

// setGap writes the stamp.
func (l *lock) setGap(stamp int64) error {
	_, err := fmt.Fprintf(io.NewOffsetWriter(l.file, 0), gapFormat, max(0, stamp))
	return err
}
