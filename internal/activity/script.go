package activity

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
)

// scriptActivity runs statements, and checks assertions about tables of the lake after them.
//
// On the lake a script may write; each of its statements is a commit that a second run skips. Databases and the feature
// store are only read: there a NonQuery is refused. Parameters are bound: by name (@name or :name) on the lake and on
// SQL Server, in their order ($1, ?) on PostgreSQL and MySQL.
type scriptActivity struct{ deps Deps }

// scriptBlock is one entry of typeProperties.scripts.
type scriptBlock struct {
	text   string
	query  bool
	params []lake.Param
}

// blockTimeout is how long each entry of typeProperties.scripts may take.
const blockTimeout = "scriptBlockExecutionTimeout"

// Limits of what a Script or Lookup returns.
const (
	maxRows  = 5000
	maxBytes = 4 << 20
)

// scriptRun gathers what the blocks of a script leave.
type scriptRun struct {
	sets      []expr.Value
	affected  int64
	bytes     int
	truncated bool
	tables    []engine.Table
	rows      int64
}

// Run runs the statements in order and then checks all assertions.
func (s scriptActivity) Run(ctx context.Context, call engine.Call) (engine.Result, error) {
	if call.LinkedService == nil {
		return engine.Result{}, refuse(CodeInvalid, "a Script names a linked service")
	}
	service := call.LinkedService.Name
	p := read("Script", call.Properties)
	blocks, err := readScripts(p.list("scripts"))
	if err != nil {
		return engine.Result{}, err
	}
	assertions, err := readAssertions(p.list("assertions"))
	if err != nil {
		return engine.Result{}, err
	}
	_, cancel, err := p.limited(ctx, blockTimeout) // Each block has its own limit; here it is only read.
	if err != nil {
		return engine.Result{}, err
	}
	cancel()
	if err := p.rest("logSettings", "returnMultistatementResult"); err != nil {
		return engine.Result{}, err
	}
	if len(blocks)+len(assertions) == 0 {
		return engine.Result{}, refuse(CodeInvalid, "a Script has scripts or assertions")
	}
	if len(assertions) > 0 && service != LakeService {
		return engine.Result{}, refuse(CodeUnsupported, "assertions are about tables of the lake; the Script is on %q", service)
	}
	run := &scriptRun{}
	if service == LakeService {
		err = s.onLake(ctx, call, blocks, run)
	} else {
		err = s.onDatabase(ctx, service, call, blocks, run)
	}
	if err != nil {
		return engine.Result{}, err
	}
	result := engine.Result{Output: run.output(), Rows: run.rows, Tables: run.tables}
	if len(assertions) > 0 {
		checked, err := s.check(ctx, call, assertions, result.Output)
		for _, t := range checked {
			if !slices.ContainsFunc(result.Tables, func(known engine.Table) bool { return known.Name == t.Name }) {
				result.Tables = append(result.Tables, t)
			}
		}
		if err != nil {
			return engine.Result{}, err
		}
	}
	return result, nil
}

func readScripts(list []expr.Value) ([]scriptBlock, error) {
	var blocks []scriptBlock
	for i, v := range list {
		o, ok := v.(*expr.Object)
		if !ok {
			return nil, refuse(CodeInvalid, "script %d must be an object", i+1)
		}
		p := read(fmt.Sprintf("script %d", i+1), o)
		b := scriptBlock{text: p.text("text")}
		switch kind := p.text("type"); {
		case strings.EqualFold(kind, "Query"):
			b.query = true
		case strings.EqualFold(kind, "NonQuery"):
		default:
			return nil, refuse(CodeInvalid, "%s: type %q is not Query or NonQuery", p.where, kind)
		}
		for _, v := range p.list("parameters") {
			param, err := readParam(p.where, v)
			if err != nil {
				return nil, err
			}
			b.params = append(b.params, param)
		}
		if err := p.rest(); err != nil {
			return nil, err
		}
		if strings.TrimSpace(b.text) == "" {
			return nil, refuse(CodeInvalid, "%s has no text", p.where)
		}
		blocks = append(blocks, b)
	}
	return blocks, nil
}

func readParam(where string, v expr.Value) (lake.Param, error) {
	o, ok := v.(*expr.Object)
	if !ok {
		return lake.Param{}, refuse(CodeInvalid, "%s: a parameter must be an object", where)
	}
	p := read(where+": parameter", o)
	out := lake.Param{Name: p.text("name"), Value: p.value("value")}
	kind := p.text("type")
	if d := p.text("direction"); d != "" && !strings.EqualFold(d, "Input") {
		return lake.Param{}, refuse(CodeUnsupported, "%s: parameter %q of direction %s is not supported here", where, out.Name, d)
	}
	if err := p.rest("size"); err != nil {
		return lake.Param{}, err
	}
	var why string
	if out.Value, why = typedParam(out.Value, kind); why != "" {
		return lake.Param{}, refuse(CodeInvalid, "%s: parameter %q of type %s is %s", where, out.Name, kind, why)
	}
	return out, nil
}

// typedParam gives a parameter the type that it is declared with. Values that people pass are often text.
func typedParam(v expr.Value, kind string) (any, string) {
	if v == nil {
		return nil, ""
	}
	holder := expr.NewObject()
	holder.Set("value", v)
	p := read("", holder)
	switch kind {
	case "Int16", "Int32", "Int64":
		n, _ := p.integer("value")
		if p.err != nil {
			return nil, "no whole number"
		}
		return n, ""
	case "Boolean":
		b := p.flag("value", false)
		if p.err != nil {
			return nil, "neither true nor false"
		}
		return b, ""
	case "Datetime", "DateTime", "DateTimeOffset", "Datetimeoffset":
		t, err := readTime(p, "value")
		if err != nil || t.IsZero() {
			return nil, "no time"
		}
		return t, ""
	case "Double", "Single", "Decimal":
		switch v.(type) {
		case int64, float64, string:
			return v, ""
		}
		return nil, "no number"
	case "", "String", "Guid", "Timespan":
		switch v.(type) {
		case []expr.Value, *expr.Object:
			return string(expr.EncodeJSON(v)), ""
		}
		return v, ""
	}
	return nil, "not a type that is supported here"
}

// onLake runs every block as a script of the lake. Blocks have keys of their own, so that each is skipped on its own.
func (s scriptActivity) onLake(ctx context.Context, call engine.Call, blocks []scriptBlock, run *scriptRun) error {
	for i, b := range blocks {
		commit := lake.Commit{
			Key:       fmt.Sprintf("%s#%d", call.Key(), i+1),
			Operation: "SCRIPT", Pipeline: call.Pipeline, RunID: call.RunID, By: call.By,
		}
		block, cancel, err := read(fmt.Sprintf("script %d", i+1), call.Properties).limited(ctx, blockTimeout)
		if err != nil {
			return err
		}
		res, err := s.deps.Lake.Script(block, b.text, commit, func(line string) { call.Log("%s", line) }, b.params...)
		late := context.Cause(block)
		cancel()
		switch {
		case err != nil && late != nil:
			return late
		case err != nil:
			return explainQuery(err, fmt.Sprintf("script %d", i+1))
		}
		for _, set := range res.ResultSets {
			if b.query {
				run.addSet(set.Columns, set.Rows, set.Truncated)
			}
		}
		run.affected += res.RecordsAffected
		for _, t := range res.Tables {
			run.touch(t)
		}
	}
	return nil
}

// onDatabase runs queries on a data source or on the feature store.
func (s scriptActivity) onDatabase(ctx context.Context, service string, call engine.Call, blocks []scriptBlock, run *scriptRun) error {
	source, err := s.deps.source(ctx, service)
	if err != nil {
		return err
	}
	if source.Kind == flowehr.SourceFolder {
		return refuse(CodeInvalid, "%q is a folder; a Script runs on a database or on the lake", service)
	}
	for i, b := range blocks {
		if !b.query {
			return refuse(CodeUnsupported, "script %d: a NonQuery on %q is refused, because it is only read; write to the lake and publish with a Copy", i+1, service)
		}
	}
	db, err := connect.Open(ctx, source.Database)
	if err != nil {
		return explainSource(err, "cannot run a script")
	}
	defer db.Close()
	for i, b := range blocks {
		block, cancel, err := read(fmt.Sprintf("script %d", i+1), call.Properties).limited(ctx, blockTimeout)
		if err != nil {
			return err
		}
		err = run.addQuery(block, db, b.text, b.args(source.Kind)...)
		late := context.Cause(block)
		cancel()
		switch {
		case err != nil && late != nil:
			return late
		case err != nil:
			return explainSource(err, fmt.Sprintf("script %d", i+1))
		}
	}
	return nil
}

// args are the parameters as the dialect binds them.
func (b scriptBlock) args(kind flowehr.SourceKind) []any {
	var out []any
	for _, p := range b.params {
		if kind == flowehr.SourceSQLServer {
			out = append(out, sql.Named(strings.TrimPrefix(p.Name, "@"), p.Value))
			continue
		}
		out = append(out, p.Value)
	}
	return out
}

// addQuery keeps what one query of a database gives.
func (r *scriptRun) addQuery(ctx context.Context, db connect.Database, text string, args ...any) error {
	rows, err := db.Query(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	var out [][]any
	for len(out) <= maxRows {
		row := make([]any, len(rows.Columns()))
		more, err := rows.Next(row)
		if err != nil {
			return err
		}
		if !more {
			break
		}
		out = append(out, row)
	}
	truncated := len(out) > maxRows
	if truncated {
		out = out[:maxRows]
	}
	var columns []lake.Column
	for _, c := range rows.Columns() {
		columns = append(columns, lake.Column{Name: c.Name, Type: c.Type})
	}
	r.addSet(columns, out, truncated)
	return nil
}

// addSet keeps a result until the limit of size is reached; from there on it is cut off and marked so.
func (r *scriptRun) addSet(columns []lake.Column, rows [][]any, truncated bool) {
	list := []expr.Value{}
	for _, row := range rows {
		o, n := rowObject(columns, row)
		if r.bytes += n; r.bytes > maxBytes {
			truncated = true
			break
		}
		list = append(list, o)
	}
	r.truncated = r.truncated || truncated
	set := expr.NewObject()
	set.Set("rowCount", int64(len(list)))
	set.Set("rows", list)
	r.sets = append(r.sets, set)
}

// touch keeps what a block did with a table of the lake: an entry for each table and use, over all blocks.
func (r *scriptRun) touch(t lake.Touched) {
	use := engine.Table{Name: "lake:" + t.Name.String(), Written: t.Use != lake.Read, Rows: t.Rows, Version: t.Version}
	if use.Written {
		r.rows += t.Rows
	}
	for i, old := range r.tables {
		switch {
		case old.Name != use.Name:
		case old.Written == use.Written:
			if use.Written {
				use.Rows += old.Rows
			}
			r.tables[i] = use
			return
		case old.Written:
			return // Its rows were made by an earlier block.
		}
	}
	r.tables = append(r.tables, use)
}

// output has the keys of Data Factory.
func (r *scriptRun) output() *expr.Object {
	o := expr.NewObject()
	o.Set("resultSetCount", int64(len(r.sets)))
	o.Set("recordsAffected", r.affected)
	o.Set("resultSets", append([]expr.Value{}, r.sets...))
	o.Set("outputParameters", expr.NewObject())
	o.Set("outputLogs", "")
	o.Set("outputLogsLocation", "")
	o.Set("outputTruncated", r.truncated)
	o.Set("effectiveIntegrationRuntime", localRuntime)
	return o
}

// rowObject makes an object of a row and says about how long its JSON is.
func rowObject(columns []lake.Column, row []any) (*expr.Object, int) {
	o := expr.NewObject()
	n := 2
	for i, c := range columns {
		v := jsonValue(row[i], c.Type)
		o.Set(c.Name, v)
		n += len(c.Name) + 6
		switch v := v.(type) {
		case string:
			n += len(v)
		case nil, bool:
			n += 4
		default:
			n += 8
		}
	}
	return o, n
}
