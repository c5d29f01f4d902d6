package azuresim

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// accountGroup is a group of an account.
type accountGroup struct {
	ID      string   `json:"id"`
	Account string   `json:"account"`
	Name    string   `json:"name"`
	Members []string `json:"members,omitempty"` // ids
}

// group finds a group of an account by its name, whose case does not matter.
func (d *databricks) group(account, name string) *accountGroup {
	for _, g := range d.w.Databricks.Groups {
		if g.Account == account && strings.EqualFold(g.Name, name) {
			return g
		}
	}
	return nil
}

func (g *accountGroup) describe(members bool) object {
	out := object{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}, "id": g.ID, "displayName": g.Name}
	if members {
		list := []object{}
		for _, m := range g.Members {
			list = append(list, object{"value": m})
		}
		out["members"] = list
	}
	return out
}

// accountGroups answers about groups of an account (docs.databricks.com/api/azure/account/accountgroups). A list of them does
// not tell members, as it has not since August 2025.
func (d *databricks) accountGroups(c *call, account string, path []string) answer {
	all := &d.w.Databricks.Groups
	switch {
	case len(path) == 0 && c.Method == http.MethodGet:
		name, value, good := scimFilter(c)
		if !good || name != "" && name != "displayName" {
			return scimFail(http.StatusBadRequest, "The simulation filters by displayName eq only.")
		}
		var out []object
		for _, id := range slices.Sorted(maps.Keys(*all)) {
			if g := (*all)[id]; g.Account == account && (name == "" || strings.EqualFold(g.Name, value)) {
				out = append(out, g.describe(false))
			}
		}
		return scimList(out)
	case len(path) == 0 && c.Method == http.MethodPost:
		var body struct {
			DisplayName string
			Members     []struct{ Value string }
		}
		switch err := c.decode(&body); {
		case err != nil || body.DisplayName == "":
			return scimFail(http.StatusBadRequest, "displayName is required.")
		case d.group(account, body.DisplayName) != nil:
			return scimFail(http.StatusConflict, "Group with name %s already exists.", body.DisplayName)
		}
		if *all == nil {
			*all = map[string]*accountGroup{}
		}
		g := &accountGroup{ID: strconv.Itoa(200000000000000 + 6151*len(*all)), Account: account, Name: body.DisplayName}
		for (*all)[g.ID] != nil { // one before it was deleted
			g.ID += "7"
		}
		for _, m := range body.Members {
			g.Members = append(g.Members, m.Value)
		}
		(*all)[g.ID] = g
		return reply(http.StatusCreated, g.describe(true))
	case len(path) != 1 || (*all)[path[0]] == nil || (*all)[path[0]].Account != account:
		return scimFail(http.StatusNotFound, "Group not found.")
	}
	switch c.Method {
	case http.MethodGet:
		return ok((*all)[path[0]].describe(true))
	case http.MethodDelete:
		delete(*all, path[0])
		return reply(http.StatusNoContent, nil)
	}
	return scimFail(http.StatusMethodNotAllowed, "The simulation does not change groups of an account.")
}
