package azure

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// DiscoverOptions say what cannot be seen in Azure.
type DiscoverOptions struct {
	Automation bool           // run by CI
	CI         *azure.CIFacts // the bootstrap environment, when there is one

	// PublicIP finds the address by which the deployer reaches Azure. It is not asked in automation, where public access is
	// off; nil means that none is let in.
	PublicIP func(context.Context) (string, error)
}

// Discover finds out what lowering must know: who deploys and where to, addresses that nobody uses, the ranges of Databricks.
// What would make a deployment fail, and can be known now, is a diagnostic: a region without a service, a missing permission,
// a subscription of another tenant.
func Discover(ctx context.Context, c *cloud.Client, env *flowehr.Environment, o DiscoverOptions) (azure.Facts, []flowehr.Diagnostic, error) {
	d := discovery{c: c, env: env, names: azure.NamesOf(env)}
	f := azure.Facts{Subscription: c.Subscription(), Automation: o.Automation, CI: o.CI}
	who, err := c.WhoAmI(ctx)
	if err != nil {
		return azure.Facts{}, nil, err
	}
	f.Deployer = azure.Deployer{ObjectID: who.ObjectID, Kind: who.Kind, Name: who.Name}
	if f.Tenant, err = d.tenant(ctx, who); err != nil {
		return azure.Facts{}, nil, err
	}
	if !o.Automation && o.PublicIP != nil {
		if f.PublicIP, err = o.PublicIP(ctx); err != nil {
			d.warn("the public address of this machine could not be found", "Without it the vault, storage and the feature store let nobody in from here: %v", err)
		}
	}
	if f.AddressSpace, err = d.addressSpace(ctx); err != nil {
		return azure.Facts{}, nil, err
	}
	if f.Databricks, err = d.databricks(ctx); err != nil {
		return azure.Facts{}, nil, err
	}
	if err := d.services(ctx); err != nil {
		return azure.Facts{}, nil, err
	}
	if err := d.permissions(ctx, who); err != nil {
		return azure.Facts{}, nil, err
	}
	flowehr.SortDiagnostics(d.diags)
	return f, d.diags, nil
}

// discovery is one call of Discover.
type discovery struct {
	c     *cloud.Client
	env   *flowehr.Environment
	names azure.Names
	diags []flowehr.Diagnostic
}

func (d *discovery) warn(summary, detail string, args ...any) {
	d.diags = append(d.diags, flowehr.Warningf(flowehr.Pos{}, "%s", summary).With(detail, args...))
}

func (d *discovery) fail(summary, detail string, args ...any) {
	d.diags = append(d.diags, flowehr.Errorf(flowehr.Pos{}, "%s", summary).With(detail, args...))
}

const subscriptionVersion = "2022-12-01"

func (d *discovery) tenant(ctx context.Context, who cloud.Who) (string, error) {
	var s struct {
		Name   string `json:"displayName"`
		Tenant string `json:"tenantId"`
		State  string `json:"state"`
	}
	if err := d.c.Get(ctx, cloud.ARM(), cloud.At("/subscriptions/"+d.c.Subscription(), subscriptionVersion), &s); err != nil {
		return "", err
	}
	if s.State != "" && s.State != "Enabled" {
		d.fail(fmt.Sprintf("subscription %s is %s", s.Name, strings.ToLower(s.State)), "Nothing can be made in it. Enable it in the portal under Subscriptions, or choose another.")
	}
	if who.Tenant != "" && s.Tenant != "" && who.Tenant != s.Tenant {
		d.fail(fmt.Sprintf("subscription %s belongs to another tenant", s.Name), "You are signed in to tenant %s, it belongs to %s. Set ARM_TENANT_ID to that, or sign in there.", who.Tenant, s.Tenant)
	}
	if s.Tenant == "" {
		return who.Tenant, nil
	}
	return s.Tenant, nil
}

// databricks returns the address ranges of the region's control plane, as the service tags of the region have them today.
func (d *discovery) databricks(ctx context.Context) ([]string, error) {
	var tags struct {
		Values []struct {
			Name       string `json:"name"`
			Properties struct {
				Region   string   `json:"region"`
				Prefixes []string `json:"addressPrefixes"`
			} `json:"properties"`
		} `json:"values"`
	}
	version, _ := arm.Version("Microsoft.Network/virtualNetworks")
	path := cloud.At("/subscriptions/"+d.c.Subscription()+"/providers/Microsoft.Network/locations/"+d.env.Location+"/serviceTags", version)
	if err := d.c.Get(ctx, cloud.ARM(), path, &tags); err != nil {
		if none(err) == nil {
			return nil, nil
		}
		return nil, fmt.Errorf("address ranges of Databricks in %s: %w", d.env.Location, err)
	}
	var out []string
	for _, v := range tags.Values {
		if !strings.EqualFold(v.Name, "AzureDatabricks."+d.env.Location) && !(strings.HasPrefix(v.Name, "AzureDatabricks.") && sameLocation(v.Properties.Region, d.env.Location)) {
			continue
		}
		for _, prefix := range v.Properties.Prefixes {
			if p, err := netip.ParsePrefix(prefix); err == nil && p.Addr().Is4() {
				out = append(out, p.String())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// requirement is a resource type that the environment needs in its region.
type requirement struct{ namespace, typ, what string }

func (d *discovery) requirements() []requirement {
	out := []requirement{
		{"Microsoft.KeyVault", "vaults", "key vaults"},
		{"Microsoft.Storage", "storageAccounts", "storage accounts"},
		{"Microsoft.Network", "virtualNetworks", "virtual networks"},
		{"Microsoft.OperationalInsights", "workspaces", "log workspaces"},
		{"Microsoft.DataFactory", "factories", "Data Factory"},
		{"Microsoft.Databricks", "workspaces", "Databricks"},
	}
	if d.env.Store.Engine == "postgres" {
		out = append(out, requirement{"Microsoft.DBforPostgreSQL", "flexibleServers", "PostgreSQL"})
	} else {
		out = append(out, requirement{"Microsoft.Sql", "servers", "Azure SQL"})
	}
	if d.env.Serve != nil || len(d.env.Apps) > 0 {
		out = append(out, requirement{"Microsoft.Web", "sites", "App Service"}, requirement{"Microsoft.ContainerRegistry", "registries", "container registries"},
			requirement{"Microsoft.DocumentDB", "databaseAccounts", "Cosmos DB"}, requirement{"Microsoft.MachineLearningServices", "registries", "machine learning registries"})
	}
	return out
}

// services checks that the region has what is needed and registers the subscription for it where it is not yet.
func (d *discovery) services(ctx context.Context) error {
	for _, r := range d.requirements() {
		p, err := d.c.ProviderOf(ctx, r.namespace)
		if none(err) == nil && err != nil {
			continue // cannot be told: a deployment will say
		}
		if err != nil {
			return fmt.Errorf("look for %s in %s: %w", r.what, d.env.Location, err)
		}
		regions := p.Regions[r.typ]
		if len(regions) > 0 && !slices.ContainsFunc(regions, func(l string) bool { return sameLocation(l, d.env.Location) }) {
			d.fail(fmt.Sprintf("%s has no %s", d.env.Location, r.what), "Choose a region that has them as location, for example %s.", strings.Join(regions[:min(3, len(regions))], ", "))
		}
	}
	return nil
}

const permissionsVersion = "2022-04-01"

// actions that a deployment cannot do without, and what for.
func (d *discovery) actions() [][2]string {
	out := [][2]string{
		{"Microsoft.Resources/deploymentStacks/write", "make deployment stacks"},
		{"Microsoft.Resources/subscriptions/resourceGroups/write", "make resource groups"},
		{"Microsoft.Authorization/roleAssignments/write", "give roles to identities"},
	}
	if d.env.RealData {
		out = append(out, [2]string{"Microsoft.Resources/deploymentStacks/manageDenySetting/action", "protect the stacks of real data"},
			[2]string{"Microsoft.Authorization/locks/write", "lock the resource group"})
	}
	return out
}

// graphRoles are the application permissions that a deployer needs of Microsoft Graph.
func graphRoles() []string {
	return []string{"Application.ReadWrite.All", "AppRoleAssignment.ReadWrite.All", "Group.ReadWrite.All", "Directory.Read.All"}
}

// permissions compares what the deployer may do with what a deployment does (learn.microsoft.com/rest/api/authorization/permissions).
// A list that cannot be had is no problem of its own: the deployment will tell.
func (d *discovery) permissions(ctx context.Context, who cloud.Who) error {
	var have []permission
	path := cloud.At("/subscriptions/"+d.c.Subscription()+"/providers/Microsoft.Authorization/permissions", permissionsVersion)
	err := d.c.Pages(ctx, cloud.ARM(), path, func(raw json.RawMessage) error {
		var p permission
		err := json.Unmarshal(raw, &p)
		have = append(have, p)
		return err
	})
	if err != nil && none(err) != nil && cloud.Status(err) != http.StatusForbidden {
		return fmt.Errorf("permissions on the subscription: %w", err)
	}
	if err == nil {
		for _, a := range d.actions() {
			if !slices.ContainsFunc(have, func(p permission) bool { return p.allows(a[0]) }) {
				role := cloud.RoleFor(a[0])
				d.fail(fmt.Sprintf("%s may not %s", who.Name, a[1]), "It lacks %s on the subscription. %s", a[0], cloud.Grant(role, who.ObjectID, "/subscriptions/"+d.c.Subscription()))
			}
		}
	}
	if who.Kind != "ServicePrincipal" {
		return nil // a person's rights in the directory come from directory roles, which the token does not carry
	}
	roles, err := d.c.AppRoles(ctx, cloud.Graph())
	if err != nil {
		return err
	}
	if len(roles) == 0 {
		return nil
	}
	for _, r := range graphRoles() {
		if !slices.Contains(roles, r) && !(slices.Contains(roles, "Directory.ReadWrite.All") && (r == "Directory.Read.All" || r == "Group.ReadWrite.All")) {
			d.fail(fmt.Sprintf("%s lacks the permission %s of Microsoft Graph", who.Name, r), "%s", cloud.GrantGraph(r, who.ClientID))
		}
	}
	return nil
}

// permission is what a role assignment allows.
type permission struct {
	Actions    []string `json:"actions"`
	NotActions []string `json:"notActions"`
}

func (p permission) allows(action string) bool {
	matches := func(pattern string) bool { return wildcard(strings.ToLower(pattern), strings.ToLower(action)) }
	return slices.ContainsFunc(p.Actions, matches) && !slices.ContainsFunc(p.NotActions, matches)
}

// wildcard matches s with a pattern in which * stands for anything.
func wildcard(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	if len(parts) == 1 {
		return pattern == s
	}
	if !strings.HasPrefix(s, parts[0]) {
		return false
	}
	s = s[len(parts[0]):]
	for _, p := range parts[1 : len(parts)-1] {
		i := strings.Index(s, p)
		if i < 0 {
			return false
		}
		s = s[i+len(p):]
	}
	return strings.HasSuffix(s, parts[len(parts)-1])
}
