package engine

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// AuditFunc records an entry durably before it returns. It may be called in the middle of a transaction, so it must not
// need a connection of the engine's pool.
type AuditFunc func(ctx context.Context, e audit.Entry) error

// Store registers pipelines and submits, stops and reads runs. It runs nothing: an [Engine] on the same database does.
// It is safe for concurrent use.
type Store struct {
	pool      *pgxpool.Pool
	audit     AuditFunc
	now       flowehr.Clock
	hub       *hub
	wake      func() // wakes the worker in this process; nil when there is none
	submitter *submitter

	mu      sync.Mutex
	bundles map[string]currentBundle
}

// currentBundle is a pipeline in the version that was in force when it was last looked up.
type currentBundle struct {
	bundle  *factory.Bundle
	version int
}

// NewStore returns a store on a migrated database. audit is called before an act is answered, and its error refuses the
// act; nil keeps no audit. now may be nil.
func NewStore(pool *pgxpool.Pool, audit AuditFunc, now flowehr.Clock) *Store {
	if now == nil {
		now = time.Now
	}
	s := &Store{pool: pool, audit: audit, now: now, hub: newHub(pool), bundles: map[string]currentBundle{}}
	s.submitter = &submitter{pool: pool, wake: s.wakeWorkers}
	return s
}

func (s *Store) record(ctx context.Context, e audit.Entry) error {
	if s.audit == nil {
		return nil
	}
	if err := s.audit(ctx, e); err != nil {
		return fmt.Errorf("audit %s of %s: %w", e.Action, e.Subject, err)
	}
	return nil
}

// Registered is what Register did.
type Registered struct {
	Name    string
	Version int
	Digest  string
	Changed bool     // false when this very definition was in force already
	Notices []string // what the definition asks for and this engine does not do
}

// Register puts a version of a pipeline in force, atomically. Runs that have begun keep the version they began with.
// Registering the definition that is in force changes nothing.
func (s *Store) Register(ctx context.Context, b factory.Bundle, who string) (Registered, error) {
	name := b.Pipeline.Name
	done := Registered{Name: name, Digest: b.Digest()}
	encoded, err := b.Encode()
	if err != nil {
		return done, fmt.Errorf("register %s: %w", name, err)
	}
	for _, t := range b.Triggers {
		if t.Started && t.Type != typeScheduleTrigger {
			done.Notices = append(done.Notices, fmt.Sprintf("trigger %s is a %s, which is not run here", t.Name, t.Type))
		}
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		done.Changed = false
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1, hashtext($2))", lockRegister, name); err != nil {
			return err
		}
		var digest string
		var removed bool
		err := tx.QueryRow(ctx, "select version, digest, removed_at is not null from engine.pipeline where name = $1", name).
			Scan(&done.Version, &digest, &removed)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if err == nil && digest == done.Digest && !removed {
			return nil
		}
		if err := s.record(ctx, audit.Entry{Who: who, Action: "pipeline.register", Subject: "pipeline/" + name,
			Project: b.Pipeline.Project, Outcome: "ok", Detail: map[string]string{"digest": done.Digest}}); err != nil {
			return err
		}
		done.Changed = true
		done.Version++
		now := s.now()
		if _, err := tx.Exec(ctx, `insert into engine.pipeline_version (name, version, digest, bundle, registered_at, registered_by)
			values ($1, $2, $3, $4, $5, $6)`, name, done.Version, done.Digest, encoded, now, who); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `insert into engine.pipeline (name, version, digest, project, concurrency, registered_at, registered_by)
			values ($1, $2, $3, $4, $5, $6, $7)
			on conflict (name) do update set version = excluded.version, digest = excluded.digest, project = excluded.project,
				concurrency = excluded.concurrency, registered_at = excluded.registered_at,
				registered_by = excluded.registered_by, removed_at = null`,
			name, done.Version, done.Digest, b.Pipeline.Project, b.Pipeline.Concurrency, now, who); err != nil {
			return err
		}
		return registerTriggers(ctx, tx, b, now, who)
	})
	if err != nil {
		return done, fmt.Errorf("register %s: %w", name, err)
	}
	return done, nil
}

// Unregister takes a pipeline out of force with its triggers. Its versions and runs stay, and what runs goes on.
func (s *Store) Unregister(ctx context.Context, name, who string) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, "update engine.pipeline set removed_at = $2 where name = $1 and removed_at is null", name, s.now())
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return ErrNotFound
		}
		if err := s.record(ctx, audit.Entry{Who: who, Action: "pipeline.unregister", Subject: "pipeline/" + name, Outcome: "ok"}); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "delete from engine.trigger where pipeline = $1", name)
		return err
	})
	if err != nil {
		return fmt.Errorf("unregister %s: %w", name, err)
	}
	return nil
}

// PipelineInfo is a registered pipeline as a list shows it.
type PipelineInfo struct {
	Name         string
	Project      string
	Version      int
	Digest       string
	Concurrency  int
	RegisteredAt time.Time
	RegisteredBy string
	LastRun      *RunInfo   // nil when it never ran
	NextFire     *time.Time // earliest of its started triggers
	Triggers     []TriggerInfo
}

// TriggerInfo is a trigger of a pipeline.
type TriggerInfo struct {
	Name     string
	Pipeline string
	Type     string
	Started  bool
	By       string // who started or stopped it last
	Next     *time.Time
}

// Pipelines lists the pipelines in force by name.
func (s *Store) Pipelines(ctx context.Context) ([]PipelineInfo, error) {
	rows, err := s.pool.Query(ctx, `select name, project, version, digest, concurrency, registered_at, registered_by
		from engine.pipeline where removed_at is null order by name`)
	if err != nil {
		return nil, fmt.Errorf("list pipelines: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (p PipelineInfo, err error) {
		err = r.Scan(&p.Name, &p.Project, &p.Version, &p.Digest, &p.Concurrency, &p.RegisteredAt, &p.RegisteredBy)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("list pipelines: %w", err)
	}
	at := make(map[string]int, len(list))
	for i, p := range list {
		at[p.Name] = i
	}
	last, err := s.queryRuns(ctx, `where r.ordinal in (select (select max(l.ordinal) from engine.run l where l.pipeline = p.name) from engine.pipeline p)`)
	if err != nil {
		return nil, err
	}
	for _, r := range last {
		if i, ok := at[r.Pipeline]; ok {
			list[i].LastRun = &r
		}
	}
	triggers, err := s.Triggers(ctx)
	if err != nil {
		return nil, err
	}
	for _, t := range triggers {
		i, ok := at[t.Pipeline]
		if !ok {
			continue
		}
		list[i].Triggers = append(list[i].Triggers, t)
		if t.Started && t.Next != nil && (list[i].NextFire == nil || t.Next.Before(*list[i].NextFire)) {
			list[i].NextFire = t.Next
		}
	}
	return list, nil
}

// Bundle returns a version of a pipeline; version 0 is the one in force.
func (s *Store) Bundle(ctx context.Context, name string, version int) (factory.Bundle, error) {
	b, _, err := loadBundle(ctx, s.pool, name, version)
	return b, err
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

func loadBundle(ctx context.Context, q querier, name string, version int) (factory.Bundle, int, error) {
	var encoded []byte
	err := q.QueryRow(ctx, `select v.version, v.bundle from engine.pipeline_version v
		where v.name = $1 and v.version = case when $2 > 0 then $2
			else (select p.version from engine.pipeline p where p.name = $1 and p.removed_at is null) end`, name, version).
		Scan(&version, &encoded)
	if errors.Is(err, pgx.ErrNoRows) {
		return factory.Bundle{}, 0, refuse("pipeline %s: %w", name, ErrNotFound)
	}
	if err != nil {
		return factory.Bundle{}, 0, fmt.Errorf("load pipeline %s: %w", name, err)
	}
	b, err := factory.DecodeBundle(encoded)
	if err != nil {
		return factory.Bundle{}, 0, fmt.Errorf("load pipeline %s version %d: %w", name, version, err)
	}
	return b, version, nil
}

// jsonText encodes v for a json column; nil becomes SQL null.
func jsonText(v expr.Value) *string {
	if v == nil {
		return nil
	}
	if o, ok := v.(*expr.Object); ok && o == nil {
		return nil
	}
	s := string(expr.EncodeJSON(v))
	return &s
}
