package connect

import (
	"context"
	"database/sql"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

func openMySQL(ctx context.Context, c Config) (Database, error) {
	conf := mysql.NewConfig()
	conf.Net, conf.Addr = "tcp", c.address()
	if strings.HasPrefix(c.Host, "/") {
		conf.Net, conf.Addr = "unix", c.Host
	}
	conf.User, conf.Passwd, conf.DBName = c.Username, c.Password.Reveal(), c.Database
	conf.Timeout = connectTimeout
	conf.ParseTime, conf.Loc = true, time.UTC
	conf.ConnectionAttributes = "program_name:" + application
	conf.Logger = &mysql.NopLogger{}
	conf.TLS = nil
	if conf.Net == "tcp" {
		conf.TLS = tlsConfig(c)
	}
	connector, err := mysql.NewConnector(conf)
	if err != nil {
		return nil, err
	}
	g := &generic{
		conf: c, pool: sql.OpenDB(connector), tx: sql.TxOptions{ReadOnly: true}, typeOf: mysqlType,
		tables: `
			select table_schema, table_name, table_type <> 'BASE TABLE' from information_schema.tables
			where table_schema not in ('mysql', 'sys', 'information_schema', 'performance_schema') order by 1, 2`,
	}
	return g.open(ctx, "set session time_zone = '+00:00'", "set session transaction read only")
}

// mysqlType maps a type to Delta's. A datetime, which has no zone, is taken to be UTC.
func mysqlType(t *sql.ColumnType) (string, converter) {
	switch name := t.DatabaseTypeName(); name {
	case "TINYINT", "UNSIGNED TINYINT", "SMALLINT", "YEAR":
		return "short", toInt
	case "UNSIGNED SMALLINT", "MEDIUMINT", "UNSIGNED MEDIUMINT", "INT":
		return "integer", toInt
	case "UNSIGNED INT", "BIGINT":
		return "long", toInt
	case "UNSIGNED BIGINT":
		return decimalType(20, 0), toText
	case "FLOAT":
		return "float", toFloat
	case "DOUBLE":
		return "double", toFloat
	case "DECIMAL":
		return decimalOf(t), toText
	case "DATE":
		return "date", toTime
	case "DATETIME", "TIMESTAMP":
		return "timestamp", toTime
	case "BIT":
		return "long", bitsToInt
	case "BINARY", "VARBINARY", "TINYBLOB", "BLOB", "MEDIUMBLOB", "LONGBLOB", "GEOMETRY", "VECTOR":
		return "binary", toBytes
	}
	return "string", toText
}

// bitsToInt reads BIT(n), which arrives as bytes, most significant first.
func bitsToInt(v any) (any, string) {
	b, ok := v.([]byte)
	if !ok {
		return toInt(v)
	}
	var n uint64
	for _, x := range b {
		n = n<<8 | uint64(x)
	}
	return toInt(n)
}
