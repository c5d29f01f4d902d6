package connect

import (
	"context"
	"database/sql"
	"net/url"
	"strings"
	"time"

	mssql "github.com/microsoft/go-mssqldb"
)

func openSQLServer(ctx context.Context, c Config) (Database, error) {
	host, instance, _ := strings.Cut(c.Host, `\`)
	address := c
	address.Host = host
	u := url.URL{Scheme: "sqlserver", User: url.UserPassword(c.Username, c.Password.Reveal()), Host: address.address(), Path: instance}
	q := url.Values{"database": {c.Database}, "app name": {application}, "ApplicationIntent": {"ReadOnly"}, "dial timeout": {"15"}, "log": {"0"}}
	switch c.TLS {
	case "disable":
		q.Set("encrypt", "disable")
	case "verify":
		q.Set("encrypt", "true")
		q.Set("TrustServerCertificate", "false")
	default:
		q.Set("encrypt", "true")
		q.Set("TrustServerCertificate", "true")
	}
	u.RawQuery = q.Encode()
	connector, err := mssql.NewConnector(u.String())
	if err != nil {
		// The parser's error may quote the address, and with it the password.
		return nil, &Error{Reason: Refused, Message: "data source \"" + c.Name + "\": its host, database or user name cannot be written as a SQL Server address"}
	}
	g := &generic{
		// SQL Server has no read-only transaction. Every query runs in one that is rolled back.
		conf: c, pool: sql.OpenDB(connector), typeOf: sqlServerType,
		tables: `
			select table_schema, table_name, case table_type when 'VIEW' then cast(1 as bit) else cast(0 as bit) end
			from information_schema.tables order by 1, 2`,
	}
	return g.open(ctx)
}

// sqlServerType maps a type to Delta's. A datetime without offset is taken to be UTC.
func sqlServerType(t *sql.ColumnType) (string, converter) {
	switch t.DatabaseTypeName() {
	case "BIT":
		return "boolean", func(v any) (any, string) {
			b, ok := v.(bool)
			if !ok {
				return nil, "not a bit"
			}
			return b, ""
		}
	case "TINYINT", "SMALLINT":
		return "short", toInt
	case "INT":
		return "integer", toInt
	case "BIGINT":
		return "long", toInt
	case "REAL":
		return "float", toFloat
	case "FLOAT":
		return "double", toFloat
	case "DECIMAL", "NUMERIC":
		return decimalOf(t), toText
	case "MONEY":
		return decimalType(19, 4), toText
	case "SMALLMONEY":
		return decimalType(10, 4), toText
	case "DATE":
		return "date", toTime
	case "DATETIME", "DATETIME2", "SMALLDATETIME", "DATETIMEOFFSET":
		return "timestamp", toTime
	case "TIME":
		return "string", func(v any) (any, string) {
			if t, ok := v.(time.Time); ok {
				return t.Format("15:04:05.9999999"), ""
			}
			return toText(v)
		}
	case "UNIQUEIDENTIFIER":
		return "string", func(v any) (any, string) {
			var id mssql.UniqueIdentifier
			if err := id.Scan(v); err != nil {
				return nil, "not a unique identifier"
			}
			return id.String(), ""
		}
	case "BINARY", "VARBINARY", "IMAGE", "TIMESTAMP", "ROWVERSION", "GEOMETRY", "GEOGRAPHY", "HIERARCHYID", "UDT":
		return "binary", toBytes
	}
	return "string", toText
}
