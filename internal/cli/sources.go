package cli

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/target/local"
)

func (a *app) newSourcesCommand() *cobra.Command {
	c := &cobra.Command{Use: "sources", Short: "List and test the sources of data"}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the sources of the definition",
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return a.runSourcesList(c.Context()) },
	}
	test := &cobra.Command{
		Use:     "test [NAME]",
		Short:   "Connect to each source, or to one, and say what is wrong",
		Example: "  flowehr sources test\n  flowehr sources test epr",
		Args:    mostArgs(1, "one NAME"),
		RunE:    func(c *cobra.Command, args []string) error { return a.runSourcesTest(c.Context(), args) },
	}
	c.AddCommand(list, test)
	return c
}

func (a *app) runSourcesList(ctx context.Context) error {
	d, err := a.load(ctx, loadOptions{lenient: true, here: true})
	if err != nil {
		return err
	}
	type row struct {
		Name, Kind, Where, Data string
	}
	var rows []row
	for _, s := range d.env.Sources {
		where := s.Host + "/" + s.Database
		if s.Kind == flowehr.SourceFolder {
			where = s.Path
		}
		data := "as it is there"
		if made, ok := d.env.Local.Synthetic[s.Name]; ok {
			data = fmt.Sprintf("%s made-up patients stand in", count(int64(made.Patients)))
		}
		rows = append(rows, row{s.Name, string(s.Kind), where, data})
	}
	if a.json() {
		return a.writeJSON(rows)
	}
	t := a.table("Source", "Kind", "Where", "Data on this machine")
	for _, r := range rows {
		t.Row(r.Name, r.Kind, r.Where, r.Data)
	}
	return t.Write(a.out)
}

func (a *app) runSourcesTest(ctx context.Context, args []string) error {
	d, err := a.load(ctx, loadOptions{here: true})
	if err != nil {
		return err
	}
	var names []string
	for _, s := range d.env.Sources {
		names = append(names, s.Name)
	}
	for _, want := range args {
		if !slices.Contains(names, want) {
			return hint(fmt.Errorf("there is no source %q", want), "See them with: flowehr sources list")
		}
	}
	if len(args) > 0 {
		names = args
	}
	h, err := a.openHost(ctx, d)
	if err != nil {
		return err
	}
	defer h.Close()
	var tests []local.SourceTest
	failed := 0
	for _, name := range names {
		t, err := a.testSource(ctx, d, h, name)
		if err != nil {
			return err
		}
		tests = append(tests, t)
		if !t.OK {
			failed++
		}
		if a.json() {
			continue
		}
		style := a.style(a.out)
		mark := style.Done()
		if !t.OK {
			mark = style.Failed()
		}
		fmt.Fprintf(a.out, "%s %-20s %s\n", mark, t.Name, t.Text)
		if t.Fix != "" {
			fmt.Fprintf(a.out, "  %-20s %s\n", "", t.Fix)
		}
	}
	if a.json() {
		if err := a.writeJSON(tests); err != nil {
			return err
		}
	}
	if failed > 0 {
		return errShown
	}
	return nil
}

// testSource tests one source. Made-up data that stands in for one can be reached while the environment runs, so
// that is said instead of what a connection would meet.
func (a *app) testSource(ctx context.Context, d *definition, h *local.Host, name string) (local.SourceTest, error) {
	if _, made := d.env.Local.Synthetic[name]; made {
		if _, on, err := local.FindRunning(d.paths); err != nil {
			return local.SourceTest{}, err
		} else if !on {
			return local.SourceTest{Name: name, Text: "its made-up data can be reached while the environment runs, and it does not", Fix: "Start it with: flowehr up -d"}, nil
		}
	}
	t, err := h.TestSource(ctx, name)
	for _, s := range d.env.Sources {
		if s.Name == name && s.Kind == flowehr.SourceFolder && !t.OK && t.Fix == "" {
			t.Fix = fmt.Sprintf("Its folder is %s (path in data_source_connections): is it there, may you read it, has it files?", s.Path)
		}
	}
	return t, err
}
