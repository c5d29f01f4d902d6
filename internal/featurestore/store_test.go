package featurestore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/decimal128"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/featurestore"
	"github.com/flowehr/flowehr/internal/service/postgres"
)

// server is the PostgreSQL of all tests of this package; each test has a database of its own.
var server struct {
	sync.Once
	*postgres.Server
	err  error
	next int
}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "fst")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := startServer(ctx, dir)
	code := m.Run()
	cancel()
	<-ended
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// startServer fills server and returns when it is ready or cannot be started.
func startServer(ctx context.Context, dir string) <-chan struct{} {
	ended, ready := make(chan struct{}), make(chan struct{})
	b, err := postgres.Find(ctx, "")
	if err == nil {
		server.Server, err = postgres.New(postgres.Options{Binaries: b, DataDir: filepath.Join(dir, "data"), SocketDir: filepath.Join(dir, "run"), LogFile: filepath.Join(dir, "log")})
	}
	if err != nil {
		server.err = err
		close(ended)
		return ended
	}
	go func() {
		defer close(ended)
		if err := server.Run(ctx, func() { close(ready) }); err != nil {
			server.err = err
		}
	}()
	select {
	case <-ready:
	case <-ended:
	}
	return ended
}

var roles = featurestore.Roles{Owner: "owners", Readers: []string{"readers", "strangers"}}

// env is a store in a database of its own, with the superuser's pool to look behind it.
type env struct {
	*featurestore.Store
	admin    *pgxpool.Pool
	database string
}

func setup(t testing.TB) env {
	t.Helper()
	if errors.Is(server.err, postgres.ErrNoBinaries) {
		t.Skip(server.err)
	}
	if server.err != nil {
		t.Fatal(server.err)
	}
	server.next++
	e := env{database: fmt.Sprintf("store%d", server.next)}
	ctx := t.Context()
	root := pool(t, "postgres", "")
	for _, group := range append(roles.Readers, roles.Owner) {
		check(t, postgres.EnsureGroup(ctx, root, group))
	}
	for login, group := range map[string]string{"writer": "owners", "rita": "readers", "sam": "strangers"} {
		check(t, postgres.EnsureRole(ctx, root, postgres.Role{Name: login, Password: flowehr.NewSecret("secret"), MemberOf: []string{group}}))
	}
	check(t, postgres.EnsureDatabase(ctx, root, e.database, postgres.Superuser))
	e.admin = pool(t, e.database, "")
	for range 2 {
		check(t, featurestore.Setup(ctx, e.admin, roles))
	}
	e.Store = featurestore.New(pool(t, e.database, "writer"), roles)
	return e
}

func pool(t testing.TB, database, login string) *pgxpool.Pool {
	t.Helper()
	c, err := pgxpool.ParseConfig(server.DSN(database, login))
	check(t, err)
	c.ConnConfig.Password = "secret"
	p, err := pgxpool.NewWithConfig(t.Context(), c)
	check(t, err)
	t.Cleanup(p.Close)
	return p
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func query[T any](t testing.TB, p *pgxpool.Pool, sql string) T {
	t.Helper()
	var v T
	if err := p.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

// batches is a stream from memory that can fail at its end.
type batches struct {
	schema *arrow.Schema
	list   []arrow.RecordBatch
	err    error
}

func (b *batches) Schema() *arrow.Schema { return b.schema }
func (b *batches) Close() error          { return nil }
func (b *batches) Next() (arrow.RecordBatch, error) {
	if len(b.list) == 0 {
		if b.err != nil {
			return nil, b.err
		}
		return nil, io.EOF
	}
	next := b.list[0]
	b.list = b.list[1:]
	return next, nil
}

// rows makes n rows whose column v has the same value in each, and more int columns by name.
func rows(v, n int, more ...string) *batches {
	fields := []arrow.Field{{Name: "id", Type: arrow.PrimitiveTypes.Int64}, {Name: "v", Type: arrow.PrimitiveTypes.Int32}}
	for _, name := range more {
		fields = append(fields, arrow.Field{Name: name, Type: arrow.PrimitiveTypes.Int32, Nullable: true})
	}
	schema := arrow.NewSchema(fields, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	for i := range n {
		b.Field(0).(*array.Int64Builder).Append(int64(i))
		for f := 1; f < len(fields); f++ {
			b.Field(f).(*array.Int32Builder).Append(int32(v))
		}
	}
	return &batches{schema: schema, list: []arrow.RecordBatch{b.NewRecordBatch()}}
}

var target = featurestore.Target{Schema: "main", Table: `Patient "features"`}

const view = `main."Patient ""features"""`

func TestPublishShowsNewRowsAndKeepsOneOldVersion(t *testing.T) {
	e := setup(t)
	for v := 1; v <= 5; v++ {
		p, err := e.Publish(t.Context(), target, rows(v, 10*v), featurestore.PublishOptions{
			Key: fmt.Sprint("run", v), By: "ada@ward", Pipeline: "gold", RunID: fmt.Sprint("run", v),
			Comments: map[string]string{"v": `mmol/L, it's \ "quoted"`}, Indexes: [][]string{{"id"}},
		}, nil)
		check(t, err)
		if p.Rows != int64(10*v) || p.Again {
			t.Fatalf("got %+v, want %d rows", p, 10*v)
		}
		if n := query[int](t, e.admin, "select count(*) from "+view+fmt.Sprintf(" where v = %d", v)); n != 10*v {
			t.Fatalf("version %d: view has %d of its rows, want %d", v, n, 10*v)
		}
	}
	if n := query[int](t, e.admin, "select count(*) from pg_class where relnamespace = 'flowehr_data'::regnamespace and relkind = 'r'"); n != 2 {
		t.Errorf("%d versions are kept, want 2", n)
	}
	table, err := e.Table(t.Context(), target)
	check(t, err)
	if table.Login != "writer" || table.PublishedBy != "ada@ward" || table.Rows != 50 || table.Bytes == 0 || table.Comments["v"] != `mmol/L, it's \ "quoted"` {
		t.Errorf("got %+v", table)
	}
	if got := query[string](t, e.admin, "select col_description('"+view+"'::regclass, 2)"); got != table.Comments["v"] {
		t.Errorf("comment of the view is %q", got)
	}
	for _, want := range []int{40, 50} {
		_, err := e.Rollback(t.Context(), target, "ada@ward")
		check(t, err)
		if n := query[int](t, e.admin, "select count(*) from "+view); n != want {
			t.Errorf("after rollback %d rows, want %d", n, want)
		}
	}
	history, err := e.History(t.Context(), target, 3)
	check(t, err)
	if len(history) != 3 || history[0].Kind != "rollback" || history[2].Kind != "publish" || history[2].RunID != "run5" {
		t.Errorf("got %+v", history)
	}
	if all, err := e.Tables(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("got %d tables, %v; want 1", len(all), err)
	}
}

func TestPublishWithSameKeyDoesNothing(t *testing.T) {
	e := setup(t)
	o := featurestore.PublishOptions{Key: "run/Copy"}
	first, err := e.Publish(t.Context(), target, rows(1, 3), o, nil)
	check(t, err)
	second, err := e.Publish(t.Context(), target, rows(2, 4), o, nil)
	check(t, err)
	if !second.Again || second.Version != first.Version || second.Rows != 3 {
		t.Errorf("got %+v, want the first %+v again", second, first)
	}
	o.Key = "run/Append"
	for range 2 {
		_, err = e.Append(t.Context(), target, rows(1, 2), o, nil)
		check(t, err)
	}
	if n := query[int](t, e.admin, "select count(*) from "+view); n != 5 {
		t.Errorf("%d rows, want 3 published and 2 appended once", n)
	}
}

func TestFailedPublishKeepsOldTable(t *testing.T) {
	e := setup(t)
	_, err := e.Publish(t.Context(), target, rows(1, 3), featurestore.PublishOptions{}, nil)
	check(t, err)
	gone := errors.New("source went away")
	broken := rows(2, 100000)
	broken.err = gone
	if _, err := e.Publish(t.Context(), target, broken, featurestore.PublishOptions{}, nil); !errors.Is(err, gone) {
		t.Fatalf("got %v, want the error of the batches", err)
	}
	if got := query[string](t, e.admin, "select string_agg(v::text, '') from "+view); got != "111" {
		t.Errorf("view shows %q, want the old rows 111", got)
	}
}

func TestNextPublishCleansWhatACrashLeft(t *testing.T) {
	e := setup(t)
	_, err := e.Publish(t.Context(), target, rows(1, 3), featurestore.PublishOptions{}, nil)
	check(t, err)
	// What a crash between staging and swap leaves: a loaded table, alone or attached, and a family of its own.
	for _, sql := range []string{
		"set role owners", "create table flowehr_data.t1_v90 (x int)", "create table flowehr_data.t1_f91 (flowehr_load bigint not null) partition by list (flowehr_load)",
		"create table flowehr_data.t1_v91 partition of flowehr_data.t1_f91 for values in (91)",
		"create table flowehr_data.t12_v90 (x int)", "reset role",
	} {
		_, err := e.admin.Exec(t.Context(), sql)
		check(t, err)
	}
	_, err = e.Publish(t.Context(), target, rows(2, 3), featurestore.PublishOptions{}, nil)
	check(t, err)
	got := query[string](t, e.admin, "select string_agg(relname, ' ' order by relname) from pg_class where relnamespace = 'flowehr_data'::regnamespace and relkind in ('r', 'p')")
	if want := "t12_v90 t1_f1 t1_v1 t1_v2"; got != want {
		t.Errorf("tables %q, want %q", got, want)
	}
}

func TestChangedColumns(t *testing.T) {
	e := setup(t)
	check(t, e.Grant(t.Context(), "main", "readers"))
	reader := pool(t, e.database, "rita")
	publish := func(b *batches) error {
		_, err := e.Publish(t.Context(), target, b, featurestore.PublishOptions{}, nil)
		return err
	}
	check(t, publish(rows(1, 3)))
	_, err := e.admin.Exec(t.Context(), "create view public.dependent as select id from "+view)
	check(t, err)
	check(t, publish(rows(2, 3, "added")))
	if n := query[int](t, reader, "select sum(added) from "+view); n != 6 {
		t.Errorf("sum of the new column is %d, want 6", n)
	}
	if err := publish(rows(3, 3)); !errors.Is(err, featurestore.ErrDependents) {
		t.Errorf("removing a column under a view: got %v, want ErrDependents", err)
	}
	_, err = e.admin.Exec(t.Context(), "drop view public.dependent")
	check(t, err)
	check(t, publish(rows(4, 3, "other")))
	if n := query[int](t, reader, "select sum(other) from "+view); n != 12 {
		t.Errorf("sum of the other column is %d, want 12", n)
	}
	_, err = e.Rollback(t.Context(), target, "ada")
	check(t, err)
	if n := query[int](t, reader, "select sum(added) from "+view); n != 6 {
		t.Errorf("after rollback the sum is %d, want 6", n)
	}
	if _, err := e.Append(t.Context(), target, rows(1, 1, "unknown"), featurestore.PublishOptions{}, nil); !errors.Is(err, featurestore.ErrColumns) {
		t.Errorf("append of an unknown column: got %v, want ErrColumns", err)
	}
	_, err = e.Append(t.Context(), target, rows(1, 1), featurestore.PublishOptions{}, nil)
	check(t, err)
}

func TestSnapshotFromBeforeThePublishSeesTheOldRows(t *testing.T) {
	e := setup(t)
	_, err := e.Publish(t.Context(), target, rows(1, 7), featurestore.PublishOptions{}, nil)
	check(t, err)
	tx, err := e.admin.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	check(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), "select 1 from pg_class limit 1")
	check(t, err)
	_, err = e.Publish(t.Context(), target, rows(2, 9), featurestore.PublishOptions{}, nil)
	check(t, err)
	var n, v int
	check(t, tx.QueryRow(t.Context(), "select count(*), max(v) from "+view).Scan(&n, &v))
	if n != 7 || v != 1 {
		t.Errorf("old snapshot sees %d rows of version %d, want 7 of 1", n, v)
	}
}

func TestReadersReachOnlyGrantedViews(t *testing.T) {
	e := setup(t)
	ctx := t.Context()
	_, err := e.Publish(ctx, target, rows(1, 3), featurestore.PublishOptions{}, nil)
	check(t, err)
	_, err = e.Publish(ctx, featurestore.Target{Schema: "closed", Table: "t"}, rows(1, 3), featurestore.PublishOptions{}, nil)
	check(t, err)
	check(t, e.Grant(ctx, "main", "readers"))
	rita, sam := pool(t, e.database, "rita"), pool(t, e.database, "sam")
	if n := query[int](t, rita, "select count(*) from "+view); n != 3 {
		t.Errorf("reader sees %d rows, want 3", n)
	}
	denied := func(p *pgxpool.Pool, sql string) {
		t.Helper()
		_, err := p.Exec(ctx, sql)
		pg, ok := errors.AsType[*pgconn.PgError](err)
		if !ok || pg.Code != "42501" && pg.Code != "55000" {
			t.Errorf("%s: got %v, want it denied", sql, err)
		}
	}
	for _, sql := range []string{
		"select * from closed.t", "select * from flowehr_store.target", "select * from flowehr_store.publication",
		"select * from flowehr_data.t1_v1", "select * from flowehr_data.t1_f1", "update " + view + " set v = 9", "delete from " + view,
		"insert into " + view + " values (1, 1)", "create table main.x (a int)", "create table public.x (a int)", "create schema mine", "create temp table x (a int)",
		"drop view " + view, "set role owners", "set role flowehr", "copy " + view + " to program 'true'", "select pg_read_file('/etc/passwd')",
		"alter role rita createrole",
	} {
		denied(rita, sql)
	}
	_, err = rita.Exec(ctx, "grant select on "+view+" to strangers") // PostgreSQL only warns; the stranger is asked next
	check(t, err)
	denied(sam, "select * from "+view)
	// The old version is still in the database, and not to be seen.
	_, err = e.Publish(ctx, target, rows(2, 3), featurestore.PublishOptions{}, nil)
	check(t, err)
	if n := query[int](t, rita, "select count(*) from "+view+" where v = 1"); n != 0 {
		t.Errorf("reader sees %d rows of the old version", n)
	}
	if _, err := e.Preview(ctx, target, 1, "strangers"); err == nil {
		t.Error("preview as a stranger: got nil, want it denied")
	}
	check(t, e.Revoke(ctx, "main", "readers"))
	denied(rita, "select * from "+view)
}

func TestNamesAreChecked(t *testing.T) {
	e := setup(t)
	for _, bad := range []featurestore.Target{
		{Schema: "", Table: "t"}, {Schema: "main", Table: ""}, {Schema: "pg_x", Table: "t"}, {Schema: "FlowEHR_data", Table: "t"},
		{Schema: "public", Table: "t"}, {Schema: "main", Table: "a\x00b"}, {Schema: "main", Table: string(bytes.Repeat([]byte("x"), 64))},
	} {
		if _, err := e.Publish(t.Context(), bad, rows(1, 1), featurestore.PublishOptions{}, nil); !errors.Is(err, featurestore.ErrName) {
			t.Errorf("%q: got %v, want ErrName", bad, err)
		}
	}
	hostile := featurestore.Target{Schema: `x"; drop schema flowehr_store cascade; --`, Table: `'; drop table t; --`}
	_, err := e.Publish(t.Context(), hostile, rows(1, 1, `c") as x, "d`), featurestore.PublishOptions{}, nil)
	check(t, err)
	if p, err := e.Preview(t.Context(), hostile, 5, ""); err != nil || len(p.Rows) != 1 || len(p.Columns) != 3 {
		t.Errorf("got %+v, %v; want one row of three columns", p, err)
	}
	if _, err := e.Table(t.Context(), target); !errors.Is(err, featurestore.ErrNotFound) {
		t.Errorf("unknown table: got %v, want ErrNotFound", err)
	}
}

func TestEveryTypeArrives(t *testing.T) {
	e := setup(t)
	type column struct {
		t      arrow.DataType
		values string // JSON
		want   []string
	}
	columns := map[string]column{
		"int8":    {arrow.PrimitiveTypes.Int8, `[-128, 127, null]`, []string{"-128", "127", ""}},
		"uint8":   {arrow.PrimitiveTypes.Uint8, `[0, 255, null]`, []string{"0", "255", ""}},
		"int16":   {arrow.PrimitiveTypes.Int16, `[-32768, 32767, null]`, []string{"-32768", "32767", ""}},
		"uint16":  {arrow.PrimitiveTypes.Uint16, `[0, 65535, null]`, []string{"0", "65535", ""}},
		"int32":   {arrow.PrimitiveTypes.Int32, `[-2147483648, 2147483647, null]`, []string{"-2147483648", "2147483647", ""}},
		"uint32":  {arrow.PrimitiveTypes.Uint32, `[0, 4294967295, null]`, []string{"0", "4294967295", ""}},
		"int64":   {arrow.PrimitiveTypes.Int64, `[-9007199254740993, 9223372036854775807, null]`, []string{"-9007199254740993", "9223372036854775807", ""}},
		"uint64":  {arrow.PrimitiveTypes.Uint64, `[0, 18446744073709551615, null]`, []string{"0", "18446744073709551615", ""}},
		"float32": {arrow.PrimitiveTypes.Float32, `[1.5, -0.25, null]`, []string{"1.5", "-0.25", ""}},
		"float64": {arrow.PrimitiveTypes.Float64, `[0.1, -1e300, null]`, []string{"0.1", "-1e+300", ""}},
		"bool":    {arrow.FixedWidthTypes.Boolean, `[true, false, null]`, []string{"t", "f", ""}},
		"utf8":    {arrow.BinaryTypes.String, `["Zoë \\ ☃", "", null]`, []string{`Zoë \ ☃`, "", ""}},
		"large":   {arrow.BinaryTypes.LargeString, `["a", "b", null]`, []string{"a", "b", ""}},
		"bytes":   {arrow.BinaryTypes.Binary, `["AP8=", "", null]`, []string{`\x00ff`, `\x`, ""}},
		"date":    {arrow.FixedWidthTypes.Date32, `["1900-02-28", "2024-02-29", null]`, []string{"1900-02-28", "2024-02-29", ""}},
		"ntz":     {&arrow.TimestampType{Unit: arrow.Microsecond}, `["1969-12-31 23:59:59.999999", "2024-02-29 12:00:00", null]`, []string{"1969-12-31 23:59:59.999999", "2024-02-29 12:00:00", ""}},
		"tz":      {arrow.FixedWidthTypes.Timestamp_us, `["1969-12-31 23:59:59.999999Z", "2024-02-29 14:00:00+02:00", null]`, []string{"1969-12-31 23:59:59.999999+00", "2024-02-29 12:00:00+00", ""}},
		"nanos":   {&arrow.TimestampType{Unit: arrow.Nanosecond}, `["1969-12-31 23:59:59.999999999", "2024-02-29 12:00:00", null]`, []string{"1969-12-31 23:59:59.999999", "2024-02-29 12:00:00", ""}},
		"seconds": {&arrow.TimestampType{Unit: arrow.Second}, `["1969-12-31 23:59:59", "2024-02-29 12:00:00", null]`, []string{"1969-12-31 23:59:59", "2024-02-29 12:00:00", ""}},
		"time":    {arrow.FixedWidthTypes.Time64us, `["23:59:59.999999", "00:00:00", null]`, []string{"23:59:59.999999", "00:00:00", ""}},
		"dec":     {&arrow.Decimal128Type{Precision: 10, Scale: 3}, `["-1234567.089", "0.001", null]`, []string{"-1234567.089", "0.001", ""}},
		"decbig":  {&arrow.Decimal128Type{Precision: 38, Scale: 5}, `["-123456789012345678901234567890123.45678", "10000", null]`, []string{"-123456789012345678901234567890123.45678", "10000.00000", ""}},
		"nothing": {arrow.Null, `[null, null, null]`, []string{"", "", ""}},
	}
	var fields []arrow.Field
	var arrays []arrow.Array
	for name, c := range columns {
		a, _, err := array.FromJSON(memory.DefaultAllocator, c.t, bytes.NewReader([]byte(c.values)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		fields, arrays = append(fields, arrow.Field{Name: name, Type: c.t, Nullable: true}), append(arrays, a)
	}
	schema := arrow.NewSchema(fields, nil)
	_, err := e.Publish(t.Context(), target, &batches{schema: schema, list: []arrow.RecordBatch{array.NewRecordBatch(schema, arrays, 3)}}, featurestore.PublishOptions{}, nil)
	check(t, err)
	p, err := e.Preview(t.Context(), target, 10, "")
	check(t, err)
	for i, c := range p.Columns {
		var got []string
		for _, row := range p.Rows {
			text := ""
			if row[i] != nil {
				text = *row[i]
			}
			got = append(got, text)
		}
		if diff := cmp.Diff(columns[c.Name].want, got); diff != "" {
			t.Errorf("%s (%s): -want +got\n%s", c.Name, c.Type, diff)
		}
	}
	rows, profile, err := e.Profile(t.Context(), target, "")
	check(t, err)
	for _, c := range profile {
		if want := int64(1); rows != 3 || c.Nulls != want && c.Name != "nothing" {
			t.Errorf("%s has %d nulls of %d rows, want %d of 3", c.Name, c.Nulls, rows, want)
		}
	}
}

func TestValuesThatPostgreSQLCannotHoldAreNamed(t *testing.T) {
	e := setup(t)
	one := func(dt arrow.DataType, fill func(array.Builder)) error {
		b := array.NewBuilder(memory.DefaultAllocator, dt)
		fill(b)
		schema := arrow.NewSchema([]arrow.Field{{Name: "when", Type: dt}}, nil)
		_, err := e.Publish(t.Context(), target, &batches{schema: schema, list: []arrow.RecordBatch{array.NewRecordBatch(schema, []arrow.Array{b.NewArray()}, 1)}}, featurestore.PublishOptions{}, nil)
		return err
	}
	if err := one(arrow.FixedWidthTypes.Timestamp_us, func(b array.Builder) { b.(*array.TimestampBuilder).Append(math.MinInt64 + 1000) }); err == nil {
		t.Error("time before the beginning: got nil, want an error")
	}
	if err := one(arrow.FixedWidthTypes.Timestamp_us, func(b array.Builder) { b.(*array.TimestampBuilder).Append(math.MaxInt64) }); err != nil {
		t.Errorf("infinity: %v", err)
	}
	if err := one(arrow.ListOf(arrow.PrimitiveTypes.Int32), func(b array.Builder) { b.AppendNull() }); !errors.Is(err, featurestore.ErrColumns) {
		t.Errorf("list: got %v, want ErrColumns", err)
	}
	if err := one(&arrow.Decimal128Type{Precision: 38}, func(b array.Builder) { b.(*array.Decimal128Builder).Append(decimal128.FromI64(0)) }); err != nil {
		t.Errorf("zero: %v", err)
	}
}

func TestConcurrentPublishesOfOneTarget(t *testing.T) {
	e := setup(t)
	_, err := e.Publish(t.Context(), target, rows(0, 1000), featurestore.PublishOptions{}, nil)
	check(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	var readers, writers sync.WaitGroup
	stop := make(chan struct{})
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			var n, low, high int
			if err := e.admin.QueryRow(ctx, "select count(*), min(v), max(v) from "+view).Scan(&n, &low, &high); err != nil || n != 1000 || low != high {
				t.Errorf("read %d rows of versions %d to %d, %v", n, low, high, err)
				return
			}
		}
	})
	for w := range 3 {
		writers.Go(func() {
			for i := range 4 {
				if _, err := e.Publish(ctx, target, rows(10*w+i, 1000), featurestore.PublishOptions{}, nil); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(stop)
	readers.Wait()
}
