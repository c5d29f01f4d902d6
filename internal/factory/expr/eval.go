package expr

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Limits of one evaluation. The service's own are lower (4 MB for a payload, 100,000 items of a loop).
const (
	maxText   = 16 << 20 // bytes of one text
	maxList   = 1 << 20  // elements of one array
	maxBudget = 96 << 20 // bytes and elements that one evaluation may produce in all
)

// Scope answers the functions that know the run: pipeline, activity, variables, item, dataset, linkedService, trigger
// and triggerBody. Their names arrive in lower case. known is false when the scope has no such function where the
// expression stands (item outside a loop); err is a fault of this call, an unknown activity for example, and becomes the
// message of the expression's error.
type Scope interface {
	Call(function string, args []Value) (v Value, known bool, err error)
}

// Env is what an evaluation may use. The zero Env evaluates everything that needs no scope, with the real time, random
// identifiers and random numbers. Env is safe for concurrent use if its fields are.
type Env struct {
	Scope   Scope
	Now     func() time.Time
	NewGUID func() string            // in the form of 8-4-4-4-12 hexadecimal digits
	Rand    func(lo, hi int64) int64 // in [lo, hi)
	Trace   func(TraceStep)          // called after each call and selection, inner ones first; may be nil
}

// TraceStep is the value that a part of an expression had.
type TraceStep struct {
	Text  string // of the part
	Value Value
	Err   error
	Depth int // 0 is the whole expression
}

// Evaluate returns v with every expression in it replaced by its value: in texts, through arrays and objects, and in
// objects of the form {"value": ..., "type": "Expression"}. v is not changed. The error is an [*Error].
func (e Env) Evaluate(v Value) (Value, error) {
	return e.start().value(v, 0)
}

// Evaluate evaluates a parsed expression.
func (x *Expression) Evaluate(e Env) (Value, error) {
	return e.start().expression(x)
}

func (e Env) start() *evaluation {
	if e.Now == nil {
		e.Now = time.Now
	}
	if e.NewGUID == nil {
		e.NewGUID = uuid.NewString
	}
	if e.Rand == nil {
		e.Rand = func(lo, hi int64) int64 { return lo + rand.Int64N(hi-lo) }
	}
	return &evaluation{env: e, budget: maxBudget}
}

// evaluation is the state of one evaluation.
type evaluation struct {
	env    Env
	source string
	budget int
}

func (ev *evaluation) value(v Value, depth int) (Value, error) {
	if depth > maxJSONDepth {
		return nil, errorf(0, "the value is nested more than %d levels deep", maxJSONDepth)
	}
	switch v := v.(type) {
	case string:
		return ev.text(v)
	case []Value:
		list := make([]Value, len(v))
		for i, element := range v {
			var err error
			if list[i], err = ev.value(element, depth+1); err != nil {
				return nil, err
			}
		}
		return list, nil
	case *Object:
		if inner, ok := expressionObject(v); ok {
			return ev.value(inner, depth+1)
		}
		o := NewObject()
		for k, field := range v.All() {
			result, err := ev.value(field, depth+1)
			if err != nil {
				return nil, err
			}
			o.Set(k, result)
		}
		return o, nil
	}
	return v, nil
}

// expressionObject returns the value of {"value": ..., "type": "Expression"}.
func expressionObject(o *Object) (Value, bool) {
	if o.Len() != 2 {
		return nil, false
	}
	t, _ := o.Get("type")
	name, _ := t.(string)
	v, ok := o.Get("value")
	return v, ok && strings.EqualFold(name, "Expression")
}

func (ev *evaluation) text(s string) (Value, error) {
	x, err := Parse(s)
	if err != nil {
		return nil, err
	}
	if x == nil {
		return literalText(s), nil
	}
	return ev.expression(x)
}

func (ev *evaluation) expression(x *Expression) (Value, error) {
	ev.source = x.source
	if x.whole != nil {
		return ev.node(x.whole, 0)
	}
	var text strings.Builder
	for _, p := range x.parts {
		if p.node == nil {
			text.WriteString(p.text)
			continue
		}
		v, err := ev.node(p.node, 0)
		if err != nil {
			return nil, err
		}
		s := Text(v)
		if err := ev.spendText(text.Len()+len(s), p.from); err != nil {
			return nil, err
		}
		text.WriteString(s)
	}
	return text.String(), nil
}

func (ev *evaluation) node(n node, depth int) (Value, error) {
	var v Value
	var err error
	switch n := n.(type) {
	case *literal:
		return n.value, nil
	case *call:
		v, err = ev.call(n, depth)
	case *access:
		v, err = ev.access(n, depth)
	}
	if ev.env.Trace != nil {
		from, to := n.span()
		ev.env.Trace(TraceStep{Text: ev.source[from:to], Value: v, Err: err, Depth: depth})
	}
	return v, err
}

func (ev *evaluation) call(n *call, depth int) (Value, error) {
	f := n.function
	if f.lazy != nil {
		v, err := f.lazy(&lazyArgs{ev: ev, call: n, depth: depth})
		return v, at(err, n.from)
	}
	args := make([]Value, len(n.args))
	for i, arg := range n.args {
		var err error
		if args[i], err = ev.node(arg, depth+1); err != nil {
			return nil, err
		}
	}
	if f.eval == nil {
		return ev.scopeCall(n, args)
	}
	v, err := f.eval(&fcall{ev: ev, name: f.display, args: args, from: n.from})
	return v, at(err, n.from)
}

func (ev *evaluation) scopeCall(n *call, args []Value) (Value, error) {
	if ev.env.Scope != nil {
		v, known, err := ev.env.Scope.Call(n.function.name, args)
		if err != nil {
			return nil, at(err, n.from)
		}
		if known {
			return v, nil
		}
	}
	return nil, errorf(n.from, "the function '%s' cannot be used here", n.name)
}

// at makes err an *Error that knows its place.
func at(err error, offset int) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return errorf(offset, "%s", err.Error())
}

func (ev *evaluation) access(n *access, depth int) (Value, error) {
	base, err := ev.node(n.base, depth+1)
	if err != nil {
		return nil, err
	}
	if base == nil && n.safe {
		return nil, nil
	}
	if n.index == nil {
		return ev.property(n, base, n.name)
	}
	index, err := ev.node(n.index, depth+1)
	if err != nil {
		return nil, err
	}
	switch key := index.(type) {
	case string:
		return ev.property(n, base, key)
	case int64:
		return ev.element(n, base, key)
	}
	return nil, ev.cannot(n, "an index must be an integer or a property name, not "+article(index))
}

func (ev *evaluation) property(n *access, base Value, name string) (Value, error) {
	o, ok := base.(*Object)
	if !ok {
		return nil, ev.cannot(n, "property '"+name+"' cannot be selected. Property selection is not supported on values of type '"+
			TypeName(base)+"'")
	}
	if v, ok := o.Lookup(name); ok {
		return v, nil
	}
	if n.safe {
		return nil, nil
	}
	return nil, ev.cannot(n, "property '"+name+"' doesn't exist, available properties are '"+strings.Join(o.Keys(), ", ")+"'")
}

func (ev *evaluation) element(n *access, base Value, index int64) (Value, error) {
	list, ok := base.([]Value)
	if !ok {
		return nil, ev.cannot(n, "array elements can only be selected from arrays, not from a value of type '"+TypeName(base)+"'")
	}
	if index >= 0 && index < int64(len(list)) {
		return list[index], nil
	}
	if n.safe {
		return nil, nil
	}
	return nil, ev.cannot(n, "array index '"+strconv.FormatInt(index, 10)+"' is outside bounds (0, "+
		strconv.Itoa(len(list)-1)+") of array")
}

// cannot is the service's sentence for a selection that is not possible.
func (ev *evaluation) cannot(n *access, reason string) *Error {
	return errorf(n.from, "The expression '%s' cannot be evaluated because %s.", ev.source[n.from:n.to], reason)
}

// spendText accounts for a new text of size bytes, spendList for a new array.
func (ev *evaluation) spendText(size, offset int) error {
	if size > maxText {
		return errorf(offset, "the expression makes a text longer than %d MiB", maxText>>20)
	}
	return ev.spend(size, offset)
}

func (ev *evaluation) spendList(size, offset int) error {
	if size > maxList {
		return errorf(offset, "the expression makes an array of more than %d elements", maxList)
	}
	return ev.spend(16*size, offset)
}

func (ev *evaluation) spend(size, offset int) error {
	if ev.budget -= size; ev.budget < 0 {
		return errorf(offset, "the expression makes more than %d MiB of values", maxBudget>>20)
	}
	return nil
}
