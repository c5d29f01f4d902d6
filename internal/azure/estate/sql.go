package estate

import (
	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// Engines of the feature store.
const (
	engineMSSQL    = "mssql"
	enginePostgres = "postgres"
)

// Roles that a principal of the feature store is given. With PostgreSQL they stand for owning the database and for reading all
// of its schemas.
const (
	roleOwner  = "db_owner"
	roleReader = "db_datareader"
)

// connectivityTable is what the proof of the path to the feature store writes, reads back and drops.
const connectivityTable = "flowehr_connectivity_test"

// sql describes who may do what in the feature store, and the proof that it can be reached. Whoever administers it is in the
// template of its server; everybody else is a user in the database, which is a matter of the data plane.
func (l *lowering) sql() {
	readers := []string{l.names.Apps(), l.names.DataScientists()}
	if l.hasDevelopers() {
		readers = append(readers, l.names.Developers())
	}
	for _, name := range readers {
		l.sqlPrincipal(azure.SQLPrincipalSpec{Name: name, ObjectID: objectID(name), Group: true, Roles: []string{roleReader}})
	}
	if l.factoryUsesStore() { // a Lookup signs in as the factory
		l.sqlPrincipal(azure.SQLPrincipalSpec{Name: l.names.Factory(), ObjectID: azure.Out(transformStack(), outFactoryPrincipal), Roles: []string{roleReader}})
	}
	writer := l.names.DataWriter()
	owner := l.sqlPrincipal(azure.SQLPrincipalSpec{Name: writer, ObjectID: principalID(writer), Roles: []string{roleOwner}})
	l.add(flowehr.LayerTransform, azure.KindConnectivity, "feature-store", flowehr.Pos{}, azure.ConnectivitySpec{
		Engine: l.storeEngine(), Server: l.storeServer(), Database: l.names.SQLDatabase(), Table: connectivityTable,
		Writer: l.login(writer, secretDataWriter),
	}, owner, vaultSecret(l.names.Vault(), secretDataWriter), transformStack())
}

// sqlPrincipal adds a user of the feature store. The server must be able to look the name up first.
func (l *lowering) sqlPrincipal(spec azure.SQLPrincipalSpec) flowehr.Ref {
	spec.Engine, spec.Server, spec.Database = l.storeEngine(), l.storeServer(), l.names.SQLDatabase()
	spec.Admin = l.login(l.names.SQLOwner(), secretSQLOwner)
	needs := []flowehr.Ref{transformStack(), vaultSecret(l.names.Vault(), secretSQLOwner)}
	if spec.Engine == engineMSSQL {
		for _, role := range serverRoles {
			needs = append(needs, grant(role))
		}
	}
	return l.add(flowehr.LayerTransform, azure.KindSQLPrincipal, spec.Name, flowehr.Pos{}, spec, needs...)
}

// login is how an application signs in to the feature store.
func (l *lowering) login(app, secret string) azure.AdminLogin {
	return azure.AdminLogin{Application: appID(app), Secret: azure.VaultRef{Vault: l.names.Vault(), Name: secret}}
}

func (l *lowering) storeEngine() string {
	if l.env.Store.Engine == enginePostgres {
		return enginePostgres
	}
	return engineMSSQL
}

// storeUser is who publishes features, as the engine calls them. Azure SQL takes the application's token and asks for no name.
func (l *lowering) storeUser() string {
	if l.storeEngine() == enginePostgres {
		return l.names.DataWriter()
	}
	return ""
}

// storeServer is the host name of the feature store.
func (l *lowering) storeServer() string {
	if l.storeEngine() == enginePostgres {
		return l.names.PostgresServerFQDN()
	}
	return l.names.SQLServerFQDN()
}
