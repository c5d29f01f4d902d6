package azuresim

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// securable is an object of Unity Catalog: a storage credential, an external location, a catalogue or a schema.
type securable struct {
	Kind   string              `json:"kind"`
	Name   string              `json:"name"` // full
	Body   object              `json:"body"`
	Grants map[string][]string `json:"grants"` // by principal
	Made   time.Time           `json:"made"`
}

// securableKinds are the collections and what permissions call an object of each
// (docs.databricks.com/api/azure/workspace/grants).
var securableKinds = map[string]string{
	"storage-credentials": "storage_credential", "external-locations": "external_location", "catalogs": "catalog", "schemas": "schema",
}

// privileges that can be given on each kind
// (learn.microsoft.com/azure/databricks/data-governance/unity-catalog/manage-privileges/privileges).
var securablePrivileges = map[string][]string{
	"storage_credential": {"ALL_PRIVILEGES", "CREATE_EXTERNAL_LOCATION", "CREATE_EXTERNAL_TABLE", "MANAGE", "READ_FILES", "WRITE_FILES"},
	"external_location": {"ALL_PRIVILEGES", "BROWSE", "CREATE_EXTERNAL_TABLE", "CREATE_EXTERNAL_VOLUME", "CREATE_FOREIGN_SECURABLE", "CREATE_MANAGED_STORAGE", "MANAGE",
		"READ_FILES", "WRITE_FILES"},
	"catalog": {"ALL_PRIVILEGES", "APPLY_TAG", "BROWSE", "CREATE_FUNCTION", "CREATE_MATERIALIZED_VIEW", "CREATE_MODEL", "CREATE_SCHEMA", "CREATE_TABLE", "CREATE_VOLUME",
		"EXECUTE", "MANAGE", "MODIFY", "READ_VOLUME", "REFRESH", "SELECT", "USE_CATALOG", "USE_SCHEMA", "WRITE_VOLUME"},
	"schema": {"ALL_PRIVILEGES", "APPLY_TAG", "CREATE_FUNCTION", "CREATE_MATERIALIZED_VIEW", "CREATE_MODEL", "CREATE_TABLE", "CREATE_VOLUME", "EXECUTE", "MANAGE", "MODIFY",
		"READ_VOLUME", "REFRESH", "SELECT", "USE_SCHEMA", "WRITE_VOLUME"},
}

func (c *brickCall) metastore() *metastore {
	st := &c.d.w.Databricks
	return st.Metastores[st.Uses[textAt(c.r.Body, "properties", "workspaceId")]]
}

func noMetastore() answer {
	return brick(http.StatusNotFound, "METASTORE_DOES_NOT_EXIST", "No metastore assigned for the current workspace.")
}

func (c *brickCall) currentMetastore() answer {
	m := c.metastore()
	if m == nil {
		return noMetastore()
	}
	out := m.describe()
	out["workspace_id"] = textAt(c.r.Body, "properties", "workspaceId")
	return ok(out)
}

// catalog answers about objects of Unity Catalog by their names.
func (c *brickCall) catalog(path []string) answer {
	m := c.metastore()
	if m == nil {
		return noMetastore()
	}
	if path[0] == "permissions" && len(path) == 3 {
		name, err := url.PathUnescape(path[2])
		if err != nil {
			return badBrick("The name cannot be read.")
		}
		return c.permissions(c.find(m, path[1], name), path[1], name)
	}
	kind := securableKinds[path[0]]
	switch {
	case kind == "":
		return c.unknown()
	case len(path) == 1 && c.Method == http.MethodGet:
		return c.listSecurables(m, path[0], kind)
	case len(path) == 1 && c.Method == http.MethodPost:
		return c.makeSecurable(m, kind)
	case len(path) != 2:
		return c.unknown()
	}
	s := c.find(m, kind, path[1])
	if s == nil {
		return noSecurable(kind, path[1])
	}
	switch c.Method {
	case http.MethodGet:
		return ok(s.describe())
	case http.MethodPatch:
		return c.changeSecurable(m, s)
	case http.MethodDelete:
		return c.deleteSecurable(m, s)
	}
	return c.unknown()
}

func securableKey(m *metastore, kind, name string) string {
	return m.ID + "/" + kind + "/" + strings.ToLower(name)
}

func (c *brickCall) find(m *metastore, kind, name string) *securable {
	return c.d.w.Databricks.Securables[securableKey(m, strings.ToLower(kind), name)]
}

func noSecurable(kind, name string) answer {
	code := strings.ToUpper(kind) + "_DOES_NOT_EXIST"
	return brick(http.StatusNotFound, code, "%s '%s' does not exist.", kind, name)
}

func (s *securable) describe() object {
	out := maps.Clone(s.Body)
	out["name"], out["created_at"] = s.Name, s.Made.UnixMilli()
	if s.Kind == "schema" {
		catalog, name, _ := strings.Cut(s.Name, ".")
		out["catalog_name"], out["name"], out["full_name"] = catalog, name, s.Name
	}
	return out
}

func (c *brickCall) listSecurables(m *metastore, collection, kind string) answer {
	out := []object{}
	prefix := m.ID + "/" + kind + "/"
	all := c.d.w.Databricks.Securables
	for _, k := range slices.Sorted(maps.Keys(all)) {
		o := all[k].describe()
		if strings.HasPrefix(k, prefix) && (kind != "schema" || o["catalog_name"] == c.Query.Get("catalog_name")) {
			out = append(out, o)
		}
	}
	return ok(object{strings.ReplaceAll(collection, "-", "_"): out})
}

// securableFields are what may be told of each kind.
var securableFields = map[string][]string{
	"storage_credential": {"name", "azure_managed_identity", "comment", "read_only", "skip_validation", "owner", "isolation_mode", "force"},
	"external_location":  {"name", "url", "credential_name", "comment", "read_only", "skip_validation", "owner", "isolation_mode", "force"},
	"catalog":            {"name", "storage_root", "comment", "properties", "owner", "isolation_mode"},
	"schema":             {"name", "catalog_name", "storage_root", "comment", "properties", "owner"},
}

func (c *brickCall) told(kind string) (object, *answer) {
	var body object
	if err := c.decode(&body); err != nil {
		a := badBrick("The body is not JSON.")
		return nil, &a
	}
	for name := range body {
		if !slices.Contains(securableFields[kind], name) {
			a := badBrick("%s has no field %s.", kind, name)
			return nil, &a
		}
	}
	return body, nil
}

func (c *brickCall) makeSecurable(m *metastore, kind string) answer {
	body, refused := c.told(kind)
	if refused != nil {
		return *refused
	}
	name := textAt(body, "name")
	if name == "" || strings.ContainsAny(name, ". /") {
		return badBrick("%q is not a name for a %s.", name, kind)
	}
	if kind == "schema" {
		catalog := textAt(body, "catalog_name")
		if c.find(m, "catalog", catalog) == nil {
			return noSecurable("catalog", catalog)
		}
		name = catalog + "." + name
	}
	if c.find(m, kind, name) != nil {
		return brick(http.StatusBadRequest, strings.ToUpper(kind)+"_ALREADY_EXISTS", "%s '%s' already exists.", kind, name)
	}
	if refused := c.checkSecurable(m, kind, name, body); refused != nil {
		return *refused
	}
	if kind == "storage_credential" {
		body["id"] = c.d.w.newID()
	}
	all := &c.d.w.Databricks.Securables
	if *all == nil {
		*all = map[string]*securable{}
	}
	s := &securable{Kind: kind, Name: name, Body: body, Grants: map[string][]string{}, Made: c.d.w.now()}
	(*all)[securableKey(m, kind, name)] = s
	return ok(s.describe())
}

func (c *brickCall) checkSecurable(m *metastore, kind, name string, body object) *answer {
	switch kind {
	case "storage_credential":
		return c.d.connector(textAt(body, "azure_managed_identity", "access_connector_id"))
	case "external_location":
		return c.checkLocation(m, name, body)
	case "catalog":
		root := textAt(body, "storage_root")
		if root == "" && m.Storage == "" {
			a := brick(http.StatusBadRequest, "INVALID_STATE", "Metastore storage root URL does not exist. Please provide a storage location for the catalog.")
			return &a
		}
		if root != "" && !c.covered(m, root) {
			a := brick(http.StatusNotFound, "EXTERNAL_LOCATION_DOES_NOT_EXIST", "No external location covers the storage root %s.", root)
			return &a
		}
	}
	return nil
}

// covered reports whether an external location has an address in it.
func (c *brickCall) covered(m *metastore, address string) bool {
	for k, s := range c.d.w.Databricks.Securables {
		at := strings.TrimRight(textAt(s.Body, "url"), "/") + "/"
		if strings.HasPrefix(k, m.ID+"/external_location/") && strings.HasPrefix(strings.TrimRight(address, "/")+"/", at) {
			return true
		}
	}
	return false
}

// checkLocation holds an external location to what it points at: the credential, the container, and that the connector's
// identity may use it, as the service does unless it is told to skip that.
func (c *brickCall) checkLocation(m *metastore, name string, body object) *answer {
	credential := c.find(m, "storage_credential", textAt(body, "credential_name"))
	if credential == nil {
		a := noSecurable("storage_credential", textAt(body, "credential_name"))
		return &a
	}
	address, err := url.Parse(textAt(body, "url"))
	if err != nil || address.Scheme != "abfss" || address.User == nil {
		a := badBrick("%q is not an address such as abfss://container@account.dfs.core.windows.net/.", textAt(body, "url"))
		return &a
	}
	for k, s := range c.d.w.Databricks.Securables {
		other := strings.TrimRight(textAt(s.Body, "url"), "/") + "/"
		mine := strings.TrimRight(address.String(), "/") + "/"
		if s.Name != name && strings.HasPrefix(k, m.ID+"/external_location/") && (strings.HasPrefix(mine, other) || strings.HasPrefix(other, mine)) {
			a := brick(http.StatusBadRequest, "LOCATION_OVERLAP", "Input path url '%s' overlaps with other external location '%s'.", mine, s.Name)
			return &a
		}
	}
	if skip, _ := body["skip_validation"].(bool); skip {
		return nil
	}
	return c.checkStorage(credential, address)
}

func (c *brickCall) checkStorage(credential *securable, address *url.URL) *answer {
	account, _, _ := strings.Cut(address.Host, ".")
	storage := c.d.m.named("Microsoft.Storage/storageAccounts", account)
	if storage == nil {
		a := badBrick("Failed to access cloud storage: the account %s cannot be found.", account)
		return &a
	}
	if container := address.User.Username(); c.d.w.Manager.Resources[key(storage.ID+"/blobServices/default/containers/"+container)] == nil {
		a := badBrick("Failed to access cloud storage: the container %s of %s does not exist.", container, account)
		return &a
	}
	connector := c.d.w.Manager.Resources[key(textAt(credential.Body, "azure_managed_identity", "access_connector_id"))]
	if connector == nil || !c.d.m.dataRole(textAt(connector.Body, "identity", "principalId"), storage.ID, roleBlobOwner, roleBlobContributor) {
		a := brick(http.StatusForbidden, "PERMISSION_DENIED", "The Azure Managed Identity credential does not have READ permissions on %s. Please contact your account admin to update the storage credential.", address)
		return &a
	}
	return nil
}

func (c *brickCall) changeSecurable(m *metastore, s *securable) answer {
	body, refused := c.told(s.Kind)
	if refused != nil {
		return *refused
	}
	next := maps.Clone(s.Body)
	maps.Copy(next, body)
	if s.Kind != "catalog" {
		if refused := c.checkSecurable(m, s.Kind, s.Name, next); refused != nil {
			return *refused
		}
	}
	s.Body = next
	return ok(s.describe())
}

// deleteSecurable refuses what is still used, unless it is forced.
func (c *brickCall) deleteSecurable(m *metastore, s *securable) answer {
	all := c.d.w.Databricks.Securables
	inside := m.ID + "/schema/" + strings.ToLower(s.Name) + "."
	var users []string
	for k, other := range all {
		if s.Kind == "catalog" && strings.HasPrefix(k, inside) || s.Kind == "storage_credential" && textAt(other.Body, "credential_name") == s.Name {
			users = append(users, k)
		}
	}
	if len(users) > 0 && c.Query.Get("force") != "true" {
		return brick(http.StatusBadRequest, "INVALID_STATE", "Cannot delete %s '%s': it is not empty or in use.", s.Kind, s.Name)
	}
	if s.Kind == "catalog" {
		for _, k := range users {
			delete(all, k)
		}
	}
	delete(all, securableKey(m, s.Kind, s.Name))
	return ok(object{})
}

// permissions answers about what principals may do with an object (docs.databricks.com/api/azure/workspace/grants).
func (c *brickCall) permissions(s *securable, kind, name string) answer {
	if s == nil {
		return noSecurable(strings.ToLower(kind), name)
	}
	if c.Method == http.MethodPatch {
		var body struct {
			Changes []struct {
				Principal   string
				Add, Remove []string
			}
		}
		if err := c.decode(&body); err != nil {
			return badBrick("The body is not JSON.")
		}
		for _, change := range body.Changes {
			if refused := c.principalKnown(change.Principal); refused != nil {
				return *refused
			}
			have := s.Grants[change.Principal]
			for _, p := range slices.Concat(change.Add, change.Remove) {
				if !slices.Contains(securablePrivileges[s.Kind], p) {
					return badBrick("Privilege %s is not applicable to this entity [%s].", p, name)
				}
			}
			have = slices.DeleteFunc(append(have, change.Add...), func(p string) bool { return slices.Contains(change.Remove, p) })
			slices.Sort(have)
			if s.Grants[change.Principal] = slices.Compact(have); len(have) == 0 {
				delete(s.Grants, change.Principal)
			}
		}
	} else if c.Method != http.MethodGet {
		return c.unknown()
	}
	out := []object{}
	for _, p := range slices.Sorted(maps.Keys(s.Grants)) {
		if only := c.Query.Get("principal"); only == "" || only == p {
			out = append(out, object{"principal": p, "privileges": s.Grants[p]})
		}
	}
	return ok(object{"privilege_assignments": out})
}

// principalKnown refuses a principal that is neither a group of the account nor known to the workspace or the directory. Who is
// in the directory is taken to be in the account too, where identities are managed automatically.
func (c *brickCall) principalKnown(name string) *answer {
	if m := c.metastore(); m != nil && c.d.group(m.Account, name) != nil {
		return nil
	}
	if c.ws.principal(name) != nil || name == "account users" || name == "admins" || name == "users" {
		return nil
	}
	for _, p := range c.d.w.Directory.Principals {
		if p.Name == name && p.Kind != "ServicePrincipal" || strings.EqualFold(p.AppID, name) && name != "" {
			return nil
		}
	}
	a := brick(http.StatusNotFound, "PRINCIPAL_DOES_NOT_EXIST", "Could not find principal with name %s.", name)
	return &a
}
