package price_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/pace"
	"github.com/flowehr/flowehr/internal/azure/price"
)

// stack is a resource whose template nests resources.
func stack(t *testing.T, name string, resources map[string]arm.Resource) flowehr.Resource {
	t.Helper()
	inner := arm.ForGroup()
	for symbol, r := range resources {
		inner.Add(symbol, r)
	}
	outer := arm.ForSubscription()
	outer.Nest("group", "rg-x", inner)
	template, err := outer.JSON()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := flowehr.Canonical(azure.StackSpec{Name: name, Location: "uksouth", Template: template})
	if err != nil {
		t.Fatal(err)
	}
	return flowehr.Resource{Ref: azure.Ref(azure.KindStack, name), Layer: flowehr.LayerCore, Spec: spec}
}

func sized(r arm.Resource, sku string) arm.Resource {
	r.SKU = arm.Object{"name": sku}
	return r
}

func TestEverythingIsPricedFreeOrNamed(t *testing.T) {
	for _, typ := range arm.Types() {
		sum := price.Of([]flowehr.Resource{stack(t, "s", map[string]arm.Resource{"x": arm.New(typ, "thing", arm.Object{"a": 1})})})
		if sum.Monthly == 0 && len(sum.Unpriced) == 0 && slices.Contains([]string{
			"Microsoft.Storage/storageAccounts", "Microsoft.DocumentDB/databaseAccounts", "Microsoft.Databricks/workspaces", "Microsoft.Web/serverfarms",
			"Microsoft.Sql/servers/databases", "Microsoft.ContainerRegistry/registries", "Microsoft.OperationalInsights/workspaces",
		}, typ) {
			t.Errorf("%s is counted as free", typ)
		}
	}
	sum := price.Of([]flowehr.Resource{stack(t, "s", map[string]arm.Resource{"x": {Type: "Microsoft.New/things", Name: "surprise"}})})
	if sum.Monthly != 0 || len(sum.Unpriced) != 1 || !strings.Contains(sum.Unpriced[0], "no price for Microsoft.New/things") {
		t.Errorf("an unknown type gives %+v, want it named", sum)
	}
}

func TestOf(t *testing.T) {
	database := func(sku string) arm.Resource {
		return sized(arm.New("Microsoft.Sql/servers/databases", "sql/db", nil), sku)
	}
	alerts := func(state string) arm.Resource {
		return arm.New("Microsoft.Sql/servers/securityAlertPolicies", "sql/Default", arm.Object{"state": state})
	}
	for name, c := range map[string]struct {
		resources map[string]arm.Resource
		monthly   float64
		unpriced  int
	}{
		"nothing":                         {nil, 0, 0},
		"private endpoints":               {map[string]arm.Resource{"a": arm.New("Microsoft.Network/privateEndpoints", "a", nil), "b": arm.New("Microsoft.Network/privateEndpoints", "b", nil)}, 14.60, 0},
		"a database by size":              {map[string]arm.Resource{"d": database("S0")}, 14.72, 0},
		"a size that is not in the table": {map[string]arm.Resource{"d": database("HS_Gen5_80")}, 0, 1},
		"alerts that are on":              {map[string]arm.Resource{"a": alerts("Enabled")}, 15, 0},
		"alerts that are off":             {map[string]arm.Resource{"a": alerts("Disabled")}, 0, 0},
		"what is billed by use":           {map[string]arm.Resource{"s": arm.New("Microsoft.Storage/storageAccounts", "strg", nil)}, 0, 1},
		"below something billed":          {map[string]arm.Resource{"c": arm.New("Microsoft.Storage/storageAccounts/blobServices/containers", "strg/default/c", nil)}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			sum := price.Of([]flowehr.Resource{stack(t, "s", c.resources)})
			if math.Abs(sum.Monthly-c.monthly) > 0.005 || len(sum.Unpriced) != c.unpriced {
				t.Errorf("got %.2f and %q, want %.2f and %d unpriced", sum.Monthly, sum.Unpriced, c.monthly, c.unpriced)
			}
		})
	}
}

func TestEstimateComparesWhatStands(t *testing.T) {
	small := stack(t, "s", map[string]arm.Resource{"d": sized(arm.New("Microsoft.Sql/servers/databases", "sql/db", nil), "Basic")})
	large := stack(t, "s", map[string]arm.Resource{"d": sized(arm.New("Microsoft.Sql/servers/databases", "sql/db", nil), "S0")})
	for name, c := range map[string]struct {
		step          flowehr.Step
		before, after float64
	}{
		"made":    {flowehr.Step{Action: flowehr.Create, Want: large}, 0, 14.72},
		"kept":    {flowehr.Step{Action: flowehr.Keep, Want: small, Prior: &flowehr.Record{Resource: small}}, 4.90, 4.90},
		"changed": {flowehr.Step{Action: flowehr.Update, Want: large, Prior: &flowehr.Record{Resource: small}}, 4.90, 14.72},
		"deleted": {flowehr.Step{Action: flowehr.Delete, Want: small, Prior: &flowehr.Record{Resource: small}}, 4.90, 0},
	} {
		t.Run(name, func(t *testing.T) {
			e := price.Estimate(flowehr.Plan{Steps: []flowehr.Step{c.step}})
			if e.Before != c.before || e.After != c.after {
				t.Errorf("got %.2f then %.2f, want %.2f then %.2f", e.Before, e.After, c.before, c.after)
			}
		})
	}
}

func TestStepsThatTakeAWhileSaySo(t *testing.T) {
	slow := stack(t, "slow", map[string]arm.Resource{"dbks": arm.New("Microsoft.Databricks/workspaces", "dbks", nil)})
	group := flowehr.Resource{Ref: azure.Ref(azure.KindGroup, "g"), Spec: []byte("{}")}
	p := price.Refine(flowehr.Plan{Steps: []flowehr.Step{{Action: flowehr.Create, Want: slow}, {Action: flowehr.Create, Want: group}, {Action: flowehr.Keep, Want: slow}}})
	workspace, _, _ := pace.Of("Microsoft.Databricks/workspaces")
	for i, want := range []time.Duration{workspace, 0, 0} {
		if got := p.Steps[i].Expected; got != want {
			t.Errorf("step %d is expected to take %s, want %s", i, got, want)
		}
	}
	if p.Estimate == nil || p.Estimate.Took != workspace {
		t.Errorf("estimate %+v, want %s", p.Estimate, workspace)
	}
}

func TestTookIsTheLongestWay(t *testing.T) {
	workspace, _, _ := pace.Of("Microsoft.Databricks/workspaces")
	network, _, _ := pace.Of("Microsoft.Network/virtualNetworks")
	link := arm.New("Microsoft.Databricks/workspaces", "dbks", nil)
	link.DependsOn = []string{"vnet"}
	core := stack(t, "core", map[string]arm.Resource{
		"vnet": arm.New("Microsoft.Network/virtualNetworks", "vnet", nil), "dbks": link,
		"nsg": arm.New("Microsoft.Network/networkSecurityGroups", "nsg", nil),
	})
	group := flowehr.Resource{Ref: azure.Ref(azure.KindGroup, "g"), Spec: []byte("{}")}
	create := func(r flowehr.Resource, after ...flowehr.Ref) flowehr.Step {
		return flowehr.Step{Action: flowehr.Create, Want: r, After: after}
	}
	alone := price.Took(flowehr.Plan{Steps: []flowehr.Step{create(core)}})
	if alone != workspace+network {
		t.Errorf("a stack takes %s, want %s after %s", alone, workspace, network)
	}
	beside := price.Took(flowehr.Plan{Steps: []flowehr.Step{create(core), create(group)}})
	behind := price.Took(flowehr.Plan{Steps: []flowehr.Step{create(core), create(group, core.Ref)}})
	if beside != alone || behind <= alone {
		t.Errorf("a group beside it takes %s and behind it %s, with %s alone", beside, behind, alone)
	}
	kept := price.Took(flowehr.Plan{Steps: []flowehr.Step{{Action: flowehr.Keep, Want: core}}})
	if kept != 0 {
		t.Errorf("keeping takes %s", kept)
	}
	touched := create(core)
	touched.Action = flowehr.Update
	for _, part := range []string{"Microsoft.Network/virtualNetworks vnet", "Microsoft.Databricks/workspaces dbks"} {
		kind, name, _ := strings.Cut(part, " ")
		touched.Parts = append(touched.Parts, flowehr.Part{Kind: kind, Name: name, Action: flowehr.Keep})
	}
	if d := price.Took(flowehr.Plan{Steps: []flowehr.Step{touched}}); d >= alone || d > time.Minute {
		t.Errorf("a stack of which little changes takes %s", d)
	}
}
