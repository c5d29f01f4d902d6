package local

import (
	"context"
	"errors"
	"fmt"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/service/portal"
)

// checks returns what the assertions of a run found about a table of the lake, "zone.table". The run is the one that wrote
// the table's version, because assertions stand in the pipeline that writes. A run that is no longer kept has none.
func (h *Host) checks(ctx context.Context, runID, table string) ([]portal.Check, error) {
	if runID == "" {
		return nil, nil
	}
	store, err := h.pipelines(ctx)
	if err != nil {
		return nil, err
	}
	activities, err := store.Activities(ctx, runID)
	if errors.Is(err, engine.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []portal.Check
	for _, a := range activities {
		output, ok := a.Output.(*expr.Object)
		if !ok {
			continue
		}
		list, _ := output.Get("assertions")
		found, _ := list.([]expr.Value)
		for _, v := range found {
			if check, about := readCheck(v); about == table {
				out = append(out, check)
			}
		}
	}
	return out, nil
}

// readCheck reads one assertion's outcome as package activity writes it.
func readCheck(v expr.Value) (portal.Check, string) {
	o, ok := v.(*expr.Object)
	if !ok {
		return portal.Check{}, ""
	}
	text := func(key string) string {
		v, _ := o.Get(key)
		return expr.Text(v)
	}
	c := portal.Check{Name: text("name"), OK: text("status") == "ok", Text: text("rows") + " rows"}
	if violations := text("violations"); violations != "0" && violations != "" {
		c.Text = fmt.Sprintf("%s of %s rows", violations, text("rows"))
	}
	return c, text("table")
}
