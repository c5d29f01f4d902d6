// Package pace says how long Azure usually takes to make a resource of each type.
//
// Plans estimate time with it and the simulator passes it in virtual time. It measures nothing and knows nothing of regions
// or load.
//
// The rule that holds here: a figure is either published, with the place where it was, or marked as an estimate.
package pace

import (
	"strings"
	"time"
)

// Ready is the time after its creation until a Databricks workspace answers. It is written like a type.
const Ready = "databricks/ready-after-create"

// DeleteRetries is how long a deployment stack goes on trying to delete what cannot be deleted.
const DeleteRetries = "stack/delete-retry-window"

// figure is the span in seconds that was seen or, without a source, is supposed.
type figure struct {
	shortest, longest int
	source            string
}

// figures is keyed by resource type in lower case. Sources are issues and pull requests of the named projects at GitHub, in
// which people quote how long an apply took.
func figures(typ string) (figure, bool) {
	switch typ {
	case "microsoft.resources/resourcegroups":
		return figure{2, 5, "turbot/steampipe-plugin-azure 70, 298, 306"}, true
	case "microsoft.storage/storageaccounts":
		return figure{27, 39, "turbot/steampipe-plugin-azure 70, 300, 306"}, true
	case "microsoft.keyvault/vaults":
		return figure{30, 129, "hnaung/azure-landingzones-demo; turbot/steampipe-plugin-azure 306"}, true
	case "microsoft.insights/components":
		return figure{5, 43, "hnaung/azure-landingzones-demo"}, true
	case "microsoft.insights/actiongroups":
		return figure{5, 10, "turbot/steampipe-plugin-azure 70"}, true
	case "microsoft.datafactory/factories":
		return figure{3, 22, "hashicorp/terraform-provider-azurerm 11418; turbot/steampipe-plugin-azure 169, 298"}, true
	case "microsoft.datafactory/factories/pipelines":
		return figure{2, 4, "turbot/steampipe-plugin-azure 169"}, true
	case "microsoft.databricks/workspaces":
		return figure{48, 143, "hashicorp/terraform-provider-azurerm 11418, 15172"}, true
	case Ready:
		return figure{30, 180, "databricks/terraform-provider-databricks 1903; Azure/azure-rest-api-specs 9316"}, true
	case "microsoft.network/privatednszones/virtualnetworklinks":
		return figure{30, 70, "cloudera-labs/terraform-cdp-modules 39"}, true
	case "microsoft.network/virtualnetworks/subnets":
		return figure{5, 35, "hashicorp/terraform-provider-azurerm 28112"}, true
	case "microsoft.machinelearningservices/workspaces":
		return figure{65, 65, "hnaung/azure-landingzones-demo"}, true
	case "microsoft.documentdb/databaseaccounts":
		return figure{60, 180, "Azure/azure-libraries-for-net 185"}, true
	case DeleteRetries:
		return figure{3600, 3600, "Azure/deployment-stacks 194; Azure/azure-cli 31719"}, true
	case "microsoft.sql/servers":
		return figure{60, 120, ""}, true
	case "microsoft.sql/servers/databases":
		return figure{45, 90, ""}, true
	case "microsoft.network/privateendpoints":
		return figure{60, 120, ""}, true
	case "microsoft.network/virtualnetworks":
		return figure{5, 10, ""}, true
	case "microsoft.network/networksecuritygroups", "microsoft.network/routetables":
		return figure{3, 10, ""}, true
	case "microsoft.network/privatednszones":
		return figure{30, 60, ""}, true
	case "microsoft.web/serverfarms", "microsoft.containerregistry/registries":
		return figure{10, 25, ""}, true
	case "microsoft.web/sites":
		return figure{25, 60, ""}, true
	case "microsoft.operationalinsights/workspaces":
		return figure{20, 60, ""}, true
	case "microsoft.authorization/roleassignments":
		return figure{5, 30, ""}, true
	case "microsoft.machinelearningservices/registries":
		return figure{120, 300, ""}, true
	case "microsoft.resources/deployments":
		return figure{0, 0, ""}, true // takes what its resources take
	}
	return figure{}, false
}

// Of returns how long making a resource of a type typically and at the longest takes, and whether that was published. A
// type that nothing is known of takes what small settings take.
func Of(typ string) (typical, longest time.Duration, published bool) {
	f, known := figures(strings.ToLower(typ))
	if !known {
		f = figure{3, 10, ""}
	}
	return time.Duration(f.shortest+f.longest) * time.Second / 2, time.Duration(f.longest) * time.Second, f.source != ""
}

// Source returns where the figures of a type were published, empty when they are estimates.
func Source(typ string) string {
	f, _ := figures(strings.ToLower(typ))
	return f.source
}
