package featurestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// stage loads the rows as a new version that nobody sees yet. It is one transaction: a crash leaves nothing of it, and
// because the table is new in the transaction its rows are written frozen and need no second visit.
func (w *work) stage(ctx context.Context, b Batches, o PublishOptions, progress func(int64)) (version, error) {
	columns, err := columnsOf(b.Schema())
	if err != nil {
		return version{}, err
	}
	if err := checkExtras(columns, o); err != nil {
		return version{}, err
	}
	v := version{columns: columns, comments: o.Comments}
	err = w.transaction(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, "update flowehr_store.target set next_version = next_version + 1 where id = $1 returning next_version - 1", w.id).Scan(&v.number); err != nil {
			return err
		}
		if err := w.chooseFamily(ctx, tx, &v); err != nil {
			return err
		}
		table := w.partition(v.number)
		// The check spares ATTACH a scan. A version does not change, so autovacuum has nothing to do there, and must
		// not hold a lock at the moment of the swap.
		create := fmt.Sprintf("create table %s (%s bigint not null default %d check (%s = %d), %s) with (autovacuum_enabled = false)",
			table, loadColumn, v.number, loadColumn, v.number, definitions(columns))
		if _, err := tx.Exec(ctx, create); err != nil {
			return err
		}
		if v.rows, err = copyInto(ctx, tx, table, columns, "freeze", b, progress); err != nil {
			return err
		}
		for _, index := range o.Indexes {
			if _, err := tx.Exec(ctx, "create index on "+table+" ("+quoted(index)+")"); err != nil {
				return err
			}
		}
		if _, err := tx.Exec(ctx, "analyze "+table); err != nil {
			return err
		}
		// Part of the table from now on, and shown to nobody: the pointer names another version.
		_, err := tx.Exec(ctx, fmt.Sprintf("alter table %s attach partition %s for values in (%d)", w.family(v.family), table, v.number))
		return err
	})
	return v, err
}

// checkExtras refuses comments and indexes of columns that are not there.
func checkExtras(columns []Column, o PublishOptions) error {
	there := map[string]bool{}
	for _, c := range columns {
		there[c.Name] = true
	}
	for name := range o.Comments {
		if !there[name] {
			return fmt.Errorf("%w: comment on %q, which is not there", ErrColumns, name)
		}
	}
	for _, index := range o.Indexes {
		if len(index) == 0 {
			return fmt.Errorf("%w: index without columns", ErrColumns)
		}
		for _, name := range index {
			if !there[name] {
				return fmt.Errorf("%w: index on %q, which is not there", ErrColumns, name)
			}
		}
	}
	return nil
}

// chooseFamily sets the partitioned table that v will be part of. Versions with the same columns share one.
func (w *work) chooseFamily(ctx context.Context, tx pgx.Tx, v *version) error {
	live, err := w.findIn(ctx, tx, "live")
	if err == nil && sameColumns(live.columns, v.columns) {
		v.family = live.family
		return nil
	}
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	v.family = v.number
	_, err = tx.Exec(ctx, fmt.Sprintf("create table %s (%s bigint not null, %s) partition by list (%s)",
		w.family(v.family), loadColumn, definitions(v.columns), loadColumn))
	return err
}

// copyInto streams the batches and returns the number of rows that arrived.
func copyInto(ctx context.Context, tx pgx.Tx, table string, columns []Column, option string, b Batches, progress func(int64)) (int64, error) {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	options := "format binary"
	if option != "" {
		options += ", " + option
	}
	stream := newCopyStream(b, progress)
	tag, err := tx.Conn().PgConn().CopyFrom(ctx, stream, "copy "+table+" ("+quoted(names)+") from stdin ("+options+")")
	if own := stream.close(); own != nil {
		return 0, own // the server only repeats it
	}
	if err != nil {
		return 0, err
	}
	return tag.RowsAffected(), nil
}

// swap makes v the version that is shown. It is the only step that readers could notice, so it only changes some rows,
// and the view if the columns are new; a lock that cannot be had at once is given up and tried again, so that no reader
// queues behind it. It returns the time from the first change to the end of the transaction.
func (w *work) swap(ctx context.Context, v version, o PublishOptions) (time.Duration, error) {
	const tries, pause = 100, 50 * time.Millisecond
	for try := 1; ; try++ {
		var start time.Time
		err := w.transaction(ctx, func(tx pgx.Tx) error {
			live, err := w.findIn(ctx, tx, "live")
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			if _, err := tx.Exec(ctx, "set local lock_timeout = '200ms'"); err != nil {
				return err
			}
			for _, sql := range []string{demoteQuery, dropOldQuery, promoteQuery, recordQuery, pointQuery} {
				if _, err := tx.Prepare(ctx, sql, sql); err != nil { // so that the step itself is one round trip
					return err
				}
			}
			start = time.Now()
			return w.swapIn(ctx, tx, live, v, o)
		})
		if try == tries || !hasCode(err, "55P03", "40P01") {
			return time.Since(start), err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func (w *work) swapIn(ctx context.Context, tx pgx.Tx, live, v version, o PublishOptions) error {
	columns, err := json.Marshal(v.columns)
	if err != nil {
		return err
	}
	if v.comments == nil {
		v.comments = map[string]string{}
	}
	comments, err := json.Marshal(v.comments)
	if err != nil {
		return err
	}
	var batch pgx.Batch // one round trip
	batch.Queue(dropOldQuery, w.id)
	batch.Queue(demoteQuery, w.id)
	batch.Queue(promoteQuery, w.id, v.number, v.family, columns, comments, v.rows, o.By, o.Pipeline, o.RunID)
	batch.Queue(recordQuery, w.id, "publish", o.Key, v.number, v.rows, o.By, o.Pipeline, o.RunID)
	batch.Queue(pointQuery, w.id, v.number)
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	return w.describe(ctx, tx, live, v)
}

// The statements of a swap, besides the entry in the history.
const (
	dropOldQuery = `delete from flowehr_store.version where target = $1 and not live`
	demoteQuery  = `update flowehr_store.version set live = false where target = $1`
	promoteQuery = `insert into flowehr_store.version (target, version, family, columns, comments, rows, live, published_by, pipeline, run_id)
		values ($1, $2, $3, $4, $5, $6, true, $7, $8, $9)`
	pointQuery = `insert into flowehr_store.pointer values ($1, $2) on conflict (target) do update set version = excluded.version`
)

// describe makes the view fit next: it is replaced when the columns differ from those that were shown, and its comments
// are set when they differ.
func (w *work) describe(ctx context.Context, tx pgx.Tx, shown, next version) error {
	if shown.family != next.family {
		if err := w.replaceView(ctx, tx, shown, next); err != nil {
			return err
		}
	}
	if shown.family == next.family && maps.Equal(shown.comments, next.comments) {
		return nil
	}
	view := ident(w.target.Schema, w.target.Table)
	for _, c := range next.columns {
		text := "null"
		if comment, ok := next.comments[c.Name]; ok {
			text = literal(comment)
		}
		if _, err := tx.Exec(ctx, "comment on column "+view+"."+ident(c.Name)+" is "+text); err != nil {
			return err
		}
	}
	return nil
}

// replaceView makes the view of a family. New columns at the end keep the view and what depends on it; any other change
// needs a new view, which PostgreSQL refuses when somebody built on the old one.
func (w *work) replaceView(ctx context.Context, tx pgx.Tx, shown, next version) error {
	if err := w.store.ensureSchema(ctx, tx, w.target.Schema); err != nil {
		return err
	}
	view := ident(w.target.Schema, w.target.Table)
	verb := "create view "
	if shown.family != 0 {
		verb = "create or replace view "
		if !extends(next.columns, shown.columns) {
			verb = "create view "
			if _, err := tx.Exec(ctx, "drop view "+view); err != nil {
				if hasCode(err, "2BP01") {
					return fmt.Errorf("%w, so its columns cannot change: %w", ErrDependents, err)
				}
				return err
			}
		}
	}
	names := make([]string, len(next.columns))
	for i, c := range next.columns {
		names[i] = c.Name
	}
	// The barrier: without it a reader's own condition could run on the rows of other versions before ours does, and tell
	// of them in its error.
	sql := fmt.Sprintf("%s%s with (security_barrier) as select %s from %s where %s = (select version from flowehr_store.pointer where target = %d)",
		verb, view, quoted(names), w.family(next.family), loadColumn, w.id)
	if _, err := tx.Exec(ctx, sql); err != nil {
		if hasCode(err, "42P07", "42809") {
			return fmt.Errorf("%w: %s", ErrTaken, w.target)
		}
		return err
	}
	rows, err := tx.Query(ctx, "select role from flowehr_store.reader where schema_name = $1", w.target.Schema)
	if err != nil {
		return err
	}
	readers, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return err
	}
	for _, role := range readers {
		if _, err := tx.Exec(ctx, "grant select on "+view+" to "+ident(role)); err != nil {
			return err
		}
	}
	return nil
}

// add loads rows into the version that is shown. Readers see all of them or none, as the transaction ends.
func (w *work) add(ctx context.Context, live version, b Batches, o PublishOptions, progress func(int64)) (Published, error) {
	columns, err := columnsOf(b.Schema())
	if err != nil {
		return Published{}, err
	}
	if err := fitsInto(columns, live.columns); err != nil {
		return Published{}, err
	}
	added := version{number: live.number}
	err = w.transaction(ctx, func(tx pgx.Tx) error {
		table := w.partition(live.number)
		if added.rows, err = copyInto(ctx, tx, table, columns, "", b, progress); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "update flowehr_store.version set rows = rows + $3 where target = $1 and version = $2", w.id, live.number, added.rows); err != nil {
			return err
		}
		if err := w.record(ctx, tx, "append", added, o); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "analyze "+table)
		return err
	})
	if err != nil {
		return Published{}, err
	}
	return Published{Version: live.number, Rows: added.rows}, nil
}

func definitions(columns []Column) string {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = ident(c.Name) + " " + c.Type
	}
	return strings.Join(parts, ", ")
}

func quoted(names []string) string {
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = ident(name)
	}
	return strings.Join(parts, ", ")
}

// literal quotes a text for the statements in which PostgreSQL takes no parameters.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
