package armtest

import (
	"regexp"
	"strings"
)

// shapes are the rules for names that the descriptions do not have, or have wrongly.
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
var shapes = map[string]*regexp.Regexp{
	"Microsoft.Authorization/locks":                            regexp.MustCompile(`^[^<>%&?/]{1,90}$`),
	"Microsoft.Authorization/roleAssignments":                  regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	"Microsoft.Authorization/roleDefinitions":                  regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
	"Microsoft.ContainerRegistry/registries":                   regexp.MustCompile(`^[a-zA-Z0-9]{5,50}$`),
	"Microsoft.ContainerRegistry/registries/scopeMaps":         regexp.MustCompile(`^[a-zA-Z0-9-_]{5,50}$`),
	"Microsoft.ContainerRegistry/registries/tokens":            regexp.MustCompile(`^[a-zA-Z0-9-]{5,50}$`),
	"Microsoft.ContainerRegistry/registries/webhooks":          regexp.MustCompile(`^[a-zA-Z0-9]{5,50}$`),
	"Microsoft.DataFactory/factories":                          regexp.MustCompile(`^[A-Za-z0-9](-?[A-Za-z0-9]){2,62}$`),
	"Microsoft.DBforPostgreSQL/flexibleServers":                regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{1,61}[a-z0-9])$`),
	"Microsoft.DocumentDB/databaseAccounts":                    regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,42}[a-z0-9]$`),
	"Microsoft.Insights/actionGroups":                          regexp.MustCompile(`^[^:<>+/&%\\?|]{0,259}[^:<>+/&%\\?| .]$`),
	"Microsoft.Insights/activityLogAlerts":                     regexp.MustCompile(`^[^<>*%{}&:\\?+/#|]{0,259}[^<>*%{}&:\\?+/#| .]$`),
	"Microsoft.Insights/autoscalesettings":                     regexp.MustCompile(`^[^<>%&#.,?+:;/\\]{1,259}$`),
	"Microsoft.Insights/components":                            regexp.MustCompile(`^[^%&\\?/]{0,254}[^%&\\?/ .]$`),
	"Microsoft.KeyVault/vaults":                                regexp.MustCompile(`^[a-zA-Z](-?[a-zA-Z0-9]){2,23}$`),
	"Microsoft.KeyVault/vaults/secrets":                        regexp.MustCompile(`^[a-zA-Z0-9-]{1,127}$`),
	"Microsoft.MachineLearningServices/registries":             regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$`),
	"Microsoft.ManagedIdentity/userAssignedIdentities":         regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_-]{2,127}$`),
	"Microsoft.Network/networkSecurityGroups":                  networkName,
	"Microsoft.Network/networkWatchers/flowLogs":               networkName,
	"Microsoft.Network/privateDnsZones/virtualNetworkLinks":    networkName,
	"Microsoft.Network/privateEndpoints":                       regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9_]$`),
	"Microsoft.Network/routeTables":                            networkName,
	"Microsoft.Network/virtualNetworks":                        regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}[a-zA-Z0-9_]$`),
	"Microsoft.Network/virtualNetworks/subnets":                networkName,
	"Microsoft.Network/virtualNetworks/virtualNetworkPeerings": networkName,
	"Microsoft.Portal/dashboards":                              regexp.MustCompile(`^[a-zA-Z0-9-]{3,24}$`),
	"Microsoft.Resources/deployments":                          regexp.MustCompile(`^[a-zA-Z0-9_.()-]{1,64}$`),
	"Microsoft.Resources/resourceGroups":                       regexp.MustCompile(`^[\w.()-]{0,89}[\w()-]$`),
	"Microsoft.Sql/servers":                                    regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`),
	"Microsoft.Sql/servers/databases":                          regexp.MustCompile(`^[^<>*%&:\\/?]{0,127}[^<>*%&:\\/?. ]$`),
	"Microsoft.Storage/storageAccounts":                        regexp.MustCompile(`^[a-z0-9]{3,24}$`),
	"Microsoft.Storage/storageAccounts/blobServices/containers": regexp.MustCompile(
		`^(\$root|\$web|[a-z0-9](-?[a-z0-9]){2,62})$`),
	"Microsoft.Web/serverfarms": regexp.MustCompile(`^[a-zA-Z0-9-]{1,40}$`),
	"Microsoft.Web/sites":       regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9-]{0,58}[a-zA-Z0-9])$`),
	"Microsoft.Web/sites/slots": regexp.MustCompile(`^[a-zA-Z0-9-]{2,59}$`),
}

// networkName is the rule of most things of a network.
var networkName = regexp.MustCompile(`^[a-zA-Z0-9]([a-zA-Z0-9_.-]{0,78}[a-zA-Z0-9_])?$`)

// FitsName reports whether Azure allows a name for a resource of a type, the last part of the name for one within another. Types
// without a rule here allow every name.
func FitsName(typ, name string) bool {
	shape := shapes[typ]
	return shape == nil || shape.MatchString(name)
}

// name checks that a resource's name has a part for each part of its type, and that the last keeps to the rule of the type.
func (c *checker) name(path, typ string, value any) {
	name, ok := value.(string)
	switch {
	case !ok || name == "":
		c.bad(path+".name", "%v is no name", value)
	case isExpression(name):
	case strings.Count(name, "/") != strings.Count(typ, "/")-1:
		c.bad(path+".name", "%q has not as many parts as %s", name, typ)
	default:
		if last := name[strings.LastIndexByte(name, '/')+1:]; !FitsName(typ, last) {
			c.bad(path+".name", "%q is not allowed as the name of %s", last, typ)
		}
	}
}
