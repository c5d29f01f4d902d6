// Package adf turns pipelines into resources of Azure Data Factory, so that a definition has the same outcome there as on
// one machine.
//
// What Data Factory knows is passed through as it was written, properties of later versions included. What only this
// product knows (SQL and assertions on the lake, copies into the lake and into the feature store) becomes a job of
// Databricks under the same name and with the same dependencies, run from a Python file that this package generates. The
// package makes no request and reads no file; package estate puts what it returns into a stack, and package operate runs it.
//
// The rule that holds here: a definition is lowered whole or refused by name. Nothing of it is left out in silence, and no
// value of a run ever becomes text of a statement.
package adf

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/factory"
)

// Names of the linked services that every environment has; package activity gives them their meaning on one machine.
const (
	SparkService   = "ADBLinkedServiceViaMSI"
	VaultService   = "KVLinkedServiceViaMSI"
	StorageService = "ADLSLinkedServiceViaMSI"
	LakeService    = "LakeLinkedService"
	StoreService   = "FeatureStoreLinkedService"
)

// Options say what the pipelines find around them.
type Options struct {
	FactoryName string // of the data factory
	FactoryID   string // its resource id
	Location    string // of dashboards
	Tags        map[string]string

	// LinkedServices are those that stand in the factory, by name. The value is the symbolic name of the resource in the
	// template that Result goes into, or empty when it is in another stack.
	LinkedServices map[string]string

	Zones   []string // of the lake
	Catalog string   // Unity Catalog's, when the zones are schemas of one; empty means the workspace's own metastore

	StoreEngine   string // mssql or postgres
	StoreServer   string // host name
	StoreDatabase string
	StoreUser     string // PostgreSQL's name for the application that writes features

	Sources []flowehr.Source
	// SourceSecret names the secret of the vault behind VaultService that holds the password of a source. nil means
	// [SourceSecret].
	SourceSecret func(source string) string
	Runtime      string // integration runtime that generated linked services connect through; empty means Data Factory's own

	// Workspace, WorkspaceID and Cluster are Databricks' address, resource id and cluster: strings, or outputs of other
	// resources. They are needed only when a Lookup reads the lake.
	Workspace, WorkspaceID, Cluster any

	AppInsightsID string // resource id of the pipelines' telemetry; without it there are no dashboards
	RealData      bool   // triggers are started
}

// Result is what a pipeline becomes.
type Result struct {
	// Resources by symbolic name. What several pipelines share has the same name and content in each result.
	Resources map[string]arm.Resource
	Triggers  []Trigger
	Files     []File
	Globals   map[string]arm.Object // global parameters of the factory, as its property globalParameters wants them
}

// Trigger is what has to be known of a trigger beside its resource, which is always made stopped.
type Trigger struct {
	Name    string
	Type    string
	Started bool   // whether it is to be started once it stands
	Digest  string // of its definition and of what it starts
}

// File is a generated file that has to stand in the workspace before a pipeline runs.
type File struct {
	Path    string // dbfs:/…
	Content string
}

// Digest is the SHA-256 of the content in hex.
func (f File) Digest() string { return digest([]byte(f.Content)) }

// SourceSecret is the name of the vault's secret with the password of a source.
func SourceSecret(source string) string { return "source-" + source + "-password" }

// TumblingName is what the older system called the tumbling-window trigger of a pipeline. One that has no name of its own
// is still called so.
func TumblingName(pipeline string) string { return "TumblingWindowTrigger" + pipeline }

// Lower lowers one pipeline. With an error among the diagnostics the result is incomplete and must not be deployed.
func Lower(b factory.Bundle, o Options) (Result, []flowehr.Diagnostic) {
	l := newLowering(b, o)
	l.pipeline()
	l.triggers()
	l.globals()
	l.dashboard()
	flowehr.SortDiagnostics(l.diagnostics)
	return l.result, slices.Compact(l.diagnostics)
}

// LowerAll lowers the pipelines of a factory together, which also finds what one alone cannot show: a name that two of them
// give to different things, and pipelines that call each other in a circle, which a template cannot hold.
func LowerAll(bundles []factory.Bundle, o Options) (Result, []flowehr.Diagnostic) {
	all := Result{Resources: map[string]arm.Resource{}, Globals: map[string]arm.Object{}}
	var found []flowehr.Diagnostic
	owner := map[string]factory.Bundle{}
	for _, b := range bundles {
		r, ds := Lower(b, o)
		found = append(found, ds...)
		for _, symbol := range slices.Sorted(maps.Keys(r.Resources)) {
			resource := r.Resources[symbol]
			if have, known := all.Resources[symbol]; known && !equal(have, resource) {
				found = append(found, flowehr.Errorf(flowehr.Pos{File: b.Pipeline.File}, "pipelines %q and %q have different definitions of %s %q",
					owner[symbol].Pipeline.Name, b.Pipeline.Name, kindOf(resource), lastName(resource.Name)).
					With("A Data Factory has one of each name. Give one of the two another name."))
				continue
			}
			all.Resources[symbol] = resource
			owner[symbol] = b
		}
		all.Triggers = append(all.Triggers, r.Triggers...)
		all.Files = append(all.Files, r.Files...)
		maps.Copy(all.Globals, r.Globals)
	}
	found = append(found, present(&all, owner)...)
	found = append(found, circles(all, owner)...)
	slices.SortFunc(all.Triggers, func(a, b Trigger) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(all.Files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	flowehr.SortDiagnostics(found)
	return all, slices.Compact(found)
}

// present reports what resources wait for and nobody makes. Only pipelines and triggers can be missing: what else a pipeline
// refers to comes with it.
func present(r *Result, owner map[string]factory.Bundle) []flowehr.Diagnostic {
	var found []flowehr.Diagnostic
	for _, symbol := range slices.Sorted(maps.Keys(r.Resources)) {
		resource := r.Resources[symbol]
		var kept []string
		for _, need := range resource.DependsOn {
			_, here := r.Resources[need]
			says := ""
			switch {
			case here:
			case strings.HasPrefix(need, pipelinePrefix):
				says = "starts a pipeline that is not here"
			case strings.HasPrefix(need, triggerPrefix):
				says = "depends on a trigger that is not here"
			}
			if says == "" {
				kept = append(kept, need)
				continue
			}
			found = append(found, flowehr.Errorf(flowehr.Pos{File: owner[symbol].Pipeline.File}, "%s %q %s", kindOf(resource), lastName(resource.Name), says).
				With("The pipelines and triggers of a factory are deployed together."))
		}
		resource.DependsOn = kept
		r.Resources[symbol] = resource
	}
	return found
}

// circles reports pipelines that call each other.
func circles(r Result, owner map[string]factory.Bundle) []flowehr.Diagnostic {
	const entered, left = 1, 2
	state := map[string]int{}
	var path []string
	var found []flowehr.Diagnostic
	var enter func(symbol string)
	enter = func(symbol string) {
		state[symbol] = entered
		path = append(path, symbol)
		for _, next := range r.Resources[symbol].DependsOn {
			switch {
			case !strings.HasPrefix(next, pipelinePrefix):
			case state[next] == entered:
				var names []string
				for _, s := range append(slices.Clone(path[slices.Index(path, next):]), next) {
					names = append(names, owner[s].Pipeline.Name)
				}
				found = append(found, flowehr.Errorf(flowehr.Pos{File: owner[next].Pipeline.File}, "pipelines call each other: %s", strings.Join(names, " calls ")).
					With("A template makes each after those that it calls, so this runs here and cannot be deployed. Break the circle, for example with an Until."))
			case state[next] == 0:
				enter(next)
			}
		}
		path = path[:len(path)-1]
		state[symbol] = left
	}
	for _, symbol := range slices.Sorted(maps.Keys(r.Resources)) {
		if strings.HasPrefix(symbol, pipelinePrefix) && state[symbol] == 0 {
			enter(symbol)
		}
	}
	return found
}

// Beginnings of symbolic names.
const (
	pipelinePrefix  = "pipeline_"
	datasetPrefix   = "dataset_"
	servicePrefix   = "linkedService_"
	triggerPrefix   = "trigger_"
	dashboardPrefix = "dashboard_"
)

// symbol is a symbolic name: letters, digits and _. A name that has to be changed for that ends in a digest of it.
func symbol(prefix, name string) string {
	plain := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	if plain == name {
		return prefix + name
	}
	return prefix + plain + "_" + digest([]byte(name))[:8]
}

func equal(a, b arm.Resource) bool { return string(canonical(a)) == string(canonical(b)) }

// canonical is JSON for comparing. What cannot be written is not reached: resources hold only what JSON has.
func canonical(v any) []byte {
	data, err := flowehr.Canonical(v)
	if err != nil {
		return []byte(fmt.Sprintf("%#v", v))
	}
	return data
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func lastName(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// kindOf says in words what a resource is.
func kindOf(r arm.Resource) string {
	switch r.Type {
	case typePipeline:
		return "pipeline"
	case typeDataset:
		return "dataset"
	case typeService:
		return "linked service"
	case typeTrigger:
		return "trigger"
	}
	return "dashboard"
}
