package local

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/flowehr/flowehr/internal/lake"
	"github.com/flowehr/flowehr/internal/service/postgres"
)

// administrator is the role that the host works as on the server.
func (h *Host) administrator(ctx context.Context) (string, error) {
	admin, err := h.pool(ctx, h.adminDatabase())
	if err != nil {
		return "", err
	}
	var name string
	err = admin.QueryRow(ctx, "select current_user").Scan(&name)
	return name, err
}

// ensureDatabase makes a database that only its owner can connect to; an empty owner means the administrator.
func (h *Host) ensureDatabase(ctx context.Context, name, owner string) error {
	admin, err := h.pool(ctx, h.adminDatabase())
	if err != nil {
		return err
	}
	if owner == "" {
		if owner, err = h.administrator(ctx); err != nil {
			return err
		}
	}
	return postgres.EnsureDatabase(ctx, admin, name, owner)
}

func (h *Host) databaseExists(ctx context.Context, name string) (bool, error) {
	return h.ask(ctx, "select true from pg_database where datname = $1", name)
}

func (h *Host) roleExists(ctx context.Context, name string) (bool, error) {
	return h.ask(ctx, "select true from pg_roles where rolname = $1", name)
}

// ask reports whether a question to the server's catalogue has an answer.
func (h *Host) ask(ctx context.Context, sql string, args ...any) (bool, error) {
	admin, err := h.pool(ctx, h.adminDatabase())
	if err != nil {
		return false, err
	}
	var yes bool
	err = admin.QueryRow(ctx, sql, args...).Scan(&yes)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return yes, err
}

// dropDatabase ends the connections to a database and removes it.
func (h *Host) dropDatabase(ctx context.Context, name string) error {
	h.forget(name)
	admin, err := h.pool(ctx, h.adminDatabase())
	if err != nil {
		return err
	}
	_, err = admin.Exec(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
	return err
}

// dropRole removes a role. What it still owns in the feature store goes to the administrator.
func (h *Host) dropRole(ctx context.Context, name string) error {
	owner, err := h.administrator(ctx)
	if err != nil {
		return err
	}
	database := h.adminDatabase()
	if there, err := h.databaseExists(ctx, storeDatabase); err != nil {
		return err
	} else if there {
		database = storeDatabase
	}
	pool, err := h.pool(ctx, database)
	if err != nil {
		return err
	}
	err = postgres.DropRole(ctx, pool, name, owner)
	if err == nil || database != storeDatabase {
		return err
	}
	// The feature store is removed beside the sources: when it has gone meanwhile nobody owns anything in it.
	if there, lookErr := h.databaseExists(ctx, storeDatabase); lookErr != nil || there {
		return errors.Join(err, lookErr)
	}
	h.forget(storeDatabase)
	if pool, err = h.pool(ctx, h.adminDatabase()); err != nil {
		return err
	}
	return postgres.DropRole(ctx, pool, name, owner)
}

// commit names the person at the keyboard as the author of a change to the lake.
func (h *Host) commit(operation string) lake.Commit {
	return lake.Commit{Operation: operation, By: h.Who}
}

// isTransient recognises a server that is starting, stopping or out of connections for the moment.
func isTransient(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		_, connecting := errors.AsType[*pgconn.ConnectError](err)
		return connecting
	}
	switch pg.Code {
	case "57P01", "57P02", "57P03", "53300", "08006", "08003", "08001", "40001", "40P01":
		return true
	}
	return false
}
