package azure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Inventory is what stands of an environment, found by nothing but its name.
type Inventory struct {
	Records     []flowehr.Record // each needs those that must go after it
	SoftDeleted []SoftDeleted
}

// State returns the records as a state, for plan.MakeDestroy. environment is what plans call the environment.
func (i Inventory) State(environment string, base flowehr.Revision) flowehr.State {
	st := flowehr.State{Environment: environment, Target: flowehr.TargetAzure, Revision: base, Records: map[flowehr.Ref]flowehr.Record{}}
	for _, rec := range i.Records {
		st.Records[rec.Resource.Ref] = rec
	}
	return st
}

// rank orders what is found: a record needs all those of lower rank, so that it goes before them.
const (
	rankDirectory = iota
	rankGroups
	rankCore
	rankTransform
	rankPipelines
	rankServe
	rankApps
	rankReleases
)

type ranked struct {
	rank int
	rec  flowehr.Record
}

// Inventory looks for everything that carries the environment's names, whoever recorded it or not. What lives inside something
// that is found (secrets of a vault, clusters of a workspace, users of a database) goes with it and is not listed.
func (t *Target) Inventory(ctx context.Context, names azure.Names) (Inventory, error) {
	var found []ranked
	for _, look := range []func(context.Context, azure.Names) ([]ranked, error){t.foundStacks, t.foundResourceGroups, t.foundDirectory, t.foundWanted} {
		some, err := look(ctx, names)
		if err != nil {
			return Inventory{}, fmt.Errorf("take the inventory of %s: %w", names.Suffix, err)
		}
		found = append(found, some...)
	}
	var held []SoftDeleted // service principals before applications, by which some are found
	for _, look := range []func(context.Context, azure.Names) ([]SoftDeleted, error){t.deletedPrincipals, t.heldBy} {
		some, err := look(ctx, names)
		if err != nil {
			return Inventory{}, fmt.Errorf("take the inventory of %s: %w", names.Suffix, err)
		}
		held = append(held, some...)
	}
	slices.SortStableFunc(found, func(a, b ranked) int {
		return cmp.Or(cmp.Compare(b.rank, a.rank), cmp.Compare(a.rec.Resource.Ref.String(), b.rec.Resource.Ref.String()))
	})
	inv := Inventory{SoftDeleted: held}
	for i := range found {
		rec := found[i].rec
		for _, lower := range found {
			if lower.rank < found[i].rank {
				rec.Resource.Needs = append(rec.Resource.Needs, lower.rec.Resource.Ref)
			}
		}
		inv.Records = append(inv.Records, rec)
	}
	return inv, nil
}

// stackPart is the part of the environment that a stack of its names is: core, transform, pipelines, serve, app-….
func stackPart(names azure.Names, stack string) (string, bool) {
	part, ok := strings.CutPrefix(stack, "flowehr-")
	if !ok {
		return "", false
	}
	return strings.CutSuffix(part, "-"+names.Suffix)
}

func layerOf(part string) (flowehr.Layer, int) {
	switch part {
	case "core":
		return flowehr.LayerCore, rankCore
	case "transform":
		return flowehr.LayerTransform, rankTransform
	case "pipelines":
		return flowehr.LayerTransform, rankPipelines
	case "serve":
		return flowehr.LayerServe, rankServe
	}
	return flowehr.LayerApps, rankApps
}

func (t *Target) foundStacks(ctx context.Context, names azure.Names) ([]ranked, error) {
	version, _ := arm.Version(typeStack)
	var out []ranked
	path := cloud.At("/subscriptions/"+t.o.Client.Subscription()+"/providers/"+typeStack, version)
	err := t.o.Client.Pages(ctx, cloud.ARM(), path, func(raw json.RawMessage) error {
		var s standing
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		part, ours := stackPart(names, s.Name)
		if !ours || s.Tags[tagProduct] == "" {
			return nil
		}
		// A list may leave out what each stack has.
		if full, stands, err := t.stack(ctx, s.Name); err != nil {
			return err
		} else if stands {
			s = full
		}
		rec, rank, err := t.recordOf(s, part)
		out = append(out, ranked{rank, rec})
		return err
	})
	return out, err
}

// recordOf describes a stack by what it holds, as far as its removal needs it.
func (t *Target) recordOf(s standing, part string) (flowehr.Record, int, error) {
	layer, rank := layerOf(part)
	template := arm.ForSubscription()
	for i, r := range s.Properties.Resources {
		body := arm.Resource{Type: typeOf(r.ID), Name: namesOf(r.ID)}
		if at := strings.LastIndex(strings.ToLower(r.ID), "/providers/"); at > 0 && groupOf(r.ID) != "" {
			body.Scope = r.ID[:at]
		}
		template.Add(fmt.Sprintf("r%03d", i), body)
	}
	raw, err := template.JSON()
	if err != nil {
		return flowehr.Record{}, 0, err
	}
	spec, err := flowehr.Canonical(azure.StackSpec{Name: s.Name, Location: s.Location, Template: raw,
		Deny: s.Properties.DenySettings.Mode != "" && s.Properties.DenySettings.Mode != "none"})
	return flowehr.Record{ID: s.ID, Resource: flowehr.Resource{Ref: azure.Ref(azure.KindStack, part), Layer: layer, Spec: spec,
		Holds: layer != flowehr.LayerApps}}, rank, err
}

// foundResourceGroups finds the environment's resource groups, which stand without a stack when one was detached or a
// workspace was left half deleted.
func (t *Target) foundResourceGroups(ctx context.Context, names azure.Names) ([]ranked, error) {
	var out []ranked
	for _, name := range []string{names.Group(), names.WorkspaceManagedGroup()} {
		var g struct {
			ManagedBy string `json:"managedBy"`
		}
		err := t.o.Client.Get(ctx, cloud.ARM(), resourceGroupKeeper{t}.path(name), &g)
		if cloud.NotFound(err) || err == nil && g.ManagedBy != "" {
			continue // what belongs to a workspace goes with it and cannot be deleted otherwise
		}
		if err != nil {
			return nil, err
		}
		rec, err := record(KindResourceGroup, name, flowehr.LayerCore, resourceGroupSpec{name})
		rec.Resource.Holds = true
		rec.ID = arm.GroupID(t.o.Client.Subscription(), name)
		out = append(out, ranked{rankGroups, rec})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func record(kind, name string, layer flowehr.Layer, spec any) (flowehr.Record, error) {
	raw, err := flowehr.Canonical(spec)
	return flowehr.Record{Resource: flowehr.Resource{Ref: azure.Ref(kind, name), Layer: layer, Spec: raw}}, err
}

// directoryObject is a group or an application.
type directoryObject struct {
	ID          string   `json:"id"`
	DisplayName string   `json:"displayName"`
	UniqueName  string   `json:"uniqueName"`
	Tags        []string `json:"tags"`
}

// foundDirectory finds groups and applications by the beginning of their names, and keeps those that carry our unique name: a
// namesake that somebody else made is left alone.
func (t *Target) foundDirectory(ctx context.Context, names azure.Names) ([]ranked, error) {
	var out []ranked
	groups, err := t.directoryObjects(ctx, "groups", "displayName", names.Suffix+" flowehr-", "id,displayName,uniqueName")
	if err != nil {
		return nil, err
	}
	for _, g := range groups {
		if g.UniqueName != azure.UniqueName(g.DisplayName) {
			continue
		}
		rec, err := record(azure.KindGroup, g.UniqueName, flowehr.LayerCore, azure.GroupSpec{DisplayName: g.DisplayName, UniqueName: g.UniqueName})
		if err != nil {
			return nil, err
		}
		rec.ID = g.ID
		rec.Outputs = map[string]string{azure.OutObjectID: g.ID}
		out = append(out, ranked{rankDirectory, rec})
	}
	for _, prefix := range []string{"flowehr-", "sp-flowehr-app-"} {
		apps, err := t.directoryObjects(ctx, "applications", "displayName", prefix, "id,displayName,uniqueName,tags")
		if err != nil {
			return nil, err
		}
		for _, a := range apps {
			if a.UniqueName != azure.UniqueName(a.DisplayName) || !slices.Contains(a.Tags, ownerTag+names.Suffix) {
				continue
			}
			rec, err := record(azure.KindApplication, a.UniqueName, flowehr.LayerCore, azure.ApplicationSpec{DisplayName: a.DisplayName, UniqueName: a.UniqueName,
				Tags: []string{ownerTag + names.Suffix}})
			if err != nil {
				return nil, err
			}
			rec.ID = a.ID
			rec.Outputs = map[string]string{azure.OutObjectID: a.ID}
			out = append(out, ranked{rankDirectory, rec})
		}
	}
	return out, nil
}

// directoryObjects lists the objects of a collection whose property begins with a prefix.
func (t *Target) directoryObjects(ctx context.Context, collection, property, prefix, fields string) ([]directoryObject, error) {
	query := url.Values{"$filter": {fmt.Sprintf("startswith(%s,'%s')", property, strings.ReplaceAll(prefix, "'", "''"))}, "$select": {fields}, "$top": {"999"}}
	var out []directoryObject
	err := graph{t.o.Client}.list(ctx, "/"+collection+"?"+query.Encode(), func(raw json.RawMessage) error {
		var o directoryObject
		err := json.Unmarshal(raw, &o)
		out = append(out, o)
		return err
	})
	return out, err
}

// foundWanted finds what lives outside the subscription and the directory by the definition, where there is one.
func (t *Target) foundWanted(ctx context.Context, _ azure.Names) ([]ranked, error) {
	var out []ranked
	for _, r := range t.o.Wanted {
		rank := rankApps
		switch r.Ref.Kind {
		case azure.KindRepository, azure.KindTeam, azure.KindMetastore:
		case azure.KindGitHubDeployment:
			// A repository stays as long as one of these uses it. What its secrets come from is gone or going.
			var err error
			if r.Spec, err = withoutSecrets(r.Spec); err != nil {
				return nil, err
			}
			rank = rankReleases
		default:
			continue
		}
		if onlyUsed(r) {
			continue
		}
		rec, err := t.Read(ctx, flowehr.Record{Resource: r})
		if errors.Is(err, apply.ErrGone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		rec.Resource.Needs = nil
		out = append(out, ranked{rank, rec})
	}
	return out, nil
}

// withoutSecrets describes a GitHub environment by its name alone.
func withoutSecrets(spec json.RawMessage) (json.RawMessage, error) {
	var s map[string]json.RawMessage
	if err := json.Unmarshal(spec, &s); err != nil {
		return nil, fmt.Errorf("description of a GitHub environment: %w", err)
	}
	s["secrets"] = json.RawMessage("{}")
	return flowehr.Canonical(s)
}

// heldBy lists what was deleted and still holds a name of the environment.
func (t *Target) heldBy(ctx context.Context, names azure.Names) ([]SoftDeleted, error) {
	all, err := t.softDeleted(ctx)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(d SoftDeleted) bool {
		return !slices.ContainsFunc([]string{names.Vault(), names.AppVault(), names.Logs()}, func(n string) bool { return strings.EqualFold(n, d.Name) })
	})
	apps, err := t.deletedApplications(ctx, names)
	return append(all, apps...), err
}

// deletedApplications lists our applications that the directory keeps for thirty days. Their unique names stay taken.
func (t *Target) deletedApplications(ctx context.Context, names azure.Names) ([]SoftDeleted, error) {
	applications, err := graph{t.o.Client}.deletedApplications(ctx, taggedFor(names))
	return softDeletedAs(azure.KindApplication, applications), err
}

// deletedPrincipals lists our service principals that the directory keeps for thirty days: they hold no name, but only when
// they are gone nothing is left.
func (t *Target) deletedPrincipals(ctx context.Context, names azure.Names) ([]SoftDeleted, error) {
	g, tagged := graph{t.o.Client}, taggedFor(names)
	applications, err := g.deletedApplications(ctx, tagged)
	if err != nil {
		return nil, err
	}
	principals, err := g.deletedPrincipals(ctx, func(o deletedObject) bool { return tagged(o) || belongs(o, applications) })
	return softDeletedAs(typePrincipal, principals), err
}

func taggedFor(names azure.Names) func(deletedObject) bool {
	return func(o deletedObject) bool { return slices.Contains(o.Tags, ownerTag+names.Suffix) }
}

func softDeletedAs(kind string, list []deletedObject) []SoftDeleted {
	var out []SoftDeleted
	for _, o := range list {
		out = append(out, SoftDeleted{Type: kind, Name: o.DisplayName, ID: o.ID, handle: o.ID})
	}
	return out
}

// PurgeHeld destroys for good what an inventory found held. What is protected is returned: its time has to run out.
func (t *Target) PurgeHeld(ctx context.Context, held []SoftDeleted) (left []SoftDeleted, err error) {
	for _, d := range held {
		switch {
		case d.Protected:
			left = append(left, d)
		case d.Type == azure.KindApplication || d.Type == typePrincipal:
			if err := (graph{t.o.Client}).purge(ctx, d.handle); err != nil {
				return left, fmt.Errorf("purge %s: %w", d.Name, err)
			}
		default:
			if err := t.purge(ctx, d); err != nil {
				return left, err
			}
		}
	}
	return left, nil
}
