package estate_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/estate"
)

// placed is a resource of a template with where it stands.
type placed struct {
	stack, deployment, group, symbol string

	id   string
	body map[string]any
}

func (p placed) typ() string { return p.body["type"].(string) }

// placedIn lists what the stacks of a case make, with ids. Names that are expressions have none.
func placedIn(t *testing.T, f azure.Facts, resources []flowehr.Resource) []placed {
	t.Helper()
	var all []placed
	for _, r := range resources {
		if r.Ref.Kind != azure.KindStack {
			continue
		}
		top := decodedJSON(t, templateOf(t, r)).(map[string]any)["resources"].(map[string]any)
		for _, deployment := range slices.Sorted(maps.Keys(top)) {
			body := top[deployment].(map[string]any)
			if body["type"] != "Microsoft.Resources/deployments" {
				continue
			}
			group, _ := body["resourceGroup"].(string)
			inner := body["properties"].(map[string]any)["template"].(map[string]any)["resources"].(map[string]any)
			for _, symbol := range slices.Sorted(maps.Keys(inner)) {
				p := placed{stack: r.Ref.Name, deployment: deployment, group: group, symbol: symbol, body: inner[symbol].(map[string]any)}
				names := strings.Split(p.body["name"].(string), "/")
				switch scope, scoped := p.body["scope"].(string); {
				case strings.HasPrefix(p.body["name"].(string), "["):
				case scoped:
					p.id = arm.On(scope, p.typ(), names...)
				default:
					p.id = arm.ID(f.Subscription, group, p.typ(), names...)
				}
				all = append(all, p)
			}
		}
	}
	return all
}

// eachText calls visit for every text in v.
func eachText(v any, visit func(string)) {
	switch v := v.(type) {
	case string:
		visit(v)
	case []any:
		for _, e := range v {
			eachText(e, visit)
		}
	case map[string]any:
		for _, e := range v {
			eachText(e, visit)
		}
	}
}

// mayComeLater says of ids that stand in a body whether what they name need not exist when it is made: an alert may be about what is not
// there yet.
func mayComeLater(user placed, used placed) bool {
	return user.typ() == "Microsoft.Insights/activityLogAlerts" && used.typ() != "Microsoft.Insights/actionGroups"
}

// TestWhatIsNamedStandsFirst: a resource whose body has the id of another of the same stack comes after it, so that no
// deployment depends on luck.
func TestWhatIsNamedStandsFirst(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			env := d.environment(t)
			resources, _ := estate.Lower(env, d.facts(env))
			all := placedIn(t, d.facts(env), resources)
			made := map[string]placed{}
			for _, p := range all {
				if p.id != "" {
					made[strings.ToLower(p.id)] = p
				}
			}
			for _, p := range all {
				after := map[string]bool{}
				var follow func(symbol string)
				follow = func(symbol string) {
					for _, q := range all {
						if q.stack != p.stack || q.deployment != p.deployment || q.symbol != symbol {
							continue
						}
						needs, _ := q.body["dependsOn"].([]any)
						for _, n := range needs {
							if n := n.(string); !after[n] {
								after[n] = true
								follow(n)
							}
						}
					}
				}
				follow(p.symbol)
				parents := []string{p.id}
				eachText(p.body, func(s string) { parents = append(parents, s) })
				for _, s := range parents {
					for id := strings.ToLower(s); strings.Count(id, "/") > 7; id = id[:strings.LastIndexByte(id, '/')] {
						other, ok := made[id]
						if !ok || other.symbol == p.symbol && other.deployment == p.deployment || other.stack != p.stack || mayComeLater(p, other) {
							continue
						}
						if other.deployment == p.deployment && !after[other.symbol] {
							t.Errorf("%s/%s names %s and does not come after %s", p.stack, p.symbol, id, other.symbol)
						}
						if other.deployment > p.deployment {
							t.Errorf("%s/%s names %s, which a later deployment makes", p.stack, p.symbol, id)
						}
					}
				}
			}
		})
	}
}

// reported are the types that can tell Azure Monitor what happens in them; for storage it is the blob service.
var reported = []string{
	"Microsoft.KeyVault/vaults", "Microsoft.Storage/storageAccounts/blobServices", "Microsoft.Network/networkSecurityGroups",
	"Microsoft.Network/virtualNetworks", "Microsoft.OperationalInsights/workspaces", "Microsoft.DataFactory/factories",
	"Microsoft.Databricks/workspaces", "Microsoft.Sql/servers/databases", "Microsoft.DBforPostgreSQL/flexibleServers",
	"Microsoft.ContainerRegistry/registries", "Microsoft.DocumentDB/databaseAccounts", "Microsoft.Web/sites",
	"Microsoft.MachineLearningServices/registries",
}

// TestEverythingReports: each resource that can has a diagnostic setting.
func TestEverythingReports(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			env := d.environment(t)
			resources, _ := estate.Lower(env, d.facts(env))
			all := placedIn(t, d.facts(env), resources)
			reporting := map[string]bool{}
			for _, p := range all {
				if p.typ() == "Microsoft.Insights/diagnosticSettings" {
					reporting[p.body["scope"].(string)] = true
				}
			}
			for _, p := range all {
				if slices.Contains(reported, p.typ()) && !reporting[p.id] {
					t.Errorf("%s/%s (%s) reports nothing", p.stack, p.symbol, p.typ())
				}
			}
		})
	}
}

// TestEveryEndpointHasAName: each private endpoint puts its address into zones that the network knows.
func TestEveryEndpointHasAName(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			env := d.environment(t)
			resources, _ := estate.Lower(env, d.facts(env))
			linked, named := map[string]bool{}, map[string]bool{}
			all := placedIn(t, d.facts(env), resources)
			for _, p := range all {
				if zone, ok := strings.CutSuffix(p.typ(), "/virtualNetworkLinks"); ok && zone == "Microsoft.Network/privateDnsZones" {
					linked[p.id[:strings.LastIndex(p.id, "/virtualNetworkLinks/")]] = true
				}
			}
			for _, p := range all {
				if p.typ() != "Microsoft.Network/privateEndpoints/privateDnsZoneGroups" {
					continue
				}
				named[strings.TrimSuffix(p.id, "/privateDnsZoneGroups/default")] = true
				eachText(p.body["properties"], func(s string) {
					if strings.HasPrefix(s, "/") && !linked[s] {
						t.Errorf("%s/%s: the network has no link to %s", p.stack, p.symbol, s)
					}
				})
			}
			for _, p := range all {
				if p.typ() == "Microsoft.Network/privateEndpoints" && !named[p.id] {
					t.Errorf("%s/%s has no name", p.stack, p.symbol)
				}
			}
		})
	}
}

// open are types whose public access real data does not close: what they hold is no patient's, and people outside of the network
// read it (telemetry, images and models, each behind sign-in).
var open = []string{"Microsoft.ContainerRegistry/registries", "Microsoft.MachineLearningServices/registries", "Microsoft.Web/sites", "Microsoft.Web/sites/slots"}

// locked are the types that have a lock with real data.
var locked = []string{"Microsoft.KeyVault/vaults", "Microsoft.Storage/storageAccounts", "Microsoft.Databricks/workspaces", "Microsoft.Sql/servers", "Microsoft.DBforPostgreSQL/flexibleServers"}

// TestRealDataIsClosed: with real data there is no public access and no address is let in, what holds data cannot be deleted, and
// where it is deployed from makes no difference.
func TestRealDataIsClosed(t *testing.T) {
	for name, d := range writtenCases(t) {
		env := d.environment(t)
		if !env.RealData {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f := d.facts(env)
			resources, _ := estate.Lower(env, f)
			locks := map[string]bool{}
			all := placedIn(t, f, resources)
			for _, p := range all {
				if p.typ() == "Microsoft.Authorization/locks" {
					locks[p.body["scope"].(string)] = true
				}
				if strings.HasSuffix(p.typ(), "/firewallRules") {
					t.Errorf("%s/%s lets an address in", p.stack, p.symbol)
				}
				body, err := json.Marshal(p.body)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(open, p.typ()) && strings.Contains(string(body), `"publicNetworkAccess":"Enabled"`) {
					t.Errorf("%s/%s is public", p.stack, p.symbol)
				}
				if f.PublicIP != "" && strings.Contains(string(body), f.PublicIP) {
					t.Errorf("%s/%s has the deployer's address", p.stack, p.symbol)
				}
			}
			for _, p := range all {
				if p.stack != "serve" && slices.Contains(locked, p.typ()) && !locks[p.id] {
					t.Errorf("%s/%s can be deleted", p.stack, p.symbol)
				}
			}
			for _, r := range resources {
				if r.Ref.Kind == azure.KindStack && !strings.Contains(string(r.Spec), `"deny":true`) {
					t.Errorf("%s does not deny deletion", r.Ref)
				}
			}
			f.PublicIP = "192.0.2.99"
			elsewhere, _ := estate.Lower(env, f)
			if diff := cmp.Diff(resources, elsewhere); diff != "" {
				t.Errorf("another address makes a difference:\n%s", diff)
			}
		})
	}
}

// TestOneAddressIsLetIn: without real data the address of whoever deploys passes the firewalls, and in automation nobody's does.
func TestOneAddressIsLetIn(t *testing.T) {
	d := writtenCases(t)["minimal"]
	env := d.environment(t)
	f := d.facts(env)
	for _, c := range []struct {
		automation bool
		ip, access string
	}{{false, "198.51.100.7", "Enabled"}, {true, "198.51.100.7", "Disabled"}, {false, "", "Disabled"}} {
		f.Automation, f.PublicIP = c.automation, c.ip
		resources, _ := estate.Lower(env, f)
		for _, p := range placedIn(t, f, resources) {
			properties, _ := p.body["properties"].(map[string]any)
			switch p.typ() {
			case "Microsoft.KeyVault/vaults", "Microsoft.Storage/storageAccounts", "Microsoft.Sql/servers":
				if properties["publicNetworkAccess"] != c.access {
					t.Errorf("automation %t, address %q: public access of %s is %v, want %s", c.automation, c.ip, p.symbol, properties["publicNetworkAccess"], c.access)
				}
			}
			if acls, ok := properties["networkAcls"].(map[string]any); ok && (acls["defaultAction"] != "Deny" || (len(acls["ipRules"].([]any)) == 1) != (c.access == "Enabled")) {
				t.Errorf("automation %t, address %q: firewall of %s is %v", c.automation, c.ip, p.symbol, acls)
			}
		}
	}
}

// TestEverySubnetDeniesTheInternet: each subnet has a security group, and each group the rule, unless the definition has the
// cluster fetch something; then a warning says so.
func TestEverySubnetDeniesTheInternet(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			env := d.environment(t)
			resources, found := estate.Lower(env, d.facts(env))
			warned := strings.Contains(messages(found), "can reach the internet")
			denies := map[string]bool{}
			var subnets []any
			for _, p := range placedIn(t, d.facts(env), resources) {
				properties, _ := p.body["properties"].(map[string]any)
				switch p.typ() {
				case "Microsoft.Network/networkSecurityGroups":
					for _, r := range properties["securityRules"].([]any) {
						rule := r.(map[string]any)["properties"].(map[string]any)
						if rule["access"] == "Deny" && rule["destinationAddressPrefix"] == "Internet" && rule["destinationPortRange"] == "*" && rule["protocol"] == "*" && rule["priority"] == 2000.0 {
							denies[p.id] = true
						}
					}
				case "Microsoft.Network/virtualNetworks":
					subnets = properties["subnets"].([]any)
				}
			}
			if len(subnets) != 4 {
				t.Fatalf("%d subnets", len(subnets))
			}
			for _, s := range subnets {
				subnet := s.(map[string]any)
				group, _ := subnet["properties"].(map[string]any)["networkSecurityGroup"].(map[string]any)
				if id, _ := group["id"].(string); !denies[id] && (!warned || !strings.Contains(id, "nsg-dbks")) {
					t.Errorf("%s can reach the internet", subnet["name"])
				}
			}
		})
	}
}

// TestSubnetsSplitTheNetwork: four equal parts, in order, that cover the address space and do not overlap.
func TestSubnetsSplitTheNetwork(t *testing.T) {
	d := writtenCases(t)["minimal"]
	env := d.environment(t)
	rapid.Check(t, func(rt *rapid.T) {
		bits := rapid.IntRange(8, 24).Draw(rt, "bits")
		a := rapid.Uint32().Draw(rt, "address")
		space := netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(a >> 24), byte(a >> 16), byte(a >> 8), byte(a)}), bits).Masked()
		f := d.facts(env)
		f.AddressSpace = space.String()
		resources, found := estate.Lower(env, f)
		if flowehr.HasErrors(found) {
			rt.Fatal(messages(found))
		}
		var parts []netip.Prefix
		for _, p := range placedIn(t, f, resources) {
			if p.typ() != "Microsoft.Network/virtualNetworks" {
				continue
			}
			for _, s := range p.body["properties"].(map[string]any)["subnets"].([]any) {
				parts = append(parts, netip.MustParsePrefix(s.(map[string]any)["properties"].(map[string]any)["addressPrefix"].(string)))
			}
		}
		if len(parts) != 4 || parts[0].Addr() != space.Addr() {
			rt.Fatalf("%s is split into %v", space, parts)
		}
		for i, p := range parts {
			if p.Bits() != bits+2 || !space.Contains(p.Addr()) || p.Masked() != p || i > 0 && !parts[i-1].Addr().Less(p.Addr()) || i > 0 && p.Overlaps(parts[i-1]) {
				rt.Errorf("%s is split into %v", space, parts)
			}
		}
	})
}

// TestWhatIsRefused names what is wrong with facts or a definition that nothing can be made of.
func TestWhatIsRefused(t *testing.T) {
	d := writtenCases(t)["minimal"]
	for _, space := range []string{"10.0.0.0/25", "fd00::/48", "everywhere"} {
		t.Run(space, func(t *testing.T) {
			env := d.environment(t)
			f := d.facts(env)
			f.AddressSpace = space
			_, found := estate.Lower(env, f)
			if !flowehr.HasErrors(found) || !strings.Contains(messages(found), space) {
				t.Errorf("diagnostics: %s", messages(found))
			}
		})
	}
	t.Run("a pipeline that cannot be read", func(t *testing.T) {
		env := d.environment(t)
		env.Pipelines = []flowehr.Pipeline{{Name: "broken", Bundle: []byte("{")}}
		_, found := estate.Lower(env, d.facts(env))
		if !strings.Contains(messages(found), `pipeline "broken" cannot be read`) {
			t.Errorf("diagnostics: %s", messages(found))
		}
	})
}

// TestWhatIsNotAskedForIsNotMade: parts that a definition does not name are not there.
func TestWhatIsNotAskedForIsNotMade(t *testing.T) {
	d := writtenCases(t)["minimal"]
	env := d.environment(t)
	resources, _ := estate.Lower(env, d.facts(env))
	for _, p := range placedIn(t, d.facts(env), resources) {
		for _, absent := range []string{"accessConnectors", "flowLogs", "virtualNetworkPeerings", "actionGroups", "locks", "flexibleServers"} {
			if strings.HasSuffix(p.typ(), "/"+absent) {
				t.Errorf("%s/%s is %s", p.stack, p.symbol, p.typ())
			}
		}
		if strings.Contains(fmt.Sprint(p.body), "adlsflwrdev") {
			t.Errorf("%s/%s speaks of a lake", p.stack, p.symbol)
		}
	}
}

// TestStacksCanBeDeleted holds the stacks to what is known of deleting them: one with a Databricks workspace and a connector cannot
// be (Azure/deployment-stacks#183), a secret of a vault is never, and a subnet that is a resource of its own is made anew.
func TestStacksCanBeDeleted(t *testing.T) {
	for name, d := range writtenCases(t) {
		t.Run(name, func(t *testing.T) {
			env := d.environment(t)
			resources, _ := estate.Lower(env, d.facts(env))
			of := map[string][]string{}
			for _, p := range placedIn(t, d.facts(env), resources) {
				of[p.stack] = append(of[p.stack], p.typ())
			}
			for stack, types := range of {
				if slices.Contains(types, "Microsoft.Databricks/workspaces") && slices.Contains(types, "Microsoft.Databricks/accessConnectors") {
					t.Errorf("%s has a workspace and a connector", stack)
				}
				for _, banned := range []string{"Microsoft.KeyVault/vaults/secrets", "Microsoft.Network/virtualNetworks/subnets"} {
					if slices.Contains(types, banned) {
						t.Errorf("%s has %s", stack, banned)
					}
				}
			}
		})
	}
}
