package automation

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/arm/armtest"
)

var update = flag.Bool("update", false, "rewrite golden files")

const (
	subscription = "11111111-2222-3333-4444-555555555555"
	tenant       = "66666666-7777-8888-9999-000000000000"
	ciObject     = "aaaaaaaa-0000-0000-0000-000000000001"
	personObject = "aaaaaaaa-0000-0000-0000-000000000002"
)

func private() BootstrapOptions {
	return BootstrapOptions{FlowEHRID: "st-elsewhere", Subscription: subscription, Tenant: tenant, Location: "uksouth",
		Tags: map[string]string{"owner": "data-team"}, Principal: ciObject, People: []Principal{{personObject, "User"}},
		AllowedIP: []string{"20.0.0.1", "20.0.1.0/24"}, Runners: Runners{Repository: "Hospital/flowehr-env", Count: 2}}
}

// variants take all branches of the template.
func variants() map[string]BootstrapOptions {
	hosted := BootstrapOptions{FlowEHRID: "x", Subscription: subscription, Tenant: tenant, Location: "uksouth"}
	routed := private()
	routed.Runners.NoGateway = true
	routed.Runners.SSHKey = "ssh-ed25519 AAAA someone"
	routed.AddressSpace = "172.16.0.0/20"
	return map[string]BootstrapOptions{"private": private(), "hosted": hosted, "routed": routed}
}

func mustJSON(t *testing.T, o BootstrapOptions) json.RawMessage {
	t.Helper()
	tpl, err := Template(o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := tpl.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTemplateFitsThePublishedTypes(t *testing.T) {
	dir, err := armtest.Folder(os.Getenv)
	if err != nil {
		t.Skip(err)
	}
	types, err := armtest.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for typ := range unvalidated {
		if _, known := types.Version(typ); known {
			t.Errorf("%s has published types here, so it need not be unvalidated", typ)
		}
	}
	for name, o := range variants() {
		t.Run(name, func(t *testing.T) {
			for _, p := range types.Template(mustJSON(t, o), slices.Sorted(maps.Keys(unvalidated))...) {
				t.Error(p)
			}
		})
	}
}

func TestTemplateGolden(t *testing.T) {
	for name, o := range variants() {
		t.Run(name, func(t *testing.T) {
			var generic any
			if err := json.Unmarshal(mustJSON(t, o), &generic); err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(generic, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "bootstrap-"+name+".json")
			if *update {
				if err := os.WriteFile(golden, append(got, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(strings.TrimSpace(string(want)), string(got)); d != "" {
				t.Error(d)
			}
		})
	}
}

// inner returns the resources in the group of CI, as they are written.
func inner(t *testing.T, o BootstrapOptions) map[string]arm.Resource {
	t.Helper()
	var tpl struct {
		Resources map[string]struct {
			Type       string
			Properties struct {
				Template struct{ Resources map[string]arm.Resource }
			}
		}
	}
	if err := json.Unmarshal(mustJSON(t, o), &tpl); err != nil {
		t.Fatal(err)
	}
	for _, r := range tpl.Resources {
		if r.Type == "Microsoft.Resources/deployments" {
			return r.Properties.Template.Resources
		}
	}
	t.Fatal("there is no deployment to the group")
	return nil
}

// TestRunnersCannotBeReached: no machine has a public address, the rules let nothing in, and only the gateway has an address.
func TestRunnersCannotBeReached(t *testing.T) {
	resources := inner(t, private())
	set, err := json.Marshal(resources["runners"].Properties)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(strings.ToLower(string(set)), "publicip") {
		t.Errorf("the machines have a public address: %s", set)
	}
	var inbound []string
	for _, r := range resources["securityGroup"].Properties.(arm.Object)["securityRules"].([]any) {
		p := r.(arm.Object)["properties"].(arm.Object)
		if p["direction"] == "Inbound" {
			inbound = append(inbound, p["access"].(string))
		}
	}
	if !slices.Equal(inbound, []string{"Deny"}) {
		t.Errorf("inbound rules: %q", inbound)
	}
	if _, made := inner(t, variants()["routed"])["gateway"]; made {
		t.Error("a gateway was made for a network that has its own way out")
	}
}

// TestTemplateHoldsNoSecret reads what a machine is given at boot, too.
func TestTemplateHoldsNoSecret(t *testing.T) {
	profile := inner(t, private())["runners"].Properties.(arm.Object)["virtualMachineProfile"].(arm.Object)
	boot, err := base64.StdEncoding.DecodeString(profile["osProfile"].(arm.Object)["customData"].(string))
	if err != nil {
		t.Fatal(err)
	}
	text := string(boot)
	for _, want := range []string{
		"https://kv-stelsewhereci.vault.azure.net/secrets/runner-registration?api-version=7.4",
		"version='" + RunnerVersion + "'", "sha256='" + runnerSHA256 + "'", "--labels 'flowehr-st-elsewhere-ci'",
		"--url 'https://github.com/Hospital/flowehr-env'", "--uid-owner runner -j REJECT",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("cloud-init lacks %s", want)
		}
	}
	if strings.Contains(text, "--token") || strings.Contains(text, "{{") {
		t.Errorf("cloud-init passes a token as an argument, or was not filled in:\n%s", text)
	}
	if len(boot) > 64<<10 {
		t.Errorf("cloud-init has %d bytes, Azure takes 64 KiB", len(boot))
	}
}

func TestBootScriptIsSoundShell(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash to read the script")
	}
	g := ground{o: private(), n: private().Names()}
	_, script, found := strings.Cut(string(g.cloudInit()), "    content: |\n")
	script, _, ended := strings.Cut(script, "  - path: /etc/systemd")
	if !found || !ended {
		t.Fatal("the script is not where it was")
	}
	cmd := exec.Command(bash, "-n")
	cmd.Stdin = strings.NewReader(strings.ReplaceAll("\n"+script, "\n      ", "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestStateIsClosedWhenRunnersArePrivate(t *testing.T) {
	acls := func(o BootstrapOptions) arm.Object {
		return inner(t, o)["storage"].Properties.(arm.Object)["networkAcls"].(arm.Object)
	}
	closed := acls(private())
	if closed["defaultAction"] != "Deny" || len(closed["ipRules"].([]any)) != 2 || len(closed["virtualNetworkRules"].([]any)) != 1 {
		t.Errorf("got %v", closed)
	}
	if open := acls(variants()["hosted"]); open["defaultAction"] != "Allow" {
		t.Errorf("GitHub's own machines cannot reach the state: %v", open)
	}
	for name, o := range variants() {
		if p := inner(t, o)["storage"].Properties.(arm.Object); p["allowSharedKeyAccess"] != false || p["allowBlobPublicAccess"] != false {
			t.Errorf("%s: the state can be reached with a key, or without any", name)
		}
	}
}

func TestTemplateRefuses(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*BootstrapOptions)
		want   string
	}{
		{"id", func(o *BootstrapOptions) { o.FlowEHRID = "Too Long For It" }, `"Too Long For It" is no flowehr_id: at most 12 lower-case letters, digits, - and _`},
		{"subscription", func(o *BootstrapOptions) { o.Subscription = "" }, "the ground of CI needs a subscription and a tenant"},
		{"location", func(o *BootstrapOptions) { o.Location = "" }, "the ground of CI needs a location: set it in the definition"},
		{"expression for a location", func(o *BootstrapOptions) { o.Location = "[x]" }, `"[x]" is no location: lower-case letters and digits`},
		{"person", func(o *BootstrapOptions) { o.People = []Principal{{"ada", "User"}} }, `"ada" is no object id`},
		{"kind of person", func(o *BootstrapOptions) { o.People = []Principal{{personObject, "Robot"}} }, `"Robot" is no kind of principal: want User, Group or ServicePrincipal`},
		{"small network", func(o *BootstrapOptions) { o.AddressSpace = "10.0.0.0/25" }, `address space "10.0.0.0/25" of CI: want an IPv4 range of /24 or wider`},
		{"private address", func(o *BootstrapOptions) { o.AllowedIP = []string{"10.1.2.3"} }, "10.1.2.3 is not public, so nothing arrives from it"},
		{"the internet", func(o *BootstrapOptions) { o.AllowedIP = []string{"0.0.0.0/0"} }, "0.0.0.0/0 is too much of the internet"},
		{"IPv6", func(o *BootstrapOptions) { o.AllowedIP = []string{"2001:db8::1"} }, "2001:db8::1: the firewall of a storage account knows IPv4 only"},
		{"no address", func(o *BootstrapOptions) { o.AllowedIP = []string{"home"} }, `"home" is neither an address nor a range`},
		{"range of two", func(o *BootstrapOptions) { o.AllowedIP = []string{"20.0.0.0/31"} }, "20.0.0.0/31: the firewall of a storage account takes no /31, name both addresses"},
		{"script for a repository", func(o *BootstrapOptions) { o.Runners.Repository = "a/b'; reboot" }, `"a/b'; reboot" is no repository: want OWNER/NAME`},
		{"too many", func(o *BootstrapOptions) { o.Runners.Count = 21 }, "21 runners: want 1 to 20"},
		{"version without digest", func(o *BootstrapOptions) { o.Runners.Version = "2.400.0" }, "a version of the runner needs its SHA-256, and the other way round"},
		{"size", func(o *BootstrapOptions) { o.Runners.Size = "a b" }, `"a b" is no size of a virtual machine`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := private()
			tt.change(&o)
			if _, err := Template(o); err == nil || err.Error() != tt.want {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

// TestTagsAreNoExpressions: what stands in a definition must not become part of the template's own language.
func TestTagsAreNoExpressions(t *testing.T) {
	o := private()
	o.Tags = map[string]string{"owner": "[subscription().id]"}
	if got := inner(t, o)["storage"].Tags["owner"]; got != "[[subscription().id]" {
		t.Errorf("got %s", got)
	}
}

func TestNobodysKeyIsAKey(t *testing.T) {
	key := nobodysKey("vmss-a")
	if key != nobodysKey("vmss-a") || key == nobodysKey("vmss-b") {
		t.Error("the key is not the same for the same name, and another for another")
	}
	fields := strings.Fields(key)
	raw, err := base64.StdEncoding.DecodeString(fields[1])
	if err != nil || len(raw) != 4+11+4+32 || fields[0] != "ssh-ed25519" || string(raw[4:15]) != "ssh-ed25519" {
		t.Fatalf("%q, %v", key, err)
	}
	if _, err := new(edwards25519.Point).SetBytes(raw[19:]); err != nil {
		t.Error(err)
	}
}

func TestBootstrapSettings(t *testing.T) {
	got := map[string]string{}
	for _, s := range private().Settings([]string{"dev", "prod"}) {
		if s.Kind != Variable {
			t.Errorf("%s is a %s", s.Name, s.Kind)
		}
		got[s.Environment+"/"+s.Name] = s.Value
	}
	want := map[string]string{"/CI_GITHUB_RUNNER_LABEL": "flowehr-st-elsewhere-ci"}
	for _, e := range []string{"dev", "prod"} {
		maps.Copy(want, map[string]string{e + "/CI_RESOURCE_GROUP": "rg-st-elsewhere-ci", e + "/CI_CONTAINER_REGISTRY": "acrstelsewhereci",
			e + "/CI_STORAGE_ACCOUNT": "strgstelsewhereci", e + "/CI_PEERING_VNET": "vnet-st-elsewhere-ci"})
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestNamesFit holds the longest and the shortest names to the limits of their services.
func TestNamesFit(t *testing.T) {
	for _, id := range []string{"a", "st-elsewhere", "abcdefghijkl"} {
		n := BootstrapOptions{FlowEHRID: id, Runners: Runners{Repository: "a/b"}}.Names()
		for name, limits := range map[string][2]int{n.Storage: {3, 24}, n.Registry: {5, 50}, n.Vault: {3, 24}, n.ScaleSet: {1, 64}, n.Group: {1, 90}, n.Identity: {3, 128}, n.Stack: {1, 90}} {
			if len(name) < limits[0] || len(name) > limits[1] {
				t.Errorf("%s has %d characters", name, len(name))
			}
		}
	}
}
