package cloud

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
)

// Explain says in plain words what an error of Azure means and what to do next. It knows errors by the services' codes, never
// by the wording of messages; names are taken from messages only to be shown. ok is false when there is nothing to add.
func Explain(err error) (what, next string, ok bool) {
	var own interface {
		Explain() (what, next string)
	}
	if errors.As(err, &own) {
		what, next = own.Explain()
		return what, next, true
	}
	if s, is := errors.AsType[*SignInError](err); is {
		return explainSignIn(s)
	}
	e, is := errors.AsType[*Error](err)
	if !is {
		return "", "", false
	}
	if e.Status == 0 {
		return explainUnreachable(e)
	}
	for _, x := range explanations {
		if c, met := e.Because(x.codes...); met {
			what, next = x.tell(e, c)
			return what, next, true
		}
	}
	switch e.Status {
	case http.StatusTooManyRequests:
		what, next = throttled(e, Cause{})
		return what, next, true
	case http.StatusUnauthorized:
		what, next = expiredToken(e, Cause{})
		return what, next, true
	case http.StatusForbidden:
		what, next = missingPermission(e, Cause{Code: e.Code, Message: e.Message})
		return what, next, true
	}
	return "", "", false
}

// explanation is what to say about some codes.
type explanation struct {
	codes []string
	tell  func(*Error, Cause) (what, next string)
}

// explanations stand in the order in which they are tried: the narrower first.
var explanations = []explanation{
	{[]string{"RequestDisallowedByPolicy"}, policyDenied},
	{[]string{"InvalidAuthenticationTokenTenant"}, wrongTenant},
	{[]string{"SubscriptionNotFound", "InvalidSubscriptionId"}, wrongSubscription},
	{[]string{"ReadOnlyDisabledSubscription"}, disabledSubscription},
	{[]string{"ExpiredAuthenticationToken", "InvalidAuthenticationToken", "AuthenticationFailed", "InvalidAuthenticationInfo"}, expiredToken},
	{[]string{"ForbiddenByFirewall", "ForbiddenByConnection", "AuthorizationFailure"}, firewall},
	{[]string{"DenyAssignmentAuthorizationFailed"}, denied},
	{[]string{"ScopeLocked"}, locked},
	{[]string{"AuthorizationFailed", "LinkedAuthorizationFailed", "LinkedAccessCheckFailed", "Authorization_RequestDenied", "ForbiddenByRbac",
		"AuthorizationPermissionMismatch", "PERMISSION_DENIED"}, missingPermission},
	{[]string{"QuotaExceeded", "SubscriptionIsOverQuotaForSku", "MaxStorageAccountsCountPerSubscriptionExceeded", "Directory_QuotaExceeded", "QUOTA_EXCEEDED"}, quota},
	{[]string{"SkuNotAvailable", "AllocationFailed", "ZonalAllocationFailed", "OverconstrainedAllocationRequest", "ProvisioningDisabled",
		"RegionDoesNotAllowProvisioning", "LocationNotAvailableForResourceType", "NoRegisteredProviderFound"}, region},
	{[]string{"StorageAccountAlreadyTaken", "VaultAlreadyExists", "NameAlreadyExists", "AlreadyInUse", "DnsRecordInUse", "DataFactoryNameInUse"}, nameTaken},
	{[]string{"FlagMustBeSetForRestore", "ConflictError"}, heldName},
	{[]string{"MissingSubscriptionRegistration"}, unregisteredProvider},
	{[]string{"DeploymentStackInNonTerminalState", "DeploymentActive", "AnotherOperationInProgress"}, busyElsewhere},
	{[]string{"DeploymentStackOutOfSync"}, outOfSync},
	{[]string{"InvalidTemplate", "InvalidTemplateDeployment", "InvalidRequestContent", "InvalidRequestFormat", "InvalidParameter", "BadRequest"}, refused},
	{[]string{"TooManyRequests", "SubscriptionRequestsThrottled", "REQUEST_LIMIT_EXCEEDED"}, throttled},
}

func about(c Cause) string {
	if c.Target == "" {
		return ""
	}
	return " (" + c.Target + ")"
}

func policyDenied(_ *Error, c Cause) (string, string) {
	if len(c.Policy) == 0 {
		c.Policy = identifiers(c.Message)
	}
	if len(c.Policy) == 0 {
		return "a policy of the organisation forbids it" + about(c) + ": " + c.Message,
			"Ask who looks after Azure Policy for an exemption, or change the definition so that it complies."
	}
	p := c.Policy[0]
	name := first(p.Policy, p.Assignment)
	return fmt.Sprintf("the policy %q of the organisation forbids it%s", name, about(c)),
		fmt.Sprintf("Change the definition so that it complies, or ask for an exemption: portal, Policy, Assignments, %q, Exemptions.", first(p.Assignment, name))
}

// identifiers reads the policies that a message lists as JSON, where the error has no structure that tells them.
func identifiers(message string) []Violated {
	_, list, found := strings.Cut(message, "Policy identifiers: '")
	end := strings.LastIndex(list, "'")
	if !found || end < 0 {
		return nil
	}
	var named []struct {
		Assignment struct{ Name string } `json:"policyAssignment"`
		Definition struct{ Name string } `json:"policyDefinition"`
	}
	if json.Unmarshal([]byte(list[:end]), &named) != nil {
		return nil
	}
	var out []Violated
	for _, n := range named {
		out = append(out, Violated{Policy: first(n.Definition.Name, n.Assignment.Name), Assignment: n.Assignment.Name})
	}
	return out
}

func wrongTenant(e *Error, _ Cause) (string, string) {
	return "the subscription belongs to another tenant than the one you are signed in to",
		"Set ARM_TENANT_ID to the tenant of the subscription (portal, Subscriptions, its Overview, Parent management group or Directory) and sign in again: flowehr auth login"
}

func wrongSubscription(e *Error, c Cause) (string, string) {
	id := quoted(c.Message, 0)
	if id != "" {
		id = " " + id
	}
	return "the subscription" + id + " does not exist, or you may not see it",
		"Check ARM_SUBSCRIPTION_ID, and that you are signed in to its tenant: flowehr auth whoami"
}

func disabledSubscription(_ *Error, _ Cause) (string, string) {
	return "the subscription is disabled and can only be read", "Enable it in the portal under Subscriptions, or deploy to another one."
}

// tolerated is how far clocks may be apart: the directory allows five minutes.
const tolerated = 4 * time.Minute

func expiredToken(e *Error, _ Cause) (string, string) {
	if e.Skew > tolerated || e.Skew < -tolerated {
		direction := "slow"
		if e.Skew < 0 {
			direction = "fast"
		}
		return fmt.Sprintf("the clock of this machine is %s by %s, so Azure does not accept its sign-in", direction, e.Skew.Abs()),
			"Set the clock (it should follow a time server) and do the same again."
	}
	return e.Service + " does not accept the sign-in: it expired, or is for another tenant", "Sign in again: flowehr auth login"
}

func firewall(e *Error, c Cause) (string, string) {
	return e.Service + " does not let this machine in: its firewall does not know the address, or public access is off",
		"Deploy again from here so that the address of this machine is let in, or from a place inside its network, such as the build agents of flowehr bootstrap."
}

func denied(_ *Error, c Cause) (string, string) {
	return "the deny settings of a deployment stack protect this" + about(c),
		"Deploy or destroy with flowehr as somebody whom the stack excludes (who deployed it last), or as Owner change the stack: portal, Subscriptions, Deployment stacks."
}

func locked(_ *Error, c Cause) (string, string) {
	return "a lock forbids it" + about(c), "Find it in the portal under Locks of the resource group, agree with who set it, remove it, and do the same again."
}

func quota(_ *Error, c Cause) (string, string) {
	return "the subscription's quota is used up" + about(c) + ": " + c.Message,
		"Ask for more in the portal under Quotas, choose a smaller size in the definition, or another region."
}

func region(_ *Error, c Cause) (string, string) {
	return "the region does not offer this, or not now" + about(c) + ": " + c.Message,
		"Choose another size in the definition, or another location for a new environment. A lack of capacity may pass: try again later."
}

func nameTaken(_ *Error, c Cause) (string, string) {
	return "somebody else in Azure has this name" + about(c) + ": " + c.Message,
		"Names follow from flowehr_id and the environment's name: change one of them. If it is your own in another subscription or resource group, deploy there or delete it first."
}

func heldName(_ *Error, c Cause) (string, string) {
	return "the name is held by something that was deleted" + about(c),
		"Do the same again and choose to recover or to purge it when asked."
}

func unregisteredProvider(_ *Error, c Cause) (string, string) {
	ns := first(c.Target, quoted(c.Message, 0))
	return "the subscription is not registered for " + ns, fmt.Sprintf("Have an Owner or Contributor register it: portal, Subscriptions, Resource providers, %s, Register (or: az provider register --namespace %s).", ns, ns)
}

func busyElsewhere(_ *Error, c Cause) (string, string) {
	return "Azure is still busy with an earlier change" + about(c), "It cannot be stopped. Do the same again in a few minutes: it carries on from there."
}

func outOfSync(_ *Error, _ Cause) (string, string) {
	return "Azure's own list of what the stack has does not agree with what stands", "Look at the plan for what would be deleted, then deploy again; if that is refused too, delete and deploy the stack anew."
}

func refused(e *Error, c Cause) (string, string) {
	return "Azure refused the template" + about(c) + ": " + c.Message,
		"If a value of the definition is at fault, change it. If not, this is a fault of flowehr: report it with the request id " + first(e.RequestID, "of the log") + "."
}

func throttled(e *Error, _ Cause) (string, string) {
	next := "Do the same again in a few minutes: it carries on from there."
	if e.RetryAfter > 0 {
		next = fmt.Sprintf("Do the same again in %s: it carries on from there.", e.RetryAfter)
	}
	return e.Service + " asks for fewer requests, also after waiting", next
}

func explainUnreachable(e *Error) (string, string, bool) {
	if dns, is := errors.AsType[*net.DNSError](e.Err); is && dns.IsNotFound {
		return fmt.Sprintf("%s cannot be found: the name %s does not exist", e.Service, dns.Name),
			"If it was deleted, refresh the record: flowehr state refresh. If it has a private endpoint only, deploy from inside its network.", true
	}
	if cert, is := errors.AsType[x509.CertificateInvalidError](e.Err); is && cert.Reason == x509.Expired {
		return "the certificate of " + e.Service + " is not valid at the time that this machine's clock shows",
			"Set the clock (it should follow a time server). If it is right, something on the way puts its own certificate in: ask who runs the network.", true
	}
	return e.Service + " cannot be reached", "Check the connection, and a proxy if there is one, then do the same again: it carries on from there.", true
}

// action is how ARM writes which action over which scope is missing. It is shown, nothing is decided by it.
var action = regexp.MustCompile(`action '([^']+)'(?: over scope '([^']+)')?`)

// missingPermission names the action and who can grant it.
func missingPermission(e *Error, c Cause) (string, string) {
	if strings.Contains(c.Message, "Unauthorized network access") { // Databricks calls a closed front door a permission
		return firewall(e, c)
	}
	object, scope := "", ""
	act := ""
	if m := action.FindStringSubmatch(c.Message); m != nil {
		act, scope = m[1], m[2]
		object = objectID.FindString(c.Message)
	}
	switch {
	case e.Service == Graph().Name:
		role := graphRoleFor(pathOnly(e.Path))
		return "you may not do this in the directory: the permission " + role + " of Microsoft Graph is missing", GrantGraph(role, "CLIENT_ID")
	case c.Code == "ForbiddenByRbac":
		return "you may not use " + e.Service + " (a role that was given minutes ago may not be effective yet)", Grant("Key Vault Administrator", object, first(scope, "SCOPE_OF_THE_VAULT"))
	case c.Code == "AuthorizationPermissionMismatch":
		return "you may not read or write blobs of " + e.Service, Grant("Storage Blob Data Contributor", object, first(scope, "SCOPE_OF_THE_ACCOUNT"))
	case c.Code == "PERMISSION_DENIED":
		return "you may not do this in " + e.Service + ": " + c.Message, "Have an administrator of the workspace or account add you: Databricks, Settings, Identity and access."
	}
	what := "you may not do this"
	if act != "" {
		what = "you may not do " + act
		if scope != "" {
			what += " on " + scope
		}
	}
	return what, Grant(RoleFor(act), object, first(scope, "SCOPE"))
}

var objectID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// RoleFor is the built-in role with the least rights, among those that a deployer needs anyway, that allows an action.
func RoleFor(action string) string {
	a := strings.ToLower(action)
	switch {
	case strings.HasPrefix(a, "microsoft.authorization/roleassignments/"):
		return "Role Based Access Control Administrator"
	case strings.HasPrefix(a, "microsoft.resources/deploymentstacks/managedenysetting"):
		return "Azure Deployment Stack Owner"
	case strings.HasPrefix(a, "microsoft.authorization/"):
		return "Owner"
	case strings.HasPrefix(a, "microsoft.keyvault/vaults/secrets/"):
		return "Key Vault Administrator"
	case strings.HasPrefix(a, "microsoft.storage/storageaccounts/blobservices/containers/blobs/"):
		return "Storage Blob Data Contributor"
	case a == "":
		return "Owner"
	}
	return "Contributor"
}

// Grant says how a role is given, in the portal and with az.
func Grant(role, objectID, scope string) string {
	return fmt.Sprintf("Have an Owner grant %s: portal, the scope's Access control (IAM), Add role assignment, %s (or: az role assignment create --role %q --assignee %s --scope %s). It takes effect within some minutes.",
		role, role, role, first(objectID, "OBJECT_ID"), scope)
}

// GrantGraph says how a permission of Microsoft Graph is given to an application.
func GrantGraph(role, clientID string) string {
	id := graphRoleIDs[role]
	return fmt.Sprintf("Have a Privileged Role Administrator grant it: portal, Microsoft Entra ID, App registrations, the application, API permissions, Add %s, Grant admin consent (or: az ad app permission add --id %s --api 00000003-0000-0000-c000-000000000000 --api-permissions %s=Role, then: az ad app permission admin-consent --id %s). A person needs the directory role Application Administrator and Groups Administrator instead.",
		role, first(clientID, "CLIENT_ID"), first(id, role), first(clientID, "CLIENT_ID"))
}

// graphRoleIDs are the app roles of Microsoft Graph (learn.microsoft.com/graph/permissions-reference).
var graphRoleIDs = map[string]string{
	"Application.ReadWrite.All":       "1bfefb4e-e0b5-418b-a88f-73c46d2cc8e9",
	"AppRoleAssignment.ReadWrite.All": "06b708a9-e830-4db3-a914-8e69da51d44f",
	"Group.ReadWrite.All":             "62a82d76-70ea-41e2-9197-370581804d09",
	"Directory.Read.All":              "7ab1d382-f21e-4acd-a863-ba3e13f7da61",
}

func graphRoleFor(path string) string {
	switch p := strings.ToLower(path); {
	case strings.Contains(p, "approleassign"):
		return "AppRoleAssignment.ReadWrite.All"
	case strings.Contains(p, "/groups"):
		return "Group.ReadWrite.All"
	case strings.Contains(p, "/applications"), strings.Contains(p, "/serviceprincipals"):
		return "Application.ReadWrite.All"
	}
	return "Directory.Read.All"
}

// explainSignIn reads the directory's error numbers (learn.microsoft.com/entra/identity-platform/reference-error-codes).
func explainSignIn(s *SignInError) (string, string, bool) {
	if errors.Is(s.Err, ErrNobody) {
		return "nobody is signed in to Azure",
			"Sign in with: flowehr auth login   (in automation set ARM_CLIENT_ID, ARM_TENANT_ID, and let the job have id-token: write or set ARM_CLIENT_SECRET)", true
	}
	for _, n := range aadsts(s.Err) {
		switch n {
		case 7000215, 7000216:
			return "the client secret is wrong", "Set ARM_CLIENT_SECRET to the secret's value, not its id, or make a new one: flowehr auth", true
		case 7000222:
			return "the client secret has expired", "Make a new one: flowehr auth   (or use federation, which needs none)", true
		case 700016, 700011:
			return "the tenant does not know the application: ARM_CLIENT_ID or ARM_TENANT_ID is wrong", "Check both against the portal: Microsoft Entra ID, App registrations.", true
		case 90002, 900023:
			return "there is no such tenant", "Check ARM_TENANT_ID against the portal: Microsoft Entra ID, Overview.", true
		case 700024, 500133:
			return "the clock of this machine is wrong, so the sign-in is not valid now", "Set the clock (it should follow a time server) and do the same again.", true
		case 70021, 700213, 700211, 700212:
			return "the application does not trust this job: its federated credential has another subject or issuer", "Run flowehr auth --github for this repository and environment, or compare: portal, App registrations, Certificates & secrets, Federated credentials.", true
		case 50076, 50079, 50173, 700082, 70043, 50078, 65001, 70008:
			return "the sign-in has to be renewed", "Sign in again: flowehr auth login", true
		case 53003, 53000, 530003:
			return "a conditional access policy of the organisation does not allow this sign-in", "Sign in from a device that complies, or deploy from CI.", true
		case 70016, 70018, 70019, 70020:
			return "nobody entered the code in time", "Sign in again: flowehr auth login", true
		}
	}
	if _, is := errors.AsType[net.Error](s.Err); is {
		return "the directory cannot be reached to sign in", "Check the connection, and a proxy if there is one, then do the same again.", true
	}
	return "signing in to " + s.Service + " did not succeed", "Sign in again: flowehr auth login", true
}

var aadstsNumber = regexp.MustCompile(`AADSTS([0-9]+)`)

// aadsts returns the error numbers in what the directory answered.
func aadsts(err error) []int {
	var res *http.Response
	if call, is := errors.AsType[msal.CallErr](err); is {
		res = call.Resp
	} else if failed, is := errors.AsType[*azidentity.AuthenticationFailedError](err); is {
		res = failed.RawResponse
	}
	if res != nil && res.Body != nil {
		if numbers := errorCodes(res); len(numbers) > 0 {
			return numbers
		}
	}
	var out []int
	for _, m := range aadstsNumber.FindAllStringSubmatch(err.Error(), -1) {
		n := 0
		_, _ = fmt.Sscan(m[1], &n) // digits only
		out = append(out, n)
	}
	return out
}
