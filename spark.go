package flowehr

// Spark is how pipelines get their Spark session. Local runs need Conf, Secrets and Libraries; the rest sizes a cluster.
type Spark struct {
	Version             string // "3.3"
	Conf                map[string]Text
	Secrets             map[string]Text
	Libraries           Libraries
	Cluster             Cluster
	DatabricksAccountID string
	UnityCatalog        *UnityCatalog
	Metastore           *Metastore
}

// Libraries are installed on every Spark session.
type Libraries struct {
	PyPI  []PyPILibrary
	Maven []MavenLibrary
	Jar   []string
}

// PyPILibrary is a Python package, for example "scipy==1.14.0", from Repo or the default index.
type PyPILibrary struct{ Package, Repo string }

// MavenLibrary is a Java artefact and what not to bring along with it.
type MavenLibrary struct {
	Coordinates, Repo string
	Exclusions        []string
}

// Cluster is the size of a managed Spark cluster. Workers 0 means a single node; Autoscale wins over Workers.
type Cluster struct {
	NodeType               NodeType
	AutoterminationMinutes int
	RuntimeEngine          string
	DataSecurityMode       string
	Workers                int
	Autoscale              *Autoscale
	InitScripts            []string
}

// NodeType is what a machine of a cluster must at least have.
type NodeType struct {
	MinMemoryGB, MinCores, LocalDiskMinSize int
	Category                                string
}

// Autoscale bounds the number of workers.
type Autoscale struct{ Min, Max int }

// UnityCatalog is the governed catalogue over chosen zones. A name wins over a prefix.
type UnityCatalog struct {
	CatalogName, CatalogPrefix     string
	SchemaName, SchemaPrefix       string
	Zones                          []string
	CatalogAdminGroup              string
	CatalogAdminPrivileges         []string
	ExternalStorageAdminGroup      string
	ExternalStorageAdminPrivileges []string
}

// Metastore is created when Name is set, used when only ID is.
type Metastore struct {
	Name, ID, StorageAccount, ResourceGroup string
}
