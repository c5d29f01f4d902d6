package adf

import (
	"regexp"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// references returns v with every reference to a pipeline under its registered name, and sees to it that what v refers to
// stands in the factory.
func (l *lowering) references(v expr.Value, at string) expr.Value {
	return l.follow(v, fault{l.b.Pipeline.File, at}, l.needs)
}

// follow does the work of references for any file; needs collects the symbolic names of what was found.
func (l *lowering) follow(v expr.Value, at fault, needs map[string]bool) expr.Value {
	switch v := v.(type) {
	case []expr.Value:
		list := make([]expr.Value, len(v))
		for i, e := range v {
			list[i] = l.follow(e, fault{at.file, child(at.pointer, i)}, needs)
		}
		return list
	case *expr.Object:
		o := expr.NewObject()
		for k, e := range v.All() {
			o.Set(k, l.follow(e, fault{at.file, child(at.pointer, k)}, needs))
		}
		name, isText := value(v, "referenceName").(string)
		kind, _ := value(v, "type").(string)
		if isText && kind != "" {
			l.refer(o, name, kind, at, needs)
		}
		return o
	}
	return v
}

// value is the member of o spelled exactly so, nil when there is none.
func value(o *expr.Object, key string) expr.Value {
	v, _ := o.Get(key)
	return v
}

// refer makes what one reference names.
func (l *lowering) refer(o *expr.Object, name, kind string, at fault, needs map[string]bool) {
	if x, err := expr.Parse(name); x != nil || err != nil {
		l.refuse(at, "Data Factory wants the name itself. Choose with a Switch or an IfCondition.", "a reference is an expression: %s", name)
		return
	}
	need := ""
	switch kind {
	case "PipelineReference":
		name = l.b.PipelineName(name)
		o.Set("referenceName", name)
		if need = symbol(pipelinePrefix, name); name == l.b.Pipeline.Name && at.file == l.b.Pipeline.File {
			need = "" // a pipeline may call itself
		}
	case "DatasetReference":
		need = l.dataset(name, at)
	case "LinkedServiceReference":
		need = l.service(name, "", at)
	case "TriggerReference":
		need = symbol(triggerPrefix, name)
	case "IntegrationRuntimeReference":
		if name != l.o.Runtime && name != autoRuntime {
			l.refuse(at, "The factory has only the integration runtime "+l.o.Runtime+".", "integration runtime %q is not made here", name)
		}
	case "NotebookReference", "BigDataPoolReference", "SparkJobDefinitionReference":
		// of a Synapse workspace, which its linked service names
	default:
		l.refuse(at, "Only pipelines, triggers, datasets and linked services are deployed.", "a %s to %q cannot be resolved in the factory", kind, name)
	}
	if need != "" {
		needs[need] = true
	}
}

// autoRuntime is the integration runtime that every factory has.
const autoRuntime = "AutoResolveIntegrationRuntime"

// dataset makes a dataset of the bundle a resource and returns its symbolic name.
func (l *lowering) dataset(name string, from fault) string {
	d, ok := l.b.Datasets[name]
	if !ok {
		l.refuse(from, "", "there is no dataset %q", name)
		return ""
	}
	sym := symbol(datasetPrefix, name)
	if l.visiting[sym] {
		return sym
	}
	l.visiting[sym] = true
	l.name(fault{d.File, ""}, "dataset", name)
	props, at := definition(d.Raw, "linkedServiceName")
	place := fault{d.File, at}
	if why, instead := l.unfit(d); why != "" {
		l.refuse(fault{d.File, child(at, "type")}, instead, "dataset %q of type %q %s", name, d.Type, why)
	}
	needs := map[string]bool{}
	out := expr.NewObject()
	for k, v := range props.All() {
		if at == "" && slices.Contains([]string{"name", "id", "etag", "$schema"}, k) {
			continue
		}
		where := fault{d.File, child(at, k)}
		if k != "linkedServiceName" {
			out.Set(k, l.follow(v, where, needs))
			continue
		}
		out.Set(k, v)
		if need := l.service(d.LinkedService.Name, d.Type, where); need != "" {
			needs[need] = true
		}
	}
	r := l.resource(typeDataset, name, out, place)
	r.DependsOn = sorted(needs)
	l.result.Resources[sym] = r
	return sym
}

// unfit says why Data Factory cannot use a dataset of ours as it is, and what to do instead.
func (l *lowering) unfit(d factory.Dataset) (why, instead string) {
	switch d.LinkedService.Name {
	case LakeService:
		if d.Type != "AzureDatabricksDeltaLakeDataset" {
			return "is not for " + LakeService, "Use AzureDatabricksDeltaLakeDataset."
		}
	case StoreService:
		if d.Type != "AzureSqlTable" {
			return "is not for " + StoreService, "Use AzureSqlTable."
		}
	}
	return "", ""
}

// service sees to it that a linked service stands in the factory and returns its symbolic name, "" when it is in another
// stack. datasetType is the type of the dataset that asks, which decides what a data source is to Data Factory.
func (l *lowering) service(name, datasetType string, from fault) string {
	if sym, known := l.o.LinkedServices[name]; known {
		return sym
	}
	sym := symbol(servicePrefix, name)
	if s, written := l.b.LinkedServices[name]; written {
		l.written(s, sym)
		return sym
	}
	if i := slices.IndexFunc(l.o.Sources, func(s flowehr.Source) bool { return s.Name == name }); i >= 0 {
		return l.source(l.o.Sources[i], datasetType, from)
	}
	switch name {
	case LakeService:
		return l.lakeService(from)
	case StoreService:
		return l.storeService(from)
	case SparkService, VaultService, StorageService:
		l.refuse(from, "The environment does not have the part that it stands for.", "linked service %q is not in the factory", name)
	default:
		l.refuse(from, "What stands in for it under local.linked_services is only for this machine. Write its definition as linkedService/"+name+
			".json, or make it a data source.", "linked service %q has no definition", name)
	}
	return ""
}

// written passes a linked service of the definition through.
func (l *lowering) written(s factory.LinkedService, sym string) {
	if l.visiting[sym] {
		return
	}
	l.visiting[sym] = true
	l.name(fault{s.File, ""}, "linked service", s.Name)
	props, at := definition(s.Raw, "typeProperties")
	l.clearText(s, fault{s.File, child(at, "typeProperties")})
	needs := map[string]bool{}
	out := expr.NewObject()
	for k, v := range props.All() {
		if at != "" || !slices.Contains([]string{"name", "id", "etag", "$schema"}, k) {
			out.Set(k, l.follow(v, fault{s.File, child(at, k)}, needs))
		}
	}
	r := l.resource(typeService, s.Name, out, fault{s.File, at})
	delete(needs, sym)
	r.DependsOn = sorted(needs)
	l.result.Resources[sym] = r
}

// credential matches a password in a connection string.
var credential = regexp.MustCompile(`(?i)(?:password|pwd|accountkey|sharedaccesskey|sharedaccesssignature)\s*=\s*[^;\s]`)

// secretKeys are properties that hold a secret when they are plain text.
var secretKeys = []string{"password", "accesstoken", "accountkey", "sastoken", "serviceprincipalkey", "clientsecret", "functionkey", "apikey", "key"}

// clearText refuses a linked service that would put a secret into a template, where it can be read for ever. It does not
// repeat it.
func (l *lowering) clearText(s factory.LinkedService, at fault) {
	const instead = `Keep it in the vault and write {"type": "AzureKeyVaultSecret", "store": {"referenceName": "` + VaultService +
		`", "type": "LinkedServiceReference"}, "secretName": "..."}.`
	var look func(v expr.Value, key, pointer string)
	look = func(v expr.Value, key, pointer string) {
		switch v := v.(type) {
		case string:
			if x, err := expr.Parse(v); v == "" || x != nil || err != nil {
				return
			}
			if credential.MatchString(v) || slices.Contains(secretKeys, strings.ToLower(key)) {
				l.refuse(fault{at.file, pointer}, instead, "linked service %q holds a secret in clear text", s.Name)
			}
		case []expr.Value:
			for i, e := range v {
				look(e, key, child(pointer, i))
			}
		case *expr.Object:
			if kind, _ := value(v, "type").(string); kind == "SecureString" {
				look(value(v, "value"), "password", child(pointer, "value"))
				return
			}
			for k, e := range v.All() {
				look(e, k, child(pointer, k))
			}
		}
	}
	look(s.Properties, "", at.pointer)
}

func sorted(set map[string]bool) []string {
	var out []string
	for k := range set {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// vaultSecret is a reference to a secret of the vault.
func vaultSecret(name string) arm.Object {
	return arm.Object{"type": "AzureKeyVaultSecret", "secretName": name,
		"store": arm.Object{"referenceName": VaultService, "type": "LinkedServiceReference"}}
}
