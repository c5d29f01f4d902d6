package azuresim

import (
	"fmt"
	"maps"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// runtimeValues puts into a body what only the service knows. The same resource keeps the same values for as long as it
// stands.
func (m *manager) runtimeValues(r *resource, body object) {
	m.identities(r, body)
	p := objectAt(body, "properties")
	if p == nil {
		p = object{}
		if add := m.values(r, body, p); len(add) > 0 {
			maps.Copy(p, add)
		}
		if len(p) > 0 {
			body["properties"] = p
		}
		return
	}
	maps.Copy(p, m.values(r, body, p))
}

// identities gives a resource with an identity its principals.
func (m *manager) identities(r *resource, body object) {
	identity := objectAt(body, "identity")
	kind := textAt(body, "identity", "type")
	if strings.Contains(strings.ToLower(kind), "systemassigned") {
		id := uuidOf(m.w.seed, "identity", key(r.ID), stamp(r.Made))
		identity["principalId"], identity["tenantId"] = id, m.o.Tenant
		m.addIdentity(id, uuidOf(m.w.seed, "application", id), r)
	} else if old := textAt(r.Body, "identity", "principalId"); old != "" {
		m.w.Directory.removePrincipal(old)
	}
	for id := range objectAt(identity, "userAssignedIdentities") {
		if u := m.w.Manager.Resources[key(id)]; u != nil {
			objectAt(identity, "userAssignedIdentities")[id] = object{"principalId": textAt(u.Body, "properties", "principalId"), "clientId": textAt(u.Body, "properties", "clientId")}
		}
	}
}

// replication is how long it usually takes until other services know a new principal.
const replication = 15 * time.Second

func (m *manager) addIdentity(id, app string, r *resource) {
	if m.w.Directory.principal(id) != nil {
		return
	}
	m.w.Directory.addIdentity(&principal{ID: id, Kind: "ServicePrincipal", AppID: app, Name: strings.ReplaceAll(r.displayName(), "/", "_"), Of: r.ID, Visible: m.w.now().Add(replication)})
}

// displayName is how a managed identity is called in the directory: the name of its resource.
func (r *resource) displayName() string {
	if t, valid := parseTarget(r.ID); valid && strings.EqualFold(r.Type, typeSite+"/slots") {
		return t.Names[0] + "/slots/" + t.name()
	}
	return r.Name
}

func (m *manager) values(r *resource, body, p object) object {
	location := textAt(body, "location")
	own := func(words ...string) string {
		return uuidOf(m.w.seed, append(words, key(r.ID), stamp(r.Made))...)
	}
	switch strings.ToLower(r.Type) {
	case strings.ToLower(typeIdentity):
		id, app := own("identity"), own("application")
		m.addIdentity(id, app, r)
		return object{"principalId": id, "clientId": app, "tenantId": m.o.Tenant}
	case strings.ToLower(typeVault):
		return object{"vaultUri": "https://" + strings.ToLower(r.Name) + ".vault.azure.net/"}
	case "microsoft.storage/storageaccounts":
		ends := object{}
		for _, service := range []string{"blob", "dfs", "file", "queue", "table", "web"} {
			ends[service] = "https://" + r.Name + "." + service + ".core.windows.net/"
		}
		return object{"primaryEndpoints": ends, "primaryLocation": location, "statusOfPrimary": "available", "creationTime": stamp(r.Made)}
	case strings.ToLower(typeDatabricks):
		number := workspaceNumber(m.w.seed, r)
		return object{"workspaceId": number, "workspaceUrl": workspaceHost(number), "createdDateTime": stamp(r.Made)}
	case strings.ToLower(typeSite), strings.ToLower(typeSite + "/slots"):
		host := strings.ReplaceAll(r.displayName(), "/slots/", "-") + ".azurewebsites.net"
		out := object{"defaultHostName": host, "hostNames": []any{host}, "enabledHostNames": []any{host, strings.Replace(host, ".azure", ".scm.azure", 1)}, "state": "Running",
			"customDomainVerificationId": strings.ToUpper(hexOf(m.w.seed, 32, "domain", m.o.Subscription)), "outboundIpAddresses": "203.0.113.20,203.0.113.21",
			"lastModifiedTimeUtc": stamp(m.w.now())}
		for _, name := range []string{"state", slotSwapStatus} { // what happened to the app outlasts a deployment of it
			if old, happened := r.properties()[name]; happened {
				out[name] = old
			}
		}
		return out
	case "microsoft.insights/components":
		k := own("instrumentation")
		return object{"InstrumentationKey": k, "AppId": own("app"), "ConnectionString": "InstrumentationKey=" + k + ";IngestionEndpoint=https://" + location + "-0.in.applicationinsights.azure.com/;ApplicationId=" + own("app")}
	case strings.ToLower(typeLogs):
		return object{"customerId": own("customer"), "createdDate": stamp(r.Made)}
	case "microsoft.containerregistry/registries":
		return object{"loginServer": strings.ToLower(r.Name) + ".azurecr.io", "creationDate": stamp(r.Made)}
	case "microsoft.documentdb/databaseaccounts":
		return object{"documentEndpoint": "https://" + strings.ToLower(r.Name) + ".documents.azure.com:443/"}
	case "microsoft.sql/servers":
		return object{"fullyQualifiedDomainName": strings.ToLower(r.Name) + ".database.windows.net", "state": "Ready"}
	case "microsoft.sql/servers/databases":
		return object{"databaseId": own("database"), "status": "Online", "creationDate": stamp(r.Made)}
	case "microsoft.network/virtualnetworks":
		m.nameSubnets(r, p)
		return object{"resourceGuid": own("network")}
	case "microsoft.network/virtualnetworks/virtualnetworkpeerings":
		return object{"peeringState": m.peeringState(r, p), "peeringSyncLevel": "FullyInSync"}
	case "microsoft.network/privateendpoints":
		return m.endpointValues(r, p)
	case "microsoft.datafactory/factories":
		return object{"createTime": stamp(r.Made), "version": "2018-06-01"}
	case "microsoft.machinelearningservices/registries":
		return object{"discoveryUrl": "https://" + location + ".api.azureml.ms/registrymanagement/v1.0/registries/" + r.Name + "/discovery"}
	case strings.ToLower(typeAssignment):
		t, _ := parseTarget(r.ID)
		return object{"scope": t.Scope, "createdOn": stamp(r.Made)}
	}
	return nil
}

// workspaceNumber is the number that Databricks gives a workspace: sixteen digits.
func workspaceNumber(seed uint64, r *resource) string {
	n, err := strconv.ParseUint(hexOf(seed, 15, "workspace", key(r.ID), stamp(r.Made)), 16, 64)
	if err != nil { // fifteen hexadecimal digits
		panic("azuresim: " + err.Error())
	}
	return strconv.FormatUint(1e15+n%9e15, 10)
}

// workspaceHost is the host of a workspace: its number, and the number's last two digits modulo twenty.
func workspaceHost(number string) string {
	n, err := strconv.Atoi(number[len(number)-2:])
	if err != nil { // decimal digits
		panic("azuresim: " + err.Error())
	}
	return fmt.Sprintf("adb-%s.%d.azuredatabricks.net", number, n%20)
}

// nameSubnets gives the subnets in a network's body their ids.
func (m *manager) nameSubnets(r *resource, p object) {
	for _, s := range listAt(p, "subnets") {
		if s, isObject := s.(object); isObject {
			s["id"] = r.ID + "/subnets/" + textAt(s, "name")
			s["type"] = typeSubnet
			if props := objectAt(s, "properties"); props != nil {
				props["provisioningState"] = "Succeeded"
			}
		}
	}
}

// peeringState is Connected when the other side stands too.
func (m *manager) peeringState(r *resource, p object) string {
	mine := parentID(r.ID)
	for _, other := range m.w.Manager.Resources {
		if strings.EqualFold(other.Type, r.Type) && within(other.ID, textAt(p, "remoteVirtualNetwork", "id")) &&
			key(textAt(other.Body, "properties", "remoteVirtualNetwork", "id")) == key(mine) {
			return "Connected"
		}
	}
	return "Initiated"
}

// endpointValues approves a private endpoint and gives it an address of its subnet.
func (m *manager) endpointValues(r *resource, p object) object {
	address := m.addressIn(textAt(p, "subnet", "id"), r)
	for _, list := range []string{"privateLinkServiceConnections", "manualPrivateLinkServiceConnections"} {
		for _, c := range listAt(p, list) {
			if props := objectAt(asObject(c), "properties"); props != nil {
				props["privateLinkServiceConnectionState"] = object{"status": "Approved", "description": "Auto-Approved", "actionsRequired": "None"}
				props["provisioningState"] = "Succeeded"
			}
		}
	}
	return object{"networkInterfaces": []any{object{"id": strings.Replace(r.ID, "privateEndpoints/"+r.Name, "networkInterfaces/"+r.Name+".nic", 1)}},
		"customDnsConfigs": []any{object{"ipAddresses": []any{address}}}}
}

func asObject(v any) object {
	o, _ := v.(object)
	return o
}

// addressIn counts the endpoints of a subnet: Azure keeps the first four addresses.
func (m *manager) addressIn(subnet string, r *resource) string {
	s := m.w.Manager.Resources[key(subnet)]
	if s == nil {
		return ""
	}
	prefix, err := netip.ParsePrefix(textAt(s.Body, "properties", "addressPrefix"))
	if err != nil {
		return ""
	}
	address := prefix.Addr()
	for range 4 {
		address = address.Next()
	}
	for _, other := range m.all(func(o *resource) bool {
		return strings.EqualFold(o.Type, r.Type) && key(textAt(o.Want, "properties", "subnet", "id")) == key(subnet)
	}) {
		if key(other.ID) == key(r.ID) {
			break
		}
		address = address.Next()
	}
	return address.String()
}
