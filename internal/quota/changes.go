package quota

import (
	"nimsidecar/internal/adapt"
	"nimsidecar/internal/limit"
)

// changesKept is how many changes wait to be read; more are dropped, since nothing may wait for a log.
const changesKept = 256

// Change is a change of the state of one ledger.
type Change struct {
	Scope limit.Scope // of the ledger
	adapt.Change
}

// Changes returns the channel on which every change of a state comes. Who does not read it in time misses some.
func (b *Book) Changes() <-chan Change { return b.changes }

// report hands on what has changed in the ledgers of a lane.
func (b *Book) report(p pair) {
	for _, l := range p {
		if l.law == nil {
			continue
		}
		for _, c := range l.law.Changes() {
			select {
			case b.changes <- Change{l.scope, c}:
			default:
			}
		}
	}
}
