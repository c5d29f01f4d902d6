package local

import (
	"context"
	"errors"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory"
)

// pipelineKeeper puts definitions in force. A run that has begun keeps the version that it began with.
type pipelineKeeper struct{ *Host }

func (k pipelineKeeper) ensure(ctx context.Context, r flowehr.Resource, in apply.Inputs) error {
	spec, err := decode[pipelineSpec](r)
	if err != nil {
		return err
	}
	bundle, err := factory.DecodeBundle(spec.Bundle)
	if err != nil {
		return err
	}
	bundle.Pipeline.Project = spec.Project
	store, err := k.pipelines(ctx)
	if err != nil {
		return err
	}
	done, err := store.Register(ctx, bundle, k.Who)
	for _, notice := range done.Notices {
		in.Note(notice)
	}
	return err
}

func (k pipelineKeeper) outputs(r flowehr.Resource) (map[string]string, error) {
	spec, err := decode[pipelineSpec](r)
	return map[string]string{"digest": spec.Digest}, err
}

func (k pipelineKeeper) exists(ctx context.Context, r flowehr.Resource) (bool, error) {
	// Where the database is gone everything in it is.
	if there, err := k.databaseExists(ctx, controlDatabase); err != nil || !there {
		return false, err
	}
	store, err := k.pipelines(ctx)
	if err != nil {
		return false, err
	}
	_, err = store.Bundle(ctx, r.Ref.Name, 0)
	if errors.Is(err, engine.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (k pipelineKeeper) remove(ctx context.Context, r flowehr.Resource) error {
	there, err := k.databaseExists(ctx, controlDatabase)
	if err != nil || !there {
		return err
	}
	store, err := k.pipelines(ctx)
	if err != nil {
		return err
	}
	if err := store.Unregister(ctx, r.Ref.Name, k.Who); err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	return nil
}

// triggerKeeper starts and stops triggers; their definitions come with their pipelines.
type triggerKeeper struct{ *Host }

func (k triggerKeeper) ensure(ctx context.Context, r flowehr.Resource, _ apply.Inputs) error {
	spec, err := decode[triggerSpec](r)
	if err != nil {
		return err
	}
	store, err := k.pipelines(ctx)
	if err != nil {
		return err
	}
	return store.SetTrigger(ctx, r.Ref.Name, spec.Started, k.Who)
}

func (k triggerKeeper) outputs(flowehr.Resource) (map[string]string, error) { return nil, nil }

func (k triggerKeeper) exists(ctx context.Context, r flowehr.Resource) (bool, error) {
	if there, err := k.databaseExists(ctx, controlDatabase); err != nil || !there {
		return false, err
	}
	store, err := k.pipelines(ctx)
	if err != nil {
		return false, err
	}
	triggers, err := store.Triggers(ctx)
	for _, t := range triggers {
		if t.Name == r.Ref.Name {
			return true, nil
		}
	}
	return false, err
}

// remove stops the trigger; its definition goes with the pipeline.
func (k triggerKeeper) remove(ctx context.Context, r flowehr.Resource) error {
	there, err := k.databaseExists(ctx, controlDatabase)
	if err != nil || !there {
		return err
	}
	store, err := k.pipelines(ctx)
	if err != nil {
		return err
	}
	if err := store.SetTrigger(ctx, r.Ref.Name, false, k.Who); err != nil && !errors.Is(err, engine.ErrNotFound) {
		return err
	}
	return nil
}

// Replace lists what cannot be changed in place, by kind: a stand-in is made anew when it is to hold other patients.
func Replace(kind string) []string {
	if kind == kindSource {
		return []string{"/synthetic", "/kind"}
	}
	return nil
}

// Retry recognises failures that pass by themselves: the database server restarting.
func Retry(err error) (time.Duration, bool) {
	if isTransient(err) {
		return 500 * time.Millisecond, true
	}
	return 0, false
}
