package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/flowehr/flowehr/internal/target/local"
)

// succeeded is the status of a run that did what it should.
const succeeded = string(factory.Succeeded)

// followRun follows a run, answers with it, and says how it ended.
func (a *app) followRun(ctx context.Context, h *local.Host, s *engine.Store, id string) error {
	run, err := a.awaitRun(ctx, h, s, id)
	if err != nil {
		return err
	}
	if a.json() {
		if err := a.writeJSON(newRunJSON(run)); err != nil {
			return err
		}
	}
	return a.concludeRun(ctx, h, s, run)
}

// awaitRun shows activities as they finish, until the run ends. An interrupt stops the following, not the run.
func (a *app) awaitRun(ctx context.Context, h *local.Host, s *engine.Store, id string) (engine.RunInfo, error) {
	run, err := s.Run(ctx, id)
	if err != nil {
		return run, err
	}
	if !a.json() {
		fmt.Fprintf(a.errOut, "run %s · %s v%d\n", short(run.ID), run.Pipeline, run.Version)
	}
	f := follower{app: a, store: s, setAside: filepath.Join(h.Paths.Lake, "_quarantine"), shown: map[string]bool{}}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	// Child runs tell of themselves, so all runs are watched.
	for range s.Watch(watching, "") {
		if run, err = s.Run(ctx, id); err != nil {
			break
		}
		if !a.json() {
			if err = f.show(ctx, run.ID, ""); err != nil {
				break
			}
		}
		if run.Done() {
			break
		}
	}
	if ctx.Err() != nil {
		a.next("The run goes on. Follow it with: flowehr pipelines logs %s --follow   Stop it with: flowehr pipelines cancel %s", short(id), short(id))
		return run, errInterrupted
	}
	return run, err
}

// concludeRun says how a run ended and why, and what to do next. A run that did not succeed makes the command fail.
func (a *app) concludeRun(ctx context.Context, h *local.Host, s *engine.Store, run engine.RunInfo) error {
	took := newRunJSON(run).Took
	if run.Status == succeeded {
		a.next("%s %s succeeded in %s.", a.style(a.errOut).Done(), run.Pipeline, took)
		return nil
	}
	if !a.json() {
		fmt.Fprintf(a.errOut, "%s in %s. %s\n", run.Status, took, run.Why)
		if run.Message != "" && !strings.Contains(run.Why, run.Message) {
			fmt.Fprintln(a.errOut, run.Message)
		}
		if kept := a.keptTables(ctx, h, s, run); kept != "" {
			fmt.Fprintln(a.errOut, kept)
		}
		a.next("See the run: flowehr pipelines show %s   Go on after a fix: flowehr pipelines resume %s", short(run.ID), short(run.ID))
	}
	return errShown
}

// keptTables says which published tables of the run's pipelines are as they were before it. It is an addition to what
// went wrong, so it is silent when it cannot be found out.
func (a *app) keptTables(ctx context.Context, h *local.Host, s *engine.Store, run engine.RunInfo) string {
	if run.Started == nil {
		return ""
	}
	tables, err := h.Published(ctx)
	if err != nil {
		return ""
	}
	ours := map[string]bool{}
	pipelinesOf(ctx, s, run.Pipeline, ours)
	var kept []string
	for _, t := range tables {
		if ours[t.Pipeline] && t.PublishedAt.Before(*run.Started) {
			kept = append(kept, fmt.Sprintf("%s keeps version %d of %s.", t.Target, t.Version, render.Stamp(t.PublishedAt, a.now())))
		}
	}
	return strings.Join(kept, " ")
}

// pipelinesOf adds a pipeline and all that it runs.
func pipelinesOf(ctx context.Context, s *engine.Store, name string, all map[string]bool) {
	if all[name] {
		return
	}
	all[name] = true
	b, err := s.Bundle(ctx, name, 0)
	if err != nil {
		return
	}
	called := map[string]bool{}
	noteCalls(b.Pipeline.Activities, called)
	for c := range called {
		pipelinesOf(ctx, s, b.PipelineName(c), all)
	}
}

// follower remembers what it has shown.
type follower struct {
	app      *app
	store    *engine.Store
	setAside string // folder of the rows that could not be read
	shown    map[string]bool
}

// show writes a line for every activity of the run, and of the runs that it started, that has ended since the last time.
func (f *follower) show(ctx context.Context, id, prefix string) error {
	activities, err := f.store.Activities(ctx, id)
	if err != nil {
		return err
	}
	for _, x := range activities {
		if x.Child != "" {
			if err := f.show(ctx, x.Child, prefix+x.Name+" / "); err != nil {
				return err
			}
		}
		key := id + x.Path
		if x.Status == "InProgress" || f.shown[key] {
			continue
		}
		f.shown[key] = true
		fmt.Fprintln(f.app.errOut, f.app.activityLine(x, prefix))
		if rowsSetAside(x) > 0 {
			fmt.Fprintf(f.app.errOut, "    they are kept below %s\n", f.setAside)
		}
	}
	return nil
}

// activityLine is one line about an activity that has ended.
func (a *app) activityLine(x engine.ActivityRun, prefix string) string {
	style := a.style(a.errOut)
	mark := style.Done()
	switch x.Status {
	case string(factory.Failed), string(factory.Cancelled):
		mark = style.Failed()
	case string(factory.Skipped):
		mark = style.Skipped()
	case "InProgress":
		mark = style.Running()
	}
	name := strings.TrimPrefix(x.Path, "/")
	var facts []string
	if x.Rows > 0 {
		facts = append(facts, render.Plural(x.Rows, "row", "rows"))
	}
	if n := rowsSetAside(x); n > 0 {
		facts = append(facts, render.Plural(n, "row", "rows")+" set aside")
	}
	if x.Status == string(factory.Skipped) {
		facts = append(facts, "skipped")
	}
	if x.Reused {
		facts = append(facts, "kept from the earlier run")
	}
	if x.Started != nil && x.Ended != nil && x.Status != string(factory.Skipped) {
		facts = append(facts, duration(x.Ended.Sub(*x.Started)))
	}
	if len(x.Attempts) > 1 {
		facts = append(facts, fmt.Sprintf("%d attempts", len(x.Attempts)))
	}
	if x.Error != nil {
		facts = append(facts, x.Error.Message)
	}
	return fmt.Sprintf("  %s %-44s %s", mark, prefix+name, strings.Join(facts, "  "))
}

// rowsSetAside is how many rows of its source an activity could not read and kept elsewhere.
func rowsSetAside(x engine.ActivityRun) int64 {
	output, ok := x.Output.(*expr.Object)
	if !ok {
		return 0
	}
	value, _ := output.Get("rowsSkipped")
	n, _ := value.(int64)
	return n
}

// showRun prints a run with its activities.
func (a *app) showRun(ctx context.Context, s *engine.Store, id string) error {
	run, err := s.Run(ctx, id)
	if err != nil {
		return runError(err, id)
	}
	activities, err := s.Activities(ctx, run.ID)
	if err != nil {
		return err
	}
	if a.json() {
		return a.writeJSON(struct {
			Run        engine.RunInfo       `json:"run"`
			Activities []engine.ActivityRun `json:"activities"`
		}{run, activities})
	}
	j := newRunJSON(run)
	fmt.Fprintf(a.out, "%s  run %s · v%d · %s\nstarted %s by %s, took %s\n\n", run.Pipeline, run.ID, run.Version, run.Status, j.When, run.By, j.Took)
	if run.Why != "" {
		fmt.Fprintf(a.out, "%s\n\n", run.Why)
	}
	for _, x := range activities {
		fmt.Fprintln(a.out, a.activityLine(x, ""))
	}
	a.next("Its log: flowehr pipelines logs %s", short(run.ID))
	return nil
}

// printLogs prints the log lines of a run, and with follow those that come until it ends.
func (a *app) printLogs(ctx context.Context, s *engine.Store, id string, follow bool) error {
	run, err := s.Run(ctx, id)
	if err != nil {
		return runError(err, id)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	last := int64(0)
	for range s.Watch(watching, run.ID) {
		if run, err = s.Run(ctx, run.ID); err != nil {
			return err
		}
		for {
			lines, err := s.Logs(ctx, run.ID, "", 0, last)
			if err != nil {
				return err
			}
			for _, l := range lines {
				if err := a.printLogLine(l); err != nil {
					return err
				}
				last = l.Seq
			}
			if len(lines) == 0 {
				break
			}
		}
		if !follow || run.Done() {
			break
		}
	}
	return ctx.Err()
}

// printLogLine prints a line of a log, as a line of JSON when that is asked for.
func (a *app) printLogLine(l engine.LogLine) error {
	if a.json() {
		return json.NewEncoder(a.out).Encode(struct {
			At      time.Time `json:"at"`
			Path    string    `json:"activity"`
			Attempt int       `json:"attempt"`
			Text    string    `json:"text"`
		}{l.At, strings.TrimPrefix(l.Path, "/"), l.Attempt, l.Text})
	}
	_, err := fmt.Fprintf(a.out, "%s  %-30s %s\n", l.At.Local().Format(time.TimeOnly), strings.TrimPrefix(l.Path, "/"), l.Text)
	return err
}

// testPipelines runs what nothing else runs.
func (a *app) testPipelines(ctx context.Context, h *local.Host, s *engine.Store) error {
	list, err := s.Pipelines(ctx)
	if err != nil {
		return err
	}
	called, needs := map[string]bool{}, map[string]bool{}
	for _, p := range list {
		b, err := s.Bundle(ctx, p.Name, p.Version)
		if err != nil {
			return err
		}
		noteCalls(b.Pipeline.Activities, called)
		for _, param := range b.Pipeline.Parameters {
			needs[p.Name] = needs[p.Name] || !param.HasDefault
		}
	}
	ran, failed := []runJSON{}, 0
	for _, p := range list {
		if called[p.Name] || needs[p.Name] {
			continue
		}
		id, err := s.Start(ctx, engine.StartRequest{Pipeline: p.Name, By: a.who()})
		if err != nil {
			return err
		}
		run, err := a.awaitRun(ctx, h, s, id)
		if err != nil {
			return err
		}
		ran = append(ran, newRunJSON(run))
		if a.concludeRun(ctx, h, s, run) != nil {
			failed++
		}
	}
	if a.json() {
		if err := a.writeJSON(ran); err != nil {
			return err
		}
	}
	if failed > 0 {
		return hint(fmt.Errorf("%d of %s failed", failed, render.Plural(int64(len(ran)), "pipeline", "pipelines")), "See their runs with: flowehr pipelines runs --status Failed")
	}
	a.next("%s %s succeeded.", a.style(a.errOut).Done(), render.Plural(int64(len(ran)), "pipeline", "pipelines"))
	return nil
}

// noteCalls adds the pipelines that activities run.
func noteCalls(list []factory.Activity, called map[string]bool) {
	for _, x := range list {
		if x.Type == "ExecutePipeline" && x.Properties != nil {
			if ref, ok := x.Properties.Get("pipeline"); ok {
				if o, ok := ref.(*expr.Object); ok {
					name, _ := o.Get("referenceName")
					called[expr.Text(name)] = true
				}
			}
		}
		for _, b := range x.Branches {
			noteCalls(b.Activities, called)
		}
	}
}
