package azuresim

import (
	"encoding/base64"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// libraryState is a library of a cluster.
type libraryState struct {
	Library object    `json:"library"`
	Status  string    `json:"status"`
	Until   time.Time `json:"until,omitzero"` // when installing ends
	Fails   string    `json:"fails,omitempty"`
}

// libraryTakes is how long a library takes to be installed.
const libraryTakes = 30 * time.Second

// libraries brings the libraries of a cluster up to date.
func (c *brickCall) libraries(cl *cluster) []*libraryState {
	now := c.d.w.now()
	cl.advance(now)
	for _, l := range c.ws.Libraries[cl.ID] {
		if l.Status == "PENDING" && cl.State == clusterRunning {
			l.Status, l.Until = "INSTALLING", cl.Since.Add(libraryTakes)
			if l.Until.Before(now) && now.Sub(cl.Since) < libraryTakes {
				l.Until = now.Add(libraryTakes)
			}
		}
		if l.Status == "INSTALLING" && !l.Until.After(now) {
			if l.Status = "INSTALLED"; l.Fails != "" {
				l.Status = "FAILED"
			}
		}
	}
	return c.ws.Libraries[cl.ID]
}

// leaveLibraries takes away those that waited for a restart and has the others installed afresh.
func (c *brickCall) leaveLibraries(cl *cluster) {
	kept := slices.DeleteFunc(c.ws.Libraries[cl.ID], func(l *libraryState) bool { return l.Status == "UNINSTALL_ON_RESTART" })
	for _, l := range kept {
		l.Status = "PENDING"
	}
	c.ws.Libraries[cl.ID] = kept
}

// libraryKinds are the kinds of library that are simulated.
var libraryKinds = []string{"pypi", "maven", "jar", "whl"}

func (c *brickCall) libraryBody() ([]object, *answer) {
	var body struct {
		Libraries []object `json:"libraries"`
	}
	if err := c.decode(&body); err != nil {
		a := badBrick("The body is not JSON.")
		return nil, &a
	}
	for _, l := range body.Libraries {
		kinds := slices.Collect(maps.Keys(l))
		if len(kinds) != 1 || !slices.Contains(libraryKinds, kinds[0]) {
			a := badBrick("A library has exactly one of %s, not %s.", strings.Join(libraryKinds, ", "), strings.Join(kinds, ", "))
			return nil, &a
		}
	}
	return body.Libraries, nil
}

func (c *brickCall) installLibraries() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	wanted, refused := c.libraryBody()
	if refused != nil {
		return *refused
	}
	have := c.libraries(cl)
	for _, lib := range wanted {
		l := &libraryState{Library: lib, Status: "PENDING", Fails: c.wrongLibrary(cl, lib)}
		if cl.State == clusterRunning {
			l.Status, l.Until = "INSTALLING", c.d.w.now().Add(libraryTakes)
		}
		if i := slices.IndexFunc(have, func(x *libraryState) bool { return reflect.DeepEqual(x.Library, lib) }); i >= 0 {
			have[i] = l
			continue
		}
		have = append(have, l)
	}
	c.ws.Libraries[cl.ID] = have
	return ok(object{})
}

// wrongLibrary says that a library is a file that does not exist, or is where the runtime installs none from.
func (c *brickCall) wrongLibrary(cl *cluster, lib object) string {
	for _, kind := range []string{"jar", "whl"} {
		path, dbfs := strings.CutPrefix(textAt(lib, kind), "dbfs:")
		if dbfs && !dbfsLibraries(cl.Spec) {
			return "Library installation from DBFS root is disabled on this cluster: dbfs:" + path
		}
		if dbfs && c.ws.Files[path] == nil {
			return "java.io.FileNotFoundException: dbfs:" + path + " does not exist."
		}
	}
	return ""
}

func (c *brickCall) uninstallLibraries() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	unwanted, refused := c.libraryBody()
	if refused != nil {
		return *refused
	}
	have := c.libraries(cl)
	for _, lib := range unwanted {
		i := slices.IndexFunc(have, func(x *libraryState) bool { return reflect.DeepEqual(x.Library, lib) })
		switch {
		case i < 0:
		case cl.State == clusterTerminated:
			have = slices.Delete(have, i, i+1)
		default:
			have[i].Status = "UNINSTALL_ON_RESTART"
		}
	}
	c.ws.Libraries[cl.ID] = have
	return ok(object{})
}

func (c *brickCall) libraryStatuses() answer {
	cl, refused := c.cluster()
	if refused != nil {
		return *refused
	}
	out := []object{}
	for _, l := range c.libraries(cl) {
		messages := []string{}
		if l.Status == "FAILED" {
			messages = append(messages, l.Fails)
		}
		out = append(out, object{"library": l.Library, "status": l.Status, "messages": messages, "is_library_for_all_clusters": false})
	}
	return ok(object{"cluster_id": cl.ID, "library_statuses": out})
}

// secretScope is a scope of secrets, with who may do what in it.
type secretScope struct {
	Secrets map[string]*scopeSecret `json:"secrets"`
	ACL     map[string]string       `json:"acl"` // principal: READ, WRITE or MANAGE
}

type scopeSecret struct {
	Value   []byte    `json:"value"`
	Changed time.Time `json:"changed"`
}

// scopeBody is what calls about secrets tell.
type scopeBody struct {
	Scope      string  `json:"scope"`
	Key        string  `json:"key"`
	Principal  string  `json:"principal"`
	Permission string  `json:"permission"`
	Initial    string  `json:"initial_manage_principal"`
	Text       *string `json:"string_value"`
	Bytes      []byte  `json:"bytes_value"`
	Backend    string  `json:"scope_backend_type"`
}

// scope reads a call about secrets and finds its scope.
func (c *brickCall) scope() (scopeBody, *secretScope, *answer) {
	var body scopeBody
	if c.Method == http.MethodGet {
		body = scopeBody{Scope: c.Query.Get("scope"), Key: c.Query.Get("key"), Principal: c.Query.Get("principal")}
	} else if err := c.decode(&body); err != nil {
		a := badBrick("The body is not JSON.")
		return body, nil, &a
	}
	s := c.ws.Scopes[body.Scope]
	if s == nil {
		a := brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Scope %s does not exist!", body.Scope)
		return body, nil, &a
	}
	return body, s, nil
}

func (c *brickCall) listScopes() answer {
	out := []object{}
	for _, name := range slices.Sorted(maps.Keys(c.ws.Scopes)) {
		out = append(out, object{"name": name, "backend_type": "DATABRICKS"})
	}
	return ok(object{"scopes": out})
}

func (c *brickCall) createScope() answer {
	body, have, _ := c.scope()
	switch {
	case body.Scope == "" || len(body.Scope) > 128:
		return badBrick("Scope name must be between 1 and 128 characters.")
	case body.Backend != "" && body.Backend != "DATABRICKS":
		return badBrick("The simulation has scopes that Databricks keeps only.")
	case have != nil:
		return brick(http.StatusBadRequest, "RESOURCE_ALREADY_EXISTS", "Scope %s already exists!", body.Scope)
	}
	manager := body.Initial
	if manager == "" {
		manager = c.Caller.AppID
	}
	c.ws.Scopes[body.Scope] = &secretScope{Secrets: map[string]*scopeSecret{}, ACL: map[string]string{manager: "MANAGE"}}
	return ok(object{})
}

func (c *brickCall) deleteScope() answer {
	body, _, refused := c.scope()
	if refused != nil {
		return *refused
	}
	delete(c.ws.Scopes, body.Scope)
	return ok(object{})
}

func (c *brickCall) listSecrets() answer {
	_, s, refused := c.scope()
	if refused != nil {
		return *refused
	}
	out := []object{}
	for _, name := range slices.Sorted(maps.Keys(s.Secrets)) {
		out = append(out, object{"key": name, "last_updated_timestamp": s.Secrets[name].Changed.UnixMilli()})
	}
	return ok(object{"secrets": out})
}

func (c *brickCall) getSecret() answer {
	body, s, refused := c.scope()
	if refused != nil {
		return *refused
	}
	secret := s.Secrets[body.Key]
	if secret == nil {
		return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Secret %s does not exist in scope %s.", body.Key, body.Scope)
	}
	return ok(object{"key": body.Key, "value": base64.StdEncoding.EncodeToString(secret.Value)})
}

// scopeLimit is how many bytes a secret may have.
const scopeLimit = 128 * 1024

func (c *brickCall) putSecret() answer {
	body, s, refused := c.scope()
	if refused != nil {
		return *refused
	}
	value := body.Bytes
	if body.Text != nil {
		value = []byte(*body.Text)
	}
	switch {
	case body.Key == "" || len(body.Key) > 128:
		return badBrick("Secret key must be between 1 and 128 characters.")
	case value == nil:
		return badBrick("One of string_value and bytes_value is required.")
	case len(value) > scopeLimit:
		return brick(http.StatusBadRequest, "MAX_SECRET_SIZE_EXCEEDED", "The secret is larger than 128 KB.")
	}
	s.Secrets[body.Key] = &scopeSecret{Value: value, Changed: c.d.w.now()}
	return ok(object{})
}

func (c *brickCall) deleteSecret() answer {
	body, s, refused := c.scope()
	if refused != nil {
		return *refused
	}
	if s.Secrets[body.Key] == nil {
		return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Secret %s does not exist in scope %s.", body.Key, body.Scope)
	}
	delete(s.Secrets, body.Key)
	return ok(object{})
}

func (c *brickCall) listACLs() answer {
	_, s, refused := c.scope()
	if refused != nil {
		return *refused
	}
	out := []object{}
	for _, p := range slices.Sorted(maps.Keys(s.ACL)) {
		out = append(out, object{"principal": p, "permission": s.ACL[p]})
	}
	return ok(object{"items": out})
}

func (c *brickCall) getACL() answer {
	body, s, refused := c.scope()
	if refused != nil {
		return *refused
	}
	if s.ACL[body.Principal] == "" {
		return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "ACL for principal %s does not exist.", body.Principal)
	}
	return ok(object{"principal": body.Principal, "permission": s.ACL[body.Principal]})
}

func (c *brickCall) putACL() answer {
	body, s, refused := c.scope()
	if refused != nil {
		return *refused
	}
	known := body.Principal == "users" || body.Principal == "admins" || strings.EqualFold(body.Principal, c.Caller.AppID) || c.ws.principal(body.Principal) != nil
	switch {
	case !known:
		return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Principal %s does not exist.", body.Principal)
	case !slices.Contains([]string{"READ", "WRITE", "MANAGE"}, body.Permission):
		return badBrick("Permission %q is none of READ, WRITE and MANAGE.", body.Permission)
	}
	s.ACL[body.Principal] = body.Permission
	return ok(object{})
}

func (c *brickCall) deleteACL() answer {
	body, s, refused := c.scope()
	if refused != nil {
		return *refused
	}
	if s.ACL[body.Principal] == "" {
		return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "ACL for principal %s does not exist.", body.Principal)
	}
	delete(s.ACL, body.Principal)
	return ok(object{})
}
