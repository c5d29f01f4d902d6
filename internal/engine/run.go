package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// run is a pipeline run that this worker carries on.
type run struct {
	*session
	claimed
	ctx    context.Context
	cancel context.CancelCauseFunc

	def             *factory.Bundle
	params          *expr.Object
	past            history // read only once the run has begun
	secrets         []string
	system          *expr.Object // what pipeline() returns
	secureVariables map[string]bool

	mu        sync.Mutex // held while an event is numbered and pushed, so that numbers and order agree
	seq       int
	held      bool // an event of this run keeps secrets
	variables map[string]expr.Value
	returned  *expr.Object

	waitMu  sync.Mutex
	waiting int // ExecutePipeline activities that wait for a child
}

// execute carries the run to its end, or to the end of its context. ctx carries no cancellation of the run.
func (r *run) execute(ctx context.Context) {
	fault := r.prepare()
	var v factory.Verdict
	var failure *Failure
	if fault != nil {
		v = factory.Verdict{Status: factory.Failed, Why: "Failed because its definition cannot be run."}
		failure = &Failure{Message: fault.Error()}
	} else if r.ctx.Err() != nil {
		r.abandonOpen()
	} else {
		v, failure = r.body(&frame{run: r, ctx: r.ctx}, r.def.Pipeline.Activities)
	}
	switch cause := context.Cause(r.ctx); {
	case cause == nil:
	case errors.Is(cause, errCancelled):
		v.Status, v.Why, v.Cause = factory.Cancelled, "Cancelled on request.", ""
	default:
		return // fenced or stopped: the run is not ours, or not over
	}
	r.finish(context.WithoutCancel(ctx), v, failure)
}

// abandonOpen ends what was under way when the run was cancelled while no worker had it.
func (r *run) abandonOpen() {
	if !errors.Is(context.Cause(r.ctx), errCancelled) {
		return
	}
	for path, in := range r.past.instances {
		if in.status == "" && !in.started.IsZero() {
			r.note(path, evCancelled, in.attempts, facts{})
		}
	}
}

// prepare reads the definition and the history. It tries for as long as the database is away; its error is a fault of
// the definition.
func (r *run) prepare() error {
	wait := 50 * time.Millisecond
	loading := context.WithoutCancel(r.ctx) // a cancelled run has to be read too, to be ended
	for {
		err := r.load(loading, r)
		if err == nil {
			break
		}
		if cause := context.Cause(r.ctx); cause != nil && !errors.Is(cause, errCancelled) {
			return nil
		}
		if !retryable(err) {
			return err
		}
		r.Logger.Warn("run not loaded, trying again", "run", r.id, "error", err)
		_ = sleep(loading, wait)
		wait = min(2*wait, 2*time.Second)
	}
	r.seq = r.past.seq
	r.held = r.epoch > 1 || r.resumedFrom != ""
	for name, p := range r.def.Pipeline.Parameters {
		if v, _ := r.params.Get(name); p.Type == typeSecureString && len(expr.Text(v)) >= 3 {
			r.secrets = append(r.secrets, expr.Text(v))
		}
	}
	r.system = r.systemVariables()
	r.secureVariables = secureVariables(r.def.Pipeline.Activities, map[string]bool{})
	if err := r.initVariables(); err != nil {
		return err
	}
	for path, in := range r.past.instances {
		if in.open {
			r.note(path, evInterrupted, in.attempts, facts{})
		}
	}
	return r.dimension()
}

// dimension evaluates the run dimensions and shows them on the run.
func (r *run) dimension() error {
	if len(r.def.Pipeline.RunDimensions) == 0 || r.epoch > 1 || r.ctx.Err() != nil {
		return nil
	}
	o := expr.NewObject()
	for _, key := range sortedKeys(r.def.Pipeline.RunDimensions) {
		v, err := r.evaluate(&frame{run: r, ctx: r.ctx}, r.def.Pipeline.RunDimensions[key])
		if err != nil {
			return fmt.Errorf("run dimension %s: %w", key, err)
		}
		shown, _ := r.mask(v)
		o.Set(key, shown)
	}
	_, err := r.Pool.Exec(r.ctx, "update engine.run set dimensions = $2 where id = $1 and owner = $3", r.id, jsonText(o), r.worker)
	return err
}

// finish records the outcome and tells who waits.
func (r *run) finish(ctx context.Context, v factory.Verdict, failure *Failure) {
	d := facts{Why: v.Why, Evaluated: v.Evaluated}
	outcome := "ok"
	switch v.Status {
	case factory.Failed:
		outcome = "failed"
		d.Message = failure.Message
		if v.Cause != "" {
			d.Message = fmt.Sprintf("Operation on target %s failed: %s", v.Cause, failure.Message)
		}
	case factory.Cancelled:
		outcome = "failed"
		d.Message = "The run was cancelled."
	}
	d.Message, _ = r.maskText(d.Message)
	if r.returned != nil {
		d.Return, _ = r.mask(r.returned)
	}
	if err := r.store.record(ctx, audit.Entry{Who: r.by, Action: "pipeline.finish", Subject: "pipeline/" + r.pipeline, Project: r.project,
		Outcome: outcome, Detail: map[string]string{"run": r.id, "status": string(v.Status)}}); err != nil {
		r.Logger.Error("end of run not audited", "run", r.id, "error", err)
	}
	r.logs.settle(r.writing, r.id)
	if err := r.write("", string(v.Status), 0, d); err != nil {
		return
	}
	r.tellWaiters(r.id)
	if r.Ended != nil {
		r.Ended(r.id)
	}
}

// facts is what an event is to say, before anything is masked.
type facts struct {
	Name, Type                string
	Input, Output, Items      expr.Value
	User                      *expr.Object
	Failure                   *Failure
	Rows                      int64
	Tables                    []Table
	Inactive, Last            bool
	Branch                    *string
	Child                     string
	Pass                      int
	Until                     *time.Time
	Status                    string
	Variable                  string
	Value                     expr.Value
	Append                    bool
	Return                    expr.Value
	Message, Why              string
	Evaluated                 []string
	Trace                     []TraceStep
	SecretItems               bool
	SecureInput, SecureOutput bool
	setsVariable              bool
	hasOutput, hasInput       bool
}

// write records an event and returns when it is durable. The error says that the run is no longer ours.
func (r *run) write(path, kind string, attempt int, f facts) error {
	r.mu.Lock()
	done := r.push(path, kind, attempt, f, true)
	r.mu.Unlock()
	return <-done
}

// note records an event that is durable before any later one is.
func (r *run) note(path, kind string, attempt int, f facts) {
	r.mu.Lock()
	r.push(path, kind, attempt, f, false)
	r.mu.Unlock()
}

// push numbers an event and hands it to the writer, with the lock held. The channel is nil unless somebody waits.
func (r *run) push(path, kind string, attempt int, f facts, wait bool) chan error {
	e := event{run: r.id, epoch: r.epoch, path: path, kind: kind, attempt: attempt, at: r.Now()}
	e.data, e.held = r.encode(f)
	if e.held != nil {
		r.held = true
	}
	if len(f.Tables) > 0 {
		text := marshal(f.Tables)
		e.tables = &text
	}
	e.forget = path == "" && kind == evSucceeded && r.held
	if wait {
		e.done = make(chan error, 1)
	}
	r.seq++
	e.seq = r.seq
	r.writer.in <- e
	return e.done
}

// encode makes what may be shown, and the whole where that differs and expressions need it after a crash.
func (r *run) encode(f facts) (data, held *string) {
	shown := eventData{Name: f.Name, Type: f.Type, Rows: f.Rows, Inactive: f.Inactive, Branch: f.Branch, Child: f.Child, Pass: f.Pass,
		Last: f.Last, Until: f.Until, Status: f.Status, Message: f.Message, Why: f.Why, Evaluated: f.Evaluated, Error: f.Failure}
	whole := shown
	secret := false
	raw := func(v expr.Value, secure bool) (json.RawMessage, json.RawMessage) {
		if secure {
			secret = true
			return json.RawMessage(`"` + flowehr.Masked + `"`), expr.EncodeJSON(v)
		}
		masked, changed := r.mask(v)
		if !changed {
			b := expr.EncodeJSON(v)
			return b, b
		}
		secret = true
		return expr.EncodeJSON(masked), expr.EncodeJSON(v)
	}
	shown.Trace = f.Trace // is masked, and nobody needs it after a crash
	if f.hasInput {
		shown.Input, _ = raw(f.Input, f.SecureInput)
	}
	if f.User.Len() > 0 {
		shown.User, whole.User = raw(f.User, false)
	}
	secret = false // a masked input needs no second copy
	if f.hasOutput {
		shown.Output, whole.Output = raw(f.Output, f.SecureOutput)
	}
	if f.Items != nil {
		shown.Items, whole.Items = raw(f.Items, f.SecretItems)
		shown.Secret, whole.Secret = f.SecretItems, f.SecretItems
		if list, _ := f.Items.([]expr.Value); f.SecretItems {
			shown.Count = len(list)
		}
	}
	if f.setsVariable {
		s, w := raw(f.Value, f.SecureInput || f.SecureOutput)
		shown.Variable = &variableChange{Name: f.Variable, Value: s, Append: f.Append}
		whole.Variable = &variableChange{Name: f.Variable, Value: w, Append: f.Append}
	}
	if f.Return != nil {
		shown.Return, whole.Return = raw(f.Return, f.SecureInput || f.SecureOutput)
	}
	if f.Failure != nil {
		masked := *f.Failure
		var changed bool
		if masked.Message, changed = r.maskText(masked.Message); changed {
			shown.Error, secret = &masked, true
		}
	}
	text := marshal(&shown)
	data = &text
	if secret {
		all := marshal(&whole)
		held = &all
	}
	return data, held
}

// mask replaces the values of secure parameters wherever they are echoed.
func (r *run) mask(v expr.Value) (expr.Value, bool) {
	if len(r.secrets) == 0 {
		return v, false
	}
	switch t := v.(type) {
	case string:
		return r.maskText(t)
	case []expr.Value:
		out, changed := make([]expr.Value, len(t)), false
		for i, e := range t {
			m, c := r.mask(e)
			out[i], changed = m, changed || c
		}
		return out, changed
	case *expr.Object:
		out, changed := expr.NewObject(), false
		for k, e := range t.All() {
			m, c := r.mask(e)
			out.Set(k, m)
			changed = changed || c
		}
		return out, changed
	}
	return v, false
}

func (r *run) maskText(s string) (string, bool) {
	was := s
	for _, secret := range r.secrets {
		s = strings.ReplaceAll(s, secret, flowehr.Masked)
	}
	return s, s != was
}
