package azuresim

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cluster is a cluster of machines that nobody starts: its states pass as time does.
type cluster struct {
	ID     string     `json:"id"`
	Spec   object     `json:"spec"` // as it was told
	State  string     `json:"state"`
	Since  time.Time  `json:"since"`
	Begun  time.Time  `json:"begun"`          // when it was started last
	Until  time.Time  `json:"until,omitzero"` // when the state passes by itself
	Pinned bool       `json:"pinned,omitempty"`
	Fails  *faultInfo `json:"fails,omitempty"` // how it will end instead of running
	Reason object     `json:"reason,omitempty"`
	Why    string     `json:"why,omitempty"`
	Made   time.Time  `json:"made"`
}

// faultInfo is a failure that is to come.
type faultInfo struct{ Code, Kind, Message string }

// Lifecycle states (docs.databricks.com/api/azure/workspace/clusters/get).
const (
	clusterPending     = "PENDING"
	clusterRunning     = "RUNNING"
	clusterRestarting  = "RESTARTING"
	clusterTerminating = "TERMINATING"
	clusterTerminated  = "TERMINATED"
)

// How long the states take: published reports name four to six minutes until a cluster runs.
const (
	clusterStarts = 4 * time.Minute
	clusterStops  = 20 * time.Second
)

// advance lets pass what has passed.
func (c *cluster) advance(now time.Time) {
	for !c.Until.IsZero() && !c.Until.After(now) {
		at := c.Until
		c.Until = time.Time{}
		switch c.State {
		case clusterPending, clusterRestarting:
			if f := c.Fails; f != nil {
				c.Fails = nil
				c.end(at, f.Code, f.Kind, f.Message)
				continue
			}
			c.enter(clusterRunning, at)
			if minutes, told := c.Spec["autotermination_minutes"].(float64); told && minutes > 0 {
				c.Until = at.Add(time.Duration(minutes) * time.Minute)
			}
		case clusterRunning:
			c.end(at, "INACTIVITY", "SUCCESS", "Terminated by inactivity.")
		case clusterTerminating:
			c.enter(clusterTerminated, at)
		}
	}
}

func (c *cluster) enter(state string, at time.Time) {
	c.State, c.Since, c.Until = state, at, time.Time{}
}

func (c *cluster) end(at time.Time, code, kind, message string) {
	c.enter(clusterTerminating, at)
	c.Until = at.Add(clusterStops)
	c.Reason, c.Why = object{"code": code, "type": kind, "parameters": object{"databricks_error_message": message}}, message
}

// begin starts the cluster: it will run, or end with what is wrong with it.
func (c *brickCall) begin(cl *cluster, state string) {
	now := c.d.w.now()
	cl.enter(state, now)
	cl.Begun = now
	cl.Until, cl.Reason, cl.Why = now.Add(clusterStarts), nil, "Finding instances for new nodes, acquiring more instances if necessary"
	cl.Fails = c.wrong(cl)
	if rule := c.d.w.doom; rule != nil {
		cl.Fails = &faultInfo{Code: rule.Code, Kind: "CLOUD_FAILURE", Message: rule.Message}
		if rule.After > 0 {
			cl.Until = now.Add(rule.After)
		}
	}
}

var secretReference = regexp.MustCompile(`\{\{secrets/([^/}]+)/([^}]+)\}\}`)

// wrong finds what a cluster would fail of: a secret or an initialisation script that does not exist.
func (c *brickCall) wrong(cl *cluster) *faultInfo {
	for _, from := range []string{"spark_conf", "spark_env_vars"} {
		values, _ := cl.Spec[from].(object)
		for _, v := range values {
			for _, m := range secretReference.FindAllStringSubmatch(sqlText(v), -1) {
				scope := c.ws.Scopes[m[1]]
				if scope == nil || scope.Secrets[m[2]] == nil {
					return &faultInfo{"INVALID_ARGUMENT", "CLIENT_ERROR", "Cannot read secret " + m[1] + "/" + m[2] + " from " + from + "."}
				}
			}
		}
	}
	scripts, _ := cl.Spec["init_scripts"].([]any)
	for _, s := range scripts {
		if why := c.wrongScript(asObject(s)); why != "" {
			return &faultInfo{"INIT_SCRIPT_FAILURE", "CLIENT_ERROR", why}
		}
	}
	return nil
}

// wrongScript finds what is wrong with an initialisation script. Those in the workspace's file system are no longer run.
// What is in volumes and in storage is not simulated and taken to be there.
func (c *brickCall) wrongScript(script object) string {
	if path := textAt(script, "dbfs", "destination"); path != "" {
		return "Init script failed: " + path + " is in DBFS, from where init scripts are no longer run."
	}
	path := strings.TrimPrefix(textAt(script, "workspace", "destination"), "/Workspace")
	if o := c.object(path); path != "" && (o == nil || o.Kind != objectFile) {
		return "Init script failed: " + path + " is not a file of the workspace."
	}
	return ""
}

// cluster finds the cluster that a call names.
func (c *brickCall) cluster() (*cluster, *answer) {
	id := c.Query.Get("cluster_id")
	if c.Method != http.MethodGet {
		var body struct {
			ID string `json:"cluster_id"`
		}
		if err := c.decode(&body); err != nil {
			a := badBrick("The body is not JSON.")
			return nil, &a
		}
		id = body.ID
	}
	cl := c.ws.Clusters[id]
	if cl == nil {
		a := brick(http.StatusBadRequest, "INVALID_PARAMETER_VALUE", "Cluster %s does not exist", id)
		if c.Method == http.MethodGet || strings.HasSuffix(c.Path, "-delete") {
			a = brick(http.StatusBadRequest, "RESOURCE_DOES_NOT_EXIST", "Cluster %s does not exist", id)
		}
		return nil, &a
	}
	cl.advance(c.d.w.now())
	return cl, nil
}

func (c *brickCall) describeCluster(cl *cluster) object {
	out := maps.Clone(cl.Spec)
	maps.Copy(out, object{"cluster_id": cl.ID, "state": cl.State, "state_message": cl.Why, "start_time": cl.Made.UnixMilli(), "last_restarted_time": cl.Begun.UnixMilli(), "creator_user_name": "simulated",
		"cluster_source": "API", "last_state_loss_time": 0, "default_tags": object{"Vendor": "Databricks", "ClusterId": cl.ID, "ClusterName": cl.Spec["cluster_name"]}})
	if cl.Pinned {
		out["pinned_by_user_name"] = "simulated"
	}
	if cl.Reason != nil {
		out["termination_reason"] = cl.Reason
	}
	return out
}

func (c *brickCall) listClusters() answer {
	size, from := 100, 0
	if n, err := strconv.Atoi(c.Query.Get("page_size")); err == nil && n > 0 {
		size = min(n, 100)
	}
	ids := slices.Sorted(maps.Keys(c.ws.Clusters))
	if n, err := strconv.Atoi(c.Query.Get("page_token")); err == nil && n > 0 && n <= len(ids) {
		from = n
	}
	out := []object{}
	for _, id := range ids[from:min(from+size, len(ids))] {
		c.ws.Clusters[id].advance(c.d.w.now())
		out = append(out, c.describeCluster(c.ws.Clusters[id]))
	}
	body := object{"clusters": out}
	if from+size < len(ids) {
		body["next_page_token"] = strconv.Itoa(from + size)
	}
	return ok(body)
}

func (c *brickCall) getCluster() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	return ok(c.describeCluster(cl))
}

// clusterSettings are what may be told of a cluster.
var clusterSettings = []string{"cluster_id", "cluster_name", "spark_version", "node_type_id", "driver_node_type_id", "runtime_engine", "data_security_mode", "single_user_name",
	"autotermination_minutes", "num_workers", "autoscale", "spark_conf", "spark_env_vars", "init_scripts", "cluster_log_conf", "custom_tags", "azure_attributes",
	"enable_elastic_disk", "enable_local_disk_encryption", "idempotency_token", "policy_id", "kind", "is_single_node", "use_ml_runtime"}

func (c *brickCall) settings() (object, *answer) {
	var spec object
	if err := c.decode(&spec); err != nil {
		a := badBrick("The body is not JSON.")
		return nil, &a
	}
	for name := range spec {
		if !slices.Contains(clusterSettings, name) {
			a := brick(http.StatusBadRequest, "MALFORMED_REQUEST", "Could not parse request object: Unrecognized field %q", name)
			return nil, &a
		}
	}
	if refused := c.checkCluster(spec); refused != nil {
		return nil, refused
	}
	delete(spec, "cluster_id")
	return spec, nil
}

func (c *brickCall) checkCluster(spec object) *answer {
	refuse := func(format string, args ...any) *answer {
		a := badBrick(format, args...)
		return &a
	}
	version, node := textAt(spec, "spark_version"), textAt(spec, "node_type_id")
	workers, _ := spec["num_workers"].(float64)
	conf, _ := spec["spark_conf"].(object)
	switch {
	case !slices.ContainsFunc(runtimeOffers(), func(r runtimeOffer) bool { return r.key == version }):
		return refuse("Invalid spark version %s.", version)
	case !slices.ContainsFunc(machineOffers(), func(m machineOffer) bool { return m.id == node }):
		return refuse("Node type %s is not supported. Supported node types: see list-node-types", node)
	case spec["autoscale"] == nil && workers == 0 && conf["spark.databricks.cluster.profile"] != "singleNode":
		return refuse("Missing required field: num_workers. A cluster without workers must have the profile singleNode.")
	}
	if user := textAt(spec, "single_user_name"); user != "" && textAt(spec, "data_security_mode") != "SINGLE_USER" {
		return refuse("single_user_name can only be set when data_security_mode is SINGLE_USER.")
	} else if user != "" && c.ws.principal(user) == nil && !strings.EqualFold(user, c.Caller.AppID) && !strings.Contains(user, "@") {
		return refuse("Single user %s is not a user or service principal of this workspace.", user)
	}
	return nil
}

func (c *brickCall) createCluster() answer {
	spec, refused := c.settings()
	if refused != nil {
		return *refused
	}
	if token := textAt(spec, "idempotency_token"); token != "" {
		for _, other := range c.ws.Clusters {
			if textAt(other.Spec, "idempotency_token") == token {
				return ok(object{"cluster_id": other.ID})
			}
		}
	}
	c.ws.Serial++
	id := c.d.w.now().Format("0102-150405-") + hexOf(c.d.w.seed, 8, "cluster", key(c.r.ID), strconv.FormatInt(c.ws.Serial, 10))
	cl := &cluster{ID: id, Spec: spec, Made: c.d.w.now()}
	c.ws.Clusters[id] = cl
	c.begin(cl, clusterPending)
	return ok(object{"cluster_id": id})
}

func invalidState(cl *cluster) answer {
	return brick(http.StatusBadRequest, "INVALID_STATE", "Cluster %s is in unexpected state %s.", cl.ID, cl.State)
}

func (c *brickCall) editCluster() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	spec, refused := c.settings()
	if refused != nil {
		return *refused
	}
	if cl.State != clusterRunning && cl.State != clusterTerminated {
		return invalidState(cl)
	}
	cl.Spec = spec
	if cl.State == clusterRunning {
		c.begin(cl, clusterRestarting)
		c.leaveLibraries(cl)
	}
	return ok(object{})
}

func (c *brickCall) startCluster() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	if cl.State != clusterTerminated {
		return invalidState(cl)
	}
	c.begin(cl, clusterPending)
	c.leaveLibraries(cl)
	return ok(object{})
}

func (c *brickCall) restartCluster() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	if cl.State != clusterRunning {
		return invalidState(cl)
	}
	c.begin(cl, clusterRestarting)
	c.leaveLibraries(cl)
	return ok(object{})
}

func (c *brickCall) stopCluster() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	if cl.State != clusterTerminated && cl.State != clusterTerminating {
		cl.end(c.d.w.now(), "USER_REQUEST", "SUCCESS", "Terminated by user.")
	}
	return ok(object{})
}

func (c *brickCall) deleteCluster() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	if cl.Pinned {
		return brick(http.StatusBadRequest, "INVALID_STATE", "Cluster %s is pinned and cannot be deleted permanently.", cl.ID)
	}
	delete(c.ws.Clusters, cl.ID)
	delete(c.ws.Libraries, cl.ID)
	return ok(object{})
}

func (c *brickCall) pinCluster() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	cl.Pinned = strings.HasSuffix(c.Path, "/pin")
	return ok(object{})
}

// machineOffer is a machine that the simulated region has: a small choice of real sizes
// (learn.microsoft.com/azure/virtual-machines/sizes).
type machineOffer struct {
	id       string
	cores    float64
	memory   int // MB
	disk     int // GB
	category string
	gpus     int
	photon   bool
	old      bool
}

func machineOffers() []machineOffer {
	return []machineOffer{
		{"Standard_DS3_v2", 4, 14336, 28, "General Purpose", 0, true, false},
		{"Standard_D3_v2", 4, 14336, 200, "General Purpose", 0, false, true},
		{"Standard_DS4_v2", 8, 28672, 56, "General Purpose", 0, true, false},
		{"Standard_DS5_v2", 16, 57344, 112, "General Purpose", 0, true, false},
		{"Standard_D4ds_v5", 4, 16384, 150, "General Purpose", 0, true, false},
		{"Standard_D8ds_v5", 8, 32768, 300, "General Purpose", 0, true, false},
		{"Standard_D16ds_v5", 16, 65536, 600, "General Purpose", 0, true, false},
		{"Standard_D32ds_v5", 32, 131072, 1200, "General Purpose", 0, true, false},
		{"Standard_E4ds_v5", 4, 32768, 150, "Memory Optimized", 0, true, false},
		{"Standard_E8ds_v5", 8, 65536, 300, "Memory Optimized", 0, true, false},
		{"Standard_E16ds_v5", 16, 131072, 600, "Memory Optimized", 0, true, false},
		{"Standard_F4s_v2", 4, 8192, 32, "Compute Optimized", 0, true, false},
		{"Standard_F8s_v2", 8, 16384, 64, "Compute Optimized", 0, true, false},
		{"Standard_L8s_v3", 8, 65536, 1920, "Storage Optimized", 0, true, false},
		{"Standard_NC4as_T4_v3", 4, 28672, 180, "GPU Accelerated", 1, false, false},
	}
}

func (c *brickCall) listNodeTypes() answer {
	out := []object{}
	for _, m := range machineOffers() {
		out = append(out, object{"node_type_id": m.id, "description": m.id, "instance_type_id": m.id, "memory_mb": m.memory, "num_cores": m.cores, "num_gpus": m.gpus,
			"category": m.category, "is_deprecated": m.old, "is_hidden": false, "photon_driver_capable": m.photon, "photon_worker_capable": m.photon,
			"support_port_forwarding": true, "node_instance_type": object{"instance_type_id": m.id, "local_disks": 1, "local_disk_size_gb": m.disk}, "node_info": object{"status": []string{}}})
	}
	return ok(object{"node_types": out})
}

// runtimeOffer is a version of the Databricks Runtime (docs.databricks.com/release-notes/runtime).
type runtimeOffer struct{ key, name string }

func runtimeOffers() []runtimeOffer {
	return []runtimeOffer{
		{"10.4.x-scala2.12", "10.4 LTS (includes Apache Spark 3.2.1, Scala 2.12)"},
		{"11.3.x-scala2.12", "11.3 LTS (includes Apache Spark 3.3.0, Scala 2.12)"},
		{"12.2.x-scala2.12", "12.2 LTS (includes Apache Spark 3.3.2, Scala 2.12)"},
		{"12.2.x-cpu-ml-scala2.12", "12.2 LTS ML (includes Apache Spark 3.3.2, Scala 2.12)"},
		{"13.3.x-scala2.12", "13.3 LTS (includes Apache Spark 3.4.1, Scala 2.12)"},
		{"14.3.x-scala2.12", "14.3 LTS (includes Apache Spark 3.5.0, Scala 2.12)"},
		{"15.4.x-scala2.12", "15.4 LTS (includes Apache Spark 3.5.0, Scala 2.12)"},
		{"15.4.x-cpu-ml-scala2.12", "15.4 LTS ML (includes Apache Spark 3.5.0, Scala 2.12)"},
		{"16.2.x-scala2.12", "16.2 (includes Apache Spark 3.5.2, Scala 2.12)"},
		{"16.4.x-scala2.12", "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)"},
		{"16.4.x-scala2.13", "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.13)"},
		{"17.3.x-scala2.13", "17.3 LTS (includes Apache Spark 4.0.0, Scala 2.13)"},
	}
}

// dbfsLibraries reports whether a cluster installs libraries from the workspace's file system: those of runtime 15.1 and later do
// so only when they are told to (learn.microsoft.com/azure/databricks/release-notes/runtime/15.1).
func dbfsLibraries(spec object) bool {
	number, _, _ := strings.Cut(textAt(spec, "spark_version"), ".x-")
	major, minor, _ := strings.Cut(number, ".")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(minor)
	return a < 15 || a == 15 && b < 1 || textAt(spec, "spark_conf", "spark.databricks.driver.dbfsLibraryInstallationAllowed") == "true"
}

func (c *brickCall) sparkVersions() answer {
	out := []object{}
	for _, r := range runtimeOffers() {
		out = append(out, object{"key": r.key, "name": r.name})
	}
	return ok(object{"versions": out})
}
