package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Types whose names stay taken after deletion.
const (
	typeVault = "Microsoft.KeyVault/vaults"
	typeLogs  = "Microsoft.OperationalInsights/workspaces"
)

// typePrincipal is a service principal that was deleted. It holds no name, but is a remainder of the environment.
const typePrincipal = "entra-principal"

// SoftDeleted is something that was deleted and keeps its name for a while.
type SoftDeleted struct {
	Type      string // of Azure Resource Manager, entra-app or entra-principal
	Name      string
	ID        string // what it was
	Location  string
	Until     string // when the service purges it by itself, as it says it
	Protected bool   // cannot be purged

	handle string // id of the deleted object itself
}

// Choice is what to do with a name that is still held.
type Choice int

// Choices. Refuse is the zero value: nothing is brought back and nothing destroyed without being asked.
const (
	Refuse  Choice = iota
	Recover        // bring it back with what it held, and go on with it
	Purge          // destroy it for good and begin anew
)

// HeldNameError says that a name is held by something that was deleted.
type HeldNameError struct{ Held SoftDeleted }

// Error says by what and what can be done.
func (e *HeldNameError) Error() string {
	text := fmt.Sprintf("%s %s was deleted and its name is still held", e.Held.Type, e.Held.Name)
	if e.Held.Until != "" {
		text += " until " + e.Held.Until
	}
	if e.Held.Protected {
		return text + ": it can be recovered; it is protected from being purged"
	}
	return text + ": it can be recovered or purged"
}

// Explain is for cloud.Explain.
func (e *HeldNameError) Explain() (what, next string) {
	what = e.Error()
	if e.Held.Protected {
		return what, "Do the same again and choose to recover it, or give the environment another name."
	}
	return what, "Do the same again and choose to recover or to purge it."
}

// softDeleted lists what was deleted softly in the subscription.
func (t *Target) softDeleted(ctx context.Context) ([]SoftDeleted, error) {
	vaults, err := t.deletedVaults(ctx)
	if err != nil {
		return nil, err
	}
	logs, err := t.deletedWorkspaces(ctx)
	return append(vaults, logs...), err
}

func (t *Target) deletedVaults(ctx context.Context) ([]SoftDeleted, error) {
	version, _ := arm.Version(typeVault)
	path := cloud.At("/subscriptions/"+t.o.Client.Subscription()+"/providers/Microsoft.KeyVault/deletedVaults", version)
	var out []SoftDeleted
	err := t.o.Client.Pages(ctx, cloud.ARM(), path, func(raw json.RawMessage) error {
		var v struct {
			ID, Name   string
			Properties struct {
				VaultID   string `json:"vaultId"`
				Location  string
				Purge     string `json:"scheduledPurgeDate"`
				Protected bool   `json:"purgeProtectionEnabled"`
			}
		}
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		out = append(out, SoftDeleted{Type: typeVault, Name: v.Name, ID: v.Properties.VaultID, Location: v.Properties.Location,
			Until: v.Properties.Purge, Protected: v.Properties.Protected, handle: v.ID})
		return nil
	})
	return out, none(err)
}

func (t *Target) deletedWorkspaces(ctx context.Context) ([]SoftDeleted, error) {
	version, _ := arm.Version(typeLogs)
	path := cloud.At("/subscriptions/"+t.o.Client.Subscription()+"/providers/Microsoft.OperationalInsights/deletedWorkspaces", version)
	var out []SoftDeleted
	err := t.o.Client.Pages(ctx, cloud.ARM(), path, func(raw json.RawMessage) error {
		var w struct{ ID, Name, Location string }
		err := json.Unmarshal(raw, &w)
		out = append(out, SoftDeleted{Type: typeLogs, Name: w.Name, ID: w.ID, Location: w.Location, handle: w.ID})
		return err
	})
	return out, none(err)
}

// none takes "not found" for an empty list: a provider that is not registered has no such list.
func none(err error) error {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		if _, unregistered := e.Because("MissingSubscriptionRegistration"); unregistered || e.Status == http.StatusNotFound {
			return nil
		}
	}
	return err
}

// freeNames deals with names of the template that are held by what was deleted, before they make it fail.
func (t *Target) freeNames(ctx context.Context, want []part, in apply.Inputs) error {
	names := map[string]string{} // lower-case type and name → resource id
	for _, p := range want {
		if p.typ == typeVault || p.typ == typeLogs {
			names[strings.ToLower(p.typ+"/"+p.name)] = p.id
		}
	}
	if len(names) == 0 {
		return nil
	}
	held, err := t.softDeleted(ctx)
	if err != nil {
		return fmt.Errorf("look for names that are held by what was deleted: %w", err)
	}
	for _, d := range held {
		id, ours := names[strings.ToLower(d.Type+"/"+d.Name)]
		if !ours || d.Type == typeLogs && !strings.EqualFold(d.ID, id) && d.ID != "" {
			continue // names of log workspaces are unique within a resource group only
		}
		if err := t.free(ctx, d, id, in); err != nil {
			return err
		}
	}
	return nil
}

func (t *Target) free(ctx context.Context, d SoftDeleted, id string, in apply.Inputs) error {
	choice := Refuse
	if t.o.Recover != nil {
		var err error
		if choice, err = t.o.Recover(ctx, d); err != nil {
			return err
		}
	}
	switch {
	case choice == Recover:
		in.Note("recovering " + d.Name + ", which was deleted")
		return t.recover(ctx, d, id)
	case choice == Purge && !d.Protected:
		in.Note("purging " + d.Name + ", which was deleted")
		return t.purge(ctx, d)
	}
	return &HeldNameError{Held: d}
}

// recover brings d back as id. A log workspace comes back by being made again under its name, which the stack does.
func (t *Target) recover(ctx context.Context, d SoftDeleted, id string) error {
	if d.Type != typeVault {
		return nil
	}
	if !strings.EqualFold(d.ID, id) && d.ID != "" {
		return fmt.Errorf("%s was deleted as %s and can only be recovered there: purge it, or change the name", d.Name, d.ID)
	}
	version, _ := arm.Version(typeVault)
	if _, err := t.ensureGroup(ctx, id, d.Location); err != nil {
		return err
	}
	_, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: cloud.At(id, version), Body: arm.Object{
		"location": d.Location,
		"properties": arm.Object{"createMode": "recover", "tenantId": t.o.Client.Tenant(), "accessPolicies": []any{},
			"sku": arm.Object{"family": "A", "name": "standard"}},
	}})
	if err != nil {
		return fmt.Errorf("recover %s: %w", d.Name, err)
	}
	return nil
}

// ensureGroup makes the resource group of an id, and reports whether it had to: what was deleted with its group can come back
// only into one.
func (t *Target) ensureGroup(ctx context.Context, id, location string) (bool, error) {
	path := resourceGroupKeeper{t}.path(groupOf(id))
	if err := t.o.Client.Get(ctx, cloud.ARM(), path, nil); !cloud.NotFound(err) {
		return false, err
	}
	_, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: path, Body: arm.Object{"location": location}})
	return err == nil, err
}

// purge destroys d for good.
func (t *Target) purge(ctx context.Context, d SoftDeleted) error {
	purge := t.purgeVault
	if d.Type == typeLogs {
		purge = t.purgeLogs
	}
	if err := purge(ctx, d); err != nil && !cloud.NotFound(err) {
		return fmt.Errorf("purge %s: %w", d.Name, err)
	}
	return nil
}

func (t *Target) purgeVault(ctx context.Context, d SoftDeleted) error {
	version, _ := arm.Version(typeVault)
	_, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: cloud.At(d.handle+"/purge", version), Repeats: true})
	return err
}

// purgeLogs brings a log workspace back first, because only one that stands can be deleted for good. A resource group that had to
// be made for it goes again.
func (t *Target) purgeLogs(ctx context.Context, d SoftDeleted) error {
	madeGroup, err := t.ensureGroup(ctx, d.ID, d.Location)
	if err != nil {
		return err
	}
	version, _ := arm.Version(typeLogs)
	_, err = t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: cloud.At(d.ID, version), Body: arm.Object{"location": d.Location, "properties": arm.Object{}}})
	if err == nil {
		err = t.deleteLogs(ctx, d.ID)
	}
	if madeGroup {
		err = errors.Join(err, t.deleteResource(ctx, typeGroup, arm.GroupID(t.o.Client.Subscription(), groupOf(d.ID))))
	}
	return err
}

// deleteLogs deletes a log workspace that stands for good.
func (t *Target) deleteLogs(ctx context.Context, id string) error {
	return t.deleteResource(ctx, typeLogs, id+"?force=true")
}

// groupOf returns the resource group in an id, empty when there is none.
func groupOf(id string) string {
	parts := strings.Split(id, "/")
	for i := 0; i+1 < len(parts); i++ {
		if strings.EqualFold(parts[i], "resourceGroups") {
			return parts[i+1]
		}
	}
	return ""
}
