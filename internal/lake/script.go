package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/lake/sqltext"
)

// ScriptResult tells what the statements of a script did.
type ScriptResult struct {
	// ResultSets are the rows of each SELECT, in order, at most [maxScriptRows] of each.
	ResultSets []Result
	// RecordsAffected is the number of rows that were written or deleted.
	RecordsAffected int64
	// Tables are the tables that were read, written or dropped, in order of the first time.
	Tables []Touched
}

// Use is what a script did with a table.
type Use int

// The uses.
const (
	Read Use = iota
	Wrote
	Dropped
)

// Touched is a table that a script used. A table may be read and written; one that the script itself made before is
// not reported as read, as its rows come from what was.
type Touched struct {
	Name    Name
	Use     Use
	Rows    int64 // rows written; of a read table all that it had, or -1 when another writer did not record it
	Version int64 // that was written or read; -1 of a dropped table
}

// maxScriptRows bounds what one SELECT of a script returns; more is cut off and marked so.
const maxScriptRows = 5000

// rewriteTries bounds how often a statement that rewrites a table starts again because somebody else wrote to it.
const rewriteTries = 10

// Script runs a series of statements, in the dialect that Spark SQL and DuckDB share: CREATE TABLE (with columns or AS
// SELECT, OR REPLACE or IF NOT EXISTS), INSERT INTO, INSERT OVERWRITE, DELETE FROM, DROP TABLE, CREATE TEMPORARY VIEW,
// SELECT and WITH. Everything else is [ErrRefused]. All statements are checked before the first one runs.
//
// Each statement that writes is a commit of its own. With a key in c its number is appended, so that a script that is
// run again after a crash skips the writes that it did.
func (l *Lake) Script(ctx context.Context, text string, c Commit, log func(string), params ...Param) (ScriptResult, error) {
	stmts, err := parseScript(text)
	if err != nil {
		return ScriptResult{}, err
	}
	s, err := l.open(ctx, sessionKind{writes: true, ordered: true})
	if err != nil {
		return ScriptResult{}, err
	}
	defer s.close()
	if err := s.bind(ctx, params); err != nil {
		return ScriptResult{}, err
	}
	if log == nil {
		log = func(string) {}
	}
	r := runner{lake: l, s: s, commit: c, log: log}
	for _, p := range params {
		r.params = append(r.params, p.Name)
	}
	for i, st := range stmts {
		r.number = i + 1
		if err := r.run(ctx, st); err != nil {
			return r.result, fmt.Errorf("statement %d (line %d, %s): %w", i+1, st.line, st.kind, err)
		}
	}
	return r.result, nil
}

// runner runs the statements of one script.
type runner struct {
	lake   *Lake
	s      *session
	params []string
	commit Commit
	log    func(string)
	number int
	result ScriptResult
}

func (r *runner) run(ctx context.Context, st statement) error {
	body, err := sqltext.Render(st.body, r.params)
	if err != nil {
		return err
	}
	if err := r.s.show(ctx, r.lake.tables(st.tokens)); err != nil {
		return err
	}
	r.readFrom(st)
	switch st.kind {
	case kindSelect:
		res, err := r.s.query(ctx, body, maxScriptRows)
		if err != nil {
			return err
		}
		r.result.ResultSets = append(r.result.ResultSets, res)
		r.log(fmt.Sprintf("statement %d: %d rows", r.number, len(res.Rows)))
		return nil
	case kindView:
		return r.s.exec(ctx, "CREATE OR REPLACE TEMPORARY VIEW "+quoteName(st.view)+" AS "+body)
	case kindDrop:
		return r.drop(ctx, st)
	case kindDelete:
		return r.delete(ctx, st, body)
	case kindColumns:
		return r.createEmpty(ctx, st)
	case kindCreate, kindInsert, kindOverwrite:
		return r.write(ctx, st, body)
	}
	return fmt.Errorf("%w: %s", ErrRefused, st.kind)
}

// step is the commit of the current statement.
func (r *runner) step(operation string) Commit {
	c := r.commit
	if c.Key != "" {
		c.Key = fmt.Sprintf("%s/%d", c.Key, r.number)
	}
	if c.Operation == "" {
		c.Operation = operation
	}
	return c
}

func (r *runner) write(ctx context.Context, st statement, body string) error {
	n, c := st.target, r.step(strings.ToUpper(string(st.kind)))
	if !r.lake.hasZone(n.Zone) {
		return fmt.Errorf("%s: %w: there is no zone %q", n, ErrNotFound, n.Zone)
	}
	if w, ok, err := r.lake.repeated(ctx, n, c.Key); ok || err != nil {
		r.touch(n, w)
		return err
	}
	snap, err := r.lake.snapshot(ctx, n)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	exists := err == nil
	mode := Overwrite
	switch {
	case st.kind == kindCreate && exists && st.ifNotExists:
		r.log(fmt.Sprintf("statement %d: %s exists already", r.number, n))
		return nil
	case st.kind == kindCreate && exists && !st.orReplace:
		return fmt.Errorf("%s exists: write CREATE OR REPLACE TABLE, or INSERT INTO", n)
	case st.kind != kindCreate && !exists:
		return err
	}
	var w Written
	if st.kind == kindCreate {
		w, err = r.put(ctx, n, body, change{mode: mode, commit: c}, false)
	} else {
		// Values go to columns by position, as in SQL everywhere; stage matches by name.
		cols := columns(snap.Schema)
		if len(st.columns) > 0 {
			if cols, err = pick(cols, st.columns); err != nil {
				return err
			}
		}
		if body, err = r.s.rename(ctx, body, cols); err != nil {
			return err
		}
		if st.kind == kindInsert {
			mode = Append
		}
		w, err = r.put(ctx, n, body, change{mode: mode, commit: c}, true)
	}
	if err != nil {
		return err
	}
	r.touch(n, w)
	return nil
}

// put stages the rows of a query and commits them. keep makes them fit the table's columns.
func (r *runner) put(ctx context.Context, n Name, query string, ch change, keep bool) (Written, error) {
	st, err := func() (*staged, error) {
		if !keep {
			return r.lake.stage(ctx, r.s, n, query, nil)
		}
		snap, err := r.lake.snapshot(ctx, n)
		if err != nil {
			return nil, err
		}
		return r.lake.stage(ctx, r.s, n, query, &snap.Schema)
	}()
	if err != nil {
		return Written{}, err
	}
	return r.lake.commit(ctx, n, st, ch)
}

// delete rewrites the table without the rows that the condition is true for. When somebody else writes meanwhile it
// starts again from what is there then.
func (r *runner) delete(ctx context.Context, st statement, condition string) error {
	n, c := st.target, r.step("DELETE")
	if w, ok, err := r.lake.repeated(ctx, n, c.Key); ok || err != nil {
		r.touch(n, w)
		return err
	}
	if condition == "" {
		condition = "true"
	}
	for range rewriteTries {
		if err := r.s.show(ctx, nil); err != nil {
			return err
		}
		snap := r.s.views[n]
		if snap == nil {
			return fmt.Errorf("%s: %w", n, ErrNotFound)
		}
		from := " FROM " + quoteTable(n)
		if st.view != "" {
			from += " AS " + quoteName(st.view)
		}
		var gone int64
		row := r.s.conn.QueryRowContext(ctx, "SELECT count(*)"+from+" WHERE "+condition)
		if err := row.Scan(&gone); err != nil {
			return engineError(ctx, err)
		}
		if gone == 0 {
			r.log(fmt.Sprintf("statement %d: no row of %s to delete", r.number, n))
			return nil
		}
		query := "SELECT *" + from + " WHERE (" + condition + ") IS NOT TRUE"
		w, err := r.put(ctx, n, query, change{mode: Overwrite, commit: c, gone: gone, base: &snap.Version}, true)
		if errors.Is(err, errMoved) {
			continue
		}
		if err != nil {
			return err
		}
		w.Rows = gone
		r.touch(n, w)
		return nil
	}
	return fmt.Errorf("%s: %w, %d times in a row", n, errMoved, rewriteTries)
}

func (r *runner) createEmpty(ctx context.Context, st statement) error {
	n := st.target
	_, err := r.lake.snapshot(ctx, n)
	switch {
	case err == nil && st.ifNotExists:
		return nil
	case err == nil && !st.orReplace:
		c := r.step("CREATE TABLE")
		if w, ok, err := r.lake.repeated(ctx, n, c.Key); ok || err != nil {
			r.touch(n, w)
			return err
		}
		return fmt.Errorf("%s exists: write CREATE TABLE IF NOT EXISTS or CREATE OR REPLACE TABLE", n)
	case err != nil && (!errors.Is(err, ErrNotFound) || !r.lake.hasZone(n.Zone)):
		return err
	}
	list := make([]string, len(st.defined))
	for i, c := range st.defined {
		typ, err := engineType(c.Type)
		if err != nil {
			return fmt.Errorf("column %s: %w", c.Name, err)
		}
		list[i] = "CAST(NULL AS " + typ + ") AS " + quoteName(c.Name)
	}
	w, err := r.put(ctx, n, "SELECT "+strings.Join(list, ", ")+" WHERE false", change{mode: Overwrite, commit: r.step("CREATE TABLE")}, false)
	if err != nil {
		return err
	}
	r.touch(n, w)
	return nil
}

func (r *runner) drop(ctx context.Context, st statement) error {
	err := r.lake.Drop(ctx, st.target, r.step("DROP TABLE"))
	if errors.Is(err, ErrNotFound) && st.ifNotExists {
		return nil
	}
	if err != nil {
		return err
	}
	r.log(fmt.Sprintf("statement %d: %s dropped", r.number, st.target))
	r.record(Touched{Name: st.target, Use: Dropped, Version: -1})
	return nil
}

// readFrom records the tables that the statement's query reads, as they are shown to it.
func (r *runner) readFrom(st statement) {
	for _, n := range r.lake.tables(st.body) {
		snap := r.s.views[n]
		made := slices.ContainsFunc(r.result.Tables, func(t Touched) bool { return t.Name == n && t.Use == Wrote })
		if snap == nil || made {
			continue
		}
		rows, exact := snap.Rows()
		if !exact {
			rows = -1
		}
		r.record(Touched{Name: n, Use: Read, Rows: rows, Version: snap.Version})
	}
}

// record keeps one entry for each table and use: written rows add up, and the newest version counts.
func (r *runner) record(t Touched) {
	i := slices.IndexFunc(r.result.Tables, func(o Touched) bool { return o.Name == t.Name && o.Use == t.Use })
	if i < 0 {
		r.result.Tables = append(r.result.Tables, t)
		return
	}
	if t.Use == Wrote {
		t.Rows += r.result.Tables[i].Rows
	}
	r.result.Tables[i] = t
}

// touch records what a write did.
func (r *runner) touch(n Name, w Written) {
	if w == (Written{}) {
		return
	}
	if w.Repeated {
		r.log(fmt.Sprintf("statement %d: %s was written before, as version %d", r.number, n, w.Version))
	} else {
		r.log(fmt.Sprintf("statement %d: %d rows, %s is at version %d", r.number, w.Rows, n, w.Version))
	}
	r.result.RecordsAffected += w.Rows
	r.record(Touched{Name: n, Use: Wrote, Rows: w.Rows, Version: w.Version})
}

// rename gives the columns of a query the names of cols, by position.
func (s *session) rename(ctx context.Context, query string, cols []Column) (string, error) {
	have, err := s.describe(ctx, query)
	if err != nil {
		return "", err
	}
	if len(have) != len(cols) {
		return "", fmt.Errorf("the table takes %d columns, the statement gives %d", len(cols), len(have))
	}
	names := make([]string, len(cols))
	for i, c := range cols {
		names[i] = quoteName(c.Name)
	}
	return "SELECT * FROM (" + query + ") AS given(" + strings.Join(names, ", ") + ")", nil
}

func pick(cols []Column, names []string) ([]Column, error) {
	out := make([]Column, len(names))
	for i, name := range names {
		j := slices.IndexFunc(cols, func(c Column) bool { return strings.EqualFold(c.Name, name) })
		if j < 0 {
			return nil, fmt.Errorf("the table has no column %s", name)
		}
		out[i] = cols[j]
	}
	return out, nil
}

// tables returns the names in tokens that can be tables of the lake.
func (l *Lake) tables(tokens []sqltext.Token) []Name {
	var out []Name
	for _, ref := range sqltext.Refs(tokens) {
		n := Name{Zone: ref.First, Table: ref.Second}
		if n.check() == nil && l.hasZone(n.Zone) {
			out = append(out, n)
		}
	}
	return out
}
