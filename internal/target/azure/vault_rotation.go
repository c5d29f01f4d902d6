package azure

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/plan"
)

// Rotation names what has a new value: either a secret of the definition, as it is written in ${...}, or a resource whose
// secret is made, a vault secret or a registry token.
type Rotation struct {
	Input string
	Made  flowehr.Ref
}

// RotationPlan plans to do again, as they stand, the resources that hold a secret with a new value: the secret itself, every copy
// of it, clusters that read one of them when they start, and the stacks of apps whose settings refer to one. Each comes after
// those that it gets the value from. Nothing else changes, not even what the definition says differently by now.
//
// For a secret that is made, the way is [Target.Rotate], then this plan, then [Target.Retire]; the former password works until
// then, so nothing stands still on the way. A secret of the definition has been given its new value by then, and a plan that
// compares descriptions cannot see it, since no description holds a value.
func RotationPlan(have flowehr.State, what Rotation, realData bool, at time.Time) (flowehr.Plan, error) {
	r := rotation{have: have.Records, why: map[flowehr.Ref]string{}, from: map[flowehr.Ref][]flowehr.Ref{}}
	if err := r.begin(what); err != nil {
		return flowehr.Plan{}, err
	}
	for r.grown = true; r.grown; {
		r.grown = false
		for _, ref := range sortedRefs(maps.Keys(have.Records)) {
			if err := r.follow(have.Records[ref].Resource); err != nil {
				return flowehr.Plan{}, err
			}
		}
	}
	steps, err := r.steps()
	if err != nil {
		return flowehr.Plan{}, err
	}
	return plan.Seal(flowehr.Plan{Environment: have.Environment, Target: have.Target, RealData: realData, Base: have.Revision, At: at, Steps: steps})
}

// rotation is one call of RotationPlan.
type rotation struct {
	have  map[flowehr.Ref]flowehr.Record
	why   map[flowehr.Ref]string        // of what is done again
	from  map[flowehr.Ref][]flowehr.Ref // what each gets the value from
	grown bool
}

func (r *rotation) add(ref, from flowehr.Ref, why string) {
	if r.why[ref] == "" {
		r.why[ref], r.grown = why, true
	}
	if from != (flowehr.Ref{}) && from != ref && !slices.Contains(r.from[ref], from) {
		r.from[ref] = append(r.from[ref], from)
	}
}

// begin adds what has the new value first.
func (r *rotation) begin(what Rotation) error {
	if what.Input == "" {
		rec, found := r.have[what.Made]
		if !found {
			return fmt.Errorf("%s was not deployed yet", what.Made)
		}
		if held, err := heldSecret(rec.Resource); err != nil || held == nil {
			return cmpErr(err, fmt.Errorf("%s is no secret of a vault", what.Made))
		}
		r.add(what.Made, flowehr.Ref{}, "it has a new value")
		return nil
	}
	for ref, rec := range r.have {
		sources, _, err := sourcesOf(rec.Resource)
		if err != nil {
			return fmt.Errorf("record of %s: %w", ref, err)
		}
		if slices.ContainsFunc(sources, func(s azure.Source) bool { return slices.Contains(s.Text.Secrets(), what.Input) }) {
			r.add(ref, flowehr.Ref{}, "${"+what.Input+"} has a new value")
		}
	}
	if len(r.why) == 0 {
		return fmt.Errorf("nothing that is deployed uses ${%s}", what.Input)
	}
	return nil
}

// follow adds a resource that gets its value from one that was added before.
func (r *rotation) follow(res flowehr.Resource) error {
	sources, _, err := sourcesOf(res)
	if err != nil {
		return fmt.Errorf("record of %s: %w", res.Ref, err)
	}
	for from := range maps.Clone(r.why) {
		origin := r.have[from].Resource
		held, err := heldSecret(origin)
		if err != nil {
			return err
		}
		switch {
		case held != nil && slices.ContainsFunc(sources, func(s azure.Source) bool { return s.Vault != nil && *s.Vault == *held }):
			r.add(res.Ref, from, "it holds a copy of secret "+held.Name)
		case held != nil && refersTo(res, *held):
			r.add(res.Ref, from, "its apps read secret "+held.Name+" when their settings are written")
		}
		key, err := heldKey(origin)
		if err != nil || key == (scopeKey{}) || res.Ref.Kind != azure.KindCluster {
			if err != nil {
				return err
			}
			continue
		}
		var cluster azure.ClusterSpec
		if err := json.Unmarshal(res.Spec, &cluster); err != nil {
			return fmt.Errorf("record of %s: %w", res.Ref, err)
		}
		if slices.Contains(referredTo(cluster), key) {
			r.add(res.Ref, from, "it reads its secrets when it starts")
		}
	}
	return nil
}

// heldSecret returns the secret of a vault that a resource keeps, nil when it keeps none.
func heldSecret(r flowehr.Resource) (*azure.VaultRef, error) {
	switch r.Ref.Kind {
	case azure.KindVaultSecret:
		var s azure.VaultSecretSpec
		err := json.Unmarshal(r.Spec, &s)
		return &azure.VaultRef{Vault: s.Vault, Name: s.Name}, err
	case azure.KindRegistryToken:
		var s azure.RegistryTokenSpec
		err := json.Unmarshal(r.Spec, &s)
		return &s.Secret, err
	}
	return nil, nil
}

// heldKey returns the secret of a scope that a resource is.
func heldKey(r flowehr.Resource) (scopeKey, error) {
	if r.Ref.Kind != azure.KindScopeSecret {
		return scopeKey{}, nil
	}
	var s azure.ScopeSecretSpec
	err := json.Unmarshal(r.Spec, &s)
	return scopeKey{s.Scope, s.Key}, err
}

// refersTo reports whether a stack has a setting that App Service looks up in a vault. It looks again by itself within a day, and
// at once when the settings are written.
// https://learn.microsoft.com/azure/app-service/app-service-key-vault-references
func refersTo(r flowehr.Resource, secret azure.VaultRef) bool {
	uri := "https://" + secret.Vault + ".vault.azure.net/secrets/" + secret.Name + ")"
	return r.Ref.Kind == azure.KindStack && bytes.Contains(r.Spec, []byte(uri))
}

// steps orders what was found: each after all it gets the value from, and otherwise by name.
func (r *rotation) steps() ([]flowehr.Step, error) {
	var steps []flowehr.Step
	done := map[flowehr.Ref]bool{}
	for len(done) < len(r.why) {
		before := len(done)
		for _, ref := range sortedRefs(maps.Keys(r.why)) {
			if done[ref] || slices.ContainsFunc(r.from[ref], func(f flowehr.Ref) bool { return !done[f] }) {
				continue
			}
			rec := r.have[ref]
			steps = append(steps, flowehr.Step{Action: flowehr.Update, Want: rec.Resource, Prior: &rec, After: sortedRefs(slices.Values(r.from[ref])), Why: r.why[ref]})
			done[ref] = true
		}
		if len(done) == before {
			return nil, fmt.Errorf("%d recorded secrets are copies of each other", len(r.why)-len(done))
		}
	}
	return steps, nil
}

func sortedRefs(refs func(func(flowehr.Ref) bool)) []flowehr.Ref {
	return slices.SortedFunc(refs, func(a, b flowehr.Ref) int { return strings.Compare(a.String(), b.String()) })
}
