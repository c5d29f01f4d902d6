package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// How a run came about when no trigger did it.
const (
	InvokedManual   = "Manual"
	InvokedPipeline = "PipelineActivity"
)

// maxQueued is how many runs of one pipeline may wait for its concurrency; the service refuses more.
const maxQueued = 100

// StartRequest asks for a run.
type StartRequest struct {
	Pipeline   string
	Version    int          // 0 is the version in force
	Parameters *expr.Object // may be nil
	By         string       // person or workload identity
	Project    string       // empty means the pipeline's own
	Invoked    string       // empty means [InvokedManual]
	Trigger    string       // name of the trigger
}

// Start submits a run. It refuses a pipeline that is not in force, a parameter that is unknown, missing or of the wrong
// type, and the hundred-and-first run in the queue of a pipeline with limited concurrency. Nothing starts then.
func (s *Store) Start(ctx context.Context, req StartRequest) (runID string, err error) {
	for fresh := false; ; fresh = true {
		b, version, err := s.inForce(ctx, req.Pipeline, req.Version, fresh)
		if err != nil {
			return "", fmt.Errorf("start: %w", err)
		}
		n, err := newRun(*b, version, req, s.now())
		if err != nil && fresh {
			return "", fmt.Errorf("start %s: %w", req.Pipeline, err)
		}
		if err != nil {
			continue // the version remembered may be an old one
		}
		current, err := s.submit(ctx, n, req.Version == 0)
		if err != nil {
			return "", fmt.Errorf("start %s: %w", req.Pipeline, err)
		}
		if current {
			return n.id, nil
		}
	}
}

// submit inserts a run; current is false when another version has come into force meanwhile.
func (s *Store) submit(ctx context.Context, n newRunRow, ifCurrent bool) (current bool, err error) {
	if ifCurrent && n.concurrency > 0 {
		// The slow way is only for pipelines with a queue.
		if err := s.pool.QueryRow(ctx, "select exists (select from engine.pipeline where name = $1 and version = $2 and removed_at is null)",
			n.pipeline, n.version).Scan(&current); err != nil || !current {
			return false, err
		}
	}
	if err := s.record(ctx, audit.Entry{Who: n.by, Action: "pipeline.run", Subject: "pipeline/" + n.pipeline, Project: n.project,
		Outcome: "ok", Detail: map[string]string{"run": n.id, "invoked": n.invoked}}); err != nil {
		return false, err
	}
	if n.concurrency > 0 {
		if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return n.insert(ctx, tx) }); err != nil {
			return false, err
		}
		return true, nil
	}
	tag, err := s.pool.Exec(ctx, insertRun+" select "+runValues+` where $19 or exists
		(select from engine.pipeline where name = $2 and version = $3 and removed_at is null) on conflict (id) do nothing`,
		append(n.values(), !ifCurrent)...)
	if err != nil || tag.RowsAffected() == 0 {
		return false, err
	}
	if s.wake != nil {
		s.wake()
		return true, nil
	}
	// A notification in the transaction of the row would make all such commits wait for each other.
	_, err = s.pool.Exec(ctx, "select pg_notify($1, $2)", channelWake, wakeQueued)
	return true, err
}

// inForce is loadBundle with a memory. What it remembers may be out of force; the statement that starts a run checks.
func (s *Store) inForce(ctx context.Context, name string, version int, fresh bool) (*factory.Bundle, int, error) {
	s.mu.Lock()
	known, ok := s.bundles[name]
	s.mu.Unlock()
	if ok && !fresh && version == 0 {
		return known.bundle, known.version, nil
	}
	b, found, err := loadBundle(ctx, s.pool, name, version)
	if err != nil || version > 0 {
		return &b, found, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.bundles) >= 256 {
		clear(s.bundles)
	}
	s.bundles[name] = currentBundle{bundle: &b, version: found}
	return &b, found, nil
}

// newRunRow is a run about to be submitted.
type newRunRow struct {
	id, pipeline, project, by, invoked, trigger string
	version, concurrency, depth                 int
	parameters, shown                           *expr.Object
	triggerTime, queued                         time.Time
	group                                       string
	parent, parentPath, parentName              string
	resumedFrom                                 string
}

func newRun(b factory.Bundle, version int, req StartRequest, now time.Time) (newRunRow, error) {
	p := b.Pipeline
	values, shown, err := runParameters(p, req.Parameters)
	if err != nil {
		return newRunRow{}, err
	}
	n := newRunRow{id: uuid.NewString(), pipeline: p.Name, version: version, project: p.Project, concurrency: p.Concurrency,
		by: req.By, invoked: req.Invoked, trigger: req.Trigger, parameters: values, shown: shown, triggerTime: now, queued: now}
	n.group = n.id
	if req.Project != "" {
		n.project = req.Project
	}
	if n.invoked == "" {
		n.invoked = InvokedManual
	}
	if n.trigger == "" && n.invoked == InvokedManual {
		n.trigger = InvokedManual
	}
	return n, nil
}

// runParameters gives each parameter of p its value: the supplied one, else the default, of the declared type.
func runParameters(p factory.Pipeline, supplied *expr.Object) (values, shown *expr.Object, err error) {
	values, shown = expr.NewObject(), expr.NewObject()
	for _, name := range supplied.Keys() {
		if _, known := p.Parameters[name]; !known {
			return nil, nil, fmt.Errorf("pipeline %s has no parameter %q", p.Name, name)
		}
	}
	for _, name := range sortedKeys(p.Parameters) {
		declared := p.Parameters[name]
		v, given := supplied.Get(name)
		if !given {
			if !declared.HasDefault {
				return nil, nil, fmt.Errorf("parameter %q has no value", name)
			}
			v = declared.Default
		}
		if v != nil {
			if v, err = factory.Coerce(declared.Type, v); err != nil {
				return nil, nil, fmt.Errorf("parameter %q: %w", name, err)
			}
		}
		values.Set(name, v)
		if declared.Type == typeSecureString {
			v = flowehr.Masked
		}
		shown.Set(name, v)
	}
	return values, shown, nil
}

const insertRun = `insert into engine.run (id, pipeline, version, project, concurrency, parameters, shown, by, invoked, trigger_name,
	trigger_time, group_id, parent, parent_path, parent_name, depth, resumed_from, queued_at)`

const runValues = `$1::uuid, $2::text, $3::int, $4::text, $5::int, $6::json, $7::json, $8::text, $9::text, $10::text, $11::timestamptz, $12::uuid,
	nullif($13::text, '')::uuid, $14::text, $15::text, $16::int, nullif($17::text, '')::uuid, $18::timestamptz`

func (n newRunRow) values() []any {
	return []any{n.id, n.pipeline, n.version, n.project, n.concurrency, jsonText(n.parameters), jsonText(n.shown), n.by, n.invoked, n.trigger,
		n.triggerTime, n.group, n.parent, n.parentPath, n.parentName, n.depth, n.resumedFrom, n.queued}
}

// insert submits the run and wakes the workers. A run that exists already is left as it is.
func (n newRunRow) insert(ctx context.Context, tx pgx.Tx) error {
	if n.concurrency > 0 {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1, hashtext($2))", lockSubmit, n.pipeline); err != nil {
			return err
		}
		var waiting int
		if err := tx.QueryRow(ctx, `select count(*) from engine.run where pipeline = $1 and concurrency > 0 and status = 'Queued'`,
			n.pipeline).Scan(&waiting); err != nil {
			return err
		}
		if waiting >= maxQueued {
			return fmt.Errorf("%d runs of %s wait already", waiting, n.pipeline)
		}
	}
	batch := &pgx.Batch{}
	batch.Queue(insertRun+" values ("+runValues+") on conflict (id) do nothing", n.values()...)
	batch.Queue("select pg_notify($1, $2)", channelWake, wakeQueued)
	return tx.SendBatch(ctx, batch).Close()
}

// Cancel asks for the end of a run, and of the runs that it started if children is true. A run that waits in the queue
// is cancelled at once; one in progress becomes Canceling, and its running activities are told within a second. A run
// that has ended is left as it is.
func (s *Store) Cancel(ctx context.Context, runID, by string, children bool) error {
	id, err := s.resolve(ctx, runID)
	if err != nil {
		return fmt.Errorf("cancel: %w", err)
	}
	if err := s.record(ctx, audit.Entry{Who: by, Action: "pipeline.cancel", Subject: "run/" + id, Outcome: "ok",
		Detail: map[string]string{"children": fmt.Sprint(children)}}); err != nil {
		return err
	}
	_, err = s.pool.Exec(ctx, `with recursive tree as (
			select id from engine.run where id = $1
			union select r.id from engine.run r join tree t on r.parent = t.id where $4),
		hit as (update engine.run r set cancelled_by = $2,
				status = case when status = 'Queued' then 'Cancelled' else 'Canceling' end,
				ended_at = case when status = 'Queued' then $3::timestamptz end,
				message = case when status = 'Queued' then 'Cancelled before it began by ' || $2 else message end
			where r.id in (select id from tree) and r.status in ('Queued', 'InProgress') returning r.id, r.status)
		select pg_notify($5, $6 || id), pg_notify($7, id::text) from hit`,
		id, by, s.now(), children, channelWake, wakeCancel, channelRun)
	if err != nil {
		return fmt.Errorf("cancel run %s: %w", id, err)
	}
	return nil
}

// Resume starts a new run, of the version now in force, with the parameters of one that failed or was cancelled. What
// had succeeded is not done again and keeps its output; variables are set, filters applied, branches chosen and loops
// entered anew. In a loop an iteration is reused only if its item is the same.
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
	err := q.QueryRow(ctx, `select pipeline, project, status, group_id::text, invoked, trigger_name, trigger_time, parameters
		from engine.run where id = $1`, id).Scan(&name, &project, &status, &group, &invoked, &trigger, &triggerTime, &parameters)
	if err != nil {
		return newRunRow{}, err
	}
	if status != string(factory.Failed) && status != string(factory.Cancelled) {
		return newRunRow{}, fmt.Errorf("it is %s: only a failed or cancelled run can be resumed", status)
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

// resolve returns the full id of the run that id is, or is an unambiguous beginning of.
func (s *Store) resolve(ctx context.Context, id string) (string, error) {
	if u, err := uuid.Parse(id); err == nil {
		return u.String(), nil
	}
	if len(id) < 4 {
		return "", fmt.Errorf("run %q: give at least four characters of its id", id)
	}
	for _, c := range id {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && c != '-' {
			return "", fmt.Errorf("run %q: %w", id, ErrNotFound)
		}
	}
	rows, err := s.pool.Query(ctx, "select id::text from engine.run where id::text like $1 || '%' limit 2", id)
	if err != nil {
		return "", err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", err
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("run %q: %w", id, ErrNotFound)
	case 1:
		return found[0], nil
	}
	return "", errors.New("several runs begin with " + id)
}
