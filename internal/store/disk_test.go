package store

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"nimsidecar/internal/quota"
)

// full makes the disk of an open store full: no page more fits into the file.
const full = "PRAGMA max_page_count = 1"

// fillUp charges until the disk is full, and returns the number of the first charge that is not on disk.
func fillUp(t testing.TB, s *Store) (id uint64) {
	t.Helper()
	must(t, s.vault.disk.exec(full)) // as many as there are stay
	for id = 10_000; id < 20_000; id++ {
		if err := s.Charged(charge(id, time.Now())); err != nil {
			if code(err) != sqlite3.SQLITE_FULL {
				t.Fatalf("Charged() = %v; want that the disk is full", err)
			}
			return id
		}
	}
	t.Fatal("the disk does not fill up")
	return 0
}

func TestAFullDiskIsLeftForMemoryAndTakenUpAgain(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	s, log := open(t, dir)
	first := fillUp(t, s)
	err := s.Degraded()
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "free some space") {
		t.Errorf("Degraded() = %v; want the directory and what to do", err)
	}
	if err := s.Charged(charge(30_000, time.Now())); err == nil {
		t.Error("Charged() = nil; want an error, since a kill would lose it")
	}
	s.Sent(30_000, time.Now())
	if err := s.Remember(t.Context(), []quota.Learned{{Scope: model("m"), Saved: time.Now(), State: []byte("newer")}}); err == nil {
		t.Error("Remember() = nil; want an error, since a kill would lose it")
	}
	s.second(time.Now())

	killed, _ := open(t, crash(t, dir))
	if m := restore(t, killed); !m.Lost || len(m.Charges) != filledWith+int(first-10_000) {
		t.Errorf("after a kill now: %d charges, Lost %t; want %d, those that were acknowledged, true", len(m.Charges), m.Lost, filledWith+first-10_000)
	}
	must(t, killed.Close())
	again, _ := open(t, killed.vault.dir)
	if m := restore(t, again); !m.Lost {
		t.Error("not Lost at the second start after it; want it still")
	}

	s.vault.tune = ";" + full
	s.minute(t.Context(), time.Now())
	if s.Degraded() == nil || s.Stats().Failures < 2 {
		t.Errorf("Degraded() = %v, %+v after a try on a disk that is still full; want an error, 2 failures or more", s.Degraded(), s.Stats())
	}
	s.vault.tune = ""
	s.minute(t.Context(), time.Now())
	if err := s.Degraded(); err != nil {
		t.Errorf("Degraded() = %v on a disk with space; want nil", err)
	}
	if text := log.String(); strings.Count(text, "level=WARN") != 2 || strings.Count(text, "on disk again") != 1 {
		t.Errorf("the log is\n%s\nwant a warning for each failure, at most one a minute, and the end", text)
	}
	must(t, s.Charged(charge(30_001, time.Now())))

	killed, _ = open(t, crash(t, dir))
	m := restore(t, killed)
	if m.Lost || len(m.Charges) != filledWith+int(first-10_000)+3 {
		t.Errorf("after a kill now: %d charges, Lost %t; want %d, all, false", len(m.Charges), m.Lost, filledWith+first-10_000+3)
	}
	if len(m.Learned) != 1 || string(m.Learned[0].State) != "newer" || m.Learned[0].Saved.Before(ago(time.Minute)) {
		t.Errorf("learned: %+v; want what came while the disk was full", m.Learned)
	}
	if c := m.Charges[len(m.Charges)-2]; c.ID != 30_000 || c.Open {
		t.Errorf("a charge that was sent while the disk was full is %+v; want it not open", c)
	}
}

func TestAReadOnlyDiskIsLeftForMemory(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	must(t, s.vault.disk.exec("PRAGMA query_only = ON"))
	if err := s.Charged(charge(1, time.Now())); code(err) != sqlite3.SQLITE_READONLY {
		t.Fatalf("Charged() = %v; want that it is read-only", err)
	}
	if err := s.Degraded(); err == nil || !strings.Contains(err.Error(), "write there") {
		t.Errorf("Degraded() = %v; want what to do", err)
	}
	_, m := reopen(t, s) // the disk is tried once more at the end
	wantIDs(t, m, 1)
	if m.Lost {
		t.Error("Lost; want not, since all was carried over at the end")
	}
}

func TestWhatWasCarriedOverDoesNotComeBack(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	must(t, s.vault.disk.exec("PRAGMA query_only = ON"))
	_ = s.Charged(charge(1, time.Now())) // in memory, then carried over
	s.minute(t.Context(), time.Now())
	must(t, s.Charged(charge(2, time.Now())))
	s.Refunded(1)
	s.flush()
	must(t, s.vault.disk.exec("PRAGMA query_only = ON"))
	s.Sent(2, time.Now())
	s.flush()
	s.minute(t.Context(), time.Now())
	_, m := reopen(t, s)
	wantIDs(t, m, 2)
}

func TestHousekeepingThatFailsLeavesTheDisk(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	must(t, s.vault.disk.exec("PRAGMA query_only = ON"))
	s.minute(t.Context(), time.Now())
	if s.Degraded() == nil {
		t.Error("Degraded() = nil; want an error")
	}
}

func TestAStartOnAFullDiskStillRemembers(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	s, _ := open(t, dir)
	must(t, s.Close())
	v, err := newVault(dir, s.vault.logger, time.Now())
	must(t, err)
	v.tune = ";PRAGMA query_only = ON"
	found, err := v.open(time.Now())
	must(t, err)
	if v.trouble == nil || found.memory.Lost || len(found.memory.Charges) != filledWith || len(found.memory.Learned) != 1 {
		t.Errorf("trouble %v, %d charges, %d learned, Lost %t; want an error, all, 1, false: it could be read", v.trouble, len(found.memory.Charges), len(found.memory.Learned), found.memory.Lost)
	}
	must(t, v.release())
}

func TestADirectoryThatCannotBeMadeIsTriedAgain(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(blocked, nil, 0o600))
	dir := filepath.Join(blocked, "state")
	s, log := open(t, dir)
	if m := restore(t, s); len(m.Charges) > 0 || !m.Lost {
		t.Errorf("found %+v; want nothing, Lost, since nobody knows what is there", m)
	}
	if s.Degraded() == nil || strings.Count(log.String(), "level=WARN") != 1 {
		t.Errorf("Degraded() = %v, log %s; want an error and a warning", s.Degraded(), log)
	}
	if err := s.Charged(charge(s.LastID()+1, time.Now())); err == nil {
		t.Error("Charged() = nil; want an error")
	}
	must(t, os.Remove(blocked))
	s.minute(t.Context(), time.Now())
	if err := s.Degraded(); err != nil {
		t.Fatalf("Degraded() = %v when the directory can be made; want nil", err)
	}
	_, m := reopen(t, s)
	wantIDs(t, m, s.LastID()+1)
}

func TestAFirstStartThatFailsLeavesNoEmptyFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v, err := newVault(dir, slog.New(slog.DiscardHandler), time.Now())
	must(t, err)
	v.tune = ";" + full
	for range 3 {
		if found, err := v.open(time.Now()); err != nil || found.memory.Lost || v.trouble == nil {
			t.Errorf("open = %+v, %v, trouble %v; want a first start in trouble", found, err, v.trouble)
		}
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(files) != 1 {
		t.Errorf("%v, %v are in the directory; want the lock alone", files, err)
	}
	v.tune = ""
	v.retry(time.Now())
	if v.trouble != nil || len(aside(t, dir)) > 0 {
		t.Errorf("trouble %v, set aside %v; want none", v.trouble, aside(t, dir))
	}
	must(t, v.release())
}

func TestSomebodyElseInTheDirectoryWhileInMemory(t *testing.T) {
	t.Parallel()
	blocked := filepath.Join(t.TempDir(), "dir")
	must(t, os.WriteFile(blocked, nil, 0o600))
	s, _ := open(t, blocked)
	must(t, os.Remove(blocked))
	other, _ := open(t, blocked)
	must(t, other.Charged(charge(1, time.Now())))
	s.minute(t.Context(), time.Now())
	if err := s.Degraded(); !errors.As(err, new(*InUseError)) {
		t.Errorf("Degraded() = %v; want an *InUseError", err)
	}
	must(t, s.Close())
	_, m := reopen(t, other)
	wantIDs(t, m, 1)
}
