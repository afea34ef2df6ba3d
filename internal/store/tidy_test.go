package store

import (
	"fmt"
	"os"
	"testing"
	"time"

	"nimsidecar/internal/quota"
)

// size is how much of the disk a store takes.
func size(t testing.TB, dir string) (bytes int64) {
	t.Helper()
	files, err := os.ReadDir(dir)
	must(t, err)
	for _, f := range files {
		info, err := f.Info()
		must(t, err)
		bytes += info.Size()
	}
	return bytes
}

// tidyUp does the housekeeping until nothing is left of it.
func tidyUp(s *Store, now time.Time) (rounds int) {
	for more := true; more; rounds++ {
		more = s.vault.tidy(now)
	}
	return rounds
}

func TestAnOpenChargeIsKeptAsLongAsItsProcessLives(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	old := ago(3 * time.Hour)
	must(t, s.Charged(quota.Charge{ID: 1, Scope: model("m"), At: old, Until: old.Add(time.Minute)}))
	must(t, s.Charged(quota.Charge{ID: 2, Scope: model("m"), At: old, Until: old.Add(time.Minute)}))
	s.Sent(2, old)
	s.flush()
	tidyUp(s, time.Now())
	m := restoreCopy(t, s)
	wantIDs(t, m, 1)
	if got := m.Charges; len(got) == 1 && got[0].Until.Before(time.Now().Add(59*time.Second)) {
		t.Errorf("it counts until %v; want a minute after the process was last alive", got[0].Until)
	}

	s.vault.line.set = -int64(24 * time.Hour) // it was alive a day ago
	must(t, s.vault.write(func(d *database) error { return d.live(s.vault.line.stamp(time.Now())) }))
	wantIDs(t, restoreCopy(t, s))
}

func TestWhatCountsNoMoreIsForgottenALittleAtATime(t *testing.T) {
	t.Parallel()
	dir := filled(t)
	s, _ := open(t, dir)
	if rounds := tidyUp(s, time.Now()); rounds != 1 {
		t.Errorf("%d rounds while all charges count; want 1", rounds)
	}
	s.Sent(1, time.Now())
	s.minute(t.Context(), time.Now())
	if n := s.queued(); n != 0 {
		t.Errorf("%d entries wait after the housekeeping; want 0: they go in between", n)
	}
	later := time.Now().Add(2 * time.Hour)
	if rounds := tidyUp(s, later); rounds != filledWith/prunedAtOnce+1 {
		t.Errorf("%d rounds when all %d count no more; want %d", rounds, filledWith, filledWith/prunedAtOnce+1)
	}
	if pulse, err := s.vault.disk.number("SELECT at FROM pulse"); pulse != s.vault.line.stamp(later) || err != nil {
		t.Errorf("the pulse is %d, %v; want the time of the last housekeeping", pulse, err)
	}
	_, m := reopen(t, s)
	wantIDs(t, m)
	if len(m.Learned) != 1 {
		t.Errorf("%d learned; want 1: that does not age so soon", len(m.Learned))
	}
}

func TestTheFileStaysSmall(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	now := time.Now()
	must(t, s.Remember(t.Context(), []quota.Learned{{Scope: model("m"), Saved: now, State: make([]byte, 4<<20)}}))
	must(t, s.vault.disk.exec("PRAGMA wal_checkpoint(TRUNCATE)"))
	peak := size(t, s.vault.dir)
	must(t, s.Remember(t.Context(), []quota.Learned{{Scope: model("m"), Saved: now}}))
	for range 10 { // minutes at 300 requests a minute
		now = now.Add(time.Minute)
		at := s.vault.line.stamp(now)
		rows := make([]row, 300)
		for i := range rows {
			rows[i] = row{id: at + int64(i), scope: model("m"), at: at, until: at + int64(time.Minute)}
		}
		must(t, s.vault.write(func(d *database) error { return d.put(rows...) }))
		tidyUp(s, now)
	}
	must(t, s.vault.disk.exec("PRAGMA wal_checkpoint(TRUNCATE)"))
	const bound = (sparePages + 100) * 4096
	if got := size(t, s.vault.dir); peak < 2*bound || got > bound {
		t.Errorf("%d bytes are left of %d; want %d at most, what is in use and a little to spare", got, peak, bound)
	}
}

func TestScopesThatNobodyUsesAreForgottenAtTheStart(t *testing.T) {
	t.Parallel()
	s, _ := open(t, t.TempDir())
	now := time.Now()
	for i := range 300 {
		at := now.Add(-time.Hour)
		must(t, s.Charged(quota.Charge{ID: uint64(i + 1), Scope: model(fmt.Sprint("invented-", i)), At: at, Until: at.Add(time.Minute)}))
		s.Sent(uint64(i+1), at)
	}
	must(t, s.Remember(t.Context(), []quota.Learned{
		{Scope: model("old"), Saved: now.Add(-unused - time.Minute)}, {Scope: model("new"), Saved: now.Add(-unused + time.Minute)},
	}))
	s.flush()
	tidyUp(s, now)
	s, m := reopen(t, s)
	s, _ = reopen(t, s)
	if n, err := s.vault.disk.number("SELECT count(*) FROM scopes"); n != 1 || err != nil {
		t.Errorf("%d scopes, %v; want 1: the one of which something is known", n, err)
	}
	if len(m.Learned) != 2 { // what is too old is given once more and then forgotten
		t.Errorf("learned: %v; want both", m.Learned)
	}
	must(t, s.Charged(charge(1000, now))) // a scope that was forgotten is made anew
	_, m = reopen(t, s)
	wantIDs(t, m, 1000)
	if m.Charges[0].Scope != model("m") || len(m.Learned) != 1 {
		t.Errorf("found %+v; want a charge of %v and one learned", m, model("m"))
	}
}

func TestTheCacheOfScopesIsBounded(t *testing.T) {
	t.Parallel()
	s, _ := open(t, "")
	for i := range maxScopes - 1 {
		s.vault.memory.scopes[model(fmt.Sprint(i))] = int64(i)
	}
	must(t, s.vault.write(func(d *database) error { return d.put(row{id: 1, scope: model("a")}, row{id: 2, scope: model("b")}) }))
	if n := len(s.vault.memory.scopes); n != 1 {
		t.Errorf("%d scopes in the cache; want 1, since it is emptied at %d", n, maxScopes)
	}
}
