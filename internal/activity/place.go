package activity

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/lake"
)

// place is where a dataset lies: exactly one of the fields is set.
type place struct {
	service  string
	dataset  string // type of the dataset
	lake     *lake.Name
	store    *storeTable
	database *databasePlace
	files    *filePlace
}

type storeTable struct{ schema, table string }

type databasePlace struct {
	config        connect.Config
	schema, table string // empty when only queries name tables
}

// filePlace is a location in a folder and how its files are written.
type filePlace struct {
	root      string
	container string // first folder of every path: the file system or bucket of the dataset
	folder    string // below container
	file      string
	format    fileFormat
	selected  string // path below root with the wildcards of the source, once it was read
}

// String names the place for messages and lineage.
func (p place) String() string {
	switch {
	case p.lake != nil:
		return "lake:" + p.lake.String()
	case p.store != nil:
		return "store:" + p.store.schema + "." + p.store.table
	case p.database != nil:
		name := "source:" + p.service
		if p.database.table != "" {
			name += "/" + strings.TrimPrefix(p.database.schema+"."+p.database.table, ".")
		}
		return name
	case p.files != nil:
		return "file:" + path.Join(p.service, cmp.Or(p.files.selected, path.Join(p.files.container, p.files.folder, p.files.file)))
	}
	return p.service
}

// sqlDatasets are the dataset types of tables, with the kinds of server that each can be.
var sqlDatasets = map[string][]flowehr.SourceKind{
	"PostgreSqlTable":            {flowehr.SourcePostgreSQL},
	"PostgreSqlV2Table":          {flowehr.SourcePostgreSQL},
	"AzurePostgreSqlTable":       {flowehr.SourcePostgreSQL},
	"SqlServerTable":             {flowehr.SourceSQLServer},
	"AzureSqlTable":              {flowehr.SourceSQLServer},
	"AzureSqlMITable":            {flowehr.SourceSQLServer},
	"MySqlTable":                 {flowehr.SourceMySQL},
	"AzureMySqlTable":            {flowehr.SourceMySQL},
	"MariaDBTable":               {flowehr.SourceMySQL},
	"AmazonRdsForSqlServerTable": {flowehr.SourceSQLServer},
}

// resolve finds the place of a dataset.
func (d Deps) resolve(ctx context.Context, ds engine.Dataset) (place, error) {
	p := place{service: ds.LinkedService.Name, dataset: ds.Type}
	props := read(fmt.Sprintf("dataset %q", ds.Name), ds.Properties)
	switch ds.LinkedService.Name {
	case LakeService:
		return d.resolveLake(p, props)
	case StoreService:
		return d.resolveStore(p, props)
	case VaultService, SparkService:
		return place{}, refuse(CodeUnsupported, "dataset %q: %s holds no data to copy or look up", ds.Name, ds.LinkedService.Name)
	}
	source, err := d.source(ctx, ds.LinkedService.Name)
	if err != nil {
		return place{}, err
	}
	if source.Kind == flowehr.SourceFolder {
		p.files = &filePlace{root: source.Folder}
		return p, p.files.readDataset(ds, props)
	}
	kinds, known := sqlDatasets[ds.Type]
	if !known {
		return place{}, refuse(CodeUnsupported, "dataset %q of type %q is not supported on %q, a database", ds.Name, ds.Type, p.service)
	}
	if !slices.Contains(kinds, source.Kind) {
		return place{}, refuse(CodeInvalid, "dataset %q is of type %s, but %q is a %s database", ds.Name, ds.Type, p.service, source.Kind)
	}
	p.database = &databasePlace{config: source.Database}
	p.database.schema, p.database.table = tableName(props)
	return p, props.rest("structure")
}

func (d Deps) resolveLake(p place, props *properties) (place, error) {
	if p.dataset != "AzureDatabricksDeltaLakeDataset" {
		return place{}, refuse(CodeUnsupported, "%s of type %q is not supported on %s; use AzureDatabricksDeltaLakeDataset", props.where, p.dataset, LakeService)
	}
	zone, table := props.text("database"), props.text("table")
	if err := props.rest(); err != nil {
		return place{}, err
	}
	if table == "" {
		p.lake = &lake.Name{Zone: zone} // enough for a source with a query
		return p, nil
	}
	name, err := lake.ParseName(zone + "." + table)
	if err != nil {
		return place{}, refuse(CodeInvalid, "%s: %s", props.where, err)
	}
	p.lake = &name
	return p, nil
}

func (d Deps) resolveStore(p place, props *properties) (place, error) {
	if p.dataset != "AzureSqlTable" {
		return place{}, refuse(CodeUnsupported, "%s of type %q is not supported on %s; use AzureSqlTable", props.where, p.dataset, StoreService)
	}
	schema, table := tableName(props)
	p.store = &storeTable{schema: schema, table: table}
	return p, props.rest()
}

// tableName reads the schema and table of a dataset. The older form is tableName, "schema.table".
func tableName(p *properties) (schema, table string) {
	schema, table = p.text("schema"), p.text("table")
	if old := p.text("tableName"); table == "" && old != "" {
		before, after, ok := strings.Cut(old, ".")
		if !ok {
			before, after = schema, old
		}
		return unquote(before), unquote(after)
	}
	return schema, table
}

// unquote takes [ ] or quotes from a name as definitions write it.
func unquote(name string) string {
	if len(name) >= 2 && (name[0] == '[' && name[len(name)-1] == ']' || name[0] == '"' && name[len(name)-1] == '"') {
		return name[1 : len(name)-1]
	}
	return name
}
