package operate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// deployFirst is the advice when something of a definition is not in the factory.
const deployFirst = "Deploy it with: flowehr deploy transform"

// Progress is a change that was seen while a run was followed: of the run itself, or of one of its activities.
type Progress struct {
	Run      Run
	Activity *Activity
}

// Follow waits until a run has ended and tells of every change that it sees. When ctx ends first the run goes on.
func (f *Factory) Follow(ctx context.Context, id string, tell func(Progress)) (Run, error) {
	if tell == nil {
		tell = func(Progress) {}
	}
	seen := map[string]Status{}
	var last Status
	for waited := time.Duration(0); ; {
		r, err := f.Run(ctx, id)
		if err != nil {
			return r, err
		}
		all, err := f.Activities(ctx, r)
		if err != nil {
			return r, err
		}
		for _, a := range all {
			if seen[a.ID] != a.Status {
				seen[a.ID] = a.Status
				tell(Progress{Run: r, Activity: &a})
			}
		}
		if r.Status != last {
			last = r.Status
			tell(Progress{Run: r})
		}
		if r.Status.Done() {
			return r, nil
		}
		d := pause(waited)
		if err := f.client.Wait(ctx, d); err != nil {
			return r, fmt.Errorf("run %s of %s goes on in Azure: %w", r.ID, r.Pipeline, err)
		}
		waited += d
	}
}

// Result is how one pipeline of a test ended.
type Result struct {
	Pipeline string
	Run      Run
	Cause    *Activity // the activity that made it fail, as far as can be told
	Err      error     // it could not be started or followed
}

// OK reports whether the pipeline succeeded.
func (r Result) OK() bool { return r.Err == nil && r.Run.Status == Succeeded }

// ErrTest says that a pipeline of a test did not succeed.
var ErrTest = errors.New("not every pipeline succeeded")

// Test runs pipelines one after the other and waits for each, as a test of a deployment. When none are named it runs those that
// can stand for all: the ones that no other starts and that need no parameter. Every pipeline that was begun has a result. The
// error is [ErrTest] when one did not succeed.
func (f *Factory) Test(ctx context.Context, pipelines []string, tell func(Progress)) ([]Result, error) {
	all, err := f.definitions(ctx)
	if err != nil {
		return nil, err
	}
	var known []string
	for _, d := range all {
		known = append(known, d.Name)
	}
	for _, p := range pipelines {
		if !contains(known, p) {
			return nil, &UnknownError{"pipeline", p, known, deployFirst}
		}
	}
	if len(pipelines) == 0 {
		pipelines = standing(all)
	}
	var results []Result
	for _, p := range pipelines {
		r := Result{Pipeline: p}
		var id string
		if id, r.Err = f.Start(ctx, p, nil); r.Err == nil {
			r.Run, r.Err = f.Follow(ctx, id, tell)
		}
		if r.Err == nil && r.Run.Status != Succeeded {
			r.Cause, r.Err = f.cause(ctx, r.Run)
		}
		results = append(results, r)
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
	}
	if slices.ContainsFunc(results, func(r Result) bool { return !r.OK() }) {
		return results, ErrTest
	}
	return results, nil
}

// definition is as much of a pipeline as has to be known to choose it.
type definition struct {
	Name       string `json:"name"`
	Properties struct {
		Parameters map[string]struct {
			Default json.RawMessage `json:"defaultValue"`
		} `json:"parameters"`
		Activities json.RawMessage `json:"activities"`
	} `json:"properties"`
}

// definitions reads the pipelines of the factory, in order of their names.
func (f *Factory) definitions(ctx context.Context) ([]definition, error) {
	var all []definition
	err := f.client.Pages(ctx, cloud.ARM(), f.path("pipelines"), func(raw json.RawMessage) error {
		var d definition
		if err := json.Unmarshal(raw, &d); err != nil {
			return err
		}
		all = append(all, d)
		return nil
	})
	slices.SortFunc(all, func(a, b definition) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}

// standing names the pipelines that no other starts and that need no parameter.
func standing(all []definition) []string {
	called := map[string]bool{}
	for _, d := range all {
		var activities any
		if json.Unmarshal(d.Properties.Activities, &activities) == nil {
			calls(activities, d.Name, called)
		}
	}
	var names []string
	for _, d := range all {
		needs := false
		for _, p := range d.Properties.Parameters {
			needs = needs || p.Default == nil
		}
		if !called[d.Name] && !needs {
			names = append(names, d.Name)
		}
	}
	return names
}

// calls notes every pipeline that v refers to, itself left out.
func calls(v any, itself string, called map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			calls(e, itself, called)
		}
	case map[string]any:
		if name, _ := v["referenceName"].(string); v["type"] == "PipelineReference" && name != itself {
			called[name] = true
		}
		for _, e := range v {
			calls(e, itself, called)
		}
	}
}

// cause is the activity because of which a run failed: the last one to fail that the message of the run names, else the first that
// failed.
func (f *Factory) cause(ctx context.Context, r Run) (*Activity, error) {
	all, err := f.Activities(ctx, r)
	if err != nil {
		return nil, err
	}
	var first *Activity
	for i := range all {
		a := &all[i]
		if a.Status != Failed {
			continue
		}
		if strings.Contains(r.Message, a.Name) {
			return a, nil
		}
		if first == nil {
			first = a
		}
	}
	return first, nil
}
