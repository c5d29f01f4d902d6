package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

func (t *Target) databricksKeepers() map[string]keeper {
	c := t.o.Client
	b := bricks{c}
	s := secrets{vaults{c: c, patience: accessLimit}}
	return map[string]keeper{
		azure.KindWorkspace:        keep(workspaceMinder{b}),
		azure.KindPrincipal:        keep(principalMinder{b}),
		azure.KindScope:            keep(scopeMinder{b}),
		azure.KindScopeSecret:      keep(scopeSecretMinder{b, s}),
		azure.KindFile:             keep(fileMinder{b, t.o.Files}),
		azure.KindCluster:          keep(clusterMinder{b}),
		azure.KindMetastore:        keep(metastoreMinder{b}),
		azure.KindMetastoreUse:     keep(metastoreUseMinder{b}),
		azure.KindAccountGroup:     keep(accountGroupMinder{b}),
		azure.KindCredential:       keep(credentialMinder{b}),
		azure.KindExternalLocation: keep(locationMinder{b}),
		azure.KindCatalog:          keep(catalogMinder{b}),
		azure.KindSchema:           keep(schemaMinder{b}),
		azure.KindPrivileges:       keep(privilegesMinder{b}),
	}
}

// bricks is the API of Databricks workspaces and of the account (docs.databricks.com/api/azure/workspace).
type bricks struct{ c *cloud.Client }

func (b bricks) get(ctx context.Context, workspace azure.Value, path string, into any) error {
	return b.c.Get(ctx, cloud.Databricks(text(workspace)), path, into)
}

func (b bricks) post(ctx context.Context, workspace azure.Value, path string, body, into any) error {
	return b.c.Call(ctx, cloud.Databricks(text(workspace)), http.MethodPost, path, body, into)
}

func (b bricks) call(ctx context.Context, workspace azure.Value, method, path string, body, into any) error {
	return b.c.Call(ctx, cloud.Databricks(text(workspace)), method, path, body, into)
}

// exists recognises the ways in which Databricks says that something has been made already.
func exists(err error) bool {
	code := errorCode(err)
	return code == "RESOURCE_ALREADY_EXISTS" || code == "ALREADY_EXISTS" || cloud.Status(err) == http.StatusConflict
}

// missing recognises the ways in which Databricks says that something does not exist. Some of its services answer with
// 400 where others answer with 404.
func missing(err error) bool {
	switch errorCode(err) {
	case "RESOURCE_DOES_NOT_EXIST", "DOES_NOT_EXIST", "NOT_FOUND", "CATALOG_DOES_NOT_EXIST", "SCHEMA_DOES_NOT_EXIST",
		"STORAGE_CREDENTIAL_DOES_NOT_EXIST", "EXTERNAL_LOCATION_DOES_NOT_EXIST", "METASTORE_DOES_NOT_EXIST":
		return true
	}
	return cloud.NotFound(err)
}

func errorCode(err error) string {
	if e, ok := errors.AsType[*cloud.Error](err); ok {
		return e.Code
	}
	return ""
}

// ignoring returns nil for an error that is meant.
func ignoring(meant func(error) bool, err error) error {
	if err != nil && meant(err) {
		return nil
	}
	return err
}

const (
	workspacePause = 10 * time.Second
	workspaceLimit = 20 * time.Minute
)

// workspaceMinder waits until a workspace that Azure calls ready answers, which takes some minutes more. It makes and
// removes nothing: the workspace belongs to a stack.
type workspaceMinder struct{ bricks }

func (m workspaceMinder) ensure(ctx context.Context, s azure.WorkspaceSpec, t task) (made, error) {
	var last error
	err := until(ctx, m.c, "wait until the Databricks workspace answers", workspacePause, workspaceLimit, func() (bool, error) {
		if last = m.get(ctx, s.URL, sparkVersionsPath, nil); last == nil {
			return true, nil
		}
		if !starting(last) {
			return false, last
		}
		t.in.Note("workspace made, waiting until it answers")
		return false, nil
	})
	if err != nil {
		return made{}, errors.Join(err, last)
	}
	return m.made(ctx, s)
}

// starting recognises the answers of a workspace that is being set up: it does not know its users yet, or its address is
// not served.
func starting(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	switch e.Status {
	case 0, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests, http.StatusBadRequest:
		return true
	}
	return e.Status >= 500
}

// made asks Azure for the number of the workspace.
func (m workspaceMinder) made(ctx context.Context, s azure.WorkspaceSpec) (made, error) {
	var w struct {
		Properties struct {
			WorkspaceID string `json:"workspaceId"`
		} `json:"properties"`
	}
	err := m.c.Get(ctx, cloud.ARM(), versioned(s.Resource, "Microsoft.Databricks/workspaces"), &w)
	if err != nil {
		return made{}, err
	}
	return made{id: s.Resource, outputs: map[string]string{azure.OutURL: text(s.URL), azure.OutWorkspaceID: w.Properties.WorkspaceID}}, nil
}

func (m workspaceMinder) read(ctx context.Context, s azure.WorkspaceSpec, _ string) (azure.WorkspaceSpec, made, error) {
	out, err := m.made(ctx, s)
	if cloud.NotFound(err) {
		return s, made{}, gone("workspace %s", s.Resource)
	}
	return s, out, err
}

func (m workspaceMinder) remove(context.Context, azure.WorkspaceSpec, string) error { return nil }

// principalMinder makes a service principal known to the workspace (SCIM, docs.databricks.com/api/azure/workspace/serviceprincipals).
type principalMinder struct{ bricks }

const scim = "/api/2.0/preview/scim/v2"

type scimPrincipal struct {
	ID          string `json:"id,omitempty"`
	Application string `json:"applicationId"`
	DisplayName string `json:"displayName"`
	Groups      []struct {
		Display string `json:"display"`
		Value   string `json:"value"`
	} `json:"groups,omitempty"`
}

func (p scimPrincipal) admin() bool {
	for _, g := range p.Groups {
		if g.Display == adminsGroup {
			return true
		}
	}
	return false
}

// adminsGroup is the group of a workspace whose members administer it.
const adminsGroup = "admins"

func (m principalMinder) find(ctx context.Context, s azure.PrincipalSpec) (scimPrincipal, bool, error) {
	var page struct {
		Resources []scimPrincipal `json:"Resources"`
	}
	query := url.Values{"filter": {fmt.Sprintf("applicationId eq %q", text(s.Application))}}
	err := m.get(ctx, s.Workspace, scim+"/ServicePrincipals?"+query.Encode(), &page)
	for _, p := range page.Resources {
		if p.Application == text(s.Application) {
			return p, true, err
		}
	}
	return scimPrincipal{}, false, err
}

func (m principalMinder) ensure(ctx context.Context, s azure.PrincipalSpec, _ task) (made, error) {
	p, found, err := m.find(ctx, s)
	if err != nil {
		return made{}, err
	}
	if !found {
		body := map[string]any{"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"},
			"applicationId": text(s.Application), "displayName": s.DisplayName}
		err := m.post(ctx, s.Workspace, scim+"/ServicePrincipals", body, &p)
		if err != nil && !exists(err) {
			return made{}, err
		}
		if p, found, err = m.find(ctx, s); err != nil || !found {
			return made{}, cmpErr(err, fmt.Errorf("service principal %s was made in Databricks and cannot be found there", s.DisplayName))
		}
	}
	if p.DisplayName != s.DisplayName {
		change := scimPatch(map[string]any{"op": "replace", "path": "displayName", "value": s.DisplayName})
		if err := m.call(ctx, s.Workspace, http.MethodPatch, scim+"/ServicePrincipals/"+p.ID, change, nil); err != nil {
			return made{}, err
		}
	}
	if p.admin() != s.Admin {
		err = m.administer(ctx, s, p)
	}
	return made{id: p.ID}, err
}

func scimPatch(operations ...any) map[string]any {
	return map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:PatchOp"}, "Operations": operations}
}

// administer puts the principal into the workspace's group of administrators or takes it out.
func (m principalMinder) administer(ctx context.Context, s azure.PrincipalSpec, p scimPrincipal) error {
	var page struct {
		Resources []struct {
			ID          string `json:"id"`
			DisplayName string `json:"displayName"`
		} `json:"Resources"`
	}
	query := url.Values{"filter": {fmt.Sprintf("displayName eq %q", adminsGroup)}}
	if err := m.get(ctx, s.Workspace, scim+"/Groups?"+query.Encode(), &page); err != nil {
		return err
	}
	for _, g := range page.Resources {
		if g.DisplayName != adminsGroup {
			continue
		}
		op := map[string]any{"op": "remove", "path": fmt.Sprintf("members[value eq %q]", p.ID)}
		if s.Admin {
			op = map[string]any{"op": "add", "path": "members", "value": []map[string]string{{"value": p.ID}}}
		}
		return m.call(ctx, s.Workspace, http.MethodPatch, scim+"/Groups/"+g.ID, scimPatch(op), nil)
	}
	return fmt.Errorf("workspace %s has no group %s", text(s.Workspace), adminsGroup)
}

func (m principalMinder) read(ctx context.Context, s azure.PrincipalSpec, _ string) (azure.PrincipalSpec, made, error) {
	p, found, err := m.find(ctx, s)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("service principal %s in Databricks", s.DisplayName))
	}
	s.DisplayName, s.Admin = p.DisplayName, p.admin()
	return s, made{id: p.ID}, nil
}

func (m principalMinder) remove(ctx context.Context, s azure.PrincipalSpec, _ string) error {
	p, found, err := m.find(ctx, s)
	if err != nil || !found {
		return err
	}
	return ignoring(missing, m.call(ctx, s.Workspace, http.MethodDelete, scim+"/ServicePrincipals/"+p.ID, nil, nil))
}
