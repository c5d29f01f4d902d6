package engine

import (
	"context"
	"fmt"

	"github.com/flowehr/flowehr/internal/audit"
)

// treeOf is the run $1 and, if $2, the runs that it started.
const treeOf = `with recursive tree as (select id from engine.run where id = $1
		union select r.id from engine.run r join tree t on r.parent = t.id where $2)`

// Cancel asks for the end of a run, and of the runs that it started if children is true. A run that waits in the queue
// is cancelled at once; one in progress becomes Canceling, and its running activities are told within a second. A run
// that has ended, or is being cancelled already, is left as it is, and that is not audited.
func (s *Store) Cancel(ctx context.Context, runID, by string, children bool) error {
	id, err := s.resolve(ctx, runID)
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	// The runs are not locked meanwhile: the record may take its time, and the events of all runs would wait for it.
	var known, open bool
	if err := s.pool.QueryRow(ctx, treeOf+` select exists (select from tree), exists (select from engine.run
		where id in (select id from tree) and status in ('Queued', 'InProgress'))`, id, children).Scan(&known, &open); err != nil {
		return fmt.Errorf("cancel run %s: %w", id, err)
	}
	if !known {
		return fmt.Errorf("cancel: run %s: %w", id, ErrNotFound)
	}
	if !open {
		return nil
	}
	if err := s.record(ctx, audit.Entry{Who: by, Action: "pipeline.cancel", Subject: "run/" + id, Outcome: "ok",
		Detail: map[string]string{"children": fmt.Sprint(children)}}); err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, treeOf+`,
		open as (select id from engine.run where id in (select id from tree) and status in ('Queued', 'InProgress')
			order by id for no key update), -- in the order in which the writers of events lock
		hit as (update engine.run r set cancelled_by = $3,
				status = case when status = 'Queued' then 'Cancelled' else 'Canceling' end,
				ended_at = case when status = 'Queued' then $4::timestamptz end,
				message = case when status = 'Queued' then 'Cancelled before it began by ' || $3 else message end
			where r.id in (select id from open) and r.status in ('Queued', 'InProgress') returning r.id)
		select pg_notify($5, $6 || id), pg_notify($7, id::text) from hit`,
		id, children, by, s.now(), channelWake, wakeCancel, channelRun)
	if err != nil {
		return fmt.Errorf("cancel run %s: %w", id, err)
	}
	return nil
}
