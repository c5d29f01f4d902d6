package cli

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/flowehr/flowehr/internal/automation/workflows"
	"github.com/flowehr/flowehr/internal/demo"
	"github.com/flowehr/flowehr/internal/render"
)

func (a *app) newInitCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIR]",
		Short: "Write a ready environment: a made-up hospital with pipelines",
		Long: `Writes the definition of a small hospital into DIR (default: this folder): two data sources with made-up patients, a lake
with three zones, and pipelines from the sources to the feature store. It runs as it stands; change it into yours.
Files that exist are never overwritten.`,
		Example: "  flowehr init my-hospital\n  cd my-hospital && flowehr up -d",
		Args:    mostArgs(1, "one folder"),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := a.dir
			if len(args) == 1 {
				dir = filepath.Join(a.dir, args[0])
			}
			return a.runInit(dir)
		},
	}
}

func (a *app) runInit(dir string) error {
	names := workflows.Makefile()
	wrote, err := demo.Write(dir, map[string][]byte{names.Path: names.Content})
	if e, ok := errors.AsType[*demo.ExistsError](err); ok {
		return hint(fmt.Errorf("%s exists already and is not what init would write: %s", render.Plural(int64(len(e.Paths)), "file", "files"), strings.Join(e.Paths, ", ")),
			"Nothing was written. Choose an empty folder: flowehr init NAME")
	}
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(struct {
			Dir   string   `json:"dir"`
			Files []string `json:"files"`
		}{dir, wrote})
	}
	if len(wrote) == 0 {
		fmt.Fprintf(a.out, "%s holds this environment already.\n", dir)
	} else {
		fmt.Fprintf(a.out, "Wrote %d files to %s.\n", len(wrote), dir)
	}
	if dir == "." {
		a.next("Start it with: flowehr up")
	} else {
		a.next("Start it with: cd %s && flowehr up", dir)
	}
	return nil
}
