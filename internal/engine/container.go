package engine

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Limits of loops, those of the service.
const (
	maxItems     = 100_000
	maxBatch     = 50
	defaultBatch = 20
)

// errTooLong is the cause with which the context of an Until ends at its time-out.
var errTooLong = errors.New("the loop took too long")

// branch finds a body of a container.
func (in *instanceRun) branch(match func(factory.Branch) bool) (factory.Branch, bool) {
	for _, b := range in.a.Branches {
		if match(b) {
			return b, true
		}
	}
	return factory.Branch{}, false
}

func (in *instanceRun) only() []factory.Activity {
	b, _ := in.branch(func(factory.Branch) bool { return true })
	return b.Activities
}

// property evaluates one of the typeProperties.
func (in *instanceRun) property(key string) (expr.Value, error) {
	v, _ := in.a.Properties.Lookup(key)
	return in.evaluateProperty(in.frame, key, v)
}

// innerFailed is the failure of a container whose body failed.
func (in *instanceRun) innerFailed(cause string, inner *Failure) *Failure {
	return in.userFailure("ActionFailed", "Activity failed because an inner activity failed; Inner activity name: %s, Error: %s", cause, inner.Message)
}

// forEach runs its body for each item. Items are evaluated once; a failing iteration stops no other.
func (in *instanceRun) forEach() *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	items, secret, failure := in.items()
	if failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	width, err := in.width()
	if err != nil {
		return in.failWith(0, in.invalid(err), nil, in.facts())
	}
	former := in.formerItems()
	var mu sync.Mutex
	failedAt, cause := len(items), ""
	var first *Failure
	iterate := func(i int) {
		f := in.frame.inner(fmt.Sprintf("%s[%d]", in.path, i))
		f.item, f.hasItem, f.secretItem = items[i], true, secret
		f.fresh = f.fresh || (in.resumedFrom != "" && (i >= len(former) || !expr.Equal(former[i], items[i])))
		v, inner := in.body(f, in.only())
		mu.Lock()
		defer mu.Unlock()
		if v.Status == factory.Failed && i < failedAt {
			failedAt, cause, first = i, v.Cause, inner
		}
	}
	eachIndex(in.frame.ctx, len(items), width, iterate)
	switch {
	case in.frame.ctx.Err() != nil:
		return in.cut(0)
	case first != nil:
		return in.failWith(0, in.innerFailed(cause, first), nil, facts{})
	}
	return in.succeed(0, nil, facts{})
}

// eachIndex calls do for 0 to n-1, width at a time, until ctx ends.
func eachIndex(ctx context.Context, n, width int, do func(int)) {
	if width <= 1 {
		for i := range n {
			if ctx.Err() != nil {
				return
			}
			do(i)
		}
		return
	}
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(width, n) {
		workers.Go(func() {
			for i := range next {
				do(i)
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
}

// items evaluates the items of a ForEach, or takes those that it was entered with. secret says that they came of a secure
// output.
func (in *instanceRun) items() (list []expr.Value, secret bool, failure *Failure) {
	if in.past.entered != nil {
		v, err := decodeValue(in.past.entered.Items)
		if err != nil {
			return nil, false, in.invalid(err)
		}
		list, _ := v.([]expr.Value)
		return list, in.past.entered.Secret, nil
	}
	v, err := in.property("items")
	if err != nil {
		return nil, false, in.invalid(err)
	}
	list, ok := v.([]expr.Value)
	if !ok {
		kind := expr.TypeName(v)
		if kind == "String" {
			return nil, false, in.userFailure(expr.CodeInvalidTemplate, "The items of a ForEach must be an array. The provided value is of type 'String'.")
		}
		return nil, false, in.userFailure(expr.CodeInvalidTemplate,
			"The function 'length' expects its parameter to be an array or a string. The provided value is of type '%s'.", kind)
	}
	if len(list) > maxItems {
		return nil, false, in.userFailure(expr.CodeInvalidTemplate, "A ForEach has at most %d items, not %d.", maxItems, len(list))
	}
	f := in.facts()
	f.Items = list
	if list == nil {
		f.Items = []expr.Value{}
	}
	f.SecretItems = in.trace.tainted
	in.note(in.path, evEntered, 0, f)
	return list, in.trace.tainted, nil
}

// formerItems are the items that the loop had in the run that this one resumes.
func (in *instanceRun) formerItems() []expr.Value {
	if in.past.former == nil {
		return nil
	}
	v, _ := decodeValue(in.past.former.Items)
	list, _ := v.([]expr.Value)
	return list
}

// width is how many iterations run at once.
func (in *instanceRun) width() (int, error) {
	v, err := in.property("isSequential")
	if err != nil {
		return 0, err
	}
	if v != nil {
		if v, err = factory.Coerce("Bool", v); err != nil {
			return 0, fmt.Errorf("isSequential: %w", err)
		}
		if v == true {
			return 1, nil
		}
	}
	raw, _ := in.a.Properties.Lookup("batchCount")
	if raw == nil {
		return defaultBatch, nil
	}
	n, err := in.number("batchCount", raw)
	if err != nil {
		return 0, fmt.Errorf("batchCount: %w", err)
	}
	return int(min(max(n, 1), maxBatch)), nil
}

// ifCondition runs one of two bodies.
func (in *instanceRun) ifCondition() *outcome {
	return in.choose(func() (string, *Failure) {
		v, err := in.property("expression")
		if err != nil {
			return "", in.invalid(err)
		}
		yes, ok := truth(v)
		if !ok {
			return "", in.userFailure(expr.CodeInvalidTemplate,
				"The expression of an IfCondition must be of type 'Boolean'. The provided value is of type '%s'.", expr.TypeName(v))
		}
		return fmt.Sprint(yes), nil
	}, func(choice string) ([]factory.Activity, string) {
		b, _ := in.branch(func(b factory.Branch) bool { return b.Name == choice })
		return b.Activities, "?" + choice
	})
}

// truth accepts what an interpolated condition gives: the word instead of the value.
func truth(v expr.Value) (yes, ok bool) {
	switch t := v.(type) {
	case bool:
		return t, true
	case string:
		switch {
		case strings.EqualFold(t, "true"):
			return true, true
		case strings.EqualFold(t, "false"):
			return false, true
		}
	}
	return false, false
}

// branchDefault is the choice of a Switch in which no case fits. A case has "=" before its value.
const branchDefault = "default"

func shownBranch(choice string) string { return strings.TrimPrefix(choice, "=") }

// switchCase runs the body whose value is that of the expression, else the default one.
func (in *instanceRun) switchCase() *outcome {
	return in.choose(func() (string, *Failure) {
		key := "on"
		if _, has := in.a.Properties.Lookup(key); !has {
			key = "expression"
		}
		v, err := in.property(key)
		if err != nil {
			return "", in.invalid(err)
		}
		value := expr.Text(v)
		if _, found := in.branch(func(b factory.Branch) bool { return !b.Default && b.Name == value }); found {
			return "=" + value, nil
		}
		return branchDefault, nil
	}, func(choice string) ([]factory.Activity, string) {
		if choice == branchDefault {
			b, _ := in.branch(func(b factory.Branch) bool { return b.Default })
			return b.Activities, "?" + branchDefault
		}
		b, _ := in.branch(func(b factory.Branch) bool { return !b.Default && "="+b.Name == choice })
		return b.Activities, "?=" + url.PathEscape(choice[1:])
	})
}

// choose takes a decision once, records it, and runs the body that it names.
func (in *instanceRun) choose(decide func() (string, *Failure), body func(choice string) ([]factory.Activity, string)) *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	var choice string
	if e := in.past.entered; e != nil && e.Branch != nil {
		choice = *e.Branch
	} else {
		var failure *Failure
		if choice, failure = decide(); failure != nil {
			return in.failWith(0, failure, nil, in.facts())
		}
		f := in.facts()
		f.Branch = &choice
		in.note(in.path, evEntered, 0, f)
	}
	acts, suffix := body(choice)
	v, inner := in.body(in.frame.inner(in.path+suffix), acts)
	switch {
	case in.frame.ctx.Err() != nil:
		return in.cut(0)
	case v.Status == factory.Failed:
		return in.failWith(0, in.innerFailed(v.Cause, inner), nil, facts{})
	}
	return in.succeed(0, nil, facts{})
}

// until runs its body until the expression is true. The expression is evaluated after each pass and sees its activities.
func (in *instanceRun) until() *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	deadline, err := in.deadline()
	if err != nil {
		return in.failWith(0, in.invalid(err), nil, in.facts())
	}
	ctx, cancel := context.WithTimeoutCause(in.frame.ctx, max(0, deadline.Sub(in.Now())), errTooLong)
	defer cancel()
	if n := len(in.past.passes); n > 0 && in.past.passes[n-1].Last {
		return in.lastPass(in.past.passes[n-1])
	}
	for pass := len(in.past.passes); ; pass++ {
		f := in.frame.inner(fmt.Sprintf("%s{%d}", in.path, pass))
		f.ctx = ctx
		v, inner := in.body(f, in.only())
		if in.frame.ctx.Err() != nil {
			return in.cut(0)
		}
		if ctx.Err() != nil || !in.Now().Before(deadline) {
			return in.failWith(0, in.userFailure("ActivityTimeout", "The Until '%s' did not end within its time-out.", in.a.Name), nil, facts{})
		}
		raw, _ := in.a.Properties.Lookup("expression")
		value, err := in.evaluateProperty(f, "expression", raw)
		if err != nil {
			return in.failWith(0, in.invalid(err), nil, facts{})
		}
		last, ok := truth(value)
		if !ok {
			return in.failWith(0, in.userFailure(expr.CodeInvalidTemplate,
				"The expression of an Until must be of type 'Boolean'. The provided value is of type '%s'.", expr.TypeName(value)), nil, facts{})
		}
		end := facts{Pass: pass, Last: last, Status: string(v.Status), Trace: in.trace.take()}
		if v.Status == factory.Failed {
			end.Failure = in.innerFailed(v.Cause, inner)
		}
		in.note(in.path, evPass, 0, end)
		if last {
			return in.lastPass(eventData{Status: end.Status, Error: end.Failure})
		}
	}
}

// lastPass ends an Until as its last pass did.
func (in *instanceRun) lastPass(d eventData) *outcome {
	if d.Status == string(factory.Failed) {
		return in.failWith(0, d.Error, nil, facts{})
	}
	return in.succeed(0, nil, facts{})
}

// deadline is when an Until is over, counted from its beginning whatever happened since.
func (in *instanceRun) deadline() (time.Time, error) {
	if e := in.past.entered; e != nil && e.Until != nil {
		return *e.Until, nil
	}
	limit := defaultTimeout
	if raw, _ := in.a.Properties.Lookup("timeout"); raw != nil {
		var err error
		if limit, err = in.timespan("timeout", raw); err != nil {
			return time.Time{}, fmt.Errorf("timeout: %w", err)
		}
	}
	deadline := in.begun.Add(limit)
	f := in.facts()
	f.Until = &deadline
	in.note(in.path, evEntered, 0, f)
	return deadline, nil
}
