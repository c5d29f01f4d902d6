package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// A stack deletes without regard to what needs what, tries again what failed, and gives up after about an hour. So what is
// known to stand in the way is taken away first, and a removal that left something is begun again.
const (
	removeAttempts = 4
	removePause    = 30 * time.Second
)

// remove deletes the stack with everything in it.
func (k stackKeeper) remove(ctx context.Context, r flowehr.Resource, _ string) error {
	s, err := stackSpec(r)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		now, stands, err := k.t.stack(ctx, s.Name)
		if err != nil {
			return err
		}
		if stands && !now.resting() {
			now, stands, err = k.settle(ctx, s, quiet{})
		}
		if err != nil {
			return err
		}
		if !stands {
			return k.t.purgeLeft(ctx, s)
		}
		if err = k.t.clearWay(ctx, now); err == nil {
			err = k.delete(ctx, s)
		}
		switch {
		case err == nil:
			return k.t.purgeLeft(ctx, s)
		case n == removeAttempts || !removalPasses(err):
			return k.explained(ctx, s, err)
		}
		if err := k.t.o.Client.Wait(ctx, removePause); err != nil {
			return err
		}
	}
}

// removalPasses: a deletion that failed later has failed for what a second one may not meet any more.
func removalPasses(err error) bool {
	if _, ok := cloud.Passing(err); ok {
		return true
	}
	e, ok := errors.AsType[*cloud.Error](err)
	return ok && e.Later
}

func (k stackKeeper) delete(ctx context.Context, s azure.StackSpec) error {
	path := k.t.stackPath(s.Name) + "&unmanageAction.Resources=delete&unmanageAction.ResourceGroups=delete" +
		"&unmanageAction.ManagementGroups=detach&unmanageAction.ResourcesWithoutDeleteSupport=detach&bypassStackOutOfSyncError=false"
	_, err := k.t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodDelete, Path: path})
	if cloud.NotFound(err) {
		return nil
	}
	return err
}

// obstacle is a type of resource that stands in the way of deleting others, in the order of taking them away.
type obstacle struct {
	typ    string
	delete func(id string) string // what is deleted
}

func itself(id string) string { return id }

// obstacles, and why: a lock forbids all else; App Service holds on to the subnet of an app that is deleted with it
// (Azure/deployment-stacks issue 150); a workspace and its access connector cannot be deleted by one stack (issue 183).
func obstacles() []obstacle {
	return []obstacle{
		{typeLock, itself},
		{"Microsoft.Web/sites/slots", func(id string) string { return id + "/networkConfig/virtualNetwork" }},
		{"Microsoft.Web/sites", func(id string) string { return id + "/networkConfig/virtualNetwork" }},
		{"Microsoft.Databricks/workspaces", itself},
	}
}

// clearWay takes away what is known to keep the stack from being deleted: locks of its own, network integration of apps, the
// workspace when its connector is in the same stack, started triggers, and what would keep its name although names may not be
// kept.
func (t *Target) clearWay(ctx context.Context, now standing) error {
	if err := t.stopTriggers(ctx, now, nil, quiet{}); err != nil {
		return err
	}
	ids := make([]string, len(now.Properties.Resources))
	for i, r := range now.Properties.Resources {
		ids[i] = r.ID
	}
	connector := slices.ContainsFunc(ids, func(id string) bool { return strings.EqualFold(typeOf(id), "Microsoft.Databricks/accessConnectors") })
	for _, o := range obstacles() {
		for _, id := range ids {
			if !strings.EqualFold(typeOf(id), o.typ) || o.typ == "Microsoft.Databricks/workspaces" && !connector {
				continue
			}
			if err := t.deleteResource(ctx, o.typ, o.delete(id)); err != nil {
				return fmt.Errorf("clear the way for deleting %s: %w", now.Name, err)
			}
		}
	}
	if !t.o.Purge {
		return nil
	}
	// Once deleted with its group a workspace would have to be brought back to be purged.
	for _, id := range ids {
		if !strings.EqualFold(typeOf(id), typeLogs) {
			continue
		}
		if err := t.deleteLogs(ctx, id); err != nil {
			return fmt.Errorf("clear the way for deleting %s: %w", now.Name, err)
		}
	}
	return nil
}

func (t *Target) deleteResource(ctx context.Context, typ, id string) error {
	version, _ := arm.Version(typ)
	_, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodDelete, Path: cloud.At(id, version)})
	if cloud.NotFound(err) {
		return nil
	}
	return err
}

// purgeLeft purges what the stack's template had and what keeps its name after deletion, when that was allowed. What is
// protected stays until its time is over.
func (t *Target) purgeLeft(ctx context.Context, s azure.StackSpec) error {
	if !t.o.Purge {
		return nil
	}
	parts, err := partsOf(t.o.Client.Subscription(), s.Template)
	if err != nil {
		return err
	}
	ours := map[string]bool{}
	for _, p := range parts {
		if p.typ == typeVault || p.typ == typeLogs {
			ours[strings.ToLower(p.id)] = true
		}
	}
	if len(ours) == 0 {
		return nil
	}
	held, err := t.softDeleted(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range held {
		if ours[strings.ToLower(d.ID)] && !d.Protected {
			errs = append(errs, t.purge(ctx, d))
		}
	}
	return errors.Join(errs...)
}

// typeOf returns the resource type in an id: that of the last provider in it.
func typeOf(id string) string {
	i := strings.LastIndex(strings.ToLower(id), "/providers/")
	if i < 0 {
		if groupOf(id) != "" {
			return "Microsoft.Resources/resourceGroups"
		}
		return ""
	}
	segments := strings.Split(id[i+len("/providers/"):], "/")
	out := segments[0]
	for i := 1; i < len(segments); i += 2 {
		out += "/" + segments[i]
	}
	return out
}

// quiet takes notes that nobody sees: removals are given no place for them.
type quiet struct{}

func (quiet) Output(ref flowehr.Ref, name string) (string, error) {
	return "", fmt.Errorf("output %s of %s is not known here", name, ref)
}

func (quiet) Secret(_ context.Context, name string) (flowehr.Secret, error) {
	return flowehr.Secret{}, fmt.Errorf("secret %s is not known here", name)
}

func (quiet) Note(string) {}
