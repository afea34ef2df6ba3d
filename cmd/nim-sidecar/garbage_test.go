package main

import "testing"

func TestGarbageIsBoundedWhereMuchLives(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	for _, test := range []struct {
		live uint64
		want int
	}{
		{0, 400},
		{2 * mb, 400}, // a first collection at 16 MB
		{8 * mb, 200}, // 16 MB more
		{16 * mb, 100},
		{32 * mb, 50},
		{1000 * mb, 50}, // half of it more
	} {
		if got := percent(test.live); got != test.want {
			t.Errorf("percent(%d MB) = %d; want %d", test.live/mb, got, test.want)
		}
	}
}
