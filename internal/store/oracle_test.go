package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"
)

// truth is what a charge really was, whatever the store was told of it or could keep.
type truth struct {
	scope    limit.Scope
	at       time.Time // when it was made, or sent
	sent     bool
	refunded bool
	durable  bool // it was acknowledged
	lost     bool // a restart that said Lost did not have it: it is owed no more
}

// counts reports whether the charge certainly counts at now, and whether it may.
func (c *truth) counts(now time.Time) (surely, maybe bool) {
	const span, doubt = time.Minute, 5 * time.Second
	left := c.at.Add(span).Sub(now)
	return !c.refunded && (!c.sent || left > doubt), !c.sent || left > -doubt
}

// chronicle is a store and the truth about it.
type chronicle struct {
	t      *testing.T
	random *rand.Rand
	store  *Store
	next   uint64
	made   map[uint64]*truth
	living []uint64      // the open charges of the running process
	losses *atomic.Int32 // how many restarts said Lost
}

// step does one thing at random.
func (h *chronicle) step() {
	switch now := time.Now(); h.random.IntN(16) {
	case 0, 1, 2, 3, 4:
		h.end(now)
	case 5:
		h.store.second(now)
	case 6:
		h.store.minute(h.t.Context(), now)
	case 7:
		if h.store.vault.disk != nil && h.random.IntN(2) == 0 {
			must(h.t, h.store.vault.disk.exec("PRAGMA query_only = ON"))
		}
	case 8, 9:
		h.restart()
	default:
		c := charge(h.next, now.Add(-time.Duration(h.random.IntN(70))*time.Second))
		c.Scope, c.Until = model(fmt.Sprint(h.random.IntN(3))), c.At.Add(time.Minute)
		h.made[h.next] = &truth{scope: c.Scope, at: c.At, durable: h.store.Charged(c) == nil}
		h.living = append(h.living, h.next)
		h.next++
	}
}

// end sends or refunds one of the open charges.
func (h *chronicle) end(now time.Time) {
	if len(h.living) == 0 {
		return
	}
	i := h.random.IntN(len(h.living))
	id := h.living[i]
	h.living = slices.Delete(h.living, i, i+1)
	c := h.made[id]
	if h.random.IntN(4) == 0 {
		c.refunded = true
		h.store.Refunded(id)
		return
	}
	c.sent = true
	if later := c.at.Add(time.Duration(h.random.IntN(3000)) * time.Millisecond); later.Before(now) {
		c.at = later
	}
	h.store.Sent(id, c.at)
}

// restart ends the process, by a kill or in order, and compares what the next one finds with the truth.
func (h *chronicle) restart() {
	dir := h.store.vault.dir
	if h.random.IntN(2) == 0 {
		dir = crash(h.t, dir)
	}
	must(h.t, h.store.Close())
	h.store, _ = open(h.t, dir)
	if h.store.LastID()+1 < h.next {
		h.t.Fatalf("LastID() = %d; %d was used", h.store.LastID(), h.next-1)
	}
	h.next, h.living = h.store.LastID()+1, nil
	h.compare(restore(h.t, h.store), time.Now())
}

func (h *chronicle) compare(m quota.Memory, now time.Time) {
	seen := map[uint64]bool{}
	for _, c := range m.Charges {
		seen[c.ID] = true
		truth, ok := h.made[c.ID]
		if !ok || truth.scope != c.Scope || !c.Open && (!truth.sent || !sameMoment(c.At, truth.at)) {
			h.t.Fatalf("found %+v; in truth it is %+v", c, truth)
		}
		if _, maybe := truth.counts(now); !maybe && !c.Open {
			h.t.Fatalf("found %+v, which counts no more", c)
		}
	}
	if m.Lost {
		h.losses.Add(1)
		h.store.vault.setGap(0) // else every later start would be excused
	}
	for id, c := range h.made {
		surely, _ := c.counts(now)
		if !surely || seen[id] || c.lost {
			continue
		}
		if !m.Lost || c.durable {
			h.t.Fatalf("charge %d is missing, Lost %t; in truth it is %+v", id, m.Lost, c)
		}
		c.lost = true
	}
}

// A store that is used, fails, is killed and starts again at random never finds less than there was unless it says so, and invents
// nothing.
func TestARestartNeverKnowsLessThanItSays(t *testing.T) {
	t.Parallel()
	var losses atomic.Int32
	t.Cleanup(func() {
		if losses.Load() == 0 {
			t.Error("no restart said Lost; the test shows little")
		}
	})
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			s, _ := open(t, t.TempDir())
			h := &chronicle{t: t, random: rand.New(rand.NewPCG(seed, 1)), store: s, next: s.LastID() + 1, made: map[uint64]*truth{}, losses: &losses}
			for range 300 {
				h.step()
			}
			if len(h.made) < 60 {
				t.Errorf("only %d charges; the test shows little", len(h.made))
			}
		})
	}
}
