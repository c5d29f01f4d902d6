package estate_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// TestParts holds parts of what environments become to the files of testdata/parts.
func TestParts(t *testing.T) {
	one := func(change func(*flowehr.App)) *flowehr.Environment {
		e := plain()
		e.Serve = whole().Serve
		a := bedBoard()
		change(&a)
		e.Apps = []flowehr.App{a}
		return e
	}
	postgres := func(e *flowehr.Environment) *flowehr.Environment {
		e.Store.Engine = "postgres"
		return e
	}
	for _, c := range []struct {
		name string
		env  *flowehr.Environment
		of   func(flowehr.Resource) bool
	}{
		{"people", whole(), kinds(azure.KindGroup, azure.KindGrant, azure.KindSQLPrincipal, azure.KindConnectivity)},
		{"people-real-data-postgres", postgres(real(plain())), kinds(azure.KindGroup, azure.KindGrant, azure.KindSQLPrincipal, azure.KindConnectivity)},
		{"identities-and-secrets", whole(), both(layer(flowehr.LayerTransform), kinds(azure.KindApplication, azure.KindVaultSecret, azure.KindIdentity, azure.KindPrincipal))},
		{"databricks", whole(), kinds(azure.KindWorkspace, azure.KindScope, azure.KindScopeSecret, azure.KindFile, azure.KindCluster)},
		{"databricks-plain", plain(), kinds(azure.KindWorkspace, azure.KindScope, azure.KindScopeSecret, azure.KindFile, azure.KindCluster)},
		{"unity-catalog", whole(), starting("uc-")},
		{"serve", one(func(*flowehr.App) {}), layer(flowehr.LayerServe)},
		{"serve-real-data", real(one(func(*flowehr.App) {})), layer(flowehr.LayerServe)},
		{"app", one(func(*flowehr.App) {}), layer(flowehr.LayerApps)},
		{"app-real-data-postgres", postgres(real(one(func(*flowehr.App) {}))), layer(flowehr.LayerApps)},
		{"app-no-slot", one(func(a *flowehr.App) { a.TestingSlot = false }), layer(flowehr.LayerApps)},
		{"app-own-sign-in", one(func(a *flowehr.App) { a.Auth.EasyAuth, a.TestingSlot = false, false }), layer(flowehr.LayerApps)},
		{"app-bare", one(func(a *flowehr.App) { *a = flowehr.App{ID: "bare", Owners: a.Owners} }), layer(flowehr.LayerApps)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := shown(t, slices.DeleteFunc(lowered(t, c.env), func(r flowehr.Resource) bool { return !c.of(r) }))
			file := filepath.Join("testdata", "parts", c.name+".txt")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("differs from %s (-want +got):\n%s", file, d)
			}
		})
	}
}

// shown writes resources for people.
func shown(t *testing.T, resources []flowehr.Resource) []byte {
	t.Helper()
	var b bytes.Buffer
	for _, r := range resources {
		fmt.Fprintf(&b, "== %s (%s%s)\n", r.Ref, r.Layer, map[bool]string{true: ", holds data"}[r.Holds])
		for _, n := range r.Needs {
			fmt.Fprintf(&b, "needs %s\n", n)
		}
		var file azure.RepositoryFileSpec
		if r.Ref.Kind == azure.KindRepositoryFile {
			if err := json.Unmarshal(r.Spec, &file); err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, "%s of %s/%s\n%s\n", file.Branch, file.Owner, file.Repository, file.Content)
			continue
		}
		if err := json.Indent(&b, r.Spec, "", "  "); err != nil {
			t.Fatal(err)
		}
		b.WriteString("\n\n")
	}
	return b.Bytes()
}

func kinds(of ...string) func(flowehr.Resource) bool {
	return func(r flowehr.Resource) bool { return slices.Contains(of, r.Ref.Kind) }
}

func starting(prefix string) func(flowehr.Resource) bool {
	return func(r flowehr.Resource) bool { return strings.HasPrefix(r.Ref.Kind, prefix) }
}

func layer(of flowehr.Layer) func(flowehr.Resource) bool {
	return func(r flowehr.Resource) bool { return r.Layer == of }
}

func both(a, b func(flowehr.Resource) bool) func(flowehr.Resource) bool {
	return func(r flowehr.Resource) bool { return a(r) && b(r) }
}
