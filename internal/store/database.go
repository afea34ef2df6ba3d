package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"nimsidecar/internal/limit"
	"nimsidecar/internal/quota"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// database is one connection to SQLite with its statements, to a file or to memory. It is used by one goroutine at a time; the pool of
// database/sql around it owns a goroutine that ends with close.
type database struct {
	pool   *sql.DB
	conn   *sql.Conn
	scopes map[limit.Scope]int64 // those that have a row; a cache

	begin, commit, rollback    *sql.Stmt
	insert, age, remove        *sql.Stmt
	insertScope, insertLearned *sql.Stmt
	prepared                   []*sql.Stmt // all of them
}

// maxScopes bounds the cache of scopes, since clients choose the names of models.
const maxScopes = 10_000

// pragmas make the one connection. The lock that SQLite then holds for good saves it the shared-memory file.
const pragmas = `
PRAGMA busy_timeout = 200;
PRAGMA locking_mode = EXCLUSIVE;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = 4194304;
PRAGMA temp_store = MEMORY;
PRAGMA cell_size_check = ON;
PRAGMA trusted_schema = OFF;`

// inMemory names a database of its own each time it is opened.
const inMemory = ":memory:"

// openDatabase opens what source names, without reading it: start does. More are more pragmas, for tests.
func openDatabase(source, more string) (*database, error) {
	pool, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, err
	}
	d := &database{pool: pool, scopes: map[limit.Scope]int64{}}
	if d.conn, err = pool.Conn(context.Background()); err == nil {
		err = d.exec(pragmas + more)
	}
	if err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// start checks the file, brings its schema up to date and reads what still counts. Then the database can be used.
func (d *database) start(now int64) (c content, err error) {
	err = inOrder(d.check, func() error { return d.migrate(migrations()) }, d.prepare, func() error { c, err = d.load(now); return err })
	return c, err
}

// prepare makes the statements, once the schema is there.
func (d *database) prepare() error {
	for _, s := range []struct {
		into **sql.Stmt
		text string
	}{
		{&d.begin, `BEGIN IMMEDIATE`},
		{&d.commit, `COMMIT`},
		{&d.rollback, `ROLLBACK`},
		{&d.insert, `INSERT OR REPLACE INTO charges (id, scope, at, span, until, open) VALUES (?, ?, ?, ?, nullif(?, 0), ?)`},
		{&d.age, `UPDATE charges SET at = ?1, until = ?1 + span, open = 0 WHERE id = ?2`},
		{&d.remove, `DELETE FROM charges WHERE id = ?`},
		{&d.insertScope, `INSERT INTO scopes (provider, account, model) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET model = excluded.model RETURNING id`},
		{&d.insertLearned, `INSERT OR REPLACE INTO learned (scope, saved, state) VALUES (?, ?, ?)`},
	} {
		stmt, err := d.conn.PrepareContext(context.Background(), s.text)
		if err != nil {
			return err
		}
		*s.into, d.prepared = stmt, append(d.prepared, stmt)
	}
	return nil
}

// close ends the connection. SQLite moves the journal's content into the file when it can. An open statement would keep the
// connection, and with it the file, open.
func (d *database) close() error {
	var errs []error
	for _, s := range d.prepared {
		errs = append(errs, s.Close())
	}
	if d.conn != nil {
		errs = append(errs, d.conn.Close())
	}
	return errors.Join(append(errs, d.pool.Close())...)
}

func (d *database) exec(text string, args ...any) error {
	_, err := d.conn.ExecContext(context.Background(), text, args...)
	return err
}

// number returns the one number that a query gives; null is 0.
func (d *database) number(query string, args ...any) (int64, error) {
	var n sql.NullInt64
	err := d.conn.QueryRowContext(context.Background(), query, args...).Scan(&n)
	return n.Int64, err
}

// each calls f for every row of a query.
func (d *database) each(f func(*sql.Rows) error, query string, args ...any) error {
	rows, err := d.conn.QueryContext(context.Background(), query, args...)
	if err != nil {
		return err
	}
	for rows.Next() && err == nil {
		err = f(rows)
	}
	return errors.Join(err, rows.Err(), rows.Close())
}

// transact runs f in a transaction: all of it is written, or nothing.
func (d *database) transact(f func(*database) error) error {
	if _, err := d.begin.Exec(); err != nil {
		return err
	}
	err := f(d)
	if err == nil {
		_, err = d.commit.Exec()
	}
	if err != nil {
		clear(d.scopes)          // some may not be there any more
		_, _ = d.rollback.Exec() // fails where SQLite has rolled back by itself
	}
	return err
}

// row is a charge as it is stored. Times are on a line.
type row struct {
	id    int64
	scope limit.Scope
	at    int64
	span  int64 // how long it counts after it was sent
	until int64 // 0 while it may yet be sent by the process that made it
	open  bool
}

// apply writes the entries of the journal, in their order.
func (d *database) apply(batch []op, l line) (err error) {
	for i := range batch {
		switch o := &batch[i]; o.kind {
		case charged:
			err = d.put(row{id: o.id, scope: o.scope, at: l.stamp(o.at), span: int64(o.span), open: true})
		case sent:
			_, err = d.age.Exec(l.stamp(o.at), o.id)
		case refunded:
			_, err = d.remove.Exec(o.id)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// put writes charges.
func (d *database) put(rows ...row) error {
	for _, r := range rows {
		scope, err := d.scope(r.scope)
		if err != nil {
			return err
		}
		if _, err := d.insert.Exec(r.id, scope, r.at, r.span, r.until, r.open); err != nil {
			return err
		}
	}
	return nil
}

// learn writes what was learned.
func (d *database) learn(learned []quota.Learned) error {
	for _, l := range learned {
		scope, err := d.scope(l.Scope)
		if err != nil {
			return err
		}
		state := l.State
		if state == nil {
			state = []byte{} // nil would be null
		}
		if _, err := d.insertLearned.Exec(scope, l.Saved.UnixNano(), state); err != nil {
			return err
		}
	}
	return nil
}

// scope returns the number of a scope's row, which it makes if there is none.
func (d *database) scope(s limit.Scope) (id int64, err error) {
	if id, ok := d.scopes[s]; ok {
		return id, nil
	}
	if err := d.insertScope.QueryRow(s.Provider, s.Account, s.Model).Scan(&id); err != nil {
		return 0, err
	}
	if len(d.scopes) >= maxScopes {
		clear(d.scopes)
	}
	d.scopes[s] = id
	return id, nil
}

// content is what a database holds.
type content struct {
	rows    []row
	learned []quota.Learned
	lastID  int64
	pulse   int64 // when its process last said that it lives
}

// load reads everything but the charges that count no more now. What seems to have been learned later was learned now.
func (d *database) load(now int64) (c content, err error) {
	scopes := map[int64]limit.Scope{}
	err = d.each(func(rows *sql.Rows) error {
		var id int64
		var s limit.Scope
		err := rows.Scan(&id, &s.Provider, &s.Account, &s.Model)
		scopes[id] = s
		return err
	}, `SELECT id, provider, account, model FROM scopes`)
	if err != nil {
		return c, err
	}
	err = d.each(func(rows *sql.Rows) error {
		var r row
		var scope int64
		err := rows.Scan(&r.id, &scope, &r.at, &r.span, &r.until, &r.open)
		r.scope = scopes[scope]
		c.rows = append(c.rows, r)
		return err
	}, `SELECT id, scope, at, span, ifnull(until, 0), open FROM charges WHERE until IS NULL OR until > ? ORDER BY id`, now)
	if err != nil {
		return c, err
	}
	err = d.each(func(rows *sql.Rows) error {
		var l quota.Learned
		var scope, saved int64
		err := rows.Scan(&scope, &saved, &l.State)
		l.Scope, l.Saved = scopes[scope], time.Unix(0, min(saved, now))
		c.learned = append(c.learned, l)
		return err
	}, `SELECT scope, saved, state FROM learned ORDER BY scope`)
	if err != nil {
		return c, err
	}
	if c.lastID, err = d.number(`SELECT max(id) FROM charges`); err != nil {
		return c, err
	}
	c.pulse, err = d.number(`SELECT at FROM pulse`)
	return c, err
}

// shift moves all that is stored along with the wall clock.
func (d *database) shift(by time.Duration) error {
	if err := d.exec(`UPDATE charges SET at = at + ?1, until = until + ?1`, int64(by)); err != nil {
		return err
	}
	return d.exec(`UPDATE pulse SET at = at + ?`, int64(by))
}

// live says that the process lives.
func (d *database) live(now int64) error { return d.exec(`UPDATE pulse SET at = ?`, now) }

// prunedAtOnce bounds how many charges one transaction forgets: some 2 ms.
const prunedAtOnce = 500

// prune forgets charges that count no more, and reports whether there may be others.
func (d *database) prune(now int64) (more bool, err error) {
	result, err := d.conn.ExecContext(context.Background(),
		`DELETE FROM charges WHERE id IN (SELECT id FROM charges WHERE until <= ? ORDER BY until LIMIT ?)`, now, prunedAtOnce)
	if err != nil {
		return false, err
	}
	n, err := result.RowsAffected()
	return n == prunedAtOnce, err
}

// forget drops what was learned long ago, and scopes that nothing belongs to: clients choose the names of models.
func (d *database) forget(before int64) error {
	if err := d.exec(`DELETE FROM learned WHERE saved < ?`, before); err != nil {
		return err
	}
	clear(d.scopes)
	return d.exec(`DELETE FROM scopes WHERE id NOT IN (SELECT scope FROM charges UNION SELECT scope FROM learned)`)
}

// empty forgets everything.
func (d *database) empty() error {
	clear(d.scopes)
	return d.exec(`DELETE FROM charges; DELETE FROM learned; DELETE FROM scopes`)
}

// sparePages is how much free space is kept in the file for what comes next, 1 MB; reclaimedAtOnce bounds how much of the rest is given
// back to the disk in a minute.
const (
	sparePages      = 256
	reclaimedAtOnce = 1000
)

// reclaim gives free space back to the disk.
func (d *database) reclaim() error {
	free, err := d.number(`PRAGMA freelist_count`)
	if err != nil || free <= sparePages {
		return err
	}
	return d.each(func(*sql.Rows) error { return nil }, fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, min(free-sparePages, reclaimedAtOnce)))
}
