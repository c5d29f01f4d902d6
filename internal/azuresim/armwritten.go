package azuresim

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// written does what else a provider does when a resource was made or changed.
func (m *manager) written(r *resource) {
	switch strings.ToLower(r.Type) {
	case strings.ToLower(typeNetwork):
		m.spreadSubnets(r)
	case strings.ToLower(typeSubnet):
		m.gatherSubnet(r)
	case strings.ToLower(typeDatabricks):
		m.managedGroup(r)
	case strings.ToLower(typeSite), strings.ToLower(typeSite + "/slots"):
		m.linkSubnet(r)
	case strings.ToLower(typeSite + "/config"), strings.ToLower(typeSite + "/slots/config"):
		if site := m.w.Manager.Resources[key(parentID(r.ID))]; site != nil && site.Want != nil && strings.EqualFold(r.Name, "web") {
			m.configureSite(site, objectAt(r.Want, "properties"))
		}
	case "microsoft.sql/servers":
		m.beside(r, "Microsoft.Sql/servers/databases", "databases/master")
	case "microsoft.storage/storageaccounts":
		for _, service := range []string{"blob", "file", "queue", "table"} {
			m.beside(r, "Microsoft.Storage/storageAccounts/"+service+"Services", service+"Services/default")
		}
	case "microsoft.network/virtualnetworks/virtualnetworkpeerings":
		for _, other := range m.all(func(o *resource) bool { return strings.EqualFold(o.Type, r.Type) && o.Want != nil }) {
			objectAt(other.Body, "properties")["peeringState"] = m.peeringState(other, objectAt(other.Want, "properties"))
		}
	}
}

// stand puts a resource where nobody made it. It is not counted as left over.
func (m *manager) stand(id string, body object) error {
	t, valid := parseTarget(id)
	if !valid || t.Rest != "" || t.name() == "" || t.Subscription != m.o.Subscription {
		return fmt.Errorf("%q is not the id of a resource of the simulated subscription", id)
	}
	if t.Group != "" && !t.is(typeGroup) {
		group := "/subscriptions/" + t.Subscription + "/resourceGroups/" + t.Group
		if m.w.Manager.Resources[key(group)] == nil {
			if err := m.stand(group, object{"location": "uksouth"}); err != nil {
				return err
			}
		}
	}
	r := &resource{ID: id, Type: t.Type, Name: t.name(), Made: m.w.now(), By: elsewhere}
	m.w.Manager.Resources[key(id)] = r
	m.endWrite(wanted{ID: id, Type: t.Type, Name: t.name(), Body: body}, nil)
	return nil
}

// elsewhere is who made what stood before.
const elsewhere = "elsewhere"

// beside makes what a resource has from the beginning without anybody asking for it.
func (m *manager) beside(r *resource, typ, path string) {
	id := r.ID + "/" + path
	if m.w.Manager.Resources[key(id)] != nil {
		return
	}
	b := &resource{ID: id, Type: typ, Name: path[strings.LastIndexByte(path, '/')+1:], Made: m.w.now(), Changed: m.w.now(), By: r.By, Inline: true, Want: object{"properties": object{}}}
	b.Body = m.read(b, b.Want)
	m.w.Manager.Resources[key(id)] = b
}

// keepInline keeps the subnets of a network whose body does not speak of them.
func (m *manager) keepInline(r *resource) {
	if !strings.EqualFold(r.Type, typeNetwork) {
		return
	}
	p := objectAt(r.Want, "properties")
	if _, spoken := p["subnets"]; p == nil || spoken {
		return
	}
	var keep []any
	for _, s := range m.subnets(r) {
		keep = append(keep, object{"name": s.Name, "properties": clone(objectAt(s.Want, "properties"))})
	}
	if keep != nil {
		p["subnets"] = keep
	}
}

func (m *manager) subnets(network *resource) []*resource {
	return m.all(func(o *resource) bool { return strings.EqualFold(o.Type, typeSubnet) && within(o.ID, network.ID) })
}

// checkSubnets refuses a network's body that would delete subnets in use: those that stand and that it does not name.
func (m *manager) checkSubnets(want wanted) *serviceError {
	p := objectAt(want.Body, "properties")
	if _, spoken := p["subnets"]; !spoken {
		return nil
	}
	for _, s := range m.subnets(&resource{ID: want.ID}) {
		named := slices.ContainsFunc(listAt(p, "subnets"), func(v any) bool { return strings.EqualFold(textAt(asObject(v), "name"), s.Name) })
		if named {
			continue
		}
		if refused := m.blocker(s, false); refused != nil {
			return refused
		}
	}
	return nil
}

// spreadSubnets makes resources of the subnets in a network's body.
func (m *manager) spreadSubnets(r *resource) {
	named := map[string]bool{}
	for _, v := range listAt(r.Want, "properties", "subnets") {
		name := textAt(asObject(v), "name")
		id := r.ID + "/subnets/" + name
		named[key(id)] = true
		s := m.w.Manager.Resources[key(id)]
		if s == nil {
			s = &resource{ID: id, Type: typeSubnet, Name: name, Made: m.w.now(), By: r.By, Inline: true}
			m.w.Manager.Resources[key(id)] = s
		}
		s.Want, s.Changed = object{"properties": clone(objectAt(asObject(v), "properties"))}, m.w.now()
		s.Body = m.read(s, s.Want)
		m.setState(s, "Succeeded")
	}
	for _, s := range m.subnets(r) {
		if !named[key(s.ID)] {
			m.eraseOne(s)
		}
	}
}

// gatherSubnet puts a subnet that was made by itself into its network's body.
func (m *manager) gatherSubnet(s *resource) {
	network := m.w.Manager.Resources[key(parentID(s.ID))]
	if network == nil || network.Want == nil {
		return
	}
	p := objectAt(network.Want, "properties")
	list := slices.DeleteFunc(listAt(p, "subnets"), func(v any) bool { return strings.EqualFold(textAt(asObject(v), "name"), s.Name) })
	p["subnets"] = append(list, object{"name": s.Name, "properties": clone(objectAt(s.Want, "properties"))})
	network.Body = m.read(network, network.Want)
	m.setState(network, "Succeeded")
}

// dropInline takes a deleted subnet out of its network's body.
func (m *manager) dropInline(s *resource) {
	network := m.w.Manager.Resources[key(parentID(s.ID))]
	if network == nil || network.Want == nil {
		return
	}
	p := objectAt(network.Want, "properties")
	p["subnets"] = slices.DeleteFunc(listAt(p, "subnets"), func(v any) bool { return strings.EqualFold(textAt(asObject(v), "name"), s.Name) })
	network.Body = m.read(network, network.Want)
	m.setState(network, "Succeeded")
}

// managedGroup makes the resource group that Databricks keeps for a workspace, with the storage account of its file system.
func (m *manager) managedGroup(r *resource) {
	id := textAt(r.Want, "properties", "managedResourceGroupId")
	t, valid := parseTarget(id)
	if !valid || m.w.Manager.Resources[key(id)] != nil {
		return
	}
	name := textAt(r.Want, "properties", "parameters", "storageAccountName", "value")
	if name == "" {
		name = "dbstorage" + hexOf(m.w.seed, 13, "dbstorage", key(r.ID))
	}
	location := textAt(r.Want, "location")
	group := &resource{ID: id, Type: typeGroup, Name: t.name(), Made: m.w.now(), Changed: m.w.now(), Want: object{"location": location, "managedBy": r.ID}}
	account := &resource{ID: id + "/providers/Microsoft.Storage/storageAccounts/" + name, Type: "Microsoft.Storage/storageAccounts", Name: name, Made: m.w.now(), Changed: m.w.now(),
		Want: object{"location": location, "kind": "BlobStorage", "sku": object{"name": "Standard_GRS"}, "properties": object{}}}
	for _, o := range []*resource{group, account} {
		o.Body = m.read(o, o.Want)
		m.setState(o, "Succeeded")
		m.w.Manager.Resources[key(o.ID)] = o
	}
}

// linkSubnet notes that the plan of an app is linked to a subnet. The link outlives the app: unless the app is detached from
// the subnet first, only deleting the plan takes it away.
func (m *manager) linkSubnet(r *resource) {
	plan, subnet := key(textAt(r.Want, "properties", "serverFarmId")), textAt(r.Want, "properties", "virtualNetworkSubnetId")
	if subnet != "" && plan != "" {
		m.w.Manager.Links[key(subnet)] = plan
		return
	}
	for linked, owner := range m.w.Manager.Links {
		inUse := slices.ContainsFunc(m.all(func(o *resource) bool { return strings.HasPrefix(strings.ToLower(o.Type), strings.ToLower(typeSite)) }),
			func(o *resource) bool { return key(textAt(o.Want, "properties", "virtualNetworkSubnetId")) == linked })
		if owner == plan && !inUse {
			delete(m.w.Manager.Links, linked)
		}
	}
}

// softDelete keeps a vault or a log workspace for as long as it was told to.
func (m *manager) softDelete(r *resource) {
	days := 14.0 // of a workspace: https://learn.microsoft.com/azure/azure-monitor/logs/delete-workspace
	if strings.EqualFold(r.Type, typeVault) {
		days = 90
		if n, set := objectAt(r.Want, "properties")["softDeleteRetentionInDays"].(float64); set {
			days = n
		}
	}
	r.Purge = m.w.now().Add(time.Duration(days) * 24 * time.Hour)
	m.w.Manager.Deleted[key(r.ID)] = r
	m.w.after(r.Purge.Sub(m.w.now()), "purge", key(r.ID))
}

// purgeDue ends a soft deletion.
func (m *manager) purgeDue(k string) {
	if r := m.w.Manager.Deleted[k]; r != nil && !r.Purge.After(m.w.now()) {
		m.purge(r)
	}
}

func (m *manager) purge(r *resource) {
	delete(m.w.Manager.Deleted, key(r.ID))
	m.tell(changePurged, r)
	m.w.dirty()
}

// recover brings a softly deleted resource back, when one of the same id is made and its kind allows that.
func (m *manager) recover(r *resource, want wanted) {
	old := m.w.Manager.Deleted[key(want.ID)]
	if old == nil || !strings.EqualFold(old.Type, want.Type) {
		return
	}
	delete(m.w.Manager.Deleted, key(want.ID))
	r.Made, r.Body = old.Made, old.Body
	m.tell(changeRecovered, r)
}

// purgeTakes is how long purging a vault takes. It is an estimate.
const purgeTakes = 10 * time.Second

// deletedVault answers about vaults that are deleted softly: how long they are kept, and purging them.
func (m *manager) deletedVault(c *call, t target) answer {
	var found *resource
	list := []any{}
	for _, k := range slices.Sorted(maps.Keys(m.w.Manager.Deleted)) {
		r := m.w.Manager.Deleted[k]
		if !strings.EqualFold(r.Type, typeVault) {
			continue
		}
		list = append(list, m.deletedBody(r))
		if strings.EqualFold(r.Name, t.name()) {
			found = r
		}
	}
	switch {
	case strings.EqualFold(t.Rest, "deletedVaults"):
		return ok(object{"value": list})
	case found == nil && c.Again > 0:
		return ok(nil)
	case found == nil:
		return fail(http.StatusNotFound, "DeletedVaultNotFound", "The specified deleted vault '%s' does not exist.", t.name())
	case c.Method == http.MethodGet:
		return ok(m.deletedBody(found))
	case c.Method == http.MethodPost && strings.EqualFold(t.Rest, "purge"):
		if protected, _ := objectAt(found.Want, "properties")["enablePurgeProtection"].(bool); protected {
			return fail(http.StatusConflict, "Conflict", "Vault '%s' cannot be purged: purge protection is enabled. It will be purged by the service on %s.", found.Name, stamp(found.Purge))
		}
		found.Purge = m.w.now().Add(purgeTakes)
		m.w.after(purgeTakes, "purge", key(found.ID))
		return hold(found.Purge)
	}
	return fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "%s is not for deleted vaults.", c.Method)
}

func (m *manager) deletedBody(r *resource) object {
	location := flat(textAt(r.Want, "location"))
	return object{"id": "/subscriptions/" + m.o.Subscription + "/providers/Microsoft.KeyVault/locations/" + location + "/deletedVaults/" + r.Name, "name": r.Name,
		"type": "Microsoft.KeyVault/deletedVaults", "properties": object{"vaultId": r.ID, "location": location, "tags": r.Want["tags"], "deletionDate": stamp(r.Changed),
			"scheduledPurgeDate": stamp(r.Purge), "purgeProtectionEnabled": objectAt(r.Want, "properties")["enablePurgeProtection"]}}
}
