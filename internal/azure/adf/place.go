package adf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// place is where a dataset lies, with its settings as the copy gives them.
type place struct {
	kind    string // lake, store, database, files, other
	dataset factory.Dataset
	source  flowehr.Source
	props   *reader
}

// place resolves a dataset. Its parameters are put in: each property is a value, or a whole expression of the pipeline.
func (l *lowering) place(ref factory.Reference, pointer string, args *arguments) *place {
	d, ok := l.b.Datasets[ref.Name]
	if !ok {
		l.refuse(l.in(pointer), "", "there is no dataset %q", ref.Name)
		return nil
	}
	if why, instead := l.unfit(d); why != "" {
		l.refuse(fault{d.File, "/properties/type"}, instead, "dataset %q of type %q %s", d.Name, d.Type, why)
		return nil
	}
	given := expr.NewObject()
	for name, p := range d.Parameters {
		v, ok := ref.Parameters.Lookup(name)
		if !ok {
			if v = p.Default; !p.HasDefault {
				l.refuse(l.in(pointer), "", "dataset %q needs the parameter %q", d.Name, name)
			}
		}
		given.Set(name, v)
	}
	_, at := definition(d.Raw, "linkedServiceName")
	where := fault{d.File, child(at, "typeProperties")}
	properties, _ := l.substitute(d.Properties, given, where).(*expr.Object)
	p := &place{dataset: d, props: l.read(fmt.Sprintf("dataset %q", d.Name), properties, where)}
	name := d.LinkedService.Name
	i := slices.IndexFunc(l.o.Sources, func(s flowehr.Source) bool { return s.Name == name })
	switch {
	case name == LakeService:
		p.kind = "lake"
	case name == StoreService:
		p.kind = "store"
	case name == StorageService:
		p.kind = "files"
	case i >= 0 && l.o.Sources[i].Kind == flowehr.SourceFolder:
		l.source(l.o.Sources[i], d.Type, fault{d.File, child(at, "linkedServiceName")})
		return nil
	case i >= 0:
		p.kind, p.source = "database", l.o.Sources[i]
	default:
		l.refuse(l.in(pointer), "Copies from and to the lake and the feature store are jobs of Databricks, which know the data sources of the definition and the files of "+
			StorageService+".", "dataset %q is on linked service %q, which a job cannot use", d.Name, name)
		return nil
	}
	return p
}

// ownParameter is a property that is one parameter of its dataset and nothing else.
var ownParameter = regexp.MustCompile(`^@(?:\{)?\s*dataset\(\)\s*\.\s*([A-Za-z_][A-Za-z0-9_]*)\s*(\})?\s*$`)

// substitute puts the arguments of a dataset into its properties. An argument that only a run knows can only stand alone.
func (l *lowering) substitute(v expr.Value, given *expr.Object, at fault) expr.Value {
	switch v := v.(type) {
	case string:
		return l.substituteText(v, given, at)
	case []expr.Value:
		list := make([]expr.Value, len(v))
		for i, e := range v {
			list[i] = l.substitute(e, given, fault{at.file, child(at.pointer, i)})
		}
		return list
	case *expr.Object:
		if inner, ok := wrapped(v); ok {
			return l.substitute(inner, given, fault{at.file, child(at.pointer, "value")})
		}
		o := expr.NewObject()
		for k, e := range v.All() {
			o.Set(k, l.substitute(e, given, fault{at.file, child(at.pointer, k)}))
		}
		return o
	}
	return v
}

func (l *lowering) substituteText(s string, given *expr.Object, at fault) expr.Value {
	x, err := expr.Parse(s)
	if x == nil || err != nil {
		return s
	}
	if m := ownParameter.FindStringSubmatch(s); m != nil {
		if v, ok := given.Lookup(m[1]); ok {
			return v
		}
	}
	settledAll := expr.NewObject()
	for k, v := range given.All() {
		if known, ok := settled(v); ok {
			settledAll.Set(k, known)
		}
	}
	got, err := x.Evaluate(expr.Env{Scope: datasetScope{settledAll}})
	if err != nil {
		l.refuse(at, "Pass the whole value as one parameter.", "%s: what it gives is known only in a run", s)
		return nil
	}
	if text, ok := got.(string); ok && strings.HasPrefix(text, "@") {
		return "@" + text
	}
	return got
}

// datasetScope answers dataset() with the parameters that are known.
type datasetScope struct{ values *expr.Object }

// Call implements expr.Scope.
func (s datasetScope) Call(function string, _ []expr.Value) (expr.Value, bool, error) {
	return s.values, function == "dataset", nil
}

// tableOf reads schema and table of a dataset. The older form is tableName, "schema.table".
func (p *place) tableOf(args *arguments) (schema, table any) {
	schema, table = args.orNil(p.props.value("schema")), args.orNil(p.props.value("table"))
	old := p.props.value("tableName")
	if table != nil || old == nil {
		return schema, table
	}
	text, _ := args.of(old).(string)
	if text == "" {
		p.props.wrong("tableName", "a text that is known when the pipeline is deployed; use schema and table")
		return nil, nil
	}
	if before, after, ok := strings.Cut(text, "."); ok {
		return unquoted(before), unquoted(after)
	}
	return schema, unquoted(text)
}

// unquoted takes [ ] or quotes from a name as definitions write it.
func unquoted(name string) string {
	if len(name) >= 2 && (name[0] == '[' && name[len(name)-1] == ']' || name[0] == '"' && name[len(name)-1] == '"') {
		return name[1 : len(name)-1]
	}
	return name
}

// orNil is of for a member that may be absent.
func (a *arguments) orNil(v expr.Value) any {
	if v == nil || v == "" {
		return nil
	}
	return a.of(v)
}
