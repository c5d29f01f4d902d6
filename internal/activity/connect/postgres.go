package connect

import (
	"context"
	"crypto/tls"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

type postgres struct {
	conf Config
	conn *pgx.Conn
	last context.Context // for the farewell: the opener's, without its end
}

func openPostgres(ctx context.Context, c Config) (Database, error) {
	// The parser is given a text without any of the settings, because it also reads the environment and would put the
	// text into its errors. Everything that matters is set by hand below.
	conf, err := pgx.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("the environment of this process holds PostgreSQL settings that cannot be read")
	}
	conf.Host, conf.Port = c.Host, uint16(c.port())
	conf.Database, conf.User, conf.Password = c.Database, c.Username, c.Password.Reveal()
	conf.ConnectTimeout = connectTimeout
	conf.Fallbacks = nil
	conf.RuntimeParams = map[string]string{"application_name": application, "client_encoding": "UTF8"}
	conf.TLSConfig = nil
	if !strings.HasPrefix(c.Host, "/") {
		conf.TLSConfig = tlsConfig(c)
	}
	// No named statement stays on the server, so that poolers in front of it do no harm.
	conf.DefaultQueryExecMode = pgx.QueryExecModeDescribeExec
	conf.StatementCacheCapacity, conf.DescriptionCacheCapacity = 0, 0
	conf.OnNotice = nil
	conn, err := pgx.ConnectConfig(ctx, conf)
	if err != nil {
		return nil, err
	}
	return &postgres{conf: c, conn: conn, last: context.WithoutCancel(ctx)}, nil
}

// tlsConfig is nil when no encryption is wanted.
func tlsConfig(c Config) *tls.Config {
	if c.TLS == "disable" {
		return nil
	}
	return &tls.Config{ServerName: c.Host, InsecureSkipVerify: c.TLS != "verify", MinVersion: tls.VersionTLS12}
}

func (p *postgres) Tables(ctx context.Context) ([]Table, error) {
	return listTables(ctx, p, `
		select n.nspname, c.relname, c.relkind in ('v', 'm')
		from pg_class c join pg_namespace n on n.oid = c.relnamespace
		where c.relkind in ('r', 'v', 'm', 'p', 'f') and n.nspname not in ('pg_catalog', 'information_schema')
		  and n.nspname not like 'pg\_toast%' and n.nspname not like 'pg\_temp%' and has_table_privilege(c.oid, 'select')
		order by 1, 2`)
}

func (p *postgres) Query(ctx context.Context, sql string, args ...any) (Rows, error) {
	tx, err := p.conn.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, explain(p.conf, err)
	}
	// Types that arrive as text should look the same wherever the server stands.
	if _, err := tx.Exec(ctx, "set local timezone = 'UTC'; set local datestyle = 'ISO'; set local extra_float_digits = 1", pgx.QueryExecModeSimpleProtocol); err != nil {
		return nil, explain(p.conf, err)
	}
	rows, err := tx.Query(ctx, sql, append([]any{pgx.QueryResultFormatsByOID(binaryTypes())}, args...)...)
	if err == nil {
		err = rows.Err()
	}
	if err != nil {
		_ = tx.Rollback(context.WithoutCancel(ctx))
		return nil, explain(p.conf, err)
	}
	r := &postgresRows{conf: p.conf, ctx: ctx, tx: tx, rows: rows}
	for _, f := range rows.FieldDescriptions() {
		kind, decode := postgresType(f.DataTypeOID, f.TypeModifier, f.Format)
		r.columns = append(r.columns, Column{Name: f.Name, Type: kind})
		r.decode = append(r.decode, decode)
	}
	return r, nil
}

func (p *postgres) Close() error {
	ctx, cancel := context.WithTimeout(p.last, connectTimeout)
	defer cancel()
	return p.conn.Close(ctx)
}

// binaryTypes are those that this package decodes itself; all others come as the text that the server makes of them.
func binaryTypes() map[uint32]int16 {
	formats := map[uint32]int16{}
	for _, oid := range []uint32{
		pgtype.BoolOID, pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID, pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID,
		pgtype.ByteaOID, pgtype.DateOID, pgtype.TimestampOID, pgtype.TimestamptzOID, pgtype.UUIDOID,
	} {
		formats[oid] = pgtype.BinaryFormatCode
	}
	return formats
}

type postgresRows struct {
	conf    Config
	ctx     context.Context
	tx      pgx.Tx
	rows    pgx.Rows
	columns []Column
	decode  []decoder
}

func (r *postgresRows) Columns() []Column { return r.columns }

func (r *postgresRows) Next(row []any) (bool, error) {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return false, explain(r.conf, err)
		}
		return false, nil
	}
	for i, raw := range r.rows.RawValues() {
		if raw == nil {
			row[i] = nil
			continue
		}
		v, why := r.decode[i](raw)
		if why != "" {
			return true, &ValueError{Column: r.columns[i].Name, Why: why}
		}
		row[i] = v
	}
	return true, nil
}

// Close stops a query that is still sending: the connection would otherwise have to swallow the rest.
func (r *postgresRows) Close() error {
	if !r.tx.Conn().IsClosed() && r.rows.CommandTag().String() == "" && r.rows.Err() == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), connectTimeout)
		defer cancel()
		_ = r.tx.Conn().PgConn().CancelRequest(ctx)
	}
	r.rows.Close()
	_ = r.tx.Rollback(context.WithoutCancel(r.ctx))
	return nil
}

// listTables runs a dialect's own query of (schema, name, is it a view).
func listTables(ctx context.Context, db Database, query string) ([]Table, error) {
	rows, err := db.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []Table
	row := make([]any, 3)
	for {
		more, err := rows.Next(row)
		if err != nil {
			return nil, err
		}
		if !more {
			return tables, nil
		}
		t := Table{View: row[2] == true || row[2] == int64(1)}
		t.Schema, _ = row[0].(string)
		t.Name, _ = row[1].(string)
		tables = append(tables, t)
	}
}
