package local

import (
	"context"
	"errors"
	"fmt"

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

// roleExists reports whether a role of this environment is there.
func (h *Host) roleExists(ctx context.Context, name string) (bool, error) {
	if h.Environment.Local.PostgresDSN == "" {
		return h.ask(ctx, "select true from pg_roles where rolname = $1", name) // the server has no other roles
	}
	return h.ask(ctx, "select true from pg_roles where rolname = $1 and rolconfig @> array[$2::text]", name, roleSetting+"="+h.Environment.Suffix)
}

// roleSetting marks the roles that an environment made in a server that others use, too: it is a setting of the role
// with the environment's name as its value.
const roleSetting = "flowehr.environment"

// claimRole makes a role that nobody can sign in with yet, or finds the one that this environment made. A role of
// somebody else is refused: giving it a new password, or removing it later, would take it from them.
func (h *Host) claimRole(ctx context.Context, name string) error {
	if h.Environment.Local.PostgresDSN == "" {
		return nil
	}
	admin, err := h.pool(ctx, h.adminDatabase())
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, admin, func(tx pgx.Tx) error {
		// One at a time, because two sources may have the same user.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtext('flowehr roles'))"); err != nil {
			return err
		}
		var ours bool
		var create, mark string
		err := tx.QueryRow(ctx, "select coalesce(rolconfig @> array[$2::text], false) from pg_roles where rolname = $1",
			name, roleSetting+"="+h.Environment.Suffix).Scan(&ours)
		switch {
		case err == nil && !ours:
			return fmt.Errorf("the server of local.postgres_dsn has a role %q already, which this environment did not make", name)
		case err == nil || !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		if err := tx.QueryRow(ctx, "select format('create role %I nologin', $1::text), format('alter role %I set "+roleSetting+" = %L', $1::text, $2::text)",
			name, h.Environment.Suffix).Scan(&create, &mark); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, create); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, mark)
		return err
	})
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
	h.dropping.Lock()
	defer h.dropping.Unlock()
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
	h.dropping.Lock() // the feature store must not go while a role is cleared out of it
	defer h.dropping.Unlock()
	if ours, err := h.roleExists(ctx, name); err != nil || !ours {
		return err
	}
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
