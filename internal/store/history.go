package store

import (
	"context"
	"database/sql"
	"time"

	"nimsidecar/internal/history"
)

// schema2 holds the rows of the graphs, and settings that were changed while running. There are never more rows of a step than its span has,
// since older ones are dropped whenever newer ones come.
const schema2 = `
CREATE TABLE history (
	step INTEGER NOT NULL,
	slot INTEGER NOT NULL,
	row  BLOB NOT NULL,
	PRIMARY KEY (step, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE settings (
	id      INTEGER PRIMARY KEY CHECK (id = 1),
	overlay BLOB NOT NULL
) STRICT;`

// Append keeps rows of the history, in place of what was known of the same steps, in one transaction. An error says that they are not on
// disk, and then they are nowhere: the past of the graphs is not worth the memory. Rows further back than their span reaches are
// forgotten.
func (s *Store) Append(ctx context.Context, rows []history.Row) error {
	return s.onDisk(ctx, func(d *database) error {
		var buffer []byte
		newest := map[time.Duration]int64{}
		for i := range rows {
			r := &rows[i]
			buffer = r.Append(buffer[:0])
			if err := d.exec(`INSERT OR REPLACE INTO history (step, slot, row) VALUES (?, ?, ?)`, int64(r.Step), r.Slot, buffer); err != nil {
				return err
			}
			newest[r.Step] = max(newest[r.Step], r.Slot)
		}
		for _, span := range history.Spans() {
			if slot, changed := newest[span.Step]; changed {
				if err := d.exec(`DELETE FROM history WHERE step = ? AND slot <= ?`, int64(span.Step), slot-int64(span.Rows)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// History returns the rows that were kept, in ascending order within each step. What cannot be read is left out.
func (s *Store) History(ctx context.Context) (rows []history.Row, err error) {
	err = s.onDisk(ctx, func(d *database) error {
		return d.each(func(r *sql.Rows) error {
			var step, slot int64
			var blob []byte
			if err := r.Scan(&step, &slot, &blob); err != nil {
				return err
			}
			if row, err := history.ParseRow(time.Duration(step), slot, blob); err == nil {
				rows = append(rows, row)
			}
			return nil
		}, `SELECT step, slot, row FROM history ORDER BY step, slot`)
	})
	return rows, err
}

// KeepOverlay keeps settings that were changed while running, in a form that is the caller's own.
func (s *Store) KeepOverlay(ctx context.Context, overlay []byte) error {
	return s.onDisk(ctx, func(d *database) error {
		return d.exec(`INSERT OR REPLACE INTO settings (id, overlay) VALUES (1, ?)`, overlay)
	})
}

// Overlay returns what KeepOverlay kept last; nil if it never did.
func (s *Store) Overlay(ctx context.Context) (overlay []byte, err error) {
	err = s.onDisk(ctx, func(d *database) error {
		return d.each(func(r *sql.Rows) error { return r.Scan(&overlay) }, `SELECT overlay FROM settings`)
	})
	return overlay, err
}

// onDisk runs f in a transaction, if the state is on disk; else it says why it is not. A store in memory, which ends with its process, does
// nothing and says nothing.
func (s *Store) onDisk(ctx context.Context, f func(*database) error) error {
	return s.use(ctx, func() error {
		v := s.vault
		if v.disk == nil {
			return v.trouble
		}
		err := v.disk.transact(f)
		if err != nil {
			v.fail(err, time.Now())
		}
		return err
	})
}
