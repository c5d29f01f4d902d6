package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// operation is one thing that a deployment does (learn.microsoft.com/rest/api/resources/deployment-operations).
type operation struct {
	Properties struct {
		Does   string `json:"provisioningOperation"`
		State  string `json:"provisioningState"`
		Target struct {
			ID   string `json:"id"`
			Type string `json:"resourceType"`
			Name string `json:"resourceName"`
		} `json:"targetResource"`
		Message json.RawMessage `json:"statusMessage"`
	} `json:"properties"`
}

func (o operation) nested() bool {
	return strings.EqualFold(o.Properties.Target.Type, typeDeployment) && o.Properties.Target.ID != ""
}

// mostNested bounds how deep deployments are followed: templates of ours nest once.
const mostNested = 4

// operations calls each with what a deployment does, that of nested ones included.
func (t *Target) operations(ctx context.Context, deployment string, depth int, each func(operation)) error {
	version, _ := arm.Version(typeDeployment)
	var nested []string
	err := t.o.Client.Pages(ctx, cloud.ARM(), cloud.At(deployment+"/operations", version), func(raw json.RawMessage) error {
		var o operation
		if err := json.Unmarshal(raw, &o); err != nil {
			return err
		}
		switch {
		case o.nested():
			nested = append(nested, o.Properties.Target.ID)
		case o.Properties.Target.ID != "":
			each(o)
		}
		return nil
	})
	if err != nil || depth == mostNested {
		return err
	}
	for _, id := range nested {
		if err := t.operations(ctx, id, depth+1, each); err != nil {
			return err
		}
	}
	return nil
}

// progress returns what looks at a deployment while it is waited for and notes how far it is, when that has changed. How far
// it is cannot always be told; that is no failure.
func (k stackKeeper) progress(s azure.StackSpec, in apply.Inputs) func(context.Context) error {
	parts, err := partsOf(k.t.o.Client.Subscription(), s.Template)
	if err != nil {
		return nil
	}
	last := ""
	return func(ctx context.Context) error {
		now, stands, err := k.t.stack(ctx, s.Name)
		if err != nil || !stands || now.Properties.DeploymentID == "" {
			return nil
		}
		done, running := map[string]bool{}, map[string]bool{}
		err = k.t.operations(ctx, now.Properties.DeploymentID, 0, func(o operation) {
			id := strings.ToLower(o.Properties.Target.ID)
			switch strings.ToLower(o.Properties.State) {
			case "succeeded":
				done[id] = true
			case "failed", "canceled":
			default:
				running[id] = true
			}
		})
		if err != nil {
			return nil
		}
		if note := howFar(parts, done, running); note != last {
			last = note
			in.Note(note)
		}
		return nil
	}
}

// mostWaiting is how many resources a note names.
const mostWaiting = 2

// howFar writes "31 of 34, waiting for dbks-x". done and running have ids in lower case.
func howFar(parts []part, done, running map[string]bool) string {
	n := 0
	var waiting []string
	for _, p := range parts {
		id := strings.ToLower(p.id)
		switch {
		case done[id]:
			n++
		case running[id]:
			waiting = append(waiting, p.name)
		}
	}
	text := fmt.Sprintf("%d of %d", n, len(parts))
	if len(waiting) == 0 {
		return text
	}
	more := ""
	if len(waiting) > mostWaiting {
		more = fmt.Sprintf(" and %d more", len(waiting)-mostWaiting)
		waiting = waiting[:mostWaiting]
	}
	return text + ", waiting for " + strings.Join(waiting, ", ") + more
}

// StackError says why a stack could not be deployed or removed, by resource.
type StackError struct {
	Stack   string
	Failed  []cloud.Cause // Target is the id of the resource, where Azure says it
	Skipped int           // resources of the template that were not reached
	Err     error
}

// Error names every resource that failed.
func (e *StackError) Error() string {
	if len(e.Failed) == 0 {
		return fmt.Sprintf("stack %s: %v", e.Stack, e.Err)
	}
	lines := make([]string, len(e.Failed))
	for i, c := range e.Failed {
		lines[i] = shortTarget(c).String()
	}
	return fmt.Sprintf("stack %s: %s", e.Stack, strings.Join(lines, "; "))
}

// Unwrap returns the refusal as Azure told it.
func (e *StackError) Unwrap() error { return e.Err }

// shortTarget names a resource by its last two segments instead of its whole id.
func shortTarget(c cloud.Cause) cloud.Cause {
	if segments := strings.Split(c.Target, "/"); strings.HasPrefix(c.Target, "/") && len(segments) > 2 {
		c.Target = segments[len(segments)-1]
	}
	return c
}

// explained adds to a failure what failed and why: from the refusal, from the stack, and from what its deployment did.
func (k stackKeeper) explained(ctx context.Context, s azure.StackSpec, err error) error {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok || e.Status == 0 || ctx.Err() != nil {
		return err
	}
	out := &StackError{Stack: s.Name, Err: err}
	if e.Later {
		out.Failed = k.failures(ctx, s)
	}
	if len(out.Failed) == 0 {
		out.Failed = e.Causes
	} else {
		e.Causes = out.Failed // what is passing and what is not is told by the innermost reasons
	}
	return out
}

func (k stackKeeper) failures(ctx context.Context, s azure.StackSpec) []cloud.Cause {
	now, stands, err := k.t.stack(ctx, s.Name)
	if err != nil || !stands {
		return nil
	}
	var out []cloud.Cause
	add := func(id string, raw json.RawMessage) {
		for _, c := range cloud.CausesOf(raw, id) {
			if !slices.ContainsFunc(out, func(o cloud.Cause) bool { return o.Code == c.Code && strings.EqualFold(o.Target, c.Target) }) {
				out = append(out, c)
			}
		}
	}
	if now.Properties.DeploymentID != "" {
		// What cannot be listed is missing in the message only.
		_ = k.t.operations(ctx, now.Properties.DeploymentID, 0, func(o operation) {
			if strings.EqualFold(o.Properties.State, "failed") {
				add(o.Properties.Target.ID, o.Properties.Message)
			}
		})
	}
	for _, f := range now.Properties.Failed {
		add(f.ID, f.Error)
	}
	return out
}
