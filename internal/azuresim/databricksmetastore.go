package azuresim

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// metastore is the top of Unity Catalog in a region of an account.
type metastore struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Name    string    `json:"name"`
	Region  string    `json:"region"`
	Storage string    `json:"storage,omitempty"`
	Root    string    `json:"root,omitempty"` // id of its storage credential
	Owner   string    `json:"owner,omitempty"`
	Made    time.Time `json:"made"`
}

// rootAccess is a storage credential that was made in the account.
type rootAccess struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Connector string `json:"connector"`
}

// account answers at accounts.azuredatabricks.net (docs.databricks.com/api/azure/account). Owners of the subscription are
// taken to administer the account; in Azure somebody has to make them that.
func (d *databricks) account(c *call) answer {
	path := splitPath(c.Path)
	if len(path) < 4 || path[0] != "api" || path[2] != "accounts" {
		return brick(http.StatusNotFound, "ENDPOINT_NOT_FOUND", "The simulated account has no %s %s.", c.Method, c.Path)
	}
	if !d.m.allowed(c.Caller.ObjectID, "Microsoft.Authorization/roleAssignments/write", "/subscriptions/"+d.m.o.Subscription) {
		return brick(http.StatusForbidden, "PERMISSION_DENIED", "User is not an account admin.")
	}
	account, rest := path[3], path[4:]
	switch {
	case len(rest) >= 1 && rest[0] == "metastores":
		return d.metastores(c, account, rest[1:])
	case len(rest) >= 3 && rest[0] == "scim" && rest[2] == "Groups":
		return d.accountGroups(c, account, rest[3:])
	case len(rest) >= 3 && rest[0] == "workspaces" && strings.HasPrefix(rest[2], "metastore"):
		return d.assignments(c, rest[1], rest[3:])
	}
	return brick(http.StatusNotFound, "ENDPOINT_NOT_FOUND", "The simulated account has no %s %s.", c.Method, c.Path)
}

func (m *metastore) describe() object {
	out := object{"metastore_id": m.ID, "name": m.Name, "region": m.Region, "cloud": "azure", "owner": m.Owner, "created_at": m.Made.UnixMilli(),
		"global_metastore_id": "azure:" + m.Region + ":" + m.ID, "delta_sharing_scope": "INTERNAL"}
	if m.Storage != "" {
		out["storage_root"] = m.Storage
	}
	if m.Root != "" {
		out["storage_root_credential_id"] = m.Root
	}
	return out
}

// metastoreBody is what calls about metastores tell.
type metastoreBody struct {
	Info struct {
		ID      string `json:"metastore_id"` // taken by the simulation alone, for one that is said to stand already
		Name    string `json:"name"`
		Region  string `json:"region"`
		Storage string `json:"storage_root"`
		Root    string `json:"storage_root_credential_id"`
		Owner   string `json:"owner"`
	} `json:"metastore_info"`
	Credential struct {
		Name     string `json:"name"`
		Identity struct {
			Connector string `json:"access_connector_id"`
		} `json:"azure_managed_identity"`
	} `json:"credential_info"`
}

func (d *databricks) metastores(c *call, account string, path []string) answer {
	st := &d.w.Databricks
	var body metastoreBody
	if c.Method == http.MethodPost || c.Method == http.MethodPut {
		if err := c.decode(&body); err != nil {
			return badBrick("The body is not JSON.")
		}
	}
	if len(path) == 0 && c.Method == http.MethodGet {
		out := []object{}
		for _, id := range slices.Sorted(maps.Keys(st.Metastores)) {
			if st.Metastores[id].Account == account {
				out = append(out, st.Metastores[id].describe())
			}
		}
		return ok(object{"metastores": out})
	}
	if len(path) == 0 {
		return d.makeMetastore(c, account, body)
	}
	m := st.Metastores[path[0]]
	if m == nil || m.Account != account {
		return brick(http.StatusNotFound, "METASTORE_DOES_NOT_EXIST", "Metastore '%s' does not exist.", path[0])
	}
	switch {
	case len(path) > 1 && path[1] == "storage-credentials":
		return d.roots(c, m, path[2:], body)
	case c.Method == http.MethodGet:
		return ok(object{"metastore_info": m.describe()})
	case c.Method == http.MethodPut || c.Method == http.MethodPatch:
		if body.Info.Root != "" {
			m.Root = body.Info.Root
		}
		if body.Info.Owner != "" {
			m.Owner = body.Info.Owner
		}
		return ok(object{"metastore_info": m.describe()})
	case c.Method == http.MethodDelete:
		return d.deleteMetastore(c, m)
	}
	return brick(http.StatusNotFound, "ENDPOINT_NOT_FOUND", "The simulated account has no %s %s.", c.Method, c.Path)
}

func (d *databricks) makeMetastore(c *call, account string, body metastoreBody) answer {
	st := &d.w.Databricks
	if body.Info.Name == "" || body.Info.Region == "" {
		return badBrick("CreateMetastore needs name and region.")
	}
	for _, other := range st.Metastores {
		switch {
		case other.ID == body.Info.ID:
			return brick(http.StatusBadRequest, "METASTORE_ALREADY_EXISTS", "Metastore '%s' already exists.", other.ID)
		case other.Account != account:
		case other.Name == body.Info.Name:
			return brick(http.StatusBadRequest, "METASTORE_ALREADY_EXISTS", "Metastore '%s' already exists.", other.Name)
		case other.Region == body.Info.Region:
			return brick(http.StatusBadRequest, "QUOTA_EXCEEDED", "This account already has a metastore in %s: %s. There can be one in each region.", other.Region, other.Name)
		}
	}
	if st.Metastores == nil {
		st.Metastores = map[string]*metastore{}
	}
	id := body.Info.ID
	if id == "" {
		id = d.w.newID()
	}
	m := &metastore{ID: id, Account: account, Name: body.Info.Name, Region: body.Info.Region, Owner: c.Caller.AppID, Made: d.w.now()}
	if body.Info.Storage != "" {
		m.Storage = strings.TrimRight(body.Info.Storage, "/") + "/" + m.ID
	}
	st.Metastores[m.ID] = m
	return ok(object{"metastore_info": m.describe()})
}

func (d *databricks) deleteMetastore(c *call, m *metastore) answer {
	st := &d.w.Databricks
	used := slices.Contains(slices.Collect(maps.Values(st.Uses)), m.ID)
	filled := slices.ContainsFunc(slices.Collect(maps.Keys(st.Securables)), func(k string) bool { return strings.HasPrefix(k, m.ID+"/") })
	if (used || filled) && c.Query.Get("force") != "true" {
		return brick(http.StatusBadRequest, "METASTORE_NOT_EMPTY", "Metastore '%s' is not empty.", m.Name)
	}
	delete(st.Metastores, m.ID)
	maps.DeleteFunc(st.Uses, func(_, id string) bool { return id == m.ID })
	maps.DeleteFunc(st.Securables, func(k string, _ *securable) bool { return strings.HasPrefix(k, m.ID+"/") })
	maps.DeleteFunc(st.Roots, func(k string, _ *rootAccess) bool { return strings.HasPrefix(k, m.ID+"/") })
	return ok(object{})
}

// roots answers about the storage credentials of a metastore in the account.
func (d *databricks) roots(c *call, m *metastore, path []string, body metastoreBody) answer {
	st := &d.w.Databricks
	describe := func(r *rootAccess) object {
		return object{"credential_info": object{"id": r.ID, "name": r.Name, "azure_managed_identity": object{"access_connector_id": r.Connector}}}
	}
	if len(path) == 0 && c.Method == http.MethodPost {
		name := m.ID + "/" + body.Credential.Name
		if st.Roots[name] != nil {
			return brick(http.StatusConflict, "STORAGE_CREDENTIAL_ALREADY_EXISTS", "Storage Credential '%s' already exists.", body.Credential.Name)
		}
		if refused := d.connector(body.Credential.Identity.Connector); refused != nil {
			return *refused
		}
		if st.Roots == nil {
			st.Roots = map[string]*rootAccess{}
		}
		st.Roots[name] = &rootAccess{ID: d.w.newID(), Name: body.Credential.Name, Connector: body.Credential.Identity.Connector}
		return ok(describe(st.Roots[name]))
	}
	if len(path) == 1 {
		r := st.Roots[m.ID+"/"+path[0]]
		switch {
		case r == nil:
			return brick(http.StatusNotFound, "STORAGE_CREDENTIAL_DOES_NOT_EXIST", "Storage Credential '%s' does not exist.", path[0])
		case c.Method == http.MethodGet:
			return ok(describe(r))
		case c.Method == http.MethodDelete:
			delete(st.Roots, m.ID+"/"+path[0])
			return ok(object{})
		}
	}
	return brick(http.StatusNotFound, "ENDPOINT_NOT_FOUND", "The simulated account has no %s %s.", c.Method, c.Path)
}

// connector refuses an access connector that does not stand.
func (d *databricks) connector(id string) *answer {
	r := d.w.Manager.Resources[key(id)]
	if r != nil && strings.EqualFold(r.Type, typeConnector) && r.Want != nil {
		return nil
	}
	a := badBrick("Access connector '%s' could not be found.", id)
	return &a
}

// assignments answers about which metastore a workspace has; path has the metastore's id.
func (d *databricks) assignments(c *call, number string, path []string) answer {
	st := &d.w.Databricks
	if !slices.ContainsFunc(d.m.all(func(r *resource) bool { return strings.EqualFold(r.Type, typeDatabricks) }), func(r *resource) bool {
		return textAt(r.Body, "properties", "workspaceId") == number
	}) {
		return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Workspace %s does not exist.", number)
	}
	switch {
	case len(path) == 0 && c.Method == http.MethodGet:
		if st.Uses[number] == "" {
			return brick(http.StatusNotFound, "METASTORE_DOES_NOT_EXIST", "No metastore assigned for the workspace %s.", number)
		}
		return ok(object{"metastore_assignment": object{"metastore_id": st.Uses[number], "workspace_id": number}})
	case len(path) != 1 || st.Metastores[path[0]] == nil:
		return brick(http.StatusNotFound, "METASTORE_DOES_NOT_EXIST", "The metastore does not exist.")
	case c.Method == http.MethodPost || c.Method == http.MethodPut:
		if st.Uses == nil {
			st.Uses = map[string]string{}
		}
		st.Uses[number] = path[0]
		return ok(object{})
	case c.Method == http.MethodDelete:
		if st.Uses[number] == path[0] {
			delete(st.Uses, number)
		}
		return ok(object{})
	}
	return brick(http.StatusNotFound, "ENDPOINT_NOT_FOUND", "The simulated account has no %s %s.", c.Method, c.Path)
}
