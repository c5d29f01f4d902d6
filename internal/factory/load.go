package factory

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Factory is everything that Load found: one bundle for each pipeline, ordered by name.
type Factory struct {
	Bundles []Bundle
	Globals map[string]expr.Value
}

// Bundle returns the bundle of the pipeline with this registered name, else with this name inside its definition.
func (f *Factory) Bundle(name string) (Bundle, bool) {
	for _, b := range f.Bundles {
		if b.Pipeline.Name == name {
			return b, true
		}
	}
	for _, b := range f.Bundles {
		if inner, _ := b.Pipeline.Raw.Get("name"); inner == name {
			return b, true
		}
	}
	return Bundle{}, false
}

// Pipelines is the set of registered names, as [Known] wants it.
func (f *Factory) Pipelines() map[string]bool {
	names := map[string]bool{}
	for _, b := range f.Bundles {
		names[b.Pipeline.Name] = true
	}
	return names
}

// Load finds all definitions below dir and closes each pipeline over what it refers to. It understands
//
//   - a folder with pipeline.json, and trigger.json (one trigger or an array), dataset/ and linkedService/ beside it; the
//     pipeline is registered under the name of the folder. A file "project" in the folder holds the id of its project;
//   - the git layout of Data Factory and Synapse: pipeline/, trigger/, dataset/, linkedService/ and factory/, one object a
//     file, registered under its name;
//   - Fabric's <name>.DataPipeline/pipeline-content.json.
//
// Datasets and linked services are shared by name across the whole tree. All problems are reported together; what could
// be read is returned with them.
func Load(fsys fs.FS, dir string) (*Factory, []flowehr.Diagnostic) {
	l := &loader{fsys: fsys, factory: &Factory{Globals: map[string]expr.Value{}},
		datasets: map[string]Dataset{}, services: map[string]LinkedService{}}
	if err := fs.WalkDir(fsys, dir, l.visit); err != nil {
		l.add(flowehr.Errorf(flowehr.Pos{File: dir}, "the folder of pipelines cannot be read: %v", err))
	}
	l.close()
	Locate(fsys, l.diagnostics)
	flowehr.SortDiagnostics(l.diagnostics)
	return l.factory, l.diagnostics
}

type loader struct {
	fsys        fs.FS
	factory     *Factory
	triggers    []Trigger
	datasets    map[string]Dataset
	services    map[string]LinkedService
	diagnostics []flowehr.Diagnostic
}

func (l *loader) add(ds ...flowehr.Diagnostic) { l.diagnostics = append(l.diagnostics, ds...) }

func (l *loader) visit(name string, entry fs.DirEntry, err error) error {
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && entry == nil {
			return fs.SkipAll // no folder of pipelines: there are none
		}
		return err
	}
	base, folder := path.Base(name), path.Dir(name)
	if entry.IsDir() {
		hidden := strings.HasPrefix(base, ".") && base != "."
		if hidden || base == "artifacts" || base == "node_modules" || base == "__pycache__" {
			return fs.SkipDir
		}
		return nil
	}
	switch kind := path.Base(folder); {
	case base == "pipeline.json":
		l.pipeline(name, kind, folder)
	case base == "trigger.json":
		l.trigger(name, kind)
	case base == "pipeline-content.json":
		l.pipeline(name, strings.TrimSuffix(kind, ".DataPipeline"), folder)
	case path.Ext(base) != ".json":
	case kind == "pipeline":
		l.pipeline(name, "", path.Dir(folder))
	case kind == "trigger":
		l.trigger(name, strings.TrimSuffix(base, ".json"))
	case kind == "dataset":
		l.dataset(name)
	case kind == "linkedService":
		l.linkedService(name)
	case kind == "factory":
		l.globals(name)
	}
	return nil
}

// read decodes a JSON file; what is no JSON is reported.
func (l *loader) read(name string) (expr.Value, bool) {
	data, err := fs.ReadFile(l.fsys, name)
	if err != nil {
		l.add(flowehr.Errorf(flowehr.Pos{File: name}, "the definition cannot be read: %v", err))
		return nil, false
	}
	v, err := expr.DecodeJSON(data)
	if err != nil {
		pos := flowehr.Pos{File: name}
		if syntax, ok := errors.AsType[*expr.SyntaxError](err); ok {
			pos.Line, pos.Column = syntax.Line, syntax.Column
			err = errors.New(syntax.Message)
		}
		l.add(flowehr.Errorf(pos, "the definition is not valid JSON: %v", err))
		return nil, false
	}
	return v, true
}

func (l *loader) readObject(name string) (*expr.Object, bool) {
	v, ok := l.read(name)
	if !ok {
		return nil, false
	}
	o, ok := v.(*expr.Object)
	if !ok {
		l.add(flowehr.Errorf(flowehr.Pos{File: name, Line: 1, Column: 1}, "the definition must be a JSON object, not %s", expr.TypeName(v)))
	}
	return o, ok
}

// pipeline registers the definition in file under name, or under the name that it holds when name is empty.
func (l *loader) pipeline(file, name, dir string) {
	raw, ok := l.readObject(file)
	if !ok {
		return
	}
	if _, definition := raw.Get("properties"); name == "" && !definition {
		return // a folder "pipeline" may hold other JSON as well
	}
	if name == "" {
		name = strings.TrimSuffix(path.Base(file), ".json")
		if inner, _ := raw.Get("name"); inner != nil {
			name = expr.Text(inner)
		}
	}
	for _, b := range l.factory.Bundles {
		if strings.EqualFold(b.Pipeline.Name, name) {
			l.add(flowehr.Errorf(flowehr.Pos{File: file, Line: 1, Column: 1}, "there are two pipelines %q", name).
				With("The other one is %s. The name of a pipeline is the name of its folder, and names must differ by more than case.",
					b.Pipeline.File))
			return
		}
	}
	p, ds := DecodePipeline(name, file, raw)
	l.add(ds...)
	p.Project = l.project(dir)
	l.factory.Bundles = append(l.factory.Bundles, Bundle{Pipeline: p, Dir: dir})
}

// project reads the id of the project that a folder's pipelines belong to.
func (l *loader) project(dir string) string {
	file := path.Join(dir, "project")
	data, err := fs.ReadFile(l.fsys, file)
	if err != nil {
		return defaultProject // no such file, or a folder of that name
	}
	id := string(bytes.TrimSpace(data))
	if id == "" || strings.ContainsAny(id, " \t\r\n/\\") {
		l.add(flowehr.Errorf(flowehr.Pos{File: file, Line: 1, Column: 1}, "the file must hold the id of a project and nothing else"))
		return defaultProject
	}
	return id
}

func (l *loader) trigger(file, fallback string) {
	v, ok := l.read(file)
	if !ok {
		return
	}
	list, several := v.([]expr.Value)
	if !several {
		list = []expr.Value{v}
	}
	for i, entry := range list {
		raw, ok := entry.(*expr.Object)
		if !ok {
			d := flowehr.Errorf(flowehr.Pos{File: file}, "a trigger must be a JSON object, not %s", expr.TypeName(entry))
			d.Pointer = child("", i)
			l.add(d)
			continue
		}
		t, ds := DecodeTrigger(fallback, file, raw)
		if several {
			t.Pointer = child("", i)
		}
		for j := range ds {
			ds[j].Pointer = t.Pointer + ds[j].Pointer
		}
		l.add(ds...)
		l.triggers = append(l.triggers, t)
	}
}

func (l *loader) dataset(file string) {
	raw, ok := l.readObject(file)
	if !ok {
		return
	}
	d, ds := DecodeDataset(strings.TrimSuffix(path.Base(file), ".json"), file, raw)
	l.add(ds...)
	if other, again := l.datasets[d.Name]; again {
		l.sameContent("datasets", d.Name, file, raw, other.File, other.Raw)
		return
	}
	l.datasets[d.Name] = d
}

func (l *loader) linkedService(file string) {
	raw, ok := l.readObject(file)
	if !ok {
		return
	}
	s, ds := DecodeLinkedService(strings.TrimSuffix(path.Base(file), ".json"), file, raw)
	l.add(ds...)
	if other, again := l.services[s.Name]; again {
		l.sameContent("linked services", s.Name, file, raw, other.File, other.Raw)
		return
	}
	l.services[s.Name] = s
}

func (l *loader) sameContent(what, name, file string, raw *expr.Object, otherFile string, other *expr.Object) {
	if expr.Equal(raw, other) {
		return
	}
	l.add(flowehr.Errorf(flowehr.Pos{File: file, Line: 1, Column: 1}, "there are two %s %q that differ", what, name).
		With("The other one is %s. Names are shared by all pipelines, as in a Data Factory.", otherFile))
}

func (l *loader) globals(file string) {
	raw, ok := l.readObject(file)
	if !ok {
		return
	}
	d := &decoder{file: file}
	props := d.object(raw, "", "properties")
	for name, v := range d.object(props, "/properties", "globalParameters").All() {
		def, _ := v.(*expr.Object)
		value, has := def.Get("value")
		if !has {
			d.fail(child("/properties/globalParameters", name), "global parameter %q has no value", name)
			continue
		}
		l.factory.Globals[name] = value
	}
	l.add(d.diagnostics...)
}

// close gives every bundle what its definitions refer to.
func (l *loader) close() {
	slices.SortFunc(l.factory.Bundles, func(a, b Bundle) int { return cmp.Compare(a.Pipeline.Name, b.Pipeline.Name) })
	for i := range l.factory.Bundles {
		b := &l.factory.Bundles[i]
		b.Datasets, b.LinkedServices = map[string]Dataset{}, map[string]LinkedService{}
		b.Globals, b.References = map[string]expr.Value{}, map[string]string{}
		for name, v := range l.factory.Globals {
			b.Globals[name] = v
		}
		l.reach(b, b.Pipeline.Raw)
	}
	seen := map[string]string{}
	for _, t := range l.triggers {
		if other, again := seen[strings.ToLower(t.Name)]; again {
			l.add(flowehr.Errorf(flowehr.Pos{File: t.File, Line: 1, Column: 1}, "there are two triggers %q", t.Name).
				With("The other one is in %s.", other))
			continue
		}
		seen[strings.ToLower(t.Name)] = t.File
		l.attach(t)
	}
}

// reach adds what v refers to, and what that refers to.
func (l *loader) reach(b *Bundle, v expr.Value) {
	for _, ref := range references(v) {
		switch ref.Type {
		case "DatasetReference":
			d, ok := l.datasets[ref.Name]
			if _, known := b.Datasets[ref.Name]; ok && !known {
				b.Datasets[ref.Name] = d
				l.reach(b, d.Raw)
			}
		case "LinkedServiceReference":
			s, ok := l.services[ref.Name]
			if _, known := b.LinkedServices[ref.Name]; ok && !known {
				b.LinkedServices[ref.Name] = s
				l.reach(b, s.Raw)
			}
		case "PipelineReference":
			l.refer(b, ref.Name)
		}
	}
}

// refer remembers the registered name of a pipeline that is referred to by the name in its definition.
func (l *loader) refer(b *Bundle, ref string) {
	if target, ok := l.factory.Bundle(ref); ok && target.Pipeline.Name != ref {
		b.References[ref] = target.Pipeline.Name
	}
}

// references lists every reference object in v.
func references(v expr.Value) []Reference {
	var all []Reference
	switch v := v.(type) {
	case []expr.Value:
		for _, e := range v {
			all = append(all, references(e)...)
		}
	case *expr.Object:
		name, _ := v.Get("referenceName")
		kind, _ := v.Get("type")
		if text, ok := name.(string); ok {
			all = append(all, Reference{Name: text, Type: expr.Text(kind)})
		}
		for _, e := range v.All() {
			all = append(all, references(e)...)
		}
	}
	return all
}

// attach puts a trigger into one bundle, that of the first pipeline that it starts and that is here, so that it fires
// once whatever number of pipelines it starts.
func (l *loader) attach(t Trigger) {
	if len(t.Pipelines) == 0 {
		l.add(flowehr.Warningf(flowehr.Pos{File: t.File, Line: 1, Column: 1}, "trigger %q starts no pipeline", t.Name))
		return
	}
	for _, p := range t.Pipelines {
		target, ok := l.factory.Bundle(p.Name)
		if !ok {
			continue
		}
		i := slices.IndexFunc(l.factory.Bundles, func(b Bundle) bool { return b.Pipeline.Name == target.Pipeline.Name })
		b := &l.factory.Bundles[i]
		b.Triggers = append(b.Triggers, t)
		for _, p := range t.Pipelines {
			l.refer(b, p.Name)
		}
		return
	}
	l.add(flowehr.Errorf(flowehr.Pos{File: t.File, Line: 1, Column: 1}, "trigger %q starts pipeline %q, which does not exist",
		t.Name, t.Pipelines[0].Name))
}
