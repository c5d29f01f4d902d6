package estate

import (
	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// directory describes the groups and applications that do not depend on anything in the subscription. They come first: the
// feature store has one of the applications as its administrator from the moment it stands.
func (l *lowering) directory() {
	l.groups()
	l.application(flowehr.LayerTransform, l.names.SQLOwner(), "Administers the feature store while FlowEHR deploys")
	l.application(flowehr.LayerTransform, l.names.DataWriter(), "Pipelines write features with it")
	if len(l.env.Lake.Zones) > 0 {
		l.application(flowehr.LayerTransform, l.names.LakeClient(), "Pipelines read and write the lake with it")
	}
	l.application(flowehr.LayerTransform, l.names.ExternalClient(), "Pipelines reach services outside with it; it may do nothing by itself")
}

// groups are those of people and apps. With real data there are no developers: what they would be given nobody is.
func (l *lowering) groups() {
	l.group(l.names.DataScientists(), "Read features and build on them")
	l.group(l.names.Stewards(), "Approve algorithms and publish models")
	l.group(l.names.Apps(), "Identities of the apps")
	if l.hasDevelopers() {
		l.group(l.names.Developers(), "Build pipelines and apps")
	}
}

// hasDevelopers says whether there is a group of developers.
func (l *lowering) hasDevelopers() bool { return !l.env.RealData }

func (l *lowering) group(displayName, description string) {
	l.add(flowehr.LayerCore, azure.KindGroup, group(displayName).Name, flowehr.Pos{}, azure.GroupSpec{
		DisplayName: displayName, UniqueName: azure.UniqueName(displayName), Description: description, Owners: l.owners(),
	})
}

// application adds an application without a sign-in of people.
func (l *lowering) application(layer flowehr.Layer, displayName, description string) {
	l.add(layer, azure.KindApplication, displayName, flowehr.Pos{}, l.applicationSpec(displayName, description))
}

func (l *lowering) applicationSpec(displayName, description string) azure.ApplicationSpec {
	return azure.ApplicationSpec{
		DisplayName: displayName, UniqueName: azure.UniqueName(displayName), Description: description,
		Owners: l.owners(), Tags: []string{"flowehr:" + l.env.Suffix},
	}
}

// owners of groups and applications: whoever deploys, so that less than the right to all of them is enough to change them
// later.
func (l *lowering) owners() []azure.Value {
	if l.facts.Deployer.ObjectID == "" {
		return nil
	}
	return []azure.Value{azure.Lit(l.facts.Deployer.ObjectID)}
}

// objectID is the object id of a group.
func objectID(displayName string) azure.Value {
	return azure.Out(group(displayName), azure.OutObjectID)
}

// Outputs of an application: the id that it signs in with, that of the application itself and that of its service principal.
func appID(displayName string) azure.Value {
	return azure.Out(application(displayName), azure.OutAppID)
}
func appObjectID(displayName string) azure.Value {
	return azure.Out(application(displayName), azure.OutObjectID)
}
func principalID(displayName string) azure.Value {
	return azure.Out(application(displayName), azure.OutPrincipalID)
}

// serverRoles are the rights of Microsoft Graph by which Azure SQL finds the people, groups and applications that a database
// user is made of.
// https://learn.microsoft.com/azure/azure-sql/database/authentication-azure-ad-user-assigned-managed-identity#permissions
var serverRoles = []string{"Application.Read.All", "GroupMember.Read.All", "User.Read.All"}

// grants gives the feature store's server the right to look into the directory. PostgreSQL takes object ids and needs none.
func (l *lowering) grants() {
	if l.storeEngine() == enginePostgres {
		return
	}
	for _, role := range serverRoles {
		l.add(flowehr.LayerTransform, azure.KindGrant, grant(role).Name, flowehr.Pos{},
			azure.GrantSpec{Principal: azure.Out(transformStack(), outSQLServerPrincipal), Role: role})
	}
}

func grant(role string) flowehr.Ref { return azure.Ref(azure.KindGrant, "sql-server/"+role) }

// member puts an identity, whose object id is an output, into a group.
func (l *lowering) member(layer flowehr.Layer, name string, pos flowehr.Pos, groupName string, identity azure.Value) {
	l.add(layer, azure.KindMember, name, pos, azure.MemberSpec{Group: objectID(groupName), Member: identity})
}
