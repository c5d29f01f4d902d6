package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/jackc/pgx/v5"
)

// ActivityRun is one activity instance of a run: an activity outside of loops has one, one in a loop has one for each
// time round.
type ActivityRun struct {
	Path     string // "/Loop[17]/Copy"
	Parent   string // path of the container, empty outside of any
	Name     string
	Type     string
	Status   string // InProgress, Succeeded, Failed, Skipped or Cancelled
	Inactive bool   // not executed: its definition says so
	Reused   bool   // its output comes from the run that this one resumes
	Started  *time.Time
	Ended    *time.Time
	Attempts []AttemptRun
	Input    expr.Value // masked if secure
	Output   expr.Value // masked if secure
	Error    *Failure
	Rows     int64 // written, or so far
	Tables   []Table
	User     *expr.Object // user properties
	Child    string       // run that ExecutePipeline started
	Branch   string       // taken by IfCondition ("true", "false") or Switch (the case's value, "default")
	Items    int          // of a ForEach
	Passes   int          // of an Until, finished ones
	Trace    []TraceStep  // its expressions and what they came to, at most some dozens
}

// AttemptRun is one attempt at an activity instance.
type AttemptRun struct {
	Number  int
	Status  string // InProgress, Succeeded, Failed, Cancelled or Interrupted (its worker ended; it costs no retry)
	Started time.Time
	Ended   *time.Time
	Error   *Failure
}

// Activities lists the activity instances of a run in the order in which they first appeared.
func (s *Store) Activities(ctx context.Context, runID string) ([]ActivityRun, error) {
	id, err := s.resolve(ctx, runID)
	if err != nil {
		return nil, err
	}
	var list []*ActivityRun
	byPath := map[string]*ActivityRun{}
	err = s.eachEvent(ctx, id, func(e eventRow) error {
		if e.path == "" || e.kind == evFormer {
			return nil
		}
		a := byPath[e.path]
		if a == nil {
			a = &ActivityRun{Path: e.path, Parent: parentPath(e.path), Status: "InProgress"}
			byPath[e.path] = a
			list = append(list, a)
		}
		return a.apply(e)
	})
	if err != nil {
		return nil, fmt.Errorf("read activities of %s: %w", runID, err)
	}
	if err := s.addProgress(ctx, id, byPath); err != nil {
		return nil, fmt.Errorf("read activities of %s: %w", runID, err)
	}
	out := make([]ActivityRun, len(list))
	for i, a := range list {
		out[i] = *a
	}
	return out, nil
}

// Activity returns one activity instance of a run.
func (s *Store) Activity(ctx context.Context, runID, path string) (ActivityRun, error) {
	all, err := s.Activities(ctx, runID)
	if err != nil {
		return ActivityRun{}, err
	}
	i := slices.IndexFunc(all, func(a ActivityRun) bool { return a.Path == path })
	if i < 0 {
		return ActivityRun{}, fmt.Errorf("activity %s of run %s: %w", path, runID, ErrNotFound)
	}
	return all[i], nil
}

// Attempts lists the attempts at an activity instance.
func (s *Store) Attempts(ctx context.Context, runID, path string) ([]AttemptRun, error) {
	a, err := s.Activity(ctx, runID, path)
	return a.Attempts, err
}

// VariableChange is one time that an activity set a variable or appended to it.
type VariableChange struct {
	Name   string
	Path   string // of the activity
	At     time.Time
	Append bool
	Value  expr.Value // set, or appended; masked if secure
}

// Variables lists what happened to the variables of a run, in order.
func (s *Store) Variables(ctx context.Context, runID string) ([]VariableChange, error) {
	id, err := s.resolve(ctx, runID)
	if err != nil {
		return nil, err
	}
	var list []VariableChange
	err = s.eachEvent(ctx, id, func(e eventRow) error {
		if e.data.Variable == nil || e.kind != evSucceeded {
			return nil
		}
		v, err := decodeValue(e.data.Variable.Value)
		list = append(list, VariableChange{Name: e.data.Variable.Name, Path: e.path, At: e.at, Append: e.data.Variable.Append, Value: v})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read variables of %s: %w", runID, err)
	}
	return list, nil
}

type eventRow struct {
	path, kind string
	attempt    int
	at         time.Time
	data       eventData
	tables     []Table
}

// eachEvent calls visit for the events of a run in order, as they may be shown.
func (s *Store) eachEvent(ctx context.Context, id string, visit func(eventRow) error) error {
	rows, err := s.pool.Query(ctx, `select path, kind, attempt, at, data, tables from engine.event where run_id = $1 order by seq`, id)
	if err != nil {
		return err
	}
	var e eventRow
	var data, tables []byte
	_, err = pgx.ForEachRow(rows, []any{&e.path, &e.kind, &e.attempt, &e.at, &data, &tables}, func() error {
		var err error
		if e.data, err = decodeEvent(data, nil); err != nil {
			return err
		}
		e.tables = nil
		if tables != nil {
			if err := json.Unmarshal(tables, &e.tables); err != nil {
				return err
			}
		}
		return visit(e)
	})
	return err
}

func (a *ActivityRun) apply(e eventRow) error {
	d := e.data
	if d.Name != "" {
		a.Name, a.Type = d.Name, d.Type
	}
	if a.Name == "" {
		a.Name = e.path[strings.LastIndexByte(e.path, '/')+1:]
	}
	a.Rows = cmp.Or(d.Rows, a.Rows)
	a.Child = cmp.Or(d.Child, a.Child)
	a.Inactive = a.Inactive || d.Inactive
	at := e.at
	if a.Started == nil && e.kind != evSkipped && e.kind != evReused {
		a.Started = &at
	}
	var faults []error
	set := func(to *expr.Value, from json.RawMessage) {
		if from != nil {
			v, err := decodeValue(from)
			*to = v
			faults = append(faults, err)
		}
	}
	set(&a.Input, d.Input)
	set(&a.Output, d.Output)
	if d.User != nil {
		o, err := decodeObject(d.User)
		a.User = o
		faults = append(faults, err)
	}
	if d.Trace != nil {
		a.Trace = mergeTrace(a.Trace, d.Trace)
	}
	a.applyKind(e, &at)
	return errors.Join(faults...)
}

func (a *ActivityRun) applyKind(e eventRow, at *time.Time) {
	d := e.data
	switch e.kind {
	case evStarted:
		a.Status, a.Reused, a.Ended = "InProgress", false, nil
		a.Attempts = append(a.Attempts, AttemptRun{Number: e.attempt, Status: "InProgress", Started: *at})
	case evEntered:
		a.Status, a.Reused, a.Ended = "InProgress", false, nil
		if d.Branch != nil {
			a.Branch = shownBranch(*d.Branch)
		}
		a.Items = cmp.Or(d.Count, a.Items)
		if d.Items != nil && !d.Secret {
			var items []json.RawMessage
			if json.Unmarshal(d.Items, &items) == nil {
				a.Items = len(items)
			}
		}
	case evPass:
		a.Passes++
	case evAttempt:
		a.endAttempt("Failed", at, d.Error)
	case evInterrupted:
		a.endAttempt("Interrupted", at, nil)
	case evReused:
		a.Status, a.Reused = "Succeeded", true
	case evSucceeded, evFailed, evSkipped, evCancelled:
		a.endAttempt(e.kind, at, d.Error)
		a.Status, a.Error, a.Tables, a.Reused = e.kind, d.Error, e.tables, false
		if e.kind != evSkipped {
			a.Ended = at
		}
	}
}

func (a *ActivityRun) endAttempt(status string, at *time.Time, f *Failure) {
	if n := len(a.Attempts); n > 0 && a.Attempts[n-1].Ended == nil {
		last := &a.Attempts[n-1]
		last.Status, last.Ended, last.Error = status, at, f
	}
}

// addProgress gives running activities the rows that they have reported.
func (s *Store) addProgress(ctx context.Context, id string, byPath map[string]*ActivityRun) error {
	rows, err := s.pool.Query(ctx, "select path, rows from engine.progress where run_id = $1", id)
	if err != nil {
		return err
	}
	var path string
	var count int64
	_, err = pgx.ForEachRow(rows, []any{&path, &count}, func() error {
		if a := byPath[path]; a != nil && a.Ended == nil {
			a.Rows = count
		}
		return nil
	})
	return err
}
