package compliance_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/estate"
	"github.com/flowehr/flowehr/internal/compliance"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestNumbers holds the tables to the benchmark: so many recommendations in each version, each once, and no gap within a section.
func TestNumbers(t *testing.T) {
	report := evaluate(t, compliance.Input{Environment: environment(), Resources: ideal().resources(t, nil), At: at})
	want := map[string]int{"v2.0.0": 152, "v3.0.0": 159, "v5.0.0": 155}
	for _, s := range report.Sections {
		if s.Standard == compliance.StandardCIS && len(s.Results) != want[s.Version] {
			t.Errorf("%s has %d controls, want %d", s.Version, len(s.Results), want[s.Version])
		}
		seen, checks := map[string]bool{}, map[string]bool{}
		sum := 0
		for _, r := range s.Results {
			if seen[r.ID] || r.ID == "" || r.Title == "" || r.Check == "" {
				t.Errorf("%s %s: %q is there twice, or is not whole", s.Standard, s.Version, r.ID)
			}
			if checks[r.Check] {
				t.Errorf("%s: two controls are answered by %s", s.Version, r.Check) // answers are kept by the name of the check
			}
			seen[r.ID], checks[r.Check] = true, true
			if r.Compiled.Why == "" {
				t.Errorf("%s %s does not say why", s.Version, r.ID)
			}
			if (r.Status == compliance.NotMet || r.Status == compliance.CannotTell) && r.Compiled.Next == "" {
				t.Errorf("%s %s does not say what to do next", s.Version, r.ID)
			}
		}
		for _, n := range s.Counts {
			sum += n
		}
		if sum != len(s.Results) {
			t.Errorf("%s: counts sum to %d of %d", s.Version, sum, len(s.Results))
		}
		if s.Standard == compliance.StandardCIS {
			noGaps(t, s.Version, seen)
		}
	}
}

// noGaps checks that 3.1.2 has a 3.1.1 before it. Where the benchmark itself begins later there is an exception.
func noGaps(t *testing.T, version string, seen map[string]bool) {
	begun := map[string]int{}
	for id := range seen {
		at := strings.LastIndex(id, ".")
		begun[id[:at]]++
	}
	last := regexp.MustCompile(`\.(\d+)$`)
	for id := range seen {
		var n int
		if _, err := fmt.Sscan(last.FindStringSubmatch(id)[1], &n); err != nil {
			t.Fatal(err)
		}
		section := id[:strings.LastIndex(id, ".")]
		if n > 1 && !seen[fmt.Sprintf("%s.%d", section, n-1)] && !begins(seen, fmt.Sprintf("%s.%d", section, n-1)) {
			t.Errorf("%s: %s has nothing before it", version, id)
		}
	}
}

// begins says whether a number is a section.
func begins(seen map[string]bool, section string) bool {
	for id := range seen {
		if strings.HasPrefix(id, section+".") {
			return true
		}
	}
	// Section 3.1.2 of v3.0.0 and 8.1.2 of others are empty.
	return false
}

func evaluate(t testing.TB, in compliance.Input) compliance.Report {
	t.Helper()
	r, err := compliance.Evaluate(in)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestGoldens holds the three forms of a small report to files: one version, problems only, with something wrong on each side.
func TestGoldens(t *testing.T) {
	w := ideal()
	w.set(t, scm, "allow", true)
	defined := w.resources(t, specs(t))
	w.set(t, account, "supportsHttpsTrafficOnly", false)
	report := evaluate(t, compliance.Input{
		Environment: environment(), Resources: defined, State: state(defined), Live: w.live(t, defined), At: at, Product: "1.0.0", Benchmarks: []string{"v3.0.0"},
		Facts:  compliance.Facts{Features: []string{compliance.FeatureAirlock}},
		Probes: []compliance.Probe{{Name: compliance.ProbeOutbound, Held: false, Detail: "192.0.2.1 answered on port 80", At: at}},
	})
	forms := map[string]func(io.Writer) error{
		"whole.md": report.Markdown, "problems.md": report.Problems().Markdown, "problems.html": report.Problems().HTML,
		"problems.json": func(w io.Writer) error {
			out, err := report.Problems().JSON()
			if err != nil {
				return err
			}
			_, err = w.Write(out)
			return err
		},
	}
	for name, write := range forms {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), b.String()); d != "" {
				t.Errorf("differs from %s (-want +got):\n%s", file, d)
			}
		})
	}
}

// TestPageNeedsNothing: the page fetches nothing, runs nothing, and what came from elsewhere stays text.
func TestPageNeedsNothing(t *testing.T) {
	e := environment()
	e.Suffix = `x"><script>alert(1)</script>`
	e.Sources[0].Name = "<img src=x onerror=alert(1)>|*a*"
	report := evaluate(t, compliance.Input{Environment: e, Resources: ideal().resources(t, nil), At: at})
	var page, text bytes.Buffer
	if err := report.HTML(&page); err != nil {
		t.Fatal(err)
	}
	if err := report.Markdown(&text); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"<script", "<img", "http://", "https://", "<link", "@import", "url("} {
		if strings.Contains(page.String(), bad) && !strings.Contains(bad, "http") {
			t.Errorf("the page has %s", bad)
		}
		if strings.HasPrefix(bad, "<") && strings.Contains(text.String(), bad) {
			t.Errorf("the text has %s", bad)
		}
	}
	if regexp.MustCompile(`(src|href)="https?:`).MatchString(page.String()) {
		t.Error("the page refers to somewhere else")
	}
	for _, good := range []string{`lang="en-GB"`, "prefers-color-scheme: dark", "not an accreditation", "v2.0.0", "v3.0.0", "v5.0.0", compliance.SATREVersion, "23 November 2026"} {
		if !strings.Contains(page.String(), good) {
			t.Errorf("the page lacks %s", good)
		}
	}
}

// TestProblems keeps the counts and leaves out what is fine.
// A report of a simulation can be taken for nothing else.
func TestSimulationSaysSo(t *testing.T) {
	in := compliance.Input{Environment: &flowehr.Environment{Suffix: "x", Target: flowehr.TargetAzure}, Simulation: true, At: time.Now()}
	r, err := compliance.Evaluate(in)
	if err != nil {
		t.Fatal(err)
	}
	var md, page bytes.Buffer
	if err := errors.Join(r.Markdown(&md), r.HTML(&page)); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"md": md.String(), "html": page.String()} {
		if !strings.Contains(text, "SIMULATION: what is deployed stands in a simulation") {
			t.Errorf("the %s does not say that it is of a simulation", name)
		}
	}
}

func TestProblems(t *testing.T) {
	w := ideal()
	w.set(t, account, "supportsHttpsTrafficOnly", false)
	whole := evaluate(t, compliance.Input{Environment: environment(), Resources: w.resources(t, specs(t)), At: at})
	problems := whole.Problems()
	for i, s := range problems.Sections {
		if d := cmp.Diff(whole.Sections[i].Counts, s.Counts); d != "" {
			t.Error(d)
		}
		if s.Counts[compliance.NotMet] != len(s.Results) {
			t.Errorf("%s: %d results, %d not met", s.Version, len(s.Results), s.Counts[compliance.NotMet])
		}
	}
	if len(whole.Sections[0].Results) != 152 {
		t.Error("the whole report was changed")
	}
	var back compliance.Report
	out, err := problems.JSON()
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out, &back); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(problems, back); d != "" {
		t.Error(d)
	}
}

// TestOnThisMachine: CIS says nothing of a machine, and what nobody looked at is not claimed.
func TestOnThisMachine(t *testing.T) {
	yes, no := true, false
	e := environment()
	e.Target, e.Local.Listen = flowehr.TargetLocal, "127.0.0.1:8080"
	report := evaluate(t, compliance.Input{Environment: e, At: at})
	if len(report.Sections) != 1 || report.Sections[0].Standard != compliance.StandardSATRE {
		t.Fatalf("sections: %d", len(report.Sections))
	}
	for _, c := range []struct {
		name, id string
		change   func(*compliance.Input)
		want     compliance.Status
	}{
		{"disk", "2.8.01", nil, compliance.CannotTell},
		{"disk, probed", "2.8.01", func(in *compliance.Input) {
			in.Probes = []compliance.Probe{{Name: compliance.ProbeAtRest, Held: true}}
		}, compliance.Met},
		{"this machine alone", "2.8.02", nil, compliance.Met},
		{"other machines, in the clear", "2.8.02", func(in *compliance.Input) { in.Facts.TLS = &no }, compliance.NotMet},
		{"other machines, nobody looked", "2.8.02", func(in *compliance.Input) { in.Environment.Local.Listen = "0.0.0.0:8080" }, compliance.CannotTell},
		{"sign-in", "1.5.03", func(in *compliance.Input) { in.Facts.SignInRequired = &yes }, compliance.Met},
		{"no sign-in", "1.5.03", func(in *compliance.Input) { in.Facts.SignInRequired = &no }, compliance.NotMet},
		{"sign-in, nobody looked", "1.5.03", nil, compliance.CannotTell},
		{"log, not verified", "2.5.03", func(in *compliance.Input) { in.Facts.AuditLog = &yes }, compliance.CannotTell},
		{"log, verified", "2.5.03", func(in *compliance.Input) {
			in.Facts.AuditLog, in.Probes = &yes, []compliance.Probe{{Name: compliance.ProbeAudit, Held: true}}
		}, compliance.Met},
		{"log, changed", "2.5.03", func(in *compliance.Input) {
			in.Facts.AuditLog, in.Probes = &yes, []compliance.Probe{{Name: compliance.ProbeAudit}}
		}, compliance.NotMet},
		{"outbound", "2.2.11", nil, compliance.CannotTell},
		{"airlock in use", "3.1.05", func(in *compliance.Input) { in.Facts.Features = []string{compliance.FeatureAirlock} }, compliance.Met},
		{"airlock not in use", "3.1.05", func(in *compliance.Input) { in.Facts.Features = []string{} }, compliance.NotMet},
		{"airlock, nobody looked", "3.1.05", nil, compliance.CannotTell},
		{"two projects", "2.1.08", func(in *compliance.Input) {
			in.Environment.Apps = []flowehr.App{{ID: "a", Project: "second"}}
		}, compliance.CannotTell},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := *e
			in := compliance.Input{Environment: &one, At: at}
			if c.change != nil {
				c.change(&in)
			}
			for _, r := range evaluate(t, in).Sections[0].Results {
				if r.ID == c.id && r.Status != c.want {
					t.Errorf("%s, want %s: %+v", r.Status, c.want, r.Compiled)
				}
			}
		})
	}
}

// TestWanted: ids as Azure writes them, each once, with an api-version; nothing that only a POST returns.
func TestWanted(t *testing.T) {
	wants, err := compliance.Wanted(ideal().resources(t, specs(t)))
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, w := range wants {
		if ids[w.ID] || !strings.HasPrefix(w.ID, "/subscriptions/"+subscription) || w.APIVersion == "" || strings.HasSuffix(w.ID, "/appsettings") {
			t.Errorf("%+v", w)
		}
		ids[w.ID] = true
	}
	for _, id := range []string{
		id("Microsoft.Storage/storageAccounts/blobServices", "strg", "default"), id("Microsoft.Sql/servers", "sql") + "/firewallRules",
		id("Microsoft.KeyVault/vaults", "kv") + "/providers/Microsoft.Insights/diagnosticSettings/log", "/subscriptions/" + subscription + "/providers/Microsoft.Security/pricings",
	} {
		if !ids[id] {
			t.Errorf("does not ask for %s", id)
		}
	}
	bad := []flowehr.Resource{{Ref: azure.Ref(azure.KindStack, "core"), Spec: json.RawMessage(`{"template":{"resources":{"a":{"type":"A/b","name":"x/y"}}}}`)}}
	if _, err := compliance.Wanted(bad); err == nil {
		t.Error("a name that does not fit its type was taken")
	}
}

// TestEstate judges what environments really become.
func TestEstate(t *testing.T) {
	for _, c := range []struct {
		name string
		env  *flowehr.Environment
		want map[string]compliance.Status
	}{
		{"real data", hospital(true), map[string]compliance.Status{
			"storage-public": compliance.Met, "storage-tls-only": compliance.Met, "storage-double": compliance.Met, "storage-anonymous": compliance.Met, "storage-endpoint": compliance.Met, "storage-soft": compliance.Met, "storage-log-blob": compliance.Met, "storage-own-key": compliance.NotMet,
			"vault-purge": compliance.Met, "vault-roles": compliance.Met, "vault-log": compliance.Met, "vault-endpoint": compliance.Met,
			"sql-audit": compliance.Met, "sql-directory": compliance.Met, "sql-encryption": compliance.Met, "sql-public": compliance.Met,
			"cosmos-identity": compliance.Met, "cosmos-endpoint": compliance.Met,
			"flow-log": compliance.Met, "flow-log-days": compliance.Met, "network-rdp": compliance.Met, "network-ssh": compliance.Met, "network-subnets": compliance.Met,
			"app-https": compliance.Met, "app-tls": compliance.Met, "app-passwords": compliance.NotMet, "app-secrets": compliance.Met, "app-ftp": compliance.Met,
			"databricks-network": compliance.Met, "databricks-groups": compliance.Met, "databricks-addresses": compliance.Met,
			"alert-firewall-write": compliance.Met, "alert-policy-write": compliance.NotMet,
			"machine-disks": compliance.NotApplicable, "entra-defaults": compliance.CannotTell, "satre-2.8.01": compliance.Met,
		}},
		{"no real data", hospital(false), map[string]compliance.Status{
			"locks": compliance.NotApplicable, "flow-log": compliance.NotMet, "alert-firewall-write": compliance.NotMet, "storage-tls-only": compliance.Met, "app-https": compliance.Met,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			resources, diagnostics := estate.Lower(c.env, subscriptionFacts())
			if flowehr.HasErrors(diagnostics) {
				t.Fatal(diagnostics)
			}
			got := results(t, compliance.Input{Environment: c.env, Resources: resources, At: at})
			for check, want := range c.want {
				if got[check].Status != want {
					t.Errorf("%s (%s): %s, want %s: %s %v", check, got[check].Title, got[check].Status, want, got[check].Compiled.Why, got[check].Compiled.Evidence)
				}
			}
			if wants, err := compliance.Wanted(resources); err != nil || len(wants) < 20 {
				t.Errorf("%d wanted, %v", len(wants), err)
			}
		})
	}
}

// TestWebhookIsNamed: the publishing password that the registry's webhook needs is not talked away.
func TestWebhookIsNamed(t *testing.T) {
	env := hospital(true)
	resources, _ := estate.Lower(env, subscriptionFacts())
	got := results(t, compliance.Input{Environment: env, Resources: resources, At: at})["app-passwords"]
	if got.Status != compliance.NotMet || !strings.Contains(got.Compiled.Why, "webhook") {
		t.Errorf("%+v", got)
	}
	slot := func(e compliance.Evidence) bool { return strings.Contains(e.Resource, "scm") && e.Value == "true" }
	if !slices.ContainsFunc(got.Compiled.Evidence, slot) {
		t.Errorf("no evidence of the open door: %v", got.Compiled.Evidence)
	}
}

func subscriptionFacts() azure.Facts {
	return azure.Facts{
		Subscription: subscription, Tenant: "22222222-2222-4222-8222-222222222222", Automation: true, AddressSpace: "10.1.0.0/24", Databricks: []string{"203.0.113.0/28"},
		Deployer: azure.Deployer{ObjectID: "33333333-3333-4333-8333-333333333333", Kind: azure.PrincipalService, Name: "ci"},
		CI:       &azure.CIFacts{Group: "rg-ci", Network: "vnet-ci"},
	}
}

// hospital is an environment with one app.
func hospital(realData bool) *flowehr.Environment {
	e := &flowehr.Environment{
		ID: "stelse", Name: "dev", Suffix: "stelse-dev", Short: "stelsedev", Target: flowehr.TargetAzure, Location: "uksouth", RealData: realData,
		Network: flowehr.Network{AddressSpace: "10.1.0.0/24"}, Lake: flowehr.Lake{Zones: []string{"bronze", "gold"}},
		Spark: flowehr.Spark{Version: "3.3", Cluster: flowehr.Cluster{RuntimeEngine: "STANDARD", DataSecurityMode: "SINGLE_USER", AutoterminationMinutes: 60}},
		Store: flowehr.FeatureStore{Engine: "mssql", SKU: "S1", SizeGB: 2}, Sizes: flowehr.Sizes{LogRetentionDays: 90, VaultRetentionDays: 7, AppPlanSKU: "S1"},
		Serve: &flowehr.Serve{GitHubOwner: "st-elsewhere", GitHubAppID: "1", GitHubAppInstallationID: "2"},
		Apps: []flowehr.App{{ID: "board", Name: "Board", Project: "main", TestingSlot: true, Owners: map[string]string{"jdoe": "j@example.nhs.uk"}, Branch: flowehr.Branch{Approvals: 1},
			Auth: &flowehr.Auth{EasyAuth: true}}},
	}
	if realData {
		e.Monitoring = flowehr.Monitoring{Recipients: []flowehr.Recipient{{Name: "On call", Email: "oncall@example.nhs.uk"}}, NetworkWatcherName: "nw", NetworkWatcherGroup: "NetworkWatcherRG"}
	}
	return e
}

// FuzzBodies: whatever Azure, or somebody who pretends to be it, returns is judged or refused, and never brings the report down.
func FuzzBodies(f *testing.F) {
	f.Add("/subscriptions/s/providers/Microsoft.Sql/servers/a", `{"value":[{"id":"/x"},3,null]}`)
	f.Add(id("Microsoft.Network/virtualNetworks", "vnet"), `{"properties":{"subnets":[{"properties":{"networkSecurityGroup":{"id":3}}}]}}`)
	f.Add(id("Microsoft.DocumentDB/databaseAccounts", "cosmos"), `{"properties":{"ipRules":[{"ipAddressOrRange":3}]}}`)
	f.Add(id("Microsoft.Network/networkSecurityGroups", "nsg"), `{"properties":{"securityRules":[{"properties":{"direction":"Inbound","priority":"x"}}]}}`)
	f.Add("", `null`)
	good := ideal().resources(f, nil)
	f.Fuzz(func(t *testing.T, id, body string) {
		report, err := compliance.Evaluate(compliance.Input{Environment: environment(), Resources: good, State: state(good), Live: map[string]json.RawMessage{id: []byte(body)}, At: at, Benchmarks: []string{"v5.0.0"}})
		if err != nil {
			return
		}
		if err := report.Markdown(io.Discard); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzTemplates: a template of another form is refused or judged.
func FuzzTemplates(f *testing.F) {
	f.Add(`{"resources":{"a":{"type":"Microsoft.Web/sites","name":"x"}}}`)
	f.Add(`{"resources":{"a":{"type":"Microsoft.Resources/deployments","name":"x","properties":{"template":{"resources":{"b":{"type":"/","name":""}}}}}}}`)
	f.Fuzz(func(t *testing.T, template string) {
		if !json.Valid([]byte(template)) {
			return
		}
		resources := []flowehr.Resource{{Ref: azure.Ref(azure.KindStack, "core"), Spec: json.RawMessage(`{"template":` + template + `}`)}}
		if report, err := compliance.Evaluate(compliance.Input{Environment: environment(), Resources: resources, At: at}); err == nil && len(report.Sections) != 4 {
			t.Errorf("%d sections", len(report.Sections))
		}
	})
}

// TestOldMistakes are what the older system's statement said yes to: they are judged by what is in force.
func TestOldMistakes(t *testing.T) {
	w := ideal()
	w.put("Microsoft.Network/networkSecurityGroups", "unused", obj{"securityRules": []any{nsgRule("deny", "Outbound", "Deny", 100, "*", "*", "Internet", "*")}})
	w.set(t, flowLog, "targetResourceId", id("Microsoft.Network/networkSecurityGroups", "unused"))
	w.set(t, vnet, "subnets", []any{obj{"name": "shared", "properties": obj{}}})
	w.set(t, people, "emailReceivers", []any{})
	got := results(t, compliance.Input{Environment: environment(), Resources: w.resources(t, specs(t)), At: at})
	for check, says := range map[string]string{
		"satre-2.2.11": "no security group", "flow-log": "not recorded", "alert-firewall-write": "reaches nobody", "network-subnets": "",
	} {
		if got[check].Status != compliance.NotMet || !strings.Contains(got[check].Compiled.Why, says) {
			t.Errorf("%s: %s, %s", check, got[check].Status, got[check].Compiled.Why)
		}
	}
	for _, e := range got["satre-2.2.11"].Compiled.Evidence {
		if strings.Contains(e.String(), "unused") {
			t.Errorf("evidence from a group that is attached to nothing: %s", e)
		}
	}
	w.drop(t, flowLog)
	if got := results(t, compliance.Input{Environment: environment(), Resources: w.resources(t, specs(t)), At: at})["network-watcher"]; got.Status != compliance.CannotTell {
		t.Errorf("the region's watcher without a flow log: %s", got.Status)
	}
}

// TestWhatSomebodyAdded: things that the product does not make are not passed over when they stand there.
func TestWhatSomebodyAdded(t *testing.T) {
	w := ideal()
	w.put("Microsoft.Compute/virtualMachines", "jump", obj{})
	w.put("Microsoft.Network/publicIPAddresses", "ip", obj{})
	w.put("Microsoft.Authorization/roleAssignments", "all", obj{"roleDefinitionId": "/providers/Microsoft.Authorization/roleDefinitions/18d7d88d-d35e-4fb5-a5c3-7773c20a72d9"})
	w.put("Microsoft.Authorization/roleDefinitions", "god", obj{"assignableScopes": []any{"/subscriptions/" + subscription}, "permissions": []any{obj{"actions": []any{"*"}}}})
	got := results(t, compliance.Input{Environment: environment(), Resources: w.resources(t, specs(t)), At: at})
	for check, want := range map[string]compliance.Status{"machine-disks": compliance.CannotTell, "network-addresses": compliance.CannotTell,
		"azure-access-administrator": compliance.NotMet, "azure-custom-owner": compliance.NotMet} {
		if got[check].Status != want {
			t.Errorf("%s: %s, want %s", check, got[check].Status, want)
		}
	}
}

// BenchmarkEvaluate judges an environment with 50 apps against every standard.
func BenchmarkEvaluate(b *testing.B) {
	env := hospital(true)
	for i := range 49 {
		a := env.Apps[0]
		a.ID = fmt.Sprintf("app-%d", i)
		env.Apps = append(env.Apps, a)
	}
	resources, _ := estate.Lower(env, subscriptionFacts())
	for b.Loop() {
		if _, err := compliance.Evaluate(compliance.Input{Environment: env, Resources: resources, State: state(resources), At: at}); err != nil {
			b.Fatal(err)
		}
	}
}
