package compliance

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

const (
	nsgType       = "Microsoft.Network/networkSecurityGroups"
	networkType   = "Microsoft.Network/virtualNetworks"
	publicAddress = "Microsoft.Network/publicIPAddresses"
	flowLogType   = "Microsoft.Network/networkWatchers/flowLogs"
	gateway       = "Microsoft.Network/applicationGateways"
)

// subnets lists the subnets of every network, those that stand beside it in the template and those within it. The scope of each
// is its network's id.
func (v *view) subnets() []*item {
	var out []*item
	for _, n := range v.of(networkType) {
		if n.state != read {
			out = append(out, &item{typ: networkType + "/subnets", name: n.name + "/*", id: n.id + "/subnets/*", scope: n.id, state: n.state})
			continue
		}
		for _, s := range n.list("subnets") {
			name, _ := s.get("name")
			s.typ, s.name = networkType+"/subnets", n.name+"/"+toString(name)
			s.id, s.scope = n.id+"/subnets/"+toString(name), n.id
			out = append(out, s)
		}
	}
	for _, s := range v.of(networkType + "/subnets") {
		network, _, _ := strings.Cut(s.id, "/subnets/")
		if !slices.ContainsFunc(out, func(o *item) bool { return strings.EqualFold(o.id, s.id) }) {
			one := *s
			one.scope = network
			out = append(out, &one)
		}
	}
	return out
}

func toString(v any) string { s, _ := v.(string); return s }

// group is the security group that is attached to a subnet, nil when there is none, and whether its rules are known.
func (v *view) group(subnet *item) (*item, bool) {
	id, _ := subnet.text("networkSecurityGroup.id")
	if id == "" {
		return nil, true
	}
	g := v.find(id)
	return g, g != nil && g.state == read
}

// rule is one rule of a security group.
type rule struct {
	name, direction, access, protocol string
	from, to, ports                   []string
	priority                          int
}

func rulesOf(group *item, direction string) []rule {
	var out []rule
	for _, r := range group.list("securityRules") {
		one := rule{
			direction: textOf(r, "direction"), access: textOf(r, "access"), protocol: textOf(r, "protocol"),
			from: both(r, "sourceAddressPrefix"), to: both(r, "destinationAddressPrefix"), ports: both(r, "destinationPortRange"),
		}
		if name, ok := r.get("name"); ok {
			one.name = toString(name)
		}
		one.priority, _ = strconv.Atoi(textOf(r, "priority"))
		if strings.EqualFold(one.direction, direction) {
			out = append(out, one)
		}
	}
	slices.SortFunc(out, func(a, b rule) int { return a.priority - b.priority })
	return out
}

func textOf(r *item, name string) string { s, _ := r.text(name); return s }

// both reads a property that is written in the singular or in the plural.
func both(r *item, name string) []string {
	out := r.strings(name + "s")
	if strings.HasSuffix(name, "Prefix") {
		out = append(out, r.strings(name+"es")...)
	}
	if one := textOf(r, name); one != "" {
		out = append(out, one)
	}
	return out
}

// anywhere says whether prefixes have the whole internet.
func anywhere(prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool {
		if slices.Contains([]string{"*", "internet", "any", "0.0.0.0"}, strings.ToLower(p)) {
			return true
		}
		parsed, err := netip.ParsePrefix(p)
		return err == nil && parsed.Bits() == 0
	})
}

// hits says whether ranges of ports have a port. 0 stands for every port.
func hits(ranges []string, port int) bool {
	return slices.ContainsFunc(ranges, func(r string) bool {
		if r == "*" {
			return true
		}
		low, high, isRange := strings.Cut(r, "-")
		if !isRange {
			high = low
		}
		from, err1 := strconv.Atoi(low)
		to, err2 := strconv.Atoi(high)
		if port == 0 {
			return err1 == nil && err2 == nil && from <= 1 && to >= 65535
		}
		return err1 == nil && err2 == nil && from <= port && port <= to
	})
}

func speaks(r rule, protocol string) bool {
	return r.protocol == "*" || strings.EqualFold(r.protocol, protocol)
}

// admitted is the rule by which the internet reaches a port, the first that fits, as Azure decides. It is nil when what fits
// denies, or nothing does: the rules that every group has deny what comes from outside.
func admitted(rules []rule, protocol string, port int) *rule {
	for i, r := range rules {
		if !speaks(r, protocol) || !anywhere(r.from) || !(port == 0 || hits(r.ports, port)) {
			continue
		}
		if strings.EqualFold(r.access, "Allow") {
			return &rules[i]
		}
		if port != 0 || hits(r.ports, 0) {
			return nil
		}
	}
	return nil
}

// inbound is a check that the internet reaches none of some ports of any subnet in use. A subnet without a group has no rule.
func inbound(protocol string, ports ...int) check {
	return func(v *view) Finding {
		return every(v, "subnet", v.subnets(), "Attach a security group to the subnet, without a rule that lets the internet in.", func(s *item) verdict {
			g, known := v.group(s)
			switch {
			case g == nil && known:
				return told(false, s, "networkSecurityGroup", "none", "No rule is in force on a subnet that has no security group.")
			case !known:
				return verdict{CannotTell, Evidence{Resource: s.called(), Property: "networkSecurityGroup", Value: "not read"}, ""}
			}
			rules := rulesOf(g, "Inbound")
			for _, port := range ports {
				if r := admitted(rules, protocol, port); r != nil {
					return told(false, s, g.name+" "+r.name, strings.Join(r.from, ", ")+" to "+strings.Join(r.ports, ", "), "A rule lets the internet in.")
				}
			}
			return told(true, s, "networkSecurityGroup", g.name+" lets none of it in", "")
		})
	}
}

var (
	noRDP = inbound("Tcp", 3389)
	noSSH = inbound("Tcp", 22)
	noUDP = inbound("Udp", 0)
	noWeb = inbound("Tcp", 80, 443)
)

func subnetsGrouped(v *view) Finding {
	return every(v, "subnet", v.subnets(), "Attach a security group.", func(s *item) verdict {
		g, known := v.group(s)
		id, _ := s.text("networkSecurityGroup.id")
		if g == nil && known {
			return told(false, s, "networkSecurityGroup", "none", "")
		}
		return told(true, s, "networkSecurityGroup", shortID(id), "")
	})
}

// outboundOpen says by what the internet is reached from a subnet: the port of the first kind of traffic that nothing denies. The
// rules that every group has let everything out, so that only a rule which denies all ports and all protocols closes it.
func outboundOpen(v *view, s *item) verdict {
	// A service that a subnet is delegated to has a way out of its own.
	if out, set := s.text("defaultOutboundAccess"); set && out == "false" && !hasNAT(s) && len(s.list("delegations")) == 0 {
		return told(true, s, "defaultOutboundAccess", "false", "")
	}
	g, known := v.group(s)
	switch {
	case g == nil && known:
		return told(false, s, "networkSecurityGroup", "none", "No rule is in force on a subnet that has no security group.")
	case !known:
		return verdict{CannotTell, Evidence{Resource: s.called(), Property: "networkSecurityGroup", Value: "not read"}, ""}
	}
	if table, _ := s.text("routeTable.id"); table != "" {
		if t := v.find(table); t != nil && dropsAll(t) {
			return told(true, t, "routes", "0.0.0.0/0 goes to "+nextHop(t), "")
		}
	}
	for _, r := range rulesOf(g, "Outbound") {
		if !anywhere(r.to) {
			continue
		}
		if strings.EqualFold(r.access, "Allow") {
			return told(false, s, g.name+" "+r.name, "allows "+strings.Join(r.ports, ", "), "A rule lets traffic out to the internet.")
		}
		if r.protocol == "*" && hits(r.ports, 0) && anywhere(r.from) {
			return told(true, s, g.name+" "+r.name, "denies everything to the internet", "")
		}
		return told(false, s, g.name+" "+r.name, "denies "+r.protocol+" "+strings.Join(r.ports, ", "), "What is denied is some ports or protocols; by the rules that every group has, everything else goes out.")
	}
	return told(false, s, g.name, "no rule that denies the internet", "Nothing denies the internet; by the rules that every group has, everything goes out.")
}

func hasNAT(s *item) bool { id, _ := s.text("natGateway.id"); return id != "" }

// dropsAll says whether a route table sends everything to nowhere or to an inspection point.
func dropsAll(t *item) bool { hop := nextHop(t); return hop == "None" || hop == "VirtualAppliance" }

func nextHop(t *item) string {
	for _, r := range t.list("routes") {
		if textOf(r, "addressPrefix") == "0.0.0.0/0" {
			return textOf(r, "nextHopType")
		}
	}
	return ""
}

func networkWatcher(v *view) Finding {
	if watchers := v.of("Microsoft.Network/networkWatchers"); len(watchers) > 0 {
		return every(v, "network watcher", watchers, "Let Azure make the region's network watcher.", func(it *item) verdict { return has(it, "provisioningState", "Succeeded", "Succeeded") })
	}
	for _, l := range v.of(flowLogType) {
		if l.state == read {
			watcher, _, _ := strings.Cut(l.name, "/")
			return Finding{Status: Met, Why: "The region has a watcher: the flow log is kept with it.", Evidence: []Evidence{{Resource: l.called(), Property: "network watcher", Value: watcher}}}
		}
	}
	return Finding{Status: CannotTell, Why: "The network watcher is the region's, which the environment shares with others.", Next: "Name it under monitoring; then its flow log proves it."}
}

func publicAddresses(v *view) Finding {
	return absentFrom("public address", "The environment makes no public address, so that there is none to review. Web apps and the image registry are reached at Azure's own front ends.", publicAddress)(v)
}

var (
	noGateway = absentFrom("application gateway", "The environment makes no application gateway: apps are reached at App Service's own front end.", gateway, "Microsoft.Network/ApplicationGatewayWebApplicationFirewallPolicies")
	noVPN     = absentFrom("VPN gateway", "The environment makes no VPN gateway.", "Microsoft.Network/virtualNetworkGateways")
	noMachine = absentFrom("virtual machine", "The environment makes no virtual machine. Clusters run on machines of Databricks, in a group that Databricks manages and nobody signs in to.", "Microsoft.Compute/virtualMachines", "Microsoft.Compute/disks")
	ddos      = property("network", []string{networkType}, "enableDdosProtection", "false", "DDoS protection is bought per tenant: name the plan of your organisation's network team, or record the exception.", "true")
)

func perimeter(v *view) Finding {
	if found := v.of("Microsoft.Network/networkSecurityPerimeters"); len(found) > 0 {
		return every(v, "network security perimeter", found, "", func(it *item) verdict { return told(true, it, "", "", "") })
	}
	if v.deployed {
		return Finding{Status: CannotTell, Why: "A perimeter may be the subscription's, outside this environment.", Next: "The owner of the subscription can tell."}
	}
	return Finding{Status: NotMet, Why: "No network security perimeter is drawn around the platform services; with real data each has a private endpoint instead.", Next: "Record the exception, or let the network team associate the services with their perimeter."}
}
