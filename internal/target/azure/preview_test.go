package azure

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
	"github.com/flowehr/flowehr/internal/plan"
)

var updateGolden = flag.Bool("update-previews", false, "write the golden previews anew")

// golden compares with a file, or writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *updateGolden {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", path, got, want)
	}
}

// written shows the steps of a plan with their parts.
func written(p flowehr.Plan, sources map[flowehr.Ref]PreviewSource) string {
	var b strings.Builder
	for _, s := range p.Steps {
		fmt.Fprintf(&b, "%s %s (%s) by %s\n", s.Action, s.Want.Ref, s.Why, sources[s.Want.Ref])
		for _, part := range s.Parts {
			fmt.Fprintf(&b, "  %s %s %s\n", part.Action, part.Kind, part.Name)
			for _, c := range part.Changes {
				fmt.Fprintf(&b, "    %s: %s -> %s\n", c.Path, c.Before, c.After)
			}
		}
	}
	return b.String()
}

// planned makes a plan from records.
func planned(t *testing.T, want []flowehr.Resource, have ...flowehr.Record) flowehr.Plan {
	t.Helper()
	env := &flowehr.Environment{Name: "test", Suffix: "hosp-test", Target: flowehr.TargetAzure}
	st := flowehr.State{Environment: "hosp-test", Target: flowehr.TargetAzure, Records: map[flowehr.Ref]flowehr.Record{}}
	for _, r := range have {
		st.Records[r.Resource.Ref] = r
	}
	p, err := plan.Make(env, want, st, plan.Options{At: time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *simulated) outputsOf(recs ...flowehr.Record) {
	s.o.Outputs = func(ref flowehr.Ref) (map[string]string, bool) {
		for _, r := range recs {
			if r.Resource.Ref == ref {
				return r.Outputs, true
			}
		}
		return nil, false
	}
}

func TestPreview(t *testing.T) {
	for _, c := range []struct {
		name        string
		noStackWhat bool
	}{{"stack", false}, {"deployment", true}} {
		t.Run(c.name, func(t *testing.T) {
			s := simulate(t, azuresim.Options{Seed: 1, NoStackWhatIf: c.noStackWhat}, nil)
			core := s.coreStack(t, "one", false)
			serve := s.serveStack(t, "one", core.Ref)
			var out strings.Builder
			show := func(title string, p flowehr.Plan) flowehr.Plan {
				t.Helper()
				p, sources, err := s.Preview(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&out, "# %s\n%s\n", title, written(p, sources))
				return p
			}
			show("nothing stands", planned(t, []flowehr.Resource{core, serve}))
			rec := s.do(t, flowehr.Create, core, nil, &notes{})
			in := &notes{outputs: rec.Outputs}
			rec2 := s.do(t, flowehr.Create, serve, nil, in)
			s.outputsOf(rec, rec2)
			if p := show("all stands", planned(t, []flowehr.Resource{core, serve}, rec, rec2)); !p.Empty() {
				t.Error("a plan of what stands is not empty")
			}
			show("a change", planned(t, []flowehr.Resource{s.coreStack(t, "two", false), serve}, rec, rec2))
			show("a stack goes", planned(t, []flowehr.Resource{core}, rec, rec2))
			// Somebody deletes the data factory and retags the vault by hand.
			n := testNames()
			version, _ := arm.Version("Microsoft.DataFactory/factories")
			factory := arm.ID(s.client.Subscription(), n.Group(), "Microsoft.DataFactory/factories", n.Factory())
			if _, err := s.client.Long(t.Context(), cloud.ARM(), cloud.Request{Method: http.MethodDelete, Path: cloud.At(factory, version)}); err != nil {
				t.Fatal(err)
			}
			before := planned(t, []flowehr.Resource{core, serve}, rec, rec2)
			after := show("somebody deleted the factory", before)
			if after.Steps[0].Action != flowehr.Update || after.Steps[0].Why != "what stands differs" || after.ID == before.ID {
				t.Errorf("got %s (%s), plan %s and before %s", after.Steps[0].Action, after.Steps[0].Why, after.ID, before.ID)
			}
			if b, err := plan.Encode(after); err != nil {
				t.Error(err)
			} else if _, err := plan.Decode(b); err != nil {
				t.Errorf("a previewed plan cannot be read back: %v", err)
			}
			golden(t, "preview-"+c.name+".golden", out.String())
			if left := s.count("PUT", "/deploymentStacksWhatIfResults/"); !c.noStackWhat && (left == 0 || left != s.count("DELETE", "/deploymentStacksWhatIfResults/")) {
				t.Errorf("%d previews were made and not all cleaned up", left)
			}
		})
	}
}

func TestPreviewRefusals(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	if err := s.remote.SetConditions(t.Context(), azuresim.Conditions{Policies: []azuresim.Policy{{Name: "No factories", Type: "Microsoft.DataFactory/factories"}}}); err != nil {
		t.Fatal(err)
	}
	_, _, err := s.Preview(t.Context(), planned(t, []flowehr.Resource{s.coreStack(t, "one", false)}))
	if what, _, ok := cloud.Explain(err); !ok || !strings.Contains(what, "No factories") {
		t.Errorf("got %v, explained as %q", err, what)
	}
}

func TestPreviewThatExpires(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	gone := azuresim.FaultRule{Method: "POST", Path: "/whatIf", Fault: azuresim.FaultRefuse, Status: 404, Code: "DeploymentStackWhatIfResultNotFound", Message: "gone", Times: 2}
	if err := s.remote.SetFaults(t.Context(), azuresim.Faults{Rules: []azuresim.FaultRule{gone}}); err != nil {
		t.Fatal(err)
	}
	core := s.coreStack(t, "one", false)
	p, sources, err := s.Preview(t.Context(), planned(t, []flowehr.Resource{core}))
	if err != nil || sources[core.Ref] != FromDeployment || len(p.Steps[0].Parts) != 3 {
		t.Errorf("got %v by %q, %v", p.Steps, sources[core.Ref], err)
	}
}

func TestNoise(t *testing.T) {
	body := func(text string) map[string]any {
		var m map[string]any
		if err := json.Unmarshal([]byte(text), &m); err != nil {
			t.Fatal(err)
		}
		return m
	}
	wanted := body(`{"properties":{"a":1},"tags":{"x":"y"}}`)
	recorded := body(`{"properties":{"a":1,"old":2}}`)
	for _, c := range []struct {
		name   string
		typ    string
		change flowehr.Change
		want   bool
	}{
		{"read-only everywhere", "T/t", flowehr.Change{Path: "/properties/provisioningState", Before: []byte(`"x"`)}, true},
		{"below a read-only one", "T/t", flowehr.Change{Path: "/systemData/createdAt", Before: []byte(`"x"`), After: []byte(`"y"`)}, true},
		{"read-only of a type", "Microsoft.KeyVault/vaults", flowehr.Change{Path: "/properties/vaultUri", Before: []byte(`"x"`)}, true},
		{"not of another type", "T/t", flowehr.Change{Path: "/properties/vaultUri", Before: []byte(`"x"`), After: []byte(`"y"`)}, false},
		{"an element of any", "Microsoft.Network/virtualNetworks", flowehr.Change{Path: "/properties/subnets/3/properties/purpose", Before: []byte(`"x"`)}, true},
		{"worked out when deployed", "T/t", flowehr.Change{Path: "/properties/a", Before: []byte(`"x"`), After: []byte(`"[reference('b').c]"`)}, true},
		{"a default of the service", "T/t", flowehr.Change{Path: "/properties/extra", Before: []byte(`true`)}, true},
		{"what the template had before", "T/t", flowehr.Change{Path: "/properties/old", Before: []byte(`2`)}, false},
		{"a change", "T/t", flowehr.Change{Path: "/tags/x", Before: []byte(`"z"`), After: []byte(`"y"`)}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := noise(c.typ, c.change, recorded, wanted); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestPointer(t *testing.T) {
	for _, c := range [][2]string{{"properties.enforcementMode", "/properties/enforcementMode"}, {"properties.subnets[0].name", "/properties/subnets/0/name"},
		{"0", "/0"}, {"tags['a.b/c']", "/tags/a.b~1c"}, {"", ""}, {"a['b", "/a/b"}} {
		if got := pointer(c[0]); got != c[1] {
			t.Errorf("%s: got %s, want %s", c[0], got, c[1])
		}
	}
}

func FuzzPointer(f *testing.F) {
	for _, s := range []string{"a.b[0]['c.d'].e", "[", "['", ".", "a..b", "]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) { pointer(path) })
}

// Parts tells the difference of templates without asking anybody, also where outputs are not known.
func TestPartsOffline(t *testing.T) {
	s := &simulated{sim: mustSim(t)}
	core := s.coreStack(t, "one", false)
	serve := s.serveStack(t, "one", core.Ref)
	rec, rec2 := flowehr.Record{Resource: core}, flowehr.Record{Resource: serve}
	changed := s.serveStack(t, "two", core.Ref)
	show := func(st flowehr.Step) string {
		st.Parts = Parts(st)
		return written(flowehr.Plan{Steps: []flowehr.Step{st}}, nil)
	}
	var b strings.Builder
	for _, st := range []flowehr.Step{{Action: flowehr.Create, Want: core}, {Action: flowehr.Keep, Want: core, Prior: &rec}, {Action: flowehr.Update, Want: changed, Prior: &rec2},
		{Action: flowehr.Delete, Want: serve, Prior: &rec2}, {Action: flowehr.Create, Want: flowehr.Resource{Ref: azure.Ref(azure.KindGroup, "g")}}} {
		b.WriteString(show(st))
	}
	golden(t, "parts.golden", b.String())
}

func mustSim(t *testing.T) *azuresim.Sim {
	t.Helper()
	sim, err := azuresim.New(azuresim.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return sim
}

func TestProject(t *testing.T) {
	for _, c := range []struct{ name, recorded, filled, now, want string }{
		{"same", `{"a":{"$output":"s/x","name":"n"}}`, `{"a":"v"}`, `{"a":"v"}`, `{"a":{"$output":"s/x","name":"n"}}`},
		{"another member differs", `{"a":{"$output":"s/x","name":"n"},"b":1}`, `{"a":"v","b":1}`, `{"a":"v","b":2}`, `{"a":{"$output":"s/x","name":"n"},"b":2}`},
		{"the output differs", `{"a":{"$output":"s/x","name":"n"}}`, `{"a":"v"}`, `{"a":"w"}`, `{"a":"w"}`},
		{"in a list", `[{"$output":"s/x","name":"n"},2]`, `["v",2]`, `["v",3,4]`, `[{"$output":"s/x","name":"n"},3,4]`},
		{"gone and new", `{"a":1,"c":3}`, `{"a":1,"c":3}`, `{"a":1,"d":4}`, `{"a":1,"d":4}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := project([]byte(c.recorded), []byte(c.filled), []byte(c.now))
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v; want %s", got, err, c.want)
			}
		})
	}
}

func TestDiscover(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, nil)
	env := &flowehr.Environment{Suffix: "hosp-test", Short: "hosptest", Location: region, Network: flowehr.Network{AddressSpace: "10.65.1.0/24", RandomAddressSpace: true}}
	o := DiscoverOptions{PublicIP: func(context.Context) (string, error) { return "203.0.113.7", nil }}
	f, diags, err := Discover(t.Context(), s.client, env, o)
	if err != nil || len(diags) > 0 {
		t.Fatalf("got %v, %v", diags, err)
	}
	if f.Subscription != s.sim.Subscription() || f.Tenant != s.sim.Tenant() || f.Deployer != s.o.Facts.Deployer || f.PublicIP != "203.0.113.7" || f.AddressSpace != "10.65.1.0/24" {
		t.Errorf("got %+v", f)
	}
	if len(f.Databricks) == 0 {
		t.Error("no address ranges of Databricks")
	}
	again, _, err := Discover(t.Context(), s.client, env, o)
	if err != nil || fmt.Sprint(again) != fmt.Sprint(f) {
		t.Errorf("a second time: %+v, %v", again, err)
	}

	// Somebody's network takes the range: another one is chosen, always the same.
	s.network(t, "rg-other", "vnet-other", "10.65.0.0/20")
	moved, _, err := Discover(t.Context(), s.client, env, o)
	if err != nil || moved.AddressSpace == f.AddressSpace || moved.AddressSpace == "" {
		t.Fatalf("got %s, %v", moved.AddressSpace, err)
	}
	// Our own network stands: it keeps what it has.
	s.network(t, "rg-hosp-test", "vnet-hosp-test", "10.65.2.0/24")
	kept, _, err := Discover(t.Context(), s.client, env, o)
	if err != nil || kept.AddressSpace != "10.65.2.0/24" {
		t.Errorf("got %s, %v", kept.AddressSpace, err)
	}
	// A configured range is kept, with a warning.
	env.Suffix, env.Network = "hosp-prod", flowehr.Network{AddressSpace: "10.65.3.0/24"}
	fixed, diags, err := Discover(t.Context(), s.client, env, o)
	if err != nil || fixed.AddressSpace != "10.65.3.0/24" || len(diags) != 1 || flowehr.HasErrors(diags) {
		t.Errorf("got %s, %v, %v", fixed.AddressSpace, diags, err)
	}

	if err := s.remote.SetConditions(t.Context(), azuresim.Conditions{Unavailable: map[string][]string{region: {"Microsoft.Databricks/workspaces"}}}); err != nil {
		t.Fatal(err)
	}
	_, diags, err = Discover(t.Context(), s.client, env, o)
	if err != nil || !slices.ContainsFunc(diags, func(d flowehr.Diagnostic) bool { return d.Summary == "uksouth has no Databricks" }) {
		t.Errorf("got %v, %v", diags, err)
	}
}

func (s *simulated) network(t *testing.T, group, name, space string) {
	t.Helper()
	for _, r := range []struct {
		typ, id string
		body    arm.Object
	}{
		{"Microsoft.Resources/resourceGroups", arm.GroupID(s.client.Subscription(), group), arm.Object{"location": region}},
		{"Microsoft.Network/virtualNetworks", arm.ID(s.client.Subscription(), group, "Microsoft.Network/virtualNetworks", name),
			arm.Object{"location": region, "properties": arm.Object{"addressSpace": arm.Object{"addressPrefixes": []string{space}}}}},
	} {
		version, _ := arm.Version(r.typ)
		if _, err := s.client.Long(t.Context(), cloud.ARM(), cloud.Request{Method: http.MethodPut, Path: cloud.At(r.id, version), Body: r.body}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestDiscoverNamesMissingPermissions(t *testing.T) {
	weak := azuresim.Deployer()
	weak.Role, weak.Graph = "Contributor", []string{"Directory.Read.All"}
	s := simulate(t, azuresim.Options{Seed: 1, Identities: []azuresim.Identity{weak}}, nil)
	env := &flowehr.Environment{Suffix: "hosp-test", Short: "hosptest", Location: region, RealData: true, Network: flowehr.Network{AddressSpace: "10.0.0.0/24"}}
	_, diags, err := Discover(t.Context(), s.client, env, DiscoverOptions{Automation: true})
	if err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	for _, d := range diags {
		fmt.Fprintln(&said, d.Summary, "|", d.Detail)
	}
	for _, want := range []string{"Microsoft.Authorization/roleAssignments/write", "Role Based Access Control Administrator", "manageDenySetting/action", "Group.ReadWrite.All", "Application.ReadWrite.All"} {
		if !strings.Contains(said.String(), want) {
			t.Errorf("%s is not named in\n%s", want, said.String())
		}
	}
	if strings.Contains(said.String(), "deploymentStacks/write") {
		t.Errorf("a permission that is there is missed:\n%s", said.String())
	}
}

// What an inventory finds by name alone is taken away in the order of a plan, and the proof says that nothing is left.
func TestInventoryAndProof(t *testing.T) {
	s := simulate(t, azuresim.Options{Seed: 1}, func(o *Options) { o.Purge = true })
	core := s.coreStack(t, "one", true)
	rec := s.do(t, flowehr.Create, core, nil, &notes{})
	s.do(t, flowehr.Create, s.serveStack(t, "one", core.Ref), nil, &notes{outputs: rec.Outputs})
	group := azure.GroupSpec{DisplayName: testNames().Developers(), UniqueName: azure.UniqueName(testNames().Developers()), Description: "d"}
	spec, err := flowehr.Canonical(group)
	if err != nil {
		t.Fatal(err)
	}
	s.do(t, flowehr.Create, flowehr.Resource{Ref: azure.Ref(azure.KindGroup, group.UniqueName), Layer: flowehr.LayerCore, Spec: spec}, nil, &notes{})

	inv, err := s.Inventory(t.Context(), testNames())
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, r := range inv.Records {
		found = append(found, r.Resource.Ref.String())
	}
	want := []string{"stack/serve", "stack/core", "resource-group/rg-hosp-test", "entra-group/hosp-test-flowehr-developers"}
	if !slices.Equal(found, want) {
		t.Fatalf("found %v, want %v", found, want)
	}
	p, err := plan.MakeDestroy(inv.State("hosp-test", 0), nil, false, time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	proof, err := s.Left(t.Context(), p, testNames())
	if err != nil || proof.Clean() {
		t.Errorf("before destroying: %+v, %v", proof, err)
	}
	for _, step := range p.Steps {
		if _, err := s.Do(t.Context(), step, &notes{}); err != nil {
			t.Fatalf("delete %s: %v", step.Want.Ref, err)
		}
	}
	proof, err = s.Left(t.Context(), p, testNames())
	if err != nil || !proof.Clean() || len(proof.Looked) < 6 {
		t.Errorf("after destroying: %+v, %v", proof, err)
	}
	if left := s.sim.Leftovers(); len(left) > 0 {
		t.Errorf("the world still has %v", left)
	}
}
