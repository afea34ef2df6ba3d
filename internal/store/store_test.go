package store

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// model is the scope of most tests.
func model(name string) limit.Scope {
	return limit.Scope{Provider: "nvidia", Account: "default", Model: name}
}

// charge is a charge at a time that counts for an hour.
func charge(id uint64, at time.Time) quota.Charge {
	return quota.Charge{ID: id, Scope: model("m"), At: at, Until: at.Add(time.Hour), Open: true}
}

// log collects what is logged; it is safe for concurrent use.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// open opens a store that is closed when the test ends, if not before.
func open(t testing.TB, dir string) (*Store, *log) {
	t.Helper()
	var l log
	s, err := Open(Options{Dir: dir, Logger: slog.New(slog.NewTextHandler(&l, nil))})
	if err != nil {
		t.Fatalf("Open(%s) = %v", dir, err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, &l
}

// restore returns what a store found at its start.
func restore(t testing.TB, s *Store) quota.Memory {
	t.Helper()
	m, err := s.Restore(t.Context())
	if err != nil {
		t.Fatalf("Restore() = %v", err)
	}
	return m
}

// reopen closes a store and returns what the next one finds.
func reopen(t testing.TB, s *Store) (*Store, quota.Memory) {
	t.Helper()
	dir := s.vault.dir
	if err := s.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	next, _ := open(t, dir)
	return next, restore(t, next)
}

// crash returns a copy of the directory as it is now: what a process that is killed now would leave.
func crash(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

// must fails the test at an error of a step that is not what is tested.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ids lists the charges of a memory.
func ids(m quota.Memory) (list []uint64) {
	for _, c := range m.Charges {
		list = append(list, c.ID)
	}
	return list
}

// wantIDs fails unless a memory holds these charges and no other.
func wantIDs(t testing.TB, m quota.Memory, want ...uint64) {
	t.Helper()
	if got := ids(m); !slices.Equal(got, want) {
		t.Errorf("charges %v were found; want %v", got, want)
	}
}

// sameMoment compares times as they come back: the two clocks of a machine do not agree to the nanosecond.
func sameMoment(a, b time.Time) bool { return a.Sub(b).Abs() < time.Millisecond }

// ago is a time on the wall clock.
func ago(d time.Duration) time.Time { return time.Now().Add(-d) }

func TestWhatIsKeptComesBackAsItWas(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	if m := restore(t, s); !cmp.Equal(m, quota.Memory{}) {
		t.Errorf("a first start finds %+v; want nothing", m)
	}
	now := time.Now()
	open, aged, gone := charge(1, now.Add(-2*time.Minute)), charge(2, now.Add(-3*time.Minute)), charge(3, now)
	aged.Scope = limit.Scope{Provider: "p", Account: "a"}
	for _, c := range []quota.Charge{open, aged, gone} {
		must(t, s.Charged(c))
	}
	s.Sent(2, now.Add(-time.Minute))
	s.Refunded(3)
	s.Sent(77, now) // nobody's
	s.Refunded(78)
	learned := []quota.Learned{{Scope: aged.Scope, Saved: now, State: []byte(`{"a":1}`)}, {Scope: model("m"), Saved: now}}
	must(t, s.Remember(t.Context(), learned))
	learned[0].State = []byte(`{"a":2}`)
	must(t, s.Remember(t.Context(), learned[:1]))

	_, m := reopen(t, s)
	aged.At, aged.Until, aged.Open = now.Add(-time.Minute), now.Add(59*time.Minute), false
	if m.Lost {
		t.Error("Lost after an orderly end; want not")
	}
	wantIDs(t, m, 1, 2)
	if got := m.Charges[0]; !got.Open || !sameMoment(got.At, open.At) || got.Scope != open.Scope || got.Until.Before(now.Add(time.Hour)) {
		t.Errorf("an open charge came back as %+v; want it open, at %v, until an hour after the end of the process", got, open.At)
	}
	if diff := cmp.Diff(aged, m.Charges[1], cmp.Comparer(sameMoment)); diff != "" {
		t.Errorf("a charge that was sent came back changed (-want +got):\n%s", diff)
	}
	slices.SortFunc(m.Learned, func(a, b quota.Learned) int { return strings.Compare(b.Scope.Provider, a.Scope.Provider) })
	if diff := cmp.Diff(learned, m.Learned, cmp.Comparer(sameMoment)); diff != "" {
		t.Errorf("what was learned came back changed (-want +got):\n%s", diff)
	}
}

func TestInMemoryTheSameStoreEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	s, l := open(t, "")
	must(t, s.Charged(charge(1, time.Now())))
	must(t, s.Remember(t.Context(), []quota.Learned{{Scope: model("m"), Saved: time.Now()}}))
	s.minute(t.Context(), time.Now())
	s.second(time.Now())
	if err := s.Degraded(); err != nil {
		t.Errorf("Degraded() = %v; want nil, since it was asked for", err)
	}
	must(t, s.Close())
	if text := l.String(); text != "" {
		t.Errorf("it logs %s; want nothing", text)
	}
	other, _ := open(t, "")
	if m := restore(t, other); !cmp.Equal(m, quota.Memory{}) {
		t.Errorf("another store in memory finds %+v; want nothing", m)
	}
}

func TestRestoreHandsTheMemoryOver(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	must(t, s.Charged(charge(1, time.Now())))
	s, m := reopen(t, s)
	wantIDs(t, m, 1)
	if again := restore(t, s); !cmp.Equal(again, quota.Memory{}) {
		t.Errorf("a second Restore() = %+v; want nothing", again)
	}
}

func TestNumbersOfChargesNeverComeAgain(t *testing.T) {
	t.Parallel()
	before := uint64(time.Now().UnixMicro())
	s, _ := open(t, t.TempDir())
	if id := s.LastID(); id < before {
		t.Errorf("LastID() = %d; want %d or more, the time in microseconds: the disk may not have been readable", id, before)
	}
	const ahead = 1 << 62 // of a process whose clock was far ahead
	must(t, s.Charged(charge(ahead, time.Now())))
	s, _ = reopen(t, s)
	if id := s.LastID(); id != ahead {
		t.Errorf("LastID() = %d; want %d, which is on disk", id, uint64(ahead))
	}
}

func TestNamesMayBeAnything(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a dir?mode=ro#x", "%41 ü'\"")
	s, _ := open(t, dir)
	scopes := []limit.Scope{
		{Provider: "p", Account: "a", Model: "nul\x00byte"},
		{Provider: "p", Account: "a", Model: "not\xffutf-8"},
		{Provider: "p", Account: "'); DROP TABLE charges; --"},
		{Provider: "p", Account: "a", Model: strings.Repeat("long", 10_000)},
		{},
	}
	for i, scope := range scopes {
		must(t, s.Charged(quota.Charge{ID: uint64(i + 1), Scope: scope, At: time.Now(), Until: time.Now().Add(time.Hour)}))
	}
	if _, err := os.Stat(filepath.Join(dir, "state.db")); err != nil {
		t.Errorf("the file is not where it should be: %v", err)
	}
	_, m := reopen(t, s)
	if m.Lost || len(m.Charges) != len(scopes) {
		t.Fatalf("found %d charges, Lost %t; want %d, false", len(m.Charges), m.Lost, len(scopes))
	}
	for i, c := range m.Charges {
		if c.Scope != scopes[i] {
			t.Errorf("scope %q came back as %q", scopes[i], c.Scope)
		}
	}
}

func TestOnlyThisUserMayReadTheState(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("permissions are not modes there")
	}
	dir := filepath.Join(t.TempDir(), "made", "for", "us")
	check := func() {
		t.Helper()
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the directory has mode %v, %v; want 0700", info.Mode(), err)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 3 { // the file, its journal, the lock
			t.Fatalf("%d files, %v; want three or more", len(files), err)
		}
		for _, f := range files {
			if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("%s has mode %v, %v; want 0600", f.Name(), info.Mode(), err)
			}
		}
	}
	s, _ := open(t, dir)
	must(t, s.Charged(charge(1, time.Now())))
	check()
	must(t, s.Close())
	must(t, os.Chmod(filepath.Join(dir, "state.db"), 0o644))
	s, _ = open(t, dir)
	must(t, s.Charged(charge(2, time.Now())))
	check()
}

func TestTheLockIsOneProcessesAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	l, err := takeLock(path)
	must(t, err)
	if _, err := takeLock(path); !errors.Is(err, errLocked) {
		t.Errorf("a second takeLock() = %v; want that it is locked", err)
	}
	for _, stamp := range []int64{forever, 7, -7} { // each in the place of the other
		must(t, l.setGap(stamp))
		if got, err := l.gap(); got != max(0, stamp) || err != nil {
			t.Errorf("gap() = %d, %v; want %d", got, err, max(0, stamp))
		}
	}
	must(t, l.close())
	l, err = takeLock(path)
	must(t, err)
	must(t, l.close())
}

func TestATransactionThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	s, _ := open(t, "")
	d, failure := s.vault.memory, errors.New("no")
	err := d.transact(func(d *database) error {
		must(t, d.put(row{id: 1, scope: model("m")}))
		return failure
	})
	if !errors.Is(err, failure) {
		t.Errorf("transact() = %v; want %v", err, failure)
	}
	must(t, d.transact(func(d *database) error {
		return d.put(row{id: 2, scope: model("other")}, row{id: 3, scope: model("m")})
	}))
	c, err := d.load(-1)
	must(t, err)
	if len(c.rows) != 2 || c.rows[0].scope != model("other") || c.rows[1].scope != model("m") {
		t.Errorf("rows %+v; want 2 and 3, of the scopes other and m", c.rows)
	}
}

func TestASecondProcessIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := open(t, dir)
	must(t, s.Charged(charge(1, time.Now())))
	other, err := Open(Options{Dir: dir})
	if inUse, ok := errors.AsType[*InUseError](err); other != nil || !ok || inUse.Dir != dir || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "state_dir") {
		t.Fatalf("a second Open() = %v, %v; want an *InUseError that names the directory and what to do", other, err)
	}
	must(t, s.Charged(charge(2, time.Now())))
	_, m := reopen(t, s)
	wantIDs(t, m, 1, 2)
}

func TestAFileThatAnotherProgramHoldsIsInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := open(t, dir)
	must(t, s.Close())
	path := filepath.Join(dir, "state.db")
	other, err := openDatabase(source(path), "")
	must(t, err)
	if _, err := other.start(0); err != nil { // from here on it holds the lock
		t.Fatal(err)
	}
	if s, err := Open(Options{Dir: dir}); s != nil || !isForOperator(err) || !strings.Contains(err.Error(), dir) {
		t.Errorf("Open() = %v, %v; want an *InUseError", s, err)
	}
	must(t, other.close())
	open(t, dir)
}

func TestANewerFileIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := open(t, dir)
	must(t, s.Charged(charge(1, time.Now())))
	must(t, s.vault.disk.exec("PRAGMA user_version = 99"))
	must(t, s.Close())
	path := filepath.Join(dir, "state.db")
	before, err := os.ReadFile(path)
	must(t, err)

	refused, err := Open(Options{Dir: dir})
	newer, ok := errors.AsType[*NewerError](err)
	if refused != nil || !ok || *newer != (NewerError{Path: path, Version: 99, Known: 2}) {
		t.Fatalf("Open() = %v, %v; want a *NewerError of %s with 99 and 2", refused, err, path)
	}
	if text := err.Error(); !strings.Contains(text, path) || !strings.Contains(text, "newer nim-sidecar") {
		t.Errorf("%q does not say what to do with which file", text)
	}
	after, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the file was changed; want it left alone")
	}

	d, err := openDatabase(source(path), "PRAGMA user_version = 2")
	must(t, err)
	must(t, d.close())
	s, _ = open(t, dir) // also: the refusal kept no lock
	wantIDs(t, restore(t, s), 1)
}

func TestMigrationsGoForwardOrNotAtAll(t *testing.T) {
	t.Parallel()
	d, err := openDatabase(inMemory, "")
	must(t, err)
	defer func() { must(t, d.close()) }()
	steps := []string{`CREATE TABLE t (a INTEGER) STRICT; INSERT INTO t VALUES (7)`, `ALTER TABLE t ADD COLUMN b INTEGER`}
	must(t, d.migrate(steps[:1]))
	if err := d.migrate([]string{steps[0], steps[1], `nonsense`}); err == nil {
		t.Error("a step that fails = nil; want an error")
	}
	if version, err := d.number(`PRAGMA user_version`); version != 1 || err != nil {
		t.Errorf("version %d, %v after a step that failed; want 1", version, err)
	}
	must(t, d.migrate(steps))
	must(t, d.migrate(steps)) // nothing is left to do
	if sum, err := d.number(`SELECT sum(a) + sum(ifnull(b, 100)) FROM t`); sum != 107 || err != nil {
		t.Errorf("the rows give %d, %v; want 107: what was there, once, with the new column", sum, err)
	}
	if version, err := d.number(`PRAGMA user_version`); version != 2 || err != nil {
		t.Errorf("version %d, %v; want 2", version, err)
	}
}

func TestAContextBoundsTheWaitForABusyDisk(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	s.turn <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Remember(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Remember() = %v while the disk is silent; want the context's end", err)
	}
	if _, err := s.Restore(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Restore() = %v while the disk is silent; want the context's end", err)
	}
	<-s.turn
}
