package cli

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// ground is what a definition takes for granted in Azure: it names it and does not make it.
type ground struct {
	groups    map[string]bool
	resources map[string]arm.Resource // by id
	sub       string
	location  string
	used      *metastoreUsed // a metastore that the environment does not make
}

// metastoreUsed is a metastore of Unity Catalog that somebody else made, with the groups that may do something there.
type metastoreUsed struct {
	account, id string
	groups      []string
}

// groundOf lists what env takes for granted: networks of its sources, the resource groups that it names, its network watcher.
func groundOf(env *flowehr.Environment, ci *azureCI, subscription string) ground {
	g := ground{groups: map[string]bool{}, resources: map[string]arm.Resource{}, sub: subscription, location: env.Location}
	for i, s := range env.Sources {
		if s.Peering == nil {
			continue
		}
		g.network(s.Peering.Group, s.Peering.Network, fmt.Sprintf("172.%d.0.0/24", 16+i%16))
		for _, zone := range s.Peering.DNSZones {
			g.add(s.Peering.Group, arm.New("Microsoft.Network/privateDnsZones", zone, arm.Object{}))
		}
	}
	if ci != nil {
		g.network(ci.group, ci.network, "172.31.0.0/24")
	}
	if name := env.Network.PrivateDNSZonesGroup; name != "" {
		g.groups[name] = true
		for _, zone := range commonZones {
			g.add(name, arm.New("Microsoft.Network/privateDnsZones", zone, arm.Object{}))
		}
	}
	if m := env.Monitoring; m.NetworkWatcherName != "" {
		g.add(m.NetworkWatcherGroup, arm.New("Microsoft.Network/networkWatchers", m.NetworkWatcherName, arm.Object{}))
	}
	if m := env.Spark.Metastore; m != nil && m.ResourceGroup != "" {
		g.groups[m.ResourceGroup] = true
	}
	if u, m := env.Spark.UnityCatalog, env.Spark.Metastore; u != nil && m != nil && m.Name == "" {
		g.used = &metastoreUsed{env.Spark.DatabricksAccountID, m.ID, []string{u.CatalogAdminGroup, u.ExternalStorageAdminGroup}}
	}
	return g
}

// azureCI names the network of the CI environment.
type azureCI struct{ group, network string }

// commonZones are the private zones that a hospital keeps for all its environments (spec 06).
var commonZones = []string{
	"privatelink.blob.core.windows.net", "privatelink.vaultcore.azure.net", "privatelink.documents.azure.com", "privatelink.azuredatabricks.net",
	"privatelink.database.windows.net", "privatelink.dfs.core.windows.net",
}

func (g *ground) network(group, name, space string) {
	g.add(group, arm.New("Microsoft.Network/virtualNetworks", name, arm.Object{"addressSpace": arm.Object{"addressPrefixes": []string{space}}}))
}

func (g *ground) add(group string, r arm.Resource) {
	g.groups[group] = true
	r.Location = g.location
	if r.Type == "Microsoft.Network/privateDnsZones" {
		r.Location = "global"
	}
	g.resources[arm.ID(g.sub, group, r.Type, r.Name)] = r
}

// lay makes what a simulated subscription lacks of it, and returns the names of what it made.
func (g *ground) lay(ctx context.Context, c *cloud.Client) ([]string, error) {
	const groupType = "Microsoft.Resources/resourceGroups"
	version, _ := arm.Version(groupType)
	var made []string
	put := func(id, version string, body any) error {
		path := cloud.At(id, version)
		err := c.Get(ctx, cloud.ARM(), path, nil)
		if !cloud.NotFound(err) {
			return err
		}
		made = append(made, id[len("/subscriptions/"+g.sub):])
		_, err = c.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: path, Body: body})
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(g.groups)) {
		if err := put(arm.GroupID(g.sub, name), version, arm.Object{"location": g.location}); err != nil {
			return made, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(g.resources)) {
		r := g.resources[id]
		if err := put(id, r.APIVersion, arm.Object{"location": r.Location, "properties": r.Properties}); err != nil {
			return made, err
		}
	}
	if g.used == nil {
		return made, nil
	}
	more, err := g.used.lay(ctx, c, g.location)
	return append(made, more...), err
}

// lay makes the metastore and the groups of its account. Only a simulated account takes the id of a metastore from outside.
func (u metastoreUsed) lay(ctx context.Context, c *cloud.Client, region string) ([]string, error) {
	account := "/api/2.0/accounts/" + url.PathEscape(u.account)
	err := c.Get(ctx, cloud.DatabricksAccount(), account+"/metastores/"+url.PathEscape(u.id), nil)
	if !cloud.NotFound(err) {
		return nil, err
	}
	info := map[string]string{"metastore_id": u.id, "name": "metastore-" + region, "region": region,
		"storage_root": "abfss://unity-catalog@metastore.dfs.core.windows.net/"}
	if err := c.Call(ctx, cloud.DatabricksAccount(), http.MethodPost, account+"/metastores", map[string]any{"metastore_info": info}, nil); err != nil {
		return nil, err
	}
	made := []string{"metastore " + u.id}
	for _, name := range u.groups {
		err := c.Call(ctx, cloud.DatabricksAccount(), http.MethodPost, account+"/scim/v2/Groups", map[string]string{"displayName": name}, nil)
		switch {
		case cloud.Status(err) == http.StatusConflict:
		case err != nil:
			return made, err
		default:
			made = append(made, "group "+name)
		}
	}
	return made, nil
}

// layGround gives a simulated subscription what the definition takes for granted, and says so.
func (a *app) layGround(ctx context.Context, s *azureSite) error {
	if s.sim == nil {
		return nil
	}
	var ci *azureCI
	if x := a.ciFacts(); x != nil {
		ci = &azureCI{x.Group, x.Network}
	}
	g := groundOf(s.d.env, ci, s.client.Subscription())
	made, err := g.lay(ctx, s.client)
	if err == nil {
		err = s.standIn(ctx, ci)
	}
	if err == nil && len(made) > 0 {
		a.next("The simulation was given what the definition takes for granted: %s", joined(made))
	}
	return err
}

// standIn tells a simulation from where it is asked, and gives its Databricks account what the definition takes for granted
// there. A laptop is outside every network; CI is inside its own.
func (s *azureSite) standIn(ctx context.Context, ci *azureCI) error {
	network := ""
	if ci != nil {
		network = arm.ID(s.client.Subscription(), ci.group, "Microsoft.Network/virtualNetworks", ci.network)
	}
	if err := s.sim.remote.From(ctx, network); err != nil {
		return err
	}
	spark := s.d.env.Spark
	if m := spark.Metastore; m != nil && m.Name == "" && m.ID != "" && spark.UnityCatalog != nil {
		err := s.sim.remote.StandMetastore(ctx, azuresim.Metastore{Account: spark.DatabricksAccountID, ID: m.ID, Name: "metastore-of-the-organisation",
			Region: s.d.env.Location, Storage: "abfss://metastore@" + m.StorageAccount + ".dfs.core.windows.net/"})
		if err != nil {
			return err
		}
		for _, name := range []string{spark.UnityCatalog.CatalogAdminGroup, spark.UnityCatalog.ExternalStorageAdminGroup} {
			if err := s.sim.remote.StandAccountGroup(ctx, spark.DatabricksAccountID, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func joined(names []string) string {
	const most = 4
	if len(names) <= most {
		return fmt.Sprint(names)
	}
	return fmt.Sprintf("%v and %d more", names[:most], len(names)-most)
}
