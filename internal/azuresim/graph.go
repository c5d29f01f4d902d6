package azuresim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// graph is Microsoft Graph, version 1.0: applications, service principals, groups, users and what was deleted of them.
//
// A new object is not found for some seconds by whoever asks for it, though its names are taken at once: the replicas that
// answer are behind (learn.microsoft.com/graph/best-practices-concept and the retries of every tool that makes
// applications).
type graph struct {
	w      *world
	tenant string
}

// graphPath is a path of Microsoft Graph, taken apart.
type graphPath struct {
	collection string   // applications
	key        string   // id, or a value of an alternate key
	alternate  string   // name of the alternate key
	rest       []string // after the object
}

// parseGraphPath reads a path such as /v1.0/applications(uniqueName='a')/owners/$ref.
func parseGraphPath(path string) (graphPath, bool) {
	path, found := strings.CutPrefix(path, "/v1.0/")
	if !found {
		return graphPath{}, false
	}
	var p graphPath
	head := path
	if i := strings.IndexAny(path, "(/"); i >= 0 && path[i] == '(' {
		name, value, rest, good := parseGraphKey(path[i:])
		if !good {
			return p, false
		}
		p.collection, p.alternate, p.key = path[:i], name, value
		p.rest = splitPath(rest)
		return p, true
	}
	parts := splitPath(head)
	if len(parts) == 0 {
		return p, false
	}
	p.collection = parts[0]
	if len(parts) > 1 {
		p.key, p.rest = parts[1], parts[2:]
	}
	return p, true
}

func splitPath(s string) []string {
	return slices.DeleteFunc(strings.Split(s, "/"), func(part string) bool { return part == "" })
}

// parseGraphKey reads (name='value') and what follows; a quotation mark in the value is doubled.
func parseGraphKey(s string) (name, value, rest string, good bool) {
	name, s, good = strings.Cut(strings.TrimPrefix(s, "("), "='")
	if !good {
		return "", "", "", false
	}
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '\'')
		if i < 0 {
			return "", "", "", false
		}
		b.WriteString(s[:i])
		s = s[i+1:]
		if !strings.HasPrefix(s, "'") {
			break
		}
		b.WriteByte('\'')
		s = s[1:]
	}
	rest, good = strings.CutPrefix(s, ")")
	return name, b.String(), rest, good
}

func (g *graph) serve(c *call) answer {
	p, good := parseGraphPath(c.Path)
	if !good {
		return graphFail(http.StatusBadRequest, "BadRequest", "Resource not found for the segment '%s'.", strings.Trim(c.Path, "/"))
	}
	if refused := g.permit(c, p); refused != nil {
		return *refused
	}
	switch p.collection {
	case "applications":
		return g.applications(c, p)
	case "servicePrincipals":
		return g.servicePrincipals(c, p)
	case "groups":
		return g.groups(c, p)
	case "users":
		return g.users(c, p)
	case "me":
		return g.me(c)
	case "organization":
		return g.page(c, []object{{"id": g.tenant, "displayName": "FlowEHR simulation",
			"verifiedDomains": []any{object{"name": "simulated.example", "isDefault": true, "isInitial": true}}}})
	case "directoryObjects":
		return g.directoryObjects(c, p)
	case "directory":
		return g.deletedItems(c, p)
	case "oauth2PermissionGrants":
		return g.grants(c, p)
	}
	return g.unknown(c)
}

// unknown refuses what is not simulated, by its name.
func (g *graph) unknown(c *call) answer {
	return graphFail(http.StatusBadRequest, "BadRequest", "The simulated Microsoft Graph has no %s %s.", c.Method, c.Path)
}

// permit holds a caller to the permissions that the documentation names for the request
// (learn.microsoft.com/graph/permissions-reference). Whoever may write may read.
func (g *graph) permit(c *call, p graphPath) *answer {
	var write []string
	read := []string{"Directory.Read.All", "Directory.ReadWrite.All"}
	switch p.collection {
	case "applications":
		write = []string{"Application.ReadWrite.All", "Directory.ReadWrite.All"}
		if g.owns(c, p) {
			write = append(write, "Application.ReadWrite.OwnedBy")
		}
		read = append(read, "Application.Read.All", "Application.ReadWrite.OwnedBy")
	case "servicePrincipals":
		write = []string{"Application.ReadWrite.All", "Directory.ReadWrite.All"}
		if len(p.rest) > 0 && (p.rest[0] == "appRoleAssignments" || p.rest[0] == "appRoleAssignedTo") {
			write = []string{"AppRoleAssignment.ReadWrite.All"}
		} else if g.owns(c, p) {
			write = append(write, "Application.ReadWrite.OwnedBy")
		}
		read = append(read, "Application.Read.All", "Application.ReadWrite.OwnedBy")
	case "groups":
		write = []string{"Group.ReadWrite.All", "Directory.ReadWrite.All"}
		if len(p.rest) > 0 && p.rest[0] == "members" {
			write = append(write, "GroupMember.ReadWrite.All")
		}
		read = append(read, "Group.Read.All", "GroupMember.Read.All")
	case "directory", "directoryObjects":
		write = []string{"Application.ReadWrite.All", "Directory.ReadWrite.All", "Group.ReadWrite.All"}
		read = append(read, "Application.Read.All", "Group.Read.All")
	case "users":
		read = append(read, "User.Read.All")
	case "oauth2PermissionGrants":
		write = []string{"Directory.ReadWrite.All", "AppRoleAssignment.ReadWrite.All"}
	default:
		return nil
	}
	needed := write
	if c.Method == http.MethodGet || p.key == "getByIds" {
		needed = append(read, write...)
	}
	if slices.ContainsFunc(needed, func(role string) bool { return slices.Contains(c.Caller.Roles, role) }) {
		return nil
	}
	a := graphFail(http.StatusForbidden, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
	return &a
}

// owns reports whether the caller owns what is asked for, or makes something new.
func (g *graph) owns(c *call, p graphPath) bool {
	if p.key == "" {
		return true
	}
	if a := g.application(p); a != nil {
		return slices.Contains(a.Owners, c.Caller.ObjectID)
	}
	if sp := g.w.Directory.principal(p.key); sp != nil {
		return slices.Contains(sp.Owners, c.Caller.ObjectID)
	}
	return p.alternate != ""
}

func graphFail(status int, code, format string, args ...any) answer {
	return fail(status, code, format, args...)
}

// absent is what a replica answers that does not know an object.
func (g *graph) absent(id string) answer {
	return graphFail(http.StatusNotFound, "Request_ResourceNotFound",
		"Resource '%s' does not exist or one of its queried reference-property objects are not present.", id)
}

// seen reports whether the replicas know of what becomes visible at a time.
func (g *graph) seen(visible time.Time) bool { return !visible.After(g.w.now()) }

// body reads what a call tells, and refuses properties that the kind of object does not have.
func (g *graph) body(c *call, known []string) (object, *answer) {
	var body object
	if err := c.decode(&body); err != nil || body == nil {
		a := graphFail(http.StatusBadRequest, "Request_BadRequest", "Unable to read JSON request payload. Please ensure Content-Type header is set and payload is of valid JSON format.")
		return nil, &a
	}
	for name := range body {
		if !slices.Contains(known, name) {
			a := graphFail(http.StatusBadRequest, "Request_BadRequest", "Invalid property '%s'.", name)
			return nil, &a
		}
	}
	return body, nil
}

// reference reads the id out of a body with @odata.id.
func reference(c *call) (string, *answer) {
	var body struct {
		ID string `json:"@odata.id"`
	}
	err := c.decode(&body)
	id := body.ID[strings.LastIndexByte(body.ID, '/')+1:]
	if err != nil || !strings.HasPrefix(body.ID, "https://"+graphHost+"/v1.0/") || id == "" {
		a := graphFail(http.StatusBadRequest, "Request_BadRequest", "Invalid object reference '%s'.", body.ID)
		return "", &a
	}
	return id, nil
}

// references answers about a list of other objects: owners and members.
func (g *graph) references(c *call, rest []string, property string, list *[]string) answer {
	switch {
	case c.Method == http.MethodGet && len(rest) == 0:
		var out []object
		for _, id := range *list {
			if p := g.w.Directory.principal(id); p != nil {
				out = append(out, g.describe(p))
			}
		}
		return g.page(c, out)
	case c.Method == http.MethodPost && len(rest) == 1 && rest[0] == "$ref":
		id, refused := reference(c)
		if refused != nil {
			return *refused
		}
		p := g.w.Directory.principal(id)
		switch {
		case p == nil || !g.seen(p.Visible):
			return g.absent(id)
		case slices.Contains(*list, id):
			return graphFail(http.StatusBadRequest, "Request_BadRequest",
				"One or more added object references already exist for the following modified properties: '%s'.", property)
		}
		*list = append(*list, id)
		return reply(http.StatusNoContent, nil)
	case c.Method == http.MethodDelete && len(rest) == 2 && rest[1] == "$ref":
		i := slices.Index(*list, rest[0])
		if i < 0 {
			return g.absent(rest[0])
		}
		*list = slices.Delete(*list, i, i+1)
		return reply(http.StatusNoContent, nil)
	}
	return g.unknown(c)
}
