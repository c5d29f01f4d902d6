package factory

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// decoder reads one file's definition and collects what is wrong with it.
type decoder struct {
	file        string
	diagnostics []flowehr.Diagnostic
}

func (d *decoder) fail(pointer, format string, args ...any) {
	p := flowehr.Errorf(flowehr.Pos{File: d.file}, format, args...)
	p.Pointer = pointer
	d.diagnostics = append(d.diagnostics, p)
}

func (d *decoder) warn(pointer, format string, args ...any) {
	p := flowehr.Warningf(flowehr.Pos{File: d.file}, format, args...)
	p.Pointer = pointer
	d.diagnostics = append(d.diagnostics, p)
}

// child is the pointer of a member: RFC 6901 escapes ~ and /.
func child(pointer string, key any) string {
	text := strings.ReplaceAll(fmt.Sprint(key), "~", "~0")
	return pointer + "/" + strings.ReplaceAll(text, "/", "~1")
}

// wrong reports a member of another type than wanted. A placeholder of an ARM template, which only a deployment fills
// in, is a warning: the definition is kept and what the placeholder stands for is unknown.
func (d *decoder) wrong(pointer, key, want string, v expr.Value) {
	if s, ok := v.(string); ok && strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		d.warn(child(pointer, key), "%s is a placeholder of an ARM template, which is not filled in here", key)
		return
	}
	d.fail(child(pointer, key), "%s must be %s, not %s", key, want, expr.TypeName(v))
}

// The readers below give a member of o in the wanted type. Absent and null are the zero value, another type is a
// diagnostic.

func (d *decoder) object(o *expr.Object, pointer, key string) *expr.Object {
	v, _ := o.Get(key)
	inner, ok := v.(*expr.Object)
	if v != nil && !ok {
		d.wrong(pointer, key, "an object", v)
	}
	return inner
}

func (d *decoder) list(o *expr.Object, pointer, key string) []expr.Value {
	v, _ := o.Get(key)
	inner, ok := v.([]expr.Value)
	if v != nil && !ok {
		d.wrong(pointer, key, "an array", v)
	}
	return inner
}

func (d *decoder) text(o *expr.Object, pointer, key string) string {
	v, _ := o.Get(key)
	s, ok := v.(string)
	if v != nil && !ok {
		d.wrong(pointer, key, "a text", v)
	}
	return s
}

// flag accepts "true" and "false" as text too: real definitions hold them.
func (d *decoder) flag(o *expr.Object, pointer, key string) bool {
	v, _ := o.Get(key)
	if v == nil {
		return false
	}
	b, ok := toBool(v)
	if !ok {
		d.wrong(pointer, key, "true or false", v)
		return false
	}
	return b.(bool)
}

// properties returns the member that holds the definition, with its pointer. A definition without the usual wrapping is
// accepted when it has the member that tells what it is.
func (d *decoder) properties(raw *expr.Object, mark string) (*expr.Object, string) {
	if _, bare := raw.Get(mark); bare {
		if _, wrapped := raw.Get("properties"); !wrapped {
			return raw, ""
		}
	}
	props := d.object(raw, "", "properties")
	if props == nil {
		d.fail("", "the definition has no properties")
	}
	return props, "/properties"
}

// DecodePipeline reads a pipeline in the shape of Data Factory, Synapse or Fabric. name is the name that it is registered
// under, file is where it was read and goes into diagnostics. What cannot be read is left out and reported.
func DecodePipeline(name, file string, raw *expr.Object) (Pipeline, []flowehr.Diagnostic) {
	d := &decoder{file: file}
	props, at := d.properties(raw, "activities")
	p := Pipeline{
		Name: name, Project: defaultProject, File: file, Raw: raw,
		Description: d.text(props, at, "description"),
		Annotations: d.list(props, at, "annotations"),
		Parameters:  d.parameters(props, at),
		Variables:   d.variables(props, at),
	}
	if v, _ := props.Get("concurrency"); v != nil {
		n, ok := toInt(v)
		if limit, _ := n.(int64); ok && limit >= 0 && limit <= 1_000_000 {
			p.Concurrency = int(limit)
		} else {
			d.fail(child(at, "concurrency"), "concurrency must be a whole number that is not negative")
		}
	}
	if dimensions := d.object(props, at, "runDimensions"); dimensions.Len() > 0 {
		p.RunDimensions = map[string]expr.Value{}
		for k, v := range dimensions.All() {
			p.RunDimensions[k] = v
		}
	}
	p.Activities = d.activities(props, at, "activities")
	return p, d.diagnostics
}

func (d *decoder) parameters(props *expr.Object, at string) map[string]Parameter {
	all := map[string]Parameter{}
	defined := d.object(props, at, "parameters")
	at = child(at, "parameters")
	for name, v := range defined.All() {
		def, ok := v.(*expr.Object)
		if !ok {
			d.fail(child(at, name), "parameter %q must be an object with a type", name)
			continue
		}
		written := d.text(def, child(at, name), "type")
		t, known := parameterType(written)
		if !known {
			d.fail(child(at, name)+"/type", "parameter %q has the unknown type %q", name, written)
			continue
		}
		value, has := def.Get("defaultValue")
		all[name] = Parameter{Type: t, Default: value, HasDefault: has}
	}
	return all
}

func (d *decoder) variables(props *expr.Object, at string) map[string]Variable {
	all := map[string]Variable{}
	for name, v := range d.object(props, at, "variables").All() {
		pointer := child(child(at, "variables"), name)
		def, ok := v.(*expr.Object)
		if !ok {
			d.fail(pointer, "variable %q must be an object with a type", name)
			continue
		}
		written := d.text(def, pointer, "type")
		t, known := variableType(written)
		if !known {
			d.fail(pointer+"/type", "variable %q has the unknown type %q", name, written)
			continue
		}
		value, has := def.Get("defaultValue")
		all[name] = Variable{Type: t, Default: value, HasDefault: has}
	}
	return all
}

func (d *decoder) activities(o *expr.Object, at, key string) []Activity {
	var all []Activity
	for i, v := range d.list(o, at, key) {
		pointer := child(child(at, key), i)
		def, ok := v.(*expr.Object)
		if !ok {
			d.fail(pointer, "an activity must be an object, not %s", expr.TypeName(v))
			continue
		}
		all = append(all, d.activity(def, pointer))
	}
	return all
}

func (d *decoder) activity(o *expr.Object, at string) Activity {
	a := Activity{
		Name:          d.text(o, at, "name"),
		Type:          d.text(o, at, "type"),
		Description:   d.text(o, at, "description"),
		LinkedService: d.reference(o, at, "linkedServiceName"),
		Inputs:        d.references(o, at, "inputs"),
		Outputs:       d.references(o, at, "outputs"),
		DependsOn:     d.dependencies(o, at),
		Policy:        d.policy(o, at),
		Pointer:       at,
	}
	if a.Name == "" {
		d.fail(at, "an activity has no name")
	}
	if a.Type == "" {
		d.fail(at, "activity %q has no type", a.Name)
	}
	d.state(&a, o, at)
	for i, v := range d.list(o, at, "userProperties") {
		property, _ := v.(*expr.Object)
		value, _ := property.Get("value")
		if name := d.text(property, child(child(at, "userProperties"), i), "name"); name != "" {
			a.UserProperties = append(a.UserProperties, Property{name, value})
		}
	}
	a.Properties = d.object(o, at, "typeProperties").Clone()
	d.branches(&a, child(at, "typeProperties"))
	return a
}

// state reads whether the activity runs. The service writes Active and Inactive; case is not insisted on.
func (d *decoder) state(a *Activity, o *expr.Object, at string) {
	switch state := d.text(o, at, "state"); strings.ToLower(state) {
	case "", "active":
		return
	case "inactive":
		a.Inactive = true
	default:
		d.fail(at+"/state", "state of activity %q is %q; it can be Active or Inactive", a.Name, state)
		return
	}
	mark := d.text(o, at, "onInactiveMarkAs")
	a.InactiveMark = canonical(mark, string(Succeeded), string(Failed), string(Skipped))
	switch {
	case mark == "":
		a.InactiveMark = string(Succeeded)
	case a.InactiveMark == "":
		d.fail(at+"/onInactiveMarkAs", "onInactiveMarkAs of activity %q is %q; it can be Succeeded, Failed or Skipped", a.Name, mark)
	}
}

// canonical returns the one of the spellings that s has when case is ignored, else "".
func canonical(s string, spellings ...string) string {
	i := slices.IndexFunc(spellings, func(c string) bool { return strings.EqualFold(c, s) })
	if i < 0 {
		return ""
	}
	return spellings[i]
}

func (d *decoder) dependencies(o *expr.Object, at string) []Dependency {
	var all []Dependency
	for i, v := range d.list(o, at, "dependsOn") {
		pointer := child(child(at, "dependsOn"), i)
		entry, ok := v.(*expr.Object)
		if !ok {
			d.fail(pointer, "an entry of dependsOn must be an object, not %s", expr.TypeName(v))
			continue
		}
		dep := Dependency{Activity: d.text(entry, pointer, "activity")}
		for j, c := range d.list(entry, pointer, "dependencyConditions") {
			written, _ := c.(string)
			condition := canonical(written, string(Succeeded), string(Failed), string(Skipped), Completed)
			if condition == "" {
				d.fail(child(pointer+"/dependencyConditions", j),
					"%q is no dependency condition; these are Succeeded, Failed, Skipped and Completed", expr.Text(c))
				continue
			}
			dep.Conditions = append(dep.Conditions, condition)
		}
		if len(dep.Conditions) == 0 {
			dep.Conditions = []string{string(Succeeded)}
		}
		all = append(all, dep)
	}
	return all
}

func (d *decoder) policy(o *expr.Object, at string) Policy {
	policy := d.object(o, at, "policy")
	at = child(at, "policy")
	p := Policy{SecureInput: d.flag(policy, at, "secureInput"), SecureOutput: d.flag(policy, at, "secureOutput")}
	p.Timeout, _ = policy.Get("timeout")
	p.Retry, _ = policy.Get("retry")
	p.RetryInterval, _ = policy.Get("retryIntervalInSeconds")
	return p
}

// branches takes the bodies of a container out of its properties.
func (d *decoder) branches(a *Activity, at string) {
	add := func(name, key string, isDefault bool) {
		if _, present := a.Properties.Get(key); present || name == "" && !isDefault {
			a.Branches = append(a.Branches, Branch{Name: name, Default: isDefault, Activities: d.activities(a.Properties, at, key)})
			a.Properties.Delete(key)
		}
	}
	switch a.Type {
	case "ForEach", "Until":
		add("", "activities", false)
	case "IfCondition":
		add("true", "ifTrueActivities", false)
		add("false", "ifFalseActivities", false)
	case "Switch":
		for i, v := range d.list(a.Properties, at, "cases") {
			pointer := child(child(at, "cases"), i)
			c, ok := v.(*expr.Object)
			if !ok {
				d.fail(pointer, "a case of a Switch must be an object, not %s", expr.TypeName(v))
				continue
			}
			value, _ := c.Get("value")
			a.Branches = append(a.Branches, Branch{Name: expr.Text(value), Activities: d.activities(c, pointer, "activities")})
		}
		a.Properties.Delete("cases")
		add("", "defaultActivities", true)
	}
}

func (d *decoder) reference(o *expr.Object, at, key string) *Reference {
	ref := d.object(o, at, key)
	if ref == nil {
		return nil
	}
	r := d.readReference(ref, child(at, key))
	return &r
}

func (d *decoder) references(o *expr.Object, at, key string) []Reference {
	var all []Reference
	for i, v := range d.list(o, at, key) {
		pointer := child(child(at, key), i)
		ref, ok := v.(*expr.Object)
		if !ok {
			d.fail(pointer, "a reference must be an object, not %s", expr.TypeName(v))
			continue
		}
		all = append(all, d.readReference(ref, pointer))
	}
	return all
}

func (d *decoder) readReference(o *expr.Object, at string) Reference {
	r := Reference{Name: d.text(o, at, "referenceName"), Type: d.text(o, at, "type"), Parameters: d.object(o, at, "parameters")}
	if r.Name == "" {
		d.fail(at, "a reference has no referenceName")
	}
	return r
}

// DecodeDataset reads a dataset. fallback is its name when the definition holds none.
func DecodeDataset(fallback, file string, raw *expr.Object) (Dataset, []flowehr.Diagnostic) {
	d := &decoder{file: file}
	props, at := d.properties(raw, "linkedServiceName")
	ds := Dataset{
		Name: d.name(raw, fallback), Type: d.text(props, at, "type"), Parameters: d.parameters(props, at),
		Properties: d.object(props, at, "typeProperties").Clone(), File: file, Raw: raw,
	}
	if ref := d.reference(props, at, "linkedServiceName"); ref != nil {
		ds.LinkedService = *ref
	} else {
		d.fail(at, "dataset %q has no linkedServiceName", ds.Name)
	}
	ds.Schema, _ = props.Get("schema")
	if ds.Schema == nil {
		ds.Schema, _ = props.Get("structure")
	}
	return ds, d.diagnostics
}

// DecodeLinkedService reads a linked service.
func DecodeLinkedService(fallback, file string, raw *expr.Object) (LinkedService, []flowehr.Diagnostic) {
	d := &decoder{file: file}
	props, at := d.properties(raw, "typeProperties")
	return LinkedService{
		Name: d.name(raw, fallback), Type: d.text(props, at, "type"), Parameters: d.parameters(props, at),
		Properties: d.object(props, at, "typeProperties").Clone(), File: file, Raw: raw,
	}, d.diagnostics
}

func (d *decoder) name(raw *expr.Object, fallback string) string {
	if name := d.text(raw, "", "name"); name != "" {
		return name
	}
	return fallback
}

// DecodeTrigger reads a trigger. Its pipelines are the list "pipelines" or the single "pipeline".
func DecodeTrigger(fallback, file string, raw *expr.Object) (Trigger, []flowehr.Diagnostic) {
	d := &decoder{file: file}
	props, at := d.properties(raw, "typeProperties")
	t := Trigger{
		Name: d.name(raw, fallback), Type: d.text(props, at, "type"),
		Started:     strings.EqualFold(d.text(props, at, "runtimeState"), "Started"),
		Annotations: d.list(props, at, "annotations"),
		Properties:  d.object(props, at, "typeProperties").Clone(), File: file, Raw: raw,
	}
	for i, v := range d.list(props, at, "pipelines") {
		d.triggered(&t, v, child(child(at, "pipelines"), i))
	}
	if one := d.object(props, at, "pipeline"); one.Len() > 0 {
		d.triggered(&t, one, child(at, "pipeline"))
	}
	return t, d.diagnostics
}

func (d *decoder) triggered(t *Trigger, v expr.Value, at string) {
	o, ok := v.(*expr.Object)
	if !ok {
		d.fail(at, "a pipeline of a trigger must be an object, not %s", expr.TypeName(v))
		return
	}
	ref := d.reference(o, at, "pipelineReference")
	if ref == nil {
		d.fail(at, "a pipeline of trigger %q has no pipelineReference", t.Name)
		return
	}
	t.Pipelines = append(t.Pipelines, TriggeredPipeline{Name: ref.Name, Parameters: d.object(o, at, "parameters")})
}
