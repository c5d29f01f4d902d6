package azure

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
)

// accountGroupMinder looks after groups of the Databricks account (docs.databricks.com/api/azure/account/accountgroups). It
// makes one that is to be made and leaves its members to whoever manages people.
//
// It never removes one, not even one that it made: the account is shared by all environments of an organisation, others may
// have given privileges to the same group by then, and its members are people's work.
type accountGroupMinder struct{ bricks }

// accountGroup is what is used of a group.
type accountGroup struct {
	ID          string   `json:"id,omitempty"`
	DisplayName string   `json:"displayName"`
	Schemas     []string `json:"schemas,omitempty"`
}

func accountGroupsPath(account string) string { return accountPath(account) + "/scim/v2/Groups" }

func accountGroupMade(id string) made {
	return made{id: id, outputs: map[string]string{azure.OutGroupID: id}}
}

// find looks a group up by its name, which is unique in an account whatever its case.
func (m accountGroupMinder) find(ctx context.Context, s azure.AccountGroupSpec) (accountGroup, bool, error) {
	var page struct {
		Resources []accountGroup `json:"Resources"`
	}
	query := url.Values{"filter": {"displayName eq " + scimText(s.Name)}, "attributes": {"id,displayName"}}
	err := m.account(ctx, http.MethodGet, accountGroupsPath(s.Account)+"?"+query.Encode(), nil, &page)
	for _, g := range page.Resources {
		if strings.EqualFold(g.DisplayName, s.Name) {
			return g, true, err
		}
	}
	return accountGroup{}, false, err
}

// scimText is a value of a filter, which is written as in JSON (RFC 7644, section 3.4.2.2).
func scimText(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`
}

func (m accountGroupMinder) ensure(ctx context.Context, s azure.AccountGroupSpec, _ task) (made, error) {
	g, found, err := m.find(ctx, s)
	switch {
	case err != nil:
		return made{}, err
	case found:
		return accountGroupMade(g.ID), nil
	case !s.Make:
		return made{}, fmt.Errorf("the Databricks account %s has no group %q, or who deploys may not see it: an administrator of the account makes it at "+
			"https://accounts.azuredatabricks.net, under User management, Groups", s.Account, s.Name)
	}
	body := accountGroup{DisplayName: s.Name, Schemas: []string{"urn:ietf:params:scim:schemas:core:2.0:Group"}}
	if err := ignoring(exists, m.account(ctx, http.MethodPost, accountGroupsPath(s.Account), body, nil)); err != nil {
		return made{}, err
	}
	if g, found, err = m.find(ctx, s); err != nil || !found {
		return made{}, cmpErr(err, fmt.Errorf("group %s was made in the Databricks account and cannot be found there", s.Name))
	}
	return accountGroupMade(g.ID), nil
}

func (m accountGroupMinder) read(ctx context.Context, s azure.AccountGroupSpec, _ string) (azure.AccountGroupSpec, made, error) {
	g, found, err := m.find(ctx, s)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("group %s of the Databricks account", s.Name))
	}
	return s, accountGroupMade(g.ID), nil
}

func (m accountGroupMinder) remove(context.Context, azure.AccountGroupSpec, string) error { return nil }
