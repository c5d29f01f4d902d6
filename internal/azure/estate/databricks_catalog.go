package estate

import (
	"slices"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

func metastoreRef() flowehr.Ref    { return azure.Ref(azure.KindMetastore, "metastore") }
func metastoreUseRef() flowehr.Ref { return azure.Ref(azure.KindMetastoreUse, "workspace") }

// unityCatalog describes the governed catalogue: the metastore, made or used, its use by the workspace, the credential and
// locations of the chosen zones, the catalogue with its schema, and who may do what there.
//
// The groups of the definition are groups of the Databricks account, whose members are managed there. Who makes the metastore
// makes the groups too; with one that is only used they must stand, because a catalogue whose administrators nobody knows of is
// of no use. The data factory's identity, which pipelines run as, is given the same privileges itself.
func (l *lowering) unityCatalog() {
	u := l.env.Spark.UnityCatalog
	if u == nil {
		return
	}
	l.metastore()
	l.accountGroup(u.CatalogAdminGroup)
	l.accountGroup(u.ExternalStorageAdminGroup)
	use := metastoreUseRef()
	credential := l.add(flowehr.LayerTransform, azure.KindCredential, l.names.Connector(), flowehr.Pos{}, azure.CredentialSpec{
		Workspace: l.workspaceURL(), Name: l.names.Connector(), Connector: l.id("Microsoft.Databricks/accessConnectors", l.names.Connector()),
	}, use, coreStack(), transformStack())
	l.privileges("storage_credential", l.names.Connector(), u.ExternalStorageAdminGroup, u.ExternalStorageAdminPrivileges, credential)
	for _, zone := range u.Zones {
		name := "external-" + l.names.Lake() + "-" + zone
		location := l.add(flowehr.LayerTransform, azure.KindExternalLocation, name, flowehr.Pos{}, azure.ExternalLocationSpec{
			Workspace: l.workspaceURL(), Name: name, URL: "abfss://" + zone + "@" + l.lakeHost() + "/", Credential: l.names.Connector(),
		}, credential)
		l.privileges("external_location", name, u.ExternalStorageAdminGroup, u.ExternalStorageAdminPrivileges, location)
	}
	catalog := l.add(flowehr.LayerTransform, azure.KindCatalog, l.catalogName(), flowehr.Pos{},
		azure.CatalogSpec{Workspace: l.workspaceURL(), Name: l.catalogName()}, use)
	l.privileges("catalog", l.catalogName(), u.CatalogAdminGroup, u.CatalogAdminPrivileges, catalog)
	schema := l.add(flowehr.LayerTransform, azure.KindSchema, l.catalogName()+"."+l.schemaName(), flowehr.Pos{},
		azure.SchemaSpec{Workspace: l.workspaceURL(), Catalog: l.catalogName(), Name: l.schemaName()}, catalog)
	l.holds(catalog)
	l.holds(schema)
}

// metastore describes the metastore and that the workspace uses it. A name wins over an id, as package compile says.
func (l *lowering) metastore() {
	m := l.env.Spark.Metastore // there with every catalogue, package compile sees to that
	spec := azure.MetastoreSpec{Account: l.env.Spark.DatabricksAccountID, ID: m.ID, Region: l.env.Location}
	var needs []flowehr.Ref
	if l.createsMetastore() {
		spec.ID, spec.Name = "", m.Name
		spec.StorageRoot = "abfss://" + metastoreContainer + "@" + m.StorageAccount + ".dfs.core.windows.net/"
		spec.Connector = arm.ID(l.facts.Subscription, l.metastoreGroup(), "Microsoft.Databricks/accessConnectors", l.names.MetastoreConnector())
		needs = []flowehr.Ref{coreStack(), transformStack()}
	}
	ref := l.add(flowehr.LayerTransform, azure.KindMetastore, metastoreRef().Name, flowehr.Pos{}, spec, needs...)
	if l.createsMetastore() {
		l.holds(ref) // one that is only used is not taken away either
	}
	l.add(flowehr.LayerTransform, azure.KindMetastoreUse, metastoreUseRef().Name, flowehr.Pos{}, azure.MetastoreUseSpec{
		Account:   l.env.Spark.DatabricksAccountID,
		Workspace: azure.Out(l.workspace(), azure.OutWorkspaceID),
		Metastore: azure.Out(ref, azure.OutMetastoreID),
	})
}

// privileges gives the administrators' group and the data factory's identity their privileges on a securable.
func (l *lowering) privileges(securable, name, group string, privileges []string, on flowehr.Ref) {
	for _, p := range []struct {
		who string
		id  azure.Value
		ref flowehr.Ref
	}{{group, azure.Lit(group), accountGroupRef(group)}, {l.names.Factory(), factoryAppID(), sparkPrincipal(l.names.Factory())}} {
		l.add(flowehr.LayerTransform, azure.KindPrivileges, securable+"/"+name+"/"+p.who, flowehr.Pos{}, azure.PrivilegesSpec{
			Workspace: l.workspaceURL(), Securable: securable, Name: name, Principal: p.id, Privileges: privileges,
		}, on, p.ref)
	}
}

func accountGroupRef(name string) flowehr.Ref { return azure.Ref(azure.KindAccountGroup, name) }

// accountGroup describes a group that is given privileges. Two of the definition may be the same.
func (l *lowering) accountGroup(name string) {
	if slices.ContainsFunc(l.resources, func(r flowehr.Resource) bool { return r.Ref == accountGroupRef(name) }) {
		return
	}
	l.add(flowehr.LayerTransform, azure.KindAccountGroup, name, flowehr.Pos{},
		azure.AccountGroupSpec{Account: l.env.Spark.DatabricksAccountID, Name: name, Make: l.createsMetastore()})
}
