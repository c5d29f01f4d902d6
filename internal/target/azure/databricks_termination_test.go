package azure

import (
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
	"net/http"
)

// The codes are those of docs.databricks.com/api/azure/workspace/clusters/get that a cluster on Azure can end with while it
// starts.
func TestTerminationsThatPass(t *testing.T) {
	const client, cloudFault, service, success = "CLIENT_ERROR", "CLOUD_FAILURE", "SERVICE_FAULT", "SUCCESS"
	for _, c := range []struct {
		code, class string
		passing     bool
	}{
		// The cloud gave no machine, or took it away: another try may get one.
		{"CLOUD_PROVIDER_LAUNCH_FAILURE", cloudFault, true},
		{"CLOUD_PROVIDER_LAUNCH_FAILURE_DUE_TO_MISCONFIG", client, false},
		{"CLOUD_PROVIDER_SHUTDOWN", cloudFault, true},
		{"CLOUD_PROVIDER_DISK_SETUP_FAILURE", cloudFault, true},
		{"AZURE_RESOURCE_MANAGER_THROTTLING", cloudFault, true},
		{"AZURE_RESOURCE_PROVIDER_THROTTLING", cloudFault, true},
		{"AZURE_RESOURCE_PROVIDER_THROTTLING", client, true},
		{"AZURE_VM_EXTENSION_FAILURE", cloudFault, true},
		{"AZURE_EPHEMERAL_DISK_FAILURE", cloudFault, true},
		{"AZURE_UNEXPECTED_DEPLOYMENT_TEMPLATE_FAILURE", cloudFault, true},
		{"SPOT_INSTANCE_TERMINATION", cloudFault, true},
		{"INSTANCE_UNREACHABLE", cloudFault, true},
		{"COMMUNICATION_LOST", cloudFault, true},

		// It did not come up in time, or Databricks itself had a fault.
		{"BOOTSTRAP_TIMEOUT", service, true},
		{"BOOTSTRAP_TIMEOUT_CLOUD_PROVIDER_EXCEPTION", cloudFault, true},
		{"BOOTSTRAP_TIMEOUT_DUE_TO_MISCONFIG", client, true},
		{"SELF_BOOTSTRAP_FAILURE", client, true},
		{"CONTAINER_LAUNCH_FAILURE", service, true},
		{"CONTROL_PLANE_REQUEST_FAILURE", cloudFault, true},
		{"NETWORK_CONFIGURATION_FAILURE", cloudFault, true},
		{"NPIP_TUNNEL_SETUP_FAILURE", cloudFault, true},
		{"STORAGE_DOWNLOAD_FAILURE", cloudFault, true},
		{"SECURITY_DAEMON_REGISTRATION_EXCEPTION", service, true},
		{"DBFS_COMPONENT_UNHEALTHY", service, true},
		{"METASTORE_COMPONENT_UNHEALTHY", client, true},
		{"REQUEST_THROTTLED", client, true},
		{"INTERNAL_ERROR", service, true},
		{"UNEXPECTED_LAUNCH_FAILURE", service, true},
		{"A_CODE_OF_NEXT_YEAR", service, true},
		{"A_CODE_OF_NEXT_YEAR", cloudFault, true},

		// Somebody has to do something first, whatever class it is in.
		{"AZURE_QUOTA_EXCEEDED_EXCEPTION", client, false},
		{"AZURE_QUOTA_EXCEEDED_EXCEPTION", cloudFault, false},
		{"CLOUD_PROVIDER_RESOURCE_STOCKOUT", cloudFault, false},
		{"AZURE_OPERATION_NOT_ALLOWED_EXCEPTION", cloudFault, false},
		{"AZURE_INVALID_DEPLOYMENT_TEMPLATE", cloudFault, false},
		{"AZURE_VNET_CONFIGURATION_FAILURE", cloudFault, false},
		{"AZURE_BYOK_KEY_PERMISSION_FAILURE", cloudFault, false},
		{"SUBNET_EXHAUSTED_FAILURE", cloudFault, false},
		{"INVALID_ARGUMENT", client, false},
		{"INVALID_SPARK_IMAGE", client, false},
		{"INIT_SCRIPT_FAILURE", client, false},
		{"GLOBAL_INIT_SCRIPT_FAILURE", client, false},
		{"SPARK_STARTUP_FAILURE", service, false},
		{"SPARK_ERROR", client, false},
		{"SECRET_RESOLUTION_ERROR", client, false},
		{"TRIAL_EXPIRED", client, false},
		{"ABUSE_DETECTED", cloudFault, false},
		{"WORKSPACE_CONFIGURATION_ERROR", client, false},
		{"A_CODE_OF_NEXT_YEAR", client, false},

		// It ended because somebody wanted it to. Starting it again would be against their will.
		{"USER_REQUEST", success, false},
		{"JOB_FINISHED", success, false},
		{"INACTIVITY", success, false},
		{"", "", false},
	} {
		if got := (termination{Code: c.code, Type: c.class}).passing(); got != c.passing {
			t.Errorf("%s of class %s: passing %v, want %v", c.code, c.class, got, c.passing)
		}
	}
}

// What becomes of the making of a cluster: tried again at once, handed to the run to be tried later, or an error at once.
func TestClusterCreationFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		rules  []azuresim.FaultRule
		fails  bool
		later  bool // the run may try the step again
		starts int
	}{
		{"a machine that was not given", fault("clusters/create", "CLOUD_PROVIDER_LAUNCH_FAILURE", 1), false, false, 1},
		{"throttled for a while", append(fault("clusters/create", "AZURE_RESOURCE_PROVIDER_THROTTLING", 1), fault("clusters/start", "AZURE_RESOURCE_PROVIDER_THROTTLING", 1)...), false, false, 2},
		{"never a machine", append(fault("clusters/create", "BOOTSTRAP_TIMEOUT", 1), fault("clusters/start", "BOOTSTRAP_TIMEOUT", -1)...), true, true, clusterStarts},
		{"no quota", fault("clusters/create", "AZURE_QUOTA_EXCEEDED_EXCEPTION", 1), true, false, 0},
		{"no addresses", fault("clusters/create", "SUBNET_EXHAUSTED_FAILURE", 1), true, false, 0},
		{"a fault that turns into a lasting one", append(fault("clusters/create", "INTERNAL_ERROR", 1), fault("clusters/start", "INIT_SCRIPT_FAILURE", 1)...), true, false, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p, target, cluster := clusterWorld(t, 33, plainChange)
			if err := p.remote.SetFaults(t.Context(), azuresim.Faults{Rules: c.rules}); err != nil {
				t.Fatal(err)
			}
			_, err := target.Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: cluster}, &noted{})
			if (err != nil) != c.fails {
				t.Errorf("error %v, want one: %v", err, c.fails)
			}
			if _, later := cloud.Passing(err); later != c.later {
				t.Errorf("to be tried again: %v, want %v: %v", later, c.later, err)
			}
			if got := p.count(http.MethodPost, "/api/2.1/clusters/start"); got != c.starts {
				t.Errorf("started again %d times, want %d", got, c.starts)
			}
		})
	}
}

func fault(path, code string, times int) []azuresim.FaultRule {
	return []azuresim.FaultRule{{Method: http.MethodPost, Path: path, Times: times, Fault: azuresim.FaultOperation, Code: code, Message: "of a test"}}
}
