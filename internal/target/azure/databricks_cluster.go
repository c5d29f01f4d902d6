package azure

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

const clustersPath = "/api/2.1/clusters/"

const (
	clusterPause  = 10 * time.Second
	clusterLimit  = 30 * time.Minute
	clusterStarts = 3 // how often a cluster is started before a passing fault is taken for a lasting one
)

// cluster is what is set of a cluster (docs.databricks.com/api/azure/workspace/clusters/create).
type cluster struct {
	ID              string            `json:"cluster_id,omitempty"`
	Name            string            `json:"cluster_name"`
	SparkVersion    string            `json:"spark_version"`
	NodeType        string            `json:"node_type_id"`
	DriverNodeType  string            `json:"driver_node_type_id,omitempty"`
	Engine          string            `json:"runtime_engine,omitempty"`
	SecurityMode    string            `json:"data_security_mode,omitempty"`
	SingleUser      string            `json:"single_user_name,omitempty"`
	Autotermination int               `json:"autotermination_minutes"`
	Workers         int               `json:"num_workers"`
	Autoscale       *clusterScale     `json:"autoscale,omitempty"`
	Conf            map[string]string `json:"spark_conf,omitempty"`
	Env             map[string]string `json:"spark_env_vars,omitempty"`
	InitScripts     []clusterPath     `json:"init_scripts,omitempty"`
	Log             *clusterPath      `json:"cluster_log_conf,omitempty"`
	Tags            map[string]string `json:"custom_tags,omitempty"`
}

type clusterScale struct {
	Min int `json:"min_workers"`
	Max int `json:"max_workers"`
}

// clusterPath says where something is; exactly one member is set.
type clusterPath struct {
	Workspace *destination `json:"workspace,omitempty"`
	Volumes   *destination `json:"volumes,omitempty"`
	ABFSS     *destination `json:"abfss,omitempty"`
	DBFS      *destination `json:"dbfs,omitempty"`
}

type destination struct {
	Destination string `json:"destination"`
}

// onCluster tells the places apart by how they are written.
func onCluster(path string) clusterPath {
	at := &destination{path}
	switch {
	case strings.HasPrefix(path, "/Volumes/"):
		return clusterPath{Volumes: at}
	case strings.HasPrefix(path, "/"):
		return clusterPath{Workspace: at}
	case strings.HasPrefix(path, "abfss:"):
		return clusterPath{ABFSS: at}
	}
	return clusterPath{DBFS: at}
}

// path is the reverse of onCluster.
func (p clusterPath) path() string {
	for _, d := range []*destination{p.Workspace, p.Volumes, p.ABFSS, p.DBFS} {
		if d != nil {
			return d.Destination
		}
	}
	return ""
}

func samePath(a, b clusterPath) bool { return reflect.DeepEqual(a, b) }

// clusterNow is a cluster as it stands.
type clusterNow struct {
	cluster
	State   string      `json:"state"`
	Detail  string      `json:"state_message"`
	Reason  termination `json:"termination_reason"`
	Made    int64       `json:"start_time"`          // milliseconds since 1970, as the next
	Started int64       `json:"last_restarted_time"` // told by newer versions of the API
}

// begun is when the cluster was started last.
func (c clusterNow) begun() time.Time { return time.UnixMilli(max(c.Made, c.Started)) }

// clusterMinder looks after a cluster. It is changed only where it differs, because a change restarts it; a machine and a
// runtime that were chosen once stay for as long as they fit, whatever else is offered later.
type clusterMinder struct{ bricks }

// Conf and tag that make a cluster of one machine.
const (
	profileConf  = "spark.databricks.cluster.profile"
	masterConf   = "spark.master"
	classTag     = "ResourceClass"
	singleNode   = "singleNode"
	localMaster  = "local[*]"
	singleClass  = "SingleNode"
	standardName = "STANDARD"
)

func single(s azure.ClusterSpec) bool { return s.Workers == 0 && s.Autoscale == nil }

// wanted is the cluster as described, on a machine and a runtime.
func wanted(s azure.ClusterSpec, node, runtime string) cluster {
	c := cluster{Name: s.Name, SparkVersion: runtime, NodeType: node, DriverNodeType: node, Engine: cmp.Or(s.RuntimeEngine, standardName),
		SecurityMode: s.SecurityMode, SingleUser: text(s.SingleUser), Autotermination: s.Autotermination, Workers: s.Workers,
		Conf: maps.Clone(s.Conf), Tags: maps.Clone(s.Tags), Env: map[string]string{}}
	if s.Autoscale != nil {
		c.Workers, c.Autoscale = 0, &clusterScale{Min: s.Autoscale.Min, Max: s.Autoscale.Max}
	}
	for name, v := range s.Env {
		c.Env[name] = text(v)
	}
	for _, path := range s.InitScripts {
		c.InitScripts = append(c.InitScripts, onCluster(path))
	}
	if s.LogPath != "" {
		log := onCluster(s.LogPath)
		c.Log = &log
	}
	if single(s) {
		c.Conf = with(c.Conf, profileConf, singleNode, masterConf, localMaster)
		c.Tags = with(c.Tags, classTag, singleClass)
	}
	return c
}

func with(m map[string]string, pairs ...string) map[string]string {
	if m == nil {
		m = map[string]string{}
	}
	for i := 0; i < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// settings returns c without what nobody set, so that two can be compared.
func (c cluster) settings() cluster {
	c.ID, c.Engine = "", cmp.Or(c.Engine, standardName)
	c.DriverNodeType = cmp.Or(c.DriverNodeType, c.NodeType)
	if c.Autoscale != nil {
		c.Workers = 0
	}
	for _, m := range []*map[string]string{&c.Conf, &c.Env, &c.Tags} {
		if len(*m) == 0 {
			*m = nil
		}
	}
	if len(c.InitScripts) == 0 {
		c.InitScripts = nil
	}
	return c
}

// comparable returns the settings of c without those that want leaves to Databricks.
func (c cluster) comparable(want cluster) cluster {
	c = c.settings()
	if want.SecurityMode == "" {
		c.SecurityMode = ""
	}
	return c
}

// find returns the cluster of the name. Of several, which an interrupted making could leave, the first by id.
func (m clusterMinder) find(ctx context.Context, s azure.ClusterSpec) (clusterNow, bool, error) {
	var ids []string
	for token := ""; ; {
		var page struct {
			Clusters []clusterNow `json:"clusters"`
			Next     string       `json:"next_page_token"`
		}
		query := url.Values{"page_size": {"100"}}
		if token != "" {
			query.Set("page_token", token)
		}
		if err := m.get(ctx, s.Workspace, clustersPath+"list?"+query.Encode(), &page); err != nil {
			return clusterNow{}, false, err
		}
		for _, c := range page.Clusters {
			if c.Name == s.Name {
				ids = append(ids, c.ID)
			}
		}
		if token = page.Next; token == "" {
			break
		}
	}
	if len(ids) == 0 {
		return clusterNow{}, false, nil
	}
	now, err := m.now(ctx, s.Workspace, slices.Min(ids))
	return now, err == nil, ignoring(missing, err)
}

func (m clusterMinder) now(ctx context.Context, workspace azure.Value, id string) (clusterNow, error) {
	var c clusterNow
	err := m.get(ctx, workspace, clustersPath+"get?cluster_id="+url.QueryEscape(id), &c)
	return c, err
}

func clusterMade(id string) made {
	return made{id: id, outputs: map[string]string{azure.OutClusterID: id}}
}

func (m clusterMinder) ensure(ctx context.Context, s azure.ClusterSpec, t task) (made, error) {
	have, found, err := m.find(ctx, s)
	if err != nil {
		return made{}, err
	}
	want, err := m.choose(ctx, s, have.cluster)
	if err != nil {
		return made{}, err
	}
	id := have.ID
	switch {
	case !found:
		t.in.Note(fmt.Sprintf("making it on %s with %s", want.NodeType, want.SparkVersion))
		if id, err = m.create(ctx, s, want); err != nil {
			return made{}, err
		}
	case !reflect.DeepEqual(have.comparable(want), want.settings()):
		t.in.Note("changing it, which restarts it when it runs")
		if err := m.edit(ctx, s, id, want); err != nil {
			return made{}, err
		}
	}
	// A cluster that nobody pinned is forgotten thirty days after it was last used.
	if err := m.post(ctx, s.Workspace, clustersPath+"pin", map[string]string{"cluster_id": id}, nil); err != nil {
		return made{}, err
	}
	if err := m.ensureLibraries(ctx, s, id, !found, t); err != nil {
		return made{}, err
	}
	return clusterMade(id), m.refreshSecrets(ctx, s, id, t)
}

// choose keeps the machine and the runtime of a cluster that stands as long as they fit, and searches otherwise.
func (m clusterMinder) choose(ctx context.Context, s azure.ClusterSpec, have cluster) (cluster, error) {
	nodes, err := m.nodeTypes(ctx, s.Workspace)
	if err != nil {
		return cluster{}, err
	}
	runtimes, err := m.runtimes(ctx, s.Workspace)
	if err != nil {
		return cluster{}, err
	}
	node, version := have.NodeType, have.SparkVersion
	if !nodeFits(nodes, node, s) {
		chosen, err := chooseNodeType(nodes, s.NodeType, s.RuntimeEngine)
		if err != nil {
			return cluster{}, err
		}
		node = chosen.ID
	}
	if !runtimeFits(runtimes, version, s.SparkVersion) {
		chosen, err := chooseRuntime(runtimes, s.SparkVersion)
		if err != nil {
			return cluster{}, err
		}
		version = chosen.Key
	}
	return wanted(s, node, version), nil
}

func nodeFits(all []nodeType, id string, s azure.ClusterSpec) bool {
	return slices.ContainsFunc(all, func(n nodeType) bool { return n.ID == id && n.fits(s.NodeType, s.RuntimeEngine) })
}

func runtimeFits(all []runtime, key, spark string) bool {
	return slices.ContainsFunc(all, func(r runtime) bool { return r.Key == key && r.fits(spark) })
}

func (m clusterMinder) create(ctx context.Context, s azure.ClusterSpec, want cluster) (string, error) {
	var out struct {
		ID string `json:"cluster_id"`
	}
	err := m.post(ctx, s.Workspace, clustersPath+"create", want, &out)
	return out.ID, err
}

// edit changes a cluster, which must not be on its way up or down.
func (m clusterMinder) edit(ctx context.Context, s azure.ClusterSpec, id string, want cluster) error {
	if _, err := m.settled(ctx, s, id); err != nil {
		return err
	}
	want.ID = id
	return m.post(ctx, s.Workspace, clustersPath+"edit", want, nil)
}

// settled waits until a cluster is neither starting nor stopping.
func (m clusterMinder) settled(ctx context.Context, s azure.ClusterSpec, id string) (now clusterNow, err error) {
	err = until(ctx, m.c, "wait until cluster "+s.Name+" is up or down", clusterPause, clusterLimit, func() (bool, error) {
		now, err = m.now(ctx, s.Workspace, id)
		return now.State == stateRunning || now.State == stateTerminated || now.State == stateError, err
	})
	return now, err
}

// Lifecycle states of a cluster.
const (
	stateRunning    = "RUNNING"
	stateTerminated = "TERMINATED"
	stateError      = "ERROR"
)

// read describes the cluster as it stands. Machine and runtime differ only when they do not fit.
func (m clusterMinder) read(ctx context.Context, s azure.ClusterSpec, _ string) (azure.ClusterSpec, made, error) {
	have, found, err := m.find(ctx, s)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("cluster %s", s.Name))
	}
	nodes, err := m.nodeTypes(ctx, s.Workspace)
	if err != nil {
		return s, made{}, err
	}
	runtimes, err := m.runtimes(ctx, s.Workspace)
	if err != nil {
		return s, made{}, err
	}
	libraries, err := m.describeLibraries(ctx, s, have.ID)
	if err != nil {
		return s, made{}, err
	}
	now := describeCluster(s, have.cluster, wanted(s, have.NodeType, have.SparkVersion))
	now.Libraries = libraries
	if !nodeFits(nodes, have.NodeType, s) {
		now.NodeType = flowehr.NodeType{Category: have.NodeType}
	}
	if !runtimeFits(runtimes, have.SparkVersion, s.SparkVersion) {
		now.SparkVersion = have.SparkVersion
	}
	return now, clusterMade(have.ID), nil
}

// describeCluster returns s with what differs between have and want taken from have.
func describeCluster(s azure.ClusterSpec, have, want cluster) azure.ClusterSpec {
	have, want = have.comparable(want), want.settings()
	if have.Engine != want.Engine {
		s.RuntimeEngine = have.Engine
	}
	if have.SingleUser != want.SingleUser {
		s.SingleUser = azure.Lit(have.SingleUser)
	}
	s.SecurityMode, s.Autotermination = have.SecurityMode, have.Autotermination
	if have.Workers != want.Workers || !reflect.DeepEqual(have.Autoscale, want.Autoscale) {
		s.Workers, s.Autoscale = have.Workers, nil
		if have.Autoscale != nil {
			s.Autoscale = &flowehr.Autoscale{Min: have.Autoscale.Min, Max: have.Autoscale.Max}
		}
	}
	if !maps.Equal(have.Conf, want.Conf) {
		s.Conf = have.Conf
	}
	if !maps.Equal(have.Tags, want.Tags) {
		s.Tags = have.Tags
	}
	if !maps.Equal(have.Env, want.Env) {
		s.Env = map[string]azure.Value{}
		for name, v := range have.Env {
			s.Env[name] = azure.Lit(v)
		}
	}
	if !slices.EqualFunc(have.InitScripts, want.InitScripts, samePath) {
		s.InitScripts = nil
		for _, p := range have.InitScripts {
			s.InitScripts = append(s.InitScripts, p.path())
		}
	}
	if !reflect.DeepEqual(have.Log, want.Log) {
		s.LogPath = ""
		if have.Log != nil {
			s.LogPath = have.Log.path()
		}
	}
	return s
}

// remove deletes every cluster of the name for good.
func (m clusterMinder) remove(ctx context.Context, s azure.ClusterSpec, _ string) error {
	for {
		have, found, err := m.find(ctx, s)
		if err != nil || !found {
			return ignoring(missing, err)
		}
		id := map[string]string{"cluster_id": have.ID}
		if err := ignoring(missing, m.post(ctx, s.Workspace, clustersPath+"unpin", id, nil)); err != nil {
			return err
		}
		if err := ignoring(missing, m.post(ctx, s.Workspace, clustersPath+"permanent-delete", id, nil)); err != nil {
			return err
		}
		if err := m.forgotten(ctx, s, have.ID); err != nil {
			return err
		}
	}
}

func (m clusterMinder) forgotten(ctx context.Context, s azure.ClusterSpec, id string) error {
	return until(ctx, m.c, "delete cluster "+s.Name, clusterPause, clusterLimit, func() (bool, error) {
		now, found, err := m.find(ctx, s)
		return err == nil && (!found || now.ID != id), err
	})
}
