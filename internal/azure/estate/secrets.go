package estate

import (
	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/adf"
)

// secretDays is how long passwords of applications and of registry tokens last. `flowehr secrets rotate` makes new ones.
// Microsoft advises at most 12 months and proposes half a year:
// https://learn.microsoft.com/entra/identity-platform/security-best-practices-for-app-registration
const secretDays = 180

// Names of secrets in the vault of core and transform (06-azure-facts).
const (
	secretSQLOwnerID   = "sql-owner-app-id"
	secretSQLOwner     = "sql-owner-secret"
	secretDataWriterID = "flowehr-dbks-sql-app-id"
	secretDataWriter   = "flowehr-dbks-sql-app-secret"
	secretExternalID   = "flowehr-external-conn-app-id"
	secretExternal     = "flowehr-external-conn-app-secret"
	secretLakeClientID = "flowehr-dbks-adls-app-id"
	secretLakeClient   = "flowehr-dbks-adls-app-secret"
)

// secrets describes what the vault of core and transform holds. The feature store takes sign-in from the directory only, so
// there is no password of an administrator. Templates never hold a secret: a stack could not delete one either.
func (l *lowering) secrets() {
	l.clientSecret(flowehr.LayerTransform, l.names.SQLOwner(), secretSQLOwnerID, secretSQLOwner)
	l.clientSecret(flowehr.LayerTransform, l.names.DataWriter(), secretDataWriterID, secretDataWriter)
	l.clientSecret(flowehr.LayerTransform, l.names.ExternalClient(), secretExternalID, secretExternal)
	if len(l.env.Lake.Zones) > 0 {
		l.clientSecret(flowehr.LayerTransform, l.names.LakeClient(), secretLakeClientID, secretLakeClient)
	}
	for _, s := range l.env.Sources {
		if s.Kind == flowehr.SourceFolder {
			continue // has nobody to sign in as
		}
		l.textSecret(s, sourceUsername(s.Name), s.Username)
		l.textSecret(s, sourcePassword(s.Name), s.Password)
	}
}

// Secrets of a data source. That of the password is the one that the linked service of the source reads.
func sourceUsername(source string) string { return "source-" + source + "-username" }
func sourcePassword(source string) string { return adf.SourceSecret(source) }

// textSecret keeps a credential of a data source. An empty one is none.
func (l *lowering) textSecret(s flowehr.Source, name string, value flowehr.Text) {
	if value == "" {
		return
	}
	l.vaultSecret(flowehr.LayerTransform, l.names.Vault(), name, s.Pos, azure.Source{Text: value}, coreStack())
}

// clientSecret keeps an application's id and a password of it in the vault of core and transform.
func (l *lowering) clientSecret(layer flowehr.Layer, app, idName, secretName string) {
	vault := l.names.Vault()
	l.vaultSecret(layer, vault, idName, flowehr.Pos{}, outputSource(appID(app)), coreStack())
	l.vaultSecret(layer, vault, secretName, flowehr.Pos{}, passwordSource(app), coreStack())
}

// vaultSecret adds a secret of a vault, which needs the stack that has the vault and whoever deploys as its administrator.
func (l *lowering) vaultSecret(layer flowehr.Layer, vault, name string, pos flowehr.Pos, source azure.Source, stack flowehr.Ref) flowehr.Ref {
	return l.add(layer, azure.KindVaultSecret, vaultSecret(vault, name).Name, pos, azure.VaultSecretSpec{Vault: vault, Name: name, Source: source}, stack)
}

// vaultSecret is the resource of a secret in a vault.
func vaultSecret(vault, name string) flowehr.Ref {
	return azure.Ref(azure.KindVaultSecret, vault+"/"+name)
}

// outputSource is a value that is known at run time and no secret.
func outputSource(v azure.Value) azure.Source { return azure.Source{Value: &v} }

// literalSource is a value that is known now and no secret.
func literalSource(s string) azure.Source { return outputSource(azure.Lit(s)) }

// passwordSource is a password of an application, made when the vault has none.
func passwordSource(app string) azure.Source {
	return azure.Source{Password: &azure.AppPassword{Application: appObjectID(app), Days: secretDays}}
}

// vaultSource is a copy of what a vault holds.
func vaultSource(vault, name string) azure.Source {
	return azure.Source{Vault: &azure.VaultRef{Vault: vault, Name: name}}
}
