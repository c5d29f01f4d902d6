// Package azure is the azure target: it lowers an environment with package estate, and makes, reads and removes what comes of
// it through the services of Azure, Databricks and GitHub.
//
// A keeper looks after one kind of resource. The deployment stacks of Azure Resource Manager own what is in their templates;
// everything else is found again by its name, so a lost state can be rebuilt.
//
// The rule that holds here: every request may be repeated. A step that was cut short anywhere is done again from its
// beginning and makes nothing twice.
package azure

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Options say what a target works on.
type Options struct {
	Client *cloud.Client
	Facts  azure.Facts
	Files  fs.FS // of the definition, for what is uploaded
	GitHub GitHubApp
	SQL    SQL
	Now    flowehr.Clock

	// Outputs returns what is recorded of a resource, so that reading can fill in what a description refers to. Nil means that
	// nothing is recorded.
	Outputs func(flowehr.Ref) (map[string]string, bool)

	// Wanted are all resources of the environment as they were lowered. With them a lost state is found again in one go, and
	// triggers that an update of the pipelines had to stop are started again.
	Wanted []flowehr.Resource

	// Recover says what to do with a name that is held by something deleted softly. Nil refuses.
	Recover func(ctx context.Context, d SoftDeleted) (Choice, error)

	// Purge has what is deleted softly purged when its stack is removed, where Azure allows it.
	Purge bool
}

// SQL is how database servers are reached. The zero value reaches them over the network.
type SQL struct {
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	TLS  *tls.Config // whose certificates are trusted
}

// GitHubApp is how repositories are managed. The zero value means that they are not.
type GitHubApp struct {
	AppID, InstallationID, Owner string
	Key                          flowehr.Secret // PEM
	Token                        flowehr.Secret // a personal access token, used when there is no key
}

// Target is an apply.Target.
type Target struct {
	o       Options
	keepers map[string]keeper
	lookups lookups
}

// made is what came of a resource that was made to stand.
type made struct {
	id      string
	outputs map[string]string
}

// keeper looks after the resources of one kind. Every method may be called again after a crash. The descriptions that it is
// given have every output of another resource filled in.
type keeper interface {
	// ensure makes the resource stand as described. prior is what was recorded of it, nil when nothing was.
	ensure(ctx context.Context, r flowehr.Resource, prior *flowehr.Record, in apply.Inputs) (made, error)
	// read returns the description as it stands, in the form of r's and as far as can be told, and what ensure returns.
	// The error is apply.ErrGone when the resource does not exist.
	read(ctx context.Context, r flowehr.Resource, id string) (json.RawMessage, made, error)
	// remove takes it away. One that is not there is no error.
	remove(ctx context.Context, r flowehr.Resource, id string) error
}

// New returns a target. It makes no request.
func New(o Options) *Target {
	if o.Now == nil {
		o.Now = time.Now
	}
	t := &Target{o: o, keepers: map[string]keeper{}}
	maps.Copy(t.keepers, t.stackKeepers())
	maps.Copy(t.keepers, t.directoryKeepers())
	maps.Copy(t.keepers, t.vaultKeepers())
	maps.Copy(t.keepers, t.databricksKeepers())
	maps.Copy(t.keepers, t.storeKeepers())
	maps.Copy(t.keepers, t.gitHubKeepers())
	return t
}

func (t *Target) keeper(kind string) (keeper, error) {
	if k, ok := t.keepers[kind]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("this version does not know resources of kind %q in Azure", kind)
}

// Do makes the step's resource stand as wanted, or takes it away.
func (t *Target) Do(ctx context.Context, step flowehr.Step, in apply.Inputs) (flowehr.Record, error) {
	rec := flowehr.Record{Resource: step.Want, At: t.o.Now().UTC()}
	k, err := t.keeper(step.Want.Ref.Kind)
	if err != nil || step.Action == flowehr.Keep {
		return rec, err
	}
	if step.Action == flowehr.Delete || step.Action == flowehr.Replace {
		if err := t.remove(ctx, k, step); err != nil || step.Action == flowehr.Delete {
			return rec, err
		}
	}
	want := step.Want
	if want.Spec, err = apply.ResolveOutputs(step.Want.Spec, in); err != nil {
		return rec, err
	}
	m, err := k.ensure(ctx, want, step.Prior, in)
	rec.ID, rec.Outputs = m.id, m.outputs
	if err == nil {
		t.lookups.put(step.Want.Ref, m.outputs)
	}
	return rec, err
}

// remove takes away what stands, described as far as it is still known.
func (t *Target) remove(ctx context.Context, k keeper, step flowehr.Step) error {
	if step.Prior == nil {
		return nil
	}
	r := step.Prior.Resource
	r.Spec = t.filled(ctx, r.Spec)
	t.lookups.drop(r.Ref)
	return k.remove(ctx, r, step.Prior.ID)
}

// recorded returns the value of an output as the record has it, empty when it has none.
func (t *Target) recorded(o flowehr.OutputRef) string {
	if t.o.Outputs == nil {
		return ""
	}
	outs, _ := t.o.Outputs(o.Ref)
	return outs[o.Name]
}
