package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/flowehr/flowehr/internal/render"
	azuretarget "github.com/flowehr/flowehr/internal/target/azure"
)

// azurePlan is "plan" for an environment in Azure.
func (a *app) azurePlan(ctx context.Context, d *definition, layers []flowehr.Layer, o planOptions) error {
	return a.withAzure(ctx, d, siteOptions{wants: !o.destroy && !o.refreshOnly}, func(s *azureSite) error {
		if o.refreshOnly {
			return a.azureDrift(ctx, s)
		}
		if !o.destroy && !o.offline {
			if err := s.missingSecrets(ctx); err != nil {
				return err
			}
		}
		var p flowehr.Plan
		var err error
		if o.destroy {
			if p, err = plan.MakeDestroy(s.state, layers, d.env.RealData, s.now()); err == nil {
				p, err = s.refine(ctx, p, true)
			}
		} else {
			p, err = s.plan(ctx, a, layers, o.offline)
		}
		if err != nil {
			return err
		}
		if err := savePlan(d, p, o.save); err != nil {
			return err
		}
		view := s.view(a, p, o.all)
		if a.json() {
			err = render.JSON(a.out, render.NewPlanJSON(view))
		} else {
			err = render.Plan(a.out, a.style(a.out), view)
		}
		if err != nil || p.Empty() {
			return err
		}
		return errChanges
	})
}

// view is a plan with what a person needs to know beside it.
func (s *azureSite) view(a *app, p flowehr.Plan, all bool) render.PlanView {
	v := render.PlanView{Plan: p, Location: s.d.env.Location, All: all, Now: s.now(), Facts: s.headline(), Notes: s.notes()}
	if !p.Empty() {
		v.Next = "flowehr deploy --plan " + p.ID + a.simulateFlag()
	}
	return v
}

// simulateFlag repeats --simulate in commands to copy, so that what was practised is not done for real by mistake.
func (a *app) simulateFlag() string {
	if a.simulate {
		return " --simulate"
	}
	return ""
}

// azureDrift shows how the world differs from what was deployed, and changes nothing.
func (a *app) azureDrift(ctx context.Context, s *azureSite) error {
	_, rep, err := apply.Observe(ctx, s.target, s.state, nil, s.applyOptions(a, nil))
	if err != nil {
		return err
	}
	if !a.json() {
		fmt.Fprintln(a.out, render.Header(a.style(a.out), append([]string{s.d.env.Suffix, "azure " + s.d.env.Location}, s.headline()...), s.d.env.RealData, "drift"))
	}
	return a.showDrift(rep)
}

// listDrift writes a line for each difference.
func (a *app) listDrift(rep apply.RefreshReport) {
	for _, x := range rep.Drift {
		switch {
		case x.Gone:
			fmt.Fprintf(a.out, "- %s is gone\n", x.Ref)
		case x.Found:
			fmt.Fprintf(a.out, "+ %s stands and was not recorded\n", x.Ref)
		default:
			fmt.Fprintf(a.out, "~ %s differs from its record\n", x.Ref)
		}
	}
}

// azureDeploy is "deploy" for an environment in Azure.
func (a *app) azureDeploy(ctx context.Context, d *definition, layers []flowehr.Layer, o deployOptions) error {
	return a.withAzure(ctx, d, siteOptions{wants: true}, func(s *azureSite) error {
		if err := s.missingSecrets(ctx); err != nil {
			return err
		}
		if err := s.askHeld(ctx, a, o); err != nil {
			return err
		}
		var p flowehr.Plan
		var err error
		if o.planID != "" {
			if p, err = loadPlan(d, o.planID); err == nil {
				err = apply.Stale(p, s.state)
			}
		} else {
			p, err = s.plan(ctx, a, layers, false)
		}
		if err != nil {
			return err
		}
		if p.Empty() {
			return a.nothingToDo(d, p)
		}
		if err := a.showPlan(s, p); err != nil {
			return err
		}
		if err := a.agree(d, p, o); err != nil {
			return err
		}
		report, err := a.azureApply(ctx, s, p, "flowehr deploy"+a.simulateFlag())
		if err != nil || a.json() {
			return err
		}
		fmt.Fprintf(a.out, "%s %s is as its definition says, after %s.\n", a.style(a.out).Done(), d.env.Suffix, render.Elapsed(report.Took))
		a.next("See it with: flowehr status%s   Addresses: flowehr outputs%s", a.simulateFlag(), a.simulateFlag())
		return nil
	})
}

// showPlan shows what is about to be applied.
func (a *app) showPlan(s *azureSite, p flowehr.Plan) error {
	if a.json() {
		return nil
	}
	view := s.view(a, p, false)
	view.Next = ""
	return render.Plan(a.errOut, a.style(a.errOut), view)
}

// agree asks for a yes, or for the name of the environment when people's data would go. A plan that was looked at and is
// named is agreed to, unless it takes real data away.
func (a *app) agree(d *definition, p flowehr.Plan, o deployOptions) error {
	if gone := removedData(p); len(gone) > 0 && d.env.RealData {
		return a.confirm("This deletes real data for good.", d.env.Suffix, "")
	}
	if o.yes || o.planID != "" {
		return nil
	}
	return a.confirm("Apply this plan?", "yes", "flowehr deploy --yes"+a.simulateFlag())
}

// azureApply carries out p with progress. next is the command that goes on when it does not come to its end.
func (a *app) azureApply(ctx context.Context, s *azureSite, p flowehr.Plan, next string) (apply.Report, error) {
	if err := s.ensureState(ctx, a); err != nil {
		return apply.Report{}, err
	}
	sink, stop := a.progressAt(ctx, p, s.now)
	quiet := context.AfterFunc(ctx, func() {
		a.next("Stopping. What Azure has begun it finishes by itself. Press Ctrl-C again to end at once; either way the next run goes on from there.")
	})
	defer quiet()
	o := s.applyOptions(a, sink)
	o.KeepGoing = true
	report, err := apply.Run(ctx, p, s.target.During(p), s.store, o)
	stop()
	switch {
	case err == nil && report.Complete():
		return report, nil
	case len(report.Errors) == 0 && !report.Interrupted:
		return report, err
	}
	if !a.json() {
		if showErr := render.Stopped(a.errOut, a.style(a.errOut), stoppedView(report, next)); showErr != nil {
			return report, showErr
		}
		a.explainSteps(report)
	}
	if report.Interrupted {
		return report, errInterrupted
	}
	return report, errShown
}

// explainSteps says what to do about each kind of failure, once.
func (a *app) explainSteps(report apply.Report) {
	var said []string
	for _, ref := range slices.Concat(report.Failed, report.HalfDone) {
		explained := explain(report.Errors[ref])
		h, ok := errors.AsType[hintError](explained)
		if !ok || slices.Contains(said, h.hint) {
			continue
		}
		said = append(said, h.hint)
		a.next("%s: %s", ref, h.hint)
	}
}

// azureDestroy is "destroy" for an environment in Azure.
func (a *app) azureDestroy(ctx context.Context, d *definition, layers []flowehr.Layer, o destroyOptions) error {
	return a.withAzure(ctx, d, siteOptions{purge: !d.env.RealData}, func(s *azureSite) error {
		have := s.state
		var held []azuretarget.SoftDeleted
		if o.byName {
			found, err := s.target.Inventory(ctx, azure.NamesOf(d.env))
			if err != nil {
				return err
			}
			if have, err = a.adoptInventory(ctx, s, found); err != nil {
				return err
			}
			held = found.SoftDeleted
		}
		p, err := plan.MakeDestroy(have, layers, d.env.RealData, s.now())
		if err == nil {
			p, err = s.refine(ctx, p, true)
		}
		if err != nil {
			return err
		}
		if len(p.Steps) == 0 && len(held) == 0 {
			if err := a.nothingToDestroy(d, p); err != nil {
				return err
			}
			a.next("If something of it stands that was never recorded, find it with: flowehr destroy --by-name%s", a.simulateFlag())
			return nil
		}
		if err := a.showPlan(s, p); err != nil {
			return err
		}
		if !o.yes || d.env.RealData {
			if err := a.confirm(destroyQuestion(d), d.env.Suffix, flagUnlessReal(d, "flowehr destroy --yes"+a.simulateFlag())); err != nil {
				return err
			}
		}
		if _, err := a.azureApply(ctx, s, p, "flowehr destroy"+a.simulateFlag()); err != nil {
			return err
		}
		if len(held) > 0 && !d.env.RealData {
			if _, err := s.target.PurgeHeld(ctx, held); err != nil {
				return err
			}
		}
		return a.azureProveGone(ctx, s, p)
	})
}

// destroyQuestion says what is gone afterwards. What holds real data can be recovered for a while.
func destroyQuestion(d *definition) string {
	if d.env.RealData {
		return "This deletes real data. The vaults can be recovered for some days, the rest cannot."
	}
	return "This deletes it for good; vaults and logs are purged, so that their names are free."
}

// adoptInventory writes down what was found by name and is not recorded, so that it can be removed like everything else.
func (a *app) adoptInventory(ctx context.Context, s *azureSite, found azuretarget.Inventory) (flowehr.State, error) {
	if len(found.Records) == 0 {
		return s.state, nil
	}
	if err := s.ensureState(ctx, a); err != nil {
		return flowehr.State{}, err
	}
	unlock, err := s.store.Lock(ctx, a.who())
	if err != nil {
		return flowehr.State{}, err
	}
	have, err := s.store.Load(ctx)
	if err != nil {
		return flowehr.State{}, errors.Join(err, unlock())
	}
	var ch apply.Change
	for _, rec := range found.Records {
		if _, known := have.Records[rec.Resource.Ref]; !known {
			ch.Put = append(ch.Put, rec)
		}
	}
	if len(ch.Put) > 0 {
		if _, err = s.store.Save(ctx, have.Revision, ch); err == nil {
			have, err = s.store.Load(ctx)
		}
	}
	s.state = have
	return have, errors.Join(err, unlock())
}

// azureProveGone looks for everything that was deleted.
func (a *app) azureProveGone(ctx context.Context, s *azureSite, p flowehr.Plan) error {
	proof, err := s.target.Left(ctx, p, azure.NamesOf(s.d.env))
	if err != nil {
		return err
	}
	if a.json() {
		if err := a.writeJSON(proof); err != nil {
			return err
		}
	}
	for _, x := range proof.Left {
		why := ""
		if x.Why != "" {
			why = " (" + x.Why + ")"
		}
		fmt.Fprintf(a.errOut, "%s %s %s still stands%s\n", a.style(a.errOut).Failed(), x.Kind, x.Name, why)
	}
	if !a.json() {
		for _, x := range proof.Kept {
			why := ""
			if x.Why != "" {
				why = " (" + x.Why + ")"
			}
			fmt.Fprintf(a.errOut, "%s %s %s is kept for recovery%s\n", a.style(a.errOut).Skipped(), x.Kind, x.Name, why)
		}
	}
	if !proof.Clean() {
		return hint(fmt.Errorf("%s still there", render.Plural(int64(len(proof.Left)), "thing is", "things are")),
			"What is gone stays gone; go on with: flowehr destroy --by-name%s", a.simulateFlag())
	}
	if a.json() {
		return nil
	}
	fmt.Fprintf(a.out, "%s All %d resources are gone; %s were looked for, in Azure, the directory and GitHub.\n", a.style(a.out).Done(), p.Count(flowehr.Delete), count(int64(len(proof.Looked))))
	a.next("The record of it stays in %s.", s.store.Address())
	return nil
}
