package store

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"nimsidecar/internal/history"

	"github.com/google/go-cmp/cmp"
)

// rows are so many rows of the first span, the last of them at a time.
func rows(now time.Time, n int) (all []history.Row) {
	l := history.New()
	for i := range n {
		l.Add(now.Add(time.Duration(i+1-n)*history.Step), history.Sample{Granted: i})
	}
	for _, r := range l.Unsaved() {
		if r.Step == history.Step {
			all = append(all, r)
		}
	}
	return all
}

func TestHistoryOutlivesTheProcess(t *testing.T) {
	t.Parallel()
	dir, now := t.TempDir(), time.Now()
	s, _ := open(t, dir)
	want := rows(now, 5)
	for range 2 { // the same steps again take the place of what was there
		if err := s.Append(t.Context(), want); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, _ = open(t, dir)
	got, err := s.History(t.Context())
	if diff := cmp.Diff(want, got, cmp.Exporter(func(reflect.Type) bool { return true })); err != nil || diff != "" {
		t.Errorf("History() = %v (-want +got):\n%s", err, diff)
	}
}

func TestHistoryForgetsWhatNoGraphReaches(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	now := time.Now()
	for i := range 4 {
		if err := s.Append(t.Context(), rows(now.Add(time.Duration(i)*7*time.Minute), 180)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.History(t.Context())
	if err != nil || len(got) != 180 {
		t.Errorf("History() = %d rows, %v; want the last 180", len(got), err)
	}
	if newest, want := got[len(got)-1].Slot, now.Add(21*time.Minute).UnixNano()/int64(history.Step); newest != want {
		t.Errorf("the newest row is that of step %d; want %d", newest, want)
	}
}

func TestRowsThatCannotBeReadAreLeftOut(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	if err := s.Append(t.Context(), rows(time.Now(), 3)); err != nil {
		t.Fatal(err)
	}
	err := s.use(t.Context(), func() error {
		return s.vault.disk.exec(`UPDATE history SET row = x'00' WHERE slot = (SELECT max(slot) FROM history)`)
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.History(t.Context()); err != nil || len(got) != 2 {
		t.Errorf("History() = %d rows, %v; want the two that can be read", len(got), err)
	}
}

func TestTheOverlayIsTheLastOneThatWasKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, _ := open(t, dir)
	if got, err := s.Overlay(t.Context()); err != nil || got != nil {
		t.Errorf("Overlay() of a new store = %q, %v; want none", got, err)
	}
	for _, text := range []string{"one", "two"} {
		if err := s.KeepOverlay(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	_ = s.Close()
	s, _ = open(t, dir)
	if got, err := s.Overlay(t.Context()); err != nil || !bytes.Equal(got, []byte("two")) {
		t.Errorf("Overlay() = %q, %v; want two", got, err)
	}
}

// The graphs must never be why something stops, nor charges be lost for them.
func TestHistoryOfADiskThatFailsIsAnErrorAndNoMore(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "in the way")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, filepath.Join(file, "state"))
	if err := s.Append(t.Context(), rows(time.Now(), 3)); err == nil {
		t.Error("Append() where there is no disk = nil; want why not")
	}
	if got, err := s.History(t.Context()); err == nil || got != nil {
		t.Errorf("History() = %d rows, %v; want why there are none", len(got), err)
	}
	if err := s.Charged(charge(s.LastID()+1, time.Now())); err == nil {
		t.Error("Charged() = nil; want that it is in memory only")
	}
	memory, _ := open(t, "")
	if err := memory.Append(t.Context(), rows(time.Now(), 3)); err != nil {
		t.Errorf("Append() to a store in memory = %v; want nothing said", err)
	}
}

// A file of the version before must be taken over, with all that it holds.
func TestAFileWithoutHistoryGetsItsTables(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := openDatabase(source(filepath.Join(dir, "state.db")), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.migrate(migrations()[:1]); err != nil {
		t.Fatal(err)
	}
	if err := d.exec(`INSERT INTO scopes VALUES (1, 'nvidia', 'default', 'm'); INSERT INTO learned VALUES (1, ?, x'7b7d')`, time.Now().UnixNano()); err != nil {
		t.Fatal(err)
	}
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	s, _ := open(t, dir)
	if m, err := s.Restore(t.Context()); err != nil || len(m.Learned) != 1 {
		t.Errorf("Restore() = %d scopes, %v; want the one of the older file", len(m.Learned), err)
	}
	if err := s.Append(t.Context(), rows(time.Now(), 3)); err != nil {
		t.Errorf("Append() = %v; want a table for it", err)
	}
}

// BenchmarkAppend: budget 1 ms for what changes in ten seconds. It holds the store's turn, for which charges wait.
func BenchmarkAppend(b *testing.B) {
	s, err := Open(Options{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	changed := rows(time.Now(), 5)
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Append(b.Context(), changed); err != nil {
			b.Fatal(err)
		}
	}
}
