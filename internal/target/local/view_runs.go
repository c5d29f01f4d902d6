package local

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/service/portal"
)

// pipelineView shows pipelines.
type pipelineView struct{ *Host }

// Pipelines lists the pipelines in force.
func (v pipelineView) Pipelines(ctx context.Context, _ portal.Person) ([]portal.PipelineSummary, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return nil, err
	}
	list, err := store.Pipelines(ctx)
	if err != nil {
		return nil, err
	}
	var out []portal.PipelineSummary
	for _, p := range list {
		b, err := store.Bundle(ctx, p.Name, p.Version)
		if err != nil {
			return nil, err
		}
		out = append(out, pipelineSummary(p, b))
	}
	return out, nil
}

func pipelineSummary(p engine.PipelineInfo, b factory.Bundle) portal.PipelineSummary {
	s := portal.PipelineSummary{Name: p.Name, Project: p.Project, Folder: b.Dir, Description: b.Pipeline.Description,
		Activities: countActivities(b.Pipeline.Activities), Next: timeOf(p.NextFire)}
	for _, t := range p.Triggers {
		s.Triggers = append(s.Triggers, t.Name)
	}
	if p.LastRun != nil {
		last := runSummary(*p.LastRun)
		s.Last = &last
	}
	return s
}

func countActivities(list []factory.Activity) int {
	n := len(list)
	for _, a := range list {
		for _, b := range a.Branches {
			n += countActivities(b.Activities)
		}
	}
	return n
}

// Pipeline shows one pipeline.
func (v pipelineView) Pipeline(ctx context.Context, _ portal.Person, name string) (portal.Pipeline, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return portal.Pipeline{}, err
	}
	list, err := store.Pipelines(ctx)
	if err != nil {
		return portal.Pipeline{}, err
	}
	i := slices.IndexFunc(list, func(p engine.PipelineInfo) bool { return p.Name == name })
	if i < 0 {
		return portal.Pipeline{}, portal.ErrNotFound
	}
	b, err := store.Bundle(ctx, name, list[i].Version)
	if err != nil {
		return portal.Pipeline{}, notFound(err)
	}
	out := portal.Pipeline{PipelineSummary: pipelineSummary(list[i], b), Nodes: nodes(b.Pipeline.Activities, "")}
	for _, n := range slices.Sorted(maps.Keys(b.Pipeline.Parameters)) {
		p := b.Pipeline.Parameters[n]
		x := portal.Parameter{Name: n, Type: p.Type}
		if p.HasDefault && p.Type != "SecureString" {
			x.Default = expr.EncodeJSON(p.Default)
		}
		out.Parameters = append(out.Parameters, x)
	}
	for _, t := range list[i].Triggers {
		x := portal.Trigger{Name: t.Name, Type: t.Type, Active: t.Started}
		if t.Next != nil && t.Started {
			x.Next = append(x.Next, *t.Next)
		}
		out.Schedule = append(out.Schedule, x)
	}
	out.Versions = []portal.PipelineVersion{{Digest: list[i].Digest, By: list[i].RegisteredBy, At: list[i].RegisteredAt, Note: fmt.Sprintf("version %d", list[i].Version)}}
	if out.Definition, err = definitionText(b); err != nil {
		return out, err
	}
	return out, nil
}

func definitionText(b factory.Bundle) (string, error) {
	encoded, err := b.Encode()
	if err != nil {
		return "", err
	}
	var generic any
	if err := json.Unmarshal(encoded, &generic); err != nil {
		return "", err
	}
	text, err := json.MarshalIndent(generic, "", "  ")
	return string(text), err
}

// nodes shows the activities of a definition. base is the path of the container.
func nodes(list []factory.Activity, base string) []portal.Node {
	var out []portal.Node
	for _, a := range list {
		n := portal.Node{Name: a.Name, Type: a.Type, Path: base + "/" + a.Name, Description: a.Description}
		for _, d := range a.DependsOn {
			n.DependsOn = append(n.DependsOn, portal.Dependency{On: d.Activity, Conditions: d.Conditions})
		}
		for _, b := range a.Branches {
			n.Inside = append(n.Inside, portal.Branch{Name: branchName(a.Type, b), Nodes: nodes(b.Activities, n.Path)})
		}
		out = append(out, n)
	}
	return out
}

func branchName(kind string, b factory.Branch) string {
	switch {
	case b.Default:
		return "default"
	case b.Name == "" && kind == "ForEach":
		return "each"
	case b.Name == "" && kind == "Until":
		return "repeat"
	}
	return b.Name
}

// runView shows runs and acts on them.
type runView struct{ *Host }

// Runs lists runs, newest first. A page is named by how many runs stand before it.
func (v runView) Runs(ctx context.Context, _ portal.Person, f portal.RunFilter) (portal.RunPage, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return portal.RunPage{}, err
	}
	offset, err := pageMark(f.After)
	if err != nil {
		return portal.RunPage{}, portal.ErrNotFound
	}
	limit := max(f.Limit, 1)
	filter := engine.Filter{Pipeline: f.Pipeline, By: f.By, After: f.Since, Limit: limit + 1, Offset: int(offset)}
	if f.State != "" {
		filter.Status = engineStates(f.State)
	}
	list, err := store.Runs(ctx, filter)
	if err != nil {
		return portal.RunPage{}, err
	}
	var page portal.RunPage
	if len(list) > limit {
		list = list[:limit]
		page.Next = strconv.FormatInt(offset+int64(limit), 10)
	}
	for _, r := range list {
		page.Runs = append(page.Runs, runSummary(r))
	}
	return page, nil
}

// pageMark reads where a page begins; nothing means at the beginning.
func pageMark(s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && n < 0 {
		err = strconv.ErrRange
	}
	return n, err
}

// stateNames pairs the states of Data Factory with those of the portal.
var stateNames = map[string]portal.RunState{
	"Queued": portal.Queued, "InProgress": portal.Running, "Succeeded": portal.Succeeded, "Failed": portal.Failed,
	"Canceling": portal.Cancelling, "Cancelled": portal.Cancelled, "Skipped": portal.Skipped, "Interrupted": portal.Cancelled,
}

func engineStates(s portal.RunState) []string {
	var out []string
	for name, state := range stateNames {
		if state == s {
			out = append(out, name)
		}
	}
	return out
}

func runSummary(r engine.RunInfo) portal.RunSummary {
	first, _, _ := strings.Cut(r.Message, "\n")
	trigger := r.Trigger
	if r.Invoked == engine.InvokedManual || r.Invoked == engine.InvokedPipeline {
		trigger = "" // the engine names such runs after how they came about
	}
	return portal.RunSummary{ID: r.ID, Pipeline: r.Pipeline, Project: r.Project, State: stateNames[r.Status], By: r.By, Trigger: trigger,
		Parent: r.Parent, Queued: r.Queued, Started: timeOf(r.Started), Ended: timeOf(r.Ended), Rows: -1, Error: first}
}

// Run shows one run.
func (v runView) Run(ctx context.Context, _ portal.Person, id string) (portal.Run, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return portal.Run{}, err
	}
	info, err := store.Run(ctx, id)
	if err != nil {
		return portal.Run{}, notFound(err)
	}
	bundle, err := store.Bundle(ctx, info.Pipeline, info.Version)
	if err != nil {
		return portal.Run{}, notFound(err)
	}
	activities, err := store.Activities(ctx, info.ID)
	if err != nil {
		return portal.Run{}, err
	}
	variables, err := store.Variables(ctx, info.ID)
	if err != nil {
		return portal.Run{}, err
	}
	out := portal.Run{RunSummary: runSummary(info), Version: info.Digest, Nodes: nodes(bundle.Pipeline.Activities, ""), ResumedOf: info.ResumedFrom,
		Resumable: info.Resumable()}
	if info.Parameters != nil {
		for _, k := range info.Parameters.Keys() {
			value, _ := info.Parameters.Get(k)
			out.Parameters = append(out.Parameters, portal.NameValue{Name: k, Value: jsonText(value)})
		}
	}
	rows := int64(0)
	for _, a := range activities {
		out.Activities = append(out.Activities, activityRun(a))
		rows += max(a.Rows, 0)
	}
	out.Rows = rows
	for _, c := range variables {
		out.Variables = append(out.Variables, portal.VariableChange{At: c.At, Name: c.Name, Value: jsonText(c.Value), Path: c.Path})
	}
	if out.State == portal.Failed {
		out.Unaffected = v.unaffected(ctx, bundle)
	}
	return out, nil
}

// unaffected says which published tables stand although the run failed.
func (v runView) unaffected(ctx context.Context, b factory.Bundle) []string {
	tables, err := v.Published(ctx)
	if err != nil {
		return nil
	}
	var out []string
	for _, t := range tables {
		if t.Pipeline == b.Pipeline.Name {
			out = append(out, fmt.Sprintf("%s keeps version %d of %s.", t.Target, t.Version, t.PublishedAt.Local().Format("2 Jan 15:04")))
		}
	}
	return out
}

func activityRun(a engine.ActivityRun) portal.ActivityRun {
	out := portal.ActivityRun{Path: a.Path, Name: a.Name, Type: a.Type, State: stateNames[a.Status], Started: timeOf(a.Started), Ended: timeOf(a.Ended),
		Rows: writtenRows(a), Input: indented(a.Input), Output: indented(a.Output), ChildRun: a.Child, Note: activityNote(a)}
	for _, t := range a.Attempts {
		x := portal.Attempt{Number: t.Number, State: stateNames[t.Status], Started: t.Started, Ended: timeOf(t.Ended)}
		if t.Error != nil {
			x.Error = t.Error.Message
		}
		out.Attempts = append(out.Attempts, x)
	}
	if a.Error != nil {
		out.Error = &portal.ActivityError{Code: a.Error.Code, Message: a.Error.Message, Type: a.Error.Type}
	}
	for _, t := range a.Trace {
		out.Trace = append(out.Trace, portal.TraceStep{Property: t.Property, Expression: t.Expression, Value: t.Value, Depth: t.Depth})
	}
	for _, t := range a.Tables {
		out.Tables = append(out.Tables, portal.TableUse{Name: t.Name, Written: t.Written, Rows: t.Rows, Version: t.Version})
	}
	return out
}

// writtenRows is -1 for an activity that writes no table.
func writtenRows(a engine.ActivityRun) int64 {
	if a.Rows > 0 || slices.ContainsFunc(a.Tables, func(t engine.Table) bool { return t.Written }) {
		return a.Rows
	}
	return -1
}

// activityNote is what came of an activity, in a few words.
func activityNote(a engine.ActivityRun) string {
	var written []string
	for _, t := range a.Tables {
		if _, name, ok := strings.Cut(t.Name, ":"); ok && t.Written {
			written = append(written, name)
		}
	}
	switch {
	case len(written) > 0:
		return "wrote " + strings.Join(written, ", ")
	case a.Reused:
		return "kept from the run that this one resumes"
	case a.Inactive:
		return "inactive"
	case a.Items > 0:
		return fmt.Sprintf("%d items", a.Items)
	case a.Passes > 0:
		return fmt.Sprintf("%d passes", a.Passes)
	case a.Branch != "":
		return "branch " + a.Branch
	}
	return ""
}

func jsonText(v expr.Value) string { return string(expr.EncodeJSON(v)) }

func indented(v expr.Value) string {
	if v == nil {
		return ""
	}
	b, err := json.MarshalIndent(json.RawMessage(expr.EncodeJSON(v)), "", "  ")
	if err != nil {
		return ""
	}
	return string(b)
}

// Watch tells when a run changes.
func (v runView) Watch(ctx context.Context, _ portal.Person, id string) (<-chan struct{}, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return nil, err
	}
	info, err := store.Run(ctx, id)
	if err != nil {
		return nil, notFound(err)
	}
	return store.Watch(ctx, info.ID), nil
}

// Log returns lines of a run's log.
func (v runView) Log(ctx context.Context, _ portal.Person, q portal.LogQuery) ([]portal.LogLine, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return nil, err
	}
	var out []portal.LogLine
	last := int64(0)
	for {
		lines, err := store.Logs(ctx, q.Run, q.Path, q.Attempt, last)
		if err != nil {
			return nil, notFound(err)
		}
		for _, l := range lines {
			x := portal.LogLine{At: l.At, Path: l.Path, Text: l.Text}
			if strings.HasPrefix(l.Text, "fail") || strings.HasPrefix(l.Text, "error") {
				x.Level = "error"
			}
			out = append(out, x)
			last = l.Seq
		}
		switch {
		case q.Limit > 0 && len(out) > q.Limit && q.Tail:
			out = out[len(out)-q.Limit:]
		case q.Limit > 0 && len(out) >= q.Limit && !q.Tail:
			return out[:q.Limit], nil
		}
		if len(lines) == 0 {
			return out, nil
		}
	}
}

// Start starts a run in the name of the person.
func (v runView) Start(ctx context.Context, by portal.Person, pipeline string, parameters map[string]json.RawMessage) (string, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return "", err
	}
	values := expr.NewObject()
	for _, name := range slices.Sorted(maps.Keys(parameters)) {
		value, err := expr.DecodeJSON(parameters[name])
		if err != nil {
			return "", portal.Refusal{Reason: fmt.Sprintf("The parameter %s is not JSON.", name)}
		}
		values.Set(name, value)
	}
	id, err := store.Start(ctx, engine.StartRequest{Pipeline: pipeline, Parameters: values, By: by.ID})
	return id, refusal(err)
}

// Cancel stops a run and those that it started.
func (v runView) Cancel(ctx context.Context, by portal.Person, id string) error {
	store, err := v.pipelines(ctx)
	if err != nil {
		return err
	}
	return refusal(store.Cancel(ctx, id, by.ID, true))
}

// Resume runs again what did not succeed.
func (v runView) Resume(ctx context.Context, by portal.Person, id string) (string, error) {
	store, err := v.pipelines(ctx)
	if err != nil {
		return "", err
	}
	newID, err := store.Resume(ctx, id, by.ID)
	return newID, refusal(err)
}

// notFound makes what the engine does not know a page that does not exist.
func notFound(err error) error {
	if errors.Is(err, engine.ErrNotFound) {
		return portal.ErrNotFound
	}
	return err
}

// refusal shows a person why the engine does not do what was asked: an unknown parameter, a full queue.
func refusal(err error) error {
	if refused, ok := errors.AsType[*engine.Refusal](err); ok && !errors.Is(err, engine.ErrNotFound) {
		return portal.Refusal{Reason: refused.Reason}
	}
	return notFound(err)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
