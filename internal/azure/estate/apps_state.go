package estate

import (
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
)

// state describes the app's own database in the account of documents, and who besides the app may use it.
func (a *app) state() {
	l := a.l
	database, container := l.names.StateDatabase(a.ID), l.names.StateContainer(a.ID)
	made := a.s.add("state", arm.New("Microsoft.DocumentDB/databaseAccounts/sqlDatabases", l.names.Documents()+"/"+database, arm.Object{
		"resource": arm.Object{"id": database}, "options": arm.Object{},
	}))
	a.s.add("stateContainer", arm.New("Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers", l.names.Documents()+"/"+database+"/"+container, arm.Object{
		"resource": arm.Object{"id": container, "partitionKey": arm.Object{"kind": "Hash", "paths": []string{"/id"}, "version": 2}},
		"options":  arm.Object{},
	}), made)
	if l.env.RealData {
		id := l.id("Microsoft.DocumentDB/databaseAccounts/sqlDatabases", l.names.Documents(), database)
		a.s.add("stateLock", l.locked(id, database), "stateContainer")
		return
	}
	last := a.stateRole("stateDevelopers", objectID(l.names.Developers()), l.names.Developers(), made)
	a.stateRole("stateDataScientists", objectID(l.names.DataScientists()), l.names.DataScientists(), last)
}

// stateFor lets an identity of the app use its state.
func (a *app) stateFor(s *site, identity string, after string) {
	a.stateRole(s.symbol+"State", identity, s.id, after, "stateContainer")
}

// stateRole lets a principal read and write documents of the app's database. It is a role of the account, not one of Azure.
func (a *app) stateRole(symbol string, principal any, who string, after ...string) string {
	l := a.l
	scope := l.documentsID() + "/dbs/" + l.names.StateDatabase(a.ID)
	return a.s.add(symbol, arm.New("Microsoft.DocumentDB/databaseAccounts/sqlRoleAssignments",
		l.names.Documents()+"/"+azure.GUID("documents", scope, who), arm.Object{
			"principalId":      principal,
			"roleDefinitionId": l.documentsID() + "/sqlRoleDefinitions/" + azure.RoleDocumentContributor,
			"scope":            scope,
		}), after...)
}
