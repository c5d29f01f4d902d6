package azure

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Paths of Unity Catalog in a workspace and in the account (docs.databricks.com/api/azure/workspace and /account).
const catalogPath = "/api/2.1/unity-catalog/"

func accountPath(account string) string { return "/api/2.0/accounts/" + url.PathEscape(account) }

func (b bricks) account(ctx context.Context, method, path string, body, into any) error {
	return b.c.Call(ctx, cloud.DatabricksAccount(), method, path, body, into)
}

// metastoreMinder looks after the metastore of a region, of which an account may have one. One that is only used is looked
// up and never changed or removed.
type metastoreMinder struct{ bricks }

type metastore struct {
	ID             string `json:"metastore_id,omitempty"`
	Name           string `json:"name"`
	Region         string `json:"region,omitempty"`
	StorageRoot    string `json:"storage_root,omitempty"`
	RootCredential string `json:"storage_root_credential_id,omitempty"`
}

func metastoreMade(id string) made {
	return made{id: id, outputs: map[string]string{azure.OutMetastoreID: id}}
}

func (m metastoreMinder) find(ctx context.Context, s azure.MetastoreSpec) (metastore, bool, error) {
	var list struct {
		Metastores []metastore `json:"metastores"`
	}
	err := m.account(ctx, http.MethodGet, accountPath(s.Account)+"/metastores", nil, &list)
	for _, one := range list.Metastores {
		if s.Name != "" && one.Name == s.Name || s.Name == "" && one.ID == s.ID {
			return one, true, err
		}
	}
	return metastore{}, false, err
}

func (m metastoreMinder) ensure(ctx context.Context, s azure.MetastoreSpec, _ task) (made, error) {
	have, found, err := m.find(ctx, s)
	if err != nil {
		return made{}, err
	}
	if s.Name == "" {
		if !found {
			return made{}, fmt.Errorf("account %s has no metastore %s, or who deploys may not see it", s.Account, s.ID)
		}
		return metastoreMade(have.ID), nil
	}
	if !found {
		body := map[string]any{"metastore_info": metastore{Name: s.Name, Region: s.Region, StorageRoot: s.StorageRoot}}
		if err := m.account(ctx, http.MethodPost, accountPath(s.Account)+"/metastores", body, nil); err != nil {
			return made{}, err
		}
		if have, found, err = m.find(ctx, s); err != nil || !found {
			return made{}, cmpErr(err, fmt.Errorf("metastore %s was made and cannot be found", s.Name))
		}
	}
	if strings.TrimSuffix(have.StorageRoot, "/") != "" && !sameRoot(have, s) {
		return made{}, fmt.Errorf("metastore %s keeps its tables in %s, which cannot be changed to %s", s.Name, have.StorageRoot, s.StorageRoot)
	}
	if s.Connector != "" && have.RootCredential == "" {
		err = m.giveCredential(ctx, s, have)
	}
	return metastoreMade(have.ID), err
}

// sameRoot compares where tables are kept. Databricks adds the metastore's id to the address that it was given.
func sameRoot(have metastore, s azure.MetastoreSpec) bool {
	return s.StorageRoot == "" || strings.HasPrefix(strings.TrimSuffix(have.StorageRoot, "/")+"/", strings.TrimSuffix(s.StorageRoot, "/")+"/")
}

// giveCredential lets the metastore reach its storage through the access connector.
func (m metastoreMinder) giveCredential(ctx context.Context, s azure.MetastoreSpec, have metastore) error {
	path := accountPath(s.Account) + "/metastores/" + have.ID
	name := s.Name + "-root"
	body := map[string]any{"credential_info": map[string]any{"name": name, "azure_managed_identity": map[string]string{"access_connector_id": s.Connector}}}
	if err := ignoring(exists, m.account(ctx, http.MethodPost, path+"/storage-credentials", body, nil)); err != nil {
		return err
	}
	var made struct {
		Info struct {
			ID string `json:"id"`
		} `json:"credential_info"`
	}
	if err := m.account(ctx, http.MethodGet, path+"/storage-credentials/"+url.PathEscape(name), nil, &made); err != nil {
		return err
	}
	change := map[string]any{"metastore_info": map[string]string{"storage_root_credential_id": made.Info.ID}}
	return m.account(ctx, http.MethodPut, path, change, nil)
}

func (m metastoreMinder) read(ctx context.Context, s azure.MetastoreSpec, _ string) (azure.MetastoreSpec, made, error) {
	have, found, err := m.find(ctx, s)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("metastore %s", s.Name+s.ID))
	}
	if s.Name != "" && !sameRoot(have, s) {
		s.StorageRoot = have.StorageRoot
	}
	if s.Connector != "" && have.RootCredential == "" {
		s.Connector = ""
	}
	return s, metastoreMade(have.ID), nil
}

func (m metastoreMinder) remove(ctx context.Context, s azure.MetastoreSpec, _ string) error {
	if s.Name == "" {
		return nil
	}
	have, found, err := m.find(ctx, s)
	if err != nil || !found {
		return err
	}
	return ignoring(missing, m.account(ctx, http.MethodDelete, accountPath(s.Account)+"/metastores/"+have.ID+"?force=true", nil, nil))
}

// metastoreUseMinder assigns a metastore to a workspace.
type metastoreUseMinder struct{ bricks }

func (m metastoreUseMinder) path(s azure.MetastoreUseSpec) string {
	return accountPath(s.Account) + "/workspaces/" + url.PathEscape(text(s.Workspace))
}

func (m metastoreUseMinder) now(ctx context.Context, s azure.MetastoreUseSpec) (string, error) {
	var out struct {
		Assignment struct {
			Metastore string `json:"metastore_id"`
		} `json:"metastore_assignment"`
	}
	err := m.account(ctx, http.MethodGet, m.path(s)+"/metastore", nil, &out)
	return out.Assignment.Metastore, ignoring(missing, err)
}

func metastoreUseMade(s azure.MetastoreUseSpec) made { return made{id: text(s.Workspace)} }

// ensure: making an assignment overwrites another one.
func (m metastoreUseMinder) ensure(ctx context.Context, s azure.MetastoreUseSpec, _ task) (made, error) {
	have, err := m.now(ctx, s)
	if err != nil || have == text(s.Metastore) {
		return metastoreUseMade(s), err
	}
	method := http.MethodPost
	if have != "" {
		method = http.MethodPut
	}
	body := map[string]any{"metastore_assignment": map[string]string{"metastore_id": text(s.Metastore)}}
	return metastoreUseMade(s), m.account(ctx, method, m.path(s)+"/metastores/"+text(s.Metastore), body, nil)
}

func (m metastoreUseMinder) read(ctx context.Context, s azure.MetastoreUseSpec, _ string) (azure.MetastoreUseSpec, made, error) {
	have, err := m.now(ctx, s)
	if err != nil || have == "" {
		return s, made{}, cmpErr(err, gone("metastore of workspace %s", text(s.Workspace)))
	}
	s.Metastore = azure.Lit(have)
	return s, metastoreUseMade(s), nil
}

func (m metastoreUseMinder) remove(ctx context.Context, s azure.MetastoreUseSpec, _ string) error {
	have, err := m.now(ctx, s)
	if err != nil || have != text(s.Metastore) {
		return err
	}
	return ignoring(missing, m.account(ctx, http.MethodDelete, m.path(s)+"/metastores/"+have, nil, nil))
}

// securable is what is used of an object of Unity Catalog that is found by its name.
type securable struct {
	Name        string `json:"name,omitempty"`
	Catalog     string `json:"catalog_name,omitempty"`
	StorageRoot string `json:"storage_root,omitempty"`
	URL         string `json:"url,omitempty"`
	Credential  string `json:"credential_name,omitempty"`
	Identity    *struct {
		Connector string `json:"access_connector_id"`
	} `json:"azure_managed_identity,omitempty"`
}

// makeSecurable makes an object of Unity Catalog unless it stands, and returns it as it stands.
func (b bricks) makeSecurable(ctx context.Context, workspace azure.Value, collection, name string, body any) (securable, error) {
	have, found, err := b.findSecurable(ctx, workspace, collection, name)
	if err != nil || found {
		return have, err
	}
	if err := ignoring(exists, b.post(ctx, workspace, catalogPath+collection, body, nil)); err != nil {
		return have, err
	}
	have, found, err = b.findSecurable(ctx, workspace, collection, name)
	if err == nil && !found {
		err = fmt.Errorf("%s of %s was made and cannot be found", name, collection)
	}
	return have, err
}

func (b bricks) findSecurable(ctx context.Context, workspace azure.Value, collection, name string) (securable, bool, error) {
	var have securable
	err := b.get(ctx, workspace, catalogPath+collection+"/"+url.PathEscape(name), &have)
	if err != nil {
		return have, false, ignoring(missing, err)
	}
	return have, true, nil
}

func (b bricks) changeSecurable(ctx context.Context, workspace azure.Value, collection, name string, body any) error {
	return b.call(ctx, workspace, http.MethodPatch, catalogPath+collection+"/"+url.PathEscape(name), body, nil)
}

func (b bricks) dropSecurable(ctx context.Context, workspace azure.Value, collection, name string) error {
	return ignoring(missing, b.call(ctx, workspace, http.MethodDelete, catalogPath+collection+"/"+url.PathEscape(name)+"?force=true", nil, nil))
}
