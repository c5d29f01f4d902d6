package azure

import "github.com/flowehr/flowehr/internal/azure"

// Replace lists, for a kind, what of its description cannot be changed in place: JSON pointers. What is not listed is changed by
// the kind's keeper. Nothing that holds people's work is replaced for a property that can as well stay: the template of a
// repository counts only when it is made.
func Replace(kind string) []string {
	switch kind {
	case azure.KindStack:
		return []string{"/name", "/location"}
	case azure.KindGroup, azure.KindApplication:
		return []string{"/uniqueName"}
	case azure.KindFederation:
		return []string{"/application", "/name"}
	case azure.KindMember:
		return []string{"/group", "/member"}
	case azure.KindGrant:
		return []string{"/principal", "/role"}
	case azure.KindVaultSecret:
		return []string{"/vault", "/name"}
	case azure.KindScope, azure.KindCredential, azure.KindSchema:
		return []string{"/name"}
	case azure.KindScopeSecret:
		return []string{"/scope", "/key"}
	case azure.KindFile:
		return []string{"/path"}
	case azure.KindAccountGroup:
		return []string{"/account", "/name"}
	case azure.KindMetastore:
		return []string{"/region", "/storageRoot"}
	case azure.KindCatalog:
		return []string{"/name", "/storageRoot"}
	case azure.KindSQLPrincipal:
		return []string{"/server", "/database", "/name", "/objectId"}
	case azure.KindRepository:
		return []string{"/owner", "/name"}
	case azure.KindTeam:
		return []string{"/owner", "/name"}
	case azure.KindBranch, azure.KindGitHubDeployment:
		return []string{"/owner", "/repository", "/name"}
	case azure.KindRepositoryFile:
		return []string{"/owner", "/repository", "/branch", "/path"}
	}
	return nil
}
