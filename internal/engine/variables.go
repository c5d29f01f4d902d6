package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// returnVariable is the name under which SetVariable fills the return value of a pipeline.
const returnVariable = "pipelineReturnValue"

// initVariables gives the variables of the run their initial values and then what the history says.
func (r *run) initVariables() error {
	r.variables = make(map[string]expr.Value, len(r.def.Pipeline.Variables))
	for name, d := range r.def.Pipeline.Variables {
		v, err := factory.InitialVariable(d)
		if err != nil {
			return fmt.Errorf("variable %q: %w", name, err)
		}
		r.variables[name] = v
	}
	for _, c := range r.past.changes {
		v, err := decodeValue(c.Value)
		if err != nil {
			return fmt.Errorf("variable %q: %w", c.Name, err)
		}
		if c.Append {
			list, _ := r.variables[c.Name].([]expr.Value)
			v = append(list, v)
		}
		r.variables[c.Name] = v
	}
	if r.past.returned != nil {
		o, err := decodeObject(r.past.returned)
		if err != nil {
			return fmt.Errorf("return value: %w", err)
		}
		r.returned = o
	}
	return nil
}

func (r *run) variable(name string) (expr.Value, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, known := r.variables[name]
	if !known {
		return nil, fmt.Errorf("the variable '%s' is not defined in the pipeline", name)
	}
	if list, ok := v.([]expr.Value); ok {
		return slices.Clip(list), nil // appending to the variable never writes into what a reader holds
	}
	return v, nil
}

// selfScope refuses a variable in the expression that sets it.
type selfScope struct {
	*frame
	variable string
}

// Call is that of the frame, but for the variable itself.
func (s selfScope) Call(function string, args []expr.Value) (expr.Value, bool, error) {
	if function == "variables" && len(args) == 1 && args[0] == s.variable {
		return nil, true, errors.New("The expression contains self referencing variable. A variable cannot reference itself in the expression.")
	}
	return s.frame.Call(function, args)
}

// setVariable gives a variable its value. The value and the end of the activity are one event.
func (in *instanceRun) setVariable() *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	name, failure := in.variableName()
	if failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	system, _ := in.a.Properties.Lookup("setSystemVariable")
	if yes, _ := truth(system); yes || (name == returnVariable && !in.declares(name)) {
		return in.setReturn(name)
	}
	raw, _ := in.a.Properties.Lookup("value")
	in.tracing("value", raw)
	v, err := in.env(in.frame, selfScope{in.frame, name}).Evaluate(raw)
	if err != nil {
		return in.failWith(0, in.invalid(err), nil, in.facts())
	}
	declared, known := in.def.Pipeline.Variables[name]
	if !known {
		return in.failWith(0, in.undefined(name), nil, in.facts())
	}
	if err := factory.CheckVariable(declared.Type, v); err != nil {
		return in.failWith(0, in.userFailure("InvalidVariableType", "%s", err.Error()), nil, in.facts())
	}
	f := in.facts()
	f.Variable, f.Value, f.setsVariable = name, v, true
	return in.assign(f, nameValue(name, v), func() { in.variables[name] = v })
}

// assign changes a variable and pushes the event that says so in one step, so that the order of changes is the order of
// events.
func (in *instanceRun) assign(f facts, output *expr.Object, change func()) *outcome {
	f.Output, f.hasOutput = output, true
	f.Input, f.hasInput = output, true
	in.mu.Lock()
	change()
	in.push(in.path, evSucceeded, 0, f, false)
	in.mu.Unlock()
	return in.ended(factory.Succeeded, output, nil)
}

// appendVariable adds an element to an array. In a parallel loop the order is not defined, but nothing is lost.
func (in *instanceRun) appendVariable() *outcome {
	if failure := in.begin(); failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	name, failure := in.variableName()
	if failure != nil {
		return in.failWith(0, failure, nil, in.facts())
	}
	v, err := in.property("value")
	if err != nil {
		return in.failWith(0, in.invalid(err), nil, in.facts())
	}
	declared, known := in.def.Pipeline.Variables[name]
	if !known {
		return in.failWith(0, in.undefined(name), nil, in.facts())
	}
	if declared.Type != "Array" {
		return in.failWith(0, in.userFailure("InvalidVariableType",
			"The variable '%s' is of type '%s'. Only a variable of type 'Array' can be appended to.", name, declared.Type), nil, in.facts())
	}
	f := in.facts()
	f.Variable, f.Value, f.setsVariable, f.Append = name, v, true, true
	return in.assign(f, nameValue(name, v), func() {
		list, _ := in.variables[name].([]expr.Value)
		in.variables[name] = append(list, v)
	})
}

func (in *instanceRun) variableName() (string, *Failure) {
	v, err := in.property("variableName")
	if err != nil {
		return "", in.invalid(err)
	}
	name, _ := v.(string)
	if name == "" {
		return "", in.userFailure(expr.CodeInvalidTemplate, "The activity '%s' names no variable.", in.a.Name)
	}
	return name, nil
}

func (in *instanceRun) declares(name string) bool {
	_, known := in.def.Pipeline.Variables[name]
	return known
}

func (in *instanceRun) undefined(name string) *Failure {
	return in.userFailure(expr.CodeInvalidTemplate, "The variable '%s' is not defined in the pipeline.", name)
}

func nameValue(name string, v expr.Value) *expr.Object {
	o := expr.NewObject()
	o.Set("name", name)
	o.Set("value", v)
	return o
}

// setReturn replaces the return value of the pipeline by a list of typed values.
func (in *instanceRun) setReturn(name string) *outcome {
	raw, _ := in.a.Properties.Lookup("value")
	in.tracing("value", raw)
	o, err := in.typedObject(raw)
	if err != nil {
		return in.failWith(0, in.invalid(err), nil, in.facts())
	}
	f := in.facts()
	f.Return = o
	return in.assign(f, nameValue(name, o), func() { in.returned = o })
}

// typedObject reads [{key, value: {type, content}}].
func (in *instanceRun) typedObject(raw expr.Value) (*expr.Object, error) {
	if _, isText := raw.(string); isText {
		v, err := in.evaluate(in.frame, raw)
		if err != nil {
			return nil, err
		}
		raw = v
	}
	if o, ok := raw.(*expr.Object); ok {
		return objectIn(in.env(in.frame, in.frame), o)
	}
	list, ok := raw.([]expr.Value)
	if !ok {
		return nil, fmt.Errorf("a return value is a list of keys and values, not '%s'", expr.TypeName(raw))
	}
	out := expr.NewObject()
	for _, element := range list {
		pair, _ := element.(*expr.Object)
		key, _ := pair.Lookup("key")
		text, _ := key.(string)
		typed, has := pair.Lookup("value")
		if text == "" || !has {
			return nil, errors.New("an entry of a return value needs a key and a value")
		}
		v, err := in.typedValue(typed)
		if err != nil {
			return nil, fmt.Errorf("return value '%s': %w", text, err)
		}
		out.Set(text, v)
	}
	return out, nil
}

func (in *instanceRun) typedValue(raw expr.Value) (expr.Value, error) {
	o, ok := raw.(*expr.Object)
	if !ok {
		return in.evaluate(in.frame, raw)
	}
	kind, _ := o.Lookup("type")
	content, _ := o.Lookup("content")
	switch kind {
	case "Null":
		return nil, nil
	case "Object":
		return in.typedObject(content)
	case "Array":
		list, ok := content.([]expr.Value)
		if !ok {
			return in.evaluate(in.frame, content)
		}
		out := make([]expr.Value, 0, len(list))
		for _, element := range list {
			v, err := in.typedValue(element)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	}
	v, err := in.evaluate(in.frame, content)
	if err != nil {
		return nil, err
	}
	switch kind {
	case "Boolean":
		return factory.Coerce("Bool", v)
	case "Int", "Float", "String":
		return factory.Coerce(kind.(string), v)
	case "Expression", nil:
		return v, nil
	}
	return nil, fmt.Errorf("unknown type '%s'", expr.Text(kind))
}
