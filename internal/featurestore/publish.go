package featurestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// PublishOptions say who publishes what.
type PublishOptions struct {
	Key      string            // the same for every attempt of the same publication; empty means it is never recognised
	Pipeline string            // recorded
	RunID    string            // recorded
	By       string            // person or workload that started it; recorded
	Comments map[string]string // of columns, for example their unit
	Indexes  [][]string        // columns that readers look up by
}

// Published is what a publication left.
type Published struct {
	Version int64
	Rows    int64
	Swap    time.Duration // how long the step took that readers could have noticed; 0 when Again
	Again   bool          // this key was published before; nothing was done
}

// Publish replaces the table by the rows of b, or makes it. progress is told the number of rows sent so far and may be
// nil. One publication of a target runs at a time; others wait until ctx ends.
func (s *Store) Publish(ctx context.Context, t Target, b Batches, o PublishOptions, progress func(int64)) (Published, error) {
	var p Published
	err := s.work(ctx, t, true, func(w *work) error {
		var err error
		if p, err = w.before(ctx, o.Key); err != nil || p.Again {
			return err
		}
		v, err := w.stage(ctx, b, o, orNothing(progress))
		if err != nil {
			return err
		}
		took, err := w.swap(ctx, v, o)
		if err != nil {
			return err
		}
		p = Published{Version: v.number, Rows: v.rows, Swap: took}
		w.clean(ctx) // the version that is too old now; what cannot be dropped yet is dropped next time
		return nil
	})
	if err != nil {
		return Published{}, fmt.Errorf("publish %s: %w", t, err)
	}
	return p, nil
}

// Append adds the rows of b to the version that is shown, in one transaction. The columns of b have to be columns of the
// table; others become null. The first Append to a table that was never published publishes it.
func (s *Store) Append(ctx context.Context, t Target, b Batches, o PublishOptions, progress func(int64)) (Published, error) {
	var p Published
	missing := false
	err := s.work(ctx, t, true, func(w *work) error {
		var err error
		if p, err = w.before(ctx, o.Key); err != nil || p.Again {
			return err
		}
		live, err := w.live(ctx)
		if errors.Is(err, ErrNotFound) {
			missing = true
			return nil
		}
		if err != nil {
			return err
		}
		p, err = w.add(ctx, live, b, o, orNothing(progress))
		return err
	})
	if err != nil {
		return Published{}, fmt.Errorf("append to %s: %w", t, err)
	}
	if missing {
		return s.Publish(ctx, t, b, o, progress)
	}
	return p, nil
}

// Rollback shows the version before the current one again. A second Rollback undoes the first.
func (s *Store) Rollback(ctx context.Context, t Target, by string) (Published, error) {
	var p Published
	err := s.work(ctx, t, false, func(w *work) error {
		live, err := w.live(ctx)
		if err != nil {
			return err
		}
		old, err := w.find(ctx, "not live")
		if errors.Is(err, ErrNotFound) {
			return ErrNothingOld
		}
		if err != nil {
			return err
		}
		start := time.Now()
		err = w.transaction(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, pointQuery, w.id, old.number); err != nil {
				return err
			}
			if err := w.describe(ctx, tx, live, old); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, "update flowehr_store.version set live = (version = $2) where target = $1", w.id, old.number); err != nil {
				return err
			}
			return w.record(ctx, tx, "rollback", old, PublishOptions{By: by})
		})
		p = Published{Version: old.number, Rows: old.rows, Swap: time.Since(start)}
		return err
	})
	if err != nil {
		return Published{}, fmt.Errorf("roll back %s: %w", t, err)
	}
	return p, nil
}

func orNothing(progress func(int64)) func(int64) {
	if progress == nil {
		return func(int64) {}
	}
	return progress
}

// work is a change of one target by the one connection that holds the target's lock.
type work struct {
	store  *Store
	conn   *pgxpool.Conn
	target Target
	id     int64
}

// version is one version of a table.
type version struct {
	number, family int64
	columns        []Column
	comments       map[string]string
	rows           int64
}

// work runs do under the lock of the target. With create, a target that is not known yet is entered first.
func (s *Store) work(ctx context.Context, t Target, create bool, do func(*work) error) error {
	if err := t.check(); err != nil {
		return err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	w := &work{store: s, conn: conn, target: t}
	if _, err := conn.Exec(ctx, "select pg_catalog.pg_advisory_lock(pg_catalog.hashtextextended($1::text, 0::bigint))", "flowehr store "+ident(t.Schema, t.Table)); err != nil {
		_ = conn.Conn().Close(context.WithoutCancel(ctx))
		conn.Release()
		return err
	}
	defer w.release(ctx)
	if err := w.enter(ctx, create); err != nil {
		return err
	}
	return do(w)
}

// release gives the connection back in the state in which it was taken, or not at all.
func (w *work) release(ctx context.Context) {
	if _, err := w.conn.Exec(ctx, "select pg_catalog.pg_advisory_unlock_all()"); err != nil {
		_ = w.conn.Conn().Close(context.WithoutCancel(ctx))
	}
	w.conn.Release()
}

func (w *work) enter(ctx context.Context, create bool) error {
	return w.transaction(ctx, func(tx pgx.Tx) error {
		if create {
			_, err := tx.Exec(ctx, "insert into flowehr_store.target (schema_name, table_name) values ($1, $2) on conflict do nothing", w.target.Schema, w.target.Table)
			if err != nil {
				return err
			}
		}
		err := tx.QueryRow(ctx, "select id from flowehr_store.target where schema_name = $1 and table_name = $2", w.target.Schema, w.target.Table).Scan(&w.id)
		if errors.Is(err, pgx.ErrNoRows) {
			return ErrNotFound
		}
		return err
	})
}

func (w *work) transaction(ctx context.Context, do func(pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error { return w.store.become(ctx, tx, do) })
}

// before returns the earlier publication with this key, if any.
func (w *work) before(ctx context.Context, key string) (p Published, err error) {
	if key == "" {
		return p, nil
	}
	err = w.transaction(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, "select version, rows from flowehr_store.publication where target = $1 and key = $2", w.id, key).Scan(&p.Version, &p.Rows)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		p.Again = err == nil
		return err
	})
	return p, err
}

func (w *work) live(ctx context.Context) (version, error) { return w.find(ctx, "live") }

func (w *work) find(ctx context.Context, condition string) (v version, err error) {
	err = w.transaction(ctx, func(tx pgx.Tx) error {
		v, err = w.findIn(ctx, tx, condition)
		return err
	})
	return v, err
}

func (w *work) findIn(ctx context.Context, tx pgx.Tx, condition string) (version, error) {
	var v version
	var columns, comments []byte
	err := tx.QueryRow(ctx, "select version, family, columns, comments, rows from flowehr_store.version where target = $1 and "+condition, w.id).
		Scan(&v.number, &v.family, &columns, &comments, &v.rows)
	if errors.Is(err, pgx.ErrNoRows) {
		return v, ErrNotFound
	}
	if err != nil {
		return v, err
	}
	return v, errors.Join(json.Unmarshal(columns, &v.columns), json.Unmarshal(comments, &v.comments))
}

// recordQuery enters a publication in the history.
const recordQuery = `insert into flowehr_store.publication (target, kind, key, version, rows, by, pipeline, run_id)
	values ($1, $2, nullif($3, ''), $4, $5, $6, $7, $8)`

func (w *work) record(ctx context.Context, tx pgx.Tx, kind string, v version, o PublishOptions) error {
	_, err := tx.Exec(ctx, recordQuery, w.id, kind, o.Key, v.number, v.rows, o.By, o.Pipeline, o.RunID)
	return err
}

// partition and family are the tables of a version.
func (w *work) partition(v int64) string {
	return ident("flowehr_data", fmt.Sprintf("t%d_v%d", w.id, v))
}
func (w *work) family(f int64) string { return ident("flowehr_data", fmt.Sprintf("t%d_f%d", w.id, f)) }
