package cloud

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// passing has the codes of failures that pass by themselves, and how long that takes at least. Each is a word of a service's
// own; failures that may pass and may as well stay are not here.
var passing = map[string]time.Duration{
	// A principal that was just made is not known everywhere yet, and a role that was just given not effective in the vault
	// (learn.microsoft.com/azure/role-based-access-control/troubleshooting).
	"PrincipalNotFound": 20 * time.Second,
	"ForbiddenByRbac":   15 * time.Second,

	// One provider says that the resource stands, another still sees it coming (hashicorp/terraform-provider-azurerm 31712).
	"ReferencedResourceNotProvisioned": 15 * time.Second,
	"StorageAccountIsNotProvisioned":   15 * time.Second,
	"AccountProvisioningStateInvalid":  15 * time.Second,

	// One change at a time.
	"AnotherOperationInProgress":           10 * time.Second,
	"RetryableError":                       10 * time.Second,
	"RetryableErrorDueToAnotherOperation":  10 * time.Second,
	"OperationInProgress":                  10 * time.Second,
	"StorageAccountOperationInProgress":    10 * time.Second,
	"ConflictingServerOperation":           30 * time.Second,
	"DeploymentActive":                     30 * time.Second,
	"DeploymentStackInNonTerminalState":    30 * time.Second,
	"DeploymentStackDeleteResourcesFailed": 30 * time.Second,
	"Directory_ConcurrencyViolation":       5 * time.Second,

	// App Service lets go of a subnet minutes after the app has gone, and so on upwards.
	"InUseSubnetCannotBeDeleted":               30 * time.Second,
	"InUseRouteTableCannotBeDeleted":           30 * time.Second,
	"InUseNetworkSecurityGroupCannotBeDeleted": 30 * time.Second,

	// Overload and restarts that a service tells with a status of its own choosing, or within an operation.
	"ServerBusy":                        10 * time.Second,
	"ServerTimeout":                     10 * time.Second,
	"ServiceUnavailable":                10 * time.Second,
	"InternalServerError":               10 * time.Second,
	"OperationTimedOut":                 30 * time.Second,
	"TooManyRequests":                   30 * time.Second,
	"INTERNAL_ERROR":                    10 * time.Second, // Databricks, as are the next
	"TEMPORARILY_UNAVAILABLE":           10 * time.Second,
	"WORKSPACE_TEMPORARILY_UNAVAILABLE": 15 * time.Second,
	"REQUEST_LIMIT_EXCEEDED":            10 * time.Second,
	"RESOURCE_EXHAUSTED":                10 * time.Second,
	"DEADLINE_EXCEEDED":                 10 * time.Second,
	"ABORTED":                           5 * time.Second,
}

// Passing recognises a failure that passes by itself and says how long to wait at least. It is made for apply.Options.Retry.
// Another package's error joins in with a method Passing of the same results.
//
// Of several causes all must pass: what stays would come again.
func Passing(err error) (time.Duration, bool) {
	if err == nil || errors.Is(err, context.Canceled) {
		return 0, false
	}
	var own interface {
		Passing() (time.Duration, bool)
	}
	if errors.As(err, &own) {
		return own.Passing()
	}
	if s, ok := errors.AsType[*SignInError](err); ok {
		return 0, signInPasses(s)
	}
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return 0, false
	}
	switch {
	case e.Status == 0:
		return e.RetryAfter, true
	case !e.Later && (e.Status == http.StatusTooManyRequests || e.Status == http.StatusRequestTimeout || e.Status >= 500):
		return e.RetryAfter, true
	}
	longest := e.RetryAfter
	for _, r := range e.Reasons() {
		wait, ok := passing[r.Code]
		if !ok {
			return 0, false
		}
		longest = max(longest, wait)
	}
	return longest, true
}

// signInPasses: the directory was out of reach or overloaded. What it answered otherwise stays.
func signInPasses(s *SignInError) bool {
	if failed, ok := errors.AsType[*azidentity.AuthenticationFailedError](s.Err); ok && failed.RawResponse != nil {
		return failed.RawResponse.StatusCode >= 500 || failed.RawResponse.StatusCode == http.StatusTooManyRequests
	}
	_, ok := errors.AsType[net.Error](s.Err)
	return ok
}
