package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Proof says what was looked for after an environment was destroyed, and what was still there.
type Proof struct {
	Looked []string // in the order of looking
	Left   []Leftover
	Kept   []Leftover // deleted, but Azure keeps it for recovery until it goes by itself: it was not to be purged, or cannot be
}

// Leftover is something that still stands, or still holds its name.
type Leftover struct {
	Kind, Name, ID string
	Why            string // what keeps it, as far as that is known
}

// Clean reports whether nothing was left. What is kept for recovery was not.
func (p Proof) Clean() bool { return len(p.Left) == 0 }

// outlives has the kinds that do not live inside a stack, so that they are looked for one by one. What lives inside one has
// gone with it; its host does not even answer any more.
func outlives(kind string) bool {
	switch kind {
	case azure.KindStack, azure.KindGroup, azure.KindApplication, azure.KindMetastore, azure.KindRepository, azure.KindTeam, KindResourceGroup:
		return true
	}
	return false
}

// onlyUsed reports whether a resource was never ours to remove: a metastore that somebody else made.
func onlyUsed(r flowehr.Resource) bool {
	var s azure.MetastoreSpec
	return r.Ref.Kind == azure.KindMetastore && json.Unmarshal(r.Spec, &s) == nil && s.Name == ""
}

// Left looks for everything that the plan was to delete: each resource of its own, every resource group of the templates, the
// names that are held by what was deleted softly, and stacks and directory objects of the same names.
func (t *Target) Left(ctx context.Context, p flowehr.Plan, names azure.Names) (Proof, error) {
	var proof Proof
	groups := map[string]bool{}
	for _, step := range p.Steps {
		if step.Action != flowehr.Delete || step.Prior == nil || !outlives(step.Want.Ref.Kind) || onlyUsed(step.Want) {
			continue
		}
		proof.Looked = append(proof.Looked, step.Want.Ref.String())
		rec, err := t.Read(ctx, *step.Prior)
		var others []string
		if err == nil {
			others, err = t.sharedWith(ctx, *step.Prior)
		}
		switch {
		case err == nil && len(others) > 0:
			proof.Looked[len(proof.Looked)-1] += ", which stays for " + strings.Join(others, ", ")
		case err == nil:
			proof.Left = append(proof.Left, Leftover{Kind: step.Want.Ref.Kind, Name: step.Want.Ref.Name, ID: rec.ID})
		case !errors.Is(err, apply.ErrGone):
			return proof, fmt.Errorf("look for %s: %w", step.Want.Ref, err)
		}
		for _, g := range groupsOf(step.Want.Spec) {
			groups[g] = true
		}
	}
	if slices.ContainsFunc(p.Steps, func(s flowehr.Step) bool { return s.Action == flowehr.Delete && s.Want.Layer == flowehr.LayerCore }) {
		return t.nothingNamed(ctx, names, groups, proof)
	}
	return proof, nil
}

// nothingNamed looks, when a whole environment was destroyed, for what carries its names without having been recorded.
func (t *Target) nothingNamed(ctx context.Context, names azure.Names, groups map[string]bool, proof Proof) (Proof, error) {
	delete(groups, names.Group())
	for _, name := range append([]string{names.Group(), names.WorkspaceManagedGroup()}, sortedNames(groups)...) {
		proof.Looked = append(proof.Looked, "resource group "+name)
		err := t.o.Client.Get(ctx, cloud.ARM(), resourceGroupKeeper{t}.path(name), nil)
		switch {
		case err == nil:
			proof.add(Leftover{Kind: KindResourceGroup, Name: name})
		case !cloud.NotFound(err):
			return proof, fmt.Errorf("look for resource group %s: %w", name, err)
		}
	}
	proof.Looked = append(proof.Looked, "stacks flowehr-*-"+names.Suffix, "groups and applications of "+names.Suffix,
		"deleted vaults, log workspaces and applications that hold a name", "deleted service principals")
	inv, err := t.Inventory(ctx, names)
	if err != nil {
		return proof, err
	}
	for _, rec := range inv.Records {
		proof.add(Leftover{Kind: rec.Resource.Ref.Kind, Name: rec.Resource.Ref.Name, ID: rec.ID})
	}
	for _, d := range inv.SoftDeleted {
		why := "deleted, and can be recovered or purged"
		if d.Protected {
			why = "deleted, and protected from being purged"
		}
		if d.Until != "" {
			why += "; goes by itself at " + d.Until
		}
		held := Leftover{Kind: d.Type, Name: d.Name, ID: d.ID, Why: why}
		// A removal purges what it takes out of the directory whatever the data, so nothing of that stays on purpose.
		directory := d.Type == azure.KindApplication || d.Type == typePrincipal
		if d.Protected || !t.o.Purge && !directory {
			proof.Kept = append(proof.Kept, held)
			continue
		}
		proof.add(held)
	}
	return proof, nil
}

func (p *Proof) add(l Leftover) {
	if !slices.ContainsFunc(p.Left, func(o Leftover) bool { return o.Kind == l.Kind && o.Name == l.Name }) {
		p.Left = append(p.Left, l)
	}
}

// groupsOf lists the resource groups that a stack's template makes.
func groupsOf(spec json.RawMessage) []string {
	var out []string
	for _, p := range partsOfSpec(spec) {
		if strings.EqualFold(p.typ, typeGroup) {
			out = append(out, p.name)
		}
	}
	return out
}

func sortedNames(set map[string]bool) []string {
	var out []string
	for name := range set {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}
