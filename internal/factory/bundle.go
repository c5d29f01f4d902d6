package factory

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// defaultProject owns the pipelines of no other project.
const defaultProject = "main"

// Encode writes the bundle as canonical JSON: the definitions as they were written, wrapped with what the folder says.
// Equal bundles give equal bytes. A pipeline, trigger, dataset or linked service without its Raw definition is an error.
func (b Bundle) Encode() ([]byte, error) {
	if b.Pipeline.Raw == nil {
		return nil, fmt.Errorf("pipeline %q has no definition to write", b.Pipeline.Name)
	}
	triggers := []expr.Value{}
	for _, t := range b.Triggers {
		if t.Raw == nil {
			return nil, fmt.Errorf("trigger %q has no definition to write", t.Name)
		}
		written := item(t.Name, t.File, t.Raw)
		written.Set("pointer", t.Pointer)
		triggers = append(triggers, written)
	}
	datasets := []expr.Value{}
	for _, name := range slices.Sorted(maps.Keys(b.Datasets)) {
		d := b.Datasets[name]
		if d.Raw == nil {
			return nil, fmt.Errorf("dataset %q has no definition to write", name)
		}
		datasets = append(datasets, item(name, d.File, d.Raw))
	}
	services := []expr.Value{}
	for _, name := range slices.Sorted(maps.Keys(b.LinkedServices)) {
		l := b.LinkedServices[name]
		if l.Raw == nil {
			return nil, fmt.Errorf("linked service %q has no definition to write", name)
		}
		services = append(services, item(name, l.File, l.Raw))
	}
	o := expr.NewObject()
	o.Set("dir", b.Dir)
	o.Set("project", b.Pipeline.Project)
	o.Set("pipeline", item(b.Pipeline.Name, b.Pipeline.File, b.Pipeline.Raw))
	o.Set("triggers", triggers)
	o.Set("datasets", datasets)
	o.Set("linkedServices", services)
	o.Set("globals", sortedObject(b.Globals))
	o.Set("references", sortedObject(b.References))
	return expr.EncodeJSON(o), nil
}

func item(name, file string, raw *expr.Object) *expr.Object {
	o := expr.NewObject()
	o.Set("name", name)
	o.Set("file", file)
	o.Set("definition", raw)
	return o
}

func sortedObject[V any](m map[string]V) *expr.Object {
	o := expr.NewObject()
	for _, k := range slices.Sorted(maps.Keys(m)) {
		o.Set(k, m[k])
	}
	return o
}

// DecodeBundle reads what Encode wrote. Definitions that cannot be read are an error with every problem.
func DecodeBundle(data []byte) (Bundle, error) {
	v, err := expr.DecodeJSON(data)
	if err != nil {
		return Bundle{}, fmt.Errorf("read pipeline bundle: %w", err)
	}
	o, ok := v.(*expr.Object)
	if !ok {
		return Bundle{}, fmt.Errorf("read pipeline bundle: %s where an object is expected", expr.TypeName(v))
	}
	r := &bundleReader{}
	b := r.bundle(o)
	if r.err != nil {
		return Bundle{}, fmt.Errorf("read pipeline bundle: %w", r.err)
	}
	if flowehr.HasErrors(r.diagnostics) {
		return Bundle{}, flowehr.DiagnosticsError{Diagnostics: r.diagnostics}
	}
	return b, nil
}

// bundleReader keeps the first fault of the wrapping and all diagnostics of the definitions.
type bundleReader struct {
	diagnostics []flowehr.Diagnostic
	err         error
}

func (r *bundleReader) bundle(o *expr.Object) Bundle {
	b := Bundle{
		Dir: r.text(o, "dir"), Datasets: map[string]Dataset{}, LinkedServices: map[string]LinkedService{},
		Globals: map[string]expr.Value{}, References: map[string]string{},
	}
	pipeline, _ := o.Get("pipeline")
	name, file, raw := r.item(pipeline)
	p, found := DecodePipeline(name, file, raw)
	r.add(found)
	b.Pipeline = p
	b.Pipeline.Project = r.text(o, "project")
	for _, v := range r.list(o, "triggers") {
		name, file, raw := r.item(v)
		decoded, found := DecodeTrigger(name, file, raw)
		r.add(found)
		wrapping, _ := v.(*expr.Object)
		decoded.Pointer = r.text(wrapping, "pointer")
		b.Triggers = append(b.Triggers, decoded)
	}
	for _, v := range r.list(o, "datasets") {
		name, file, raw := r.item(v)
		decoded, found := DecodeDataset(name, file, raw)
		r.add(found)
		b.Datasets[name] = decoded
	}
	for _, v := range r.list(o, "linkedServices") {
		name, file, raw := r.item(v)
		decoded, found := DecodeLinkedService(name, file, raw)
		r.add(found)
		b.LinkedServices[name] = decoded
	}
	globals, _ := o.Get("globals")
	values, _ := globals.(*expr.Object)
	for k, v := range values.All() {
		b.Globals[k] = v
	}
	references, _ := o.Get("references")
	names, _ := references.(*expr.Object)
	for k := range names.All() {
		b.References[k] = r.text(names, k)
	}
	return b
}

func (r *bundleReader) add(ds []flowehr.Diagnostic) { r.diagnostics = append(r.diagnostics, ds...) }

func (r *bundleReader) text(o *expr.Object, key string) string {
	v, _ := o.Get(key)
	s, ok := v.(string)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("%q is not a text", key)
	}
	return s
}

func (r *bundleReader) list(o *expr.Object, key string) []expr.Value {
	v, _ := o.Get(key)
	list, ok := v.([]expr.Value)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("%q is not an array", key)
	}
	return list
}

func (r *bundleReader) item(v expr.Value) (name, file string, raw *expr.Object) {
	o, _ := v.(*expr.Object)
	definition, _ := o.Get("definition")
	raw, ok := definition.(*expr.Object)
	if !ok && r.err == nil {
		r.err = fmt.Errorf("a definition is missing")
	}
	return r.text(o, "name"), r.text(o, "file"), raw
}

// Digest is the SHA-256 of the encoded bundle in hex, or "" for a bundle that cannot be encoded.
func (b Bundle) Digest() string {
	data, err := b.Encode()
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// PipelineName is the registered name of a pipeline that the definition refers to as ref: definitions may use the name
// of the folder or the name inside the definition.
func (b Bundle) PipelineName(ref string) string {
	if name, ok := b.References[ref]; ok {
		return name
	}
	return ref
}

// Walk calls visit for every activity, those of bodies after their container. ancestors are the containers around it,
// outermost first.
func Walk(acts []Activity, visit func(a Activity, ancestors []Activity)) { walk(acts, nil, visit) }

func walk(acts, ancestors []Activity, visit func(Activity, []Activity)) {
	for _, a := range acts {
		visit(a, ancestors)
		inner := append(slices.Clip(ancestors), a)
		for _, b := range a.Branches {
			walk(b.Activities, inner, visit)
		}
	}
}
