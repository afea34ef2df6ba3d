package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nimsidecar/internal/quota"
)

// doomed is set, to a directory, in a process that is to be killed.
const doomed = "STORE_TEST_DOOMED"

func TestMain(m *testing.M) {
	if dir := os.Getenv(doomed); dir != "" {
		fmt.Fprintln(os.Stderr, chargeForEver(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// chargeForEver prints the number of each charge as soon as it is acknowledged. Of three, one is sent and one is refunded later on.
func chargeForEver(dir string) error {
	fmt.Println("opening")
	s, err := Open(Options{Dir: dir})
	if err != nil {
		return err
	}
	var group sync.WaitGroup
	group.Go(func() { _ = s.Run(context.Background()) })
	var id atomic.Uint64
	id.Store(s.LastID())
	for range 4 {
		group.Go(func() {
			for {
				c := charge(id.Add(1), time.Now())
				if err := s.Charged(c); err != nil {
					fmt.Println("0 failed:", err)
					return
				}
				switch c.ID % 3 {
				case 0:
					s.Sent(c.ID, time.Now())
				case 1:
					s.Refunded(c.ID)
					continue
				}
				fmt.Println(c.ID)
			}
		})
	}
	group.Wait()
	return errors.New("charging ended")
}

// die starts a process that charges, kills it when it has printed so many lines, or a moment after it began to open the store, and
// returns all that it printed.
func die(t *testing.T, dir string, enough int, moment time.Duration) (printed []string) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), doomed+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	if !lines.Scan() || lines.Text() != "opening" {
		t.Errorf("the process says %q first; want opening", lines.Text())
	}
	for len(printed) < enough && lines.Scan() {
		printed = append(printed, lines.Text())
	}
	if enough > 0 {
		if _, err := Open(Options{Dir: dir}); !errors.As(err, new(*InUseError)) {
			t.Errorf("Open() beside the living process = %v; want an *InUseError", err)
		}
	}
	for began := time.Now(); time.Since(began) < moment; {
		runtime.Gosched()
	}
	must(t, cmd.Process.Kill())
	for lines.Scan() { // what it had printed before it died was acknowledged as well
		printed = append(printed, lines.Text())
	}
	if err := cmd.Wait(); cmd.ProcessState.Exited() {
		t.Errorf("the process ended by itself: %v", err)
	}
	return printed
}

func TestNoAcknowledgedChargeIsLostToAKill(t *testing.T) {
	t.Parallel()
	const rounds = 10
	random := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	acknowledged := map[uint64]bool{}
	for round := range rounds {
		began := time.Now()
		enough := 1 + random.IntN(200)
		if round%3 == 2 {
			enough = 0 // kill it while it opens
		}
		for _, line := range die(t, dir, enough, time.Duration(random.IntN(4_000_000))) {
			id, err := strconv.ParseUint(line, 10, 64)
			if err != nil || acknowledged[id] {
				t.Fatalf("the process says %q; want the number of a new charge", line)
			}
			acknowledged[id] = true
		}
		s, log := open(t, dir)
		m := restore(t, s)
		if m.Lost || log.String() != "" {
			t.Errorf("round %d: Lost %t, log %q; want a store in order", round, m.Lost, log)
		}
		left := map[uint64]quota.Charge{}
		for _, c := range m.Charges {
			left[c.ID] = c
		}
		lost := 0
		for id := range acknowledged {
			c, ok := left[id]
			if !ok || c.Scope != model("m") || id%3 == 2 && !c.Open || c.Until.Before(began) {
				lost++
			}
		}
		if lost > 0 || len(left) != len(m.Charges) || s.LastID() < m.Charges[len(m.Charges)-1].ID {
			t.Errorf("round %d: %d of %d acknowledged charges are lost or changed; LastID() = %d", round, lost, len(acknowledged), s.LastID())
		}
		must(t, s.Close())
	}
	if len(acknowledged) < 300 {
		t.Errorf("only %d charges were acknowledged; the test shows little", len(acknowledged))
	}
}
