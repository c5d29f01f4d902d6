// Package price estimates what an environment in Azure costs a month and how long a plan takes, before anything is made.
//
// It has a dated table of list prices for what is billed by its mere existence. What is billed by use (storage, logs, runs,
// cluster hours) is named and left out of the sum, because nobody can know it beforehand. It does not ask a service, and it
// knows nothing of discounts.
//
// The rule that holds here: a thing whose price is not in the table is never counted as free. It is free by the table, priced
// by the table, or named as not priced.
package price

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// Edition says which prices the table has. They are the pay-as-you-go list prices of the region East US; other regions differ by
// a few per cent up to a third. The calculator of Microsoft has today's: https://azure.microsoft.com/pricing/calculator
const Edition = "Microsoft's list prices for East US, 2025"

// Currency of the table.
const Currency = "USD"

// hours of a month, as Microsoft's calculator counts.
const hours = 730

// fixed has what one resource of a type costs a month, whatever it is like.
var fixed = map[string]float64{
	"Microsoft.Network/privateEndpoints": 0.01 * hours, // and by gigabyte
	"Microsoft.Network/privateDnsZones":  0.50,
}

// bySKU has what a resource costs a month by the name of its size.
var bySKU = map[string]map[string]float64{
	"Microsoft.Web/serverfarms": { // Linux, one instance; autoscale adds more of the same
		"B1": 0.017 * hours, "B2": 0.034 * hours, "B3": 0.067 * hours, "S1": 0.095 * hours, "S2": 0.19 * hours, "S3": 0.38 * hours,
		"P0v3": 0.085 * hours, "P1v3": 0.155 * hours, "P2v3": 0.31 * hours, "P3v3": 0.62 * hours,
	},
	"Microsoft.Sql/servers/databases": {
		"Basic": 4.90, "S0": 14.72, "S1": 29.43, "S2": 73.58, "S3": 147.17, "S4": 294.37, "P1": 456.25, "P2": 912.50,
	},
	"Microsoft.ContainerRegistry/registries": {"Basic": 0.1666 * hours / 24, "Standard": 0.6666 * hours / 24, "Premium": 1.6666 * hours / 24},
	"Microsoft.DBforPostgreSQL/flexibleServers": {
		"Standard_B1ms": 0.017 * hours, "Standard_B2s": 0.068 * hours, "Standard_D2ds_v5": 0.178 * hours, "Standard_D4ds_v5": 0.356 * hours,
	},
}

// byUse says why a type is not in the sum.
var byUse = map[string]string{
	"Microsoft.Compute/virtualMachineScaleSets":                "billed by the hours of its machines",
	"Microsoft.MachineLearningServices/registries":             "billed for the storage and registry that it makes",
	"Microsoft.Databricks/workspaces":                          "billed by the hours of its clusters",
	"Microsoft.DataFactory/factories":                          "billed by runs and by hours of its integration runtime",
	"Microsoft.Storage/storageAccounts":                        "billed by gigabyte and request",
	"Microsoft.KeyVault/vaults":                                "billed by request",
	"Microsoft.OperationalInsights/workspaces":                 "billed by gigabyte of logs",
	"Microsoft.Insights/components":                            "billed by gigabyte of telemetry",
	"Microsoft.DocumentDB/databaseAccounts":                    "serverless: billed by request and gigabyte",
	"Microsoft.Network/networkWatchers/flowLogs":               "billed by gigabyte of logs",
	"Microsoft.Network/virtualNetworks/virtualNetworkPeerings": "billed by gigabyte of traffic",
}

// free lists what costs nothing in itself.
var free = []string{
	"Microsoft.Resources/", "Microsoft.Authorization/", "Microsoft.Network/virtualNetworks", "Microsoft.Network/networkSecurityGroups",
	"Microsoft.Network/routeTables", "Microsoft.Network/privateDnsZones/", "Microsoft.Network/privateEndpoints/", "Microsoft.Storage/storageAccounts/",
	"Microsoft.KeyVault/vaults/", "Microsoft.OperationalInsights/workspaces/", "Microsoft.Insights/actionGroups", "Microsoft.Insights/activityLogAlerts",
	"Microsoft.Insights/diagnosticSettings", "Microsoft.Insights/autoscalesettings", "Microsoft.DataFactory/factories/", "Microsoft.Databricks/accessConnectors",
	"Microsoft.Sql/servers", "Microsoft.Portal/dashboards", "Microsoft.DocumentDB/databaseAccounts/", "Microsoft.ContainerRegistry/registries/",
	"Microsoft.Web/sites", "Microsoft.ManagedIdentity/", "Microsoft.DBforPostgreSQL/flexibleServers/", "Microsoft.Network/networkWatchers",
}

// Sum is a price a month and what it leaves out.
type Sum struct {
	Monthly  float64
	Unpriced []string // "name: why", sorted
}

// Of adds up what resources cost. It reads the templates of stacks; what directories, secrets and grants cost is nothing.
func Of(resources []flowehr.Resource) Sum {
	s := summer{unpriced: map[string]bool{}}
	for _, r := range resources {
		switch r.Ref.Kind {
		case azure.KindStack:
			var spec azure.StackSpec
			if json.Unmarshal(r.Spec, &spec) == nil {
				s.template(spec.Template)
			}
		case azure.KindCluster:
			s.leaveOut(r.Ref.Name, "billed by the hour while it runs, by node type")
		case azure.KindRepository:
			s.leaveOut(r.Ref.Name, "billed by GitHub as its plan says")
		}
	}
	return Sum{Monthly: s.monthly, Unpriced: slices.Sorted(maps.Keys(s.unpriced))}
}

type summer struct {
	monthly  float64
	unpriced map[string]bool
}

func (s *summer) leaveOut(name, why string) { s.unpriced[name+": "+why] = true }

// priced is what matters of a resource of a template.
type priced struct {
	Type, Name string
	SKU        struct{ Name string }
	Properties struct {
		Template json.RawMessage
		State    string
	}
}

func (s *summer) template(raw json.RawMessage) {
	var t struct{ Resources map[string]json.RawMessage }
	if json.Unmarshal(raw, &t) != nil {
		return
	}
	for _, symbol := range slices.Sorted(maps.Keys(t.Resources)) {
		var r priced
		if json.Unmarshal(t.Resources[symbol], &r) != nil {
			// A resource whose properties have another form is still one of its type.
			var head struct{ Type, Name string }
			_ = json.Unmarshal(t.Resources[symbol], &head)
			r = priced{Type: head.Type, Name: head.Name}
		}
		if r.Type == "Microsoft.Resources/deployments" {
			s.template(r.Properties.Template)
			continue
		}
		s.resource(r)
	}
}

// vulnerabilityScans is what Microsoft Defender for SQL costs for each server where its alerts are on.
const vulnerabilityScans = 15

func (s *summer) resource(r priced) {
	if r.Type == "Microsoft.Sql/servers/securityAlertPolicies" {
		if r.Properties.State == "Enabled" {
			s.monthly += vulnerabilityScans
		}
		return
	}
	if sizes, ok := bySKU[r.Type]; ok {
		price, known := sizes[r.SKU.Name]
		if !known {
			s.leaveOut(r.Name, fmt.Sprintf("the table has no price for size %q", r.SKU.Name))
			return
		}
		s.monthly += price
		return
	}
	if price, ok := fixed[r.Type]; ok {
		s.monthly += price
		return
	}
	if why, ok := byUse[r.Type]; ok {
		s.leaveOut(r.Name, why)
		return
	}
	if !isFree(r.Type) {
		s.leaveOut(r.Name, "the table has no price for "+r.Type)
	}
}

// isFree reports whether typ is in the list, or below an entry that ends in a slash.
func isFree(typ string) bool {
	return slices.ContainsFunc(free, func(f string) bool {
		return typ == f || strings.HasPrefix(typ, strings.TrimSuffix(f, "/")+"/")
	})
}
