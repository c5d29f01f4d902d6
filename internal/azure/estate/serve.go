package estate

import (
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// hasServe says whether there is a serve layer: when the definition has apps, or names serve in config.yaml. Without either it
// would cost money and serve nobody.
func (l *lowering) hasServe() bool { return l.env.Serve != nil || len(l.env.Apps) > 0 }

// serve describes the layer that apps stand on: the registry of their images, the plan that they run on, the account of their
// state, their vault and the registry of models.
//
// Nothing here has a lock, unlike in core and transform. A lock holds for all that is below it, role assignments included, so
// with one an app could not be taken out of the definition again. With real data the stack denies deletion, the vault is
// protected from purging, and each app's state has a lock of its own.
func (l *lowering) serve() {
	if !l.hasServe() {
		return
	}
	s := l.stack(flowehr.LayerServe, "serve")
	l.imageRegistry(s)
	l.appPlan(s)
	l.documents(s)
	l.appVault(s)
	l.modelRegistry(s)
	s.holds = true // models and the state of apps
	s.done(flowehr.Pos{}, coreStack(), group(l.names.Apps()), group(l.names.Stewards()))
}

func (l *lowering) registryID() string {
	return l.id("Microsoft.ContainerRegistry/registries", l.names.Registry())
}

// imageRegistry makes the registry of images. Its size has no private endpoint, so what protects it is that nobody gets in
// without an identity or a token of one app's images.
func (l *lowering) imageRegistry(s *stack) {
	r := l.regional("Microsoft.ContainerRegistry/registries", l.names.Registry(), arm.Object{
		"adminUserEnabled":     false,
		"anonymousPullEnabled": false,
		"publicNetworkAccess":  "Enabled",
	})
	r.SKU = arm.Object{"name": "Standard"}
	registry := s.add("registry", r)
	s.add("registryDiagnostics", l.logged(l.registryID(), true, "ContainerRegistryLoginEvents", "ContainerRegistryRepositoryEvents"), registry)
}

func (l *lowering) planID() string { return l.id("Microsoft.Web/serverfarms", l.names.Plan()) }

// appPlan makes the machines that apps run on.
func (l *lowering) appPlan(s *stack) {
	r := l.regional("Microsoft.Web/serverfarms", l.names.Plan(), arm.Object{"reserved": true}) // reserved means Linux
	r.Kind, r.SKU = "linux", arm.Object{"name": l.env.Sizes.AppPlanSKU}
	plan := s.add("plan", r)
	s.add("planDiagnostics", l.logged(l.planID(), true), plan)
	if !l.planScales() {
		l.warn(flowehr.Pos{}, "Azure scales plans from size S1 on. Set serve.plan_sku to S1 or larger.",
			"the app plan %s does not grow with load", l.env.Sizes.AppPlanSKU)
		return
	}
	autoscale := s.add("autoscale", l.regional("Microsoft.Insights/autoscalesettings", l.names.Autoscale(), l.autoscale()), plan)
	s.add("autoscaleDiagnostics", l.logged(l.id("Microsoft.Insights/autoscalesettings", l.names.Autoscale()), false,
		"AutoscaleEvaluations", "AutoscaleScaleActions"), autoscale)
}

// planScales reports whether the plan is large enough for scaling and for slots: free, shared and basic ones are not.
// https://learn.microsoft.com/azure/azure-resource-manager/management/azure-subscription-service-limits#azure-app-service-limits
func (l *lowering) planScales() bool {
	return !strings.ContainsAny(strings.ToUpper(l.env.Sizes.AppPlanSKU[:min(1, len(l.env.Sizes.AppPlanSKU))]), "BDF")
}

// Load at which a machine is added to the plan or taken away, and the most that there may be.
const (
	scaleOutAbove = 80 // percent of the processors, on average
	scaleInBelow  = 20
	mostMachines  = "10"
)

func (l *lowering) autoscale() arm.Object {
	rule := func(operator string, threshold int, direction string) arm.Object {
		return arm.Object{
			"metricTrigger": arm.Object{
				"metricName": "CpuPercentage", "metricNamespace": "microsoft.web/serverfarms", "metricResourceUri": l.planID(),
				"timeGrain": "PT1M", "statistic": "Average", "timeWindow": "PT5M", "timeAggregation": "Average",
				"operator": operator, "threshold": threshold, "dividePerInstance": false,
			},
			"scaleAction": arm.Object{"direction": direction, "type": "ChangeCount", "value": "1", "cooldown": "PT5M"},
		}
	}
	return arm.Object{
		"name": l.names.Autoscale(), "enabled": true, "targetResourceUri": l.planID(),
		"profiles": []arm.Object{{
			"name":     "load",
			"capacity": arm.Object{"minimum": "1", "default": "1", "maximum": mostMachines},
			"rules": []arm.Object{
				rule("GreaterThan", scaleOutAbove, "Increase"),
				rule("LessThan", scaleInBelow, "Decrease"),
			},
		}},
		"notifications": []arm.Object{},
	}
}

func (l *lowering) documentsID() string {
	return l.id("Microsoft.DocumentDB/databaseAccounts", l.names.Documents())
}

// documents makes the account of the apps' state: paid by use, and readable in the order of writing but for ten seconds. With
// real data it is reached from within the network and by identities only.
func (l *lowering) documents(s *stack) {
	name := l.names.Documents()
	access := "Enabled"
	if l.env.RealData {
		access = "Disabled"
	}
	r := l.regional("Microsoft.DocumentDB/databaseAccounts", name, arm.Object{
		"databaseAccountOfferType": "Standard",
		"capabilities":             []arm.Object{{"name": "EnableServerless"}},
		"consistencyPolicy": arm.Object{
			"defaultConsistencyLevel": "BoundedStaleness", "maxIntervalInSeconds": 10, "maxStalenessPrefix": 200,
		},
		"locations":                          []arm.Object{{"locationName": l.env.Location, "failoverPriority": 0, "isZoneRedundant": false}},
		"disableKeyBasedMetadataWriteAccess": true,
		"disableLocalAuth":                   l.env.RealData,
		"minimalTlsVersion":                  "Tls12",
		"networkAclBypass":                   "None",
		"publicNetworkAccess":                access,
	})
	r.Kind = "GlobalDocumentDB"
	account := s.add("documents", r)
	s.add("documentsDiagnostics", l.logged(l.documentsID(), false, "ControlPlaneRequests", "DataPlaneRequests"), account)
	if l.env.RealData {
		l.privateEndpoint(s, "documentsEndpoint", l.names.PrivateEndpoint("cosmos"), l.documentsID(), "Sql", []string{azure.ZoneDocuments}, account)
	}
}

func (l *lowering) appVaultID() string {
	return l.id("Microsoft.KeyVault/vaults", l.names.AppVault())
}

// appVault makes the vault of the apps, which every app may read.
func (l *lowering) appVault(s *stack) {
	id := l.appVaultID()
	vault := s.add("appVault", l.keyVault(l.names.AppVault()))
	s.add("appVaultDeployer", l.allowDeployer(id, azure.RoleVaultAdministrator), vault)
	s.add("appVaultApps", l.allow(id, azure.RoleVaultSecretsUser, objectID(l.names.Apps()), azure.PrincipalGroup, l.names.Apps()), vault)
	s.add("appVaultDiagnostics", l.logged(id, true, "AuditEvent"), vault)
	l.privateEndpoint(s, "appVaultEndpoint", l.names.AppVaultEndpoint(), id, "vault", []string{azure.ZoneVault}, vault)
}

func (l *lowering) modelRegistryID() string {
	return l.id("Microsoft.MachineLearningServices/registries", l.names.ModelRegistry())
}

// modelRegistry makes the registry of models. Azure makes storage and an image registry for it, in a resource group that it
// manages. It is reached by its public address: a private one would need the endpoints of those two as well.
func (l *lowering) modelRegistry(s *stack) {
	id := l.modelRegistryID()
	r := l.regional("Microsoft.MachineLearningServices/registries", l.names.ModelRegistry(), arm.Object{
		"publicNetworkAccess": "Enabled",
		"regionDetails": []arm.Object{{
			"location":   l.env.Location,
			"acrDetails": []arm.Object{{"systemCreatedAcrAccount": arm.Object{"acrAccountSku": "Premium"}}},
			"storageAccountDetails": []arm.Object{{"systemCreatedStorageAccount": arm.Object{
				"storageAccountType": "Standard_LRS", "storageAccountHnsEnabled": false, "allowBlobPublicAccess": false,
			}}},
		}},
	})
	r.Identity = arm.Object{"type": "SystemAssigned"}
	r.SKU = arm.Object{"name": "Basic", "tier": "Basic"}
	registry := s.add("modelRegistry", r)
	s.add("modelRegistryDiagnostics", l.logged(id, false, "RegistryAssetReadEvent", "RegistryAssetWriteEvent"), registry)
	for _, use := range []struct {
		symbol string
		role   azure.CustomRole
		group  string
	}{
		{"modelWriters", azure.ModelWriterRole(), l.names.Stewards()},
		{"modelReaders", azure.ModelReaderRole(), l.names.Apps()},
	} {
		role := s.add(use.symbol+"Role", customRole(use.role, id), registry)
		s.add(use.symbol, l.allow(id, use.role.ID(id), objectID(use.group), azure.PrincipalGroup, use.group), role)
	}
}

// customRole defines a role on the resource of an id. It may be assigned there and, if need be, at other scopes.
func customRole(role azure.CustomRole, scope string, others ...string) arm.Resource {
	r := arm.New("Microsoft.Authorization/roleDefinitions", role.ID(scope), arm.Object{
		"roleName":         role.TitleFor(scope),
		"description":      role.Description,
		"type":             "CustomRole",
		"permissions":      []arm.Object{{"actions": role.Actions}},
		"assignableScopes": append([]string{scope}, others...),
	})
	r.Scope = scope
	return r
}
