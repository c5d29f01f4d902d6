package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/operate"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/render"
)

// azureWork is what was deployed to Azure, for commands that run it.
type azureWork struct {
	*account
	d       *definition
	factory *operate.Factory
	apps    *operate.Apps
}

// inAzure calls f when the definition's environment is in Azure, and reports whether it is.
func (a *app) inAzure(ctx context.Context, f func(*azureWork) error) (bool, error) {
	d, err := a.load(ctx, loadOptions{lenient: true})
	if err != nil || d.env.Target != flowehr.TargetAzure {
		return false, err
	}
	x, err := a.openAccount(ctx, d)
	if err != nil {
		return true, err
	}
	names := azure.NamesOf(d.env)
	w := &azureWork{account: x, d: d,
		factory: operate.NewFactory(x.client, arm.ID(x.client.Subscription(), names.Group(), "Microsoft.DataFactory/factories", names.Factory())),
		apps:    operate.NewApps(x.client, arm.GroupID(x.client.Subscription(), names.Group()))}
	if x.sim != nil && !a.json() {
		a.next("SIMULATION: nothing real runs.")
	}
	return true, errors.Join(explainWork(f(w)), x.close())
}

// explainWork adds what to do to the errors of what was deployed.
func explainWork(err error) error {
	if e, ok := errors.AsType[*operate.RefusedError](err); ok {
		return hint(errors.New(e.Reason), "%s", e.Advice)
	}
	if e, ok := errors.AsType[*operate.UnknownError](err); ok {
		return hint(err, "%s", e.Advice)
	}
	return err
}

// findRun returns the run of an id or of the beginning of one.
func (w *azureWork) findRun(ctx context.Context, id string) (operate.Run, error) {
	const whole = 36
	if len(id) == whole {
		return w.factory.Run(ctx, id)
	}
	runs, err := w.factory.Runs(ctx, operate.Filter{}, w.now())
	if err != nil {
		return operate.Run{}, err
	}
	runs = slices.DeleteFunc(runs, func(r operate.Run) bool { return !strings.HasPrefix(r.ID, id) })
	switch len(runs) {
	case 1:
		return runs[0], nil
	case 0:
		return operate.Run{}, hint(fmt.Errorf("there is no run %q", id), "See them with: flowehr pipelines runs")
	}
	return operate.Run{}, hint(fmt.Errorf("%d runs begin with %q", len(runs), id), "Write more of the id. See them with: flowehr pipelines runs")
}

func azureRunJSON(r operate.Run, now time.Time) runJSON {
	j := runJSON{ID: r.ID, Pipeline: r.Pipeline, Status: string(r.Status), By: r.InvokedBy.Name, Message: r.Message}
	if r.Started != nil {
		j.Started, j.When = isoTime(*r.Started), render.Stamp(*r.Started, now)
		if r.Ended != nil {
			took := r.Ended.Sub(*r.Started)
			j.Ended, j.Seconds, j.Took = isoTime(*r.Ended), took.Seconds(), duration(took)
		}
	}
	return j
}

func (a *app) azurePipelines(ctx context.Context, w *azureWork) error {
	names, err := w.factory.Pipelines(ctx)
	if err != nil {
		return err
	}
	runs, err := w.factory.Runs(ctx, operate.Filter{}, w.now())
	if err != nil {
		return err
	}
	type row struct {
		Pipeline string   `json:"pipeline"`
		Last     *runJSON `json:"lastRun,omitempty"`
	}
	var rows []row
	for _, name := range names {
		x := row{Pipeline: name}
		if i := slices.IndexFunc(runs, func(r operate.Run) bool { return r.Pipeline == name }); i >= 0 {
			last := azureRunJSON(runs[i], w.now())
			x.Last = &last
		}
		rows = append(rows, x)
	}
	if a.json() {
		return a.writeJSON(rows)
	}
	t := a.table("Pipeline", "Last run", "When", ">Took")
	for _, x := range rows {
		if x.Last == nil {
			t.Row(x.Pipeline, "never ran", "", "")
			continue
		}
		t.Row(x.Pipeline, x.Last.Status, x.Last.When, x.Last.Took)
	}
	return t.Write(a.out)
}

// plainValues turns parameters into what JSON has for them.
func plainValues(o *expr.Object) (map[string]any, error) {
	var out map[string]any
	dec := json.NewDecoder(bytes.NewReader(expr.EncodeJSON(o)))
	dec.UseNumber()
	return out, dec.Decode(&out)
}

func (a *app) azureRun(ctx context.Context, w *azureWork, name string, parameters *expr.Object, wait bool) error {
	values, err := plainValues(parameters)
	if err != nil {
		return err
	}
	id, err := w.factory.Start(ctx, name, values)
	if err != nil {
		return err
	}
	if !wait {
		return a.showStarted(id)
	}
	return a.azureFollow(ctx, w, id)
}

// azureFollow shows a run until it has ended. The exit code says how.
func (a *app) azureFollow(ctx context.Context, w *azureWork, id string) error {
	if !a.json() {
		fmt.Fprintf(a.errOut, "run %s\n", short(id))
	}
	r, err := w.factory.Follow(ctx, id, a.azureProgress)
	if err != nil {
		return err
	}
	return a.azureEnded(w, r)
}

// azureProgress writes a line for each activity that ended.
func (a *app) azureProgress(p operate.Progress) {
	if a.json() || p.Activity == nil || !p.Activity.Status.Done() {
		return
	}
	mark := a.style(a.errOut)
	symbol, why := mark.Done(), ""
	switch p.Activity.Status {
	case operate.Failed, operate.Cancelled:
		symbol, why = mark.Failed(), p.Activity.Error.Message
	case operate.Skipped, operate.Inactive:
		symbol, why = mark.Skipped(), "skipped"
	}
	fmt.Fprintf(a.errOut, "  %s %-40s %8s  %s\n", symbol, p.Activity.Name, duration(time.Duration(p.Activity.Duration)*time.Millisecond), why)
}

func (a *app) azureEnded(w *azureWork, r operate.Run) error {
	j := azureRunJSON(r, w.now())
	if a.json() {
		if err := a.writeJSON(j); err != nil {
			return err
		}
	}
	if r.Status == operate.Succeeded {
		if !a.json() {
			fmt.Fprintf(a.out, "%s %s succeeded in %s.\n", a.style(a.out).Done(), r.Pipeline, j.Took)
		}
		return nil
	}
	if a.json() {
		return errShown
	}
	return hint(fmt.Errorf("%s %s in %s: %s", r.Pipeline, strings.ToLower(string(r.Status)), j.Took, r.Message),
		"See it with: flowehr pipelines show %s   Go on after a fix: flowehr pipelines resume %s", short(r.ID), short(r.ID))
}

func (a *app) azureRuns(ctx context.Context, w *azureWork, pipeline string, status []string, limit int) error {
	runs, err := w.factory.Runs(ctx, operate.Filter{Pipeline: pipeline}, w.now())
	if err != nil {
		return err
	}
	list := []runJSON{}
	for _, r := range runs {
		if (len(status) == 0 || slices.Contains(status, string(r.Status))) && (limit == 0 || len(list) < limit) {
			list = append(list, azureRunJSON(r, w.now()))
		}
	}
	return a.listRuns(list)
}

// listRuns answers with runs.
func (a *app) listRuns(list []runJSON) error {
	if a.json() {
		return a.writeJSON(list)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.out, "No runs.")
		a.next("Start one with: flowehr pipelines run NAME")
		return nil
	}
	t := a.table("Run", "Pipeline", "Status", "When", ">Took", "By")
	for _, r := range list {
		t.Row(short(r.ID), r.Pipeline, r.Status, r.When, r.Took, r.By)
	}
	return t.Write(a.out)
}

func (a *app) azureShow(ctx context.Context, w *azureWork, id string) error {
	r, err := w.findRun(ctx, id)
	if err != nil {
		return err
	}
	activities, err := w.factory.Activities(ctx, r)
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(struct {
			Run        operate.Run        `json:"run"`
			Activities []operate.Activity `json:"activities"`
		}{r, activities})
	}
	j := azureRunJSON(r, w.now())
	fmt.Fprintf(a.out, "run %s of %s: %s %s\n", short(r.ID), r.Pipeline, r.Status, j.Took)
	t := a.table("Activity", "Type", "Status", ">Took", "Why")
	for _, x := range activities {
		t.Row(x.Name, x.Type, string(x.Status), duration(time.Duration(x.Duration)*time.Millisecond), x.Error.Message)
	}
	return t.Write(a.out)
}

func (a *app) azureLogs(ctx context.Context, w *azureWork, id string, follow bool) error {
	r, err := w.findRun(ctx, id)
	if err != nil {
		return err
	}
	if follow && !r.Status.Done() {
		if r, err = w.factory.Follow(ctx, r.ID, a.azureProgress); err != nil {
			return err
		}
	}
	activities, err := w.factory.Activities(ctx, r)
	if err != nil {
		return err
	}
	for _, x := range activities {
		l, err := w.factory.Log(ctx, x)
		if err != nil {
			return err
		}
		if a.json() {
			if err := json.NewEncoder(a.out).Encode(l); err != nil {
				return err
			}
			continue
		}
		a.printAzureLog(l)
	}
	return nil
}

func (a *app) printAzureLog(l operate.Log) {
	x := l.Activity
	fmt.Fprintf(a.out, "== %s (%s): %s\n", x.Name, x.Type, x.Status)
	switch {
	case l.Text != "":
		fmt.Fprintln(a.out, strings.TrimRight(l.Text, "\n"))
	case l.Missing != "":
		fmt.Fprintln(a.out, l.Missing)
	case len(x.Output) > 0 && string(x.Output) != "null":
		fmt.Fprintf(a.out, "output: %s\n", x.Output)
	}
	if l.Trace != "" {
		fmt.Fprintln(a.out, strings.TrimRight(l.Trace, "\n"))
	}
	if x.Error.Message != "" {
		fmt.Fprintf(a.out, "error %s: %s\n", x.Error.Code, x.Error.Message)
	}
	if l.Address != "" {
		fmt.Fprintf(a.out, "more: %s\n", l.Address)
	}
}

func (a *app) azureCancel(ctx context.Context, w *azureWork, id string) error {
	r, err := w.findRun(ctx, id)
	if err != nil {
		return err
	}
	if r.Status.Done() {
		return hint(fmt.Errorf("run %s has ended already: %s", short(r.ID), r.Status), "Nothing was changed. See it with: flowehr pipelines show %s", short(r.ID))
	}
	if err := w.factory.Cancel(ctx, r.ID); err != nil {
		return err
	}
	fmt.Fprintf(a.errOut, "%s Cancelling %s. What it has published stays.\n", a.style(a.errOut).Done(), short(r.ID))
	return nil
}

func (a *app) azureResume(ctx context.Context, w *azureWork, id string, wait bool) error {
	r, err := w.findRun(ctx, id)
	if err != nil {
		return err
	}
	if r.Status == operate.Succeeded {
		return hint(fmt.Errorf("run %s succeeded, there is nothing to resume", short(r.ID)), "Run all of it again with: flowehr pipelines run %s", r.Pipeline)
	}
	again, err := w.factory.Repeat(ctx, r.ID, operate.Repetition{Failed: true})
	if err != nil {
		return err
	}
	if wait {
		return a.azureFollow(ctx, w, again)
	}
	return a.showStarted(again)
}

func (a *app) azureTest(ctx context.Context, w *azureWork) error {
	results, err := w.factory.Test(ctx, nil, func(p operate.Progress) {
		if p.Activity == nil && p.Run.Status == operate.InProgress && !a.json() {
			fmt.Fprintf(a.errOut, "run %s of %s\n", short(p.Run.ID), p.Run.Pipeline)
		}
		a.azureProgress(p)
	})
	if err != nil && !errors.Is(err, operate.ErrTest) {
		return err
	}
	var list []runJSON
	for _, r := range results {
		j := azureRunJSON(r.Run, w.now())
		j.Pipeline = r.Pipeline
		if r.Err != nil {
			j.Status, j.Message = string(operate.Failed), r.Err.Error()
		}
		if r.Cause != nil {
			j.Message = r.Cause.Name + ": " + r.Cause.Error.Message
		}
		list = append(list, j)
	}
	if a.json() {
		if jerr := a.writeJSON(list); jerr != nil {
			return jerr
		}
	} else {
		t := a.table("Pipeline", "Status", ">Took", "Why")
		for _, j := range list {
			t.Row(j.Pipeline, j.Status, j.Took, j.Message)
		}
		if terr := t.Write(a.out); terr != nil {
			return terr
		}
	}
	if err != nil {
		return errShown
	}
	return nil
}

func (a *app) azureTriggers(ctx context.Context, w *azureWork) error {
	triggers, err := w.factory.Triggers(ctx)
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(triggers)
	}
	t := a.table("Trigger", "Pipeline", "Type", "State")
	for _, x := range triggers {
		t.Row(x.Name, strings.Join(x.Pipelines, ", "), x.Type, strings.ToLower(x.State))
	}
	return t.Write(a.out)
}

func (a *app) azureSwitch(ctx context.Context, w *azureWork, name string, on bool) error {
	word, change := "stopped", w.factory.StopTrigger
	if on {
		word, change = "started", w.factory.StartTrigger
	}
	if err := change(ctx, name); err != nil {
		return err
	}
	fmt.Fprintf(a.errOut, "%s %s is %s.\n", a.style(a.errOut).Done(), name, word)
	if on && !w.d.env.RealData {
		a.next("The next deployment stops it again: without real data triggers are deployed stopped.")
	}
	return nil
}

func (a *app) azureBackfill(ctx context.Context, w *azureWork, name string, from, until time.Time, all bool) error {
	b, err := w.factory.Backfill(ctx, name, from, until, all, w.now())
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(b)
	}
	fmt.Fprintf(a.out, "%s %s run again, %s had succeeded, %s still at work.\n", a.style(a.out).Done(),
		render.Plural(int64(len(b.Rerun)), "window is", "windows are"), count(int64(len(b.Done))), count(int64(len(b.Busy))))
	a.next("Follow them with: flowehr pipelines runs")
	return nil
}
