package estate

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// clusterLogs is where the cluster puts its logs.
const clusterLogs = "dbfs:/cluster_logs"

// singleUser is the mode in which a cluster runs as one principal. It is the data factory's identity.
const singleUser = "SINGLE_USER"

// sparkCluster describes the Spark cluster. It comes after all that its configuration refers to, since it starts when it is made.
func (l *lowering) sparkCluster(up uploaded) {
	c := l.env.Spark.Cluster
	if c.AutoterminationMinutes == 0 {
		l.warn(flowehr.Pos{}, "It is paid for day and night. Set databricks_cluster.autotermination_minutes, for example to 60; pipelines start it again.",
			"the Databricks cluster never stops by itself")
	}
	spec := azure.ClusterSpec{
		Workspace:       l.workspaceURL(),
		Name:            clusterName,
		SparkVersion:    l.env.Spark.Version,
		NodeType:        c.NodeType,
		RuntimeEngine:   c.RuntimeEngine,
		SecurityMode:    c.DataSecurityMode,
		Autotermination: c.AutoterminationMinutes,
		Workers:         c.Workers,
		Autoscale:       c.Autoscale,
		Conf:            l.sparkConf(),
		Env:             map[string]azure.Value{"APPLICATIONINSIGHTS_CONNECTION_STRING": azure.Lit(reference(keyInsights))},
		InitScripts:     up.scripts,
		Libraries:       l.env.Spark.Libraries,
		LogPath:         clusterLogs,
		Tags:            l.clusterTags(),
	}
	spec.Libraries.Jar = up.jars
	if c.DataSecurityMode == singleUser {
		spec.SingleUser = factoryAppID()
	}
	if spec.Autoscale != nil {
		spec.Workers = 0 // autoscale wins
	}
	needs := append([]flowehr.Ref{scopeRef(), sparkPrincipal(l.names.Factory())}, up.cluster...)
	for key := range l.scopeContents() {
		needs = append(needs, scopeSecretRef(key))
	}
	for key := range l.env.Spark.Secrets {
		needs = append(needs, scopeSecretRef(key))
	}
	if l.env.Spark.UnityCatalog != nil {
		needs = append(needs, metastoreUseRef())
	}
	l.add(flowehr.LayerTransform, azure.KindCluster, l.cluster().Name, flowehr.Pos{}, spec, needs...)
}

// singleNode reports whether driver and worker are one machine.
func singleNode(c flowehr.Cluster) bool { return c.Workers == 0 && c.Autoscale == nil }

func (l *lowering) clusterTags() map[string]string {
	tags := maps.Clone(l.env.Tags)
	if tags == nil {
		tags = map[string]string{}
	}
	if singleNode(l.env.Spark.Cluster) {
		tags["ResourceClass"] = "SingleNode"
	}
	return tags
}

// sparkConf is the configuration of the cluster: what was asked for, and over it what the platform needs to be true. Databricks
// takes a secret as the whole of a value only, so a value with a secret in it is a secret of its own.
func (l *lowering) sparkConf() map[string]string {
	own := l.platformConf()
	conf := maps.Clone(own)
	for _, key := range slices.Sorted(maps.Keys(l.env.Spark.Conf)) {
		value := l.env.Spark.Conf[key]
		switch _, taken := own[key]; {
		case taken:
			l.warn(flowehr.Pos{}, "The platform sets it and wins. Remove it.", "spark_config cannot set %s", key)
		case len(value.Secrets()) > 0:
			conf[key] = reference(confKey(key))
		default:
			conf[key] = value.String()
		}
	}
	return conf
}

// platformConf is what every pipeline relies on. Pipelines read spark.secret.* (02-layers); Spark itself reads the rest.
func (l *lowering) platformConf() map[string]string {
	conf := map[string]string{}
	secret := func(name, key string) { conf["spark.secret."+name] = reference(key) }
	secret("feature-store-app-id", keyWriterID)
	secret("feature-store-app-secret", keyWriter)
	secret("feature-store-fqdn", keyStoreFQDN)
	secret("feature-store-database", keyStoreName)
	secret("azure-tenant-id", keyTenant)
	secret("external-connection-app-id", keyExternalID)
	secret("external-connection-app-secret", keyExternal)
	secret("exernal-connection-app-secret", keyExternal) // as the older system wrote it, which pipelines read
	for _, s := range l.env.Sources {
		if s.Kind == flowehr.SourceFolder {
			continue
		}
		for _, part := range []string{"fqdn", "database", "username", "password"} {
			secret(s.Name+"-"+part, sourceKey(s.Name, part))
		}
	}
	if l.env.Spark.UnityCatalog != nil {
		secret("unity-catalog-catalog-name", keyCatalog)
		secret("unity-catalog-schema-name", keySchema)
	}
	for key := range l.env.Spark.Secrets {
		secret(key, key)
	}
	if singleNode(l.env.Spark.Cluster) {
		conf["spark.databricks.cluster.profile"] = "singleNode"
		conf["spark.master"] = "local[*]"
	}
	if librariesSwitch(l.env.Spark.Version) {
		conf["spark.databricks.driver.dbfsLibraryInstallationAllowed"] = "true"
	}
	if len(l.env.Lake.Zones) > 0 {
		secret("datalake-uri", keyLakeURI)
		maps.Copy(conf, l.lakeConf())
	}
	return conf
}

// librariesSwitch reports whether a runtime with this Spark installs libraries from the workspace's file system only when it is
// told to, as those of 15.1 and later do, which have Spark 3.5 and later. Jars of the definition and libraries of pipelines are
// there.
// https://learn.microsoft.com/azure/databricks/release-notes/runtime/15.1
func librariesSwitch(spark string) bool {
	major, minor, _ := strings.Cut(spark, ".")
	minor, _, _ = strings.Cut(minor, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && (a > 3 || a == 3 && errB == nil && b >= 5)
}

// lakeConf lets Spark sign in to the lake as the application for it. Spark hands what begins with spark.hadoop to the driver of
// the storage, for every interface that reads it.
// https://learn.microsoft.com/azure/databricks/connect/storage/azure-storage
func (l *lowering) lakeConf() map[string]string {
	at := "." + l.lakeHost()
	return map[string]string{
		"spark.hadoop.fs.azure.account.auth.type" + at:              "OAuth",
		"spark.hadoop.fs.azure.account.oauth.provider.type" + at:    "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider",
		"spark.hadoop.fs.azure.account.oauth2.client.id" + at:       reference(keyLakeID),
		"spark.hadoop.fs.azure.account.oauth2.client.secret" + at:   reference(keyLake),
		"spark.hadoop.fs.azure.account.oauth2.client.endpoint" + at: "https://login.microsoftonline.com/" + l.facts.Tenant + "/oauth2/token",
	}
}

// confKey is the key of the scope for a value of spark_config. Keys have letters, digits, -, _ and . only; one that had to be
// changed ends in a digest.
func confKey(conf string) string {
	kept := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r) {
			return r
		}
		return '-'
	}, conf)
	if kept != conf || len(kept) > 100 {
		kept = kept[:min(len(kept), 80)] + "-" + azure.GUID("conf", conf)[:8]
	}
	return keyConfPrefix + kept
}
