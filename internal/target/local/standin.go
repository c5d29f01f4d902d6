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

func fillTables(ctx context.Context, conn *pgx.Conn, h *synth.Hospital) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, t := range h.Tables() {
			if err := fillTable(ctx, tx, h, t); err != nil {
				return fmt.Errorf("table %s: %w", t.Name, err)
			}
		}
		return nil
	})
}

func fillTable(ctx context.Context, tx pgx.Tx, h *synth.Hospital, t synth.Table) error {
	types := map[string]string{"text": "text", "date": "date", "timestamp": "timestamptz", "double": "double precision", "integer": "bigint"}
	var names, defs []string
	for _, c := range t.Columns {
		names = append(names, c.Name)
		defs = append(defs, pgx.Identifier{c.Name}.Sanitize()+" "+types[c.Type])
	}
	name := pgx.Identifier{standInSchema, t.Name}
	create := fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (%s))", name.Sanitize(), strings.Join(defs, ", "), pgx.Identifier{names[0]}.Sanitize())
	if _, err := tx.Exec(ctx, create); err != nil {
		return err
	}
	next, stop := iter.Pull(h.Rows(t))
	defer stop()
	_, err := tx.CopyFrom(ctx, name, names, pgx.CopyFromFunc(func() ([]any, error) {
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
