package factory

import (
	"maps"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// referenced checks an activity's references to datasets and linked services, wherever they stand.
func (v *validator) referenced(a Activity, s scope) {
	if a.LinkedService != nil {
		v.reference(*a.LinkedService, a.Pointer+"/linkedServiceName", s)
	}
	for i, r := range a.Inputs {
		v.reference(r, child(a.Pointer+"/inputs", i), s)
	}
	for i, r := range a.Outputs {
		v.reference(r, child(a.Pointer+"/outputs", i), s)
	}
	v.embedded(a.Properties, a.Pointer+"/typeProperties")
}

// reference checks one reference with the expressions in its parameters.
func (v *validator) reference(r Reference, pointer string, s scope) {
	v.expressions(r.Parameters, pointer+"/parameters", s)
	v.target(r, pointer)
}

// embedded checks references inside of properties, whose expressions are checked elsewhere.
func (v *validator) embedded(value expr.Value, pointer string) {
	switch value := value.(type) {
	case []expr.Value:
		for i, e := range value {
			v.embedded(e, child(pointer, i))
		}
	case *expr.Object:
		name, _ := first(value, "referenceName").(string)
		kind, _ := first(value, "type").(string)
		if name != "" {
			parameters, _ := first(value, "parameters").(*expr.Object)
			v.target(Reference{Name: name, Type: kind, Parameters: parameters}, pointer)
		}
		for k, e := range value.All() {
			v.embedded(e, child(pointer, k))
		}
	}
}

// target checks that what a reference names exists and gets its parameters.
func (v *validator) target(r Reference, pointer string) {
	if x, err := expr.Parse(r.Name); x != nil || err != nil {
		return // only a run can tell
	}
	switch r.Type {
	case "DatasetReference":
		d, ok := v.bundle.Datasets[r.Name]
		if !ok {
			v.fail(pointer, "there is no dataset %q", r.Name)
			return
		}
		v.arguments("dataset", r, d.Parameters, pointer)
	case "LinkedServiceReference":
		s, ok := v.bundle.LinkedServices[r.Name]
		if ok {
			v.arguments("linked service", r, s.Parameters, pointer)
			return
		}
		if v.known.LinkedServices != nil && !v.known.LinkedServices[r.Name] {
			v.fail(pointer, "there is no linked service %q", r.Name)
			last := &v.diagnostics[len(v.diagnostics)-1]
			*last = last.With("Give it a local counterpart under local.linked_services in the environment's configuration.")
		}
	}
}

// arguments compares the parameters of a reference with those that its target declares.
func (v *validator) arguments(what string, r Reference, declared map[string]Parameter, pointer string) {
	for name, p := range declared {
		if _, given := r.Parameters.Lookup(name); !given && !p.HasDefault {
			v.fail(pointer, "%s %q needs the parameter %q", what, r.Name, name)
		}
	}
	for _, name := range r.Parameters.Keys() {
		if _, ok := lookup(declared, name); !ok {
			v.warn(child(pointer+"/parameters", name), "%s %q has no parameter %q", what, r.Name, name)
		}
	}
}

// connections checks the datasets and linked services of the bundle in their own files.
func (v *validator) connections() {
	pipelineFile := v.file
	defer func() { v.file = pipelineFile }()
	for _, name := range slices.Sorted(maps.Keys(v.bundle.Datasets)) {
		d := v.bundle.Datasets[name]
		v.file = d.File
		s := scope{dataset: d.Parameters}
		if d.LinkedService.Name != "" {
			v.reference(d.LinkedService, "/properties/linkedServiceName", s)
		}
		v.expressions(d.Properties, "/properties/typeProperties", s)
	}
	for _, name := range slices.Sorted(maps.Keys(v.bundle.LinkedServices)) {
		l := v.bundle.LinkedServices[name]
		v.file = l.File
		v.embedded(l.Properties, "/properties/typeProperties")
		v.expressions(l.Properties, "/properties/typeProperties", scope{service: l.Parameters})
		v.secrets(l)
	}
}

// secrets warns of passwords in clear text. It does not repeat them.
func (v *validator) secrets(l LinkedService) {
	for key, value := range l.Properties.All() {
		text, ok := value.(string)
		if !ok || text == "" || strings.Contains(text, "@{") || strings.HasPrefix(text, "@") {
			continue
		}
		lowerKey, lower := strings.ToLower(key), strings.ToLower(strings.ReplaceAll(text, " ", ""))
		secretKey := strings.Contains(lowerKey, "password") || strings.HasSuffix(lowerKey, "key") || strings.Contains(lowerKey, "secret") ||
			lowerKey == "accesstoken" || lowerKey == "sastoken"
		if secretKey || strings.Contains(lower, "password=") || strings.Contains(lower, "accountkey=") || strings.Contains(lower, "pwd=") {
			v.warn(child("/properties/typeProperties", key), "linked service %q seems to hold a secret in clear text", l.Name)
		}
	}
}
