package factory

import "github.com/flowehr/flowehr"

// SQLSource is what the type of a Copy or Lookup source says about the database that it reads.
type SQLSource struct {
	Kind  flowehr.SourceKind
	Query string // the member of the source that holds its query
}

// SQLSourceOf returns what a source type reads. ok is false for types that are unknown or read no database.
func SQLSourceOf(typ string) (source SQLSource, ok bool) {
	source, ok = sqlSources[typ]
	return source, ok
}

// sqlSources are the source types of databases, with the kind of server and the member that is their query.
var sqlSources = map[string]SQLSource{
	"PostgreSqlSource":      {flowehr.SourcePostgreSQL, "query"},
	"PostgreSqlV2Source":    {flowehr.SourcePostgreSQL, "query"},
	"AzurePostgreSqlSource": {flowehr.SourcePostgreSQL, "query"},
	"SqlServerSource":       {flowehr.SourceSQLServer, "sqlReaderQuery"},
	"AzureSqlSource":        {flowehr.SourceSQLServer, "sqlReaderQuery"},
	"SqlMISource":           {flowehr.SourceSQLServer, "sqlReaderQuery"},
	"MySqlSource":           {flowehr.SourceMySQL, "query"},
	"AzureMySqlSource":      {flowehr.SourceMySQL, "query"},
	"MariaDBSource":         {flowehr.SourceMySQL, "query"},
}
