package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A worker sweeps from time to time, a few runs in each transaction, so that nobody waits for it.
const (
	sweepEvery = 10 * time.Minute
	sweepBatch = 50
)

// sweep deletes what has been kept for long enough until ctx ends.
func (s *session) sweep(ctx context.Context) {
	var last time.Time
	for ctx.Err() == nil {
		if now := s.Now(); last.IsZero() || now.Sub(last).Abs() >= sweepEvery {
			last = now
			if err := s.sweepAll(ctx, now); err != nil && ctx.Err() == nil {
				s.Logger.Warn("old runs not swept", "error", err)
			}
		}
		_ = sleep(ctx, pollEvery)
	}
}

func (s *session) sweepAll(ctx context.Context, now time.Time) error {
	if err := sweepRuns(ctx, s.Pool, sweepSecrets, now.Add(-s.KeepSecrets), now); err != nil {
		return fmt.Errorf("secure values: %w", err)
	}
	if err := sweepRuns(ctx, s.Pool, sweepDetails, now.Add(-s.Keep), now); err != nil {
		return fmt.Errorf("details: %w", err)
	}
	if _, err := s.Pool.Exec(ctx, "delete from engine.trigger_fire where fire_at < $1", now.Add(-s.Keep)); err != nil {
		return fmt.Errorf("fires: %w", err)
	}
	return nil
}

// sweepRuns applies a statement to runs that ended before a time, until it finds none.
func sweepRuns(ctx context.Context, pool *pgxpool.Pool, statement string, before, now time.Time) error {
	for {
		tag, err := pool.Exec(ctx, statement, before, now, sweepBatch)
		if err != nil || tag.RowsAffected() < sweepBatch {
			return err
		}
	}
}

// The lock on a run keeps a sweep and the resumption of that run apart, and two sweeping workers.
const sweepSecrets = `with candidate as (select id from engine.run where parameters is not null and ended_at < $1
		union select run_id from engine.event where held is not null),
	ripe as (select r.id from engine.run r where r.id in (select id from candidate) and r.ended_at < $1
		order by r.ended_at limit $3 for update skip locked),
	forgotten as (update engine.event set held = null where held is not null and run_id in (select id from ripe))
	update engine.run set parameters = null, secrets_deleted_at = $2 where id in (select id from ripe)`

// The row of the run itself stays, as the summary of what happened.
const sweepDetails = `with ripe as (select id from engine.run where ended_at is not null and ended_at < $1 and details_deleted_at is null
		order by ended_at limit $3 for update skip locked),
	events as (delete from engine.event where run_id in (select id from ripe)),
	lines as (delete from engine.log where run_id in (select id from ripe)),
	counts as (delete from engine.progress where run_id in (select id from ripe))
	update engine.run set parameters = null, details_deleted_at = $2 where id in (select id from ripe)`
