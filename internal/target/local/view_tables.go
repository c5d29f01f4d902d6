package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/featurestore"
	"github.com/flowehr/flowehr/internal/lake"
	"github.com/flowehr/flowehr/internal/service/portal"
)

// lakeView shows tables of the lake.
type lakeView struct{ *Host }

// Tables lists the tables of all zones.
func (v lakeView) Tables(ctx context.Context, _ portal.Person) ([]portal.TableSummary, error) {
	tables, err := v.lake.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []portal.TableSummary
	for _, t := range tables {
		out = append(out, lakeSummary(t))
	}
	return out, nil
}

func lakeSummary(t lake.Table) portal.TableSummary {
	return portal.TableSummary{Name: t.Name.String(), Group: t.Name.Zone, Project: "main", Rows: t.Rows, Bytes: t.Bytes, Columns: len(t.Columns),
		Version: t.Version, Updated: t.Updated, Run: t.Last.RunID, Pipeline: t.Last.Pipeline, Comment: t.Comment}
}

// Table shows one table.
func (v lakeView) Table(ctx context.Context, _ portal.Person, name string) (portal.Table, error) {
	n, err := lake.ParseName(name)
	if err != nil {
		return portal.Table{}, portal.ErrNotFound
	}
	t, err := v.lake.Table(ctx, n)
	if err != nil {
		return portal.Table{}, lakeNotFound(err)
	}
	history, err := v.lake.History(ctx, n)
	if err != nil {
		return portal.Table{}, err
	}
	out := portal.Table{TableSummary: lakeSummary(t), Location: v.lake.Dir(n)}
	for _, c := range t.Columns {
		out.Columns = append(out.Columns, portal.Column{Name: c.Name, Type: c.Type, Comment: c.Comment, Nullable: c.Nullable})
	}
	for _, h := range history {
		out.History = append(out.History, portal.TableVersion{Version: h.Version, At: h.At, Operation: h.Commit.Operation, By: h.Commit.By,
			Run: h.Commit.RunID, Rows: h.Rows, Bytes: h.Bytes})
	}
	if out.Checks, err = v.checks(ctx, t.Last.RunID, n.String()); err != nil {
		return out, err
	}
	out.Lineage, err = v.lineage(ctx, "lake:"+n.String())
	return out, err
}

// Preview reads some rows.
func (v lakeView) Preview(ctx context.Context, by portal.Person, name string, rows int) (portal.Preview, error) {
	n, err := lake.ParseName(name)
	if err != nil {
		return portal.Preview{}, portal.ErrNotFound
	}
	if err := v.see(ctx, by, "lake.preview", "table/lake:"+n.String()); err != nil {
		return portal.Preview{}, err
	}
	r, err := v.lake.Preview(ctx, n, rows)
	if err != nil {
		return portal.Preview{}, lakeNotFound(err)
	}
	out := portal.Preview{More: r.Truncated}
	for _, c := range r.Columns {
		out.Columns = append(out.Columns, portal.Column{Name: c.Name, Type: c.Type, Nullable: c.Nullable})
	}
	for _, row := range r.Rows {
		cells := make([]portal.Cell, len(row))
		for i, value := range row {
			cells[i] = portal.Cell{Text: cellText(value), Null: value == nil}
		}
		out.Rows = append(out.Rows, cells)
	}
	return out, nil
}

// Profile computes the profile of a table.
func (v lakeView) Profile(ctx context.Context, by portal.Person, name string) (portal.Profile, error) {
	n, err := lake.ParseName(name)
	if err != nil {
		return portal.Profile{}, portal.ErrNotFound
	}
	if err := v.see(ctx, by, "lake.profile", "table/lake:"+n.String()); err != nil {
		return portal.Profile{}, err
	}
	t, err := v.lake.Table(ctx, n)
	if err != nil {
		return portal.Profile{}, lakeNotFound(err)
	}
	columns, err := v.lake.Profile(ctx, n)
	if err != nil {
		return portal.Profile{}, lakeNotFound(err)
	}
	out := portal.Profile{Version: t.Version, Rows: t.Rows, Sampled: t.Rows}
	for _, c := range columns {
		x := portal.ColumnProfile{Name: c.Column.Name, Missing: c.Share, Distinct: c.Distinct, Min: cellText(c.Min), Max: cellText(c.Max)}
		for _, b := range c.Buckets {
			x.Buckets = append(x.Buckets, portal.Bucket{Label: cellText(b.From) + " to " + cellText(b.To), Count: b.Count})
		}
		for _, top := range c.Top {
			x.Buckets = append(x.Buckets, portal.Bucket{Label: top.Value, Count: top.Count})
		}
		out.Columns = append(out.Columns, x)
	}
	return out, nil
}

func lakeNotFound(err error) error {
	if errors.Is(err, lake.ErrNotFound) {
		return portal.ErrNotFound
	}
	return err
}

// cellText writes a value as people read it.
func cellText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case time.Time:
		if v.Equal(v.Truncate(24 * time.Hour)) {
			return v.UTC().Format(time.DateOnly)
		}
		return v.UTC().Format("2006-01-02 15:04:05")
	case float64:
		return fmt.Sprintf("%.6g", v)
	case []byte:
		return fmt.Sprintf("%d bytes", len(v))
	}
	return fmt.Sprint(v)
}

// lineage shows where a table comes from and goes: what the activities that last wrote it read, and what those that
// read it wrote. It goes one step in each direction.
func (h *Host) lineage(ctx context.Context, table string) (portal.Lineage, error) {
	store, err := h.pipelines(ctx)
	if err != nil {
		return portal.Lineage{}, err
	}
	uses, err := store.TableUses(ctx, table, 200)
	if err != nil {
		return portal.Lineage{}, err
	}
	g := lineageGraph{nodes: map[string]portal.LineageNode{}, seen: map[portal.LineageEdge]bool{}}
	g.add(table)
	done := map[string]bool{}
	for _, use := range uses {
		// Only the newest run of each activity: older ones show the same.
		key := use.Pipeline + use.Path + fmt.Sprint(use.Written)
		if done[key] {
			continue
		}
		done[key] = true
		activity, err := store.Activity(ctx, use.RunID, use.Path)
		if errors.Is(err, engine.ErrNotFound) {
			continue
		}
		if err != nil {
			return portal.Lineage{}, err
		}
		g.through(table, use, activity.Tables)
	}
	return g.result(table), nil
}

type lineageGraph struct {
	nodes map[string]portal.LineageNode
	edges []portal.LineageEdge
	seen  map[portal.LineageEdge]bool
}

// through adds an activity's pipeline between what it read and what it wrote.
func (g *lineageGraph) through(table string, use engine.TableUse, tables []engine.Table) {
	pipeline := "pipeline:" + use.Pipeline
	g.nodes[pipeline] = portal.LineageNode{ID: pipeline, Kind: "pipeline", Name: use.Pipeline, Path: "/pipelines/" + use.Pipeline}
	if use.Written {
		g.edge(pipeline, table)
		for _, t := range tables {
			if !t.Written {
				g.add(t.Name)
				g.edge(t.Name, pipeline)
			}
		}
		return
	}
	// What reads the table goes to the right of it. A pipeline that also wrote it stands on the left already.
	reader := pipeline + " reads"
	node := g.nodes[pipeline]
	node.ID = reader
	g.nodes[reader] = node
	g.edge(table, reader)
	for _, t := range tables {
		if t.Written {
			g.add(t.Name)
			g.edge(reader, t.Name)
		}
	}
}

func (g *lineageGraph) add(table string) {
	if _, ok := g.nodes[table]; ok {
		return
	}
	kind, name, _ := strings.Cut(table, ":")
	n := portal.LineageNode{ID: table, Kind: kind, Name: name}
	switch kind {
	case "lake":
		n.Path = "/lake/" + name
	case "store":
		n.Path = "/store/" + name
	}
	g.nodes[table] = n
}

func (g *lineageGraph) edge(from, to string) {
	e := portal.LineageEdge{From: from, To: to}
	if !g.seen[e] {
		g.seen[e] = true
		g.edges = append(g.edges, e)
	}
}

func (g *lineageGraph) result(table string) portal.Lineage {
	l := portal.Lineage{This: table, Edges: g.edges}
	used := map[string]bool{table: true}
	for _, e := range g.edges {
		used[e.From], used[e.To] = true, true
	}
	for _, id := range sortedKeys(g.nodes) {
		if used[id] {
			l.Nodes = append(l.Nodes, g.nodes[id])
		}
	}
	return l
}

// storeView shows tables of the feature store.
type storeView struct{ *Host }

// Tables lists the published tables.
func (v storeView) Tables(ctx context.Context, _ portal.Person) ([]portal.TableSummary, error) {
	tables, err := v.Published(ctx)
	if err != nil {
		return nil, err
	}
	var out []portal.TableSummary
	for _, t := range tables {
		out = append(out, v.summary(t))
	}
	return out, nil
}

func (v storeView) summary(t featurestore.Table) portal.TableSummary {
	project := t.Schema
	if project == storeSchema {
		project = "main"
	}
	return portal.TableSummary{Name: t.Target.String(), Group: t.Schema, Project: project, Rows: t.Rows, Bytes: t.Bytes, Columns: len(t.Columns),
		Version: t.Version, Previous: -1, Updated: t.PublishedAt, Run: t.RunID, Pipeline: t.Pipeline}
}

func parseTarget(name string) (featurestore.Target, error) {
	schema, table, ok := strings.Cut(name, ".")
	if !ok {
		return featurestore.Target{}, portal.ErrNotFound
	}
	return featurestore.Target{Schema: schema, Table: table}, nil
}

// Table shows one published table.
func (v storeView) Table(ctx context.Context, _ portal.Person, name string) (portal.Table, error) {
	target, err := parseTarget(name)
	if err != nil {
		return portal.Table{}, err
	}
	store, err := v.featureStore(ctx)
	if err != nil {
		return portal.Table{}, err
	}
	t, err := store.Table(ctx, target)
	if err != nil {
		return portal.Table{}, storeNotFound(err)
	}
	history, err := store.History(ctx, target, 50)
	if err != nil {
		return portal.Table{}, storeNotFound(err)
	}
	out := portal.Table{TableSummary: v.summary(t), Location: "database " + storeDatabase}
	for _, c := range t.Columns {
		out.Columns = append(out.Columns, portal.Column{Name: c.Name, Type: c.Type, Comment: t.Comments[c.Name], Nullable: true})
	}
	for _, h := range history {
		out.History = append(out.History, portal.TableVersion{Version: h.Version, At: h.At, Operation: h.Kind, By: h.By, Run: h.RunID, Rows: h.Rows, Bytes: -1})
	}
	if i := slices.IndexFunc(history, func(h featurestore.Publication) bool { return h.Version != t.Version }); i >= 0 {
		out.Previous = history[i].Version
	}
	out.Lineage, err = v.lineage(ctx, "store:"+target.String())
	return out, err
}

// Preview reads some rows as a reader of the store, so that a person sees what readers may see.
func (v storeView) Preview(ctx context.Context, by portal.Person, name string, rows int) (portal.Preview, error) {
	target, err := parseTarget(name)
	if err != nil {
		return portal.Preview{}, err
	}
	if err := v.see(ctx, by, "store.preview", "table/store:"+target.String()); err != nil {
		return portal.Preview{}, err
	}
	store, err := v.featureStore(ctx)
	if err != nil {
		return portal.Preview{}, err
	}
	r, err := store.Preview(ctx, target, rows, "")
	if err != nil {
		return portal.Preview{}, storeNotFound(err)
	}
	var out portal.Preview
	for _, c := range r.Columns {
		out.Columns = append(out.Columns, portal.Column{Name: c.Name, Type: c.Type, Nullable: true})
	}
	for _, row := range r.Rows {
		cells := make([]portal.Cell, len(row))
		for i, value := range row {
			if value == nil {
				cells[i].Null = true
				continue
			}
			cells[i].Text = *value
		}
		out.Rows = append(out.Rows, cells)
	}
	out.More = len(out.Rows) == rows
	return out, nil
}

// Profile describes the columns of a published table.
func (v storeView) Profile(ctx context.Context, by portal.Person, name string) (portal.Profile, error) {
	target, err := parseTarget(name)
	if err != nil {
		return portal.Profile{}, err
	}
	if err := v.see(ctx, by, "store.profile", "table/store:"+target.String()); err != nil {
		return portal.Profile{}, err
	}
	store, err := v.featureStore(ctx)
	if err != nil {
		return portal.Profile{}, err
	}
	t, err := store.Table(ctx, target)
	if err != nil {
		return portal.Profile{}, storeNotFound(err)
	}
	rows, columns, err := store.Profile(ctx, target, "")
	if err != nil {
		return portal.Profile{}, storeNotFound(err)
	}
	out := portal.Profile{Version: t.Version, Rows: rows, Sampled: rows}
	for _, c := range columns {
		x := portal.ColumnProfile{Name: c.Name, Distinct: c.Distinct}
		if rows > 0 {
			x.Missing = float64(c.Nulls) / float64(rows)
		}
		if c.Min != nil {
			x.Min = *c.Min
		}
		if c.Max != nil {
			x.Max = *c.Max
		}
		out.Columns = append(out.Columns, x)
	}
	return out, nil
}

func storeNotFound(err error) error {
	if errors.Is(err, featurestore.ErrNotFound) || errors.Is(err, featurestore.ErrName) {
		return portal.ErrNotFound
	}
	return err
}
