package cloud

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	msal "github.com/AzureAD/microsoft-authentication-library-for-go/apps/errors"
)

// refusal is the error of a service that answered with body.
func refusal(s Service, status int, path, body string) error {
	return newError(s, Request{Method: http.MethodPut, Path: path}, Response{Status: status, Header: http.Header{}, Body: []byte(body)})
}

func entra(body string) error {
	res := &http.Response{StatusCode: 400, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}
	return &SignInError{Service: "Azure Resource Manager", Err: msal.CallErr{Resp: res, Err: errors.New("refused")}}
}

func TestExplain(t *testing.T) {
	armError := func(code, message string) error {
		return refusal(ARM(), 403, "/subscriptions/s/x", fmt.Sprintf(`{"error":{"code":%q,"message":%q}}`, code, message))
	}
	skewed, _ := errors.AsType[*Error](armError("ExpiredAuthenticationToken", "expired"))
	skewed.Skew = 10 * time.Minute
	for _, c := range []struct {
		name       string
		err        error
		what, next string // parts of the words
	}{
		{"nobody", &SignInError{Service: "x", Err: ErrNobody}, "nobody is signed in", "flowehr auth login"},
		{"wrong secret", entra(`{"error_codes":[7000215]}`), "client secret is wrong", "ARM_CLIENT_SECRET"},
		{"secret expired", entra(`{"error_codes":[7000222]}`), "has expired", "flowehr auth"},
		{"unknown application", entra(`{"error_codes":[700016]}`), "does not know the application", "App registrations"},
		{"unknown tenant", entra(`{"error_codes":[90002]}`), "no such tenant", "ARM_TENANT_ID"},
		{"clock, by assertion", entra(`{"error_codes":[700024]}`), "clock", "Set the clock"},
		{"federation", entra(`{"error_codes":[700213]}`), "does not trust this job", "Federated credentials"},
		{"no JSON", &SignInError{Service: "x", Err: errors.New("AADSTS90002: no tenant")}, "no such tenant", "ARM_TENANT_ID"},
		{"azidentity", &SignInError{Service: "x", Err: &azidentity.AuthenticationFailedError{RawResponse: &http.Response{StatusCode: 401, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(`{"error_codes":[7000222]}`))}}}, "has expired", "flowehr auth"},
		{"wrong tenant", armError("InvalidAuthenticationTokenTenant", "wrong issuer"), "another tenant", "ARM_TENANT_ID"},
		{"wrong subscription", armError("SubscriptionNotFound", "The subscription 'abc' could not be found."), "subscription abc does not exist", "ARM_SUBSCRIPTION_ID"},
		{"clock, by token", skewed, "clock of this machine is slow by 10m0s", "Set the clock"},
		{"permission", armError("AuthorizationFailed", "The client 'x' with object id '11111111-2222-3333-4444-555555555555' does not have authorization to perform action 'Microsoft.Authorization/roleAssignments/write' over scope '/subscriptions/s' or the scope is invalid."),
			"may not do Microsoft.Authorization/roleAssignments/write on /subscriptions/s", `az role assignment create --role "Role Based Access Control Administrator" --assignee 11111111-2222-3333-4444-555555555555 --scope /subscriptions/s`},
		{"deny settings", armError("AuthorizationFailed", "no authorization to perform action 'Microsoft.Resources/deploymentStacks/manageDenySetting/action' over scope '/s'"), "manageDenySetting", "Azure Deployment Stack Owner"},
		{"graph", refusal(Graph(), 403, "/v1.0/groups", `{"error":{"code":"Authorization_RequestDenied","message":"no"}}`), "Group.ReadWrite.All", "62a82d76-70ea-41e2-9197-370581804d09=Role"},
		{"graph grants", refusal(Graph(), 403, "/v1.0/servicePrincipals/x/appRoleAssignments", `{"error":{"code":"Authorization_RequestDenied","message":"no"}}`), "AppRoleAssignment.ReadWrite.All", "admin-consent"},
		{"vault", refusal(Vault("kv"), 403, "/secrets/a", `{"error":{"code":"Forbidden","message":"no","innererror":{"code":"ForbiddenByRbac"}}}`), "may not use Key Vault kv", "Key Vault Administrator"},
		{"vault firewall", refusal(Vault("kv"), 403, "/secrets/a", `{"error":{"code":"Forbidden","message":"no","innererror":{"code":"ForbiddenByFirewall"}}}`), "does not let this machine in", "inside its network"},
		{"quota within a deployment", refusal(ARM(), 400, "/x", `{"error":{"code":"DeploymentFailed","details":[{"code":"QuotaExceeded","message":"10 of 10 used","target":"/a"}]}}`), "quota is used up (/a): 10 of 10 used", "Quotas"},
		{"name taken", armError("StorageAccountAlreadyTaken", "taken"), "somebody else in Azure has this name", "flowehr_id"},
		{"region", armError("LocationNotAvailableForResourceType", "not in x"), "region does not offer", "location"},
		{"policy", refusal(ARM(), 403, "/x", `{"error":{"code":"RequestDisallowedByPolicy","message":"no","target":"st","additionalInfo":[{"type":"PolicyViolation","info":{"policyDefinitionDisplayName":"No public storage","policyAssignmentDisplayName":"Baseline"}}]}}`),
			`the policy "No public storage" of the organisation forbids it (st)`, `Assignments, "Baseline"`},
		{"template", armError("InvalidTemplate", "bad"), "refused the template: bad", "report it"},
		{"held by a deletion", armError("FlagMustBeSetForRestore", "deleted"), "held by something that was deleted", "recover or to purge"},
		{"lock", armError("ScopeLocked", "locked"), "a lock forbids it", "Locks"},
		{"throttled", refusal(ARM(), 429, "/x", `{}`), "fewer requests", "again in a few minutes"},
		{"busy", armError("DeploymentStackInNonTerminalState", "busy"), "still busy", "carries on"},
		{"gone host", &Error{Service: "Key Vault kv", Err: &net.DNSError{Name: "kv.vault.azure.net", IsNotFound: true}}, "kv.vault.azure.net does not exist", "state refresh"},
		{"clock, by certificate", &Error{Service: "x", Err: x509.CertificateInvalidError{Reason: x509.Expired}}, "this machine's clock", "Set the clock"},
		{"no network", &Error{Service: "x", Err: io.ErrUnexpectedEOF}, "cannot be reached", "connection"},
	} {
		t.Run(c.name, func(t *testing.T) {
			what, next, ok := Explain(fmt.Errorf("step: %w", c.err))
			if !ok || !strings.Contains(what, c.what) || !strings.Contains(next, c.next) {
				t.Errorf("got %q, %q, %v; want %q, %q", what, next, ok, c.what, c.next)
			}
		})
	}
	if what, _, ok := Explain(errors.New("else")); ok {
		t.Errorf("explained an error that is not Azure's: %s", what)
	}
}

func TestPassing(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		wait time.Duration
		ok   bool
	}{
		{"none", nil, 0, false},
		{"not Azure's", errors.New("x"), 0, false},
		{"stopped", &Error{Err: context.Canceled}, 0, false},
		{"lost connection", &Error{Err: io.ErrUnexpectedEOF}, 0, true},
		{"replication", refusal(ARM(), 400, "/x", `{"error":{"code":"PrincipalNotFound","message":""}}`), 20 * time.Second, true},
		{"replication within a deployment", refusal(ARM(), 400, "/x", `{"error":{"code":"DeploymentFailed","details":[{"code":"PrincipalNotFound"},{"code":"AnotherOperationInProgress"}]}}`), 20 * time.Second, true},
		{"one of two stays", refusal(ARM(), 400, "/x", `{"error":{"code":"DeploymentFailed","details":[{"code":"PrincipalNotFound"},{"code":"QuotaExceeded"}]}}`), 0, false},
		{"role not effective yet", refusal(Vault("kv"), 403, "/x", `{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"}}}`), 15 * time.Second, true},
		{"firewall", refusal(Vault("kv"), 403, "/x", `{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByFirewall"}}}`), 0, false},
		{"databricks", refusal(Databricks("https://x"), 400, "/x", `{"error_code":"TEMPORARILY_UNAVAILABLE"}`), 10 * time.Second, true},
		{"overload", &Error{Status: 503, RetryAfter: 7 * time.Second}, 7 * time.Second, true},
		{"a deployment that failed for good", &Error{Status: 200, Later: true, Code: "Failed"}, 0, false},
		{"nobody", &SignInError{Err: ErrNobody}, 0, false},
		{"directory out of reach", &SignInError{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}, 0, true},
		{"another package's", fmt.Errorf("x: %w", passes{}), 3 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if wait, ok := Passing(c.err); wait != c.wait || ok != c.ok {
				t.Errorf("got %v, %v; want %v, %v", wait, ok, c.wait, c.ok)
			}
		})
	}
}

type passes struct{}

func (passes) Error() string                  { return "passes" }
func (passes) Passing() (time.Duration, bool) { return 3 * time.Second, true }
