package config

import "github.com/flowehr/flowehr"

// Local is local.
type Local struct {
	At             Pos                 `yaml:"-"`
	Listen         Value[string]       `yaml:"listen" default:"127.0.0.1:7080" doc:"Address and port of the portal."`
	DataDir        Value[string]       `yaml:"data_dir" default:".flowehr/{environment} beside the definition" doc:"Folder that holds the data of the environment."`
	PostgresDSN    Value[flowehr.Text] `yaml:"postgres_dsn" mask:"true" default:"a server that FlowEHR runs itself" doc:"Use this PostgreSQL server, as postgres://user@host/database."`
	SparkMaster    Value[string]       `yaml:"spark_master" default:"local[*]" doc:"Spark that pipelines run on, by its master URL."`
	MemoryMB       Value[int]          `yaml:"memory_mb" min:"256" default:"2048" doc:"Memory that the engine of the lake may use, in MB."`
	Threads        Value[int]          `yaml:"threads" min:"0" default:"0" doc:"Threads of the engine of the lake. 0 means one for each core."`
	LinkedServices Map[LinkedService]  `yaml:"linked_services" doc:"What stands in on this machine for linked services that definitions name and that are not built in."`
	Synthetic      Map[Synthetic]      `yaml:"synthetic" doc:"Made-up patients in the place of a data source, by its name. Refused with real data."`
}

// LinkedService is one of local.linked_services.
type LinkedService struct {
	At       Pos                 `yaml:"-"`
	Kind     Value[string]       `yaml:"kind" required:"true" enum:"sqlserver|postgresql|mysql|folder" doc:"What it speaks."`
	Host     Value[string]       `yaml:"host" doc:"Host name of the server; fqdn means the same."`
	FQDN     Value[string]       `yaml:"fqdn" doc:"Host name of the server; host means the same."`
	Port     Value[int]          `yaml:"port" min:"1" max:"65535" default:"the usual one of the kind" doc:"Port of the server."`
	Database Value[string]       `yaml:"database" doc:"Name of the database."`
	Username Value[flowehr.Text] `yaml:"username" doc:"User to sign in as, usually a secret: ${NAME}."`
	Password Value[flowehr.Text] `yaml:"password" mask:"true" doc:"Password of that user as a secret: ${NAME}."`
	TLS      Value[string]       `yaml:"tls" enum:"require|verify|disable" default:"require" doc:"require encrypts, verify also checks the certificate, disable sends in the clear."`
	Path     Value[string]       `yaml:"path" doc:"Folder with the files, for kind folder; relative to this file."`
}

// Synthetic is one of local.synthetic.
type Synthetic struct {
	At       Pos        `yaml:"-"`
	Patients Value[int] `yaml:"patients" min:"1" max:"10000000" default:"1000" doc:"Number of patients."`
	Seed     Value[int] `yaml:"seed" min:"0" default:"1" doc:"The same seed makes the same patients."`
}
