package store

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nimsidecar/internal/quota"
)

// aside lists what was set aside in a directory, journals left out.
func aside(t testing.TB, dir string) (paths []string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "state.db.corrupt-*"))
	must(t, err)
	return slices.DeleteFunc(paths, func(path string) bool { return strings.HasSuffix(path, "-wal") || strings.HasSuffix(path, "-journal") })
}

// filledWith is how many charges there are in a filled store: enough to fill some pages.
const filledWith = 1000

// filled makes a store with something in it, and returns its directory when it is closed.
func filled(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, _ := open(t, dir)
	rows := make([]row, filledWith)
	for i := range rows {
		at := s.vault.line.stamp(time.Now())
		rows[i] = row{id: int64(i + 1), scope: model("m"), at: at, span: int64(time.Hour), until: at + int64(time.Hour)}
	}
	must(t, s.vault.write(func(d *database) error { return d.put(rows...) }))
	must(t, s.Remember(t.Context(), []quota.Learned{{Scope: model("m"), Saved: time.Now(), State: []byte("{}")}}))
	must(t, s.Close())
	return dir
}

// damages are what may have become of a file.
var damages = map[string]func(path string, content []byte) error{
	"cut in half":           func(path string, content []byte) error { return os.Truncate(path, int64(len(content)/2)) },
	"cut in the first page": func(path string, _ []byte) error { return os.Truncate(path, 100) },
	"empty":                 func(path string, _ []byte) error { return os.Truncate(path, 0) },
	"a text":                func(path string, _ []byte) error { return os.WriteFile(path, []byte("to do: buy milk\n"), 0o600) },
	"noise": func(path string, content []byte) error {
		return os.WriteFile(path, noise(content, 0, len(content)), 0o600)
	},
	"noise in the head": func(path string, content []byte) error { return os.WriteFile(path, noise(content, 16, 100), 0o600) },
	"noise in the middle": func(path string, content []byte) error {
		return os.WriteFile(path, noise(content, len(content)/2, len(content)/2+8192), 0o600)
	},
	"zeros in the middle": func(path string, content []byte) error {
		clear(content[len(content)/2:][:8192])
		return os.WriteFile(path, content, 0o600)
	},
	"a directory": func(path string, _ []byte) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		return os.MkdirAll(filepath.Join(path, "sub"), 0o700)
	},
	"another program's": func(path string, _ []byte) error {
		if err := os.Remove(path); err != nil {
			return err
		}
		d, err := openDatabase(source(path), "CREATE TABLE photos (id INTEGER)")
		if err != nil {
			return err
		}
		return d.close()
	},
	"without its tables": func(path string, _ []byte) error {
		d, err := openDatabase(source(path), "DROP TABLE charges")
		if err != nil {
			return err
		}
		return d.close()
	},
}

// noise overwrites a part of content with random bytes.
func noise(content []byte, from, to int) []byte {
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(content[from:to])
	return content
}

func TestADamagedFileIsSetAsideAndANewOneBegun(t *testing.T) {
	t.Parallel()
	template := filled(t)
	content, err := os.ReadFile(filepath.Join(template, "state.db"))
	must(t, err)
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := crash(t, template)
			must(t, damage(filepath.Join(dir, "state.db"), bytes.Clone(content)))
			s, log := open(t, dir)
			m := restore(t, s)
			if !m.Lost || len(m.Charges) > 0 || len(m.Learned) > 0 || s.Degraded() != nil {
				t.Errorf("found %d charges, %d learned, Lost %t, Degraded %v; want 0, 0, true, nil", len(m.Charges), len(m.Learned), m.Lost, s.Degraded())
			}
			kept := aside(t, dir)
			if len(kept) != 1 || !strings.HasPrefix(filepath.Base(kept[0]), fmt.Sprintf("state.db.corrupt-%d", time.Now().Unix()/1000)) {
				t.Fatalf("set aside: %v; want one file named by the time", kept)
			}
			for _, word := range []string{"level=ERROR", "set aside", kept[0], "remedy="} {
				if !strings.Contains(log.String(), word) {
					t.Errorf("the log lacks %q:\n%s", word, log)
				}
			}
			must(t, s.Charged(charge(5000, time.Now())))
			_, m = reopen(t, s)
			wantIDs(t, m, 5000)
			if !m.Lost {
				t.Error("not Lost at the second start; want it still, since the charges that are missing still count")
			}
			if again := aside(t, dir); len(again) != 1 {
				t.Errorf("set aside after the second start: %v; want no more", again)
			}
		})
	}
}

func TestSeveralFilesCanBeSetAsideInOneSecond(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 3 {
		must(t, os.WriteFile(filepath.Join(dir, "state.db"), []byte("text"), 0o600))
		s, _ := open(t, dir)
		must(t, s.Close())
	}
	if kept := aside(t, dir); len(kept) != 3 {
		t.Errorf("set aside: %v; want three files", kept)
	}
}

func TestTheJournalGoesAsideWithItsFile(t *testing.T) {
	t.Parallel()
	s, _ := open(t, filled(t))
	must(t, s.Charged(charge(5000, time.Now())))
	dir := crash(t, s.vault.dir)
	must(t, os.WriteFile(filepath.Join(dir, "state.db"), []byte("text that is longer than the head of a database, which has a hundred bytes, and is none"), 0o600))
	s, _ = open(t, dir)
	kept := aside(t, dir)
	if len(kept) != 1 {
		t.Fatalf("set aside: %v; want one file", kept)
	}
	if _, err := os.Stat(kept[0] + "-wal"); err != nil {
		t.Errorf("its journal is not beside it: %v", err)
	}
	if m := restore(t, s); !m.Lost || len(m.Charges) > 0 {
		t.Errorf("found %+v; want nothing, Lost", m)
	}
}

func TestDamageThatShowsWhileRunningCostsOnlyWhatWasInTheFile(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	s, log := open(t, dir)
	must(t, s.vault.disk.exec("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA shrink_memory"))
	path := filepath.Join(dir, "state.db")
	content, err := os.ReadFile(path)
	must(t, err)
	must(t, os.WriteFile(path, noise(content, 4096, len(content)), 0o600))

	if err := s.Charged(charge(5000, time.Now())); err == nil || !isDamage(err) {
		t.Fatalf("Charged() = %v; want that the file is damaged", err)
	}
	if len(aside(t, dir)) != 1 || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("set aside: %v, log %s; want it done and said at once", aside(t, dir), log)
	}
	s.minute(t.Context(), time.Now())
	if err := s.Degraded(); err != nil {
		t.Errorf("Degraded() = %v a minute later; want nil, on a new file", err)
	}
	_, m := reopen(t, s)
	wantIDs(t, m, 5000)
	if !m.Lost {
		t.Error("not Lost; want Lost, since the old file's charges are missing")
	}
}

func TestALockFileThatCannotBeReadMeansLost(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	must(t, os.WriteFile(filepath.Join(dir, "state.db.lock"), []byte("tomorrow"), 0o600))
	s, _ := open(t, dir)
	if m := restore(t, s); !m.Lost || len(m.Charges) != filledWith {
		t.Errorf("found %d charges, Lost %t; want all, true", len(m.Charges), m.Lost)
	}
}

func TestAFileThatWasTakenAwayMeansLost(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	must(t, os.Remove(filepath.Join(dir, "state.db")))
	s, log := open(t, dir)
	if m := restore(t, s); !m.Lost || s.Degraded() != nil || log.String() != "" {
		t.Errorf("Lost %t, Degraded %v, log %s; want true, nil, nothing", m.Lost, s.Degraded(), log)
	}
	if _, m := reopen(t, s); !m.Lost {
		t.Error("not Lost at the second start; want it still")
	}
}
