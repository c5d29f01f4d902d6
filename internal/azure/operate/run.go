package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Status of a run or an activity, in the service's words.
type Status string

// Statuses.
const (
	Queued     Status = "Queued"
	InProgress Status = "InProgress"
	Canceling  Status = "Canceling"
	Succeeded  Status = "Succeeded"
	Failed     Status = "Failed"
	Cancelled  Status = "Cancelled"
	Skipped    Status = "Skipped"
	Inactive   Status = "Inactive"
)

// Done reports whether nothing follows.
func (s Status) Done() bool { return s != "" && s != Queued && s != InProgress && s != Canceling }

// Run is a run of a pipeline. Values of parameters are as the service shows them.
type Run struct {
	ID         string            `json:"runId"`
	Group      string            `json:"runGroupId"` // shared by a run and its repetitions
	Latest     bool              `json:"isLatest"`
	Pipeline   string            `json:"pipelineName"`
	Parameters map[string]string `json:"parameters"`
	InvokedBy  struct {
		Name string `json:"name"`
		Type string `json:"invokedByType"`
	} `json:"invokedBy"`
	Started  *time.Time `json:"runStart"`
	Ended    *time.Time `json:"runEnd"`
	Updated  *time.Time `json:"lastUpdated"`
	Duration int64      `json:"durationInMs"`
	Status   Status     `json:"status"`
	Message  string     `json:"message"`
}

// Activity is one attempt of an activity of a run.
type Activity struct {
	ID        string          `json:"activityRunId"`
	Name      string          `json:"activityName"`
	Type      string          `json:"activityType"`
	Pipeline  string          `json:"pipelineName"`
	Run       string          `json:"pipelineRunId"`
	Started   *time.Time      `json:"activityRunStart"`
	Ended     *time.Time      `json:"activityRunEnd"`
	Duration  int64           `json:"durationInMs"`
	Status    Status          `json:"status"`
	Iteration string          `json:"iterationHash"`
	Attempt   *int            `json:"retryAttempt"` // nil of the first
	Input     json.RawMessage `json:"input"`
	Output    json.RawMessage `json:"output"`
	Error     ActivityError   `json:"error"`
}

// ActivityError is why an activity failed.
type ActivityError struct {
	Code    string `json:"errorCode"`
	Message string `json:"message"`
	Type    string `json:"failureType"`
	Target  string `json:"target"`
}

// Pipelines names the pipelines of the factory, in order.
func (f *Factory) Pipelines(ctx context.Context) ([]string, error) {
	all, err := f.definitions(ctx)
	var names []string
	for _, d := range all {
		names = append(names, d.Name)
	}
	return names, err
}

// unknownPipeline explains that there is no pipeline of a name.
func (f *Factory) unknownPipeline(ctx context.Context, name string) error {
	names, err := f.Pipelines(ctx)
	if err != nil {
		return err
	}
	return &UnknownError{"pipeline", name, names, deployFirst}
}

// Start starts a pipeline and returns the id of its run. Parameters that are not given have their default.
func (f *Factory) Start(ctx context.Context, pipeline string, parameters map[string]any) (string, error) {
	return f.create(ctx, pipeline, "", parameters)
}

// Repetition says from where a run is done again.
type Repetition struct {
	From   string // name of an activity; what comes before it is kept
	Failed bool   // from the activities that failed
}

// Repeat runs the pipeline of a run again, with the parameters of that run, and returns the id of the new run. The service shows
// both as one group. The zero Repetition does all of it again.
func (f *Factory) Repeat(ctx context.Context, run string, how Repetition) (string, error) {
	old, err := f.Run(ctx, run)
	if err != nil {
		return "", err
	}
	if !old.Status.Done() {
		return "", &RefusedError{fmt.Sprintf("run %s of %s is still %s", old.ID, old.Pipeline, old.Status), "Cancel it first, or wait until it has ended."}
	}
	query := "referencePipelineRunId=" + old.ID + "&isRecovery=true"
	switch {
	case how.From != "":
		if err := f.hasActivity(ctx, old, how.From); err != nil {
			return "", err
		}
		query += "&startActivityName=" + url.QueryEscape(how.From)
	case how.Failed:
		if old.Status == Succeeded {
			return "", &RefusedError{fmt.Sprintf("run %s of %s succeeded", old.ID, old.Pipeline), "There is nothing to do again from."}
		}
		query += "&startFromFailure=true"
	}
	return f.create(ctx, old.Pipeline, query, nil)
}

func (f *Factory) hasActivity(ctx context.Context, r Run, name string) error {
	all, err := f.Activities(ctx, r)
	if err != nil {
		return err
	}
	var names []string
	for _, a := range all {
		if !slices.Contains(names, a.Name) {
			names = append(names, a.Name)
		}
	}
	if slices.Contains(names, name) {
		return nil
	}
	return &UnknownError{"activity", name, names, ""}
}

func (f *Factory) create(ctx context.Context, pipeline, query string, parameters map[string]any) (string, error) {
	path := f.path("pipelines", pipeline, "createRun")
	if query != "" {
		path += "&" + query
	}
	if parameters == nil {
		parameters = map[string]any{}
	}
	res, err := f.client.Do(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: path, Body: parameters})
	if cloud.NotFound(err) {
		return "", f.unknownPipeline(ctx, pipeline)
	}
	if err != nil {
		return "", started(err, "a run of "+pipeline+" was started", "See its runs with: flowehr pipelines runs "+pipeline)
	}
	var answer struct {
		RunID string `json:"runId"`
	}
	if err := json.Unmarshal(res.Body, &answer); err != nil || answer.RunID == "" {
		return "", fmt.Errorf("the run of %s was started, and the answer does not name it: %.200s", pipeline, res.Body)
	}
	return answer.RunID, nil
}

// Run reads a run.
func (f *Factory) Run(ctx context.Context, id string) (Run, error) {
	var r Run
	err := f.get(ctx, &r, "pipelineruns", id)
	if cloud.NotFound(err) || cloud.Status(err) == http.StatusBadRequest {
		return r, &UnknownError{What: "run", Name: id, Advice: "Data Factory keeps runs for 45 days. See them with: flowehr pipelines runs"}
	}
	return r, err
}

// Filter selects runs.
type Filter struct {
	Pipeline string
	Status   Status
	Since    time.Time // last changed at or after
	Until    time.Time // and before; zero means now
	Limit    int       // 0 means all
}

// kept is how long Data Factory keeps runs.
const kept = 45 * 24 * time.Hour

// now is the end of a query that has none. The service's clock may be ahead of ours.
func (o Filter) window(now time.Time) (time.Time, time.Time) {
	until := o.Until
	if until.IsZero() {
		until = now.Add(time.Hour)
	}
	since := o.Since
	if since.IsZero() {
		since = until.Add(-kept)
	}
	return since, until
}

// filterJSON is the body of a query of the service.
type filterJSON struct {
	After   time.Time    `json:"lastUpdatedAfter"`
	Before  time.Time    `json:"lastUpdatedBefore"`
	Filters []filterTerm `json:"filters,omitempty"`
	Order   []orderTerm  `json:"orderBy,omitempty"`
	Token   string       `json:"continuationToken,omitempty"`
}

type filterTerm struct {
	Operand  string   `json:"operand"`
	Operator string   `json:"operator"`
	Values   []string `json:"values"`
}

type orderTerm struct {
	By    string `json:"orderBy"`
	Order string `json:"order"`
}

// Runs lists runs, newest first. now is the time by which an open end is meant.
func (f *Factory) Runs(ctx context.Context, o Filter, now time.Time) ([]Run, error) {
	body := filterJSON{Order: []orderTerm{{"RunStart", "DESC"}}}
	body.After, body.Before = o.window(now)
	if o.Pipeline != "" {
		body.Filters = append(body.Filters, filterTerm{"PipelineName", "Equals", []string{o.Pipeline}})
	}
	if o.Status != "" {
		body.Filters = append(body.Filters, filterTerm{"Status", "Equals", []string{string(o.Status)}})
	}
	return pages[Run](ctx, f, body, o.Limit, "queryPipelineRuns")
}

// Activities lists the attempts of a run's activities in the order in which they began.
func (f *Factory) Activities(ctx context.Context, r Run) ([]Activity, error) {
	body := filterJSON{Order: []orderTerm{{"ActivityRunStart", "ASC"}}}
	// The window is of the activities' last change, which lies after the run's start and at most at its own.
	body.After, body.Before = time.Unix(0, 0).UTC(), time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	if r.Started != nil {
		body.After = r.Started.Add(-time.Hour)
	}
	if r.Ended != nil {
		body.Before = r.Ended.Add(24 * time.Hour)
	}
	return pages[Activity](ctx, f, body, 0, "pipelineruns", r.ID, "queryActivityruns")
}

// pages follows the continuation tokens of a query.
func pages[T any](ctx context.Context, f *Factory, body filterJSON, limit int, segments ...string) ([]T, error) {
	var all []T
	for {
		var page struct {
			Value []T    `json:"value"`
			Token string `json:"continuationToken"`
		}
		if err := f.query(ctx, body, &page, segments...); err != nil {
			return all, err
		}
		all = append(all, page.Value...)
		if limit > 0 && len(all) >= limit {
			return all[:limit], nil
		}
		if page.Token == "" || page.Token == body.Token {
			return all, nil
		}
		body.Token = page.Token
	}
}

// Cancel cancels a run and the runs that it started. It returns when the service has taken the request; the run is then Canceling.
func (f *Factory) Cancel(ctx context.Context, id string) error {
	r, err := f.Run(ctx, id)
	if err != nil {
		return err
	}
	if r.Status.Done() {
		return &RefusedError{fmt.Sprintf("run %s of %s is already %s", r.ID, r.Pipeline, strings.ToLower(string(r.Status))), ""}
	}
	_, err = f.client.Do(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: f.path("pipelineruns", id, "cancel") + "&isRecursive=true", Repeats: true})
	return err
}
