package adf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Types of resource. Datasets have no constructor in package arm; their api-version is that of the whole service.
const (
	typePipeline  = "Microsoft.DataFactory/factories/pipelines"
	typeDataset   = "Microsoft.DataFactory/factories/datasets"
	typeService   = "Microsoft.DataFactory/factories/linkedservices"
	typeTrigger   = "Microsoft.DataFactory/factories/triggers"
	typeDashboard = "Microsoft.Portal/dashboards"
)

// lowering is the work on one pipeline.
type lowering struct {
	b           factory.Bundle
	o           Options
	activities  map[string]factory.Activity // by pointer
	jobs        map[string]bool             // names of activities that become jobs
	needs       map[string]bool             // symbolic names that the pipeline waits for
	visiting    map[string]bool             // datasets and linked services that are done
	serverTypes map[string]string           // source -> type of its linked service
	result      Result
	diagnostics []flowehr.Diagnostic
}

func newLowering(b factory.Bundle, o Options) *lowering {
	if o.SourceSecret == nil {
		o.SourceSecret = SourceSecret
	}
	l := &lowering{b: b, o: o, activities: map[string]factory.Activity{}, jobs: map[string]bool{}, needs: map[string]bool{},
		visiting: map[string]bool{}, serverTypes: map[string]string{},
		result: Result{Resources: map[string]arm.Resource{}, Globals: map[string]arm.Object{}}}
	factory.Walk(b.Pipeline.Activities, func(a factory.Activity, _ []factory.Activity) {
		l.activities[a.Pointer] = a
		if l.isJob(a) {
			l.jobs[a.Name] = true
		}
	})
	return l
}

// fault is a place in a definition.
type fault struct{ file, pointer string }

// refuse reports what keeps the definition from being deployed. detail says what to do.
func (l *lowering) refuse(at fault, detail, format string, args ...any) {
	d := flowehr.Errorf(flowehr.Pos{File: at.file}, format, args...)
	d.Pointer, d.Detail = at.pointer, detail
	l.diagnostics = append(l.diagnostics, d)
}

func (l *lowering) warn(at fault, detail, format string, args ...any) {
	d := flowehr.Warningf(flowehr.Pos{File: at.file}, format, args...)
	d.Pointer, d.Detail = at.pointer, detail
	l.diagnostics = append(l.diagnostics, d)
}

// in is a place in the pipeline's own file.
func (l *lowering) in(pointer string) fault { return fault{l.b.Pipeline.File, pointer} }

// child is the JSON pointer of a member (RFC 6901).
func child(pointer string, key any) string {
	text := strings.ReplaceAll(fmt.Sprint(key), "~", "~0")
	return pointer + "/" + strings.ReplaceAll(text, "/", "~1")
}

// definition returns the member of a written definition that holds it, with its pointer. One without the usual wrapping is
// known by mark, as package factory knows it.
func definition(raw *expr.Object, mark string) (*expr.Object, string) {
	_, bare := raw.Get(mark)
	v, wrapped := raw.Get("properties")
	if bare && !wrapped {
		return raw, ""
	}
	props, _ := v.(*expr.Object)
	return props, "/properties"
}

// named is what Data Factory takes as the name of an object (the pattern of its published types).
var named = regexp.MustCompile(`^[A-Za-z0-9_][^<>*#.%&:\\+?/]{0,259}$`)

func (l *lowering) name(at fault, what, name string) {
	if !named.MatchString(name) {
		l.refuse(at, `It begins with a letter, a digit or _, holds none of < > * # . % & : \ + ? /, and has at most 260 characters.`,
			"%s %q: Data Factory does not take this name", what, name)
	}
}

// pipeline lowers the pipeline itself, and with it what it refers to.
func (l *lowering) pipeline() {
	p := l.b.Pipeline
	l.name(l.in(""), "pipeline", p.Name)
	for _, d := range factory.AzureLimits(l.b) {
		d.Severity = flowehr.SeverityError
		l.diagnostics = append(l.diagnostics, d)
	}
	l.nesting()
	l.outputs()
	props, at := definition(p.Raw, "activities")
	out := expr.NewObject()
	for k, v := range props.All() {
		switch k {
		case "activities":
			out.Set(k, l.body(v, child(at, k)))
		case "parameters":
			out.Set(k, l.typed(v, child(at, k), parameterTypes))
		case "variables":
			out.Set(k, l.typed(v, child(at, k), variableTypes))
		case "lastPublishTime", "lastModifiedByObjectId": // notes of the services that exported it; they do not take them back
		default:
			if at != "" || !slices.Contains(wrapping, k) {
				out.Set(k, v)
			}
		}
	}
	r := l.resource(typePipeline, p.Name, out, l.in(at))
	for need := range l.needs {
		r.DependsOn = append(r.DependsOn, need)
	}
	slices.Sort(r.DependsOn)
	l.result.Resources[symbol(pipelinePrefix, p.Name)] = r
}

// parameterTypes and variableTypes are the spellings that Data Factory has. Definitions in the field have others.
var (
	parameterTypes = map[string]string{"object": "Object", "string": "String", "int": "Int", "integer": "Int", "float": "Float", "double": "Float",
		"number": "Float", "bool": "Bool", "boolean": "Bool", "array": "Array", "securestring": "SecureString"}
	variableTypes = map[string]string{"string": "String", "bool": "Bool", "boolean": "Bool", "array": "Array"}
)

// typed writes the types of parameters or variables as Data Factory spells them.
func (l *lowering) typed(v expr.Value, at string, spellings map[string]string) expr.Value {
	all, ok := v.(*expr.Object)
	if !ok {
		return v
	}
	out := expr.NewObject()
	for name, v := range all.All() {
		def, ok := v.(*expr.Object)
		if !ok {
			out.Set(name, v)
			continue
		}
		def = def.Clone()
		written, _ := value(def, "type").(string)
		spelling, known := spellings[strings.ToLower(written)]
		if !known {
			l.refuse(l.in(child(child(at, name), "type")), "Use String, Bool or Array.", "%q is of type %q, which Data Factory does not have here", name, written)
		}
		def.Set("type", spelling)
		out.Set(name, def)
	}
	return out
}

// wrapping are members beside a definition, when it is written without "properties".
var wrapping = []string{"name", "id", "type", "etag", "$schema"}

// resource is an object of the factory.
func (l *lowering) resource(typ, name string, properties *expr.Object, at fault) arm.Resource {
	version, _ := arm.Version(typePipeline)
	return arm.Resource{Type: typ, APIVersion: version, Name: l.o.FactoryName + "/" + name, Properties: l.literal(properties, at)}
}

// placeholder is what exports as ARM templates leave in definitions.
var placeholder = regexp.MustCompile(`^\[(?:parameters|variables|concat|resourceId|reference)\(.*\]$`)

// literal copies a value as a template has to hold it: a text in brackets would be an expression of the template.
func (l *lowering) literal(v expr.Value, at fault) any {
	switch v := v.(type) {
	case string:
		if placeholder.MatchString(v) {
			l.refuse(at, "It came from an exported template, where a deployment fills it in. Write what it stands for.",
				"%s is a placeholder of another template", v)
		}
		return arm.Literal(v)
	case []expr.Value:
		list := make([]any, len(v))
		for i, e := range v {
			list[i] = l.literal(e, fault{at.file, child(at.pointer, i)})
		}
		return list
	case *expr.Object:
		if v == nil {
			return nil
		}
		o := make(arm.Object, v.Len())
		for k, e := range v.All() {
			o[k] = l.literal(e, fault{at.file, child(at.pointer, k)})
		}
		return o
	}
	return v
}

// nesting refuses containers where Azure does not take them (adf.md section 1.6). On one machine they run.
func (l *lowering) nesting() {
	factory.Walk(l.b.Pipeline.Activities, func(a factory.Activity, around []factory.Activity) {
		if len(around) == 0 || !container(a.Type) {
			return
		}
		outer := around[len(around)-1]
		loop := a.Type == "ForEach" || a.Type == "Until"
		if loop || outer.Type == "IfCondition" || outer.Type == "Switch" {
			l.refuse(l.in(a.Pointer), "Put the inner one into a pipeline of its own and start it with an ExecutePipeline.",
				"%s %q is inside %s %q, which Data Factory refuses", a.Type, a.Name, outer.Type, outer.Name)
		}
	})
}

func container(typ string) bool {
	return slices.Contains([]string{"ForEach", "Until", "IfCondition", "Switch"}, typ)
}

// body lowers a list of activities.
func (l *lowering) body(v expr.Value, at string) expr.Value {
	list, ok := v.([]expr.Value)
	if !ok {
		return v
	}
	out := make([]expr.Value, len(list))
	for i, e := range list {
		out[i] = e
		pointer := child(at, i)
		if raw, ok := e.(*expr.Object); ok {
			out[i] = l.activity(raw, l.activities[pointer], pointer)
		}
	}
	return out
}

// dataFactoryTypes are the activity types that Data Factory has (its published types of 2018-06-01).
var dataFactoryTypes = []string{
	"AppendVariable", "AzureDataExplorerCommand", "AzureFunctionActivity", "AzureMLBatchExecution", "AzureMLExecutePipeline",
	"AzureMLUpdateResource", "Copy", "Custom", "DataLakeAnalyticsU-SQL", "DatabricksJob", "DatabricksNotebook", "DatabricksSparkJar",
	"DatabricksSparkPython", "Delete", "ExecuteDataFlow", "ExecutePipeline", "ExecuteSSISPackage", "ExecuteWranglingDataflow", "Fail",
	"Filter", "ForEach", "GetMetadata", "HDInsightHive", "HDInsightMapReduce", "HDInsightPig", "HDInsightSpark", "HDInsightStreaming",
	"IfCondition", "Lookup", "Script", "SetVariable", "SparkJob", "SqlServerStoredProcedure", "Switch", "SynapseNotebook", "Until",
	"Validation", "Wait", "WebActivity", "WebHook",
}

func (l *lowering) activity(raw *expr.Object, a factory.Activity, at string) *expr.Object {
	switch {
	case !slices.Contains(dataFactoryTypes, a.Type):
		l.refuse(l.in(at+"/type"), "Types of Synapse and Fabric exist only there.", "activity %q is of type %q, which Data Factory does not have", a.Name, a.Type)
		return raw
	case a.Type == "ExecuteDataFlow" || a.Type == "ExecuteWranglingDataflow":
		l.refuse(l.in(at+"/type"), "Data flows are not part of a definition here. Write the transformation as a Script on "+LakeService+" or as Spark code.",
			"activity %q runs a data flow", a.Name)
		return raw
	case l.jobs[a.Name] && a.Type == "Script":
		return l.script(raw, a)
	case l.jobs[a.Name]:
		return l.copy(raw, a)
	}
	l.native(a)
	out := expr.NewObject()
	for k, v := range raw.All() {
		if k != "typeProperties" {
			out.Set(k, l.references(v, child(at, k)))
			continue
		}
		out.Set(k, l.typeProperties(v, a, child(at, k)))
	}
	return out
}

// typeProperties lowers bodies and follows references; everything else stays.
func (l *lowering) typeProperties(v expr.Value, a factory.Activity, at string) expr.Value {
	props, ok := v.(*expr.Object)
	if !ok {
		return v
	}
	out := expr.NewObject()
	for k, v := range props.All() {
		switch {
		case container(a.Type) && slices.Contains([]string{"activities", "ifTrueActivities", "ifFalseActivities", "defaultActivities"}, k):
			out.Set(k, l.body(v, child(at, k)))
		case a.Type == "Switch" && k == "cases":
			out.Set(k, l.cases(v, child(at, k)))
		default:
			out.Set(k, l.references(v, child(at, k)))
		}
	}
	if a.Type == "Lookup" {
		l.lookup(out, a)
	}
	return out
}

func (l *lowering) cases(v expr.Value, at string) expr.Value {
	list, _ := v.([]expr.Value)
	out := make([]expr.Value, len(list))
	for i, e := range list {
		out[i] = e
		c, ok := e.(*expr.Object)
		if !ok {
			continue
		}
		branch := expr.NewObject()
		for k, v := range c.All() {
			if k == "activities" {
				v = l.body(v, child(child(at, i), k))
			}
			branch.Set(k, v)
		}
		out[i] = branch
	}
	return out
}

// outputs refuses expressions that read what a job leaves: a Databricks job has no output that could be read.
func (l *lowering) outputs() {
	if len(l.jobs) == 0 {
		return
	}
	props, at := definition(l.b.Pipeline.Raw, "activities")
	eachText(props, at, func(text, pointer string) {
		x, err := expr.Parse(text)
		if err != nil {
			return // reported by validation
		}
		for _, c := range x.Calls() {
			if c.Function != "activity" || len(c.LiteralArgs) != 1 {
				continue
			}
			name, _ := c.LiteralArgs[0].(string)
			if l.jobs[name] && (len(c.Path) == 0 || strings.EqualFold(c.Path[0].Name, "output")) {
				l.refuse(l.in(pointer), "It is a job of Databricks in Azure, which leaves no output. Read what it wrote with a Lookup.",
					"an expression reads the output of %q", name)
			}
		}
	})
}

// eachText visits every text in v.
func eachText(v expr.Value, pointer string, visit func(text, pointer string)) {
	switch v := v.(type) {
	case string:
		visit(v, pointer)
	case []expr.Value:
		for i, e := range v {
			eachText(e, child(pointer, i), visit)
		}
	case *expr.Object:
		for k, e := range v.All() {
			eachText(e, child(pointer, k), visit)
		}
	}
}

// globals are the global parameters of the factory, which a pipeline's expressions may name.
func (l *lowering) globals() {
	for name, v := range l.b.Globals {
		l.result.Globals[name] = arm.Object{"type": globalType(v), "value": l.literal(v, l.in(""))}
	}
}

// globalType is the name that the type of a global parameter's value has in the service.
func globalType(v expr.Value) string {
	switch v.(type) {
	case bool:
		return "Bool"
	case int64:
		return "Int"
	case float64:
		return "Float"
	case []expr.Value:
		return "Array"
	case *expr.Object:
		return "Object"
	}
	return "String"
}
