package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"time"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// frame is one pass through the activities of a pipeline or of a container. Expressions see the frame they stand in and
// the ones around it.
type frame struct {
	run        *run
	ctx        context.Context // ends with the run, and with the time-out of an Until around
	parent     *frame
	prefix     string // path of the container with the number of the pass
	item       expr.Value
	hasItem    bool
	secretItem bool // item came of a secure output
	fresh      bool // what an earlier run did here may not be reused

	mu   sync.Mutex
	done map[string]*outcome
}

// inner makes the frame of a pass through a container's body.
func (f *frame) inner(prefix string) *frame {
	return &frame{run: f.run, ctx: f.ctx, parent: f, prefix: prefix, item: f.item, hasItem: f.hasItem, secretItem: f.secretItem,
		fresh: f.fresh}
}

// outcome is how an activity instance ended. A nil status in a result means that the run was cut off.
type outcome struct {
	activity *factory.Activity
	path     string
	status   factory.Status
	inactive bool
	output   expr.Value
	failure  *Failure
	user     *expr.Object
	started  time.Time
	ended    time.Time
}

// lookup finds the outcome of an activity by name, in this frame or around it.
func (f *frame) lookup(name string) *outcome {
	for ; f != nil; f = f.parent {
		f.mu.Lock()
		o := f.done[name]
		f.mu.Unlock()
		if o != nil {
			return o
		}
	}
	return nil
}

// body runs activities in the order of their dependencies and applies the leaf rule. The failure is that of the activity
// that made the outcome Failed. If the context ends, so does body, with the status Cancelled.
func (r *run) body(f *frame, acts []factory.Activity) (factory.Verdict, *Failure) {
	f.done = make(map[string]*outcome, len(acts))
	status := make(map[string]factory.Status, len(acts))
	begun := make([]bool, len(acts))
	results := make(chan *outcome)
	running := 0
	known := func(name string) (factory.Status, bool) { s, ok := status[name]; return s, ok }
	settle := func(o *outcome) {
		if o.status == "" {
			return
		}
		f.mu.Lock()
		f.done[o.activity.Name] = o
		f.mu.Unlock()
		status[o.activity.Name] = o.status
	}
	for {
		for progress := true; progress && f.ctx.Err() == nil; {
			progress = false
			for i := range acts {
				if begun[i] {
					continue
				}
				decidable, satisfied := factory.Ready(acts[i].DependsOn, known)
				if !decidable {
					continue
				}
				begun[i] = true
				if !satisfied {
					settle(r.skip(f, &acts[i]))
					progress = true
					continue
				}
				running++
				go func() { results <- r.activity(f, &acts[i]) }()
			}
		}
		if running == 0 {
			break
		}
		settle(<-results)
		running--
	}
	if f.ctx.Err() != nil {
		return factory.Verdict{Status: factory.Cancelled, Why: "Cancelled."}, nil
	}
	v := factory.Outcome(acts, maps.Clone(status))
	switch v.Status {
	case factory.Failed, factory.Cancelled:
		failure := f.done[v.Cause].failure
		if failure == nil {
			failure = &Failure{Code: "ActivityFailed", Message: "The activity is inactive and marked as failed.", Type: userError, Target: v.Cause}
		}
		return v, failure
	case factory.Succeeded:
		return v, nil
	}
	return factory.Verdict{Status: factory.Failed, Why: "Failed because " + v.Why},
		&Failure{Code: "InvalidTemplate", Message: "Some activities depend on each other or on one that does not exist.", Type: userError}
}

// activity brings one instance to its end, or takes its end from the history.
func (r *run) activity(f *frame, a *factory.Activity) *outcome {
	in := &instanceRun{run: r, frame: f, a: a, path: f.prefix + "/" + a.Name}
	in.past = r.past.instances[in.path]
	if in.past == nil {
		in.past = &instance{}
	}
	if in.past.status != "" {
		return in.recall(factory.Status(in.past.status))
	}
	if a.Inactive {
		return in.inactive()
	}
	if do := control(a.Type); do != nil {
		return do(in)
	}
	if in.past.reused && !f.fresh {
		return in.recall(factory.Succeeded)
	}
	return in.work()
}

// skip records that an activity is not run because of what came before it.
func (r *run) skip(f *frame, a *factory.Activity) *outcome {
	path := f.prefix + "/" + a.Name
	if in := r.past.instances[path]; in == nil || in.status != string(factory.Skipped) {
		r.note(path, evSkipped, 0, facts{Name: a.Name, Type: a.Type})
	}
	return &outcome{activity: a, path: path, status: factory.Skipped}
}

// instanceRun is one activity instance while it is run.
type instanceRun struct {
	*run
	frame *frame
	a     *factory.Activity
	path  string
	past  *instance
	begun time.Time
	user  *expr.Object
	trace tracer
}

// control returns how the engine runs an activity type itself, or nil for a type that has to be handed to it.
func control(activityType string) func(*instanceRun) *outcome {
	switch activityType {
	case "AppendVariable":
		return (*instanceRun).appendVariable
	case "ExecutePipeline":
		return (*instanceRun).executePipeline
	case "Fail":
		return (*instanceRun).fail
	case "Filter":
		return (*instanceRun).filter
	case "ForEach":
		return (*instanceRun).forEach
	case "IfCondition":
		return (*instanceRun).ifCondition
	case "SetVariable":
		return (*instanceRun).setVariable
	case "Switch":
		return (*instanceRun).switchCase
	case "Until":
		return (*instanceRun).until
	case "Wait":
		return (*instanceRun).wait
	}
	return nil
}

// Control reports whether the engine runs an activity type itself. All others have to be handed to it.
func Control(activityType string) bool { return control(activityType) != nil }

// recall is the outcome that the history tells of.
func (in *instanceRun) recall(status factory.Status) *outcome {
	o := &outcome{activity: in.a, path: in.path, status: status, inactive: in.past.data.Inactive, failure: in.past.data.Error,
		started: in.past.started, ended: in.past.at}
	if o.started.IsZero() {
		o.started = o.ended
	}
	if in.past.data.Output != nil {
		o.output, _ = expr.DecodeJSON(in.past.data.Output)
	}
	if in.past.data.User != nil {
		o.user, _ = decodeObject(in.past.data.User)
	}
	return o
}

// inactive gives an activity that its definition switches off the status that it asks for.
func (in *instanceRun) inactive() *outcome {
	status := factory.Status(in.a.InactiveMark)
	if status == "" {
		status = factory.Succeeded
	}
	in.note(in.path, string(status), 0, facts{Name: in.a.Name, Type: in.a.Type, Inactive: true})
	return &outcome{activity: in.a, path: in.path, status: status, inactive: true}
}

// begin stamps the instance and evaluates its user properties.
func (in *instanceRun) begin() *Failure {
	in.begun = in.past.started
	if in.begun.IsZero() {
		in.begun = in.Now()
	}
	if len(in.a.UserProperties) == 0 {
		return nil
	}
	in.user = expr.NewObject()
	for _, p := range in.a.UserProperties {
		v, err := in.evaluateProperty(in.frame, "userProperties."+p.Name, p.Value)
		if err != nil {
			return in.invalid(err)
		}
		in.user.Set(p.Name, v)
	}
	return nil
}

// facts begins what an event of this instance says.
func (in *instanceRun) facts() facts {
	return facts{Name: in.a.Name, Type: in.a.Type, User: in.user, SecureInput: in.a.Policy.SecureInput, SecureOutput: in.a.Policy.SecureOutput,
		Trace: in.trace.take()}
}

// succeed records the end of the instance. What follows it will wait for the record, nothing needs to here.
func (in *instanceRun) succeed(attempt int, output expr.Value, f facts) *outcome {
	if output != nil {
		f.Output, f.hasOutput = output, true
	}
	f.Trace = append(f.Trace, in.trace.take()...)
	in.note(in.path, evSucceeded, attempt, f)
	return in.ended(factory.Succeeded, output, nil)
}

func (in *instanceRun) failWith(attempt int, failure *Failure, output expr.Value, f facts) *outcome {
	f.Failure = failure
	if output != nil {
		f.Output, f.hasOutput = output, true
	}
	f.Trace = append(f.Trace, in.trace.take()...)
	in.note(in.path, evFailed, attempt, f)
	return in.ended(factory.Failed, output, failure)
}

// cut ends an instance whose context has ended: it is cancelled, or interrupted and to be carried on by another worker.
func (in *instanceRun) cut(attempt int) *outcome {
	cause := context.Cause(in.frame.ctx)
	switch {
	case errors.Is(cause, errCancelled), errors.Is(cause, errTooLong):
		in.note(in.path, evCancelled, attempt, in.facts())
		return in.ended(factory.Cancelled, nil, &Failure{Code: "Cancelled", Message: "The activity was cancelled.", Type: userError, Target: in.a.Name})
	case errors.Is(cause, errStopping) && attempt > 0:
		in.note(in.path, evInterrupted, attempt, facts{})
	}
	return &outcome{activity: in.a, path: in.path}
}

func (in *instanceRun) ended(status factory.Status, output expr.Value, failure *Failure) *outcome {
	return &outcome{activity: in.a, path: in.path, status: status, output: output, failure: failure, user: in.user,
		started: in.begun, ended: in.Now()}
}

// invalid is the failure of an activity whose definition or expressions are at fault.
func (in *instanceRun) invalid(err error) *Failure {
	f := &Failure{Code: expr.CodeInvalidTemplate, Message: err.Error(), Type: userError, Target: in.a.Name}
	if e, ok := errors.AsType[*expr.Error](err); ok {
		f.Code, f.Message = e.Code, e.Message
	}
	return f
}

func (in *instanceRun) userFailure(code, format string, args ...any) *Failure {
	return &Failure{Code: code, Message: fmt.Sprintf(format, args...), Type: userError, Target: in.a.Name}
}

// parentPath is the path of the container that an instance stands in, or empty.
func parentPath(path string) string {
	path = path[:strings.LastIndexByte(path, '/')]
	slash := strings.LastIndexByte(path, '/')
	if slash < 0 {
		return ""
	}
	name := path[slash:]
	if i := strings.IndexByte(name, '?'); i >= 0 {
		return path[:slash+i]
	}
	if i := strings.LastIndexAny(name, "[{"); i >= 0 {
		return path[:slash+i]
	}
	return path
}
