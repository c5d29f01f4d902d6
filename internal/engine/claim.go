package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/jackc/pgx/v5"
)

// claimed is a run that this worker has just become the owner of.
type claimed struct {
	id, pipeline, project, by, invoked, trigger string
	version, epoch, depth, concurrency          int
	status                                      string
	parameters                                  []byte
	triggerTime                                 time.Time
	group, parent, parentName, resumedFrom      string
}

// claimOpen takes runs that need no room in their pipeline: new ones without a limit, and those whose worker is gone.
const claimOpen = `with ` + lightly + `,
	lone as (select id from engine.run where owner is null and status in ('InProgress', 'Canceling') limit $2 for update skip locked),
	new as (select id from engine.run where status = 'Queued' and concurrency = 0 and (depth > 0 or $3)
		order by ordinal limit $2 - (select count(*) from lone) for update skip locked),
	c as (select id from lone union all select id from new)` + claimTail

// claimQueued takes runs of pipelines with limited concurrency, first in, first out. It runs under a lock, since two
// workers must not both see the last free place.
const claimQueued = `with ` + lightly + `, busy as (select pipeline, count(*) n from engine.run
		where concurrency > 0 and status in ('InProgress', 'Canceling') group by pipeline),
	q as (select id, pipeline, ordinal, concurrency, depth, row_number() over (partition by pipeline order by ordinal) place
		from engine.run where status = 'Queued' and concurrency > 0),
	c as (select r.id from engine.run r where r.status = 'Queued' and r.id in (select q.id from q left join busy using (pipeline)
			where q.place <= q.concurrency - coalesce(busy.n, 0) and (q.depth > 0 or $3) order by q.ordinal limit $2)
		for update skip locked)` + claimTail

// lightly lets a transaction commit without waiting for the disk. A claim may: the log of the database has one order, so
// whatever the claim leads to is durable only when the claim is, and a claim that a crash undid leaves nothing behind.
const lightly = `lightly as materialized (select set_config('synchronous_commit', 'off', true))`

const claimTail = ` update engine.run r set owner = $1, epoch = epoch + 1, started_at = coalesce(started_at, $4),
		status = case when status = 'Queued' then 'InProgress' else status end
	from c cross join lightly where r.id = c.id
	returning r.id::text, r.pipeline, r.project, r.by, r.invoked, r.trigger_name, r.version, r.epoch, r.depth, r.concurrency, r.status,
		coalesce(r.parameters, r.shown), r.trigger_time, r.group_id::text, coalesce(r.parent::text, ''), r.parent_name, coalesce(r.resumed_from::text, '')`

// claim takes runs and starts them. Runs that another run waits for are taken even when there is no room: without them
// nothing might ever end.
func (s *session) claim(ctx, running context.Context) error {
	for {
		room := int64(s.MaxRuns) - s.active.Load()
		limit := room
		if room <= 0 {
			limit = 16 // children only
		}
		s.full.Store(true) // a run that ends from here on wakes us
		list, err := scanClaims(s.quick.Query(ctx, claimOpen, s.worker, limit, room > 0, s.Now()))
		if err != nil {
			return err
		}
		if s.queue.Swap(false) {
			more, err := s.claimLimited(ctx, limit, room > 0)
			if err != nil {
				s.queue.Store(true)
				return err
			}
			list = append(list, more...)
		}
		s.full.Store(int64(len(list)) >= room) // there may be more
		for _, c := range list {
			s.begin(ctx, running, c)
		}
		if int64(len(list)) < limit {
			return nil
		}
	}
}

func (s *session) claimLimited(ctx context.Context, limit int64, room bool) (list []claimed, err error) {
	var waiting bool
	if err := s.Pool.QueryRow(ctx, "select exists (select from engine.run where status = 'Queued' and concurrency > 0)").
		Scan(&waiting); err != nil || !waiting {
		return nil, err
	}
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1, 0)", lockQueue); err != nil {
			return err
		}
		list, err = scanClaims(tx.Query(ctx, claimQueued, s.worker, limit, room, s.Now()))
		return err
	})
	return list, err
}

func scanClaims(rows pgx.Rows, err error) ([]claimed, error) {
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (c claimed, err error) {
		err = r.Scan(&c.id, &c.pipeline, &c.project, &c.by, &c.invoked, &c.trigger, &c.version, &c.epoch, &c.depth, &c.concurrency, &c.status,
			&c.parameters, &c.triggerTime, &c.group, &c.parent, &c.parentName, &c.resumedFrom)
		return c, err
	})
}

// begin carries a claimed run on in its own goroutine.
func (s *session) begin(ctx, running context.Context, c claimed) {
	r := &run{session: s, claimed: c}
	r.ctx, r.cancel = context.WithCancelCause(running)
	if c.status == string(factory.Cancelling) {
		r.cancel(errCancelled)
	}
	s.active.Add(1)
	s.mu.Lock()
	s.runs[c.id] = r
	s.mu.Unlock()
	s.going.Go(func() {
		defer func() {
			r.cancel(nil)
			s.mu.Lock()
			if s.runs[c.id] == r {
				delete(s.runs, c.id)
			}
			s.mu.Unlock()
			s.active.Add(-1)
			if c.concurrency > 0 {
				s.queue.Store(true)
				s.poke()
			} else if s.full.Load() {
				s.poke()
			}
		}()
		r.execute(ctx)
	})
}

// load reads what a run needs: its definition, and its history if it has one.
func (s *session) load(ctx context.Context, r *run) error {
	b, err := s.bundle(ctx, r.pipeline, r.version)
	if err != nil {
		return err
	}
	r.def = b
	v, err := expr.DecodeJSON(r.parameters)
	if err != nil {
		return fmt.Errorf("parameters: %w", err)
	}
	r.params, _ = v.(*expr.Object)
	r.past = history{instances: map[string]*instance{}}
	if r.epoch == 1 && r.resumedFrom == "" {
		return nil
	}
	rows, err := s.Pool.Query(ctx, "select seq, path, kind, attempt, at, data, held from engine.event where run_id = $1 order by seq", r.id)
	if err != nil {
		return err
	}
	var path, kind string
	var attempt int
	var at time.Time
	var data, held []byte
	_, err = pgx.ForEachRow(rows, []any{&r.past.seq, &path, &kind, &attempt, &at, &data, &held}, func() error {
		d, err := decodeEvent(data, held)
		if err != nil {
			return err
		}
		r.past.apply(path, kind, attempt, at, d)
		return nil
	})
	return err
}

// bundle returns a version of a pipeline. Versions never change, so they are kept; the newest few are enough.
func (s *session) bundle(ctx context.Context, name string, version int) (*factory.Bundle, error) {
	key := fmt.Sprintf("%s\x00%d", name, version)
	s.mu.Lock()
	b := s.bundles[key]
	s.mu.Unlock()
	if b != nil {
		return b, nil
	}
	loaded, _, err := loadBundle(ctx, s.Pool, name, version)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bundles) >= 256 {
		clear(s.bundles)
	}
	s.bundles[key] = &loaded
	return &loaded, nil
}
