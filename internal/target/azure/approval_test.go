package azure

import (
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// server makes a database server and returns its id.
func (p *planes) server() string {
	p.t.Helper()
	id := p.group + "/providers/Microsoft.Sql/servers/sql-server-features-x"
	p.put(id, "Microsoft.Sql/servers", map[string]any{"location": "uksouth", "properties": map[string]any{"publicNetworkAccess": "Disabled",
		"administrators": map[string]any{"administratorType": "ActiveDirectory", "azureADOnlyAuthentication": true, "login": "owner", "sid": p.me(),
			"tenantId": p.sim.Tenant(), "principalType": "Application"}}})
	return id
}

// endpoint makes a managed private endpoint of a data factory of a name.
func (p *planes) endpoint(factory, name, target string) {
	p.t.Helper()
	id := p.group + "/providers/Microsoft.DataFactory/factories/" + factory
	p.put(id, "Microsoft.DataFactory/factories", map[string]any{"location": "uksouth", "identity": map[string]any{"type": "SystemAssigned"}, "properties": map[string]any{}})
	p.put(id+"/managedVirtualNetworks/default", "Microsoft.DataFactory/factories/managedVirtualNetworks", map[string]any{"properties": map[string]any{}})
	p.put(id+"/managedVirtualNetworks/default/managedPrivateEndpoints/"+name, "Microsoft.DataFactory/factories/managedVirtualNetworks/managedPrivateEndpoints",
		map[string]any{"properties": map[string]any{"privateLinkResourceId": target, "groupId": "sqlServer"}})
}

func approval(t testing.TB, target, factory string) flowehr.Resource {
	return resource(t, azure.KindApproval, "store", azure.ApprovalSpec{Target: target, Factory: factory, Endpoint: "store"})
}

func TestApprovalSuite(t *testing.T) {
	stays := func(flowehr.Resource) bool { return true } // the connection goes with its endpoint
	suite(t, stays, func(t *testing.T) (*planes, []flowehr.Resource, []flowehr.Resource) {
		p := newPlanes(t, azuresim.Options{Seed: 61})
		server := p.server()
		p.endpoint("adf-x", "store", server)
		p.endpoint("adf-y", "store", server)
		return p, []flowehr.Resource{approval(t, server, "adf-x")}, []flowehr.Resource{approval(t, server, "adf-y")}
	})
}

// Only the factory's own endpoint is let in: others that ask stay pending.
func TestApprovalIsOfOneEndpoint(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 62})
	server := p.server()
	for _, factory := range []string{"adf-x", "adf-xx", "not-adf-x"} {
		p.endpoint(factory, "store", server)
	}
	p.endpoint("adf-x", "store2", server)
	target := p.target()
	if _, err := target.Read(t.Context(), flowehr.Record{Resource: approval(t, server, "adf-x")}); !isGone(err) {
		t.Errorf("before: %v", err)
	}
	makeDo(t, target, approval(t, server, "adf-x"))
	makeDo(t, target, approval(t, server, "adf-x")) // a second time changes nothing, and is not refused
	m := approvalMinder{p.client}
	for _, c := range []struct {
		factory, endpoint string
		approved, pending int
	}{{"adf-x", "store", 1, 0}, {"adf-x", "store2", 0, 1}, {"adf-xx", "store", 0, 1}, {"not-adf-x", "store", 0, 1}} {
		approved, pending, err := m.ours(t.Context(), azure.ApprovalSpec{Target: server, Factory: c.factory, Endpoint: c.endpoint})
		if err != nil || len(approved) != c.approved || len(pending) != c.pending {
			t.Errorf("%s.%s: %d approved, %d pending, %v", c.factory, c.endpoint, len(approved), len(pending), err)
		}
	}
}

// An endpoint that does not exist is waited for, and then said to be missing.
func TestApprovalOfNothingEnds(t *testing.T) {
	p := newPlanes(t, azuresim.Options{Seed: 63})
	_, err := p.target().Do(t.Context(), flowehr.Step{Action: flowehr.Create, Want: approval(t, p.server(), "adf-x")}, &noted{})
	if err == nil || !strings.Contains(err.Error(), "approve private endpoint store of adf-x: still not so after 15m0s") {
		t.Errorf("got %v", err)
	}
}
