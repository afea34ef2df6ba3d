package quota

import (
	"time"

	"nimsidecar/internal/limit"
)

// Charge is one slot taken in the windows of a scope, as a journal keeps it over the end of the process.
type Charge struct {
	// ID tells charges apart; no two of one journal are the same.
	ID uint64

	// Scope is the lane it was taken on.
	Scope limit.Scope

	// At is when it was reserved, or, once it is not Open any more, when its request was wholly written.
	At time.Time

	// Until is when its longest window lets go of it: a journal may forget it from then on.
	Until time.Time

	// Open reports that nobody said that the request was written: it may have been counted at any moment since At, up to
	// the end of the process.
	Open bool
}

// Learned is what was learned of one scope.
type Learned struct {
	Scope limit.Scope
	Saved time.Time // when it was handed over
	State []byte    // JSON in a form of its own; only this package reads it
}

// Memory is what a book remembers of an earlier process. The zero value is a first start.
type Memory struct {
	Learned []Learned // of each scope

	Charges []Charge // that may still count

	// Lost reports that there was a state and it could not be read: charges may be missing.
	Lost bool
}
