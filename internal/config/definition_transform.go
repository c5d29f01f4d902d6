package config

import "github.com/flowehr/flowehr"

// Transform is transform.
type Transform struct {
	At                Pos                      `yaml:"-"`
	SparkVersion      Value[string]            `yaml:"spark_version" default:"3.3" doc:"Version of Spark that pipelines run on."`
	Repositories      []Repository             `yaml:"repositories" doc:"Repositories that pipelines are fetched from."`
	Datalake          *Datalake                `yaml:"datalake" doc:"The data lake."`
	SparkConfig       Map[Value[flowehr.Text]] `yaml:"spark_config" doc:"Settings of every Spark session."`
	DatabricksSecrets Map[Value[flowehr.Text]] `yaml:"databricks_secrets" mask:"true" doc:"More secrets for pipelines, by key."`
	Libraries         *Libraries               `yaml:"databricks_libraries" doc:"Installed on every Spark session."`
	Cluster           *Cluster                 `yaml:"databricks_cluster" doc:"Size and behaviour of the Spark cluster."`
	AccountID         Value[string]            `yaml:"databricks_account_id" pattern:"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}" shape:"an id like 8d3f0a52-0c1e-4a4e-9d5f-2f1b6c7a8e90" doc:"Databricks account. Needed for unity_catalog."`
	UnityCatalog      *UnityCatalog            `yaml:"unity_catalog" doc:"Governed catalogue over chosen zones."`
	Metastore         *Metastore               `yaml:"unity_catalog_metastore" doc:"Metastore that holds the catalogue: created by name or used by id."`
}

// Repository is one of transform.repositories.
type Repository struct {
	At  Pos           `yaml:"-"`
	URL Value[string] `yaml:"url" required:"true" doc:"Address for git, without a password in it."`
	SHA Value[string] `yaml:"sha" default:"the default branch" doc:"Commit, branch or tag."`
}

// Datalake is transform.datalake.
type Datalake struct {
	At    Pos             `yaml:"-"`
	Zones []Value[string] `yaml:"zones" pattern:"[A-Za-z0-9](-?[A-Za-z0-9]){2,62}" shape:"a word of 3 to 63 letters, digits and single - between them" doc:"Zones of the lake, usually bronze, silver and gold. Written in lower case everywhere."`
}

// Libraries is transform.databricks_libraries.
type Libraries struct {
	At    Pos             `yaml:"-"`
	PyPI  []PyPI          `yaml:"pypi" doc:"Python packages."`
	Maven []Maven         `yaml:"maven" doc:"Java artefacts."`
	Jar   []Value[string] `yaml:"jar" doc:"Jar files."`
}

// PyPI is one of transform.databricks_libraries.pypi.
type PyPI struct {
	At      Pos           `yaml:"-"`
	Package Value[string] `yaml:"package" required:"true" doc:"Package and version, for example scipy==1.14.0."`
	Repo    Value[string] `yaml:"repo" default:"the public index" doc:"Index to install from."`
}

// Maven is one of transform.databricks_libraries.maven.
type Maven struct {
	At          Pos             `yaml:"-"`
	Coordinates Value[string]   `yaml:"coordinates" required:"true" pattern:"[^:\\s]+:[^:\\s]+:[^\\s]+" shape:"group:artifact:version" doc:"group:artifact:version."`
	Repo        Value[string]   `yaml:"repo" default:"Maven Central" doc:"Repository to install from."`
	Exclusions  []Value[string] `yaml:"exclusions" doc:"What not to bring along, as group:artifact."`
}

// Cluster is transform.databricks_cluster.
type Cluster struct {
	At              Pos             `yaml:"-"`
	NodeType        *NodeType       `yaml:"node_type" doc:"What a machine of the cluster must at least have."`
	Autotermination Value[int]      `yaml:"autotermination_minutes" min:"0" max:"10000" default:"0" doc:"Idle minutes after which the cluster stops. 0 means never."`
	RuntimeEngine   Value[string]   `yaml:"runtime_engine" enum:"STANDARD|PHOTON" default:"STANDARD" doc:"Engine of the cluster."`
	SecurityMode    Value[string]   `yaml:"data_security_mode" default:"SINGLE_USER" doc:"Data security mode of Databricks."`
	Workers         Value[int]      `yaml:"num_of_workers" min:"0" default:"0" doc:"Number of workers. 0 means a single machine."`
	Autoscale       *Autoscale      `yaml:"autoscale" doc:"Bounds of the number of workers. Wins over num_of_workers."`
	InitScripts     []Value[string] `yaml:"init_scripts" doc:"Scripts that run when a machine of the cluster starts; paths beside this file."`
}

// NodeType is transform.databricks_cluster.node_type.
type NodeType struct {
	At               Pos           `yaml:"-"`
	MinMemoryGB      Value[int]    `yaml:"min_memory_gb" min:"0" default:"0" doc:"Least memory in GB."`
	MinCores         Value[int]    `yaml:"min_cores" min:"0" default:"0" doc:"Least number of cores."`
	LocalDiskMinSize Value[int]    `yaml:"local_disk_min_size" min:"0" default:"0" doc:"Least local disk in GB."`
	Category         Value[string] `yaml:"category" default:"any category" doc:"Category of machine, for example General Purpose."`
}

// Autoscale is transform.databricks_cluster.autoscale.
type Autoscale struct {
	At  Pos        `yaml:"-"`
	Min Value[int] `yaml:"min_workers" required:"true" min:"0" doc:"Least number of workers."`
	Max Value[int] `yaml:"max_workers" required:"true" min:"1" doc:"Largest number of workers."`
}

// UnityCatalog is transform.unity_catalog.
type UnityCatalog struct {
	At                     Pos             `yaml:"-"`
	CatalogName            Value[string]   `yaml:"catalog_name" doc:"Name of the catalogue. Wins over catalog_name_prefix."`
	CatalogPrefix          Value[string]   `yaml:"catalog_name_prefix" doc:"Start of the name of the catalogue; the naming suffix is added."`
	SchemaName             Value[string]   `yaml:"schema_name" doc:"Name of the schema. Wins over schema_name_prefix."`
	SchemaPrefix           Value[string]   `yaml:"schema_name_prefix" doc:"Start of the name of the schema; the naming suffix is added."`
	Zones                  []Value[string] `yaml:"datalake_zones" doc:"Zones of the lake that the catalogue covers."`
	CatalogAdminGroup      Value[string]   `yaml:"catalog_admin_group_name" default:"unity_catalog_admins" doc:"Group that administers the catalogue."`
	CatalogAdminPrivileges []Value[string] `yaml:"catalog_admin_privileges" default:"ALL_PRIVILEGES" doc:"What that group may do."`
	StorageAdminGroup      Value[string]   `yaml:"external_storage_admin_group_name" default:"unity_catalog_external_storage_admins" doc:"Group that administers external storage."`
	StorageAdminPrivileges []Value[string] `yaml:"external_storage_admin_privileges" default:"ALL_PRIVILEGES" doc:"What that group may do."`
}

// Metastore is transform.unity_catalog_metastore.
type Metastore struct {
	At             Pos           `yaml:"-"`
	Name           Value[string] `yaml:"metastore_name" doc:"Create a metastore of this name. Wins over metastore_id."`
	ID             Value[string] `yaml:"metastore_id" doc:"Use the metastore with this id."`
	StorageAccount Value[string] `yaml:"storage_account_name" required:"true" pattern:"[a-z0-9]{3,24}" shape:"a word of 3 to 24 lower-case letters and digits" doc:"Storage account of the metastore."`
	Group          Value[string] `yaml:"resource_group_name" required:"true" doc:"Resource group of the metastore."`
}
