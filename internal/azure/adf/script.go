package adf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake/sqltext"
)

// scriptJob is a Script on the lake as the job's description has it.
type scriptJob struct {
	Scripts    []scriptBlock `json:"scripts"`
	Assertions []assertion   `json:"assertions"`
}

type scriptBlock struct {
	Statements []statement `json:"statements"`
	Params     []param     `json:"params,omitempty"`
}

// param is a bound value. Value is the value, or an argument of the job.
type param struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Value any    `json:"value"`
}

// paramTypes are the types of a Script's parameters that the lake takes.
var paramTypes = []string{"", "Boolean", "DateTime", "Datetime", "DateTimeOffset", "Datetimeoffset", "Decimal", "Double", "Guid", "Int16", "Int32", "Int64",
	"Single", "String", "Timespan"}

// script turns a Script on the lake into a job.
func (l *lowering) script(raw *expr.Object, a factory.Activity) *expr.Object {
	r := l.read(fmt.Sprintf("Script %q", a.Name), a.Properties, l.in(child(a.Pointer, "typeProperties")))
	args := &arguments{}
	job := scriptJob{Scripts: []scriptBlock{}, Assertions: []assertion{}}
	for i, v := range r.list("scripts") {
		o, ok := v.(*expr.Object)
		at := l.in(child(child(r.at.pointer, "scripts"), i))
		if !ok {
			l.refuse(at, "", "%s: script %d must be an object", r.what, i+1)
			continue
		}
		job.Scripts = append(job.Scripts, l.block(l.read(fmt.Sprintf("%s: script %d", r.what, i+1), o, at), args))
	}
	job.Assertions = append(job.Assertions, l.assertions(r, r.list("assertions"))...)
	r.value("scriptBlockExecutionTimeout") // a limit of Data Factory's; the activity's own timeout holds in Azure
	r.rest("logSettings", "returnMultistatementResult")
	if len(job.Scripts)+len(job.Assertions) == 0 {
		l.refuse(r.at, "", "%s has neither scripts nor assertions", r.what)
	}
	return l.job(raw, a, "script", job, args)
}

func (l *lowering) block(r *reader, args *arguments) scriptBlock {
	var b scriptBlock
	var names []string
	for i, v := range r.list("parameters") {
		o, ok := v.(*expr.Object)
		at := fault{r.at.file, child(child(r.at.pointer, "parameters"), i)}
		if !ok {
			l.refuse(at, "", "%s: a parameter must be an object", r.what)
			continue
		}
		p := l.read(r.what+": parameter", o, at)
		one := param{Name: strings.ToLower(strings.TrimPrefix(p.text("name"), "@")), Type: p.text("type"), Value: args.of(p.value("value"))}
		if err := sqltext.CheckParam(one.Name); err != nil {
			l.refuse(p.place("name"), "", "%s: %v", r.what, err)
		}
		if d := p.text("direction"); d != "" && !strings.EqualFold(d, "Input") {
			l.refuse(p.place("direction"), "", "%s: parameter %q of direction %s is not supported", r.what, one.Name, d)
		}
		if !slices.Contains(paramTypes, one.Type) {
			l.refuse(p.place("type"), "", "%s: parameter %q has the type %q, which is not supported", r.what, one.Name, one.Type)
		}
		p.rest("size")
		names = append(names, one.Name)
		b.Params = append(b.Params, one)
	}
	r.text("type")
	text := r.value("text")
	if dynamic(text) {
		l.refuse(r.place("text"), "Bind what changes as a parameter and write it as @name.",
			"%s: the text of the statements is put together in the run", r.what)
		return b
	}
	var err error
	if b.Statements, err = sparkScript(r.text("text"), names); err != nil {
		l.refuse(r.place("text"), "", "%s: %v", r.what, err)
	}
	r.rest()
	return b
}
