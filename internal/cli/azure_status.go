package cli

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/render"
)

// azureStatusJSON is what "status --output json" writes for an environment in Azure.
type azureStatusJSON struct {
	Environment string             `json:"environment"`
	Target      flowehr.TargetName `json:"target"`
	Location    string             `json:"location"`
	RealData    bool               `json:"realData"`
	Simulation  bool               `json:"simulation,omitempty"`
	Revision    flowehr.Revision   `json:"revision"`
	LockedBy    string             `json:"lockedBy,omitempty"`
	Resources   map[string]int     `json:"resources"`          // by layer
	HalfDone    []flowehr.Ref      `json:"halfDone,omitempty"` // begun and not seen to end
	Gone        []flowehr.Ref      `json:"gone,omitempty"`     // recorded, and no longer there
	Changed     []flowehr.Ref      `json:"changed,omitempty"`  // not as they were deployed
	Unknown     map[string]string  `json:"unknown,omitempty"`  // could not be asked, and why
}

// healthy reports whether everything stands as it was deployed.
func (s azureStatusJSON) healthy() bool {
	return len(s.HalfDone)+len(s.Gone)+len(s.Changed)+len(s.Unknown) == 0
}

// azureStatus is "status" for an environment in Azure: it asks after everything that is recorded.
func (a *app) azureStatus(ctx context.Context, d *definition) error {
	return a.withAzure(ctx, d, siteOptions{}, func(s *azureSite) error {
		out := azureStatusJSON{Environment: d.env.Suffix, Target: flowehr.TargetAzure, Location: d.env.Location, RealData: d.env.RealData,
			Simulation: s.sim != nil, Revision: s.state.Revision, Resources: map[string]int{}, Unknown: map[string]string{}}
		for _, ref := range sortedRefs(s.state.Records) {
			rec := s.state.Records[ref]
			out.Resources[string(rec.Resource.Layer)]++
			if rec.Pending != flowehr.Keep {
				out.HalfDone = append(out.HalfDone, ref)
			}
		}
		if s.kept {
			holder, locked, err := s.store.Holder(ctx)
			if err != nil {
				return err
			}
			if locked {
				out.LockedBy = holder.String()
			}
		}
		_, rep, err := apply.Observe(ctx, s.target, s.state, nil, s.applyOptions(a, nil))
		if err != nil && len(rep.Errors) == 0 {
			return err
		}
		for ref, err := range rep.Errors {
			out.Unknown[ref.String()] = err.Error()
		}
		for _, x := range rep.Drift {
			if x.Gone {
				out.Gone = append(out.Gone, x.Ref)
			} else {
				out.Changed = append(out.Changed, x.Ref)
			}
		}
		if a.json() {
			return a.writeJSON(out)
		}
		a.showAzureStatus(s, out)
		return nil
	})
}

func (a *app) showAzureStatus(s *azureSite, out azureStatusJSON) {
	note := "free"
	if out.LockedBy != "" {
		note = "lock held by " + out.LockedBy
	}
	fmt.Fprintln(a.out, render.Header(a.style(a.out), append([]string{out.Environment, "azure " + out.Location}, s.headline()...), out.RealData, note))
	var layers []string
	for _, l := range flowehr.Layers() {
		if n := out.Resources[string(l)]; n > 0 {
			layers = append(layers, fmt.Sprintf("%s %d", l, n))
		}
	}
	if len(layers) == 0 {
		fmt.Fprintln(a.out, "\nNothing is deployed yet.")
		a.next("See what would be made with: flowehr plan%s", a.simulateFlag())
		return
	}
	fmt.Fprintf(a.out, "\nResources: %s (state r%d)\n", strings.Join(layers, ", "), out.Revision)
	mark := a.style(a.out)
	for _, list := range []struct {
		refs []flowehr.Ref
		what string
	}{{out.HalfDone, "was begun and not seen to end"}, {out.Gone, "is gone"}, {out.Changed, "is not as it was deployed"}} {
		for _, ref := range list.refs {
			fmt.Fprintf(a.out, "%s %s %s\n", mark.Failed(), ref, list.what)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(out.Unknown)) {
		fmt.Fprintf(a.out, "%s %s could not be asked: %s\n", mark.Failed(), name, out.Unknown[name])
	}
	if out.healthy() {
		fmt.Fprintf(a.out, "%s Everything stands as it was deployed; each was asked for.\n", mark.Done())
		return
	}
	a.next("Put it right with: flowehr deploy%s", a.simulateFlag())
}
