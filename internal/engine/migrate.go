package engine

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Classes of advisory locks that this package takes.
const (
	lockMigrate  = 0x464c4501 // one migration at a time
	lockWorker   = 0x464c4502 // held by each living worker, with its id
	lockQueue    = 0x464c4503 // one claim of pipelines with limited concurrency at a time
	lockRegister = 0x464c4504 // one registration of a pipeline at a time, with the hash of its name
	lockSubmit   = 0x464c4505 // one submission to the queue of a pipeline at a time, likewise
)

// Migrate brings schema engine of the database to the version of this program. Several processes may call it at once.
func Migrate(ctx context.Context, pool *pgxpool.Pool) error {
	// The lock has a connection of its own: a pool of one has none to spare.
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return fmt.Errorf("migrate engine: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	tx, err := conn.Begin(ctx)
	if err != nil {
		return fmt.Errorf("migrate engine: %w", err)
	}
	defer tx.Rollback(ctx)
	if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1, 0)", lockMigrate); err != nil {
		return fmt.Errorf("migrate engine: %w", err)
	}
	if err := migrate(ctx, pool); err != nil {
		return fmt.Errorf("migrate engine: %w", err)
	}
	return nil
}

func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	if _, err := db.ExecContext(ctx, "create schema if not exists engine"); err != nil {
		return err
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("engine.schema_version"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
