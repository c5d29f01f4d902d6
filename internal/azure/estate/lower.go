// Package estate lowers an environment to the resources that it becomes in Azure: a few deployment stacks with the templates of
// everything that Azure Resource Manager makes, and, between them, what lives in the directory, the vaults, Databricks, the
// feature store and GitHub.
//
// It is a function of the environment and of what must be known of the subscription ([azure.Facts]): it makes no request, reads
// no file and asks no clock. Names come from [azure.Names]; what is known only at run time stays a reference.
//
// The rule that holds here: the same environment and facts give the same bytes, every description is complete, and none holds
// a secret.
package estate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/adf"
)

// Lower returns the resources of env, in the order of their layers and names. With an error among the diagnostics they are
// incomplete and must not be applied.
func Lower(env *flowehr.Environment, f azure.Facts) ([]flowehr.Resource, []flowehr.Diagnostic) {
	l := &lowering{env: env, facts: f, names: azure.NamesOf(env)}
	// The phases, in the order in which they depend on each other. Each stack is made of what Resource Manager can make
	// without knowing anything that a data plane tells only later.
	l.directory()
	l.core()
	l.secrets()
	l.transform()
	l.databricks()
	l.pipelines()
	l.grants()
	l.sql()
	l.serve()
	l.apps()
	l.github()

	slices.SortStableFunc(l.resources, func(a, b flowehr.Resource) int {
		return cmp.Or(
			cmp.Compare(slices.Index(flowehr.Layers(), a.Layer), slices.Index(flowehr.Layers(), b.Layer)),
			cmp.Compare(a.Ref.Kind, b.Ref.Kind), cmp.Compare(a.Ref.Name, b.Ref.Name))
	})
	flowehr.SortDiagnostics(l.diagnostics)
	return l.resources, l.diagnostics
}

// lowering is one call of Lower.
type lowering struct {
	env   *flowehr.Environment
	facts azure.Facts
	names azure.Names

	resources   []flowehr.Resource
	diagnostics []flowehr.Diagnostic
	lowered     *adf.Result // of all pipelines, once it is known
}

// add makes a resource of spec. It needs what spec uses outputs of, and needs besides. pos is the line of the definition that
// asked for it, if one did.
func (l *lowering) add(layer flowehr.Layer, kind, name string, pos flowehr.Pos, spec any, needs ...flowehr.Ref) flowehr.Ref {
	r := flowehr.Resource{Ref: azure.Ref(kind, name), Layer: layer, Pos: pos, Needs: slices.Clone(needs)}
	var outputs []flowehr.OutputRef
	var err, refsErr error
	if r.Spec, outputs, err, refsErr = flowehr.CanonicalSpec(spec); err != nil {
		l.refuse(pos, "", "%s cannot be described: %v", r.Ref, err)
		return r.Ref
	}
	if refsErr != nil {
		l.refuse(pos, "", "%s refers to an output wrongly: %v", r.Ref, refsErr)
	}
	for _, o := range outputs {
		r.Needs = append(r.Needs, o.Ref)
	}
	slices.SortFunc(r.Needs, func(a, b flowehr.Ref) int { return strings.Compare(a.String(), b.String()) })
	r.Needs = slices.Compact(r.Needs)
	l.resources = append(l.resources, r)
	return r.Ref
}

// holds marks a resource that people's data is in.
func (l *lowering) holds(ref flowehr.Ref) {
	for i := range l.resources {
		if l.resources[i].Ref == ref {
			l.resources[i].Holds = true
		}
	}
}

// refuse reports what cannot be had in Azure.
func (l *lowering) refuse(pos flowehr.Pos, detail, format string, args ...any) {
	d := flowehr.Errorf(pos, "%s", fmt.Sprintf(format, args...))
	d.Detail = detail
	l.diagnostics = append(l.diagnostics, d)
}

// warn reports what works and should be known.
func (l *lowering) warn(pos flowehr.Pos, detail, format string, args ...any) {
	d := flowehr.Warningf(pos, "%s", fmt.Sprintf(format, args...))
	d.Detail = detail
	l.diagnostics = append(l.diagnostics, d)
}

// Refs that one phase makes and others need. Applications and groups are known by what people call them.

// coreStack, transformStack, pipelineStack and serveStack are the stacks that always stand.
func coreStack() flowehr.Ref      { return azure.Ref(azure.KindStack, "core") }
func transformStack() flowehr.Ref { return azure.Ref(azure.KindStack, "transform") }
func pipelineStack() flowehr.Ref  { return azure.Ref(azure.KindStack, "pipelines") }
func serveStack() flowehr.Ref     { return azure.Ref(azure.KindStack, "serve") }

// application is an application of the directory by its display name.
func application(displayName string) flowehr.Ref {
	return azure.Ref(azure.KindApplication, displayName)
}

// group is a group of the directory by its display name.
func group(displayName string) flowehr.Ref {
	return azure.Ref(azure.KindGroup, azure.UniqueName(displayName))
}

// workspace is the Databricks workspace, which tells its address when it answers; cluster is the one that pipelines run on.
func (l *lowering) workspace() flowehr.Ref {
	return azure.Ref(azure.KindWorkspace, l.names.Workspace())
}
func (l *lowering) cluster() flowehr.Ref { return azure.Ref(azure.KindCluster, clusterName) }

// clusterName is what people see of the cluster.
const clusterName = "FlowEHR Cluster"

// Outputs of the stacks' templates that other phases use.
const (
	outConnectorPrincipal          = "connectorPrincipalId"          // stack/core: identity of the Databricks connector
	outMetastoreConnectorPrincipal = "metastoreConnectorPrincipalId" // stack/core
	outFactoryPrincipal            = "factoryPrincipalId"            // stack/transform: identity of the data factory
	outWorkspaceURL                = "workspaceUrl"                  // stack/transform: address of the Databricks workspace, with https://
	outSQLServerPrincipal          = "sqlServerPrincipalId"          // stack/transform: identity of the feature store's server
)
