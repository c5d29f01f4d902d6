package engine

import (
	"context"
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
// type, and the hundred-and-first run in the queue of a pipeline with limited concurrency. Nothing starts then, and the
// error matches [ErrRefused].
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
	return s.submitter.submit(ctx, n, ifCurrent)
}

// wakeWorkers tells the worker in this process, or all of them, of submitted runs. It is not part of the transaction of
// the rows, since commits with notifications wait for each other; a lost one costs a second.
func (s *Store) wakeWorkers(ctx context.Context) {
	if s.wake != nil {
		s.wake()
		return
	}
	_, _ = s.pool.Exec(ctx, notifyLightly, channelWake, wakeQueued)
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
	secret                                      bool // parameters holds values that nobody is shown
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
	for _, declared := range p.Parameters {
		n.secret = n.secret || declared.Type == typeSecureString
	}
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

// kept is what is stored of the parameters besides the shown ones: nothing, unless there are secure ones.
func (n newRunRow) kept() *string {
	if !n.secret {
		return nil
	}
	return jsonText(n.parameters)
}

// runParameters gives each parameter of p its value: the supplied one, else the default, of the declared type.
func runParameters(p factory.Pipeline, supplied *expr.Object) (values, shown *expr.Object, err error) {
	values, shown = expr.NewObject(), expr.NewObject()
	for _, name := range supplied.Keys() {
		if _, known := p.Parameters[name]; !known {
			return nil, nil, refuse("pipeline %s has no parameter %q", p.Name, name)
		}
	}
	for _, name := range sortedKeys(p.Parameters) {
		declared := p.Parameters[name]
		v, given := supplied.Get(name)
		if !given {
			if !declared.HasDefault {
				return nil, nil, refuse("parameter %q has no value", name)
			}
			v = declared.Default
		}
		if v != nil {
			if v, err = factory.Coerce(declared.Type, v); err != nil {
				return nil, nil, refuse("parameter %q: %w", name, err)
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
			return refuse("%d runs of %s wait already", waiting, n.pipeline)
		}
	}
	if err := insertGroup(ctx, tx, []*submission{{row: n}}); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "select pg_notify($1, $2)", channelWake, wakeQueued)
	return err
}
