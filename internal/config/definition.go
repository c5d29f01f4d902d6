package config

import (
	"time"

	"github.com/flowehr/flowehr"
)

// Definition is the merged definition as written: nothing is defaulted here. The tags of these structs are the one
// description of the notation; decoding, its checks and the JSON Schema all come from them:
//
//	yaml      the key
//	doc       what it is for
//	default   what holds when it is not written (package compile applies it)
//	pattern   a regular expression for the whole text, and in "shape" the same in words
//	enum      the words that are allowed, parted by |
//	min, max  bounds of a number
//	required  must be there in the merged definition
//	mask      holds a password: never shown, even when written in plain text
type Definition struct {
	At               Pos                `yaml:"-"`
	ID               Value[string]      `yaml:"flowehr_id" required:"true" pattern:"[a-z0-9_-]{1,12}" shape:"a word of at most 12 lower-case letters, digits, - and _" doc:"Identifies the deployment. Part of the name of everything that is made."`
	Environment      Value[string]      `yaml:"environment" required:"true" pattern:"[a-z0-9_-]{1,12}" shape:"a word of at most 12 lower-case letters, digits, - and _" doc:"Name of the environment, for example local, dev or prod."`
	Location         Value[string]      `yaml:"location" pattern:"[a-z0-9]+" shape:"a word of lower-case letters and digits, for example uksouth" doc:"Azure region. Needed for the target azure."`
	Target           Value[string]      `yaml:"target" enum:"local|azure" default:"azure when location is set, else local" doc:"Where the environment runs. flowehr up runs any definition on this machine, whatever its target."`
	RealData         Value[bool]        `yaml:"accesses_real_data" default:"false" doc:"Production switch: closes public access, protects from deletion and makes reviews compulsory."`
	AddressSpace     Value[string]      `yaml:"core_address_space" default:"10.0.0.0/24" doc:"Private address range of the environment in CIDR notation, /24 or wider."`
	RandomAddress    Value[bool]        `yaml:"use_random_address_space" default:"false" doc:"Use 10.65-69.x.0/24, stable for each naming suffix, in the place of core_address_space."`
	PrivateDNSGroup  Value[string]      `yaml:"private_dns_zones_rg" doc:"Resource group that already holds the private DNS zones."`
	PublicDatabricks Value[bool]        `yaml:"access_databricks_management_publicly" default:"true" doc:"Reach the management pages of Databricks from the internet."`
	Tags             Map[Value[string]] `yaml:"tags" doc:"Added to every resource that takes tags. The tag environment is always set."`
	Sources          []Source           `yaml:"data_source_connections" doc:"Where data comes from. Pipelines use each as a linked service of its name."`
	Transform        *Transform         `yaml:"transform" doc:"Pipelines, lake and Spark."`
	FeatureStore     *FeatureStore      `yaml:"feature_store" doc:"The SQL database that pipelines publish features to."`
	Projects         Map[Project]       `yaml:"projects" default:"one project, main" doc:"Groups of pipelines, apps, grants and data under their owners."`
	Serve            *Serve             `yaml:"serve" doc:"What managing the repositories of apps needs."`
	Monitoring       *Monitoring        `yaml:"monitoring" doc:"Who is told, and where network flow is watched."`
	VaultRetention   Value[int]         `yaml:"vault_retention_days" min:"7" max:"90" default:"7" doc:"Days that a deleted secret or vault can be brought back."`
	Local            *Local             `yaml:"local" doc:"What only this machine needs."`
	Apps             Map[App]           `yaml:"-"` // from apps/apps*.yaml
}

// Pos is where a group of keys was written.
type Pos = flowehr.Pos

// Source is one of data_source_connections.
type Source struct {
	At       Pos                 `yaml:"-"`
	Name     Value[string]       `yaml:"name" required:"true" pattern:"[a-z0-9-]+" shape:"a word of lower-case letters, digits and -" doc:"Unique name. Pipelines use it as the name of a linked service."`
	Kind     Value[string]       `yaml:"kind" enum:"sqlserver|postgresql|mysql|folder" default:"sqlserver" doc:"What the source speaks. A folder needs only name and path."`
	FQDN     Value[string]       `yaml:"fqdn" doc:"Full host name of the server."`
	Port     Value[int]          `yaml:"port" min:"1" max:"65535" default:"the usual one of the kind" doc:"Port of the server."`
	Database Value[string]       `yaml:"database" doc:"Name of the database."`
	Username Value[flowehr.Text] `yaml:"username" doc:"User to sign in as, usually a secret: ${NAME}."`
	Password Value[flowehr.Text] `yaml:"password" mask:"true" doc:"Password of that user as a secret: ${NAME}."`
	TLS      Value[string]       `yaml:"tls" enum:"require|verify|disable" default:"require" doc:"require encrypts, verify also checks the certificate, disable sends in the clear."`
	Path     Value[string]       `yaml:"path" doc:"Folder with the files, for kind folder; relative to this file."`
	Peering  *Peering            `yaml:"peering" doc:"How the network of the source is reached in Azure."`
}

// Peering is data_source_connections.peering.
type Peering struct {
	At       Pos             `yaml:"-"`
	Network  Value[string]   `yaml:"virtual_network_name" required:"true" doc:"Virtual network of the source."`
	Group    Value[string]   `yaml:"resource_group_name" required:"true" doc:"Resource group of that network."`
	DNSZones []Value[string] `yaml:"dns_zones" doc:"Private DNS zones to link, so that the name of the source resolves."`
}

// Project is one of projects.
type Project struct {
	At            Pos              `yaml:"-"`
	Name          Value[string]    `yaml:"name" default:"the id" doc:"Name for people."`
	Owners        []Value[string]  `yaml:"owners" pattern:"[^@\\s]+@[^@\\s]+" shape:"an e-mail address of the directory" doc:"Directory e-mail addresses of the people who answer for it."`
	Tier          Value[int]       `yaml:"tier" min:"0" max:"4" default:"0" doc:"Sensitivity of its data, from 0 (open) to 4 (most sensitive)."`
	ApprovedUntil Value[time.Time] `yaml:"approved_until" doc:"Last day of its approval, as 2027-03-31."`
	Budget        Value[float64]   `yaml:"budget_per_month" min:"0" doc:"What it may cost in a month, in the currency of the bill."`
}

// FeatureStore is feature_store.
type FeatureStore struct {
	At     Pos           `yaml:"-"`
	Engine Value[string] `yaml:"engine" enum:"postgres|mssql" default:"mssql on azure, else postgres" doc:"Database that holds the features."`
	SKU    Value[string] `yaml:"sku" default:"S0 in automation, else Basic" doc:"Size class in Azure."`
	SizeGB Value[int]    `yaml:"size_gb" min:"1" default:"250 in automation, else 2" doc:"Largest size in GB."`
}

// Serve is serve.
type Serve struct {
	At             Pos           `yaml:"-"`
	Owner          Value[string] `yaml:"github_owner" required:"true" doc:"GitHub organisation that holds the repositories of apps."`
	AppID          Value[string] `yaml:"github_app_id" required:"true" doc:"Id of the GitHub App that manages them."`
	InstallationID Value[string] `yaml:"github_app_installation_id" required:"true" doc:"Id of the installation of that GitHub App in the organisation."`
	PlanSKU        Value[string] `yaml:"app_plan_sku" default:"S1" doc:"Size class of the machines that run apps in Azure."`
}

// Monitoring is monitoring.
type Monitoring struct {
	At             Pos             `yaml:"-"`
	Recipients     []Recipient     `yaml:"alert_recipients" doc:"Who is told of critical events."`
	NetworkWatcher *NetworkWatcher `yaml:"network_watcher" doc:"Network watcher that records network flow."`
	LogRetention   Value[int]      `yaml:"log_retention_days" min:"30" max:"730" default:"90" doc:"Days that logs are kept."`
}

// Recipient is one of monitoring.alert_recipients.
type Recipient struct {
	At    Pos           `yaml:"-"`
	Name  Value[string] `yaml:"name" required:"true" doc:"Name of the person or team."`
	Email Value[string] `yaml:"email" required:"true" pattern:"[^@\\s]+@[^@\\s]+" shape:"an e-mail address" doc:"E-mail address."`
}

// NetworkWatcher is monitoring.network_watcher.
type NetworkWatcher struct {
	At    Pos           `yaml:"-"`
	Name  Value[string] `yaml:"name" required:"true" doc:"Name of the network watcher."`
	Group Value[string] `yaml:"resource_group_name" required:"true" doc:"Resource group that it is in."`
}
