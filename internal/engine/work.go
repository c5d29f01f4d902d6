package engine

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Defaults of a policy.
const (
	defaultTimeout       = 7 * 24 * time.Hour
	defaultRetryInterval = 30 * time.Second
)

// policy is the evaluated policy of an activity.
type policy struct {
	timeout  time.Duration // of each attempt
	retry    int
	interval time.Duration
}

// work runs an activity that was handed to the engine: attempt after attempt, as its policy says.
func (in *instanceRun) work() *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	do, known := in.Activities[in.a.Type]
	if !known {
		return in.failWith(0, in.userFailure("UnsupportedActivity",
			"The activity '%s' has the type '%s', which is not supported here.", in.a.Name, in.a.Type), nil, in.facts())
	}
	p, err := in.policy()
	if err != nil {
		return in.failWith(0, in.invalid(err), nil, in.facts())
	}
	call, err := in.call()
	if err != nil {
		return in.failWith(0, in.invalid(err), nil, in.facts())
	}
	attempt, failed := in.past.attempts, in.past.failed
	if failed > 0 && !in.past.open {
		if in.Sleep(in.frame.ctx, in.past.failedAt.Add(p.interval).Sub(in.Now())) != nil {
			return in.cut(0)
		}
	}
	for {
		attempt++
		select {
		case in.slots <- struct{}{}:
		case <-in.frame.ctx.Done():
			return in.cut(0)
		}
		f := in.facts()
		f.Input, f.hasInput = call.Properties, true
		if in.write(in.path, evStarted, attempt, f) != nil {
			<-in.slots
			return &outcome{activity: in.a, path: in.path}
		}
		result, err := in.attempt(do, call, attempt, p.timeout)
		<-in.slots
		f = facts{SecureInput: in.a.Policy.SecureInput, SecureOutput: in.a.Policy.SecureOutput}
		if err == nil {
			f.Rows, f.Tables = result.Rows, result.Tables
			output := result.Output
			if output == nil {
				output = expr.NewObject()
			}
			return in.succeed(attempt, output, f)
		}
		if in.frame.ctx.Err() != nil {
			return in.cut(attempt)
		}
		failure, output, final := in.failureOf(err)
		failed++
		if final || failed > p.retry {
			return in.failWith(attempt, failure, output, f)
		}
		f.Failure = failure
		in.note(in.path, evAttempt, attempt, f)
		if in.Sleep(in.frame.ctx, p.interval) != nil {
			return in.cut(0)
		}
	}
}

// errAttemptTooLong is the cause with which the context of an attempt ends at its time-out.
var errAttemptTooLong = errors.New("the attempt took too long")

// attempt calls the activity once. It returns when the activity does; a panic is an error.
func (in *instanceRun) attempt(do Activity, call Call, number int, limit time.Duration) (result Result, err error) {
	ctx, cancel := context.WithTimeoutCause(in.frame.ctx, limit, errAttemptTooLong)
	defer cancel()
	log := in.logs.attempt(in.id, in.path, number, in.maskText)
	call.Attempt = number
	call.Log = log.printf
	call.Progress = log.setProgress
	defer func() {
		if p := recover(); p != nil {
			log.printf("panic: %v\n%s", p, debug.Stack())
			err = fmt.Errorf("panic in activity type %s: %v", call.Type, p)
		}
	}()
	result, err = do.Run(ctx, call)
	if err != nil && errors.Is(context.Cause(ctx), errAttemptTooLong) {
		err = &Error{Code: "ActivityTimeout", Message: fmt.Sprintf("The activity '%s' took longer than its time-out of %s.",
			in.a.Name, timespan(limit)), Type: userError}
	}
	return result, err
}

// failureOf puts the error of an activity in the terms of a run.
func (in *instanceRun) failureOf(err error) (f *Failure, output expr.Value, final bool) {
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return &Failure{Code: "InternalError", Message: err.Error(), Type: systemError, Target: in.a.Name}, nil, false
	}
	f = &Failure{Code: e.Code, Message: e.Message, Type: e.Type, Target: in.a.Name}
	if f.Type == "" {
		f.Type = userError
	}
	if e.Output != nil {
		output = e.Output
	}
	return f, output, e.Final
}

// policy evaluates the policy of the activity.
func (in *instanceRun) policy() (policy, error) {
	p := policy{timeout: defaultTimeout, interval: defaultRetryInterval}
	d := in.a.Policy
	if d.Timeout != nil {
		limit, err := in.timespan("policy.timeout", d.Timeout)
		if err != nil {
			return p, fmt.Errorf("policy.timeout: %w", err)
		}
		p.timeout = limit
	}
	if d.Retry != nil {
		n, err := in.number("policy.retry", d.Retry)
		if err != nil {
			return p, fmt.Errorf("policy.retry: %w", err)
		}
		p.retry = int(min(n, math.MaxInt32))
	}
	if d.RetryInterval != nil {
		seconds, err := in.number("policy.retryIntervalInSeconds", d.RetryInterval)
		if err != nil {
			return p, fmt.Errorf("policy.retryIntervalInSeconds: %w", err)
		}
		p.interval = time.Duration(min(seconds, math.MaxInt32)) * time.Second
	}
	return p, nil
}

// number evaluates a whole number that is not negative; text is accepted.
func (in *instanceRun) number(property string, v expr.Value) (int64, error) {
	v, err := in.evaluateProperty(in.frame, property, v)
	if err != nil {
		return 0, err
	}
	if v, err = factory.Coerce("Int", v); err != nil {
		return 0, err
	}
	n, ok := v.(int64)
	if !ok || n < 0 {
		return 0, fmt.Errorf("%s is not a whole number from 0", expr.Text(v))
	}
	return n, nil
}

// timespan evaluates a time span that is not negative.
func (in *instanceRun) timespan(property string, v expr.Value) (time.Duration, error) {
	v, err := in.evaluateProperty(in.frame, property, v)
	if err != nil {
		return 0, err
	}
	d, err := factory.ParseTimespan(expr.Text(v))
	if err == nil && d < 0 {
		err = fmt.Errorf("%s is negative", expr.Text(v))
	}
	return d, err
}
