package store

import (
	"context"
	"fmt"
	"strings"
)

// applicationID marks a file as ours: "nims".
const applicationID = 0x6e696d73

// migrations lead from each version of the schema to the next; a new file walks them all. One that has been released never changes.
func migrations() []string { return []string{schema1, schema2} }

// schema1 holds charges and learned limits. A charge without until may yet be sent by the process that made it.
const schema1 = `
CREATE TABLE scopes (
	id       INTEGER PRIMARY KEY,
	provider TEXT NOT NULL,
	account  TEXT NOT NULL,
	model    TEXT NOT NULL,
	UNIQUE (provider, account, model)
) STRICT;

CREATE TABLE charges (
	id    INTEGER PRIMARY KEY,
	scope INTEGER NOT NULL,
	at    INTEGER NOT NULL,
	span  INTEGER NOT NULL,
	until INTEGER,
	open  INTEGER NOT NULL
) STRICT;

CREATE INDEX charges_until ON charges (until);

CREATE TABLE learned (
	scope INTEGER PRIMARY KEY,
	saved INTEGER NOT NULL,
	state BLOB NOT NULL
) STRICT;

CREATE TABLE pulse (at INTEGER NOT NULL) STRICT;
INSERT INTO pulse VALUES (0);`

// A NewerError says that a file was written by a newer nim-sidecar. Nothing was changed.
type NewerError struct {
	Path    string // of the file
	Version int    // of its schema
	Known   int    // the newest that this binary knows
}

// Error says what is wrong and what to do.
func (e *NewerError) Error() string {
	return fmt.Sprintf("%s was written by a newer nim-sidecar (schema %d, this one knows up to %d): use that version or a later one, or move the file away",
		e.Path, e.Version, e.Known)
}

// migrate brings the schema to the newest version, all or nothing. A *NewerError lacks its path.
func (d *database) migrate(steps []string) error {
	var is [3]int64
	for i, query := range []string{`PRAGMA application_id`, `PRAGMA user_version`, `SELECT count(*) FROM sqlite_schema`} {
		var err error
		if is[i], err = d.number(query); err != nil {
			return err
		}
	}
	id, version, tables := is[0], int(is[1]), is[2]
	switch {
	case id != applicationID && (id != 0 || version != 0 || tables != 0), version < 0:
		return &damageError{"it belongs to another program"}
	case version > len(steps):
		return &NewerError{Version: version, Known: len(steps)}
	}
	lasting := "PRAGMA journal_mode = WAL"
	if version == 0 {
		lasting = "PRAGMA auto_vacuum = INCREMENTAL; " + lasting // only a file without pages can be told
	}
	if err := d.exec(lasting); err != nil || version == len(steps) {
		return err
	}
	text := fmt.Sprintf("BEGIN IMMEDIATE; %s; PRAGMA application_id = %d; PRAGMA user_version = %d; COMMIT",
		strings.Join(steps[version:], ";\n"), applicationID, len(steps))
	err := d.exec(text)
	if err != nil {
		_ = d.exec(`ROLLBACK`) // fails where SQLite has rolled back by itself
	}
	return err
}

// check looks for damage.
func (d *database) check() error {
	var found string
	if err := d.conn.QueryRowContext(context.Background(), `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return &damageError{found}
	}
	return nil
}
