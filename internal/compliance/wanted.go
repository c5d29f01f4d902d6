package compliance

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// Want is a GET that a caller makes to see what stands. The body goes into [Input.Live] under ID; a 404 as null.
type Want struct {
	ID         string `json:"id"`
	APIVersion string `json:"apiVersion"`
	Optional   bool   `json:"optional,omitempty"` // not made by the environment; who may not read it leaves it out
}

// unasked are types whose bodies no check looks at. App settings are returned by a POST only.
var unasked = []string{
	"Microsoft.Network/privateDnsZones/virtualNetworkLinks", "Microsoft.Insights/autoscalesettings", "Microsoft.Web/sites/config", "Microsoft.Web/sites/slots/config",
	"Microsoft.OperationalInsights/workspaces/linkedStorageAccounts",
}

// beside are what is asked for beside a resource of a type: lists, in which things stand that the definition does not make, and
// parts that Azure has from the start.
var beside = map[string][]struct{ path, version string }{
	"Microsoft.Sql/servers":                     {{"firewallRules", "2023-08-01"}, {"encryptionProtector/current", "2023-08-01"}},
	"Microsoft.DBforPostgreSQL/flexibleServers": {{"firewallRules", "2024-08-01"}, {"configurations", "2024-08-01"}},
	"Microsoft.KeyVault/vaults":                 {{"secrets", "2023-07-01"}, {"keys", "2023-07-01"}},
	"Microsoft.Web/sites":                       {{"config/web", "2024-04-01"}, {"config/authsettingsV2", "2024-04-01"}},
	"Microsoft.Web/sites/slots":                 {{"config/web", "2024-04-01"}, {"config/authsettingsV2", "2024-04-01"}},
	"Microsoft.Storage/storageAccounts":         {{"blobServices/default", "2024-01-01"}},
}

// ofSubscription are asked for once.
var ofSubscription = []struct{ path, version string }{
	{"Microsoft.Security/pricings", "2024-01-01"},
	{diagnostics, "2021-05-01-preview"},
}

// Wanted lists what a caller should ask Azure for, in the order of ids, from the resources as they were applied.
func Wanted(resources []flowehr.Resource) ([]Want, error) {
	found := map[string]Want{}
	subscription := ""
	for _, r := range resources {
		if r.Ref.Kind != azure.KindStack {
			continue
		}
		items, err := itemsOf(r)
		if err != nil {
			return nil, fmt.Errorf("what to ask for: %w", err)
		}
		for _, it := range items {
			if s := subscriptionPattern.FindString(it.id); s != "" {
				subscription = s
			}
			if !slices.Contains(unasked, it.typ) {
				found[strings.ToLower(it.id)] = Want{ID: it.id, APIVersion: it.version}
			}
			for _, b := range beside[it.typ] {
				id := it.id + "/" + b.path
				if _, have := found[strings.ToLower(id)]; !have {
					found[strings.ToLower(id)] = Want{ID: id, APIVersion: b.version, Optional: true}
				}
			}
		}
	}
	if subscription != "" {
		for _, s := range ofSubscription {
			id := subscription + "/providers/" + s.path
			found[strings.ToLower(id)] = Want{ID: id, APIVersion: s.version, Optional: true}
		}
	}
	out := make([]Want, 0, len(found))
	for _, w := range found {
		out = append(out, w)
	}
	slices.SortFunc(out, func(a, b Want) int { return strings.Compare(a.ID, b.ID) })
	return out, nil
}
