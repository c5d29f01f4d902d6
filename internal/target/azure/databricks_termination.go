package azure

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// termination says why a cluster ended (docs.databricks.com/api/azure/workspace/clusters/get).
type termination struct {
	Code       string            `json:"code"`
	Type       string            `json:"type"` // CLIENT_ERROR, CLOUD_FAILURE, SERVICE_FAULT, SUCCESS
	Parameters map[string]string `json:"parameters"`
}

// passing reports whether starting again may help. Databricks gives a class with each code: faults of the service or of
// the cloud pass, mistakes in the description do not. Some codes stand in the wrong class: what the first list names passes
// whatever its class, and the second names what stays until somebody does something, such as ask for a larger quota.
func (t termination) passing() bool {
	switch t.Code {
	case "CLOUD_PROVIDER_LAUNCH_FAILURE", "CLOUD_PROVIDER_SHUTDOWN", "COMMUNICATION_LOST", "BOOTSTRAP_TIMEOUT", "INSTANCE_UNREACHABLE",
		"CONTAINER_LAUNCH_FAILURE", "NETWORK_CONFIGURATION_FAILURE", "DBFS_COMPONENT_UNHEALTHY", "METASTORE_COMPONENT_UNHEALTHY",
		"AZURE_RESOURCE_PROVIDER_THROTTLING", "REQUEST_THROTTLED", "INTERNAL_ERROR", "UNEXPECTED_LAUNCH_FAILURE", "SELF_BOOTSTRAP_FAILURE",
		"SPOT_INSTANCE_TERMINATION", "BOOTSTRAP_TIMEOUT_DUE_TO_MISCONFIG", "AZURE_VM_EXTENSION_FAILURE":
		return true
	case "AZURE_QUOTA_EXCEEDED_EXCEPTION", "CLOUD_PROVIDER_RESOURCE_STOCKOUT", "AZURE_OPERATION_NOT_ALLOWED_EXCEPTION", "AZURE_INVALID_DEPLOYMENT_TEMPLATE",
		"AZURE_VNET_CONFIGURATION_FAILURE", "AZURE_BYOK_KEY_PERMISSION_FAILURE", "SUBNET_EXHAUSTED_FAILURE", "INVALID_ARGUMENT", "INIT_SCRIPT_FAILURE",
		"GLOBAL_INIT_SCRIPT_FAILURE", "SPARK_STARTUP_FAILURE", "ABUSE_DETECTED":
		return false
	}
	return t.Type == "SERVICE_FAULT" || t.Type == "CLOUD_FAILURE"
}

// String tells the code and what came with it.
func (t termination) String() string {
	text := t.Code
	for _, k := range slices.Sorted(maps.Keys(t.Parameters)) {
		text += fmt.Sprintf("; %s: %s", strings.ReplaceAll(k, "_", " "), t.Parameters[k])
	}
	return text
}
