package estate

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// network makes the virtual network with everything that hangs on its subnets. Subnets stand inline: one that is a resource of
// its own is deleted and made again when the network is deployed next, which fails while something is in it.
func (l *lowering) network(s *stack) {
	parts, ok := l.subnets()
	if !ok {
		return
	}
	nsg := s.add("securityGroup", l.securityGroup(l.names.SecurityGroup(), l.appRules()))
	dbks := s.add("databricksSecurityGroup", l.securityGroup(l.names.DatabricksSecurityGroup(), l.databricksRules()))
	for _, g := range []struct{ symbol, name, after string }{
		{"securityGroupDiagnostics", l.names.SecurityGroup(), nsg},
		{"databricksSecurityGroupDiagnostics", l.names.DatabricksSecurityGroup(), dbks},
	} {
		s.add(g.symbol, l.logged(l.id("Microsoft.Network/networkSecurityGroups", g.name), false,
			"NetworkSecurityGroupEvent", "NetworkSecurityGroupRuleCounter"), g.after, "logs")
	}
	routes := s.add("routeTable", l.routeTable())

	databricks := arm.Object{
		"networkSecurityGroup": arm.Object{"id": l.id("Microsoft.Network/networkSecurityGroups", l.names.DatabricksSecurityGroup())},
		"routeTable":           arm.Object{"id": l.id("Microsoft.Network/routeTables", l.names.RouteTable())},
		"delegations":          delegatedTo("Microsoft.Databricks/workspaces"),
		// Machines of a cluster have no public address. New networks give no way out either unless a subnet says so.
		"defaultOutboundAccess": true,
	}
	general := arm.Object{"id": l.id("Microsoft.Network/networkSecurityGroups", l.names.SecurityGroup())}
	network := s.add("network", l.regional("Microsoft.Network/virtualNetworks", l.names.Network(), arm.Object{
		"addressSpace": arm.Object{"addressPrefixes": []string{l.addressSpace()}},
		"subnets": []arm.Object{
			subnet(l.names.SharedSubnet(), parts[0], arm.Object{
				"networkSecurityGroup":              general,
				"privateEndpointNetworkPolicies":    "NetworkSecurityGroupEnabled",
				"privateLinkServiceNetworkPolicies": "Enabled",
				"defaultOutboundAccess":             false,
			}),
			subnet(l.names.DatabricksHostSubnet(), parts[1], databricks),
			subnet(l.names.DatabricksContainerSubnet(), parts[2], databricks),
			subnet(l.names.WebAppsSubnet(), parts[3], arm.Object{
				"networkSecurityGroup":  general,
				"delegations":           delegatedTo("Microsoft.Web/serverFarms"),
				"defaultOutboundAccess": true,
			}),
		},
	}), nsg, dbks, routes)
	s.add("networkDiagnostics", l.logged(l.networkID(), true, "VMProtectionAlerts"), network, "logs")
	if ci := l.facts.CI; ci != nil {
		l.peer(s, network, "ci", ci.Network, ci.Group, l.names.PeeringToCI(), l.names.PeeringFromCI())
	}
}

// addressSpace is the range of the network: one that was found to be free, or the definition's.
func (l *lowering) addressSpace() string {
	if l.facts.AddressSpace != "" {
		return l.facts.AddressSpace
	}
	return l.env.Network.AddressSpace
}

// subnets splits the address space into four equal parts.
func (l *lowering) subnets() ([4]string, bool) {
	var parts [4]string
	space, err := netip.ParsePrefix(l.addressSpace())
	if err != nil || !space.Addr().Is4() || space.Bits() > 24 {
		l.refuse(flowehr.Pos{}, "It has to be an IPv4 range of at least 256 addresses, for example 10.0.0.0/24.", "the network cannot have the address space %q", l.addressSpace())
		return parts, false
	}
	first := space.Masked().Addr().As4()
	start := uint32(first[0])<<24 | uint32(first[1])<<16 | uint32(first[2])<<8 | uint32(first[3])
	bits := space.Bits() + 2
	for i := range parts {
		n := start + uint32(i)<<(32-bits)
		addr := netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
		parts[i] = netip.PrefixFrom(addr, bits).String()
	}
	return parts, true
}

func subnet(name, prefix string, properties arm.Object) arm.Object {
	all := arm.Object{"addressPrefix": prefix}
	for k, v := range properties {
		all[k] = v
	}
	return arm.Object{"name": name, "properties": all}
}

func delegatedTo(service string) []arm.Object {
	name := strings.ToLower(strings.NewReplacer("Microsoft.", "", "/", "-").Replace(service))
	return []arm.Object{{"name": name, "properties": arm.Object{"serviceName": service}}}
}

func (l *lowering) securityGroup(name string, rules []arm.Object) arm.Resource {
	return l.regional("Microsoft.Network/networkSecurityGroups", name, arm.Object{"securityRules": rules})
}

// rule is a rule of a security group. to is a service tag or a range.
func rule(name, description, direction, access string, priority int, protocol, from, to string, ports ...string) arm.Object {
	properties := arm.Object{
		"description": description, "direction": direction, "access": access, "priority": priority, "protocol": protocol,
		"sourceAddressPrefix": from, "sourcePortRange": "*", "destinationAddressPrefix": to,
	}
	if len(ports) == 1 {
		properties["destinationPortRange"] = ports[0]
	} else {
		properties["destinationPortRanges"] = ports
	}
	return arm.Object{"name": name, "properties": properties}
}

// denyInternet is the rule that keeps what runs in the network from the internet. Services of Azure have public addresses as
// well, so those that are not behind a private endpoint need a rule of a smaller number.
func denyInternet() arm.Object {
	return rule("deny-outbound-internet", "No outbound internet unless allowed", "Outbound", "Deny", 2000, "*", "*", "Internet", "*")
}

// platformRules let through what everything needs: the directory, so that people and identities can sign in, and telemetry.
func platformRules() []arm.Object {
	return []arm.Object{
		rule("allow-directory", "Sign-in of people and identities", "Outbound", "Allow", 1000, "Tcp", "VirtualNetwork", "AzureActiveDirectory", "443"),
		rule("allow-telemetry", "Logs and metrics", "Outbound", "Allow", 1010, "Tcp", "VirtualNetwork", "AzureMonitor", "443"),
	}
}

// appRules are the rules of private endpoints and web apps.
func (l *lowering) appRules() []arm.Object {
	rules := platformRules()
	if !l.env.RealData {
		// With real data the document store has a private endpoint.
		rules = append(rules, rule("allow-documents", "State of apps", "Outbound", "Allow", 1020, "Tcp", "VirtualNetwork", "AzureCosmosDB", "443"))
	}
	return append(rules, denyInternet())
}

// databricksRules are the rules of the two Databricks subnets. Databricks adds those whose names begin with its own when a
// workspace is made and refuses that they are changed; they are repeated here, word for word, so that deploying the group again
// does not try to remove them.
//
// The rule against the internet works beside them, since theirs have smaller numbers. It has to be left out when the cluster
// installs anything on starting: package indexes have no service tag that could be let through.
// https://learn.microsoft.com/azure/databricks/security/network/classic/vnet-inject
func (l *lowering) databricksRules() []arm.Object {
	const (
		managed = "Microsoft.Databricks-workspaces_UseOnly_databricks-"
		within  = "VirtualNetwork"
	)
	rules := []arm.Object{
		rule(managed+"worker-to-worker-inbound", "Required for worker nodes communication within a cluster.", "Inbound", "Allow", 100, "*", within, within, "*"),
		rule(managed+"worker-to-sql", "Required for workers communication with Azure SQL services.", "Outbound", "Allow", 101, "Tcp", within, "Sql", "3306"),
		rule(managed+"worker-to-storage", "Required for workers communication with Azure Storage services.", "Outbound", "Allow", 102, "Tcp", within, "Storage", "443"),
		rule(managed+"worker-to-worker-outbound", "Required for worker nodes communication within a cluster.", "Outbound", "Allow", 103, "*", within, within, "*"),
		rule(managed+"worker-to-eventhub", "Required for worker communication with Azure Eventhub services.", "Outbound", "Allow", 104, "Tcp", within, "EventHub", "9093"),
	}
	if l.publicWorkspace() {
		rules = append(rules, rule(managed+"worker-to-databricks-webapp", "Required for workers communication with Databricks control plane.",
			"Outbound", "Allow", 100, "Tcp", within, "AzureDatabricks", "443", "3306", "8443-8451"))
	}
	rules = append(rules, platformRules()...)
	for i, r := range l.facts.Databricks {
		rules = append(rules, rule(rangeName("allow-control-plane-", r), "Control plane of Databricks in this region", "Outbound", "Allow", 1020+i, "Tcp", within, r, "443"))
	}
	lib := l.env.Spark.Libraries
	if len(lib.PyPI)+len(lib.Maven)+len(l.env.Spark.Cluster.InitScripts) > 0 {
		l.warn(flowehr.Pos{}, "The cluster installs libraries or runs init scripts when it starts, and fetches them from addresses that no rule can name. Put what they need into jars of the lake to close it.",
			"the Databricks subnets can reach the internet")
		return rules
	}
	return append(rules, denyInternet())
}

// publicWorkspace says whether the control plane of Databricks is reached by public addresses. Real data wins over
// access_databricks_management_publicly.
func (l *lowering) publicWorkspace() bool {
	return l.env.Network.PublicDatabricksControl && !l.env.RealData
}

// routeTable leads what Databricks needs straight to it, whatever else routes say.
func (l *lowering) routeTable() arm.Resource {
	var routes []arm.Object
	add := func(name, to string) {
		routes = append(routes, arm.Object{"name": name, "properties": arm.Object{"addressPrefix": to, "nextHopType": "Internet"}})
	}
	for _, tag := range []string{"AzureDatabricks", "Sql", "Storage", "EventHub"} {
		add("to-"+strings.ToLower(tag), tag)
	}
	for _, r := range l.facts.Databricks {
		add(rangeName("to-control-plane-", r), r)
	}
	return l.regional("Microsoft.Network/routeTables", l.names.RouteTable(), arm.Object{"routes": routes})
}

// rangeName makes a name of an address range.
func rangeName(prefix, cidr string) string {
	return prefix + strings.NewReplacer(".", "-", "/", "-").Replace(cidr)
}

func (l *lowering) networkID() string {
	return l.id("Microsoft.Network/virtualNetworks", l.names.Network())
}

// subnetID is the id of one of the four subnets.
func (l *lowering) subnetID(name string) string {
	return l.id("Microsoft.Network/virtualNetworks/subnets", l.names.Network(), name)
}

// peer joins the network with one of another resource group, both ways. The way back is deployed to that group. after is the
// symbol that the way out waits for: two peerings of a network cannot be made at once.
func (l *lowering) peer(s *stack, after, symbol, network, group, to, from string) string {
	peering := func(own, name, remote string) arm.Resource {
		return arm.New("Microsoft.Network/virtualNetworks/virtualNetworkPeerings", own+"/"+name, arm.Object{
			"remoteVirtualNetwork":      arm.Object{"id": remote},
			"allowVirtualNetworkAccess": true,
			"allowForwardedTraffic":     false,
			"allowGatewayTransit":       false,
			"useRemoteGateways":         false,
		})
	}
	remote := arm.ID(l.facts.Subscription, group, "Microsoft.Network/virtualNetworks", network)
	out := peering(l.names.Network(), to, remote)
	if after != "" {
		out.DependsOn = []string{after}
	}
	last := s.add("peering_"+symbol, out)
	s.in(group).Add("peering_"+symbol+"_back", peering(network, from, l.networkID()))
	return last
}

// peerings join the network with those of data sources, and link the DNS zones by which their servers are found. Sources of one
// network share a peering.
func (l *lowering) peerings(s *stack) {
	last := ""
	done, linked := map[string]bool{}, map[string]bool{}
	for _, src := range l.env.Sources {
		p := src.Peering
		if p == nil {
			continue
		}
		if key := strings.ToLower(p.Network + "/" + p.Group); !done[key] {
			done[key] = true
			last = l.peer(s, last, fmt.Sprintf("source%d", len(done)), p.Network, p.Group,
				l.names.PeeringTo(p.Network, p.Group), l.names.PeeringFrom(p.Network, p.Group))
		}
		for _, zone := range p.DNSZones {
			if key := strings.ToLower(zone + "/" + p.Group); !linked[key] {
				linked[key] = true
				s.in(p.Group).Add(fmt.Sprintf("link_source%d", len(linked)), l.zoneLink(zone))
			}
		}
	}
}

// zonesNeeded lists the private DNS zones of all layers.
func (l *lowering) zonesNeeded() []string {
	zones := []string{azure.ZoneBlob, azure.ZoneVault, azure.ZoneDocuments, azure.ZoneDatabricks}
	if l.env.Store.Engine == "postgres" {
		zones = append(zones, azure.ZonePostgres)
	} else {
		zones = append(zones, azure.ZoneSQL)
	}
	if len(l.env.Lake.Zones) > 0 || l.env.Spark.UnityCatalog != nil {
		zones = append(zones, azure.ZoneDFS)
	}
	return zones
}

// zones makes the private DNS zones, unless a group has them already, and links them to the network.
func (l *lowering) zones(s *stack) {
	existing := l.env.Network.PrivateDNSZonesGroup
	for _, zone := range l.zonesNeeded() {
		symbol := zoneSymbol(zone)
		if existing != "" {
			s.in(existing).Add("link_"+symbol, l.zoneLink(zone))
			continue
		}
		made := s.add("zone_"+symbol, l.global("Microsoft.Network/privateDnsZones", zone, arm.Object{}))
		s.add("link_"+symbol, l.zoneLink(zone), made, "network")
	}
}

// zoneSymbol is what a template calls a zone.
func zoneSymbol(zone string) string {
	return strings.ReplaceAll(strings.TrimPrefix(zone, "privatelink."), ".", "_")
}

// zoneLink makes names of a zone known in the network.
func (l *lowering) zoneLink(zone string) arm.Resource {
	return l.global("Microsoft.Network/privateDnsZones/virtualNetworkLinks", zone+"/"+l.names.ZoneLink(zone), arm.Object{
		"registrationEnabled": false,
		"virtualNetwork":      arm.Object{"id": l.networkID()},
	})
}

// zoneID is the id of a private DNS zone, ours or the organisation's.
func (l *lowering) zoneID(zone string) string {
	group := l.names.Group()
	if g := l.env.Network.PrivateDNSZonesGroup; g != "" {
		group = g
	}
	return arm.ID(l.facts.Subscription, group, "Microsoft.Network/privateDnsZones", zone)
}

// privateEndpoint makes an address in the shared subnet for a part of the service of an id, and its names. It returns the symbol
// of the names, which stand last.
func (l *lowering) privateEndpoint(s *stack, symbol, name, target, part string, zones []string, after ...string) string {
	if s.part == "core" {
		after = append(after, "network")
	}
	endpoint := s.add(symbol, l.regional("Microsoft.Network/privateEndpoints", name, arm.Object{
		"subnet": arm.Object{"id": l.subnetID(l.names.SharedSubnet())},
		"privateLinkServiceConnections": []arm.Object{{
			"name":       name,
			"properties": arm.Object{"privateLinkServiceId": target, "groupIds": []string{part}},
		}},
	}), after...)
	var configs []arm.Object
	for _, zone := range zones {
		configs = append(configs, arm.Object{"name": strings.ReplaceAll(zone, ".", "-"), "properties": arm.Object{"privateDnsZoneId": l.zoneID(zone)}})
		if s.part == "core" && l.env.Network.PrivateDNSZonesGroup == "" {
			after = append(after, "link_"+zoneSymbol(zone))
		}
	}
	return s.add(symbol+"Names", arm.New("Microsoft.Network/privateEndpoints/privateDnsZoneGroups", name+"/default", arm.Object{
		"privateDnsZoneConfigs": configs,
	}), append(after, endpoint)...)
}
