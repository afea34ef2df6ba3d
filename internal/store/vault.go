package store

import (
	"errors"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"nimsidecar/internal/quota"
)

const (
	// longest is the longest time for which a charge may count: the longest period that a limit can have, a day, and a margin.
	longest = 25 * time.Hour
	// unused is how long what was learned of a scope is kept although nobody remembers it anew.
	unused = 30 * 24 * time.Hour
	// forever is the gap while the disk fails.
	forever = math.MaxInt64
	// noticeable is how far the wall clock must have been set to be followed: keeping time moves it by less all day.
	noticeable = time.Second
)

// vault is where the state is kept: on disk, or in memory for as long as that cannot be. One goroutine at a time may use it.
type vault struct {
	dir    string
	logger *slog.Logger

	memory *database
	disk   *database // nil = the state is in memory
	lock   *lock     // nil until the directory is ours
	line   line
	gap    int64 // a stamp: until then charges may be missing from disk, so that a restart must assume the worst

	trouble  error // why the state is not on disk though it should be
	failures uint64
	jumps    uint64

	tune string // tests: more pragmas for the disk
}

// newVault returns a vault that keeps in memory.
func newVault(dir string, logger *slog.Logger, now time.Time) (*vault, error) {
	if dir != "" {
		absolute, err := filepath.Abs(dir)
		if err != nil {
			return nil, err
		}
		dir = absolute
	}
	v := &vault{dir: dir, logger: logger, line: line{origin: now}}
	memory, err := openDatabase(inMemory, "")
	if err != nil {
		return nil, err
	}
	if _, err := memory.start(0); err != nil {
		return nil, errors.Join(err, memory.close())
	}
	v.memory = memory
	return v, nil
}

// path is where the file is.
func (v *vault) path() string { return filepath.Join(v.dir, "state.db") }

// found is what a start comes upon.
type found struct {
	memory quota.Memory
	lastID uint64
}

// open goes to the disk, if there is to be one, and returns what an earlier process left there. Its errors are those of Open.
func (v *vault) open(now time.Time) (found, error) {
	stamp := v.line.stamp(now)
	f := found{lastID: uint64(stamp / int64(time.Microsecond))}
	if v.dir == "" {
		return f, nil
	}
	c, err := v.toDisk(now, func(c content) int64 { return min(c.pulse+int64(2*beat), stamp) })
	if isForOperator(err) {
		return f, err
	}
	if err != nil {
		v.fail(err, now)
	} else {
		v.setGap(v.gap)
	}
	f.lastID = max(f.lastID, uint64(max(c.lastID, 0)))
	f.memory = quota.Memory{Learned: c.learned, Lost: v.gap > stamp}
	for _, r := range c.rows {
		if r.until > stamp {
			f.memory.Charges = append(f.memory.Charges, quota.Charge{
				ID: uint64(r.id), Scope: r.scope, At: v.line.moment(r.at), Until: v.line.moment(r.until), Open: r.open,
			})
		}
	}
	return f, nil
}

// toDisk makes the file the place of the state, and returns what it held. Even with an error, which leaves the state in memory, that
// may have been read. End says when the process ended that wrote it.
func (v *vault) toDisk(now time.Time, end func(content) int64) (c content, err error) {
	stamp := v.line.stamp(now)
	if err = v.enter(stamp); err == nil {
		v.disk, c, err = v.read(stamp)
	}
	if isDamage(err) {
		if err = v.setAside(err, now); err == nil {
			v.disk, c, err = v.read(stamp)
		}
	}
	if err != nil {
		if !isAbsent(v.path()) {
			v.gap = stamp + int64(longest)
		}
		return c, err
	}
	changed := adopt(c.rows, stamp, end(c))
	err = v.disk.transact(func(d *database) error {
		return inOrder(
			func() error { return d.put(changed...) },
			func() error { return d.forget(stamp - int64(unused)) },
			func() error { return d.live(stamp) },
		)
	})
	return c, err
}

// enter makes the directory ours, and learns whether what it holds is all there ever was: a lock without its file says that somebody
// took the file away.
func (v *vault) enter(stamp int64) error {
	if v.lock != nil {
		return nil
	}
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return err
	}
	path := v.path() + ".lock"
	gone := !isAbsent(path) && isAbsent(v.path())
	l, err := takeLock(path)
	if errors.Is(err, errLocked) {
		return &InUseError{Dir: v.dir}
	}
	if err != nil {
		return err
	}
	worst := stamp + int64(longest)
	gap, err := l.gap()
	if err != nil || gone {
		gap = worst
	}
	v.lock, v.gap = l, max(v.gap, min(gap, worst))
	return v.lock.setGap(v.gap)
}

// read opens the file, or makes it, and reads it.
func (v *vault) read(stamp int64) (d *database, c content, err error) {
	fresh, err := prepareFile(v.path())
	if err != nil {
		return nil, c, err
	}
	if d, err = openDatabase(source(v.path()), v.tune); err == nil {
		c, err = d.start(stamp)
	}
	if err == nil {
		return d, c, nil
	}
	if d != nil {
		_ = d.close() // it may well complain of the same
	}
	if fresh {
		_ = os.Remove(v.path()) // an empty file would count as damaged
	}
	return nil, c, v.explain(err)
}

// inOrder calls the steps one after the other and returns the first error.
func inOrder(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// adopt brings what a process left in line with the present, in place, and returns the rows that it changed: what was open counts as
// sent when the process ended, nothing lies in the future, nothing counts for longer than it can.
func adopt(rows []row, now, end int64) (changed []row) {
	for i, r := range rows {
		r.span = min(max(r.span, 0), int64(longest))
		r.at = min(r.at, now)
		if r.until == 0 {
			r.until = max(r.at, end) + r.span
		}
		r.until = min(r.until, now+r.span)
		if r != rows[i] {
			rows[i] = r
			changed = append(changed, r)
		}
	}
	return changed
}

// write runs f in a transaction where the state is. An error says that the result is not on disk though it should be; then it is in
// memory, unless that fails as well.
func (v *vault) write(f func(*database) error) error {
	if v.disk != nil {
		err := v.disk.transact(f)
		if err == nil {
			return nil
		}
		v.fail(err, time.Now())
	}
	if err := v.memory.transact(f); err != nil {
		v.failures++
		return err
	}
	return v.trouble
}

// fail leaves the disk for memory.
func (v *vault) fail(err error, now time.Time) {
	v.failures++
	v.leave()
	if isDamage(err) {
		if moved := v.setAside(err, now); moved != nil {
			err = moved
		}
	}
	if v.lock != nil {
		_ = v.lock.setGap(forever) // what else could be done?
	}
	v.trouble = &degradedError{v.dir, err}
	v.logger.Warn("state is kept in memory", "dir", v.dir, "error", err, "remedy", remedy(err), "again_in", beat.String())
}

// leave closes the file.
func (v *vault) leave() {
	if v.disk != nil {
		_ = v.disk.close() // it may well complain: that is why it is left
		v.disk = nil
	}
}

// retry goes back to the disk, if that failed, with all that memory holds.
func (v *vault) retry(now time.Time) {
	if v.trouble == nil {
		return
	}
	stamp := v.line.stamp(now)
	_, err := v.toDisk(now, func(content) int64 { return stamp })
	if err == nil {
		err = v.carryOver(stamp)
	}
	if err != nil {
		v.fail(err, now)
		return
	}
	v.trouble = nil
	v.setGap(v.gap) // else a restart assumes the worst without need
	v.logger.Info("state is on disk again", "dir", v.dir)
}

// carryOver moves what memory holds to disk. What was learned there is newer.
func (v *vault) carryOver(stamp int64) error {
	c, err := v.memory.load(stamp)
	if err != nil {
		return err
	}
	err = v.disk.transact(func(d *database) error {
		return inOrder(func() error { return d.put(c.rows...) }, func() error { return d.learn(c.learned) })
	})
	if err != nil {
		return err
	}
	return v.memory.transact((*database).empty)
}

// tidy forgets some of what counts no more and reports whether there is more of it; when there is not, it writes that the process
// lives.
func (v *vault) tidy(now time.Time) (more bool) {
	d := v.memory
	if v.disk != nil {
		d = v.disk
	}
	stamp := v.line.stamp(now)
	more, err := d.prune(stamp)
	if err == nil && !more {
		err = inOrder(func() error { return d.live(stamp) }, d.reclaim)
	}
	if err != nil && v.disk != nil {
		v.fail(err, now)
	}
	return more && err == nil
}

// follow moves the time line, and all that is stored, after a wall clock that was set.
func (v *vault) follow(now time.Time) {
	by := v.line.drift(now)
	if by.Abs() < noticeable {
		return
	}
	v.jumps++
	v.line.set += int64(by)
	v.logger.Info("the wall clock was set", "by", by.String())
	_ = v.write(func(d *database) error { return d.shift(by) }) // if it fails, the gap says so
	if v.gap > 0 {
		v.setGap(v.gap + int64(by))
	}
}

// miss notes that a charge which counts until then is not on disk.
func (v *vault) miss(until time.Time) {
	if stamp := v.line.stamp(until); stamp > v.gap {
		v.setGap(stamp)
	}
}

// setGap changes the gap. While the disk fails, what the file says is "for ever".
func (v *vault) setGap(stamp int64) {
	v.gap = stamp
	if v.disk != nil {
		_ = v.lock.setGap(stamp)
	}
}

// close leaves everything in order. A disk that failed gets a last chance.
func (v *vault) close(now time.Time) error {
	v.retry(now)
	if v.disk != nil {
		if err := v.disk.live(v.line.stamp(now)); err != nil {
			v.fail(err, now)
		}
	}
	return v.release()
}

// release closes everything as it is.
func (v *vault) release() error {
	var errs []error
	if v.disk != nil {
		errs = append(errs, v.disk.close())
	}
	errs = append(errs, v.memory.close())
	if v.lock != nil {
		errs = append(errs, v.lock.close())
	}
	return errors.Join(errs...)
}

// isAbsent reports whether there certainly is no such file.
func isAbsent(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}
