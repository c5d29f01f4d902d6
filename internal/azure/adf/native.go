package adf

import (
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// isJob reports whether an activity is one that Data Factory cannot run with the same outcome, so that it becomes a job: SQL on the
// lake, and a copy that writes the lake or the feature store or reads the lake.
func (l *lowering) isJob(a factory.Activity) bool {
	switch a.Type {
	case "Script":
		return a.LinkedService != nil && a.LinkedService.Name == LakeService
	case "Copy":
		for _, r := range a.Outputs {
			if s := l.b.Datasets[r.Name].LinkedService.Name; s == LakeService || s == StoreService {
				return true
			}
		}
		for _, r := range a.Inputs {
			if l.b.Datasets[r.Name].LinkedService.Name == LakeService {
				return true
			}
		}
	}
	return false
}

// native checks an activity that Data Factory runs itself.
func (l *lowering) native(a factory.Activity) {
	at := child(a.Pointer, "typeProperties")
	switch a.Type {
	case "Script":
		if v, _ := a.Properties.Get("assertions"); v != nil {
			l.refuse(l.in(child(at, "assertions")), "", "assertions are about tables of the lake, and Script %q is not on %s", a.Name, LakeService)
		}
		if a.LinkedService != nil {
			l.scriptOn(a)
		}
	case "Copy":
		for _, side := range []string{"source", "sink"} {
			o, _ := value(a.Properties, side).(*expr.Object)
			if behaviour, _ := value(o, "writeBehavior").(string); strings.EqualFold(behaviour, "overwrite") {
				l.refuse(l.in(child(child(at, side), "writeBehavior")), "It is understood by copies to the lake and to the feature store.",
					"Copy %q: Data Factory has no writeBehavior overwrite", a.Name)
			}
		}
	}
}

// scriptOn refuses a Script on a server for which Data Factory has no Script.
func (l *lowering) scriptOn(a factory.Activity) {
	for _, s := range l.o.Sources {
		_, written := l.b.LinkedServices[s.Name]
		if s.Name == a.LinkedService.Name && !written && (s.Kind == flowehr.SourcePostgreSQL || s.Kind == flowehr.SourceMySQL) {
			l.refuse(l.in(child(a.Pointer, "linkedServiceName")), "Use a Lookup.", "Script %q is on %q, a %s database: Data Factory runs scripts on SQL Server only",
				a.Name, s.Name, s.Kind)
		}
	}
}

// lookup puts the query of a Lookup on the lake into the form of Spark. out are the activity's new typeProperties.
func (l *lowering) lookup(out *expr.Object, a factory.Activity) {
	dataset, _ := value(a.Properties, "dataset").(*expr.Object)
	name, _ := value(dataset, "referenceName").(string)
	source, _ := value(out, "source").(*expr.Object)
	query, ok := value(source, "query").(string)
	if !ok || l.b.Datasets[name].LinkedService.Name != LakeService {
		return
	}
	if x, err := expr.Parse(query); x != nil || err != nil {
		return // put together in the run, in the form that its author gave it
	}
	text, err := sparkQuery(query)
	if err != nil {
		l.refuse(l.in(a.Pointer+"/typeProperties/source/query"), "", "Lookup %q: %v", a.Name, err)
		return
	}
	source = source.Clone()
	source.Set("query", text)
	out.Set("source", source)
}
