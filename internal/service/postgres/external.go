package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr"
)

// External is a server that somebody else runs. It is a [supervise.Service] that is ready while the server answers.
type External struct {
	config *pgx.ConnConfig
	every  time.Duration
}

// NewExternal takes the address of the server and of the role that may make databases and roles there.
func NewExternal(dsn flowehr.Secret) (*External, error) {
	config, err := pgx.ParseConfig(dsn.Reveal())
	if err != nil {
		// pgx masks passwords in its message, but not in every malformed address.
		return nil, errors.New("address of the PostgreSQL server cannot be read; write postgres://user:password@host:port/database or key=value pairs")
	}
	config.ConnectTimeout = 10 * time.Second
	return &External{config: config, every: 15 * time.Second}, nil
}

// Name returns "postgres".
func (e *External) Name() string { return "postgres" }

// Run checks that the server answers and is new enough, calls ready, and then keeps checking that it answers.
func (e *External) Run(ctx context.Context, ready func()) error {
	conn, err := pgx.ConnectConfig(ctx, e.config.Copy())
	if err != nil {
		return e.unreachable(ctx, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	var version int
	if err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int").Scan(&version); err != nil {
		return e.unreachable(ctx, err)
	}
	if version/10000 < MinMajor {
		return fmt.Errorf("%w: %s:%d is version %d, at least %d is needed", ErrServerTooOld, e.config.Host, e.config.Port, version/10000, MinMajor)
	}
	ready()
	tick := time.NewTicker(e.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := conn.Ping(ctx); err != nil {
				return e.unreachable(ctx, err)
			}
		}
	}
}

func (e *External) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%w: %s:%d: %w", ErrServerNotThere, e.config.Host, e.config.Port, err)
}
