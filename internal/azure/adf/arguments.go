package adf

import (
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// arguments are the parameters of a job that only a run can tell. In the job's description {"$argument": n} stands for the
// n-th.
//
// A value travels as JSON text of an array with it alone, so that a number stays a number and null stays null. Values that are
// texts by their form, with @{...} in them, travel as they are.
type arguments struct {
	list []expr.Value
}

// of returns what stands for a value of the definition in the job: the value itself when it is known now.
func (a *arguments) of(v expr.Value) any {
	if known, ok := settled(v); ok {
		return known
	}
	switch v := v.(type) {
	case []expr.Value:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = a.of(e)
		}
		return list
	case *expr.Object:
		if inner, ok := wrapped(v); ok {
			return a.of(inner)
		}
		o := map[string]any{}
		for k, e := range v.All() {
			o[k] = a.of(e)
		}
		return o
	}
	text, _ := v.(string)
	if strings.HasPrefix(text, "@") && !strings.HasPrefix(text, "@{") && !strings.HasPrefix(text, "@@") {
		// Spaces may follow a whole expression; they are no part of it.
		return a.add("@string(createArray("+strings.TrimRight(text[1:], " \t\r\n")+"))", "json")
	}
	return a.add(text, "text")
}

func (a *arguments) add(expression, form string) any {
	o := expr.NewObject()
	o.Set("value", expression)
	o.Set("type", "Expression")
	a.list = append(a.list, o)
	return map[string]any{"$argument": len(a.list) - 1, "form": form}
}

// wrapped returns the value in {"value": ..., "type": "Expression"}.
func wrapped(o *expr.Object) (expr.Value, bool) {
	kind, _ := value(o, "type").(string)
	v, ok := o.Get("value")
	return v, ok && o.Len() == 2 && strings.EqualFold(kind, "Expression")
}

// settled returns the value that v has in every run, and whether there is one.
func settled(v expr.Value) (expr.Value, bool) {
	if dynamic(v) {
		return nil, false
	}
	known, err := expr.Env{}.Evaluate(v)
	return known, err == nil
}

// dynamic reports whether an expression stands anywhere in v.
func dynamic(v expr.Value) bool {
	found := false
	eachText(v, "", func(text, _ string) {
		x, err := expr.Parse(text)
		found = found || x != nil || err != nil
	})
	return found
}
