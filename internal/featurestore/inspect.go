package featurestore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Table is a published table as it is shown now.
type Table struct {
	Target
	Columns     []Column
	Comments    map[string]string // of columns
	Rows        int64
	Bytes       int64 // on disk, with indexes
	Version     int64
	PublishedAt time.Time
	PublishedBy string
	Login       string // that the publisher signed in as
	Pipeline    string
	RunID       string
}

const tableQuery = `
	select t.schema_name, t.table_name, v.columns, v.comments, v.rows, coalesce(pg_total_relation_size(to_regclass(format('flowehr_data.t%s_v%s', t.id, v.version))), 0),
		v.version, v.published_at, v.published_by, v.login, v.pipeline, v.run_id
	from flowehr_store.target t join flowehr_store.version v on v.target = t.id and v.live`

// Tables lists the published tables by name.
func (s *Store) Tables(ctx context.Context) ([]Table, error) {
	var tables []Table
	err := s.asOwner(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, tableQuery+" order by 1, 2")
		if err != nil {
			return err
		}
		tables, err = pgx.CollectRows(rows, scanTable)
		return err
	})
	return tables, err
}

// Table returns one published table, or ErrNotFound.
func (s *Store) Table(ctx context.Context, t Target) (Table, error) {
	var table Table
	err := s.asOwner(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, tableQuery+" where t.schema_name = $1 and t.table_name = $2", t.Schema, t.Table)
		if err != nil {
			return err
		}
		table, err = pgx.CollectExactlyOneRow(rows, scanTable)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%w: %s", ErrNotFound, t)
		}
		return err
	})
	return table, err
}

func scanTable(row pgx.CollectableRow) (Table, error) {
	var t Table
	var columns, comments []byte
	err := row.Scan(&t.Schema, &t.Target.Table, &columns, &comments, &t.Rows, &t.Bytes, &t.Version, &t.PublishedAt, &t.PublishedBy, &t.Login, &t.Pipeline, &t.RunID)
	if err != nil {
		return t, err
	}
	return t, errors.Join(json.Unmarshal(columns, &t.Columns), json.Unmarshal(comments, &t.Comments))
}

// Publication is one entry of a table's history.
type Publication struct {
	Kind     string // "publish", "append" or "rollback"
	Version  int64
	Rows     int64
	At       time.Time
	By       string
	Login    string
	Pipeline string
	RunID    string
}

// History returns what happened to a table, newest first.
func (s *Store) History(ctx context.Context, t Target, limit int) ([]Publication, error) {
	var all []Publication
	err := s.asOwner(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select p.kind, p.version, p.rows, p.at, p.by, p.login, p.pipeline, p.run_id
			from flowehr_store.publication p join flowehr_store.target t on t.id = p.target
			where t.schema_name = $1 and t.table_name = $2 order by p.id desc limit $3`, t.Schema, t.Table, limit)
		if err != nil {
			return err
		}
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Publication])
		return err
	})
	return all, err
}

// Preview is some rows of a table as text.
type Preview struct {
	Columns []Column
	Rows    [][]*string // nil is null
}

// Preview reads up to n rows with the rights of role, so that nobody is shown what the role could not read. An empty role
// reads as the pool's own login.
func (s *Store) Preview(ctx context.Context, t Target, n int, role string) (Preview, error) {
	if err := t.check(); err != nil {
		return Preview{}, err
	}
	var p Preview
	err := s.read(ctx, role, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "select * from "+ident(t.Schema, t.Table)+" limit $1", pgx.QueryResultFormats{pgx.TextFormatCode}, n)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			raw := rows.RawValues()
			row := make([]*string, len(raw))
			for i, b := range raw {
				if b != nil {
					text := string(b)
					row[i] = &text
				}
			}
			p.Rows = append(p.Rows, row)
		}
		for _, f := range rows.FieldDescriptions() {
			p.Columns = append(p.Columns, Column{Name: f.Name, Type: typeName(tx, f.DataTypeOID)})
		}
		return rows.Err()
	})
	if hasCode(err, "42P01", "3F000") {
		return Preview{}, fmt.Errorf("%w: %s", ErrNotFound, t)
	}
	return p, err
}

func typeName(tx pgx.Tx, oid uint32) string {
	if t, ok := tx.Conn().TypeMap().TypeForOID(oid); ok {
		return t.Name
	}
	return fmt.Sprintf("oid %d", oid)
}

// ColumnProfile is what a column looks like.
type ColumnProfile struct {
	Column
	Comment  string
	Nulls    int64
	Distinct int64   // estimated when the version was published; -1 when unknown
	Min, Max *string // nil for types without an order, and without values
}

// Profile reads the whole table with the rights of role, for at most half a minute.
func (s *Store) Profile(ctx context.Context, t Target, role string) (rows int64, profile []ColumnProfile, err error) {
	table, err := s.Table(ctx, t)
	if err != nil {
		return 0, nil, err
	}
	sql := "select count(*)"
	for _, c := range table.Columns {
		name := ident(c.Name)
		sql += ", count(*) - count(" + name + ")"
		if ordered(c.Type) {
			sql += ", min(" + name + ")::text, max(" + name + ")::text"
		} else {
			sql += ", null::text, null::text"
		}
	}
	profile = make([]ColumnProfile, len(table.Columns))
	into := []any{&rows}
	for i, c := range table.Columns {
		profile[i] = ColumnProfile{Column: c, Comment: table.Comments[c.Name], Distinct: -1}
		into = append(into, &profile[i].Nulls, &profile[i].Min, &profile[i].Max)
	}
	err = s.read(ctx, role, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, sql+" from "+ident(t.Schema, t.Table)).Scan(into...)
	})
	if err != nil {
		return 0, nil, err
	}
	return rows, profile, s.estimates(ctx, table, profile)
}

// estimates adds PostgreSQL's own numbers of distinct values. A negative one is a share of the rows.
func (s *Store) estimates(ctx context.Context, t Table, profile []ColumnProfile) error {
	return s.asOwner(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `select s.attname, s.n_distinct from pg_stats s join flowehr_store.target t
			on s.schemaname = 'flowehr_data' and s.tablename = format('t%s_v%s', t.id, $3::bigint)
			where t.schema_name = $1 and t.table_name = $2`, t.Schema, t.Target.Table, t.Version)
		if err != nil {
			return err
		}
		var name string
		var n float64
		_, err = pgx.ForEachRow(rows, []any{&name, &n}, func() error {
			for i := range profile {
				if profile[i].Name != name {
					continue
				}
				if n < 0 {
					n *= -float64(t.Rows)
				}
				profile[i].Distinct = int64(n + 0.5)
			}
			return nil
		})
		return err
	})
}

func ordered(sqlType string) bool { return sqlType != "boolean" && sqlType != "bytea" }

// read runs do in a read-only transaction with the rights of role.
func (s *Store) read(ctx context.Context, role string, do func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, ownPath+"; set local statement_timeout = '30s'"); err != nil {
			return err
		}
		if role != "" {
			if _, err := tx.Exec(ctx, "set local role "+ident(role)); err != nil {
				return err
			}
		}
		return do(tx)
	})
}
