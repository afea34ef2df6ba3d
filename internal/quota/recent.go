package quota

import "time"

// The observation window of the share of refusals: a minute, in pieces that leave it one by one.
const (
	pieces    = 6
	pieceTime = 10 * time.Second
)

// recent counts the answers of the last minute, give or take a piece. The zero value has seen none.
type recent struct {
	epoch            time.Time // begin of the first piece ever
	piece            int64     // number of the running piece
	answers, refused [pieces]int
}

// count counts one answer.
func (r *recent) count(now time.Time, refused bool) {
	r.advance(now)
	r.answers[r.piece%pieces]++
	if refused {
		r.refused[r.piece%pieces]++
	}
}

// totals returns how many answers came, and how many of them were refusals.
func (r *recent) totals(now time.Time) (answers, refused int) {
	r.advance(now)
	for i := range pieces {
		answers += r.answers[i]
		refused += r.refused[i]
	}
	return answers, refused
}

// advance empties the pieces that have left the window.
func (r *recent) advance(now time.Time) {
	if r.epoch.IsZero() {
		r.epoch = now
	}
	running := max(r.piece, int64(now.Sub(r.epoch)/pieceTime))
	for piece := max(r.piece, running-pieces) + 1; piece <= running; piece++ {
		r.answers[piece%pieces], r.refused[piece%pieces] = 0, 0
	}
	r.piece = running
}

// Refused returns the share of refusals among the answers of a provider in the last minute, 0 to 1; 0 without an answer.
func (b *Book) Refused(now time.Time, provider string) float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var answers, refused int
	for scope, l := range b.ledgers {
		if scope.Provider == provider && !scope.WholeAccount() {
			a, r := l.recent.totals(now)
			answers += a
			refused += r
		}
	}
	if answers == 0 {
		return 0
	}
	return float64(refused) / float64(answers)
}
