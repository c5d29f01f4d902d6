package engine

import (
	"fmt"
	"strings"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// call evaluates everything that an attempt is given: properties, datasets and linked services.
func (in *instanceRun) call() (Call, error) {
	c := Call{RunID: in.id, Pipeline: in.pipeline, Project: in.project, By: in.by, Path: in.path, Name: in.a.Name, Type: in.a.Type,
		Dir: in.def.Dir}
	c.Properties = expr.NewObject()
	for key, v := range in.a.Properties.All() {
		value, err := in.evaluateProperty(in.frame, key, v)
		if err != nil {
			return c, err
		}
		c.Properties.Set(key, value)
	}
	var err error
	if c.Inputs, err = in.datasets(in.a.Inputs); err != nil {
		return c, err
	}
	if c.Outputs, err = in.datasets(in.a.Outputs); err != nil {
		return c, err
	}
	if in.a.LinkedService != nil {
		l, err := in.linkedService(in.frame, *in.a.LinkedService)
		if err != nil {
			return c, err
		}
		c.LinkedService = &l
	}
	v, _ := c.Properties.Lookup("dataset")
	o, _ := v.(*expr.Object)
	if name, _ := o.Lookup("referenceName"); name != nil {
		values, _ := o.Lookup("parameters")
		given, _ := values.(*expr.Object)
		d, err := in.dataset(factory.Reference{Name: expr.Text(name), Parameters: given})
		if err != nil {
			return c, err
		}
		c.Dataset = &d
	}
	return c, nil
}

func (in *instanceRun) datasets(refs []factory.Reference) ([]Dataset, error) {
	var list []Dataset
	for _, ref := range refs {
		d, err := in.dataset(ref)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, nil
}

func (in *instanceRun) dataset(ref factory.Reference) (Dataset, error) {
	def, known := in.def.Datasets[ref.Name]
	if !known {
		return Dataset{}, fmt.Errorf("the dataset '%s' is not defined", ref.Name)
	}
	values, err := in.arguments(in.frame, "dataset "+ref.Name, def.Parameters, ref.Parameters)
	if err != nil {
		return Dataset{}, fmt.Errorf("dataset '%s': %w", ref.Name, err)
	}
	d := Dataset{Name: def.Name, Type: def.Type}
	inside := definitionScope{function: "dataset", values: values}
	env := expr.Env{Scope: inside, Now: in.Now}
	if d.Properties, err = objectIn(env, def.Properties); err != nil {
		return d, fmt.Errorf("dataset '%s': %w", ref.Name, err)
	}
	if d.Schema, err = env.Evaluate(def.Schema); err != nil {
		return d, fmt.Errorf("dataset '%s': %w", ref.Name, err)
	}
	if d.LinkedService, err = in.linkedService(inside, def.LinkedService); err != nil {
		return d, fmt.Errorf("dataset '%s': %w", ref.Name, err)
	}
	return d, nil
}

// linkedService resolves a reference that stands in scope around. One that is not defined in a file has only its name.
func (in *instanceRun) linkedService(around expr.Scope, ref factory.Reference) (LinkedService, error) {
	l := LinkedService{Name: ref.Name}
	def, known := in.def.LinkedServices[ref.Name]
	if !known {
		return l, nil
	}
	values, err := in.arguments(around, "linked service "+ref.Name, def.Parameters, ref.Parameters)
	if err != nil {
		return l, fmt.Errorf("linked service '%s': %w", ref.Name, err)
	}
	l.Type = def.Type
	l.Properties, err = objectIn(expr.Env{Scope: definitionScope{function: "linkedservice", values: values}, Now: in.Now}, def.Properties)
	if err != nil {
		return l, fmt.Errorf("linked service '%s': %w", ref.Name, err)
	}
	return l, nil
}

// arguments gives each declared parameter of what is referenced its value: the one in the reference, else the default.
func (in *instanceRun) arguments(around expr.Scope, what string, declared map[string]factory.Parameter, given *expr.Object) (*expr.Object, error) {
	values := expr.NewObject()
	for _, name := range sortedKeys(declared) {
		p := declared[name]
		v, ok := given.Get(name)
		if !ok {
			if !p.HasDefault {
				return nil, fmt.Errorf("parameter '%s' has no value", name)
			}
			v = p.Default
		}
		env := expr.Env{Scope: around, Now: in.Now}
		if around == in.frame && p.Type != typeSecureString {
			in.tracing(what+"."+name, v)
			env = in.env(in.frame, in.frame)
		}
		v, err := env.Evaluate(v)
		if err != nil {
			return nil, err
		}
		if v != nil {
			if v, err = factory.Coerce(p.Type, v); err != nil {
				return nil, fmt.Errorf("parameter '%s': %w", name, err)
			}
		}
		values.Set(name, v)
	}
	return values, nil
}

// definitionScope is what a dataset or linked service sees: its own parameters.
type definitionScope struct {
	function string // in lower case
	values   *expr.Object
}

// Call answers dataset() or linkedService().
func (s definitionScope) Call(function string, _ []expr.Value) (expr.Value, bool, error) {
	return s.values, strings.EqualFold(function, s.function), nil
}
