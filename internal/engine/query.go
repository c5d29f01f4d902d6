package engine

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// RunInfo is a run as anybody may see it: secure parameters are masked.
type RunInfo struct {
	ID          string
	Pipeline    string
	Version     int
	Digest      string // of the definition
	Project     string
	Status      string
	By          string
	Invoked     string
	Trigger     string
	TriggerTime time.Time
	GroupID     string // shared by a run, the runs that it started and those that resume it
	Parent      string // run that started it by ExecutePipeline
	ParentPath  string
	ResumedFrom string
	CancelledBy string
	Parameters  *expr.Object
	Dimensions  *expr.Object
	ReturnValue expr.Value
	Queued      time.Time
	Started     *time.Time
	Ended       *time.Time
	Message     string   // why it failed, in the words of the service
	Why         string   // one sentence about the outcome
	Evaluated   []string // activities that decided the outcome

	SecretsDeleted *time.Time // since then it cannot be resumed, having had secure values
	DetailsDeleted *time.Time // since then it has no activities, variables and logs, and cannot be resumed
}

// Done reports whether the run has ended.
func (r RunInfo) Done() bool { return r.Ended != nil }

// Resumable reports whether Resume would take the run.
func (r RunInfo) Resumable() bool {
	return (r.Status == string(factory.Failed) || r.Status == string(factory.Cancelled)) && r.SecretsDeleted == nil && r.DetailsDeleted == nil
}

// Filter selects runs. The zero Filter selects all.
type Filter struct {
	Pipeline string
	Project  string
	Status   []string
	Trigger  string
	By       string
	GroupID  string
	Parent   string // runs started by this one
	Text     string // appears in the name, message, starter or parameters, without case
	After    time.Time
	Before   time.Time
	Active   bool // only what has not ended
	Limit    int  // 0 means 100
	Offset   int
}

const runColumns = `r.id::text, r.pipeline, r.version, coalesce(v.digest, ''), r.project, r.status, r.by, r.invoked, r.trigger_name,
	r.trigger_time, r.group_id::text, coalesce(r.parent::text, ''), r.parent_path, coalesce(r.resumed_from::text, ''), r.cancelled_by,
	r.shown, r.dimensions, r.return_value, r.queued_at, r.started_at, r.ended_at, r.message, r.why, r.evaluated,
	r.secrets_deleted_at, r.details_deleted_at`

// Runs lists runs, newest first.
func (s *Store) Runs(ctx context.Context, f Filter) ([]RunInfo, error) {
	var where []string
	var args []any
	add := func(condition string, v any) {
		args = append(args, v)
		where = append(where, strings.ReplaceAll(condition, "?", fmt.Sprintf("$%d", len(args))))
	}
	if f.Pipeline != "" {
		add("r.pipeline = ?", f.Pipeline)
	}
	if f.Project != "" {
		add("r.project = ?", f.Project)
	}
	if len(f.Status) > 0 {
		add("r.status = any(?)", f.Status)
	}
	if f.Trigger != "" {
		add("r.trigger_name = ?", f.Trigger)
	}
	if f.By != "" {
		add("r.by = ?", f.By)
	}
	if f.GroupID != "" {
		add("r.group_id = ?", f.GroupID)
	}
	if f.Parent != "" {
		add("r.parent = ?", f.Parent)
	}
	if f.Text != "" {
		add("strpos(lower(concat_ws(' ', r.pipeline, r.message, r.by, r.trigger_name, r.shown::text)), lower(?)) > 0", f.Text)
	}
	if !f.After.IsZero() {
		add("r.queued_at >= ?", f.After)
	}
	if !f.Before.IsZero() {
		add("r.queued_at < ?", f.Before)
	}
	if f.Active {
		where = append(where, "r.ended_at is null")
	}
	clause := ""
	if len(where) > 0 {
		clause = "where " + strings.Join(where, " and ")
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	args = append(args, f.Limit, f.Offset)
	clause += fmt.Sprintf(" order by r.queued_at desc, r.ordinal desc limit $%d offset $%d", len(args)-1, len(args))
	return s.queryRuns(ctx, clause, args...)
}

// Run returns a run by its id or an unambiguous beginning of it.
func (s *Store) Run(ctx context.Context, runID string) (RunInfo, error) {
	id, err := s.resolve(ctx, runID)
	if err != nil {
		return RunInfo{}, err
	}
	found, err := s.queryRuns(ctx, "where r.id = $1", id)
	if err != nil {
		return RunInfo{}, err
	}
	if len(found) == 0 {
		return RunInfo{}, fmt.Errorf("run %s: %w", runID, ErrNotFound)
	}
	return found[0], nil
}

func (s *Store) queryRuns(ctx context.Context, clause string, args ...any) ([]RunInfo, error) {
	rows, err := s.pool.Query(ctx, "select "+runColumns+` from engine.run r
		left join engine.pipeline_version v on v.name = r.pipeline and v.version = r.version `+clause, args...)
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanRun)
	if err != nil {
		return nil, fmt.Errorf("read runs: %w", err)
	}
	return list, nil
}

func scanRun(row pgx.CollectableRow) (r RunInfo, err error) {
	var shown, dimensions, returned []byte
	if err := row.Scan(&r.ID, &r.Pipeline, &r.Version, &r.Digest, &r.Project, &r.Status, &r.By, &r.Invoked, &r.Trigger,
		&r.TriggerTime, &r.GroupID, &r.Parent, &r.ParentPath, &r.ResumedFrom, &r.CancelledBy,
		&shown, &dimensions, &returned, &r.Queued, &r.Started, &r.Ended, &r.Message, &r.Why, &r.Evaluated,
		&r.SecretsDeleted, &r.DetailsDeleted); err != nil {
		return r, err
	}
	var faults [3]error
	r.Parameters, faults[0] = decodeObject(shown)
	r.Dimensions, faults[1] = decodeObject(dimensions)
	r.ReturnValue, faults[2] = decodeValue(returned)
	return r, errors.Join(faults[:]...)
}

func decodeValue(data []byte) (expr.Value, error) {
	if len(data) == 0 {
		return nil, nil
	}
	return expr.DecodeJSON(data)
}

func decodeObject(data []byte) (*expr.Object, error) {
	v, err := decodeValue(data)
	o, _ := v.(*expr.Object)
	return o, err
}

// TableUse is one time that a run read or wrote a table.
type TableUse struct {
	Table
	RunID    string
	Pipeline string
	Path     string
	At       time.Time
}

// TableUses lists who read and wrote a table, newest first. Only successful activities count.
func (s *Store) TableUses(ctx context.Context, table string, limit int) ([]TableUse, error) {
	if limit <= 0 {
		limit = 100
	}
	rows, err := s.pool.Query(ctx, `select e.run_id::text, r.pipeline, e.path, e.at, t."Name", t."Written", t."Rows", t."Version"
		from engine.event e join engine.run r on r.id = e.run_id,
			jsonb_to_recordset(e.tables) t("Name" text, "Written" boolean, "Rows" bigint, "Version" bigint)
		where e.tables is not null and e.tables @> jsonb_build_array(jsonb_build_object('Name', $1::text)) and t."Name" = $1
		order by e.at desc limit $2`, table, limit)
	if err != nil {
		return nil, fmt.Errorf("read uses of %s: %w", table, err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (u TableUse, err error) {
		err = r.Scan(&u.RunID, &u.Pipeline, &u.Path, &u.At, &u.Name, &u.Written, &u.Rows, &u.Version)
		return u, err
	})
	if err != nil {
		return nil, fmt.Errorf("read uses of %s: %w", table, err)
	}
	return list, nil
}

// resolve returns the full id of the run that id is, or is an unambiguous beginning of.
func (s *Store) resolve(ctx context.Context, id string) (string, error) {
	if u, err := uuid.Parse(id); err == nil {
		return u.String(), nil
	}
	if len(id) < 4 {
		return "", refuse("run %q: give at least four characters of its id", id)
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
	return "", refuse("several runs begin with %s", id)
}
