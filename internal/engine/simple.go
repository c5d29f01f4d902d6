package engine

import (
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// wait lets time pass. A wait that a crash interrupted ends when it would have ended.
func (in *instanceRun) wait() *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	until := in.begun
	if e := in.past.entered; e != nil && e.Until != nil {
		until = *e.Until
	} else {
		raw, _ := in.a.Properties.Lookup("waitTimeInSeconds")
		seconds, err := in.number("waitTimeInSeconds", raw)
		if err != nil {
			return in.failWith(0, in.invalid(err), nil, in.facts())
		}
		until = in.begun.Add(time.Duration(min(seconds, 1<<31)) * time.Second)
		if seconds == 0 {
			return in.succeed(0, expr.NewObject(), in.facts())
		}
		f := in.facts()
		f.Until = &until
		in.note(in.path, evEntered, 0, f)
	}
	if in.Sleep(in.frame.ctx, until.Sub(in.Now())) != nil || in.frame.ctx.Err() != nil {
		return in.cut(0)
	}
	return in.succeed(0, expr.NewObject(), facts{})
}

// filter keeps the items for which its condition is true.
func (in *instanceRun) filter() *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	v, err := in.property("items")
	if err != nil {
		return in.failWith(0, in.invalid(err), nil, in.facts())
	}
	secret := in.trace.tainted
	items, ok := v.([]expr.Value)
	if !ok {
		return in.failWith(0, in.userFailure(expr.CodeInvalidTemplate,
			"The items of a Filter must be an array. The provided value is of type '%s'.", expr.TypeName(v)), nil, in.facts())
	}
	condition, _ := in.a.Properties.Lookup("condition")
	kept := []expr.Value{}
	for _, item := range items {
		f := in.frame.inner(in.path)
		f.item, f.hasItem, f.secretItem = item, true, secret
		v, err := in.evaluateProperty(f, "condition", condition)
		if err != nil {
			return in.failWith(0, in.invalid(err), nil, in.facts())
		}
		yes, ok := truth(v)
		if !ok {
			return in.failWith(0, in.userFailure(expr.CodeInvalidTemplate,
				"The condition of a Filter must be of type 'Boolean'. The provided value is of type '%s'.", expr.TypeName(v)), nil, in.facts())
		}
		if yes {
			kept = append(kept, item)
		}
	}
	o := expr.NewObject()
	o.Set("ItemsCount", int64(len(items)))
	o.Set("FilteredItemsCount", int64(len(kept)))
	o.Set("Value", kept)
	return in.succeed(0, o, in.facts())
}

// codeNotString is the code of a Fail whose own code is no text.
const codeNotString = "ErrorCodeNotString"

// fail ends as its definition says. What it says about texts that are none follows the service's table of edge cases.
func (in *instanceRun) fail() *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	raw, given := in.a.Properties.Lookup("message")
	message, messageErr := in.evaluateProperty(in.frame, "message", raw)
	code, codeErr := in.property("errorCode")

	f := in.userFailure(codeNotString, "")
	if text, ok := code.(string); ok && codeErr == nil && strings.TrimSpace(text) != "" {
		f.Code = text
	}
	text, isText := message.(string)
	switch {
	case !given:
		f.Message = "Fail message wasn't provided"
	case messageErr != nil || message == nil || (isText && strings.TrimSpace(text) == ""):
		f.Message = "Failed to interpret " + in.a.Name + " fail message or error code"
	case !isText:
		f.Message = in.a.Name + " fail message parameter could not be interpreted as a string"
	default:
		f.Message = text
	}
	o := expr.NewObject()
	o.Set("message", f.Message)
	o.Set("errorCode", f.Code)
	return in.failWith(0, f, o, in.facts())
}
