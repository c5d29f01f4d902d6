package lake

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/flowehr/flowehr/internal/lake/delta"
	"github.com/flowehr/flowehr/internal/lake/sqltext"
)

// session is one engine for one operation, locked before anything of a user runs in it:
//
//   - it reads and writes only below the zones, and the input files that it was opened with,
//   - it loads no extension and has no network,
//   - its settings cannot be changed any more.
//
// What a user wrote is checked before it comes here (see script.go): it sees tables only as views that the session
// makes, never as files.
type session struct {
	lake *Lake
	db   *sql.DB
	conn *sql.Conn
	temp string
	// release gives the session's share of the memory back.
	release func()
	// views are the tables that the session has a view of, with the snapshot that the view shows.
	views map[Name]*delta.Snapshot
}

// sessionKind is what a session is for.
type sessionKind struct {
	// writes tells that the session makes files of a table. It then waits for its share of the memory.
	writes bool
	// ordered keeps rows in the order of their source; without it the engine is faster and needs less memory.
	ordered bool
	// inputs are files that the session may read besides the tables.
	inputs []string
}

// open starts a session.
func (l *Lake) open(ctx context.Context, kind sessionKind) (*session, error) {
	l.mu.Lock()
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return nil, errors.New("lake is closed")
	}
	s := &session{lake: l, views: map[Name]*delta.Snapshot{}, release: func() {}}
	memoryMB := l.memory.reading()
	var err error
	if kind.writes {
		if memoryMB, s.release, err = l.memory.writing(ctx); err != nil {
			return nil, err
		}
	}
	if s.temp, err = os.MkdirTemp(l.temp, "session-"); err != nil {
		s.release()
		return nil, diskError(err)
	}
	if s.db, err = openEngine(); err != nil {
		s.close()
		return nil, err
	}
	if s.conn, err = s.db.Conn(ctx); err != nil {
		s.close()
		return nil, err
	}
	dirs := []string{s.temp}
	for _, z := range l.Zones() {
		dirs = append(dirs, filepath.Join(l.dir, z))
	}
	setup := []string{
		"SET GLOBAL TimeZone = 'UTC'",
		fmt.Sprintf("SET memory_limit = '%dMB'", memoryMB),
		"SET temp_directory = " + quoteText(filepath.Join(s.temp, "spill")),
		fmt.Sprintf("SET threads = %d", threads(l.opts.Threads, memoryMB)),
		"SET preserve_insertion_order = " + fmt.Sprint(kind.ordered),
		"SET autoinstall_known_extensions = false",
		"SET autoload_known_extensions = false",
		"SET allow_community_extensions = false",
		"SET allowed_directories = " + quoteTexts(dirs),
		"SET allowed_paths = " + quoteTexts(kind.inputs),
	}
	for _, z := range l.Zones() {
		setup = append(setup, "CREATE SCHEMA "+quoteName(z))
	}
	setup = append(setup, "SET enable_external_access = false", "SET lock_configuration = true")
	// One call for all: each on its own would cost a round of parsing and planning.
	if err := s.exec(ctx, strings.Join(setup, ";\n")); err != nil {
		s.close()
		return nil, fmt.Errorf("set up the lake engine: %w", err)
	}
	return s, nil
}

func (s *session) close() {
	if s.conn != nil {
		s.conn.Close()
	}
	if s.db != nil {
		s.db.Close()
	}
	os.RemoveAll(s.temp)
	s.release()
}

func (s *session) exec(ctx context.Context, text string, args ...any) error {
	_, err := s.conn.ExecContext(ctx, text, args...)
	return engineError(ctx, err)
}

// bind readies the session for a user's text: it makes the parameters available to every statement, as variables of
// the engine, and adds the functions of Spark SQL that the engine lacks.
func (s *session) bind(ctx context.Context, params []Param) error {
	if err := s.addMacros(ctx); err != nil {
		return err
	}
	for _, p := range params {
		if err := sqltext.CheckParam(p.Name); err != nil {
			return err
		}
		if err := s.exec(ctx, "SET VARIABLE "+quoteName(sqltext.Variable(p.Name))+" = ?", p.Value); err != nil {
			return fmt.Errorf("parameter %s: %w", p.Name, err)
		}
	}
	return nil
}

// show makes or refreshes the views of names and of all tables shown before, so that one statement sees one snapshot of
// each. A name that is no table is skipped: the statement's own error says it better.
func (s *session) show(ctx context.Context, names []Name) error {
	for _, n := range names {
		if _, ok := s.views[n]; !ok {
			s.views[n] = nil
		}
	}
	for n, shown := range s.views {
		snap, err := s.lake.snapshot(ctx, n)
		if errors.Is(err, ErrNotFound) {
			delete(s.views, n)
			if shown != nil {
				if err := s.exec(ctx, "DROP VIEW IF EXISTS "+quoteTable(n)); err != nil {
					return err
				}
			}
			continue
		}
		if err != nil {
			return err
		}
		if snap == shown {
			continue
		}
		text, err := selectSnapshot(s.lake.Dir(n), snap)
		if err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		if err := s.exec(ctx, "CREATE OR REPLACE VIEW "+quoteTable(n)+" AS "+text); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		s.views[n] = snap
	}
	return nil
}

func quoteTable(n Name) string { return quoteName(n.Zone) + "." + quoteName(n.Table) }

// describe returns the columns of a query, with the engine's types.
func (s *session) describe(ctx context.Context, query string) ([]Column, error) {
	rows, err := s.conn.QueryContext(ctx, "SELECT column_name, column_type FROM (DESCRIBE "+query+")")
	if err != nil {
		return nil, engineError(ctx, err)
	}
	defer rows.Close()
	var out []Column
	for rows.Next() {
		var c Column
		if err := rows.Scan(&c.Name, &c.Type); err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, engineError(ctx, rows.Err())
}

// selectSnapshot is a query over exactly the files of a snapshot.
func selectSnapshot(dir string, s *delta.Snapshot) (string, error) {
	if len(s.Schema.Fields) == 0 {
		return "", errors.New("the table has no columns")
	}
	partition := map[string]bool{}
	for _, p := range s.Metadata.PartitionColumns {
		partition[p] = true
	}
	// Files of the same partition are read together: a query for each file would be long.
	groups := map[string]*fileGroup{}
	var order []*fileGroup
	for _, f := range s.Files() {
		path, err := f.Local(dir)
		if err != nil {
			return "", err
		}
		key := ""
		for _, p := range s.Metadata.PartitionColumns {
			if v := f.PartitionValues[p]; v != nil {
				key += quoteText(*v)
			}
			key += ","
		}
		g := groups[key]
		if g == nil {
			g = &fileGroup{values: f.PartitionValues}
			groups[key] = g
			order = append(order, g)
		}
		g.paths = append(g.paths, path)
	}
	if len(order) == 0 {
		order = append(order, &fileGroup{})
	}
	parts := make([]string, len(order))
	for i, g := range order {
		parts[i] = g.query(s.Schema, partition)
	}
	return strings.Join(parts, " UNION ALL "), nil
}

// fileGroup is the files of one partition.
type fileGroup struct {
	paths  []string
	values map[string]*string
}

func (g *fileGroup) query(schema delta.Schema, partition map[string]bool) string {
	cols := make([]string, len(schema.Fields))
	for i, f := range schema.Fields {
		typ, known := readType(f.Type)
		switch v := g.values[f.Name]; {
		case partition[f.Name] && v != nil && *v != "" && known:
			cols[i] = "CAST(" + quoteText(*v) + " AS " + typ + ") AS " + quoteName(f.Name)
		case (partition[f.Name] || len(g.paths) == 0) && known:
			cols[i] = "CAST(NULL AS " + typ + ") AS " + quoteName(f.Name)
		case len(g.paths) == 0:
			cols[i] = "CAST(NULL AS JSON) AS " + quoteName(f.Name)
		default:
			cols[i] = quoteName(f.Name)
		}
	}
	list := strings.Join(cols, ", ")
	if len(g.paths) == 0 {
		return "SELECT " + list + " WHERE false"
	}
	return "SELECT " + list + " FROM read_parquet(" + quoteTexts(g.paths) + ", union_by_name = true, hive_partitioning = false)"
}
