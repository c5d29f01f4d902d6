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

// typeScheduleTrigger is the one type of trigger that the engine fires.
const typeScheduleTrigger = "ScheduleTrigger"

// maxMissed is how many missed fires of one trigger are recorded one by one; older ones are only counted.
const maxMissed = 100

// registerTriggers replaces the triggers of a pipeline by those of its new version. Whoever started or stopped a trigger
// by hand is obeyed for as long as the definition says the same as it did then.
func registerTriggers(ctx context.Context, tx pgx.Tx, b factory.Bundle, now time.Time, who string) error {
	names := []string{}
	for _, t := range b.Triggers {
		names = append(names, t.Name)
		var next *time.Time
		if t.Type == typeScheduleTrigger {
			r, err := factory.Schedule(t.Properties)
			if err != nil {
				return fmt.Errorf("trigger %s: %w", t.Name, err)
			}
			if at, ok := r.Next(now); ok {
				next = &at
			}
		}
		started := t.Started && t.Type == typeScheduleTrigger
		if _, err := tx.Exec(ctx, `insert into engine.trigger as old (name, pipeline, type, defined, started, decided_by, next_at)
			values ($1, $2, $3, $4, $4, $5, $6)
			on conflict (name, pipeline) do update set type = excluded.type, defined = excluded.defined, next_at = excluded.next_at,
				started = case when old.defined = excluded.defined and excluded.type = $7 then old.started else excluded.started end,
				decided_by = case when old.defined = excluded.defined then old.decided_by else excluded.decided_by end`,
			t.Name, b.Pipeline.Name, t.Type, started, who, next, typeScheduleTrigger); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "delete from engine.trigger where pipeline = $1 and name <> all($2)", b.Pipeline.Name, names)
	return err
}

// Triggers lists the triggers of the pipelines in force.
func (s *Store) Triggers(ctx context.Context) ([]TriggerInfo, error) {
	rows, err := s.pool.Query(ctx, `select name, pipeline, type, started, decided_by, case when started then next_at end
		from engine.trigger order by pipeline, name`)
	if err != nil {
		return nil, fmt.Errorf("list triggers: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (t TriggerInfo, err error) {
		err = r.Scan(&t.Name, &t.Pipeline, &t.Type, &t.Started, &t.By, &t.Next)
		return t, err
	})
	if err != nil {
		return nil, fmt.Errorf("list triggers: %w", err)
	}
	return list, nil
}

// SetTrigger starts or stops a trigger, in every pipeline that has one of that name. What it would have fired while it
// was stopped is not made up for.
func (s *Store) SetTrigger(ctx context.Context, name string, started bool, who string) error {
	action := "trigger.stop"
	if started {
		action = "trigger.start"
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, "select pipeline, type from engine.trigger where name = $1 for update", name)
		if err != nil {
			return err
		}
		type found struct{ Pipeline, Type string }
		list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
		if err != nil {
			return err
		}
		if len(list) == 0 {
			return ErrNotFound
		}
		for _, t := range list {
			if started && t.Type != typeScheduleTrigger {
				return refuse("it is a %s, which is not run here", t.Type)
			}
		}
		if err := s.record(ctx, audit.Entry{Who: who, Action: action, Subject: "trigger/" + name, Outcome: "ok"}); err != nil {
			return err
		}
		for _, t := range list {
			var next *time.Time
			if started {
				b, _, err := loadBundle(ctx, tx, t.Pipeline, 0)
				if err != nil {
					return err
				}
				if next, err = nextFire(b, name, s.now()); err != nil {
					return err
				}
			}
			if _, err := tx.Exec(ctx, `update engine.trigger set started = $3, decided_by = $4, next_at = $5
				where name = $1 and pipeline = $2`, name, t.Pipeline, started, who, next); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", action, name, err)
	}
	return nil
}

// TriggerFire is one time that a trigger was due.
type TriggerFire struct {
	Trigger  string
	Pipeline string
	At       time.Time // planned
	State    string    // Succeeded (a run was submitted), Failed or Missed
	RunID    string
	Message  string
	Recorded time.Time
}

// Fires lists when a trigger was due, newest first. An empty name lists all triggers.
func (s *Store) Fires(ctx context.Context, trigger string, limit int) ([]TriggerFire, error) {
	if limit <= 0 {
		limit = 100
	}
	rows, err := s.pool.Query(ctx, `select trigger, pipeline, fire_at, state, coalesce(run_id::text, ''), message, at
		from engine.trigger_fire where $1 = '' or trigger = $1 order by fire_at desc limit $2`, trigger, limit)
	if err != nil {
		return nil, fmt.Errorf("list fires: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[TriggerFire])
	if err != nil {
		return nil, fmt.Errorf("list fires: %w", err)
	}
	return list, nil
}

func findTrigger(b factory.Bundle, name string) (factory.Trigger, bool) {
	for _, t := range b.Triggers {
		if t.Name == name {
			return t, true
		}
	}
	return factory.Trigger{}, false
}

func nextFire(b factory.Bundle, trigger string, after time.Time) (*time.Time, error) {
	t, found := findTrigger(b, trigger)
	if !found {
		return nil, fmt.Errorf("trigger %s: %w", trigger, ErrNotFound)
	}
	r, err := factory.Schedule(t.Properties)
	if err != nil {
		return nil, err
	}
	if at, ok := r.Next(after); ok {
		return &at, nil
	}
	return nil, nil
}

// schedule fires triggers until ctx ends.
func (s *session) schedule(ctx context.Context) {
	for ctx.Err() == nil {
		fired, err := s.fireOne(ctx)
		if err != nil && ctx.Err() == nil {
			s.Logger.Warn("triggers not fired", "error", err)
		}
		if !fired {
			_ = sleep(ctx, pollEvery)
		}
	}
}

// dueTrigger is a trigger whose next fire has come.
type dueTrigger struct {
	name, pipeline string
	next           time.Time
}

// fireOne fires one due trigger. The fire, its run and the time of the next fire are one transaction, so that a fire is
// submitted exactly once whatever crashes.
func (s *session) fireOne(ctx context.Context) (fired bool, err error) {
	err = pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		now := s.Now()
		var t dueTrigger
		err := tx.QueryRow(ctx, `select name, pipeline, next_at from engine.trigger where started and next_at <= $1
			order by next_at limit 1 for update skip locked`, now).Scan(&t.name, &t.pipeline, &t.next)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		fired = true
		return s.fire(ctx, tx, t, now)
	})
	if fired && err == nil {
		s.queue.Store(true)
		s.poke()
	}
	return fired && err == nil, err
}

// fire submits the newest due fire if it is not too old, and records the others as missed.
func (s *session) fire(ctx context.Context, tx pgx.Tx, t dueTrigger, now time.Time) error {
	b, version, err := loadBundle(ctx, tx, t.pipeline, 0)
	if err != nil {
		return s.unschedule(ctx, tx, t, nil, err)
	}
	def, found := findTrigger(b, t.name)
	if !found {
		return s.unschedule(ctx, tx, t, nil, ErrNotFound)
	}
	r, err := factory.Schedule(def.Properties)
	if err != nil {
		return s.unschedule(ctx, tx, t, nil, err)
	}
	due := []time.Time{t.next}
	skipped := 0
	last := t.next
	var next *time.Time
	for {
		at, ok := r.Next(last)
		if !ok {
			break
		}
		if at.After(now) {
			next = &at
			break
		}
		last = at
		due = append(due, at)
		if len(due) > maxMissed {
			due = due[1:]
			skipped++
		}
	}
	for _, at := range due[:len(due)-1] {
		if err := recordFire(ctx, tx, t, at, "Missed", "", "No worker was running, and a later fire followed.", now); err != nil {
			return err
		}
	}
	message := ""
	if skipped > 0 {
		message = fmt.Sprintf("%d earlier fires were missed and are not listed.", skipped)
	}
	if late := now.Sub(last); late > s.Grace {
		err = recordFire(ctx, tx, t, last, "Missed", "", fmt.Sprintf("No worker was running until %s after it. %s", late.Round(time.Second), message), now)
	} else {
		err = s.submitFire(ctx, tx, t, def, b, version, last, now, message)
	}
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "update engine.trigger set next_at = $3 where name = $1 and pipeline = $2", t.name, t.pipeline, next)
	return err
}

// unschedule records why a trigger cannot fire, and does not try again until it is registered or started anew.
func (s *session) unschedule(ctx context.Context, tx pgx.Tx, t dueTrigger, next *time.Time, cause error) error {
	if err := recordFire(ctx, tx, t, t.next, "Failed", "", cause.Error(), s.Now()); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "update engine.trigger set next_at = $3 where name = $1 and pipeline = $2", t.name, t.pipeline, next)
	return err
}

func recordFire(ctx context.Context, tx pgx.Tx, t dueTrigger, at time.Time, state, runID, message string, now time.Time) error {
	_, err := tx.Exec(ctx, `insert into engine.trigger_fire (trigger, pipeline, fire_at, state, run_id, message, at)
		values ($1, $2, $3, $4, nullif($5, '')::uuid, $6, $7) on conflict do nothing`, t.name, t.pipeline, at, state, runID, message, now)
	return err
}

// submitFire starts the pipeline once for each time that the trigger names it. Parameters that cannot be evaluated fail
// the fire and make no run.
func (s *session) submitFire(ctx context.Context, tx pgx.Tx, t dueTrigger, def factory.Trigger, b factory.Bundle, version int,
	at, now time.Time, message string) error {
	var taken bool
	if err := tx.QueryRow(ctx, "select exists (select from engine.trigger_fire where trigger = $1 and pipeline = $2 and fire_at = $3)",
		t.name, t.pipeline, at).Scan(&taken); err != nil || taken {
		return err
	}
	first := ""
	for _, p := range def.Pipelines {
		if b.PipelineName(p.Name) != b.Pipeline.Name {
			continue
		}
		n, err := s.triggeredRun(p, t, b, version, at, now)
		if err != nil {
			return recordFire(ctx, tx, t, at, "Failed", first, err.Error(), now)
		}
		if err := s.store.record(ctx, audit.Entry{Who: n.by, Action: "pipeline.run", Subject: "pipeline/" + n.pipeline, Project: n.project,
			Outcome: "ok", Detail: map[string]string{"run": n.id, "invoked": n.invoked, "planned": at.UTC().Format(time.RFC3339)}}); err != nil {
			return err
		}
		// A refusal (a full queue) must not undo the record of the fire.
		err = pgx.BeginFunc(ctx, tx, func(inner pgx.Tx) error { return n.insert(ctx, inner) })
		if err != nil {
			if retryable(err) {
				return err
			}
			return recordFire(ctx, tx, t, at, "Failed", first, err.Error(), now)
		}
		if first == "" {
			first = n.id
		}
	}
	if first == "" {
		return recordFire(ctx, tx, t, at, "Failed", "", "The trigger names no pipeline.", now)
	}
	return recordFire(ctx, tx, t, at, "Succeeded", first, message, now)
}

func (s *session) triggeredRun(p factory.TriggeredPipeline, t dueTrigger, b factory.Bundle, version int, at, now time.Time) (newRunRow, error) {
	values := expr.NewObject()
	if p.Parameters != nil {
		var err error
		values, err = objectIn(expr.Env{Scope: triggerScope{planned: at, actual: now}, Now: s.Now}, p.Parameters)
		if err != nil {
			return newRunRow{}, err
		}
	}
	return newRun(b, version, StartRequest{Parameters: values, By: "trigger:" + t.name, Invoked: typeScheduleTrigger, Trigger: t.name}, now)
}

// triggerScope is what the parameters of a schedule trigger see.
type triggerScope struct{ planned, actual time.Time }

// Call answers trigger().
func (s triggerScope) Call(function string, _ []expr.Value) (expr.Value, bool, error) {
	if function != "trigger" {
		return nil, false, nil
	}
	o := expr.NewObject()
	o.Set("scheduledTime", s.planned.UTC().Format(timeFormat))
	o.Set("startTime", s.actual.UTC().Format(timeFormat))
	return o, true, nil
}
