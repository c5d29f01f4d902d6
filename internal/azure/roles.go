package azure

// Built-in roles of Azure, by the GUID of their definition, which is the same in every tenant.
// https://learn.microsoft.com/azure/role-based-access-control/built-in-roles
const (
	RoleContributor         = "b24988ac-6180-42a0-ab88-20f7382dd24c"
	RoleReader              = "acdd72a7-3385-48ef-bd42-f606fba81ae7"
	RoleVaultAdministrator  = "00482a5a-887f-4fb3-b363-3b7fe8e74483" // Key Vault Administrator
	RoleVaultSecretsUser    = "4633458b-17de-408a-b874-0445c86b69e6" // Key Vault Secrets User
	RoleBlobDataContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe" // Storage Blob Data Contributor
	RoleRegistryPull        = "7f951dda-4ed3-4680-a7ca-43fe172d538d" // AcrPull
)

// RoleDocumentContributor is the data plane role of Cosmos DB that reads and writes documents. Its id is one within an account.
const RoleDocumentContributor = "00000000-0000-0000-0000-000000000002"

// Kinds of principal. A role assignment names the kind, so that one for a principal made a moment ago is not refused because
// the directory's replicas do not all know it yet.
const (
	PrincipalUser    = "User"
	PrincipalGroup   = "Group"
	PrincipalService = "ServicePrincipal"
)

// CustomRole is a role that Azure does not have built in. It is made for each scope that it may be assigned at.
type CustomRole struct {
	Name        string
	Description string
	Actions     []string
}

// ID is the GUID of the role's definition for the scope of an id.
func (r CustomRole) ID(scope string) string { return GUID("role", r.Name, scope) }

// TitleFor is the role's name for one scope. Names of custom roles are unique within a tenant.
func (r CustomRole) TitleFor(scope string) string { return r.Name + " " + scope }

// SlotSwapRole lets an app's build swap the slots of that app and nothing else.
func SlotSwapRole() CustomRole {
	return CustomRole{
		Name:        "FlowEHR Slot Swap",
		Description: "Swap the slots of a web app",
		Actions: []string{
			"Microsoft.Web/sites/config/read",
			"Microsoft.Web/sites/config/list/action",
			"Microsoft.Web/sites/config/write",
			"Microsoft.Web/sites/slots/read",
			"Microsoft.Web/sites/slots/slotsswap/action",
			"Microsoft.Web/sites/slots/operationresults/read",
			"Microsoft.Web/sites/slots/operations/read",
			"Microsoft.Web/sites/slots/config/read",
			"Microsoft.Web/sites/slots/config/list/action",
			"Microsoft.Web/sites/slots/config/write",
		},
	}
}

// ModelWriterRole lets algorithm stewards publish models.
func ModelWriterRole() CustomRole {
	r := ModelReaderRole()
	r.Name, r.Description = "FlowEHR Model Registry Read-Write", "Read and write models of the registry"
	r.Actions = append(r.Actions, "Microsoft.MachineLearningServices/registries/assets/write")
	return r
}

// ModelReaderRole lets apps use models.
func ModelReaderRole() CustomRole {
	return CustomRole{
		Name:        "FlowEHR Model Registry Read-Only",
		Description: "Read models of the registry",
		Actions: []string{
			"Microsoft.MachineLearningServices/registries/read",
			"Microsoft.MachineLearningServices/registries/assets/read",
		},
	}
}
