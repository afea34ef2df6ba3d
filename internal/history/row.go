package history

import (
	"encoding/binary"
	"errors"
	"math"
	"time"
)

// Row is what is kept of one step.
type Row struct {
	Step time.Duration // of which span it is
	Slot int64         // which step it is, counted from the Unix epoch

	Granted     uint32          // slots
	Refused     uint32          // attempts, by the upstream
	Rate        mean            // as in Sample
	Ceiling     mean            // as in Sample
	Utilisation mean            // as in Sample
	Depth       [Classes]uint32 // the most
	Waits       [Classes]Waits  // of the requests that ended a wait in it
}

func (r *Row) add(s Sample) {
	r.Granted += count(s.Granted)
	r.Refused += count(s.Refused)
	r.Rate.add(s.Rate)
	r.Ceiling.add(s.Ceiling)
	r.Utilisation.add(s.Utilisation)
	for class, n := range s.Depth {
		r.Depth[class] = max(r.Depth[class], count(n))
	}
}

// count keeps a number within what a row can hold.
func count(n int) uint32 { return uint32(min(max(0, n), math.MaxInt32)) }

// numbers lists the whole numbers of a row, in the order in which they are written.
func (r *Row) numbers() []*uint32 {
	list := []*uint32{&r.Granted, &r.Refused, &r.Rate.N, &r.Ceiling.N, &r.Utilisation.N}
	for class := range r.Depth {
		list = append(list, &r.Depth[class])
	}
	for class := range r.Waits {
		for i := range r.Waits[class] {
			list = append(list, &r.Waits[class][i])
		}
	}
	return list
}

// sums lists the others.
func (r *Row) sums() []*float64 { return []*float64{&r.Rate.Sum, &r.Ceiling.Sum, &r.Utilisation.Sum} }

// form is the first byte of a row that is written: a later form is another number.
const form = 1

var errForm = errors.New("history: not a row of a form that is known")

// Append writes the content of a row, without step and slot, behind dst: some 120 bytes. ParseRow reads it.
func (r *Row) Append(dst []byte) []byte {
	dst = append(dst, form)
	for _, sum := range r.sums() {
		dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(*sum))
	}
	for _, n := range r.numbers() {
		dst = binary.AppendUvarint(dst, uint64(*n))
	}
	return dst
}

// ParseRow reads what Append wrote. It trusts nothing: an error says that it is no such row, and no number that it returns is without
// meaning.
func ParseRow(step time.Duration, slot int64, b []byte) (Row, error) {
	r := Row{Step: step, Slot: slot}
	if len(b) == 0 || b[0] != form {
		return Row{}, errForm
	}
	b = b[1:]
	for _, sum := range r.sums() {
		if len(b) < 8 {
			return Row{}, errForm
		}
		*sum = math.Float64frombits(binary.LittleEndian.Uint64(b))
		if math.IsNaN(*sum) || math.IsInf(*sum, 0) {
			return Row{}, errForm
		}
		b = b[8:]
	}
	for _, n := range r.numbers() {
		x, size := binary.Uvarint(b)
		if size <= 0 || x > math.MaxUint32 {
			return Row{}, errForm
		}
		*n, b = uint32(x), b[size:]
	}
	if len(b) > 0 {
		return Row{}, errForm
	}
	return r, nil
}
