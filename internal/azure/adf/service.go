package adf

import (
	"cmp"
	"fmt"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// server is what a data source is to Data Factory when a dataset of some type stands on it.
type server struct {
	kind    flowehr.SourceKind
	service string // type of the linked service
}

// servers lists the dataset types of tables that package activity knows, with the linked service that each belongs to.
var servers = map[string]server{
	"SqlServerTable":             {flowehr.SourceSQLServer, "SqlServer"},
	"AzureSqlTable":              {flowehr.SourceSQLServer, "AzureSqlDatabase"},
	"AzureSqlMITable":            {flowehr.SourceSQLServer, "AzureSqlMI"},
	"AmazonRdsForSqlServerTable": {flowehr.SourceSQLServer, "AmazonRdsForSqlServer"},
	"PostgreSqlV2Table":          {flowehr.SourcePostgreSQL, "PostgreSqlV2"},
	"AzurePostgreSqlTable":       {flowehr.SourcePostgreSQL, "AzurePostgreSql"},
	"MySqlTable":                 {flowehr.SourceMySQL, "MySql"},
	"MariaDBTable":               {flowehr.SourceMySQL, "MariaDB"},
}

// source makes the linked service of a data source, for activities that Data Factory runs itself.
func (l *lowering) source(s flowehr.Source, datasetType string, from fault) string {
	if s.Kind == flowehr.SourceFolder {
		l.refuse(from, "Put its files into a container of the lake and read them through "+StorageService+", or let the system that writes them write there.",
			"data source %q is a folder of this machine, which Azure does not see", s.Name)
		return ""
	}
	typ, ok := l.serviceType(s, datasetType, from)
	if !ok {
		return ""
	}
	sym := symbol(servicePrefix, s.Name)
	if l.visiting[sym] {
		return sym
	}
	l.visiting[sym] = true
	l.name(from, "data source", s.Name)
	if len(s.Username.Secrets()) > 0 {
		l.refuse(from, "A template holds no secrets. Write the user name in the definition and keep only the password secret, or copy to the lake and read there.",
			"the user name of data source %q is a secret, which a linked service cannot hold", s.Name)
		return ""
	}
	if s.Peering != nil {
		l.warn(from, "A copy into the lake is a job of Databricks, which does reach it.",
			"data source %q is reached through a peered network; Data Factory's own activities do not see it unless it has a managed private endpoint", s.Name)
	}
	properties := arm.Object{"type": typ, "typeProperties": l.connection(s, typ)}
	if s.Kind == flowehr.SourcePostgreSQL && typ == "AzurePostgreSql" || s.Kind == flowehr.SourceSQLServer && typ == "SqlServer" {
		properties["version"] = "2.0"
	}
	l.generated(sym, s.Name, "Data source "+s.Name, properties)
	if vault := l.o.LinkedServices[VaultService]; vault != "" {
		r := l.result.Resources[sym]
		r.DependsOn = []string{vault}
		l.result.Resources[sym] = r
	}
	return sym
}

// serviceType is the type of a source's linked service. All datasets on it have to agree.
func (l *lowering) serviceType(s flowehr.Source, datasetType string, from fault) (string, bool) {
	want := l.serverTypes[s.Name]
	if datasetType == "" {
		if want == "" {
			want = map[flowehr.SourceKind]string{flowehr.SourceSQLServer: "SqlServer", flowehr.SourcePostgreSQL: "PostgreSqlV2",
				flowehr.SourceMySQL: "MySql"}[s.Kind]
		}
		return want, true
	}
	d, known := servers[datasetType]
	switch {
	case datasetType == "PostgreSqlTable":
		l.refuse(from, "Write PostgreSqlV2Table and PostgreSqlV2Source.", "datasets of type PostgreSqlTable are retired in Data Factory")
		return "", false
	case !known || d.kind != s.Kind:
		l.refuse(from, "", "a dataset of type %q does not fit data source %q, a %s database", datasetType, s.Name, s.Kind)
		return "", false
	case want != "" && want != d.service:
		l.refuse(from, "Use one type of dataset for a data source.", "data source %q is %s for one dataset and %s for another", s.Name, want, d.service)
		return "", false
	}
	l.serverTypes[s.Name] = d.service
	return d.service, true
}

// connection writes the typeProperties of a source's linked service. "require" encrypts without checking the certificate,
// "verify" checks it, as on one machine.
func (l *lowering) connection(s flowehr.Source, typ string) arm.Object {
	o := arm.Object{"server": s.Host, "database": s.Database, "password": vaultSecret(l.o.SourceSecret(s.Name))}
	user := literalText(s.Username)
	switch s.Kind {
	case flowehr.SourceSQLServer:
		if s.Port != 0 {
			o["server"] = fmt.Sprintf("%s,%d", s.Host, s.Port)
		}
		o["userName"], o["authenticationType"] = user, "SQL"
		o["encrypt"] = map[string]string{"disable": "optional"}[s.TLS]
		if o["encrypt"] == "" {
			o["encrypt"] = "mandatory"
		}
		o["trustServerCertificate"] = s.TLS != "verify"
	case flowehr.SourcePostgreSQL:
		o["port"], o["username"], o["sslMode"] = cmp.Or(s.Port, 5432), user, tlsMode(s.TLS, 0, 3, 5)
		if typ == "PostgreSqlV2" {
			o["authenticationType"] = "Basic"
		}
	default:
		o["port"], o["username"], o["sslMode"] = cmp.Or(s.Port, 3306), user, tlsMode(s.TLS, 0, 2, 4)
		o["driverVersion"] = "v2"
	}
	return o
}

// tlsMode picks the number that a connector has for a setting.
func tlsMode(setting string, disable, require, verify int) int {
	switch setting {
	case "disable":
		return disable
	case "verify":
		return verify
	}
	return require
}

// literalText is the value of a text that names no secret.
func literalText(t flowehr.Text) string {
	s, err := t.Resolve(func(name string) (flowehr.Secret, error) { return flowehr.Secret{}, fmt.Errorf("%s is a secret", name) })
	if err != nil {
		return ""
	}
	return s.Reveal()
}

// lakeService is Data Factory's own way to the tables of the lake, for a Lookup. It signs in with the factory's identity.
func (l *lowering) lakeService(from fault) string {
	sym := symbol(servicePrefix, LakeService)
	if l.visiting[sym] {
		return sym
	}
	l.visiting[sym] = true
	if l.o.Workspace == nil || l.o.WorkspaceID == nil || l.o.Cluster == nil {
		l.refuse(from, "It reads through a cluster of Databricks.", "%s is used, and the environment has no Databricks", LakeService)
		return ""
	}
	l.generated(sym, LakeService, "Tables of the lake", arm.Object{"type": "AzureDatabricksDeltaLake",
		"typeProperties": arm.Object{"domain": l.o.Workspace, "workspaceResourceId": l.o.WorkspaceID, "clusterId": l.o.Cluster}})
	return sym
}

// storeService is Data Factory's own way to the feature store, for a Lookup. It signs in with the factory's identity.
func (l *lowering) storeService(from fault) string {
	sym := symbol(servicePrefix, StoreService)
	if l.visiting[sym] {
		return sym
	}
	l.visiting[sym] = true
	if l.o.StoreEngine != "mssql" || l.o.StoreServer == "" {
		l.refuse(from, "Read the table of the lake that was published.", "Data Factory's activities cannot read a feature store of engine %q", l.o.StoreEngine)
		return ""
	}
	l.generated(sym, StoreService, "Tables of the feature store", arm.Object{"type": "AzureSqlDatabase", "typeProperties": arm.Object{
		"server": l.o.StoreServer, "database": l.o.StoreDatabase, "encrypt": "mandatory", "trustServerCertificate": false,
		"authenticationType": "SystemAssignedManagedIdentity"}})
	return sym
}

// generated adds a linked service of ours.
func (l *lowering) generated(sym, name, description string, properties arm.Object) {
	version, _ := arm.Version(typeService)
	properties["description"] = description
	properties["annotations"] = []string{"flowehr"}
	if l.o.Runtime != "" {
		properties["connectVia"] = arm.Object{"referenceName": l.o.Runtime, "type": "IntegrationRuntimeReference"}
	}
	l.result.Resources[sym] = arm.Resource{Type: typeService, APIVersion: version, Name: l.o.FactoryName + "/" + name, Properties: properties}
}
