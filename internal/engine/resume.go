package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/jackc/pgx/v5"
)

// Resume starts a new run, of the version now in force, with the parameters of one that failed or was cancelled. What
// had succeeded is not done again and keeps its output; variables are set, filters applied, branches chosen and loops
// entered anew. In a loop an iteration is reused only if its item is the same. A run is refused that is not over, has
// succeeded, or of which too much was deleted since (Options.KeepSecrets, Options.Keep).
func (s *Store) Resume(ctx context.Context, runID, by string) (newID string, err error) {
	id, err := s.resolve(ctx, runID)
	if err != nil {
		return "", fmt.Errorf("resume: %w", err)
	}
	var n newRunRow
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		n, err = resumeRow(ctx, tx, id, by, s.now())
		if err != nil {
			return err
		}
		if err := s.record(ctx, audit.Entry{Who: by, Action: "pipeline.resume", Subject: "pipeline/" + n.pipeline,
			Project: n.project, Outcome: "ok", Detail: map[string]string{"run": n.id, "of": id}}); err != nil {
			return err
		}
		return n.insertResumed(ctx, tx)
	})
	if err != nil {
		return "", fmt.Errorf("resume run %s: %w", id, err)
	}
	return n.id, nil
}

// resumeRow makes the row of a run that carries on where the run of this id failed.
func resumeRow(ctx context.Context, q querier, id, by string, now time.Time) (newRunRow, error) {
	var name, project, status, group, invoked, trigger string
	var parameters []byte
	var triggerTime time.Time
	var secretsGone, detailsGone *time.Time
	// The share lock holds off the sweep until the new run has its copies.
	err := q.QueryRow(ctx, `select pipeline, project, status, group_id::text, invoked, trigger_name, trigger_time, coalesce(parameters, shown),
			secrets_deleted_at, details_deleted_at from engine.run where id = $1 for share`, id).
		Scan(&name, &project, &status, &group, &invoked, &trigger, &triggerTime, &parameters, &secretsGone, &detailsGone)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return newRunRow{}, ErrNotFound
	case err != nil:
		return newRunRow{}, err
	case status != string(factory.Failed) && status != string(factory.Cancelled):
		return newRunRow{}, refuse("it is %s: only a failed or cancelled run can be resumed", status)
	case detailsGone != nil:
		return newRunRow{}, refuse("what it had done was deleted on %s; start a new run", detailsGone.Format(time.DateOnly))
	case secretsGone != nil:
		return newRunRow{}, refuse("its secure values were deleted on %s; start a new run", secretsGone.Format(time.DateOnly))
	}
	b, version, err := loadBundle(ctx, q, name, 0)
	if err != nil {
		return newRunRow{}, err
	}
	v, err := expr.DecodeJSON(parameters)
	if err != nil {
		return newRunRow{}, err
	}
	old, _ := v.(*expr.Object)
	kept := expr.NewObject()
	for key, value := range old.All() {
		if _, known := b.Pipeline.Parameters[key]; known {
			kept.Set(key, value)
		}
	}
	n, err := newRun(b, version, StartRequest{Parameters: kept, By: by, Project: project, Invoked: invoked, Trigger: trigger}, now)
	if err != nil {
		return newRunRow{}, err
	}
	n.group, n.triggerTime, n.resumedFrom = group, triggerTime, id
	return n, nil
}

// insertResumed submits the run with the finished work of the one it resumes.
func (n newRunRow) insertResumed(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `insert into engine.event (run_id, seq, epoch, path, kind, attempt, at, data, held)
		select $1, row_number() over (order by seq), 0, path, case kind when 'Entered' then 'Former' else 'Reused' end, attempt, at, data, held
		from engine.event where run_id = $2 and path <> '' and kind in ('Succeeded', 'Reused', 'Entered') and not exists
			(select from engine.event where run_id = $1)`, n.id, n.resumedFrom); err != nil {
		return err
	}
	return n.insert(ctx, tx)
}
