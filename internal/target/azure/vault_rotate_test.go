package azure

import (
	"slices"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// resource makes a resource of a description.
func resource(t testing.TB, kind, name string, spec any, needs ...flowehr.Ref) flowehr.Resource {
	t.Helper()
	b, err := flowehr.Canonical(spec)
	if err != nil {
		t.Fatal(err)
	}
	return flowehr.Resource{Ref: azure.Ref(kind, name), Layer: flowehr.LayerCore, Spec: b, Needs: needs}
}

func TestUsersFollowCopies(t *testing.T) {
	from := func(vault, name string) azure.Source {
		return azure.Source{Vault: &azure.VaultRef{Vault: vault, Name: name}}
	}
	all := []flowehr.Resource{
		resource(t, azure.KindScopeSecret, "late", azure.ScopeSecretSpec{Key: "late", Source: from("serve", "copy")}),
		resource(t, azure.KindVaultSecret, "origin", azure.VaultSecretSpec{Vault: "core", Name: "origin", Source: azure.Source{Generated: &azure.Generated{Length: 40}}}),
		resource(t, azure.KindVaultSecret, "copy", azure.VaultSecretSpec{Vault: "serve", Name: "copy", Source: from("core", "origin")}),
		resource(t, azure.KindScopeSecret, "direct", azure.ScopeSecretSpec{Key: "direct", Source: from("core", "origin")}),
		resource(t, azure.KindScopeSecret, "other vault", azure.ScopeSecretSpec{Key: "other", Source: from("serve", "origin")}),
		resource(t, azure.KindScopeSecret, "input", azure.ScopeSecretSpec{Key: "input", Source: azure.Source{Text: "user ${EPR_PASSWORD}"}}),
		resource(t, azure.KindGitHubDeployment, "dev", azure.GitHubDeploymentSpec{Secrets: map[string]azure.Source{"A": {Text: "x"}, "B": from("core", "origin")}}),
		resource(t, azure.KindSQLPrincipal, "who only signs in", azure.SQLPrincipalSpec{Admin: azure.AdminLogin{Secret: azure.VaultRef{Vault: "core", Name: "origin"}}}),
	}
	got, err := Users(all, azure.VaultRef{Vault: "core", Name: "origin"})
	want := []flowehr.Ref{all[0].Ref, all[2].Ref, all[3].Ref, all[6].Ref}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
	got, err = UsersOfInput(all, "EPR_PASSWORD")
	if err != nil || !slices.Equal(got, []flowehr.Ref{all[5].Ref}) {
		t.Errorf("got %v and %v, want %v", got, err, all[5].Ref)
	}
}

func TestDescriptionsAreDecodedStrictly(t *testing.T) {
	k := keep(scopeMinder{})
	r := flowehr.Resource{Ref: azure.Ref(azure.KindScope, "x"), Spec: []byte(`{"workspace":"https://w","name":"x","reader":[]}`)}
	if _, err := k.ensure(t.Context(), r, nil, nil); err == nil {
		t.Error("a description with an unknown member was taken")
	}
}

// What refers to something that does not stand is gone, and has nothing to be removed.
func TestUnknownReferencesAreGone(t *testing.T) {
	k := keep(scopeMinder{})
	r := resource(t, azure.KindScope, "x", azure.ScopeSpec{Workspace: azure.Out(azure.Ref(azure.KindWorkspace, "w"), azure.OutURL), Name: "x"})
	if _, _, err := k.read(t.Context(), r, ""); !isGone(err) {
		t.Errorf("read: got %v, want gone", err)
	}
	if err := k.remove(t.Context(), r, ""); err != nil {
		t.Errorf("remove: %v", err)
	}
}
