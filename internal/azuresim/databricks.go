package azuresim

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/pace"
)

// databricksAudience is the application that workspaces and the account take tokens for.
const databricksAudience = "2ff814a6-3304-4ab8-965a-d1e0f3ee9b55"

const databricksAccountHost = "accounts.azuredatabricks.net"

// databricks is the API of workspaces and of the account: clusters and libraries, secrets, files, principals, runs and
// Unity Catalog (docs.databricks.com/api/azure). It starts no machine and runs no code.
type databricks struct {
	w *world
	m *manager
}

// databricksState is what all workspaces and the account keep.
type databricksState struct {
	Workspaces map[string]*workspace    `json:"workspaces"` // by key of their resource
	Metastores map[string]*metastore    `json:"metastores"` // by id
	Uses       map[string]string        `json:"uses"`       // number of a workspace: id of its metastore
	Securables map[string]*securable    `json:"securables"` // by metastore/kind/name, lower case
	Roots      map[string]*rootAccess   `json:"roots"`      // storage credentials of the account, by metastore/name
	Groups     map[string]*accountGroup `json:"groups"`     // of accounts, by id
}

// workspace is the data of one workspace.
type workspace struct {
	Serial     int64                       `json:"serial"` // counts ids
	Principals map[string]*scimObject      `json:"principals"`
	Admins     []string                    `json:"admins,omitempty"` // ids of principals in the group admins
	Scopes     map[string]*secretScope     `json:"scopes"`
	Files      map[string]*dbfsFile        `json:"files"`
	Streams    map[int64]*dbfsStream       `json:"streams"`
	Objects    map[string]*workspaceObject `json:"tree"` // folders, files and notebooks by path
	Clusters   map[string]*cluster         `json:"clusters"`
	Libraries  map[string][]*libraryState  `json:"libraries"` // by cluster
	Runs       map[int64]*sparkRun         `json:"runs"`
}

func newDatabricks(w *world, m *manager) *databricks {
	d := &databricks{w, m}
	m.watch(typeDatabricks, func(what change, r *resource) {
		if what == changeGone {
			delete(w.Databricks.Workspaces, key(r.ID))
			delete(w.Databricks.Uses, textAt(r.Body, "properties", "workspaceId"))
		}
	})
	return d
}

// brick is a failure as Databricks tells it.
func brick(status int, code, format string, args ...any) answer {
	e := refusal(code, format, args...)
	return reply(status, object{"error_code": e.Code, "message": e.Message})
}

// brickCall is a call that has been let in.
type brickCall struct {
	*call
	d  *databricks
	r  *resource
	ws *workspace
}

func (d *databricks) serve(c *call) answer {
	if c.Host == databricksAccountHost {
		return d.account(c)
	}
	r := d.find(c.Host)
	if r == nil {
		return drop() // the name does not resolve
	}
	if early := d.early(r); early != nil {
		return *early
	}
	if refused := d.permit(c, r); refused != nil {
		return *refused
	}
	return d.dispatch(&brickCall{call: c, d: d, r: r, ws: d.workspace(r)})
}

func (d *databricks) find(host string) *resource {
	for _, r := range d.m.w.Manager.Resources {
		if strings.EqualFold(r.Type, typeDatabricks) && strings.EqualFold(textAt(r.Body, "properties", "workspaceUrl"), host) {
			return r
		}
	}
	return nil
}

func (d *databricks) workspace(r *resource) *workspace {
	all := &d.w.Databricks.Workspaces
	if *all == nil {
		*all = map[string]*workspace{}
	}
	ws := (*all)[key(r.ID)]
	if ws == nil {
		ws = &workspace{Principals: map[string]*scimObject{}, Scopes: map[string]*secretScope{}, Files: map[string]*dbfsFile{}, Streams: map[int64]*dbfsStream{},
			Clusters: map[string]*cluster{}, Libraries: map[string][]*libraryState{}, Runs: map[int64]*sparkRun{}}
		(*all)[key(r.ID)] = ws
	}
	return ws
}

// early is what a workspace answers that Azure already calls ready: for 30 to 180 seconds it is not served, then knows
// nobody (azure-rest-api-specs issue 9316, terraform-provider-databricks issue 1903).
func (d *databricks) early(r *resource) *answer {
	var a answer
	took := warmUp()
	switch since := d.w.now().Sub(r.Stood); {
	case r.Busy && r.Want == nil:
		a = drop()
	case since >= took:
		return nil
	case since < took/3:
		a = brick(http.StatusServiceUnavailable, "TEMPORARILY_UNAVAILABLE", "The workspace is being set up.")
	case since < 2*took/3:
		a = raw(http.StatusBadRequest, "text/plain", []byte("io.jsonwebtoken.IncorrectClaimException: the workspace does not accept tokens yet"))
	default:
		a = brick(http.StatusForbidden, "PERMISSION_DENIED", "User not authorized.")
	}
	return &a
}

// warmUp is how long it takes until a workspace answers.
func warmUp() time.Duration {
	typical, _, _ := pace.Of(pace.Ready)
	return typical
}

// permit lets in whoever manages the workspace in Azure, who administers it by that, and the principals that it knows.
func (d *databricks) permit(c *call, r *resource) *answer {
	var a answer
	switch {
	case d.m.reach(r) != reachable:
		a = brick(http.StatusForbidden, "PERMISSION_DENIED", "Unauthorized network access to workspace: %s", textAt(r.Body, "properties", "workspaceId"))
	case !d.member(c, r):
		a = brick(http.StatusForbidden, "PERMISSION_DENIED", "User not authorized.")
	case !d.admin(c, r) && !readOnly(c):
		a = brick(http.StatusForbidden, "PERMISSION_DENIED", "Only administrators of the workspace may do this in the simulation.")
	default:
		return nil
	}
	return &a
}

func readOnly(c *call) bool {
	return c.Method == http.MethodGet || strings.HasPrefix(c.Path, "/api/2.1/jobs/runs/")
}

func (d *databricks) owner(c *call, r *resource) bool {
	return d.m.allowed(c.Caller.ObjectID, typeDatabricks+"/write", r.ID)
}

func (d *databricks) member(c *call, r *resource) bool {
	return d.owner(c, r) || d.workspace(r).principal(c.Caller.AppID) != nil
}

func (d *databricks) admin(c *call, r *resource) bool {
	p := d.workspace(r).principal(c.Caller.AppID)
	return d.owner(c, r) || p != nil && slices.Contains(d.workspace(r).Admins, p.ID)
}

// brickRoutes are the addresses of a workspace by method and path without the API's number.
var brickRoutes = map[string]func(*brickCall) answer{
	"GET clusters/spark-versions":                    (*brickCall).sparkVersions,
	"GET clusters/list-node-types":                   (*brickCall).listNodeTypes,
	"GET clusters/list":                              (*brickCall).listClusters,
	"GET clusters/get":                               (*brickCall).getCluster,
	"POST clusters/create":                           (*brickCall).createCluster,
	"POST clusters/edit":                             (*brickCall).editCluster,
	"POST clusters/start":                            (*brickCall).startCluster,
	"POST clusters/restart":                          (*brickCall).restartCluster,
	"POST clusters/delete":                           (*brickCall).stopCluster,
	"POST clusters/permanent-delete":                 (*brickCall).deleteCluster,
	"POST clusters/pin":                              (*brickCall).pinCluster,
	"POST clusters/unpin":                            (*brickCall).pinCluster,
	"POST libraries/install":                         (*brickCall).installLibraries,
	"POST libraries/uninstall":                       (*brickCall).uninstallLibraries,
	"GET libraries/cluster-status":                   (*brickCall).libraryStatuses,
	"GET secrets/scopes/list":                        (*brickCall).listScopes,
	"POST secrets/scopes/create":                     (*brickCall).createScope,
	"POST secrets/scopes/delete":                     (*brickCall).deleteScope,
	"GET secrets/list":                               (*brickCall).listSecrets,
	"GET secrets/get":                                (*brickCall).getSecret,
	"POST secrets/put":                               (*brickCall).putSecret,
	"POST secrets/delete":                            (*brickCall).deleteSecret,
	"GET secrets/acls/list":                          (*brickCall).listACLs,
	"GET secrets/acls/get":                           (*brickCall).getACL,
	"POST secrets/acls/put":                          (*brickCall).putACL,
	"POST secrets/acls/delete":                       (*brickCall).deleteACL,
	"POST dbfs/put":                                  (*brickCall).putFile,
	"POST dbfs/create":                               (*brickCall).openFile,
	"POST dbfs/add-block":                            (*brickCall).addBlock,
	"POST dbfs/close":                                (*brickCall).closeFile,
	"POST dbfs/mkdirs":                               (*brickCall).makeFolder,
	"POST dbfs/delete":                               (*brickCall).deleteFile,
	"GET dbfs/get-status":                            (*brickCall).fileStatus,
	"GET dbfs/list":                                  (*brickCall).listFiles,
	"GET dbfs/read":                                  (*brickCall).readFile,
	"POST workspace/mkdirs":                          (*brickCall).makeFolders,
	"POST workspace/import":                          (*brickCall).importObject,
	"POST workspace/delete":                          (*brickCall).deleteObject,
	"GET workspace/export":                           (*brickCall).exportObject,
	"GET workspace/get-status":                       (*brickCall).objectStatus,
	"GET workspace/list":                             (*brickCall).listObjects,
	"POST jobs/runs/submit":                          (*brickCall).submitRun,
	"GET jobs/runs/get":                              (*brickCall).getRun,
	"GET jobs/runs/get-output":                       (*brickCall).runOutput,
	"GET jobs/runs/list":                             (*brickCall).listRuns,
	"POST jobs/runs/cancel":                          (*brickCall).cancelRun,
	"GET preview/scim/v2/Me":                         (*brickCall).me,
	"GET unity-catalog/current-metastore-assignment": (*brickCall).currentMetastore,
	"GET unity-catalog/metastore_summary":            (*brickCall).currentMetastore,
}

func (d *databricks) dispatch(c *brickCall) answer {
	path := splitPath(c.Path)
	if len(path) < 3 || path[0] != "api" || !strings.HasPrefix(path[1], "2.") {
		return c.unknown()
	}
	below := strings.Join(path[2:], "/")
	if f := brickRoutes[c.Method+" "+below]; f != nil {
		return f(c)
	}
	switch {
	case strings.HasPrefix(below, "preview/scim/v2/ServicePrincipals"):
		return c.scimPrincipals(path[5:])
	case strings.HasPrefix(below, "preview/scim/v2/Groups"):
		return c.scimGroups(path[5:])
	case path[2] == "unity-catalog":
		return c.catalog(path[3:])
	}
	return c.unknown()
}

// unknown refuses what is not simulated, by its name.
func (c *brickCall) unknown() answer {
	return brick(http.StatusNotFound, "ENDPOINT_NOT_FOUND", "The simulated workspace has no %s %s.", c.Method, c.Path)
}

func badBrick(format string, args ...any) answer {
	return brick(http.StatusBadRequest, "INVALID_PARAMETER_VALUE", format, args...)
}

// scimObject is a service principal of a workspace.
type scimObject struct {
	ID     string `json:"id"`
	App    string `json:"app"`
	Name   string `json:"name"`
	Active bool   `json:"active"`
}

func (w *workspace) principal(app string) *scimObject {
	for _, p := range w.Principals {
		if app != "" && strings.EqualFold(p.App, app) {
			return p
		}
	}
	return nil
}

func (w *workspace) nextID() string {
	w.Serial++
	return strconv.FormatInt(1000000000000000+w.Serial*7919, 10)
}

func (c *brickCall) describePrincipal(p *scimObject) object {
	out := object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"}, "id": p.ID, "applicationId": p.App, "displayName": p.Name, "active": p.Active}
	if slices.Contains(c.ws.Admins, p.ID) {
		out["groups"] = []object{{"display": "admins", "value": "1", "type": "direct"}}
	}
	return out
}

// me answers a caller about itself.
func (c *brickCall) me() answer {
	return ok(object{"id": c.Caller.ObjectID, "userName": c.Caller.AppID, "displayName": c.Caller.Name, "active": true})
}

// scimFilter reads name eq "value", the only filter that is simulated.
func scimFilter(c *call) (name, value string, good bool) {
	filter := c.Query.Get("filter")
	if filter == "" {
		return "", "", true
	}
	name, value, good = strings.Cut(filter, " eq ")
	value = strings.TrimSpace(value)
	if strings.HasPrefix(value, `"`) && json.Unmarshal([]byte(value), &value) != nil {
		return "", "", false
	}
	return strings.TrimSpace(name), value, good
}

func scimFail(status int, format string, args ...any) answer {
	return reply(status, object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:Error"}, "status": strconv.Itoa(status),
		"detail": refusal("", format, args...).Message})
}

func scimList(out []object) answer {
	return ok(object{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"}, "totalResults": len(out), "startIndex": 1, "itemsPerPage": len(out), "Resources": out})
}

// scimPrincipals answers about service principals (docs.databricks.com/api/azure/workspace/serviceprincipals).
func (c *brickCall) scimPrincipals(path []string) answer {
	if len(path) == 1 && c.Method == http.MethodGet {
		name, value, good := scimFilter(c.call)
		if !good || name != "" && name != "applicationId" && name != "displayName" {
			return scimFail(http.StatusBadRequest, "The simulation filters by applicationId eq or displayName eq only.")
		}
		var out []object
		for _, id := range slices.Sorted(maps.Keys(c.ws.Principals)) {
			p := c.ws.Principals[id]
			if name == "" || name == "applicationId" && strings.EqualFold(p.App, value) || name == "displayName" && p.Name == value {
				out = append(out, c.describePrincipal(p))
			}
		}
		return scimList(out)
	}
	if len(path) == 1 && c.Method == http.MethodPost {
		var body struct{ ApplicationID, DisplayName string }
		if err := c.decode(&body); err != nil || body.ApplicationID == "" {
			return scimFail(http.StatusBadRequest, "applicationId is required.")
		}
		if c.ws.principal(body.ApplicationID) != nil {
			return scimFail(http.StatusConflict, "Service principal with application ID %s already exists.", body.ApplicationID)
		}
		p := &scimObject{ID: c.ws.nextID(), App: body.ApplicationID, Name: body.DisplayName, Active: true}
		c.ws.Principals[p.ID] = p
		return reply(http.StatusCreated, c.describePrincipal(p))
	}
	if len(path) != 2 {
		return c.unknown()
	}
	p := c.ws.Principals[path[1]]
	if p == nil {
		return scimFail(http.StatusNotFound, "Service principal with ID %s not found.", path[1])
	}
	switch c.Method {
	case http.MethodGet:
		return ok(c.describePrincipal(p))
	case http.MethodDelete:
		delete(c.ws.Principals, p.ID)
		c.ws.Admins = slices.DeleteFunc(c.ws.Admins, func(id string) bool { return id == p.ID })
		return reply(http.StatusNoContent, nil)
	case http.MethodPatch:
		var body struct {
			Operations []struct {
				Op, Path string
				Value    any
			} `json:"Operations"`
		}
		if err := c.decode(&body); err != nil {
			return scimFail(http.StatusBadRequest, "The body is not JSON.")
		}
		for _, o := range body.Operations {
			switch name, is := o.Value.(string); {
			case o.Op == "replace" && o.Path == "displayName" && is:
				p.Name = name
			default:
				return scimFail(http.StatusBadRequest, "The simulation does not change %q with %q.", o.Path, o.Op)
			}
		}
		return ok(c.describePrincipal(p))
	}
	return c.unknown()
}

// scimGroups answers about the group of administrators, the only one that a simulated workspace has.
func (c *brickCall) scimGroups(path []string) answer {
	members := []object{}
	for _, id := range c.ws.Admins {
		members = append(members, object{"value": id, "display": c.ws.Principals[id].Name})
	}
	admins := object{"id": "1", "displayName": "admins", "members": members}
	switch {
	case len(path) == 1 && c.Method == http.MethodGet:
		if name, value, good := scimFilter(c.call); !good || name != "" && (name != "displayName" || value != "admins") {
			return scimList(nil)
		}
		return scimList([]object{admins})
	case len(path) != 2 || path[1] != "1":
		return scimFail(http.StatusNotFound, "Group not found.")
	case c.Method == http.MethodGet:
		return ok(admins)
	case c.Method == http.MethodPatch:
		return c.changeAdmins()
	}
	return c.unknown()
}

func (c *brickCall) changeAdmins() answer {
	var body struct {
		Operations []struct {
			Op, Path string
			Value    []struct{ Value string }
		} `json:"Operations"`
	}
	if err := c.decode(&body); err != nil {
		return scimFail(http.StatusBadRequest, "The body is not JSON.")
	}
	for _, o := range body.Operations {
		if o.Op == "add" && o.Path == "members" {
			for _, v := range o.Value {
				if c.ws.Principals[v.Value] == nil {
					return scimFail(http.StatusNotFound, "Principal %s not found.", v.Value)
				}
				if !slices.Contains(c.ws.Admins, v.Value) {
					c.ws.Admins = append(c.ws.Admins, v.Value)
				}
			}
			continue
		}
		inner, member := strings.CutPrefix(o.Path, "members[value eq ")
		if o.Op != "remove" || !member {
			return scimFail(http.StatusBadRequest, "The simulation does not change %q with %q.", o.Path, o.Op)
		}
		id := strings.Trim(strings.TrimSuffix(inner, "]"), `"`)
		c.ws.Admins = slices.DeleteFunc(c.ws.Admins, func(x string) bool { return x == id })
	}
	return reply(http.StatusNoContent, nil)
}
