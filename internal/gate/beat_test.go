package gate

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
)

func TestABeatMakesTheLoopTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := New(Options{Budget: newTap()})
		if g.Beat(); g.Beat() != 0 {
			t.Errorf("Beat() = %d before Run; want 0", g.Beat())
		}
		ctx, stop := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { _ = g.Run(ctx) })
		for range 3 {
			synctest.Wait()
			before := g.Beat()
			synctest.Wait()
			if after := g.Beat(); after <= before {
				t.Errorf("Beat() = %d, and later %d; want more", before, after)
			}
		}
		stop()
		group.Wait()
	})
}
