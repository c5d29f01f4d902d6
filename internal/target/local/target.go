package local

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/audit"
)

// Target makes, reads and removes the resources of one environment on this machine. It is plan.Lowerer and
// apply.Target.
type Target struct{ host *Host }

// Target returns the target that works on h. Steps need the database server: call Do within [Host.WithServer].
func (h *Host) Target() *Target { return &Target{h} }

// keeper looks after the resources of one kind. Every method may be called again after a crash.
type keeper interface {
	// ensure makes the resource stand as described.
	ensure(ctx context.Context, r flowehr.Resource, in apply.Inputs) error
	// outputs says what others may want to know of the resource. It follows from the description, so that a record
	// that was lost can be made again.
	outputs(r flowehr.Resource) (map[string]string, error)
	// exists reports whether the resource stands.
	exists(ctx context.Context, r flowehr.Resource) (bool, error)
	// remove takes it away. One that is not there is no error.
	remove(ctx context.Context, r flowehr.Resource) error
}

func (t *Target) keeper(kind string) (keeper, error) {
	switch kind {
	case kindVault:
		return vaultKeeper{t.host}, nil
	case kindAudit:
		return auditKeeper{t.host}, nil
	case kindDatabase:
		return databaseKeeper{t.host}, nil
	case kindGroup:
		return groupKeeper{t.host}, nil
	case kindZone:
		return zoneKeeper{t.host}, nil
	case kindStore:
		return storeKeeper{t.host}, nil
	case kindLogin:
		return loginKeeper{t.host}, nil
	case kindSource:
		return sourceKeeper{t.host}, nil
	case kindPipeline:
		return pipelineKeeper{t.host}, nil
	case kindConnectivity:
		return connectivityKeeper{t.host}, nil
	case kindTrigger:
		return triggerKeeper{t.host}, nil
	}
	return nil, fmt.Errorf("this version does not know resources of kind %q", kind)
}

// Read returns rec if the resource stands, else apply.ErrGone.
func (t *Target) Read(ctx context.Context, rec flowehr.Record) (flowehr.Record, error) {
	k, err := t.keeper(rec.Resource.Ref.Kind)
	if err != nil {
		return rec, err
	}
	ok, err := k.exists(ctx, rec.Resource)
	if err != nil {
		return rec, fmt.Errorf("look for %s: %w", rec.Resource.Ref, err)
	}
	if !ok {
		return rec, apply.ErrGone
	}
	rec.ID = rec.Resource.Ref.String()
	rec.Outputs, err = k.outputs(rec.Resource)
	return rec, err
}

// Do makes the step's resource stand as wanted, or takes it away, and records who did so.
func (t *Target) Do(ctx context.Context, step flowehr.Step, in apply.Inputs) (flowehr.Record, error) {
	rec := flowehr.Record{Resource: step.Want, ID: step.Want.Ref.String()}
	k, err := t.keeper(step.Want.Ref.Kind)
	if err != nil {
		return rec, err
	}
	switch step.Action { //exhaustive:enforce
	case flowehr.Keep:
		return rec, nil
	case flowehr.Create, flowehr.Update:
		err = k.ensure(ctx, step.Want, in)
	case flowehr.Replace:
		if step.Prior != nil {
			err = k.remove(ctx, step.Prior.Resource)
		}
		if err == nil {
			err = k.ensure(ctx, step.Want, in)
		}
	case flowehr.Delete:
		err = k.remove(ctx, step.Want)
	}
	if err == nil && step.Action != flowehr.Delete {
		rec.Outputs, err = k.outputs(step.Want)
	}
	if auditErr := t.record(ctx, step, err); auditErr != nil && err == nil {
		err = auditErr
	}
	rec.At = t.host.Now().UTC().Truncate(time.Millisecond)
	return rec, err
}

// record writes what a step did to the audit log. The log itself goes last, so its own removal is the one step that
// nobody can read about afterwards.
func (t *Target) record(ctx context.Context, step flowehr.Step, failed error) error {
	e := audit.Entry{Action: "environment." + step.Action.String(), Subject: step.Want.Ref.String(), Outcome: "ok"}
	if failed != nil {
		e.Outcome, e.Detail = "failed", map[string]string{"error": failed.Error()}
	}
	return t.host.Audit(context.WithoutCancel(ctx), e)
}

// Left returns what p deleted and still stands: none proves that it is gone.
func (h *Host) Left(ctx context.Context, p flowehr.Plan) ([]flowehr.Ref, error) {
	var left []flowehr.Ref
	for _, s := range p.Steps {
		if s.Action != flowehr.Delete || stays(s.Want) {
			continue
		}
		_, err := h.Target().Read(ctx, flowehr.Record{Resource: s.Want})
		switch {
		case err == nil:
			left = append(left, s.Want.Ref)
		case !errors.Is(err, apply.ErrGone):
			return left, err
		}
	}
	return left, nil
}

// stays reports whether r is left standing when it is deleted: what may hold the only copy of something, and what is
// somebody else's.
func stays(r flowehr.Resource) bool {
	switch r.Ref.Kind {
	case kindVault, kindAudit:
		return true
	case kindSource:
		spec, err := decode[sourceSpec](r)
		return err == nil && spec.Synthetic == nil
	}
	return false
}
