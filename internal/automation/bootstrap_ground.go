package automation

import (
	"net/netip"
	"strings"

	"github.com/google/uuid"

	"github.com/flowehr/flowehr/internal/azure/arm"
)

// ground collects the resources in the group of CI.
type ground struct {
	o BootstrapOptions
	n BootstrapNames
	t *arm.Template
}

// Built-in roles that CI and people need on the parts.
const (
	blobContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
	registryPush    = "8311e382-0749-4cb8-b61a-304f252e45ec"
	vaultReader     = "4633458b-17de-408a-b874-0445c86b69e6" // Key Vault Secrets User
	vaultOfficer    = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7" // Key Vault Secrets Officer
)

// network has subnets inline: a subnet deployed by itself is taken away and made again when its network is deployed.
func (g ground) network(subnets [2]netip.Prefix) {
	g.t.Add("securityGroup", g.tagged(arm.New("Microsoft.Network/networkSecurityGroups", g.n.SecurityGroup, arm.Object{
		"securityRules": []arm.Object{
			rule("deny-all-in", 4000, "Inbound", "Deny", "*", "*"),
			rule("allow-network-out", 200, "Outbound", "Allow", "VirtualNetwork", "*"),
			rule("allow-https-out", 210, "Outbound", "Allow", "Internet", "443"),
			rule("allow-packages-out", 220, "Outbound", "Allow", "Internet", "80"), // the package mirrors of the image
			rule("deny-all-out", 4000, "Outbound", "Deny", "*", "*"),
		},
	})))
	runners := g.subnet(g.n.RunnerSubnet, subnets[0])
	after := []string{"securityGroup"}
	if g.o.Runners.gateway() {
		runners["properties"].(arm.Object)["natGateway"] = arm.Object{"id": g.id("Microsoft.Network/natGateways", g.n.Gateway)}
		after = append(after, "gateway")
	}
	network := g.tagged(arm.New("Microsoft.Network/virtualNetworks", g.n.Network, arm.Object{
		"addressSpace": arm.Object{"addressPrefixes": []string{g.o.AddressSpace}},
		"subnets":      []arm.Object{runners, g.subnet(g.n.SharedSubnet, subnets[1])},
	}))
	network.DependsOn = after
	g.t.Add("network", network)
}

// subnet reaches storage, vaults and registries over Azure's own network, by which their firewalls know it.
func (g ground) subnet(name string, space netip.Prefix) arm.Object {
	return arm.Object{"name": name, "properties": arm.Object{
		"addressPrefix":         space.String(),
		"networkSecurityGroup":  arm.Object{"id": g.id("Microsoft.Network/networkSecurityGroups", g.n.SecurityGroup)},
		"serviceEndpoints":      []arm.Object{{"service": "Microsoft.Storage"}, {"service": "Microsoft.KeyVault"}},
		"defaultOutboundAccess": false,
	}}
}

func rule(name string, priority int, direction, access, destination, port string) arm.Object {
	return arm.Object{"name": name, "properties": arm.Object{
		"priority": priority, "direction": direction, "access": access, "protocol": "*",
		"sourceAddressPrefix": "*", "sourcePortRange": "*", "destinationAddressPrefix": destination, "destinationPortRange": port,
	}}
}

func (g ground) registry() {
	r := g.tagged(arm.New("Microsoft.ContainerRegistry/registries", g.n.Registry, arm.Object{
		"adminUserEnabled": false, "anonymousPullEnabled": false,
	}))
	r.SKU = arm.Object{"name": "Standard"}
	g.t.Add("registry", r)
	if g.o.Principal != "" {
		g.assign("registryPush", registryPush, Principal{g.o.Principal, "ServicePrincipal"}, g.id("Microsoft.ContainerRegistry/registries", g.n.Registry), "registry")
	}
}

// storage is for what jobs keep from one run to the next. It takes no account key, so that every access is somebody's. Its firewall is closed when the runners are ours: GitHub's
// own come from addresses that nobody can list.
func (g ground) storage() {
	acls := arm.Object{"bypass": "None", "defaultAction": "Allow"}
	if g.o.Runners.wanted() {
		rules := []arm.Object{}
		for _, a := range g.o.AllowedIP {
			if r, err := firewallRange(a); err == nil { // checked before
				rules = append(rules, arm.Object{"value": r, "action": "Allow"})
			}
		}
		acls = arm.Object{"bypass": "None", "defaultAction": "Deny", "ipRules": rules, "virtualNetworkRules": []arm.Object{
			{"id": g.subnetID(g.n.RunnerSubnet), "action": "Allow"}}}
	}
	account := g.tagged(arm.New("Microsoft.Storage/storageAccounts", g.n.Storage, arm.Object{
		"allowBlobPublicAccess": false, "allowSharedKeyAccess": false, "defaultToOAuthAuthentication": true,
		"minimumTlsVersion": "TLS1_2", "supportsHttpsTrafficOnly": true, "allowCrossTenantReplication": false,
		"publicNetworkAccess": "Enabled", "networkAcls": acls,
		"encryption": arm.Object{"requireInfrastructureEncryption": true, "keySource": "Microsoft.Storage",
			"services": arm.Object{"blob": arm.Object{"enabled": true}, "file": arm.Object{"enabled": true}}},
	}))
	account.Kind, account.SKU, account.DependsOn = "StorageV2", arm.Object{"name": "Standard_GRS"}, []string{"network"}
	g.t.Add("storage", account)

	keep := arm.Object{"enabled": true, "days": 30}
	blobs := arm.New("Microsoft.Storage/storageAccounts/blobServices", g.n.Storage+"/default", arm.Object{
		"isVersioningEnabled": true, "deleteRetentionPolicy": keep, "containerDeleteRetentionPolicy": keep,
	})
	blobs.DependsOn = []string{"storage"}
	g.t.Add("blobs", blobs)
	container := arm.New("Microsoft.Storage/storageAccounts/blobServices/containers", g.n.Storage+"/default/"+Container, arm.Object{"publicAccess": "None"})
	container.DependsOn = []string{"blobs"}
	g.t.Add("container", container)

	id := g.id("Microsoft.Storage/storageAccounts", g.n.Storage)
	if g.o.Principal != "" {
		g.assign("blobsOfCI", blobContributor, Principal{g.o.Principal, "ServicePrincipal"}, id, "storage")
	}
	for _, p := range g.o.People {
		g.assign("blobsOf_"+symbol(p), blobContributor, p, id, "storage")
	}
}

// assign gives a role on one resource. The id of the assignment follows from what it assigns.
func (g ground) assign(symbol, role string, to Principal, scope string, after ...string) {
	name := uuid.NewSHA1(assignmentNames, []byte(scope+to.ObjectID+role)).String()
	a := arm.New("Microsoft.Authorization/roleAssignments", name, arm.Object{
		"roleDefinitionId": arm.SubscriptionID(g.o.Subscription, "Microsoft.Authorization/roleDefinitions", role),
		"principalId":      to.ObjectID, "principalType": to.Kind,
	})
	a.Scope, a.DependsOn = scope, after
	g.t.Add(symbol, a)
}

// symbol is a principal in a symbolic name, which takes letters, digits and _.
func symbol(p Principal) string { return strings.ReplaceAll(p.ObjectID, "-", "_") }

// tagged puts the location and the tags of everything on r.
func (g ground) tagged(r arm.Resource) arm.Resource {
	r.Location = g.o.Location
	r.Tags = map[string]string{}
	for k, v := range g.o.Tags {
		r.Tags[k] = arm.Literal(v)
	}
	r.Tags["flowehr_id"], r.Tags["environment"] = g.o.FlowEHRID, "ci"
	return r
}

// unlisted is a resource of a type that package arm does not know.
func unlisted(typ, name string, properties arm.Object) arm.Resource {
	return arm.Resource{Type: typ, APIVersion: unvalidated[typ], Name: name, Properties: properties}
}

func (g ground) id(typ string, names ...string) string {
	return arm.ID(g.o.Subscription, g.n.Group, typ, names...)
}

func (g ground) subnetID(name string) string {
	return g.id("Microsoft.Network/virtualNetworks/subnets", g.n.Network, name)
}
