package github

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

func slug(name string) string { return strings.ReplaceAll(strings.ToLower(name), " ", "-") }

func (h *hub) team(w http.ResponseWriter, r *http.Request) (string, *team) {
	for name, t := range h.teams {
		if slug(name) == r.PathValue("s") {
			return name, t
		}
	}
	answer(w, http.StatusNotFound, message("Not Found"))
	return "", nil
}

func describeTeam(name string, t *team) map[string]any {
	return map[string]any{"id": t.id, "name": name, "slug": slug(name), "description": t.description}
}

// listTeams answers one team a page, so that the client has to turn pages.
func (h *hub) listTeams(w http.ResponseWriter, r *http.Request) {
	var names []string
	for name := range h.teams {
		names = append(names, name)
	}
	slices.Sort(names)
	page := 1
	fmt.Sscan(r.URL.Query().Get("page"), &page)
	if page < len(names) {
		w.Header().Set("Link", fmt.Sprintf(`<https://api.github.com/orgs/trust/teams?page=%d>; rel="next"`, page+1))
	}
	out := []any{}
	if page <= len(names) {
		out = append(out, describeTeam(names[page-1], h.teams[names[page-1]]))
	}
	answer(w, http.StatusOK, out)
}

func (h *hub) createTeam(w http.ResponseWriter, r *http.Request) {
	b := body(r)
	name := b["name"].(string)
	if h.teams[name] != nil {
		answer(w, http.StatusUnprocessableEntity, message("Name must be unique for this org"))
		return
	}
	h.teams[name] = &team{id: int64(100 + len(h.teams)), description: b["description"].(string), members: map[string]string{}, invited: map[string]string{}, repos: map[string]string{}}
	answer(w, http.StatusCreated, describeTeam(name, h.teams[name]))
}

func (h *hub) editTeam(w http.ResponseWriter, r *http.Request) {
	if name, t := h.team(w, r); t != nil {
		t.description = body(r)["description"].(string)
		answer(w, http.StatusOK, describeTeam(name, t))
	}
}

func (h *hub) deleteTeam(w http.ResponseWriter, r *http.Request) {
	if name, t := h.team(w, r); t != nil {
		delete(h.teams, name)
		w.WriteHeader(http.StatusNoContent)
	}
}

func people(all map[string]string, role string) []any {
	out := []any{}
	for name, has := range all {
		if role == "" || has == role {
			out = append(out, map[string]string{"login": name})
		}
	}
	return out
}

func (h *hub) listMembers(w http.ResponseWriter, r *http.Request) {
	if _, t := h.team(w, r); t != nil {
		answer(w, http.StatusOK, people(t.members, r.URL.Query().Get("role")))
	}
}

func (h *hub) listInvited(w http.ResponseWriter, r *http.Request) {
	if _, t := h.team(w, r); t != nil {
		answer(w, http.StatusOK, people(t.invited, ""))
	}
}

func (h *hub) getMember(w http.ResponseWriter, r *http.Request) {
	if _, t := h.team(w, r); t != nil {
		answer(w, http.StatusOK, map[string]string{"role": t.invited[r.PathValue("u")], "state": "pending"})
	}
}

// putMember takes people whose name begins with "new" for those who are not in the organisation yet.
func (h *hub) putMember(w http.ResponseWriter, r *http.Request) {
	_, t := h.team(w, r)
	if t == nil {
		return
	}
	user, role := r.PathValue("u"), body(r)["role"].(string)
	if strings.HasPrefix(user, "new") {
		t.invited[user] = role
	} else {
		t.members[user] = role
	}
	answer(w, http.StatusOK, map[string]string{"role": role})
}

func (h *hub) dropMember(w http.ResponseWriter, r *http.Request) {
	if _, t := h.team(w, r); t != nil {
		for _, all := range []map[string]string{t.members, t.invited} {
			for name := range all {
				if strings.EqualFold(name, r.PathValue("u")) {
					delete(all, name)
				}
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (h *hub) getTeamRepo(w http.ResponseWriter, r *http.Request) {
	_, t := h.team(w, r)
	if t == nil {
		return
	}
	permission := t.repos[r.PathValue("r")]
	if permission == "" {
		answer(w, http.StatusNotFound, message("Not Found"))
		return
	}
	answer(w, http.StatusOK, map[string]any{"name": r.PathValue("r"), "permissions": map[string]bool{"pull": true, "push": permission != "pull",
		"maintain": permission == "maintain"}})
}

func (h *hub) putTeamRepo(w http.ResponseWriter, r *http.Request) {
	if _, t := h.team(w, r); t != nil {
		t.repos[r.PathValue("r")] = body(r)["permission"].(string)
		w.WriteHeader(http.StatusNoContent)
	}
}
