package azure

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Collections of Unity Catalog.
const (
	credentials = "storage-credentials"
	locations   = "external-locations"
	catalogs    = "catalogs"
	schemas     = "schemas"
)

// credentialMinder looks after the storage credential that stands for an access connector.
type credentialMinder struct{ bricks }

func identityOf(connector string) map[string]any {
	return map[string]any{"access_connector_id": connector}
}

func (m credentialMinder) ensure(ctx context.Context, s azure.CredentialSpec, _ task) (made, error) {
	body := map[string]any{"name": s.Name, "azure_managed_identity": identityOf(s.Connector)}
	have, err := m.makeSecurable(ctx, s.Workspace, credentials, s.Name, body)
	if err == nil && connectorOf(have) != strings.ToLower(s.Connector) {
		change := map[string]any{"azure_managed_identity": identityOf(s.Connector)}
		err = m.changeSecurable(ctx, s.Workspace, credentials, s.Name, change)
	}
	return made{id: s.Name}, err
}

// connectorOf is in lower case: resource ids are the same in any.
func connectorOf(have securable) string {
	if have.Identity == nil {
		return ""
	}
	return strings.ToLower(have.Identity.Connector)
}

func (m credentialMinder) read(ctx context.Context, s azure.CredentialSpec, _ string) (azure.CredentialSpec, made, error) {
	have, found, err := m.findSecurable(ctx, s.Workspace, credentials, s.Name)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("storage credential %s", s.Name))
	}
	if connectorOf(have) != strings.ToLower(s.Connector) {
		s.Connector = connectorOf(have)
	}
	return s, made{id: s.Name}, nil
}

func (m credentialMinder) remove(ctx context.Context, s azure.CredentialSpec, _ string) error {
	return m.dropSecurable(ctx, s.Workspace, credentials, s.Name)
}

// locationMinder looks after external locations.
type locationMinder struct{ bricks }

// ensure: Databricks tries the location out, and the connector's role on the storage takes some minutes to work.
func (m locationMinder) ensure(ctx context.Context, s azure.ExternalLocationSpec, t task) (made, error) {
	var last error
	err := until(ctx, m.c, "wait until the storage credential may use "+s.URL, accessPause, accessLimit, func() (bool, error) {
		last = m.point(ctx, s)
		if cloud.Status(last) == http.StatusForbidden {
			t.in.Note("waiting for the connector's role on the storage")
			return false, nil
		}
		return last == nil, last
	})
	if cloud.Status(last) == http.StatusForbidden {
		err = errors.Join(err, last)
	}
	return made{id: s.Name}, err
}

// point makes the location, or has it point where it should.
func (m locationMinder) point(ctx context.Context, s azure.ExternalLocationSpec) error {
	have, err := m.makeSecurable(ctx, s.Workspace, locations, s.Name, securable{Name: s.Name, URL: s.URL, Credential: s.Credential})
	if err != nil || sameAddress(have.URL, s.URL) && have.Credential == s.Credential {
		return err
	}
	return m.changeSecurable(ctx, s.Workspace, locations, s.Name, securable{URL: s.URL, Credential: s.Credential})
}

func sameAddress(a, b string) bool { return strings.TrimSuffix(a, "/") == strings.TrimSuffix(b, "/") }

func (m locationMinder) read(ctx context.Context, s azure.ExternalLocationSpec, _ string) (azure.ExternalLocationSpec, made, error) {
	have, found, err := m.findSecurable(ctx, s.Workspace, locations, s.Name)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("external location %s", s.Name))
	}
	s.Credential = have.Credential
	if !sameAddress(have.URL, s.URL) {
		s.URL = have.URL
	}
	return s, made{id: s.Name}, nil
}

func (m locationMinder) remove(ctx context.Context, s azure.ExternalLocationSpec, _ string) error {
	return m.dropSecurable(ctx, s.Workspace, locations, s.Name)
}

// catalogMinder looks after catalogues. Removing one removes what is in it: the plan said so.
type catalogMinder struct{ bricks }

func (m catalogMinder) ensure(ctx context.Context, s azure.CatalogSpec, _ task) (made, error) {
	have, err := m.makeSecurable(ctx, s.Workspace, catalogs, s.Name, securable{Name: s.Name, StorageRoot: s.StorageRoot})
	if err == nil && s.StorageRoot != "" && !sameAddress(have.StorageRoot, s.StorageRoot) {
		err = fmt.Errorf("catalogue %s keeps its tables in %s, which cannot be changed to %s", s.Name, have.StorageRoot, s.StorageRoot)
	}
	return made{id: s.Name}, err
}

func (m catalogMinder) read(ctx context.Context, s azure.CatalogSpec, _ string) (azure.CatalogSpec, made, error) {
	have, found, err := m.findSecurable(ctx, s.Workspace, catalogs, s.Name)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("catalogue %s", s.Name))
	}
	if s.StorageRoot != "" && !sameAddress(have.StorageRoot, s.StorageRoot) {
		s.StorageRoot = have.StorageRoot
	}
	return s, made{id: s.Name}, nil
}

func (m catalogMinder) remove(ctx context.Context, s azure.CatalogSpec, _ string) error {
	return m.dropSecurable(ctx, s.Workspace, catalogs, s.Name)
}

// schemaMinder looks after schemas of a catalogue.
type schemaMinder struct{ bricks }

func schemaName(s azure.SchemaSpec) string { return s.Catalog + "." + s.Name }

func (m schemaMinder) ensure(ctx context.Context, s azure.SchemaSpec, _ task) (made, error) {
	_, err := m.makeSecurable(ctx, s.Workspace, schemas, schemaName(s), securable{Name: s.Name, Catalog: s.Catalog})
	return made{id: schemaName(s)}, err
}

func (m schemaMinder) read(ctx context.Context, s azure.SchemaSpec, _ string) (azure.SchemaSpec, made, error) {
	_, found, err := m.findSecurable(ctx, s.Workspace, schemas, schemaName(s))
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("schema %s", schemaName(s)))
	}
	return s, made{id: schemaName(s)}, nil
}

func (m schemaMinder) remove(ctx context.Context, s azure.SchemaSpec, _ string) error {
	return m.dropSecurable(ctx, s.Workspace, schemas, schemaName(s))
}

// privilegesMinder makes what one principal may do with one object exactly what is described. Others are left alone.
type privilegesMinder struct{ bricks }

func (m privilegesMinder) path(s azure.PrivilegesSpec) string {
	return catalogPath + "permissions/" + url.PathEscape(s.Securable) + "/" + url.PathEscape(s.Name)
}

func privilegesMade(s azure.PrivilegesSpec) made {
	return made{id: s.Securable + "/" + s.Name + "/" + text(s.Principal)}
}

func (m privilegesMinder) now(ctx context.Context, s azure.PrivilegesSpec) ([]string, error) {
	var list struct {
		Assignments []struct {
			Principal  string   `json:"principal"`
			Privileges []string `json:"privileges"`
		} `json:"privilege_assignments"`
	}
	err := m.get(ctx, s.Workspace, m.path(s)+"?principal="+url.QueryEscape(text(s.Principal)), &list)
	for _, a := range list.Assignments {
		if a.Principal == text(s.Principal) {
			return canonical(a.Privileges), err
		}
	}
	return nil, ignoring(missing, err)
}

func (m privilegesMinder) change(ctx context.Context, s azure.PrivilegesSpec, add, drop []string) error {
	if len(add)+len(drop) == 0 {
		return nil
	}
	change := map[string]any{"principal": text(s.Principal)}
	if len(add) > 0 {
		change["add"] = add
	}
	if len(drop) > 0 {
		change["remove"] = drop
	}
	return m.call(ctx, s.Workspace, http.MethodPatch, m.path(s), map[string]any{"changes": []any{change}}, nil)
}

func (m privilegesMinder) ensure(ctx context.Context, s azure.PrivilegesSpec, _ task) (made, error) {
	have, err := m.now(ctx, s)
	if err != nil {
		return made{}, err
	}
	return privilegesMade(s), m.change(ctx, s, difference(canonical(s.Privileges), have), difference(have, canonical(s.Privileges)))
}

// canonical writes privileges as the API does: people write USE CATALOG for USE_CATALOG.
func canonical(privileges []string) []string {
	out := make([]string, len(privileges))
	for i, p := range privileges {
		out[i] = strings.ReplaceAll(strings.ToUpper(strings.TrimSpace(p)), " ", "_")
	}
	return out
}

func (m privilegesMinder) read(ctx context.Context, s azure.PrivilegesSpec, _ string) (azure.PrivilegesSpec, made, error) {
	have, err := m.now(ctx, s)
	if err != nil || len(have) == 0 {
		return s, made{}, cmpErr(err, gone("privileges of %s on %s", text(s.Principal), s.Name))
	}
	if !sameSet(canonical(s.Privileges), have) {
		s.Privileges = sorted(have)
	}
	return s, privilegesMade(s), nil
}

func (m privilegesMinder) remove(ctx context.Context, s azure.PrivilegesSpec, _ string) error {
	have, err := m.now(ctx, s)
	if err != nil {
		return err
	}
	return ignoring(missing, m.change(ctx, s, nil, have))
}
