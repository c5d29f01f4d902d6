package azure

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// pipelineStack is a pipeline with a trigger in the data factory of core.
func (s *simulated) pipelineStack(t *testing.T, hours int) flowehr.Resource {
	t.Helper()
	n := testNames()
	inner := arm.ForGroup()
	inner.Add("pipeline", arm.New("Microsoft.DataFactory/factories/pipelines", n.Factory()+"/load", arm.Object{
		"activities": []any{arm.Object{"name": "wait", "type": "Wait", "typeProperties": arm.Object{"waitTimeInSeconds": 1}}}}))
	trigger := arm.New("Microsoft.DataFactory/factories/triggers", n.Factory()+"/nightly", arm.Object{
		"type":           "ScheduleTrigger",
		"pipelines":      []any{arm.Object{"pipelineReference": arm.Object{"referenceName": "load", "type": "PipelineReference"}}},
		"typeProperties": arm.Object{"recurrence": arm.Object{"frequency": "Hour", "interval": hours, "startTime": "2026-11-01T00:00:00Z", "timeZone": "UTC"}},
	})
	trigger.DependsOn = []string{"pipeline"}
	inner.Add("trigger", trigger)
	r := stackResource(t, "pipelines", n.Stack("pipelines"), flowehr.LayerTransform, n.Group(), inner, false)
	r.Needs = []flowehr.Ref{azure.Ref(azure.KindStack, "core")}
	return r
}

func (s *simulated) triggerID() string {
	n := testNames()
	return arm.ID(s.client.Subscription(), n.Group(), typeTrigger, n.Factory(), "nightly")
}

func (s *simulated) triggerState(t *testing.T) string {
	t.Helper()
	var out struct{ Properties struct{ RuntimeState string } }
	version, _ := arm.Version(typeTrigger)
	if err := s.client.Get(t.Context(), cloud.ARM(), cloud.At(s.triggerID(), version), &out); err != nil {
		t.Fatal(err)
	}
	return out.Properties.RuntimeState
}

// Data Factory refuses to change a started trigger: it is stopped, and started again when it is one that was started before.
func TestStackStopsAndStartsTriggers(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	core := s.do(t, flowehr.Create, s.coreStack(t, "one", false), nil, &notes{})
	rec := s.do(t, flowehr.Create, s.pipelineStack(t, 1), nil, &notes{})
	if err := s.switchTrigger(t.Context(), s.triggerID(), "start"); err != nil {
		t.Fatal(err)
	}
	spec, err := flowehr.Canonical(azure.TriggerSpec{Factory: factoryOf(s.triggerID()), Name: "nightly", Started: true})
	if err != nil {
		t.Fatal(err)
	}
	wanted := flowehr.Resource{Ref: azure.Ref(azure.KindTrigger, "nightly"), Layer: flowehr.LayerTransform, Spec: spec}
	s.o.Wanted = []flowehr.Resource{wanted}
	s.outputsOf(core, rec)
	in := &notes{}
	rec = s.do(t, flowehr.Update, s.pipelineStack(t, 2), &rec, in)
	if !in.has("stopping trigger nightly") || s.triggerState(t) != "Stopped" {
		t.Errorf("a trigger that its own step starts: said %q, it is %s", in.said, s.triggerState(t))
	}

	s.outputsOf(core, rec, flowehr.Record{Resource: wanted})
	if err := s.switchTrigger(t.Context(), s.triggerID(), "start"); err != nil {
		t.Fatal(err)
	}
	in = &notes{}
	rec = s.do(t, flowehr.Update, s.pipelineStack(t, 3), &rec, in)
	if !in.has("starting trigger nightly again") || s.triggerState(t) != "Started" {
		t.Errorf("a trigger that was started before: said %q, it is %s", in.said, s.triggerState(t))
	}
	// It does not stand in the way of removal either.
	s.do(t, flowehr.Delete, rec.Resource, &rec, in)
	if _, stands, err := s.stack(t.Context(), testNames().Stack("pipelines")); err != nil || stands {
		t.Errorf("the stack still stands: %v", err)
	}
}

// What is known to stand in the way of deleting a stack is taken away first.
func TestStackRemovalClearsTheWay(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	n := testNames()
	core := s.do(t, flowehr.Create, s.coreStack(t, "one", false), nil, &notes{})
	inner := arm.ForGroup()
	connector := arm.New("Microsoft.Databricks/accessConnectors", n.Connector(), arm.Object{})
	connector.Location, connector.Identity = region, arm.Object{"type": "SystemAssigned"}
	inner.Add("connector", connector)
	workspace := arm.New("Microsoft.Databricks/workspaces", n.Workspace(), arm.Object{"computeMode": "Hybrid", "managedResourceGroupId": arm.GroupID(s.client.Subscription(), n.WorkspaceManagedGroup())})
	workspace.Location, workspace.SKU = region, arm.Object{"name": "premium"}
	inner.Add("workspace", workspace)
	lock := arm.New("Microsoft.Authorization/locks", "keep", arm.Object{"level": "CanNotDelete"})
	lock.Scope = arm.ID(s.client.Subscription(), n.Group(), "Microsoft.Databricks/accessConnectors", n.Connector())
	lock.DependsOn = []string{"connector"}
	inner.Add("lock", lock)
	r := stackResource(t, "transform", n.Stack("transform"), flowehr.LayerTransform, n.Group(), inner, false)
	rec := s.do(t, flowehr.Create, r, nil, &notes{outputs: core.Outputs})
	s.do(t, flowehr.Delete, r, &rec, &notes{})
	var own []string
	for _, c := range s.calls {
		if strings.HasPrefix(c, http.MethodDelete) {
			own = append(own, c[strings.LastIndex(c, "/")+1:])
		}
	}
	if got, want := strings.Join(own, " "), "keep "+n.Workspace()+" "+n.Stack("transform"); got != want {
		t.Errorf("deleted %q, want %q", got, want)
	}
	s.do(t, flowehr.Delete, core.Resource, &core, &notes{})
	if left := s.sim.Leftovers(); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}

// A removal that leaves something is begun again.
func TestStackRemovalIsRepeated(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	core := s.do(t, flowehr.Create, s.coreStack(t, "one", false), nil, &notes{})
	rule := azuresim.FaultRule{Method: "DELETE", Path: "/deploymentStacks/", Fault: azuresim.FaultRefuse, Status: 409, Code: "DeploymentStackInNonTerminalState", Message: "busy", Times: 2}
	if err := s.remote.SetFaults(t.Context(), azuresim.Faults{Rules: []azuresim.FaultRule{rule}}); err != nil {
		t.Fatal(err)
	}
	s.do(t, flowehr.Delete, core.Resource, &core, &notes{})
	if n := s.count("DELETE", "/deploymentStacks/"); n != 3 {
		t.Errorf("asked %d times, want 3", n)
	}
}

// A removal that was interrupted is found going on.
func TestStackRemovalResumes(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	core := s.do(t, flowehr.Create, s.coreStack(t, "one", false), nil, &notes{})
	ctx, stop := context.WithCancel(t.Context())
	s.o.Client = cloud.New(cloud.Options{Credential: s.client.Credential(), Subscription: s.client.Subscription(), Tenant: s.client.Tenant(), Transport: s.client.Transport(),
		Wait: interrupt(stop)})
	if _, err := s.Do(ctx, flowehr.Step{Action: flowehr.Delete, Want: core.Resource, Prior: &core}, &notes{}); err == nil {
		t.Fatal("the interruption was not told")
	}
	s.o.Client = s.client
	s.do(t, flowehr.Delete, core.Resource, &core, &notes{})
	if n := s.count("DELETE", "/deploymentStacks/"); n != 1 {
		t.Errorf("asked for the deletion %d times, want once", n)
	}
	if left := s.sim.Leftovers(); len(left) > 0 {
		t.Errorf("still there: %v", left)
	}
}
