package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/lake"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/target/local"
)

func (a *app) newLakeCommand() *cobra.Command {
	c := &cobra.Command{Use: "lake", Short: "List, look into and query the tables of the lake"}
	ls := &cobra.Command{
		Use:   "ls [ZONE]",
		Short: "List tables with rows, size and when they changed",
		Args:  mostArgs(1, "one ZONE"),
		RunE:  func(c *cobra.Command, args []string) error { return a.runLakeList(c.Context(), args) },
	}
	n := 20
	preview := &cobra.Command{
		Use:     "preview ZONE.TABLE",
		Short:   "Show some rows",
		Example: "  flowehr lake preview silver.patient --rows 5",
		Args:    exactArgs("ZONE.TABLE"),
		RunE: func(c *cobra.Command, args []string) error {
			name, err := lake.ParseName(args[0])
			if err != nil {
				return hint(usageError{fmt.Errorf("%q is no table of the lake", args[0])}, "Write it as ZONE.TABLE, for example silver.patient. See what there is with: flowehr lake ls")
			}
			return a.withLake(c.Context(), func(h *local.Host) error {
				if err := h.Audit(c.Context(), audit.Entry{Action: "lake.preview", Subject: "table/lake:" + name.String(), Outcome: "ok"}); err != nil {
					return err
				}
				result, err := h.Lake().Preview(c.Context(), name, n)
				if err != nil {
					return lakeError(err)
				}
				return a.showResult(result)
			})
		},
	}
	preview.Flags().IntVarP(&n, "rows", "n", 20, "how many")
	limit := 100
	sql := &cobra.Command{
		Use:     "sql QUERY",
		Short:   "Run a query over all zones; it can only read",
		Example: "  flowehr lake sql 'SELECT gender, count(*) FROM silver.patient GROUP BY gender'",
		Args:    exactArgs("QUERY"),
		RunE: func(c *cobra.Command, args []string) error {
			return a.withLake(c.Context(), func(h *local.Host) error {
				if err := h.Audit(c.Context(), audit.Entry{Action: "lake.query", Subject: "lake", Outcome: "ok", Detail: map[string]string{"sql": args[0]}}); err != nil {
					return err
				}
				result, err := h.Lake().Query(c.Context(), args[0], limit)
				if err != nil {
					return lakeError(err)
				}
				return a.showResult(result)
			})
		},
	}
	sql.Flags().IntVarP(&limit, "rows", "n", 100, "show at most this many rows")
	c.AddCommand(ls, preview, sql)
	return c
}

// withLake opens the environment; the lake needs no running process.
func (a *app) withLake(ctx context.Context, f func(*local.Host) error) error {
	d, err := a.load(ctx, loadOptions{lenient: true, here: true})
	if err != nil {
		return err
	}
	h, err := a.openHost(ctx, d)
	if err != nil {
		return err
	}
	defer h.Close()
	return f(h)
}

func (a *app) runLakeList(ctx context.Context, args []string) error {
	return a.withLake(ctx, func(h *local.Host) error {
		tables, err := h.Lake().List(ctx)
		if err != nil {
			return err
		}
		type row struct {
			Table   string `json:"table"`
			Version int64  `json:"version"`
			Rows    int64  `json:"rows"`
			Bytes   int64  `json:"bytes"`
			Updated string `json:"updated"`
			By      string `json:"by,omitempty"`
		}
		rows := []row{}
		t := a.table("Table", ">Version", ">Rows", ">Size", "Updated", "By")
		for _, x := range tables {
			if len(args) > 0 && x.Name.Zone != args[0] {
				continue
			}
			rows = append(rows, row{x.Name.String(), x.Version, x.Rows, x.Bytes, isoTime(x.Updated), x.Last.By})
			t.Row(x.Name.String(), fmt.Sprint(x.Version), count(x.Rows), render.Bytes(x.Bytes), render.Stamp(x.Updated, a.now()), x.Last.By)
		}
		if a.json() {
			return a.writeJSON(rows)
		}
		if len(rows) == 0 && len(args) > 0 {
			fmt.Fprintf(a.out, "Zone %s has no tables.\n", args[0])
			a.next("See all zones with: flowehr lake ls")
			return nil
		}
		if len(rows) == 0 {
			fmt.Fprintln(a.out, "The lake has no tables yet.")
			a.next("Pipelines fill it: flowehr pipelines list")
			return nil
		}
		return t.Write(a.out)
	})
}

func lakeError(err error) error {
	switch {
	case errors.Is(err, lake.ErrNotFound):
		return hint(err, "See what there is with: flowehr lake ls")
	case errors.Is(err, lake.ErrRefused):
		return hint(fmt.Errorf("this command only reads: one SELECT over the tables of the lake (%w)", err),
			"Nothing was changed. Tables are changed by pipelines: flowehr pipelines list")
	}
	return hint(err, "Nothing was changed. See the tables with: flowehr lake ls   and their columns with: flowehr lake preview ZONE.TABLE")
}

// showResult prints rows, for people as a table and for programs as a JSON array of objects.
func (a *app) showResult(r lake.Result) error {
	if a.json() {
		rows := make([]map[string]any, 0, len(r.Rows))
		for _, row := range r.Rows {
			o := map[string]any{}
			for i, c := range r.Columns {
				o[c.Name] = row[i]
			}
			rows = append(rows, o)
		}
		return a.writeJSON(rows)
	}
	var names []string
	for _, c := range r.Columns {
		name := c.Name
		switch c.Type {
		case "long", "integer", "short", "byte", "double", "float":
			name = ">" + name
		}
		names = append(names, name)
	}
	t := a.table(names...)
	for _, row := range r.Rows {
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = showValue(v, r.Columns[i].Type)
		}
		t.Row(cells...)
	}
	if len(r.Rows) == 0 {
		fmt.Fprintln(a.out, "no rows")
	}
	if err := t.Write(a.out); err != nil {
		return err
	}
	if r.Truncated {
		a.next("There are more rows; see more with: --rows N")
	}
	return nil
}

func showValue(v any, columnType string) string {
	switch v := v.(type) {
	case nil:
		return "-"
	case time.Time:
		if columnType == "date" {
			return v.Format(time.DateOnly)
		}
		return v.UTC().Format("2006-01-02T15:04:05Z")
	case float64:
		return fmt.Sprintf("%.6g", v)
	case []byte:
		return fmt.Sprintf("%d bytes", len(v))
	}
	return fmt.Sprint(v)
}
