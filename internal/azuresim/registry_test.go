package azuresim_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

func TestRegistryPasswordsAreShownOnce(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 81})
	a.must("PUT", a.group("g"), object{"location": "uksouth"})
	a.resource("Microsoft.ContainerRegistry/registries/acrtest", object{"location": "uksouth", "sku": object{"name": "Standard"}, "properties": object{}})
	a.resource("Microsoft.ContainerRegistry/registries/acrtest/tokens/app", object{"properties": object{"status": "enabled"}})
	registry := a.id("g", "Microsoft.ContainerRegistry/registries/acrtest")
	generate := func(token, slot string) (object, error) {
		res, err := a.deployer().Long(t.Context(), cloud.ARM(), cloud.Request{Method: "POST", Path: registry + "/generateCredentials?api-version=2025-11-01",
			Body: object{"tokenId": registry + "/tokens/" + token, "name": slot, "expiry": "2027-01-01T00:00:00Z"}})
		if err != nil {
			return nil, err
		}
		var out object
		return out, json.Unmarshal(res.Body, &out)
	}
	first, err := generate("app", "password1")
	if err != nil {
		t.Fatal(err)
	}
	second, err := generate("app", "password1")
	if err != nil {
		t.Fatal(err)
	}
	value := func(o object) any { return o["passwords"].([]any)[0].(object)["value"] }
	if first["username"] != "app" || value(first) == nil || value(first) == value(second) {
		t.Errorf("got %v and %v", first, second)
	}
	token := plane{t, a.deployer(), cloud.ARM()}.ok("GET", registry+"/tokens/app?api-version=2025-11-01", nil)
	shown := at(token, "properties", "credentials", "passwords").([]any)
	if len(shown) != 1 || shown[0].(object)["value"] != nil || shown[0].(object)["name"] != "password1" {
		t.Errorf("read back: %v", shown)
	}
	if _, err := generate("none", "password1"); cloud.Status(err) != http.StatusNotFound {
		t.Errorf("unknown token: got %v, want 404", err)
	}
}

// TestNobodyIsServedWithoutAToken asks every service as nobody, and with a token that is for another one.
func TestNobodyIsServedWithoutAToken(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 82})
	a.secrets(nil)
	a.resource("Microsoft.Storage/storageAccounts/strgtest", object{"location": "uksouth", "kind": "StorageV2", "sku": object{"name": "Standard_GRS"}, "properties": object{}})
	bricks := a.warmWorkspace().service
	for _, s := range []cloud.Service{cloud.Graph(), cloud.Vault("kv-test"), cloud.Blobs("strgtest"), bricks, cloud.DatabricksAccount(), {Base: "https://api.loganalytics.io"}, {Base: "https://api.github.com"}} {
		t.Run(strings.TrimPrefix(s.Base, "https://"), func(t *testing.T) {
			s.Scope = ""
			nobody := plane{t, a.deployer(), s}
			if err := nobody.call("GET", "/v1.0/x?api-version=7.4", nil, nil); cloud.Status(err) != http.StatusUnauthorized {
				t.Errorf("without a token: got %v, want 401", err)
			}
			s.Scope = "https://ossrdbms-aad.database.windows.net/.default"
			stranger := plane{t, a.deployer(), s}
			if err := stranger.call("GET", "/v1.0/x?api-version=7.4", nil, nil); cloud.Status(err) != http.StatusUnauthorized {
				t.Errorf("with a token for another service: got %v, want 401", err)
			}
		})
	}
}
