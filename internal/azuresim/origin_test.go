package azuresim_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

func TestPrivateEndpointsAreReachedFromPeeredNetworksOnly(t *testing.T) {
	a := start(t, azuresim.Options{})
	network := func(group, name string) string { return a.id(group, "Microsoft.Network/virtualNetworks/"+name) }
	env, ci, other := network("rg-e", "vnet-e"), network("rg-ci", "vnet-ci"), network("rg-o", "vnet-o")
	put := func(id string, body object) {
		t.Helper()
		if err := a.remote.Stand(t.Context(), id, body); err != nil {
			t.Fatal(err)
		}
	}
	subnets := object{"subnets": []any{object{"name": "shared", "properties": object{"addressPrefix": "10.0.0.0/24"}}}, "addressSpace": object{"addressPrefixes": []any{"10.0.0.0/16"}}}
	put(env, object{"location": "uksouth", "properties": subnets})
	put(ci, object{"location": "uksouth", "properties": object{"addressSpace": object{"addressPrefixes": []any{"172.31.0.0/24"}}}})
	put(other, object{"location": "uksouth", "properties": object{"addressSpace": object{"addressPrefixes": []any{"172.30.0.0/24"}}}})
	vault := a.id("rg-e", "Microsoft.KeyVault/vaults/kv-e")
	put(vault, object{"location": "uksouth", "properties": object{"tenantId": a.sim.Tenant(), "sku": object{"family": "A", "name": "standard"},
		"enableRbacAuthorization": true, "publicNetworkAccess": "Disabled"}})
	put(a.id("rg-e", "Microsoft.Network/privateEndpoints/pe-kv"), object{"location": "uksouth", "properties": object{"subnet": object{"id": env + "/subnets/shared"},
		"privateLinkServiceConnections": []any{object{"name": "kv", "properties": object{"privateLinkServiceId": vault, "groupIds": []any{"vault"}}}}}})
	peer := func(from, to string) {
		put(from+"/virtualNetworkPeerings/p", object{"properties": object{"remoteVirtualNetwork": object{"id": to}}})
	}
	peer(env, ci)
	peer(ci, env)
	peer(other, env) // from one side only, which connects nothing
	for _, c := range []struct {
		name, from string
		refused    bool
	}{
		{"outside", "", true}, {"the network of CI", ci, false}, {"in other capitals", strings.ToUpper(ci[:20]) + ci[20:], false}, {"its own network", env, false},
		{"a network with half a peering", other, true}, {"one that does not stand", network("rg-x", "vnet-x"), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := a.remote.From(t.Context(), c.from); err != nil {
				t.Fatal(err)
			}
			err := a.deployer().Get(t.Context(), cloud.Vault("kv-e"), "/secrets?api-version=7.4", nil)
			what, next, explained := cloud.Explain(err)
			if said := err != nil && strings.Contains(err.Error(), "Public network access is disabled"); said != c.refused {
				t.Errorf("the vault says %v", err)
			}
			if c.refused && (!explained || !strings.Contains(what+next, "network")) {
				t.Errorf("explained as %q %q", what, next)
			}
		})
	}
}

func TestAMetastoreStandsOnceInARegion(t *testing.T) {
	a := start(t, azuresim.Options{})
	first := azuresim.Metastore{Account: "acc", ID: "m1", Region: "uksouth"}
	for _, c := range []struct {
		name string
		m    azuresim.Metastore
		good bool
	}{
		{"first", first, true}, {"again", first, true}, {"another of the region", azuresim.Metastore{Account: "acc", ID: "m2", Region: "UK South"}, false},
		{"another account", azuresim.Metastore{Account: "other", ID: "m3", Region: "uksouth"}, true}, {"without a region", azuresim.Metastore{Account: "acc", ID: "m4"}, false},
	} {
		if err := a.remote.StandMetastore(t.Context(), c.m); (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestPostgresIsRefusedByName(t *testing.T) {
	a := start(t, azuresim.Options{})
	config, err := pgx.ParseConfig("host=psql-x.postgres.database.azure.com user=u password=p dbname=postgres sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	config.TLSConfig = a.remote.TLS()
	config.TLSConfig.ServerName = config.Host
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return a.remote.Dial(ctx, network, address)
	}
	_, err = pgx.ConnectConfig(t.Context(), config)
	if err == nil || !strings.Contains(err.Error(), "not simulated") || !strings.Contains(err.Error(), "0A000") {
		t.Errorf("%v", err)
	}
	// Others are not disturbed by it.
	c, err := tls.Dial("tcp", a.address, &tls.Config{ServerName: "control.azuresim.invalid", RootCAs: a.remote.TLS().RootCAs})
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

func TestTokensLapseAndClocksGoWrongWhenTold(t *testing.T) {
	a := start(t, azuresim.Options{})
	path := "/subscriptions/" + a.sub + "?api-version=2025-04-01"
	ask := func() (int, any, time.Duration) {
		t.Helper()
		status, body, header := a.do(http.MethodGet, path, nil)
		date, err := http.ParseTime(header.Get("Date"))
		if err != nil {
			t.Fatal(err)
		}
		return status, at(body, "error", "code"), date.Sub(a.now()).Round(time.Minute)
	}
	wait := func(d time.Duration) {
		t.Helper()
		if err := a.remote.Wait(t.Context(), d); err != nil {
			t.Fatal(err)
		}
	}
	set := func(c azuresim.Conditions) {
		t.Helper()
		if err := a.remote.SetConditions(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if status, _, skew := ask(); status != http.StatusOK || skew != 0 {
		t.Fatalf("%d %v", status, skew)
	}
	wait(2 * time.Hour)
	if status, _, _ := ask(); status != http.StatusOK {
		t.Errorf("a token lapsed without being told to: %d", status)
	}
	set(azuresim.Conditions{Lapse: true, Skew: 20 * time.Minute})
	if status, code, skew := ask(); status != http.StatusUnauthorized || code != "ExpiredAuthenticationToken" || skew != 20*time.Minute {
		t.Errorf("%d %v %v", status, code, skew)
	}
	set(azuresim.Conditions{Lapse: true, TokenLife: 3 * time.Hour})
	if status, _, _ := ask(); status != http.StatusOK {
		t.Errorf("a token of three hours lapsed after two: %d", status)
	}
}
