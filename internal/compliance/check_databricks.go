package compliance

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
)

var databricksTypes = []string{"Microsoft.Databricks/workspaces"}

const workspace = "Databricks workspace"

var (
	bricksNetwork = func(v *view) Finding {
		return every(v, workspace, v.of(databricksTypes...), "Make the workspace in the environment's network.", func(it *item) verdict {
			id, set := it.text("parameters.customVirtualNetworkId.value")
			return told(set && id != "" && v.find(id) != nil, it, "customVirtualNetworkId", shortID(id), "")
		})
	}
	bricksNoAddress = property(workspace, databricksTypes, "parameters.enableNoPublicIp.value", "false", "Make the workspace without public addresses.", "true")
	bricksPublic    = property(workspace, databricksTypes, "publicNetworkAccess", "Enabled", "Public access to the workspace is off with real data when the control plane is reached privately: access_databricks_management_publicly.", "Disabled")
	bricksEndpoint  = endpoints(workspace, databricksTypes, "databricks_ui_api")
	bricksOwnKey    = func(v *view) Finding {
		return every(v, workspace, v.of(databricksTypes...), "A key of your own needs a vault, a key and somebody who looks after both; the product does not make one.", func(it *item) verdict {
			for _, name := range []string{"encryption.entities.managedServices.keySource", "parameters.encryption.value.keySource"} {
				if source, set := it.text(name); set {
					return told(strings.EqualFold(source, "Microsoft.Keyvault"), it, name, source, "")
				}
			}
			return told(false, it, "encryption", "not set, which means keys of Microsoft", "")
		})
	}
	bricksLog = func(v *view) Finding {
		return every(v, workspace, v.of(databricksTypes...), "Send the logs of the workspace to the log workspace.", func(it *item) verdict {
			return v.logged(it, it.id, []string{"accounts", "clusters", "jobs", "notebook", "secrets", "workspace"}, "audit")
		})
	}
)

// bricksGroups wants a security group on the two subnets that clusters really use.
func bricksGroups(v *view) Finding {
	return every(v, workspace, v.of(databricksTypes...), "Attach a security group to both subnets of the workspace.", func(it *item) verdict {
		network, _ := it.text("parameters.customVirtualNetworkId.value")
		attached := 0
		for _, which := range []string{"customPublicSubnetName", "customPrivateSubnetName"} {
			name, _ := it.text("parameters." + which + ".value")
			for _, s := range v.subnets() {
				if s.state != read {
					return *stateVerdict(s)
				}
				if !strings.EqualFold(s.id, network+"/subnets/"+name) {
					continue
				}
				if g, known := v.group(s); g == nil && known {
					return told(false, s, "networkSecurityGroup", "none", "")
				}
				attached++
			}
		}
		return told(attached == 2, it, "subnets with a security group", fmt.Sprint(attached), "")
	})
}

// bricksWorkers wants traffic between machines of a cluster to be encrypted. A cluster of one machine has none.
func bricksWorkers(v *view) Finding {
	f := Finding{Status: NotApplicable, Why: "The environment has no cluster."}
	for _, r := range v.specs {
		var spec azure.ClusterSpec
		if r.Ref.Kind != azure.KindCluster || json.Unmarshal(r.Spec, &spec) != nil {
			continue
		}
		one := Finding{Status: NotMet, Why: "Machines of a cluster talk to each other in the clear, within its own subnet.",
			Next:     "Use a cluster of one machine, or an init script that turns encryption on and spark_config spark.network.crypto.enabled true.",
			Evidence: []Evidence{{Resource: r.Ref.String(), Property: "workers", Value: fmt.Sprint(spec.Workers)}}}
		switch {
		case spec.Workers == 0 && spec.Autoscale == nil:
			one.Status, one.Why, one.Next = NotApplicable, "The cluster is one machine, which has no one to talk to.", ""
		case spec.Conf["spark.network.crypto.enabled"] == "true":
			one.Status, one.Why, one.Next = Met, "Machines of the cluster encrypt what they send each other.", ""
			one.Evidence = append(one.Evidence, Evidence{Resource: r.Ref.String(), Property: "spark.network.crypto.enabled", Value: "true"})
		}
		if f.Status == NotApplicable && len(f.Evidence) == 0 {
			f = one
			continue
		}
		f = worst(f, one)
	}
	return f
}

func bricksCatalog(v *view) Finding {
	f := Finding{Status: NotMet, Why: "No catalogue is configured.", Next: "Set spark.unity_catalog."}
	for _, r := range v.specs {
		if r.Ref.Kind == azure.KindCatalog || r.Ref.Kind == azure.KindMetastoreUse {
			f.Evidence = append(f.Evidence, Evidence{Resource: r.Ref.String()})
		}
	}
	kind := func(e Evidence) string { k, _, _ := strings.Cut(e.Resource, "/"); return k }
	has := func(k string) bool {
		return slices.ContainsFunc(f.Evidence, func(e Evidence) bool { return kind(e) == k })
	}
	switch {
	case has(azure.KindCatalog) && has(azure.KindMetastoreUse):
		f.Status, f.Why, f.Next = Met, "Tables are governed by Unity Catalog.", ""
	case has(azure.KindCatalog):
		f.Status, f.Why, f.Next = CannotTell, "There are catalogues; that the workspace uses a metastore is not in the definition.", "Whoever administers the Databricks account can tell."
	}
	return f
}
