package azuresim_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/security/keyvault/azsecrets"

	"github.com/flowehr/flowehr/internal/azuresim"
)

const roleVaultAdministrator = "00482a5a-887f-4fb3-b363-3b7fe8e74483"

// secrets makes a vault and the SDK's client of it.
func (a *azure) secrets(properties object) *azsecrets.Client {
	a.t.Helper()
	a.must("PUT", a.group("g"), object{"location": "uksouth"})
	body := object{"tenantId": a.sim.Tenant(), "sku": object{"family": "A", "name": "standard"}, "enableRbacAuthorization": true, "softDeleteRetentionInDays": 7.0}
	for k, v := range properties {
		body[k] = v
	}
	a.resource("Microsoft.KeyVault/vaults/kv-test", object{"location": "uksouth", "properties": body})
	who := azuresim.Deployer()
	options := policy.ClientOptions{Transport: a.remote, Retry: policy.RetryOptions{MaxRetries: -1}}
	cred, err := azidentity.NewClientSecretCredential(a.sim.Tenant(), who.ClientID, who.Secret,
		&azidentity.ClientSecretCredentialOptions{ClientOptions: options, DisableInstanceDiscovery: true})
	if err != nil {
		a.t.Fatal(err)
	}
	c, err := azsecrets.NewClient("https://kv-test.vault.azure.net", cred, &azsecrets.ClientOptions{ClientOptions: options})
	if err != nil {
		a.t.Fatal(err)
	}
	return c
}

func (a *azure) vaultRole() {
	a.t.Helper()
	a.role(a.id("g", "Microsoft.KeyVault/vaults/kv-test"), roleVaultAdministrator, a.me())
}

// inner is the reason that Key Vault gives within an error.
func inner(err error, code string) bool {
	e, is := errors.AsType[*azcore.ResponseError](err)
	return is && strings.Contains(e.Error(), `"`+code+`"`)
}

func TestVaultSecretsThroughTheSDK(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 11})
	c := a.secrets(nil)
	set := func(value string) error {
		_, err := c.SetSecret(t.Context(), "sql-owner-secret", azsecrets.SetSecretParameters{Value: &value, Tags: map[string]*string{"by": &value}}, nil)
		return err
	}
	if err := set("first"); !inner(err, "ForbiddenByRbac") {
		t.Fatalf("without a role: got %v, want ForbiddenByRbac", err)
	}
	a.vaultRole()
	for _, value := range []string{"first", "second"} {
		if err := set(value); err != nil {
			t.Fatal(err)
		}
	}
	got, err := c.GetSecret(t.Context(), "sql-owner-secret", "", nil)
	if err != nil || *got.Value != "second" {
		t.Fatalf("latest version: got %v, %v", got.Value, err)
	}
	versions := 0
	for p := c.NewListSecretPropertiesVersionsPager("sql-owner-secret", nil); p.More(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		versions += len(page.Value)
	}
	if versions != 2 {
		t.Errorf("%d versions, want 2", versions)
	}
	if _, err := c.DeleteSecret(t.Context(), "sql-owner-secret", nil); err != nil {
		t.Fatal(err)
	}
	if err := set("third"); !inner(err, "ObjectIsBeingDeleted") {
		t.Errorf("name of a secret that is being deleted: got %v", err)
	}
	a.pass(10 * time.Second)
	if err := set("third"); !inner(err, "ObjectIsDeletedButRecoverable") {
		t.Errorf("name of a deleted secret: got %v", err)
	}
	if _, err := c.RecoverDeletedSecret(t.Context(), "sql-owner-secret", nil); err != nil {
		t.Fatal(err)
	}
	a.pass(10 * time.Second)
	if got, err := c.GetSecret(t.Context(), "sql-owner-secret", "", nil); err != nil || *got.Value != "second" {
		t.Errorf("recovered: got %v, %v", got.Value, err)
	}
	if _, err := c.DeleteSecret(t.Context(), "sql-owner-secret", nil); err != nil {
		t.Fatal(err)
	}
	a.pass(10 * time.Second)
	if _, err := c.PurgeDeletedSecret(t.Context(), "sql-owner-secret", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := c.GetSecret(t.Context(), "sql-owner-secret", "", nil); code(err) != "SecretNotFound" {
		t.Errorf("purged: got %v", err)
	}
}

func (a *azure) pass(d time.Duration) {
	a.t.Helper()
	if err := a.remote.Wait(a.t.Context(), d); err != nil {
		a.t.Fatal(err)
	}
}

func TestVaultFirewall(t *testing.T) {
	rules := func(addresses ...string) object {
		list := []any{}
		for _, address := range addresses {
			list = append(list, object{"value": address})
		}
		return object{"networkAcls": object{"defaultAction": "Deny", "bypass": "AzureServices", "ipRules": list}}
	}
	for _, test := range []struct {
		name       string
		properties object
		want       string
	}{
		{"nobody", rules(), "ForbiddenByFirewall"},
		{"somebody else", rules("198.51.100.4"), "ForbiddenByFirewall"},
		{"the deployer", rules(publicIP), "SecretNotFound"},
		{"a range", rules("203.0.113.0/24"), "SecretNotFound"},
		{"public access off", object{"publicNetworkAccess": "Disabled"}, "ForbiddenByConnection"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := start(t, azuresim.Options{Seed: 12})
			c := a.secrets(test.properties)
			a.vaultRole()
			if _, err := c.GetSecret(t.Context(), "x", "", nil); !inner(err, test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
}

func secretParameters(value string) azsecrets.SetSecretParameters {
	return azsecrets.SetSecretParameters{Value: &value}
}
