package azure

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

const typeStack = "Microsoft.Resources/deploymentStacks"

// Tags of a stack: that it is ours, and of which template.
const (
	tagProduct  = "flowehr"
	tagTemplate = "flowehr-template"
)

func (t *Target) stackKeepers() map[string]keeper {
	return map[string]keeper{azure.KindStack: stackKeeper{t}, KindResourceGroup: resourceGroupKeeper{t}}
}

// stackKeeper looks after deployment stacks at subscription scope (learn.microsoft.com/azure/azure-resource-manager/templates/
// deployment-stacks). A stack deletes what has left its template.
type stackKeeper struct{ t *Target }

// standing is a stack as Azure tells it.
type standing struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Location   string            `json:"location"`
	Tags       map[string]string `json:"tags"`
	Properties struct {
		State        string `json:"provisioningState"`
		DeploymentID string `json:"deploymentId"`
		DenySettings struct {
			Mode     string   `json:"mode"`
			Excluded []string `json:"excludedPrincipals"`
		} `json:"denySettings"`
		Outputs   map[string]json.RawMessage `json:"outputs"`
		Resources []struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		} `json:"resources"`
		Failed []struct {
			ID    string          `json:"id"`
			Error json.RawMessage `json:"error"`
		} `json:"failedResources"`
	} `json:"properties"`
}

// resting reports whether nobody changes the stack now.
func (s standing) resting() bool {
	switch strings.ToLower(s.Properties.State) {
	case "succeeded", "failed", "canceled", "":
		return true
	}
	return false
}

func (s standing) succeeded() bool { return strings.EqualFold(s.Properties.State, "succeeded") }

func stackID(subscription, name string) string {
	return arm.SubscriptionID(subscription, typeStack, name)
}

func (t *Target) stackPath(name string) string {
	version, _ := arm.Version(typeStack)
	return cloud.At(stackID(t.o.Client.Subscription(), name), version)
}

// stack reads a stack; ok is false when there is none.
func (t *Target) stack(ctx context.Context, name string) (s standing, ok bool, err error) {
	err = t.o.Client.Get(ctx, cloud.ARM(), t.stackPath(name), &s)
	if cloud.NotFound(err) {
		return s, false, nil
	}
	return s, err == nil, err
}

func stackSpec(r flowehr.Resource) (azure.StackSpec, error) {
	s, err := decodeSpec[azure.StackSpec](r)
	if err == nil && (s.Name == "" || len(s.Template) == 0) {
		err = fmt.Errorf("description of %s has no name or no template", r.Ref)
	}
	s.Template = s.Named()
	return s, err
}

// templateHash names a template by its content. A tag holds 256 characters.
func templateHash(s azure.StackSpec) string {
	canonical, err := flowehr.Canonical(s.Template)
	if err != nil {
		canonical = s.Template
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:])
}

// ensure deploys the template. A deployment of the same template that goes on already, begun before a crash, is waited for;
// one of another template is waited for and then followed by this one, since a stack cannot be stopped.
func (k stackKeeper) ensure(ctx context.Context, r flowehr.Resource, prior *flowehr.Record, in apply.Inputs) (made, error) {
	s, err := stackSpec(r)
	if err != nil {
		return made{}, err
	}
	now, stands, err := k.t.stack(ctx, s.Name)
	if err != nil {
		return made{}, err
	}
	attached := false
	if stands && !now.resting() {
		in.Note("Azure is still busy with this stack (" + now.Properties.State + "), waiting")
		attached = true
		if now, stands, err = k.settle(ctx, s, in); err != nil {
			return made{}, err
		}
	}
	same := stands && now.succeeded() && now.Tags[tagTemplate] == templateHash(s)
	if same && (attached || prior == nil) {
		return k.result(ctx, s)
	}
	return k.deploy(ctx, s, now, in)
}

// settle waits until nobody changes the stack. That it failed is no failure of ours: it is deployed again.
func (k stackKeeper) settle(ctx context.Context, s azure.StackSpec, in apply.Inputs) (standing, bool, error) {
	_, err := k.t.o.Client.Finish(ctx, cloud.Attach(cloud.ARM(), k.t.stackPath(s.Name)), k.progress(s, in))
	if e, ok := errors.AsType[*cloud.Error](err); err != nil && !(ok && e.Later) && !cloud.NotFound(err) {
		return standing{}, false, err
	}
	return k.t.stack(ctx, s.Name)
}

// deployAttempts is how often a template is sent, when what kept it from being deployed has been put right in between.
const deployAttempts = 3

func (k stackKeeper) deploy(ctx context.Context, s azure.StackSpec, now standing, in apply.Inputs) (made, error) {
	want, err := partsOf(k.t.o.Client.Subscription(), s.Template)
	if err != nil {
		return made{}, err
	}
	if err := k.t.freeNames(ctx, want, in); err != nil {
		return made{}, err
	}
	if err := k.t.stopTriggers(ctx, now, want, in); err != nil {
		return made{}, err
	}
	body := arm.Object{"location": s.Location, "tags": arm.Object{tagProduct: s.Name, tagTemplate: templateHash(s)}, "properties": k.properties(s, now)}
	request := cloud.Request{Method: http.MethodPut, Path: k.t.stackPath(s.Name), Body: body}
	for n := 1; ; n++ {
		op, err := k.t.o.Client.Begin(ctx, cloud.ARM(), request)
		if err == nil {
			_, err = k.t.o.Client.Finish(ctx, op, k.progress(s, in))
		}
		if err == nil {
			break
		}
		if n == deployAttempts {
			return made{}, k.explained(ctx, s, err)
		}
		if busy(err) {
			in.Note("somebody else changes this stack, waiting")
			if _, _, err := k.settle(ctx, s, in); err != nil {
				return made{}, err
			}
			continue
		}
		if err = k.explained(ctx, s, err); !k.t.dropStale(ctx, err, want, in) {
			return made{}, err
		}
	}
	if err := k.t.startTriggers(ctx, want, in); err != nil {
		return made{}, err
	}
	return k.result(ctx, s)
}

const typeRoleAssignment = "Microsoft.Authorization/roleAssignments"

// dropStale deletes role assignments of the template that are still for an identity that is no more: that of a resource which was
// deleted and made again under the same name. Azure lets nobody change whom an assignment is for. It reports whether there were
// any, so that the template can be deployed again.
func (t *Target) dropStale(ctx context.Context, err error, want []part, in apply.Inputs) bool {
	failed, ok := errors.AsType[*StackError](err)
	if !ok {
		return false
	}
	dropped := false
	for _, c := range failed.Failed {
		ours := slices.ContainsFunc(want, func(p part) bool {
			return strings.EqualFold(p.typ, typeRoleAssignment) && strings.EqualFold(p.id, c.Target)
		})
		if c.Code != "RoleAssignmentUpdateNotPermitted" || !ours {
			continue
		}
		in.Note("a role is still given to an identity that is no more, giving it anew")
		if t.deleteResource(ctx, typeRoleAssignment, c.Target) != nil {
			return false // the refusal in hand says more
		}
		dropped = true
	}
	return dropped
}

func busy(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok || e.Later {
		return false
	}
	_, is := e.Because("DeploymentStackInNonTerminalState")
	return is
}

// mostExcluded is how many principals deny settings may leave out.
const mostExcluded = 5

// properties is what a stack is made with, besides what it is asked to preview with.
func (k stackKeeper) properties(s azure.StackSpec, now standing) arm.Object {
	deny := arm.Object{"mode": "none", "applyToChildScopes": false}
	if s.Deny {
		// Whoever deploys must be able to delete what a template drops and what is taken away before the stack. Deployers of
		// before keep that.
		excluded := []string{}
		if id := k.t.o.Facts.Deployer.ObjectID; id != "" {
			excluded = append(excluded, id)
		}
		for _, id := range now.Properties.DenySettings.Excluded {
			if !slices.Contains(excluded, id) && len(excluded) < mostExcluded {
				excluded = append(excluded, id)
			}
		}
		deny = arm.Object{"mode": "denyDelete", "applyToChildScopes": false, "excludedPrincipals": excluded}
	}
	return arm.Object{
		"actionOnUnmanage": arm.Object{"resources": "delete", "resourceGroups": "delete", "managementGroups": "detach", "resourcesWithoutDeleteSupport": "detach"},
		"denySettings":     deny,
		"template":         s.Template,
		"parameters":       arm.Object{},
	}
}

// Azure tells a stack's deployment some time after it tells that the stack is done.
const (
	deploymentPause = 5 * time.Second
	deploymentLimit = 10 * time.Minute
)

func (k stackKeeper) result(ctx context.Context, s azure.StackSpec) (made, error) {
	var now standing
	err := until(ctx, k.t.o.Client, "wait for the deployment of "+s.Name, deploymentPause, deploymentLimit, func() (bool, error) {
		var stands bool
		var err error
		if now, stands, err = k.t.stack(ctx, s.Name); err != nil {
			return false, err
		}
		if !stands {
			return false, fmt.Errorf("stack %s has gone just after it was deployed", s.Name)
		}
		return now.Properties.DeploymentID != "", nil
	})
	if err != nil {
		return made{}, err
	}
	return now.made(), nil
}

func (s standing) made() made {
	m := made{id: s.ID, outputs: map[string]string{}}
	for name, raw := range s.Properties.Outputs {
		var typed struct {
			Value any `json:"value"`
		}
		var plain string
		switch {
		case json.Unmarshal(raw, &plain) == nil:
			m.outputs[name] = plain
		case json.Unmarshal(raw, &typed) == nil && typed.Value != nil:
			if text, ok := typed.Value.(string); ok {
				m.outputs[name] = text
			} else if b, err := flowehr.Canonical(typed.Value); err == nil {
				m.outputs[name] = string(b)
			}
		}
	}
	return m
}

// read compares by the hash that the stack carries. When the template is another one, Azure is asked for it, so that the
// difference can be shown.
func (k stackKeeper) read(ctx context.Context, r flowehr.Resource, _ string) (json.RawMessage, made, error) {
	s, err := stackSpec(r)
	if err != nil {
		return nil, made{}, err
	}
	now, stands, err := k.t.stack(ctx, s.Name)
	if err != nil {
		return nil, made{}, err
	}
	if !stands {
		return nil, made{}, gone("stack %s", s.Name)
	}
	written, err := decodeSpec[azure.StackSpec](r) // with what stands for names, as in the description that this is compared with
	if err != nil {
		return nil, made{}, err
	}
	found := azure.StackSpec{Name: now.Name, Location: now.Location, Template: written.Template, Names: written.Names,
		Deny: now.Properties.DenySettings.Mode != "" && !strings.EqualFold(now.Properties.DenySettings.Mode, "none")}
	if sameLocation(found.Location, s.Location) {
		found.Location = s.Location
	}
	if now.Tags[tagTemplate] != templateHash(s) || now.resting() && !now.succeeded() {
		found.Template = k.deployed(ctx, now)
	}
	b, err := flowehr.Canonical(found)
	return b, now.made(), err
}

// deployed returns the template that a stack was made from. Where Azure does not give it, or the last deployment of it did not
// succeed, what is returned is no template, so that it differs from every one.
func (k stackKeeper) deployed(ctx context.Context, now standing) json.RawMessage {
	other := json.RawMessage(fmt.Sprintf(`{"deployed":%q,"state":%q}`, now.Tags[tagTemplate], now.Properties.State))
	if !now.succeeded() {
		return other
	}
	version, _ := arm.Version(typeStack)
	var out struct {
		Template json.RawMessage `json:"template"`
	}
	err := k.t.o.Client.Call(ctx, cloud.ARM(), http.MethodPost, cloud.At(stackID(k.t.o.Client.Subscription(), now.Name)+"/exportTemplate", version), nil, &out)
	if err != nil || len(out.Template) == 0 {
		return other
	}
	return out.Template
}

// sameLocation compares "UK South" with "uksouth".
func sameLocation(a, b string) bool {
	return strings.EqualFold(strings.ReplaceAll(a, " ", ""), strings.ReplaceAll(b, " ", ""))
}
