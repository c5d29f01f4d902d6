package lake

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/lake/sqltext"
)

// kind is what a statement does, in the words that messages use.
type kind string

const (
	kindSelect    kind = "select"
	kindCreate    kind = "create table as select"
	kindColumns   kind = "create table"
	kindInsert    kind = "insert into"
	kindOverwrite kind = "insert overwrite"
	kindDelete    kind = "delete"
	kindDrop      kind = "drop table"
	kindView      kind = "create temporary view"
)

// statement is one checked statement.
type statement struct {
	kind        kind
	line        int
	target      Name
	view        string // temporary view's name, or the alias of a DELETE's table
	ifNotExists bool   // or IF EXISTS of a DROP
	orReplace   bool
	columns     []string // of INSERT INTO t (columns)
	defined     []Column // of CREATE TABLE t (columns)
	body        []sqltext.Token
	tokens      []sqltext.Token
}

// parseScript takes a script apart and checks every statement.
func parseScript(text string) ([]statement, error) {
	parts, err := sqltext.Split(text)
	if err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("%w: there is no statement", ErrRefused)
	}
	out := make([]statement, len(parts))
	for i, p := range parts {
		st, err := parseStatement(p)
		if err == nil {
			err = checkSources(p.Tokens)
		}
		if err != nil {
			return nil, fmt.Errorf("statement %d (line %d): %w", i+1, p.Line, err)
		}
		out[i] = st
	}
	return out, nil
}

// advice says what to do instead of statements that people try.
var advice = map[string]string{
	"update":   "write INSERT OVERWRITE t SELECT ... with CASE WHEN for the changed column",
	"merge":    "write CREATE OR REPLACE TABLE t AS SELECT ... from a join of old and new rows",
	"truncate": "write DELETE FROM t",
	"alter":    "write CREATE OR REPLACE TABLE t AS SELECT ... with the columns that you want",
	"copy":     "use a Copy activity to read or write files",
	"export":   "use a Copy activity to write files",
	"import":   "use a Copy activity to read files",
	"attach":   "use a Copy activity to bring another database's rows into the lake",
	"use":      "write every table as zone.table",
	"set":      "pass a parameter and write it as @name",
	"load":     "extensions are not available; use the functions that are built in",
	"install":  "extensions are not available; use the functions that are built in",
	"pragma":   "settings are the environment's, not a script's",
	"optimize": "write CREATE OR REPLACE TABLE t AS SELECT * FROM t",
	"vacuum":   "old files are cleaned up by the environment, not by a script",
	"describe": "look at the table in the portal, or SELECT ... LIMIT 0",
	"show":     "look at the catalogue in the portal",
}

func refuse(what, instead string) error {
	if instead == "" {
		instead = "CREATE TABLE AS, INSERT INTO, INSERT OVERWRITE, DELETE FROM, DROP TABLE, CREATE TEMPORARY VIEW and SELECT are what the lake runs"
	}
	return fmt.Errorf("%w: %s: %s", ErrRefused, strings.ToUpper(what), instead)
}

func parseStatement(p sqltext.Statement) (statement, error) {
	c := &cursor{tokens: p.Tokens}
	st := statement{line: p.Line, tokens: p.Tokens}
	var err error
	switch {
	case c.at("select"), c.at("with"), c.at("values"), c.at("("):
		st.kind, st.body = kindSelect, p.Tokens
		err = checkWith(p.Tokens)
	case c.skip("create"):
		err = st.parseCreate(c)
	case c.skip("insert"):
		err = st.parseInsert(c)
	case c.skip("delete"):
		err = st.parseDelete(c)
	case c.skip("drop"):
		err = st.parseDrop(c)
	default:
		word := p.Tokens[0].Value
		return st, refuse(word, advice[word])
	}
	return st, err
}

// checkWith refuses a WITH that ends in something else than a SELECT.
func checkWith(tokens []sqltext.Token) error {
	depth := 0
	for _, t := range tokens {
		switch {
		case t.Is("("):
			depth++
		case t.Is(")"):
			depth--
		case depth == 0 && (t.Is("insert") || t.Is("update") || t.Is("delete") || t.Is("merge")):
			return refuse("with ... "+t.Value, "write INSERT INTO t WITH ... SELECT")
		}
	}
	return nil
}

func (st *statement) parseCreate(c *cursor) error {
	if c.skip("or") {
		if !c.skip("replace") {
			return c.want("REPLACE")
		}
		st.orReplace = true
	}
	if c.skip("temporary") || c.skip("temp") {
		return st.parseView(c)
	}
	if !c.skip("table") {
		what := "create " + c.peek().Value
		switch c.peek().Value {
		case "view":
			return refuse(what, "write CREATE OR REPLACE TEMPORARY VIEW, or a table")
		case "schema", "database":
			return refuse(what, "zones are named in the definition")
		}
		return refuse(what, "")
	}
	if c.skip("if") {
		if !c.skip("not") || !c.skip("exists") {
			return c.want("NOT EXISTS")
		}
		st.ifNotExists = true
	}
	if err := st.parseTarget(c); err != nil {
		return err
	}
	if c.at("(") {
		return st.parseColumns(c)
	}
	if err := c.using(); err != nil {
		return err
	}
	if !c.skip("as") {
		for _, w := range []string{"partitioned", "location", "tblproperties", "cluster", "options", "comment"} {
			if c.at(w) {
				return refuse("create table ... "+w, "leave it out: the lake decides how a table is stored")
			}
		}
		return c.want("AS SELECT, or a list of columns")
	}
	st.kind = kindCreate
	return st.parseQuery(c)
}

func (st *statement) parseView(c *cursor) error {
	if !c.skip("view") {
		return refuse("create temporary "+c.peek().Value, "write CREATE OR REPLACE TEMPORARY VIEW name AS SELECT ...")
	}
	t := c.next()
	if !t.IsName() || c.at(".") {
		return fmt.Errorf("a temporary view's name is one word, without a zone")
	}
	if err := checkPart("view", t.Folded()); err != nil {
		return err
	}
	st.kind, st.view = kindView, t.Folded()
	if !c.skip("as") {
		return c.want("AS SELECT")
	}
	return st.parseQuery(c)
}

func (st *statement) parseInsert(c *cursor) error {
	switch {
	case c.skip("into"):
		st.kind = kindInsert
	case c.skip("overwrite"):
		st.kind = kindOverwrite
	default:
		return c.want("INTO or OVERWRITE")
	}
	c.skip("table")
	if err := st.parseTarget(c); err != nil {
		return err
	}
	if c.at("partition") {
		return refuse("insert ... partition", "tables of the lake are not partitioned")
	}
	// A parenthesis opens a list of columns, unless a query is in it.
	if c.at("(") && !c.atQuery(1) {
		c.next()
		for {
			t := c.next()
			if !t.IsName() {
				return fmt.Errorf("a list of columns has names, not %q", t.Raw)
			}
			st.columns = append(st.columns, t.Value)
			if c.skip(")") {
				break
			}
			if !c.skip(",") {
				return c.want(", or )")
			}
		}
	}
	return st.parseQuery(c)
}

func (st *statement) parseDelete(c *cursor) error {
	st.kind = kindDelete
	if !c.skip("from") {
		return c.want("FROM")
	}
	if err := st.parseTarget(c); err != nil {
		return err
	}
	c.skip("as")
	if c.peek().IsName() && !c.at("where") {
		if c.at("using") {
			return refuse("delete ... using", "write WHERE ... IN (SELECT ...) or EXISTS (SELECT ...)")
		}
		st.view = c.next().Folded()
	}
	if c.done() {
		return nil
	}
	if !c.skip("where") {
		return c.want("WHERE")
	}
	st.body = c.rest()
	if len(st.body) == 0 {
		return c.want("a condition")
	}
	return balanced(st.body)
}

func (st *statement) parseDrop(c *cursor) error {
	st.kind = kindDrop
	if !c.skip("table") {
		return refuse("drop "+c.peek().Value, "only tables are dropped; a temporary view ends with its script")
	}
	if c.skip("if") {
		if !c.skip("exists") {
			return c.want("EXISTS")
		}
		st.ifNotExists = true
	}
	if err := st.parseTarget(c); err != nil {
		return err
	}
	if !c.done() {
		return c.want("the end of the statement")
	}
	return nil
}

func (st *statement) parseTarget(c *cursor) error {
	zone := c.next()
	if !zone.IsName() {
		return c.want("a table as zone.table")
	}
	if !c.skip(".") {
		return fmt.Errorf("table %s: want zone.table", zone.Raw)
	}
	table := c.next()
	if !table.IsName() || c.at(".") {
		return fmt.Errorf("table %s.%s: want zone.table", zone.Raw, table.Raw)
	}
	st.target = Name{Zone: zone.Folded(), Table: table.Folded()}
	return st.target.check()
}

// parseColumns reads (name type [NOT NULL] [COMMENT 'text'], ...).
func (st *statement) parseColumns(c *cursor) error {
	st.kind = kindColumns
	c.next()
	for {
		name := c.next()
		if !name.IsName() {
			return c.want("a column's name")
		}
		typ, err := c.columnType()
		if err != nil {
			return fmt.Errorf("column %s: %w", name.Raw, err)
		}
		col := Column{Name: name.Value, Type: typ, Nullable: true}
		if name.Kind == sqltext.Word {
			col.Name = name.Raw
		}
		if c.at("not") {
			return refuse("not null", "check it with an assertion in the pipeline")
		}
		if c.skip("comment") {
			col.Comment = c.next().Value
		}
		st.defined = append(st.defined, col)
		if c.skip(")") {
			break
		}
		if !c.skip(",") {
			return c.want(", or )")
		}
	}
	if err := c.using(); err != nil {
		return err
	}
	if !c.done() {
		return c.want("the end of the statement")
	}
	return nil
}

func (st *statement) parseQuery(c *cursor) error {
	if !c.atQuery(0) {
		return c.want("SELECT, WITH or VALUES")
	}
	st.body = c.rest()
	if err := checkWith(st.body); err != nil {
		return err
	}
	return balanced(st.body)
}

// balanced refuses parentheses that close what they did not open: the query is put into parentheses of ours.
func balanced(tokens []sqltext.Token) error {
	depth := 0
	for _, t := range tokens {
		if t.Is("(") {
			depth++
		}
		if t.Is(")") {
			if depth--; depth < 0 {
				return fmt.Errorf("line %d: ) without (", t.Line)
			}
		}
	}
	if depth != 0 {
		return fmt.Errorf("( without )")
	}
	return nil
}

// sqlTypes are the types that both dialects spell alike, as Delta names them.
var sqlTypes = map[string]string{
	"string": "string", "varchar": "string", "tinyint": "byte", "smallint": "short", "int": "integer", "integer": "integer",
	"bigint": "long", "long": "long", "float": "float", "real": "float", "double": "double", "boolean": "boolean", "date": "date",
	"timestamp": "timestamp", "binary": "binary", "decimal": "decimal(10,0)", "numeric": "decimal(10,0)",
}

// cursor walks over tokens.
type cursor struct {
	tokens []sqltext.Token
	i      int
}

func (c *cursor) done() bool { return c.i >= len(c.tokens) }

func (c *cursor) peek() sqltext.Token {
	if c.done() {
		return sqltext.Token{Kind: sqltext.Symbol}
	}
	return c.tokens[c.i]
}

func (c *cursor) next() sqltext.Token {
	t := c.peek()
	c.i++
	return t
}

func (c *cursor) rest() []sqltext.Token {
	if c.done() {
		return nil
	}
	return c.tokens[c.i:]
}

func (c *cursor) at(s string) bool { return c.peek().Is(s) }

func (c *cursor) skip(s string) bool {
	if !c.at(s) {
		return false
	}
	c.i++
	return true
}

// atQuery reports whether a query begins ahead tokens further on, perhaps in parentheses.
func (c *cursor) atQuery(ahead int) bool {
	for i := c.i + ahead; i < len(c.tokens); i++ {
		t := c.tokens[i]
		if t.Is("(") {
			continue
		}
		return t.Is("select") || t.Is("with") || t.Is("values")
	}
	return false
}

func (c *cursor) want(what string) error {
	if c.done() {
		return fmt.Errorf("the statement ends where %s is wanted", what)
	}
	return fmt.Errorf("line %d: %s is wanted, not %q", c.peek().Line, what, c.peek().Raw)
}

// using skips USING DELTA, which says what is so anyway.
func (c *cursor) using() error {
	if !c.skip("using") {
		return nil
	}
	if t := c.next(); !t.Is("delta") {
		return refuse("using "+t.Value, "tables of the lake are Delta tables")
	}
	return nil
}

func (c *cursor) columnType() (string, error) {
	t := c.next()
	typ, ok := sqlTypes[t.Folded()]
	if !ok {
		return "", fmt.Errorf("type %q is none of STRING, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, BOOLEAN, DATE, TIMESTAMP, BINARY, DECIMAL(p,s)", t.Raw)
	}
	if !c.skip("(") {
		return typ, nil
	}
	var args []string
	for !c.done() && !c.skip(")") {
		if t := c.next(); t.Kind == sqltext.Number {
			args = append(args, t.Raw)
		}
	}
	if !strings.HasPrefix(typ, "decimal") {
		return typ, nil // VARCHAR(20): text has no length here.
	}
	if len(args) == 1 {
		args = append(args, "0")
	}
	typ = "decimal(" + strings.Join(args, ",") + ")"
	if _, _, ok := decimal(typ); !ok {
		return "", fmt.Errorf("%s is no decimal of 1 to 38 digits", typ)
	}
	return typ, nil
}

// fileWords are the beginnings and endings of functions that reach past the tables: files, settings, other catalogues,
// or text that is run as SQL. The engine's own locks hold without this list; it gives the clearer message, and it keeps
// files of the lake itself, such as dropped versions, out of sight.
var fileWords = struct{ prefixes, suffixes, names []string }{
	prefixes: []string{"read_", "parquet_", "duckdb_", "pragma_", "sqlite_", "postgres_", "mysql_", "iceberg_", "delta_", "arrow_", "write_", "load_", "json_execute"},
	suffixes: []string{"_scan", "_scan_dumb", "_scan_pushdown"},
	names: []string{
		"glob", "sniff_csv", "query", "query_table", "getenv", "getvariable", "current_setting", "set_config", "which_secret",
		"from_substrait", "from_substrait_json", "checkpoint", "force_checkpoint", "source_rows", "enable_logging", "enable_profiling",
		"add_parquet_key", "import_database", "sql_auto_complete", "reload",
	},
}

// checkSources refuses functions of that kind, and files in the place of tables.
func checkSources(tokens []sqltext.Token) error {
	for _, t := range sqltext.Calls(tokens) {
		name := t.Folded()
		reaches := slices.Contains(fileWords.names, name) ||
			slices.ContainsFunc(fileWords.prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) ||
			slices.ContainsFunc(fileWords.suffixes, func(s string) bool { return strings.HasSuffix(name, s) })
		if reaches {
			return fmt.Errorf("%w: line %d: function %s reaches past the tables of the lake: use a Copy activity to bring data in", ErrRefused, t.Line, name)
		}
	}
	for i, t := range tokens {
		if t.Kind == sqltext.Name && strings.ContainsAny(t.Value, `/\`) {
			return fmt.Errorf("%w: line %d: %s looks like a file: tables are named zone.table", ErrRefused, t.Line, t.Raw)
		}
		if i == 0 || t.Kind != sqltext.Text {
			continue
		}
		if prev := tokens[i-1]; (prev.Is("from") || prev.Is("join")) && strings.ContainsAny(t.Value, `./\*`) {
			return fmt.Errorf("%w: line %d: %s looks like a file: tables are named zone.table", ErrRefused, t.Line, t.Raw)
		}
		if prev := tokens[i-1]; prev.IsName() && strings.HasPrefix(prev.Folded(), "duckdb_") {
			return fmt.Errorf("%w: line %d: %s", ErrRefused, t.Line, prev.Raw)
		}
	}
	return nil
}
