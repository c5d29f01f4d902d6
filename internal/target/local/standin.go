package local

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr/internal/synth"
)

// standInSchema is where the tables of a stand-in database are, as in most hospital databases on PostgreSQL.
const standInSchema = "public"

// FillDatabase makes the tables of h in the database at dsn and fills them, in one transaction: it is all there or
// nothing is. A table that exists already is an error, because its rows might be somebody's.
func FillDatabase(ctx context.Context, dsn string, h *synth.Hospital) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("database address: %w", err)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return fillTables(ctx, conn, h)
}

// fillBatch is how many patients are made at a time: enough that a COPY is worth its round trip, few enough that memory
// stays small.
const fillBatch = 500

func fillTables(ctx context.Context, conn *pgx.Conn, h *synth.Hospital) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		tables := h.Tables()
		for _, t := range tables {
			if err := createTable(ctx, tx, t); err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
			if t.Fixed() {
				if err := copyRows(ctx, tx, t, []*synth.Person{nil}); err != nil {
					return fmt.Errorf("table %s: %w", t.Name, err)
				}
			}
		}
		var batch []*synth.Person
		for i, p := range h.People() {
			batch = append(batch, p)
			if len(batch) < fillBatch && i < h.Patients()-1 {
				continue
			}
			for _, t := range tables {
				if err := copyRows(ctx, tx, t, batch); err != nil {
					return fmt.Errorf("table %s: %w", t.Name, err)
				}
			}
			batch = batch[:0]
		}
		return nil
	})
}

func createTable(ctx context.Context, tx pgx.Tx, t synth.Table) error {
	types := map[string]string{"text": "text", "date": "date", "timestamp": "timestamptz", "double": "double precision", "integer": "bigint"}
	var defs []string
	for _, c := range t.Columns {
		defs = append(defs, pgx.Identifier{c.Name}.Sanitize()+" "+types[c.Type])
	}
	_, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (%s))", pgx.Identifier{standInSchema, t.Name}.Sanitize(),
		strings.Join(defs, ", "), pgx.Identifier{t.Columns[0].Name}.Sanitize()))
	return err
}

// copyRows adds the rows of some patients to a table.
func copyRows(ctx context.Context, tx pgx.Tx, t synth.Table, people []*synth.Person) error {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = c.Name
	}
	next, stop := iter.Pull(func(yield func([]any) bool) {
		for _, p := range people {
			for row := range t.RowsOf(p) {
				if !yield(row) {
					return
				}
			}
		}
	})
	defer stop()
	_, err := tx.CopyFrom(ctx, pgx.Identifier{standInSchema, t.Name}, names, pgx.CopyFromFunc(func() ([]any, error) {
		row, ok := next()
		if !ok {
			return nil, nil
		}
		return row, ctx.Err()
	}))
	return err
}

// fillFolder writes the FHIR resources of h into dir. The folder is replaced as a whole: a pipeline that reads it sees
// the old files or the new ones.
func fillFolder(ctx context.Context, dir string, h *synth.Hospital) error {
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return err
	}
	staged, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".")
	if err != nil {
		return err
	}
	defer os.RemoveAll(staged)
	if err := h.WriteFHIR(ctx, staged); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(staged, dir)
}
