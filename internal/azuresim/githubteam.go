package azuresim

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// gitTeam is a team of an organisation.
type gitTeam struct {
	ID          int64             `json:"id"`
	Org         string            `json:"org"`
	Name        string            `json:"name"`
	Slug        string            `json:"slug"`
	Description string            `json:"description"`
	Privacy     string            `json:"privacy"`
	Members     map[string]string `json:"members"` // role by login
}

func (g *gitHub) teamRoutes(add func(method, path string, do func(*gitCall) answer)) {
	add("GET", "/orgs/{org}/teams", (*gitCall).listTeams)
	add("POST", "/orgs/{org}/teams", (*gitCall).createTeam)
	add("GET", "/orgs/{org}/teams/{slug}", withTeam((*gitCall).getTeam))
	add("PATCH", "/orgs/{org}/teams/{slug}", withTeam((*gitCall).editTeam))
	add("DELETE", "/orgs/{org}/teams/{slug}", withTeam((*gitCall).deleteTeam))
	add("GET", "/orgs/{org}/teams/{slug}/members", withTeam((*gitCall).listMembers))
	add("GET", "/orgs/{org}/teams/{slug}/invitations", withTeam((*gitCall).listInvited))
	add("GET", "/orgs/{org}/teams/{slug}/memberships/{user}", withTeam((*gitCall).getMembership))
	add("PUT", "/orgs/{org}/teams/{slug}/memberships/{user}", withTeam((*gitCall).putMembership))
	add("DELETE", "/orgs/{org}/teams/{slug}/memberships/{user}", withTeam((*gitCall).dropMembership))
	add("GET", "/orgs/{org}/teams/{slug}/repos/{owner}/{repo}", withTeam((*gitCall).getTeamRepo))
	add("PUT", "/orgs/{org}/teams/{slug}/repos/{owner}/{repo}", withTeam((*gitCall).putTeamRepo))
	add("DELETE", "/orgs/{org}/teams/{slug}/repos/{owner}/{repo}", withTeam((*gitCall).dropTeamRepo))
	add("GET", "/repos/{owner}/{repo}/collaborators/{user}/permission", (*gitCall).collaborator)
}

// withTeam finds the team that a call is about.
func withTeam(f func(*gitCall, *gitTeam) answer) func(*gitCall) answer {
	return func(c *gitCall) answer {
		t := c.g.w.GitHub.Teams[strings.ToLower(c.part["org"]+"/"+c.part["slug"])]
		if t == nil {
			return gitMissing()
		}
		return f(c, t)
	}
}

func (t *gitTeam) describe() object {
	return object{"id": t.ID, "name": t.Name, "slug": t.Slug, "description": t.Description, "privacy": t.Privacy, "permission": "pull",
		"html_url": "https://github.com/orgs/" + t.Org + "/teams/" + t.Slug}
}

func (c *gitCall) listTeams() answer {
	out := []object{}
	teams := c.g.w.GitHub.Teams
	for _, k := range slices.Sorted(maps.Keys(teams)) {
		if strings.EqualFold(teams[k].Org, c.part["org"]) {
			out = append(out, teams[k].describe())
		}
	}
	return c.list(out)
}

// notInSlug is what a team's name loses in its address.
var notInSlug = regexp.MustCompile(`[^a-z0-9_]+`)

func slugOf(name string) string {
	return strings.Trim(notInSlug.ReplaceAllString(strings.ToLower(name), "-"), "-")
}

func (c *gitCall) createTeam() answer {
	b := c.body()
	name := textAt(b, "name")
	t := &gitTeam{Org: c.part["org"], Name: name, Slug: slugOf(name), Description: textAt(b, "description"), Privacy: textAt(b, "privacy"), Members: map[string]string{}}
	k := strings.ToLower(t.Org + "/" + t.Slug)
	switch {
	case t.Slug == "":
		return gitFail(http.StatusUnprocessableEntity, "Invalid request. \"name\" wasn't supplied.")
	case c.g.w.GitHub.Teams[k] != nil:
		return gitFail(http.StatusUnprocessableEntity, "Validation Failed: Name must be unique for this org")
	}
	t.ID = c.g.id()
	c.g.w.GitHub.Teams[k] = t
	return reply(http.StatusCreated, t.describe())
}

func (c *gitCall) getTeam(t *gitTeam) answer { return ok(t.describe()) }

func (c *gitCall) editTeam(t *gitTeam) answer {
	b := c.body()
	if v, told := b["description"].(string); told {
		t.Description = v
	}
	if v := textAt(b, "name"); v != "" && slugOf(v) != t.Slug {
		return gitFail(http.StatusUnprocessableEntity, "The simulation does not rename teams.")
	}
	return ok(t.describe())
}

func (c *gitCall) deleteTeam(t *gitTeam) answer {
	delete(c.g.w.GitHub.Teams, strings.ToLower(t.Org+"/"+t.Slug))
	for _, r := range c.g.w.GitHub.Repos {
		delete(r.Teams, t.Slug)
	}
	return reply(http.StatusNoContent, nil)
}

// listMembers lists members; with a role, those that have it.
func (c *gitCall) listMembers(t *gitTeam) answer {
	out := []object{}
	for _, login := range slices.Sorted(maps.Keys(t.Members)) {
		if role := c.Query.Get("role"); role == "" || role == "all" || role == t.Members[login] {
			out = append(out, object{"login": login, "type": "User"})
		}
	}
	return c.list(out)
}

// listInvited: people of the simulation are members of every organisation, so nobody has to accept an invitation.
func (c *gitCall) listInvited(*gitTeam) answer { return c.list(nil) }

func (c *gitCall) login(t *gitTeam) string {
	for login := range t.Members {
		if strings.EqualFold(login, c.part["user"]) {
			return login
		}
	}
	return c.part["user"]
}

func (c *gitCall) getMembership(t *gitTeam) answer {
	login := c.login(t)
	if t.Members[login] == "" {
		return gitMissing()
	}
	return ok(object{"role": t.Members[login], "state": "active"})
}

func (c *gitCall) putMembership(t *gitTeam) answer {
	role := textAt(c.body(), "role")
	if role == "" {
		role = "member"
	}
	if role != "member" && role != "maintainer" {
		return gitFail(http.StatusUnprocessableEntity, "role must be member or maintainer")
	}
	t.Members[c.login(t)] = role
	return ok(object{"role": role, "state": "active"})
}

func (c *gitCall) dropMembership(t *gitTeam) answer {
	login := c.login(t)
	if t.Members[login] == "" {
		return gitMissing()
	}
	delete(t.Members, login)
	return reply(http.StatusNoContent, nil)
}

// gitPermissions from the least.
var gitPermissions = []string{"pull", "triage", "push", "maintain", "admin"}

func (c *gitCall) getTeamRepo(t *gitTeam) answer {
	if c.repo == nil || c.repo.Teams[t.Slug] == "" {
		return gitMissing()
	}
	have := slices.Index(gitPermissions, c.repo.Teams[t.Slug])
	permissions := object{}
	for i, p := range gitPermissions {
		permissions[p] = i <= have
	}
	out := c.repo.describe()
	out["permissions"], out["role_name"] = permissions, c.repo.Teams[t.Slug]
	return ok(out)
}

func (c *gitCall) putTeamRepo(t *gitTeam) answer {
	permission := textAt(c.body(), "permission")
	if permission == "" {
		permission = "push"
	}
	switch {
	case c.repo == nil:
		return gitMissing()
	case !slices.Contains(gitPermissions, permission):
		return gitFail(http.StatusUnprocessableEntity, "%s is not a permission", permission)
	}
	c.repo.Teams[t.Slug] = permission
	return reply(http.StatusNoContent, nil)
}

func (c *gitCall) dropTeamRepo(t *gitTeam) answer {
	if c.repo != nil {
		delete(c.repo.Teams, t.Slug)
	}
	return reply(http.StatusNoContent, nil)
}

// collaborator tells what somebody may do by the teams that she is in; others may read.
func (c *gitCall) collaborator() answer {
	best := 0
	for slug, permission := range c.repo.Teams {
		t := c.g.w.GitHub.Teams[strings.ToLower(c.repo.Owner+"/"+slug)]
		if t != nil && t.Members[c.login(t)] != "" {
			best = max(best, slices.Index(gitPermissions, permission))
		}
	}
	old := []string{"read", "read", "write", "write", "admin"}[best]
	return ok(object{"permission": old, "role_name": gitPermissions[best], "user": object{"login": c.part["user"]}})
}
