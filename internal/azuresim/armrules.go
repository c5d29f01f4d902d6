package azuresim

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Conditions are circumstances of the subscription that get in the way of deployments.
type Conditions struct {
	Taken        []string            `json:"taken,omitempty"`        // names that are unique in all of Azure and that somebody else has
	Unregistered []string            `json:"unregistered,omitempty"` // resource providers, for example Microsoft.Databricks
	Unavailable  map[string][]string `json:"unavailable,omitempty"`  // region to types that it does not have
	Quotas       map[string]int      `json:"quotas,omitempty"`       // how many resources of a type there may be
	Policies     []Policy            `json:"policies,omitempty"`
	Rejected     map[string]string   `json:"rejected,omitempty"` // type to what its provider says against every body

	// Lapse has access tokens end by virtual time, TokenLife after they were made. Without it they last for as long as the simulation:
	// clients count a token's hour by their own clock, ahead of which virtual time runs.
	Lapse     bool          `json:"lapse,omitempty"`
	TokenLife time.Duration `json:"tokenLife,omitempty"` // 0 means an hour

	// Skew is how far the clock of the services is ahead of virtual time, by which clients set theirs: it makes a client's clock slow,
	// or fast when it is negative. Responses are dated by it and assertions of clients are held to it.
	Skew time.Duration `json:"skew,omitempty"`
}

// Policy denies resources of a type, or with Region all elsewhere.
type Policy struct {
	Name   string `json:"name"`
	Type   string `json:"type,omitempty"`   // empty means all types that have a location
	Region string `json:"region,omitempty"` // the only one that is allowed; empty means that none is
}

// regions are those that the simulation has.
func regions() []string {
	return []string{"uksouth", "ukwest", "northeurope", "westeurope", "swedencentral", "francecentral", "germanywestcentral", "norwayeast", "switzerlandnorth",
		"eastus", "eastus2", "centralus", "westus2", "westus3", "canadacentral", "australiaeast", "southeastasia", "japaneast"}
}

// namespaces are the resource providers that the simulation plays.
func namespaces() []string {
	return []string{"Microsoft.Authorization", "Microsoft.Compute", "Microsoft.ContainerRegistry", "Microsoft.DataFactory", "Microsoft.Databricks", "Microsoft.DocumentDB", "Microsoft.Insights",
		"Microsoft.KeyVault", "Microsoft.MachineLearningServices", "Microsoft.ManagedIdentity", "Microsoft.Network", "Microsoft.OperationalInsights", "Microsoft.Portal", "Microsoft.Resources",
		"Microsoft.Sql", "Microsoft.DBforPostgreSQL", "Microsoft.Storage", "Microsoft.Web"}
}

func namespace(typ string) string {
	ns, _, _ := strings.Cut(typ, "/")
	return ns
}

func knownNamespace(typ string) bool {
	return slices.ContainsFunc(namespaces(), func(n string) bool { return strings.EqualFold(n, namespace(typ)) })
}

// providerTypes are the types that the description of a provider lists. Whether a region has them is what clients ask.
func providerTypes() []string {
	return []string{"Microsoft.Authorization/locks", "Microsoft.Authorization/roleAssignments", "Microsoft.Authorization/roleDefinitions", "Microsoft.Compute/virtualMachineScaleSets",
		"Microsoft.ContainerRegistry/registries", "Microsoft.DataFactory/factories", "Microsoft.Databricks/workspaces", "Microsoft.Databricks/accessConnectors",
		"Microsoft.DBforPostgreSQL/flexibleServers", "Microsoft.DocumentDB/databaseAccounts", "Microsoft.Insights/components", "Microsoft.Insights/actionGroups",
		"Microsoft.Insights/autoscalesettings", "Microsoft.KeyVault/vaults", "Microsoft.MachineLearningServices/registries", "Microsoft.MachineLearningServices/workspaces",
		"Microsoft.ManagedIdentity/userAssignedIdentities", "Microsoft.Network/virtualNetworks", "Microsoft.Network/networkSecurityGroups", "Microsoft.Network/routeTables",
		"Microsoft.Network/privateEndpoints", "Microsoft.Network/privateDnsZones", "Microsoft.Network/natGateways", "Microsoft.Network/publicIPAddresses", "Microsoft.Network/networkWatchers",
		"Microsoft.OperationalInsights/workspaces", "Microsoft.Portal/dashboards", "Microsoft.Resources/resourceGroups", "Microsoft.Resources/deployments", "Microsoft.Resources/deploymentStacks",
		"Microsoft.Sql/servers", "Microsoft.Sql/servers/databases", "Microsoft.Storage/storageAccounts", "Microsoft.Web/serverfarms", "Microsoft.Web/sites"}
}

func (m *manager) registered(ns string) bool {
	return m.w.Manager.Registered[strings.ToLower(ns)] || !slices.ContainsFunc(m.conditions.Unregistered, func(u string) bool { return strings.EqualFold(u, ns) })
}

func (m *manager) available(typ, region string) bool {
	return !slices.ContainsFunc(m.conditions.Unavailable[region], func(t string) bool { return strings.EqualFold(t, typ) })
}

// flat writes a region as ids do: "UK South" is uksouth.
func flat(region string) string { return strings.ToLower(strings.ReplaceAll(region, " ", "")) }

// preflight is what is refused before anything is done: what the subscription does not allow, and what the provider can
// see is wrong from the body alone.
func (m *manager) preflight(want wanted) *serviceError {
	ns := namespace(want.Type)
	if !knownNamespace(want.Type) {
		return refusal("InvalidResourceNamespace", "The resource namespace '%s' is invalid.", ns)
	}
	if !m.registered(ns) {
		e := refusal("MissingSubscriptionRegistration", "The subscription is not registered to use namespace '%s'. See https://aka.ms/rps-not-found for how to register subscriptions.", ns)
		e.Target = ns
		return e
	}
	region, existing := flat(textAt(want.Body, "location")), m.w.Manager.Resources[key(want.ID)]
	if region != "" && region != "global" && (!slices.Contains(regions(), region) || !m.available(want.Type, region)) {
		return refusal("LocationNotAvailableForResourceType", "The provided location '%s' is not available for resource type '%s'.", region, want.Type)
	}
	if existing != nil && region != "" && existing.Want != nil && textAt(existing.Want, "location") != "" && flat(textAt(existing.Want, "location")) != region {
		return refusal("InvalidResourceLocation", "The resource '%s' already exists in location '%s'. A resource with the same name cannot be created in location '%s'. Please select a new resource name.",
			want.Name, textAt(existing.Want, "location"), region)
	}
	for _, p := range m.conditions.Policies {
		if p.Type != "" && !strings.EqualFold(p.Type, want.Type) || p.Type == "" && region == "" || p.Region != "" && (region == "" || flat(p.Region) == region) {
			continue
		}
		e := refusal("RequestDisallowedByPolicy", "Resource '%s' was disallowed by policy. Policy identifiers: '[{\"policyAssignment\":{\"name\":\"%s\"}}]'.", want.Name, p.Name)
		e.Target = want.Name
		return e
	}
	if refused := m.nameRules(want); refused != nil {
		return refused
	}
	if text, rejected := lookupFold(m.conditions.Rejected, want.Type); rejected {
		return refusal("BadRequest", "%s", text)
	}
	if existing == nil {
		return m.preflightNew(want)
	}
	return nil
}

func lookupFold[V any](in map[string]V, k string) (V, bool) {
	for have, v := range in {
		if strings.EqualFold(have, k) {
			return v, true
		}
	}
	var none V
	return none, false
}

// preflightNew is what is refused of a resource that does not stand yet.
func (m *manager) preflightNew(want wanted) *serviceError {
	if most, limited := lookupFold(m.conditions.Quotas, want.Type); limited {
		if n := len(m.all(func(r *resource) bool { return strings.EqualFold(r.Type, want.Type) })); n >= most {
			return refusal("QuotaExceeded", "Operation could not be completed as it results in exceeding approved %s quota. Current Limit: %d, Current Usage: %d, Additional Required: 1.", want.Type, most, n)
		}
	}
	code, text, global := globalName(want.Type)
	if !global {
		return nil
	}
	taken := slices.ContainsFunc(m.conditions.Taken, func(n string) bool { return strings.EqualFold(n, want.Name) })
	for _, r := range m.w.Manager.Resources {
		taken = taken || strings.EqualFold(r.Type, want.Type) && strings.EqualFold(r.Name, want.Name) && key(r.ID) != key(want.ID)
	}
	if taken {
		e := refusal(code, text, want.Name)
		e.Target = want.Name
		return e
	}
	if !strings.EqualFold(want.Type, typeVault) || textAt(want.Body, "properties", "createMode") == "recover" {
		return nil
	}
	for _, r := range m.w.Manager.Deleted {
		if strings.EqualFold(r.Type, typeVault) && strings.EqualFold(r.Name, want.Name) {
			return refusal("ConflictError", "A vault with the same name already exists in deleted state. You need to either recover or purge existing key vault. Follow this link https://go.microsoft.com/fwlink/?linkid=2149745 for more information on soft delete.")
		}
	}
	return nil
}

// globalName says how a provider tells that a name is taken, for types whose names are unique in all of Azure.
func globalName(typ string) (code, text string, global bool) {
	switch strings.ToLower(typ) {
	case "microsoft.storage/storageaccounts":
		return "StorageAccountAlreadyTaken", "The storage account named %s is already taken.", true
	case strings.ToLower(typeVault):
		return "VaultAlreadyExists", "The vault name '%s' is already in use. Vault names are globally unique so it is possible that the name is already taken.", true
	case strings.ToLower(typeSite):
		return "Conflict", "Website with given name %s already exists.", true
	case "microsoft.documentdb/databaseaccounts":
		return "BadRequest", "Dns record for %s under zone Document is already taken.", true
	case "microsoft.sql/servers":
		return "NameAlreadyExists", "The name '%s' already exists. Choose a different name.", true
	case "microsoft.containerregistry/registries":
		return "AlreadyInUse", "The registry DNS name %s.azurecr.io is already in use.", true
	case "microsoft.datafactory/factories":
		return "FactoryNameInUse", "The specified resource name '%s' is already in use. Resource names must be globally unique.", true
	}
	return "", "", false
}

// nameForms are the forms of names that providers refuse others of.
// https://learn.microsoft.com/azure/azure-resource-manager/management/resource-name-rules
var nameForms = map[string]struct {
	form *regexp.Regexp
	code string
}{
	"microsoft.storage/storageaccounts":            {regexp.MustCompile(`^[a-z0-9]{3,24}$`), "AccountNameInvalid"},
	"microsoft.keyvault/vaults":                    {regexp.MustCompile(`^[A-Za-z](-?[A-Za-z0-9]){2,23}$`), "VaultNameNotValid"},
	"microsoft.web/sites":                          {regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,58}[A-Za-z0-9])?$`), "BadRequest"},
	"microsoft.documentdb/databaseaccounts":        {regexp.MustCompile(`^[a-z0-9][a-z0-9-]{2,43}$`), "BadRequest"},
	"microsoft.sql/servers":                        {regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`), "InvalidResourceName"},
	"microsoft.containerregistry/registries":       {regexp.MustCompile(`^[A-Za-z0-9]{5,50}$`), "InvalidResourceName"},
	"microsoft.datafactory/factories":              {regexp.MustCompile(`^[A-Za-z0-9](-?[A-Za-z0-9]){2,62}$`), "InvalidResourceName"},
	"microsoft.databricks/workspaces":              {regexp.MustCompile(`^[A-Za-z0-9_-]{3,64}$`), "InvalidResourceName"},
	"microsoft.operationalinsights/workspaces":     {regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{2,61}[A-Za-z0-9])$`), "InvalidResourceName"},
	"microsoft.machinelearningservices/registries": {regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{2,32}$`), "InvalidResourceName"},
	"microsoft.resources/resourcegroups":           {regexp.MustCompile(`^[\w.()-]{0,89}[\w()-]$`), "InvalidResourceGroupName"},
	"microsoft.authorization/roleassignments":      {guidForm, "InvalidRoleAssignmentId"},
	"microsoft.authorization/roledefinitions":      {guidForm, "InvalidRoleDefinitionId"},
}

var guidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

func (m *manager) nameRules(want wanted) *serviceError {
	rule, ruled := nameForms[strings.ToLower(want.Type)]
	if ruled && !rule.form.MatchString(want.Name) {
		return refusal(rule.code, "The name '%s' is not valid for %s.", want.Name, want.Type)
	}
	return bodyRules(want)
}

// bodyRules are refusals that are known to surprise, and what tracked resources must have.
func bodyRules(want wanted) *serviceError {
	p := objectAt(want.Body, "properties")
	located := func() *serviceError {
		if textAt(want.Body, "location") == "" {
			return refusal("LocationRequired", "The location property is required for this definition.")
		}
		return nil
	}
	switch strings.ToLower(want.Type) {
	case strings.ToLower(typeVault):
		if on, set := p["enablePurgeProtection"].(bool); set && !on {
			return refusal("BadRequest", `The property "enablePurgeProtection" cannot be set to false. Enabling the purge protection for a vault is an irreversible action.`)
		}
		if textAt(p, "tenantId") == "" {
			return refusal("BadRequest", "The tenantId of the vault is missing.")
		}
		return located()
	case "microsoft.storage/storageaccounts":
		if textAt(want.Body, "sku", "name") == "" || textAt(want.Body, "kind") == "" {
			return refusal("InvalidRequestContent", "A storage account needs sku.name and kind.")
		}
		return located()
	case strings.ToLower(typeDatabricks):
		if textAt(p, "managedResourceGroupId") == "" && textAt(p, "computeMode") != "Serverless" {
			return refusal("ApplianceManagedResourceGroupMissing", "The managed resource group of the workspace is missing.")
		}
		return located()
	case strings.ToLower(typeNetwork):
		if len(listAt(p, "addressSpace", "addressPrefixes")) == 0 {
			return refusal("InvalidRequestFormat", "The virtual network has no address space.")
		}
		return located()
	case "microsoft.network/privateendpoints":
		if textAt(p, "subnet", "id") == "" {
			return refusal("InvalidRequestFormat", "The private endpoint names no subnet.")
		}
		return located()
	case strings.ToLower(typeGroup), strings.ToLower(typePlan), strings.ToLower(typeSite), "microsoft.sql/servers", "microsoft.datafactory/factories",
		"microsoft.documentdb/databaseaccounts", "microsoft.containerregistry/registries", strings.ToLower(typeConnector), strings.ToLower(typeIdentity):
		return located()
	}
	return nil
}

// check is what is refused when the turn of a resource has come: what it stands in or refers to is missing, or other
// resources stand against it.
func (m *manager) check(want wanted) *serviceError {
	t, valid := parseTarget(want.ID)
	if !valid {
		return refusal("InvalidResourceId", "The id %q names nothing.", want.ID)
	}
	if t.Group != "" && !t.is(typeGroup) && m.w.Manager.Resources[key("/subscriptions/"+t.Subscription+"/resourceGroups/"+t.Group)] == nil {
		return refusal("ResourceGroupNotFound", "Resource group '%s' could not be found.", t.Group)
	}
	if parent := parentID(want.ID); parent != "" && m.w.Manager.Resources[key(parent)] == nil {
		return refusal("ParentResourceNotFound", "Failed to perform '%s' on resource(s) of type '%s', because the parent resource '%s' could not be found.", "write", want.Type, parent)
	}
	if strings.Contains(strings.ToLower(t.Scope), "/providers/") && m.w.Manager.Resources[key(t.Scope)] == nil {
		return refusal("ResourceNotFound", "The Resource '%s' was not found.", t.Scope)
	}
	if refused := m.references(want.ID, "", want.Body["properties"]); refused != nil {
		return refused
	}
	if f := m.guards[strings.ToLower(want.Type)]; f != nil {
		if refused := f(want, m.w.Manager.Resources[key(want.ID)]); refused != nil {
			return refused
		}
	}
	switch strings.ToLower(want.Type) {
	case strings.ToLower(typeAssignment):
		return m.checkAssignment(want, t)
	case strings.ToLower(typeNetwork):
		return m.checkSubnets(want)
	}
	return nil
}

// referring are properties whose id must be of a resource that stands. Providers check them when they make the resource; in
// templates they are where a dependsOn is forgotten.
var referring = []string{"subnet", "networksecuritygroup", "routetable", "natgateway", "remotevirtualnetwork", "virtualnetwork", "privatelinkserviceid", "serverfarmid", "virtualnetworksubnetid",
	"customvirtualnetworkid", "workspaceid", "workspaceresourceid", "storageid", "storageaccountid", "targetresourceuri", "actiongroupid", "privatednszoneid", "targetresourceid", "accessconnector"}

func (m *manager) references(of, under string, v any) *serviceError {
	switch v := v.(type) {
	case object:
		for k, inner := range v {
			name := strings.ToLower(k)
			if name == "id" {
				name = under
			}
			if refused := m.references(of, name, inner); refused != nil {
				return refused
			}
		}
	case []any:
		for _, inner := range v {
			if refused := m.references(of, under, inner); refused != nil {
				return refused
			}
		}
	case string:
		if !slices.Contains(referring, under) || !strings.HasPrefix(strings.ToLower(v), "/subscriptions/"+strings.ToLower(m.o.Subscription)+"/") || within(v, of) {
			return nil
		}
		if m.w.Manager.Resources[key(v)] == nil {
			return refusal("InvalidResourceReference", "Resource %s referenced by resource %s was not found. Please make sure that the referenced resource exists, and that both resources are in the same region.", v, of)
		}
	}
	return nil
}

// provider is a resource provider's description.
func (m *manager) provider(ns string) object {
	state := "Registered"
	if !m.registered(ns) {
		state = "NotRegistered"
	}
	types := []any{}
	for _, typ := range providerTypes() {
		if !strings.EqualFold(namespace(typ), ns) {
			continue
		}
		where := []any{}
		for _, r := range regions() {
			if m.available(typ, r) {
				where = append(where, displayRegion(r))
			}
		}
		types = append(types, object{"resourceType": strings.SplitN(typ, "/", 2)[1], "locations": where, "apiVersions": []any{"2025-01-01"}})
	}
	return object{"id": "/subscriptions/" + m.o.Subscription + "/providers/" + ns, "namespace": ns, "registrationState": state, "registrationPolicy": "RegistrationRequired", "resourceTypes": types}
}

// displayRegion writes a region as people read it: uksouth is UK South.
func displayRegion(region string) string {
	name, end := region, ""
	if last := len(name) - 1; name[last] >= '0' && name[last] <= '9' {
		name, end = name[:last], " "+name[last:]
	}
	for _, side := range []string{"westcentral", "southeast", "south", "north", "west", "east", "central"} {
		if rest, found := strings.CutSuffix(name, side); found && rest != "" {
			if side == "westcentral" {
				side = "west Central"
			}
			return titled(rest) + " " + titled(side) + end
		}
		if rest, found := strings.CutPrefix(name, side); found && rest != "" {
			return titled(side) + " " + titled(rest) + end
		}
	}
	return titled(name) + end
}

func titled(s string) string {
	if s == "uk" || s == "us" {
		return strings.ToUpper(s)
	}
	return fmt.Sprintf("%s%s", strings.ToUpper(s[:1]), s[1:])
}
