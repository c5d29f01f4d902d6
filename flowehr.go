// Package flowehr is the vocabulary of the product: an [Environment] is compiled from YAML, lowered by a target to
// [Resource] values, planned as a [Plan] of [Step] values and applied, which leaves a [Record] of each resource in a [State].
// Progress is an [Event], a mistake of the user a [Diagnostic], a password a [Secret], a configured text that may name
// secrets a [Text].
//
// The package holds data and the rules that belong to it. It does not read files, open connections or start goroutines.
// The rule that holds here: standard library only, and nothing in this module is imported.
package flowehr

import "time"

// Environment is one deployment, compiled, defaulted and checked. It names no vendor: what a resource becomes in a
// target is decided by that target's Lower. It is not changed after compilation and may be shared between goroutines.
type Environment struct {
	ID       string // flowehr_id
	Name     string // environment, for example "local" or "prod"
	Suffix   string // naming suffix: SUFFIX_OVERRIDE or "{ID}-{Name}"
	Short    string // Suffix without - and _, at most 17 characters
	Target   TargetName
	Location string // Azure region; empty when the definition has none
	RealData bool   // production switch, see spec 01-config "Real data"
	Tags     map[string]string

	Network    Network
	Sources    []Source
	Lake       Lake
	Spark      Spark
	Store      FeatureStore
	Repos      []Repository
	Pipelines  []Pipeline
	Projects   []Project
	Apps       []App
	Serve      *Serve
	Monitoring Monitoring
	Local      Local
	Sizes      Sizes

	// Files are those of the definition that a target uploads: init scripts, jars and the artifacts of pipelines. The key is
	// the path beside the definition, with slashes, the value the SHA-256 of the content in hex. Whoever reads the folder
	// fills it; a definition that was compiled and not looked for on disk has none.
	Files map[string]string `json:",omitempty"`
}

// TargetName says where an environment runs.
type TargetName string

// The two targets. The same definition runs on both.
const (
	TargetLocal TargetName = "local"
	TargetAzure TargetName = "azure"
)

// Network is the address plan of a target that has one.
type Network struct {
	AddressSpace            string // CIDR, /24 or wider
	RandomAddressSpace      bool
	PrivateDNSZonesGroup    string
	PublicDatabricksControl bool // access_databricks_management_publicly
}

// Lake is the data lake: one zone is one trust level and quality level of tables.
type Lake struct {
	Zones []string // lower case, in the order of the definition
}

// HasZone reports whether name is one of the lake's zones.
func (l Lake) HasZone(name string) bool {
	for _, z := range l.Zones {
		if z == name {
			return true
		}
	}
	return false
}

// SourceKind is the protocol that a data source speaks.
type SourceKind string

// Kinds of data source.
const (
	SourceSQLServer  SourceKind = "sqlserver"
	SourcePostgreSQL SourceKind = "postgresql"
	SourceMySQL      SourceKind = "mysql" // and MariaDB
	SourceFolder     SourceKind = "folder"
)

// Source is a place that data comes from. A definition names it; pipelines use it as a linked service of that name.
type Source struct {
	Name     string
	Kind     SourceKind
	Host     string // fqdn; empty for a folder
	Port     int    // 0 means the kind's own default
	Database string
	Username Text
	Password Text
	TLS      string // "require" (default), "verify" or "disable"
	Path     string // folder only; relative to the definition
	Peering  *Peering
	Pos      Pos
}

// Peering says how a source's network is reached in a cloud.
type Peering struct {
	Network, Group string
	DNSZones       []string
}

// Repository is a place that pipelines are fetched from.
type Repository struct {
	URL string
	SHA string // commit, branch or tag; empty means the default branch
	Pos Pos
}

// Pipeline is one Data Factory definition with everything that it refers to. Bundle is the canonical JSON of that
// closure as package factory encodes it; Digest is the SHA-256 of it in hex.
type Pipeline struct {
	Name    string
	Project string
	Dir     string // relative to the definition
	Bundle  []byte
	Digest  string
	Pos     Pos
}

// Project groups pipelines, apps, grants and data under its owners.
type Project struct {
	ID            string
	Name          string
	Owners        []string // directory e-mail addresses
	Tier          int      // 0 open .. 4 most sensitive
	ApprovedUntil time.Time
	Budget        float64 // per month, in the currency of the target's bill
	Pos           Pos
}

// FeatureStore is the SQL database that pipelines publish features to.
type FeatureStore struct {
	Engine string // "postgres" or "mssql"; a target may allow one only
	SKU    string
	SizeGB int
}

// Serve is what the serve layer needs to manage app repositories.
type Serve struct {
	GitHubOwner             string
	GitHubAppID             string
	GitHubAppInstallationID string
}

// Monitoring says who is told and where network flow is watched.
type Monitoring struct {
	Recipients          []Recipient
	NetworkWatcherName  string
	NetworkWatcherGroup string
}

// Recipient is a person that alerts are sent to.
type Recipient struct{ Name, Email string }

// Sizes are numbers that the older system fixed in code, with its values as defaults.
type Sizes struct {
	LogRetentionDays   int    // 90
	VaultRetentionDays int    // 7
	AppPlanSKU         string // S1
}

// Local holds what only this machine needs.
type Local struct {
	Listen         string // address of the portal, loopback by default
	DataDir        string // empty means .flowehr/{Name} beside the definition
	PostgresDSN    Text   // empty means a server that we supervise
	SparkMaster    string // "local[*]" by default
	MemoryMB       int    // limit of the lake engine
	Threads        int    // of the lake engine; 0 means all
	LinkedServices map[string]LocalLinkedService
	Synthetic      map[string]Synthetic // source name -> made-up data that stands in for it
}

// LocalLinkedService is what stands in on this machine for a linked service that definitions name and that is not
// built in.
type LocalLinkedService struct {
	Kind     SourceKind
	Host     string
	Port     int
	Database string
	Username Text
	Password Text
	TLS      string
	Path     string
	Pos      Pos
}

// Synthetic asks for made-up patients in the place of a data source. It is refused with real data.
type Synthetic struct {
	Patients int
	Seed     uint64
	Pos      Pos
}
