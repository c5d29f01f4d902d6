package azure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/plan"
)

// PreviewSource says who told what happens to the resources of a stack.
type PreviewSource string

// Sources of a preview.
const (
	FromStack      PreviewSource = "stack what-if"
	FromDeployment PreviewSource = "deployment what-if" // what is deleted is worked out from the stack's list
	FromTemplates  PreviewSource = "templates"          // the difference of the recorded and the wanted template
)

// previewParallel is how many stacks are previewed at a time.
const previewParallel = 16

// Preview asks Azure what each step of a stack would change and writes it into the plan: a stack whose template is as recorded
// and whose resources are not becomes an update. A template with outputs that are not known yet is compared with the recorded
// one instead, and so is every one where Azure offers no preview; the second result says which was used. A template that Azure
// refuses is an error.
func (t *Target) Preview(ctx context.Context, p flowehr.Plan) (flowehr.Plan, map[flowehr.Ref]PreviewSource, error) {
	p.Steps = slices.Clone(p.Steps)
	sources := make([]PreviewSource, len(p.Steps))
	errs := make([]error, len(p.Steps))
	places := make(chan struct{}, previewParallel)
	var wg sync.WaitGroup
	for i := range p.Steps {
		if p.Steps[i].Want.Ref.Kind != azure.KindStack {
			continue
		}
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			p.Steps[i], sources[i], errs[i] = t.previewed(ctx, p.Steps[i])
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return flowehr.Plan{}, nil, err
	}
	used := map[flowehr.Ref]PreviewSource{}
	for i, s := range p.Steps {
		if sources[i] != "" {
			used[s.Want.Ref] = sources[i]
		}
	}
	p, err := plan.Seal(p)
	return p, used, err
}

func (t *Target) previewed(ctx context.Context, step flowehr.Step) (flowehr.Step, PreviewSource, error) {
	step.Parts = Parts(step)
	if step.Action == flowehr.Delete {
		return step, FromTemplates, nil
	}
	want := step.Want
	want.Spec = t.filled(ctx, want.Spec)
	if unknown, err := refersToUnknown(want); err != nil || unknown {
		return step, FromTemplates, err
	}
	s, err := stackSpec(want)
	if err != nil {
		return step, "", err
	}
	changes, source, err := t.whatIf(ctx, s)
	if heldName(err) {
		return step, FromTemplates, nil // the deployment asks what becomes of it
	}
	if err != nil {
		return step, "", fmt.Errorf("preview of %s: %w", step.Want.Ref, err)
	}
	if source == FromTemplates {
		return step, source, nil
	}
	parts, err := t.partsOfWhatIf(step, s, changes)
	if err != nil {
		return step, "", err
	}
	step.Parts = parts
	differs := slices.ContainsFunc(parts, func(p flowehr.Part) bool { return p.Action != flowehr.Keep })
	if step.Action == flowehr.Keep && differs {
		step.Action, step.Why = flowehr.Update, "what stands differs"
	}
	return step, source, nil
}

// whatIfChange is what Azure would do to one resource. The two APIs tell the same in other words.
type whatIfChange struct {
	ID         string `json:"id"`
	ResourceID string `json:"resourceId"`
	Type       string `json:"changeType"`
	Config     struct {
		Delta []whatIfDelta `json:"delta"`
	} `json:"resourceConfigurationChanges"`
	Delta []whatIfDelta `json:"delta"`
}

type whatIfDelta struct {
	Path     string          `json:"path"`
	Type     string          `json:"changeType"`
	PropType string          `json:"propertyChangeType"`
	Before   json.RawMessage `json:"before"`
	After    json.RawMessage `json:"after"`
	Children []whatIfDelta   `json:"children"`
}

func (c whatIfChange) id() string           { return cmp.Or(c.ID, c.ResourceID) }
func (c whatIfChange) delta() []whatIfDelta { return append(c.Config.Delta, c.Delta...) }

// whatIf asks for a stack's own preview, else for that of a deployment. Source FromTemplates means that there is neither.
func (t *Target) whatIf(ctx context.Context, s azure.StackSpec) ([]whatIfChange, PreviewSource, error) {
	now, stands, err := t.stack(ctx, s.Name)
	if err != nil {
		return nil, "", err
	}
	changes, err := t.stackWhatIf(ctx, s, now)
	if expired(err) {
		changes, err = t.stackWhatIf(ctx, s, now)
	}
	if err == nil {
		return changes, FromStack, nil
	}
	if !unoffered(err) && !expired(err) {
		return nil, "", err
	}
	changes, err = t.deploymentWhatIf(ctx, s)
	switch {
	case err == nil:
		if stands {
			changes = withDeletions(changes, now)
		}
		return changes, FromDeployment, nil
	case unoffered(err):
		return nil, FromTemplates, nil
	}
	return nil, "", err
}

// heldName reports whether err says that a name is held by what was deleted softly, which Azure finds out during a preview.
func heldName(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	cause, is := e.Because("ConflictError", "VaultAlreadyExists")
	return is && strings.Contains(cause.Message, "deleted state")
}

// unoffered reports whether err says that Azure does not offer what was asked for, here or yet.
func unoffered(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	if _, is := e.Because("InvalidResourceType", "NoRegisteredProviderFound", "InvalidApiVersionParameter", "FeatureNotEnabled", "NotSupported",
		"NotImplemented", "ResourceTypeNotSupported", "WhatIfNotSupported", "DeploymentWhatIfNotSupported", "UnsupportedOperation"); is {
		return true
	}
	return e.Status == http.StatusNotFound || e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented
}

// ExpiredPreviewError says that a preview was gone, or the stack had moved on, before it was read.
type ExpiredPreviewError struct {
	Stack string
	Err   error
}

// Error says what happened.
func (e *ExpiredPreviewError) Error() string {
	return fmt.Sprintf("the preview of %s expired before it was read: %v", e.Stack, e.Err)
}

// Unwrap returns what Azure said.
func (e *ExpiredPreviewError) Unwrap() error { return e.Err }

// Explain is for cloud.Explain.
func (e *ExpiredPreviewError) Explain() (what, next string) {
	return "the preview of " + e.Stack + " expired before it was read; nothing was changed", "Make a new plan: flowehr plan"
}

func expired(err error) bool {
	_, is := errors.AsType[*ExpiredPreviewError](err)
	return is
}

const typeWhatIf = "Microsoft.Resources/deploymentStacksWhatIfResults"

// retention is how long Azure keeps a preview that could not be cleaned up.
const retention = "PT2H"

// stackWhatIf makes a preview, reads its details, and takes it away again: it is a resource of the subscription.
func (t *Target) stackWhatIf(ctx context.Context, s azure.StackSpec, now standing) ([]whatIfChange, error) {
	version, _ := arm.Version(typeWhatIf)
	id := arm.SubscriptionID(t.o.Client.Subscription(), typeWhatIf, s.Name+"-"+templateHash(s)[:8])
	body := stackKeeper{t}.properties(s, now)
	body["deploymentStackResourceId"] = stackID(t.o.Client.Subscription(), s.Name)
	body["retentionInterval"] = retention
	_, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: cloud.At(id, version), Body: arm.Object{"location": s.Location, "properties": body}})
	if err != nil {
		return nil, err
	}
	defer func() {
		// What is left goes by itself after the retention interval.
		_, _ = t.o.Client.Do(context.WithoutCancel(ctx), cloud.ARM(), cloud.Request{Method: http.MethodDelete, Path: cloud.At(id, version)})
	}()
	res, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: cloud.At(id+"/whatIf", version), Repeats: true})
	if cloud.NotFound(err) {
		return nil, &ExpiredPreviewError{Stack: s.Name, Err: err}
	}
	if err != nil {
		return nil, err
	}
	var doc struct {
		Properties struct {
			Error   json.RawMessage `json:"error"`
			Changes struct {
				Resources []whatIfChange `json:"resourceChanges"`
			} `json:"changes"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(res.Body, &doc); err != nil {
		return nil, fmt.Errorf("preview of stack %s: %w", s.Name, err)
	}
	return doc.Properties.Changes.Resources, nil
}

func (t *Target) deploymentWhatIf(ctx context.Context, s azure.StackSpec) ([]whatIfChange, error) {
	version, _ := arm.Version(typeDeployment)
	path := cloud.At(arm.SubscriptionID(t.o.Client.Subscription(), typeDeployment, s.Name)+"/whatIf", version)
	res, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: path, Repeats: true, Body: arm.Object{
		"location": s.Location, "properties": arm.Object{"mode": "Incremental", "template": s.Template, "parameters": arm.Object{},
			"whatIfSettings": arm.Object{"resultFormat": "FullResourcePayloads"}}}})
	if err != nil {
		return nil, err
	}
	var doc struct {
		Status     string          `json:"status"`
		Error      json.RawMessage `json:"error"`
		Properties struct {
			Changes []whatIfChange `json:"changes"`
		} `json:"properties"`
	}
	if err := json.Unmarshal(res.Body, &doc); err != nil {
		return nil, fmt.Errorf("preview of %s: %w", s.Name, err)
	}
	if causes := cloud.CausesOf(doc.Error, ""); len(causes) > 0 {
		return nil, &cloud.Error{Service: cloud.ARM().Name, Method: http.MethodPost, Path: path, Status: res.Status, Later: true,
			Code: causes[0].Code, Message: causes[0].Message, Causes: causes}
	}
	return doc.Properties.Changes, nil
}

// withDeletions adds what a deployment does not tell: that the stack deletes what has left its template.
func withDeletions(changes []whatIfChange, now standing) []whatIfChange {
	listed := map[string]bool{}
	kept := changes[:0:0]
	for _, c := range changes {
		if strings.EqualFold(c.Type, "ignore") {
			continue // stands beside the template
		}
		listed[strings.ToLower(c.id())] = true
		kept = append(kept, c)
	}
	for _, r := range now.Properties.Resources {
		if !listed[strings.ToLower(r.ID)] {
			kept = append(kept, whatIfChange{ID: r.ID, Type: "delete"})
		}
	}
	return kept
}
