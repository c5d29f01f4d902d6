package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Trigger is a trigger with its state.
type Trigger struct {
	Name      string
	Type      string
	State     string   // Started, Stopped or Disabled
	Pipelines []string // that it starts
}

// Started reports whether the trigger starts runs.
func (t Trigger) Started() bool { return t.State == "Started" }

// triggerJSON is a trigger as the service has it.
type triggerJSON struct {
	Name       string `json:"name"`
	Properties struct {
		Type      string         `json:"type"`
		State     string         `json:"runtimeState"`
		Pipelines []pipelineJSON `json:"pipelines"`
		Pipeline  *pipelineJSON  `json:"pipeline"`
	} `json:"properties"`
}

type pipelineJSON struct {
	Reference struct {
		Name string `json:"referenceName"`
	} `json:"pipelineReference"`
}

func (j triggerJSON) trigger() Trigger {
	t := Trigger{Name: j.Name, Type: j.Properties.Type, State: j.Properties.State}
	all := j.Properties.Pipelines
	if j.Properties.Pipeline != nil {
		all = append(all, *j.Properties.Pipeline)
	}
	for _, p := range all {
		t.Pipelines = append(t.Pipelines, p.Reference.Name)
	}
	return t
}

// Triggers lists the triggers of the factory, in order.
func (f *Factory) Triggers(ctx context.Context) ([]Trigger, error) {
	var all []Trigger
	err := f.client.Pages(ctx, cloud.ARM(), f.path("triggers"), func(raw json.RawMessage) error {
		var j triggerJSON
		if err := json.Unmarshal(raw, &j); err != nil {
			return err
		}
		all = append(all, j.trigger())
		return nil
	})
	slices.SortFunc(all, func(a, b Trigger) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// Trigger reads one.
func (f *Factory) Trigger(ctx context.Context, name string) (Trigger, error) {
	var j triggerJSON
	err := f.get(ctx, &j, "triggers", name)
	if !cloud.NotFound(err) {
		return j.trigger(), err
	}
	all, err := f.Triggers(ctx)
	if err != nil {
		return Trigger{}, err
	}
	var names []string
	for _, t := range all {
		names = append(names, t.Name)
	}
	return Trigger{}, &UnknownError{"trigger", name, names, deployFirst}
}

// StartTrigger starts a trigger and waits until it is started. One that is started stays so. A trigger of events is subscribed to
// them first.
func (f *Factory) StartTrigger(ctx context.Context, name string) error {
	t, err := f.Trigger(ctx, name)
	if err != nil || t.Started() {
		return err
	}
	if t.Type == "BlobEventsTrigger" || t.Type == "CustomEventsTrigger" {
		if err := f.act(ctx, name, "subscribeToEvents"); err != nil {
			return fmt.Errorf("subscribe trigger %s to its events: %w", name, err)
		}
	}
	return f.act(ctx, name, "start")
}

// StopTrigger stops a trigger and waits until it is stopped. Runs that it has started go on.
func (f *Factory) StopTrigger(ctx context.Context, name string) error {
	t, err := f.Trigger(ctx, name)
	if err != nil || t.State == "Stopped" {
		return err
	}
	return f.act(ctx, name, "stop")
}

// act makes a request to a trigger that may be repeated, and waits for the operation that follows.
func (f *Factory) act(ctx context.Context, name, what string) error {
	_, err := f.client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: f.path("triggers", name, what), Repeats: true})
	return err
}

// TriggerRun is one time that a trigger fired.
type TriggerRun struct {
	ID          string            `json:"triggerRunId"`
	Trigger     string            `json:"triggerName"`
	Type        string            `json:"triggerType"`
	At          time.Time         `json:"triggerRunTimestamp"`
	Status      string            `json:"status"` // Succeeded, Failed, Inprogress, Waiting, …
	Message     string            `json:"message"`
	Properties  map[string]string `json:"properties"`
	Pipelines   map[string]string `json:"triggeredPipelines"` // name -> id of the run
	WindowStart time.Time         `json:"-"`                  // of a tumbling window; zero of others
	WindowEnd   time.Time         `json:"-"`
}

// windowLayouts are the forms in which the service writes the bounds of a window.
var windowLayouts = []string{time.RFC3339Nano, "1/2/2006 3:04:05 PM", "2006-01-02T15:04:05", "01/02/2006 15:04:05"}

func window(s string) time.Time {
	for _, layout := range windowLayouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// TriggerRuns lists the runs of a trigger, newest first. Since and Until of the filter are about the time at which it fired.
func (f *Factory) TriggerRuns(ctx context.Context, name string, o Filter, now time.Time) ([]TriggerRun, error) {
	body := filterJSON{Order: []orderTerm{{"TriggerRunTimestamp", "DESC"}}, Filters: []filterTerm{{"TriggerName", "Equals", []string{name}}}}
	body.After, body.Before = o.window(now)
	all, err := pages[TriggerRun](ctx, f, body, o.Limit, "queryTriggerRuns")
	for i := range all {
		all[i].WindowStart, all[i].WindowEnd = window(all[i].Properties["windowStartTime"]), window(all[i].Properties["windowEndTime"])
	}
	return all, err
}

// Backfill is what happened to the windows of a range.
type Backfill struct {
	Rerun []TriggerRun // that are done again
	Done  []TriggerRun // that had succeeded and were left alone
	Busy  []TriggerRun // that are still being worked on
}

// Backfill does the windows of a tumbling-window trigger again that lie within [from, until) and did not succeed; with all also those
// that did. The service does it, so the trigger's parameters, dependencies and concurrency hold.
//
// Windows for which the trigger never ran are not its to make up for: a trigger that is started works off all windows since its
// startTime by itself.
func (f *Factory) Backfill(ctx context.Context, name string, from, until time.Time, all bool, now time.Time) (Backfill, error) {
	t, err := f.Trigger(ctx, name)
	if err != nil {
		return Backfill{}, err
	}
	if t.Type != "TumblingWindowTrigger" {
		return Backfill{}, &RefusedError{fmt.Sprintf("trigger %s is a %s, which has no windows", name, t.Type), "Run the pipeline instead: flowehr pipelines run " + strings.Join(t.Pipelines, " ")}
	}
	if !t.Started() {
		return Backfill{}, &RefusedError{fmt.Sprintf("trigger %s is %s", name, strings.ToLower(t.State)),
			"Start it, and it makes up for all windows since its startTime: flowehr triggers start " + name}
	}
	runs, err := f.TriggerRuns(ctx, name, Filter{}, now)
	if err != nil {
		return Backfill{}, err
	}
	var b Backfill
	seen := map[time.Time]bool{}
	for _, r := range runs { // newest first: the first of a window is its latest
		if r.WindowStart.IsZero() || r.WindowStart.Before(from) || !r.WindowStart.Before(until) || seen[r.WindowStart] {
			continue
		}
		seen[r.WindowStart] = true
		switch {
		case strings.EqualFold(r.Status, "Succeeded") && !all:
			b.Done = append(b.Done, r)
		case !over(r.Status):
			b.Busy = append(b.Busy, r)
		default:
			b.Rerun = append(b.Rerun, r)
		}
	}
	if len(seen) == 0 {
		return b, &RefusedError{fmt.Sprintf("trigger %s has had no windows from %s to %s", name, from.Format(time.RFC3339), until.Format(time.RFC3339)),
			"Its windows begin at its startTime, and the service keeps their runs for 45 days."}
	}
	slices.SortFunc(b.Rerun, func(x, y TriggerRun) int { return x.WindowStart.Compare(y.WindowStart) })
	for i, r := range b.Rerun {
		_, err := f.client.Do(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: f.path("triggers", name, "triggerRuns", r.ID, "rerun")})
		if err != nil {
			b.Rerun = b.Rerun[:i]
			return b, started(err, "the window from "+r.WindowStart.Format(time.RFC3339)+" is done again", "See its runs with: flowehr triggers list")
		}
	}
	return b, nil
}

// over reports whether a run of a trigger has ended.
func over(status string) bool {
	return contains([]string{"Succeeded", "Failed", "Cancelled"}, status)
}
