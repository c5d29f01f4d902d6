package adf

import (
	_ "embed"
	"encoding/json"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// runner is the program that every job runs; its last line is the job itself.
//
//go:embed runner.py
var runner string

// description is what a job is told. The runner reads it by these names.
type description struct {
	Pipeline string    `json:"pipeline"`
	Activity string    `json:"activity"`
	Kind     string    `json:"kind"` // script or copy
	Loop     bool      `json:"loop"` // it may run several times in a run
	Zones    []string  `json:"zones"`
	Catalog  string    `json:"catalog"`
	Store    storeKind `json:"store"`
	Job      any       `json:"job"`
}

// storeKind says what the feature store is.
type storeKind struct {
	Engine string `json:"engine"`
	User   string `json:"user,omitempty"`
}

// maxArguments is what Databricks takes as arguments of a job, as JSON. What the run puts in is not known here.
const maxArguments = 10_000

// job writes the file of a job and returns the activity that runs it, which keeps its name, its dependencies and its policy.
func (l *lowering) job(raw *expr.Object, a factory.Activity, kind string, spec any, args *arguments) *expr.Object {
	if _, ok := l.o.LinkedServices[SparkService]; !ok {
		l.refuse(l.in(a.Pointer), "SQL on the lake and copies to it are jobs of Databricks in Azure.", "activity %q needs %s, which is not in the factory", a.Name, SparkService)
	}
	l.confidential(a, args)
	d := description{Pipeline: l.b.Pipeline.Name, Activity: a.Name, Kind: kind, Loop: l.inLoop(a), Zones: l.o.Zones, Catalog: l.o.Catalog,
		Store: storeKind{Engine: l.o.StoreEngine, User: l.o.StoreUser}, Job: spec}
	if d.Zones == nil {
		d.Zones = []string{}
	}
	file := File{Content: program(d)}
	file.Path = "dbfs:/pipelines/" + pathName(l.b.Pipeline.Name) + "/generated/" + pathName(a.Name) + "-" + file.Digest()[:12] + ".py"
	l.result.Files = append(l.result.Files, file)
	if need := l.service(SparkService, "", l.in(a.Pointer)); need != "" {
		l.needs[need] = true
	}
	out := expr.NewObject()
	for k, v := range raw.All() {
		switch k {
		case "type":
			out.Set(k, "DatabricksSparkPython")
		case "inputs", "outputs", "linkedServiceName":
		case "typeProperties":
			out.Set("linkedServiceName", object("referenceName", SparkService, "type", "LinkedServiceReference"))
			runID := object("value", "@pipeline().RunId", "type", "Expression")
			out.Set(k, object("pythonFile", file.Path, "parameters", append([]expr.Value{runID}, args.list...)))
		default:
			out.Set(k, v)
		}
	}
	if n := len(expr.EncodeJSON(args.list)); n > maxArguments {
		l.refuse(l.in(a.Pointer), "", "activity %q passes %d bytes of expressions to a job, which takes %d", a.Name, n, maxArguments)
	}
	return out
}

// program is the runner with its job. JSON of a text is also Python's literal of it.
func program(d description) string {
	canonical := string(canonical(d))
	quoted, err := flowehr.Canonical(canonical)
	if err != nil {
		quoted = json.RawMessage(`""`) // a string always has JSON
	}
	return runner + "\n\nrun(json.loads(" + string(quoted) + "), sys.argv[1:])\n"
}

// inLoop reports whether an activity may run more than once in a run of its pipeline.
func (l *lowering) inLoop(a factory.Activity) bool {
	found := false
	factory.Walk(l.b.Pipeline.Activities, func(other factory.Activity, around []factory.Activity) {
		for _, c := range around {
			found = found || other.Pointer == a.Pointer && (c.Type == "ForEach" || c.Type == "Until")
		}
	})
	return found
}

// confidential refuses what must not be seen with a job: Databricks shows the arguments of a job to everyone who may see its
// runs.
func (l *lowering) confidential(a factory.Activity, args *arguments) {
	const instead = "Keep the value in databricks_secrets and read it in code of your own."
	if a.Policy.SecureInput && len(args.list) > 0 {
		l.refuse(l.in(a.Pointer+"/policy/secureInput"), instead, "activity %q has secure input, and the arguments of a job of Databricks are not secret", a.Name)
	}
	for _, v := range args.list {
		eachText(v, "", func(text, _ string) {
			x, err := expr.Parse(text)
			if err != nil {
				return
			}
			for _, c := range x.Calls() {
				if c.Function != "pipeline" || len(c.Path) < 2 || !strings.EqualFold(c.Path[0].Name, "parameters") {
					continue
				}
				for name, p := range l.b.Pipeline.Parameters {
					if p.Type == "SecureString" && strings.EqualFold(name, c.Path[1].Name) {
						l.refuse(l.in(a.Pointer), instead, "activity %q passes the secure parameter %q to a job of Databricks, where it can be seen", a.Name, name)
					}
				}
			}
		})
	}
}

// pathName writes a name as a part of a path that needs no quoting anywhere.
func pathName(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		}
		return '-'
	}, name)
}

// object makes an object of pairs.
func object(pairs ...any) *expr.Object {
	o := expr.NewObject()
	for i := 0; i < len(pairs); i += 2 {
		o.Set(pairs[i].(string), pairs[i+1])
	}
	return o
}
