package arm_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/arm/armtest"
)

// TestVersionsAreThoseOfTheDescriptions: templates are checked against descriptions of exactly the versions that they use. Types
// without a description are known as such.
func TestVersionsAreThoseOfTheDescriptions(t *testing.T) {
	dir, err := armtest.Folder(os.Getenv)
	if err != nil {
		t.Skip(err)
	}
	types, err := armtest.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	described := 0
	for _, typ := range arm.Types() {
		ours, ok := arm.Version(typ)
		if !ok {
			t.Errorf("%s is listed and has no version", typ)
		}
		theirs, ok := types.Version(typ)
		switch {
		case ok && ours != theirs:
			t.Errorf("%s: version %s, the description is of %s", typ, ours, theirs)
		case ok:
			described++
		case !strings.HasPrefix(typ, "Microsoft.DBforPostgreSQL/"):
			t.Errorf("%s has no description", typ)
		}
	}
	if described < 50 {
		t.Errorf("%d types have a description", described)
	}
}

// TestNestedOutputsComeUp: a nested template is deployed by a symbol that the language allows, and what it returns is returned.
func TestNestedOutputsComeUp(t *testing.T) {
	inner := arm.ForGroup()
	store := inner.Add("store", arm.New("Microsoft.Storage/storageAccounts", "strg", arm.Object{}))
	inner.Return("endpoint", arm.Reference(store, "primaryEndpoints.blob"))
	top := arm.ForSubscription()
	group := top.Add("group", arm.New("Microsoft.Resources/resourceGroups", "rg-a", nil))
	if got := top.Nest("flowehr-core-a", "rg-a", inner, group); got != "flowehr_core_a" {
		t.Errorf("symbol %s", got)
	}
	raw, err := top.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var tree struct {
		Outputs   map[string]arm.Output
		Resources map[string]struct {
			ResourceGroup string
			DependsOn     []string
		}
	}
	if err := json.Unmarshal(raw, &tree); err != nil {
		t.Fatal(err)
	}
	want := map[string]arm.Output{"endpoint": {Type: "string", Value: "[reference('flowehr_core_a').outputs.endpoint.value]"}}
	if diff := cmp.Diff(want, tree.Outputs); diff != "" {
		t.Errorf("outputs (-want +got):\n%s", diff)
	}
	nested := tree.Resources["flowehr_core_a"]
	if nested.ResourceGroup != "rg-a" || !cmp.Equal(nested.DependsOn, []string{"group"}) {
		t.Errorf("nested deployment %+v", nested)
	}
}

func TestIDs(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{arm.ID("s", "g", "Microsoft.Sql/servers/databases", "a", "b"), "/subscriptions/s/resourceGroups/g/providers/Microsoft.Sql/servers/a/databases/b"},
		{arm.SubscriptionID("s", "Microsoft.Authorization/roleDefinitions", "r"), "/subscriptions/s/providers/Microsoft.Authorization/roleDefinitions/r"},
		{arm.On("/x/y", "Microsoft.Authorization/locks", "l"), "/x/y/providers/Microsoft.Authorization/locks/l"},
		{arm.GroupID("s", "g"), "/subscriptions/s/resourceGroups/g"},
		{arm.FullReference("a", "identity.principalId"), "[reference('a', 'full').identity.principalId]"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

// TestMistakesOfTheProgrammer end the program: types and symbols are written in code.
func TestMistakesOfTheProgrammer(t *testing.T) {
	for name, do := range map[string]func(){
		"an unknown type": func() { arm.New("Microsoft.Nothing/at", "all", nil) },
		"a symbol twice": func() {
			tpl := arm.ForGroup()
			tpl.Add("a", arm.Resource{})
			tpl.Add("a", arm.Resource{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("went on")
				}
			}()
			do()
		})
	}
}
