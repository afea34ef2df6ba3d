package history

import (
	"math/bits"
	"time"
)

// Buckets is how many buckets a histogram of waits has. Bucket 0 holds waits of less than a millisecond, bucket i those from 2^(i-1) ms to 2^i
// ms, and the last one everything from 2^20 ms, 17 minutes, on: longer than a request waits unless somebody allowed it to.
const Buckets = 22

// Waits is a histogram of waits. The zero value has seen none. It is a plain value: copies are independent.
type Waits [Buckets]uint32

// Add counts one wait.
func (w *Waits) Add(d time.Duration) {
	ms := uint64(max(0, d) / time.Millisecond)
	w[min(bits.Len64(ms), Buckets-1)]++
}

// Merge adds what another histogram has counted.
func (w *Waits) Merge(other *Waits) {
	for i, n := range other {
		w[i] += n
	}
}

// Quantile returns the wait that the share q, 0 to 1, of all waits does not exceed, spreading those of a bucket evenly over it; ok is false
// where nobody waited. Those of the last bucket count as its lower bound.
func (w *Waits) Quantile(q float64) (d time.Duration, ok bool) {
	var all uint64
	for _, n := range w {
		all += uint64(n)
	}
	if all == 0 {
		return 0, false
	}
	rank := q * float64(all)
	for i, n := range w {
		if float64(n) >= rank && n > 0 {
			low, high := bounds(i)
			return low + time.Duration(rank/float64(n)*float64(high-low)), true
		}
		rank -= float64(n)
	}
	last, _ := bounds(Buckets - 1) // q above 1
	return last, true
}

// bounds returns the least wait of a bucket and the least of the next.
func bounds(i int) (low, high time.Duration) {
	switch i {
	case 0:
		return 0, 0 // less than is shown
	case Buckets - 1:
		low = time.Millisecond << (i - 1)
		return low, low
	}
	return time.Millisecond << (i - 1), time.Millisecond << i
}
