package azuresim

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// groupProperties are what a request may set on a group (learn.microsoft.com/graph/api/resources/group).
var groupProperties = []string{"displayName", "description", "uniqueName", "mailEnabled", "mailNickname", "securityEnabled", "groupTypes", "isAssignableToRole", "visibility",
	"owners@odata.bind", "members@odata.bind"}

// mailNickname is what the directory takes: no spaces and none of @ ( ) \ [ ] " ; : < > ,.
var mailNickname = regexp.MustCompile(`^[!#$%&'*+\-./0-9=?A-Z^_a-z{|}~` + "`" + `]{1,64}$`)

func (g *graph) group(p graphPath) *principal {
	if p.alternate == "" {
		if q := g.w.Directory.principal(p.key); q != nil && q.Kind == "Group" {
			return q
		}
		return nil
	}
	for _, q := range g.w.Directory.Principals {
		if q.Kind == "Group" && p.alternate == "uniqueName" && q.Unique == p.key {
			return q
		}
	}
	return nil
}

func (g *graph) groups(c *call, p graphPath) answer {
	if p.key == "" {
		switch c.Method {
		case http.MethodGet:
			return g.page(c, g.kind("Group"))
		case http.MethodPost:
			body, refused := g.body(c, groupProperties)
			if refused != nil {
				return *refused
			}
			unique, _ := body["uniqueName"].(string)
			return g.makeGroup(c, unique, body)
		}
		return g.unknown(c)
	}
	q := g.group(p)
	if c.Method == http.MethodPatch && len(p.rest) == 0 {
		return g.patchGroup(c, p, q)
	}
	switch {
	case q == nil || !g.seen(q.Visible):
		return g.absent(p.key)
	case len(p.rest) == 0 && c.Method == http.MethodGet:
		return ok(selected(c, g.describe(q)))
	case len(p.rest) == 0 && c.Method == http.MethodDelete:
		// Only Microsoft 365 groups are kept: a security group is gone at once
		// (learn.microsoft.com/graph/api/group-delete).
		g.w.Directory.remove(q.ID)
		return reply(http.StatusNoContent, nil)
	case len(p.rest) == 0:
		return g.unknown(c)
	case p.rest[0] == "owners":
		return g.references(c, p.rest[1:], "owners", &q.Owners)
	case p.rest[0] == "members":
		return g.references(c, p.rest[1:], "members", &q.Members)
	case p.rest[0] == "transitiveMembers" && c.Method == http.MethodGet:
		return g.transitive(c, q)
	case (p.rest[0] == "memberOf" || p.rest[0] == "transitiveMemberOf") && c.Method == http.MethodGet:
		return g.memberOf(c, q.ID, p.rest[0] == "transitiveMemberOf")
	}
	return g.unknown(c)
}

func (g *graph) patchGroup(c *call, p graphPath, q *principal) answer {
	body, refused := g.body(c, groupProperties)
	switch {
	case refused != nil:
		return *refused
	case q == nil && p.alternate == "uniqueName" && prefersCreation(c):
		return g.makeGroup(c, p.key, body)
	case q == nil || p.alternate == "" && !g.seen(q.Visible):
		return g.absent(p.key)
	}
	if name, told := body["uniqueName"]; told && name != q.Unique {
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Property 'uniqueName' is read-only and cannot be set.")
	}
	if a := g.bind(body, "members@odata.bind", &q.Members); a != nil {
		return *a
	}
	if a := g.bind(body, "owners@odata.bind", &q.Owners); a != nil {
		return *a
	}
	q.tell(body)
	return reply(http.StatusNoContent, nil)
}

// makeGroup makes a security group (learn.microsoft.com/graph/api/group-post-groups).
func (g *graph) makeGroup(c *call, unique string, body object) answer {
	for _, name := range []string{"displayName", "mailEnabled", "mailNickname", "securityEnabled"} {
		if v, told := body[name]; !told || v == "" {
			return graphFail(http.StatusBadRequest, "Request_BadRequest", "A value is required for property '%s' of resource 'Group'.", name)
		}
	}
	nickname, _ := body["mailNickname"].(string)
	switch {
	case body["mailEnabled"] != false || body["securityEnabled"] != true:
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "The simulation has security groups without mail only.")
	case !mailNickname.MatchString(nickname):
		return graphFail(http.StatusBadRequest, "Request_BadRequest", "Invalid value specified for property 'mailNickname' of resource 'Group'.")
	case unique != "" && g.group(graphPath{alternate: "uniqueName", key: unique}) != nil:
		return conflicting("uniqueName")
	}
	q := &principal{ID: g.w.newID(), Kind: "Group", Unique: unique}
	q.Visible = g.w.now().Add(lag(q.ID))
	if a := g.bind(body, "members@odata.bind", &q.Members); a != nil {
		return *a
	}
	if a := g.bind(body, "owners@odata.bind", &q.Owners); a != nil {
		return *a
	}
	if p := g.w.Directory.principal(c.Caller.ObjectID); p != nil && !slices.Contains(q.Owners, p.ID) {
		q.Owners = append(q.Owners, p.ID)
	}
	q.tell(body)
	g.w.Directory.addIdentity(q)
	return reply(http.StatusCreated, g.describe(q))
}

// bind adds the references that a body makes to a list.
func (g *graph) bind(body object, property string, list *[]string) *answer {
	for _, ref := range jsonTexts(body[property]) {
		id := ref[strings.LastIndexByte(ref, '/')+1:]
		p := g.w.Directory.principal(id)
		if p == nil || !g.seen(p.Visible) {
			a := g.absent(id)
			return &a
		}
		if slices.Contains(*list, id) {
			a := graphFail(http.StatusBadRequest, "Request_BadRequest", "One or more added object references already exist for the following modified properties: '%s'.",
				strings.TrimSuffix(property, "@odata.bind"))
			return &a
		}
		*list = append(*list, id)
	}
	return nil
}

func (g *graph) transitive(c *call, q *principal) answer {
	var out []object
	seen := map[string]bool{q.ID: true}
	for todo := slices.Clone(q.Members); len(todo) > 0; todo = todo[1:] {
		p := g.w.Directory.principal(todo[0])
		if p == nil || seen[p.ID] {
			continue
		}
		seen[p.ID] = true
		out = append(out, g.describe(p))
		todo = append(todo, p.Members...)
	}
	return g.page(c, out)
}
