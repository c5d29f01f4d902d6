package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// maxDepth ends a pipeline that calls itself without end.
const maxDepth = 40

// activityID is the same GUID for the same instance, however often it is asked for.
func activityID(runID, path string) string {
	base, err := uuid.Parse(runID)
	if err != nil {
		base = uuid.Nil
	}
	return uuid.NewSHA1(base, []byte(path)).String()
}

// executePipeline starts a child run and, unless told not to, waits for its end. The id of the child follows from run
// and path, so that a crash at any moment makes no second one.
func (in *instanceRun) executePipeline() *outcome {
	if in.past.reused && !in.frame.fresh {
		return in.recall(factory.Succeeded)
	}
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	name, values, wait, failure := in.childRequest()
	if failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	id := activityID(in.id, in.path)
	if in.past.entered == nil {
		n, err := in.newChild(id, name, values)
		if err != nil {
			if in.frame.ctx.Err() != nil {
				return in.cut(0)
			}
			f := in.facts()
			f.Input, f.hasInput = values, true
			return in.failWith(0, in.userFailure("BadRequest", "%s", err.Error()), nil, f)
		}
		f := in.facts()
		f.Input, f.hasInput, f.Child = values, true, id
		if in.write(in.path, evEntered, 0, f) != nil {
			return &outcome{activity: in.a, path: in.path}
		}
		if failure := in.submitChild(n); failure != nil {
			return in.failWith(0, failure, nil, facts{})
		}
	} else if failure := in.resubmitChild(id, name, values); failure != nil {
		return in.failWith(0, failure, nil, facts{})
	}
	if in.frame.ctx.Err() != nil {
		return in.cut(0)
	}
	output := expr.NewObject()
	output.Set("pipelineName", name)
	output.Set("pipelineRunId", id)
	if !wait {
		return in.succeed(0, output, facts{Child: id})
	}
	return in.awaitChild(id, output)
}

// childRequest evaluates what is to be started.
func (in *instanceRun) childRequest() (name string, values *expr.Object, wait bool, failure *Failure) {
	v, err := in.property("pipeline")
	if err != nil {
		return "", nil, false, in.invalid(err)
	}
	ref, _ := v.(*expr.Object)
	referenced, _ := ref.Lookup("referenceName")
	if referenced == nil {
		return "", nil, false, in.userFailure(expr.CodeInvalidTemplate, "The activity '%s' names no pipeline.", in.a.Name)
	}
	if v, err = in.property("parameters"); err != nil {
		return "", nil, false, in.invalid(err)
	}
	values, _ = v.(*expr.Object)
	wait = true
	if v, err = in.property("waitOnCompletion"); err != nil {
		return "", nil, false, in.invalid(err)
	}
	if v != nil {
		wait, _ = truth(v)
	}
	return in.def.PipelineName(expr.Text(referenced)), values, wait, nil
}

// newChild prepares the row of the child. A child of a resumed run carries on where the child of the former run failed.
func (in *instanceRun) newChild(id, name string, values *expr.Object) (newRunRow, error) {
	if in.depth+1 > maxDepth {
		return newRunRow{}, fmt.Errorf("pipelines call each other %d deep", maxDepth)
	}
	b, version, err := loadBundle(in.frame.ctx, in.Pool, name, 0)
	if err != nil {
		return newRunRow{}, err
	}
	n, err := newRun(b, version, StartRequest{Parameters: values, By: in.by, Invoked: InvokedPipeline, Trigger: in.trigger}, in.Now())
	if err != nil {
		return newRunRow{}, err
	}
	n.id, n.group, n.parent, n.parentPath, n.parentName, n.depth = id, in.group, in.id, in.path, in.pipeline, in.depth+1
	if in.resumedFrom != "" && !in.frame.fresh {
		former, err := in.formerChild(name)
		if err != nil {
			return newRunRow{}, err
		}
		n.resumedFrom = former
	}
	return n, nil
}

// formerChild is the child run of the resumed run that may be carried on, or empty.
func (in *instanceRun) formerChild(pipeline string) (id string, err error) {
	found, err := in.store.queryRuns(in.frame.ctx, "where r.id = $1 and r.status in ('Failed', 'Cancelled') and r.pipeline = $2",
		activityID(in.resumedFrom, in.path), pipeline)
	switch {
	case err != nil || len(found) == 0:
		return "", err
	case !found[0].Resumable():
		return "", refuse("the run %s of the child pipeline cannot be carried on: what that takes was deleted", found[0].ID)
	}
	return found[0].ID, nil
}

// submitChild inserts the child's row, for as long as the database is away.
func (in *instanceRun) submitChild(n newRunRow) *Failure {
	if err := in.store.record(in.frame.ctx, audit.Entry{Who: n.by, Action: "pipeline.run", Subject: "pipeline/" + n.pipeline, Project: n.project,
		Outcome: "ok", Detail: map[string]string{"run": n.id, "invoked": n.invoked, "parent": n.parent}}); err != nil {
		return &Failure{Code: "AuditFailed", Message: err.Error(), Type: systemError, Target: in.a.Name}
	}
	wait := 50 * time.Millisecond
	for {
		err := pgx.BeginFunc(in.frame.ctx, in.Pool, func(tx pgx.Tx) error {
			if n.resumedFrom != "" {
				return n.insertResumed(in.frame.ctx, tx)
			}
			return n.insert(in.frame.ctx, tx)
		})
		switch {
		case err == nil:
			in.poke()
			return nil
		case in.frame.ctx.Err() != nil:
			return nil
		case !retryable(err):
			return in.userFailure("BadRequest", "%s", err.Error())
		}
		_ = sleep(in.frame.ctx, wait)
		wait = min(2*wait, 2*time.Second)
	}
}

// resubmitChild makes up for a crash between the record of the child and its row.
func (in *instanceRun) resubmitChild(id, name string, values *expr.Object) *Failure {
	var exists bool
	if err := in.Pool.QueryRow(in.frame.ctx, "select exists (select from engine.run where id = $1)", id).Scan(&exists); err == nil && exists {
		return nil
	}
	n, err := in.newChild(id, name, values)
	if err != nil {
		if in.frame.ctx.Err() != nil {
			return nil
		}
		return in.userFailure("BadRequest", "%s", err.Error())
	}
	return in.submitChild(n)
}

// awaitChild waits for the end of the child. Meanwhile the run takes no place among the runs in progress: a child must
// never wait for its own parent.
func (in *instanceRun) awaitChild(id string, output *expr.Object) *outcome {
	done := in.watchRun(id)
	defer in.unwatchRun(id, done)
	in.rest(true)
	defer in.rest(false)
	for {
		var status, message string
		var returned []byte
		err := in.Pool.QueryRow(in.frame.ctx, "select status, message, return_value from engine.run where id = $1", id).
			Scan(&status, &message, &returned)
		switch {
		case in.frame.ctx.Err() != nil:
			return in.cut(0)
		case err == nil && factory.Status(status).Finished():
			return in.childEnded(factory.Status(status), message, returned, output)
		case errors.Is(err, pgx.ErrNoRows):
			return in.failWith(0, in.userFailure("BadRequest", "The run %s of the child pipeline is gone.", id), nil, facts{})
		}
		select {
		case <-done:
		case <-in.frame.ctx.Done():
		}
	}
}

func (in *instanceRun) childEnded(status factory.Status, message string, returned []byte, output *expr.Object) *outcome {
	if status != factory.Succeeded {
		if message == "" {
			message = fmt.Sprintf("The child pipeline ended as %s.", status)
		}
		return in.failWith(0, in.userFailure("BadRequest", "%s", message), output, facts{})
	}
	if v, err := decodeValue(returned); err == nil && v != nil {
		output.Set(returnVariable, v)
	}
	return in.succeed(0, output, facts{})
}

// rest frees the place of the run while all that it does may be to wait for a child.
func (r *run) rest(begin bool) {
	r.waitMu.Lock()
	defer r.waitMu.Unlock()
	if begin {
		r.waiting++
		if r.waiting == 1 {
			r.active.Add(-1)
			r.poke()
		}
		return
	}
	r.waiting--
	if r.waiting == 0 {
		r.active.Add(1)
	}
}

// watchRun returns a channel that gets a value when the run may have ended.
func (s *session) watchRun(id string) chan struct{} {
	c := make(chan struct{}, 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiters[id] = append(s.waiters[id], c)
	return c
}

func (s *session) unwatchRun(id string, c chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := s.waiters[id][:0:0]
	for _, w := range s.waiters[id] {
		if w != c {
			left = append(left, w)
		}
	}
	if len(left) == 0 {
		delete(s.waiters, id)
		return
	}
	s.waiters[id] = left
}

func (s *session) tellWaiters(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.waiters[id] {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// pollChildren tells of awaited runs that another worker has ended.
func (s *session) pollChildren(ctx context.Context) {
	s.mu.Lock()
	ids := make([]string, 0, len(s.waiters))
	for id := range s.waiters {
		ids = append(ids, id)
	}
	s.mu.Unlock()
	if len(ids) == 0 {
		return
	}
	rows, err := s.Pool.Query(ctx, "select id::text from engine.run where id = any($1::uuid[]) and ended_at is not null", ids)
	if err != nil {
		return
	}
	ended, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return
	}
	for _, id := range ended {
		s.tellWaiters(id)
	}
}

// retryable reports whether err is the database's being away, not its refusing a statement.
func retryable(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch pg.Code[:2] {
		case "08", "53", "57", "58", "40": // connection, resources, shutdown, system, conflict
			return true
		}
		return false
	}
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	return pgconn.SafeToRetry(err) || isNetwork(err)
}
