package azuresim_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// workspace makes a workspace that does not answer yet.
func (a *azure) workspace() plane {
	a.t.Helper()
	a.must("PUT", a.group("g"), object{"location": "uksouth"})
	a.resource("Microsoft.Databricks/workspaces/dbks", object{"location": "uksouth", "sku": object{"name": "premium"},
		"properties": object{"managedResourceGroupId": "/subscriptions/" + a.sub + "/resourceGroups/rg-managed"}})
	return plane{a.t, a.deployer(), cloud.Databricks(a.workspaceURL())}
}

func (a *azure) workspaceURL() string {
	a.t.Helper()
	_, ws, _ := a.do("GET", a.id("g", "Microsoft.Databricks/workspaces/dbks")+"?api-version=2025-01-01", nil)
	return "https://" + at(ws, "properties", "workspaceUrl").(string)
}

func (a *azure) warmWorkspace() plane {
	a.t.Helper()
	p := a.workspace()
	p.wait(3 * time.Minute)
	return p
}

func TestDatabricksIsNotReadyAtOnce(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 41})
	p := a.workspace()
	begin := a.now()
	statuses := map[int]bool{}
	for a.now().Sub(begin) < 10*time.Minute {
		err := p.call("GET", "/api/2.0/clusters/spark-versions", nil, nil)
		if err == nil {
			break
		}
		statuses[cloud.Status(err)] = true
		p.wait(5 * time.Second)
	}
	if took := a.now().Sub(begin); took < 30*time.Second || took > 4*time.Minute {
		t.Errorf("it answered after %v of virtual time", took)
	}
	if len(statuses) < 2 {
		t.Errorf("on the way it answered only %v", statuses)
	}
}

func clusterBody(more object) object {
	body := object{"cluster_name": "c", "spark_version": "13.3.x-scala2.12", "node_type_id": "Standard_DS3_v2", "num_workers": 1, "autotermination_minutes": 30}
	for k, v := range more {
		body[k] = v
	}
	return body
}

func TestDatabricksClusterPassesItsStates(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 42})
	p := a.warmWorkspace()
	p.refused(400, "INVALID_PARAMETER_VALUE", "POST", "/api/2.1/clusters/create", clusterBody(object{"spark_version": "1.0"}))
	p.refused(400, "MALFORMED_REQUEST", "POST", "/api/2.1/clusters/create", clusterBody(object{"workers": 1}))
	id := p.ok("POST", "/api/2.1/clusters/create", clusterBody(nil))["cluster_id"].(string)
	me := object{"cluster_id": id}
	state := func(want string) {
		t.Helper()
		if got := p.ok("GET", "/api/2.1/clusters/get?cluster_id="+id, nil); got["state"] != want {
			t.Fatalf("state %v, want %s", got["state"], want)
		}
	}
	state("PENDING")
	p.refused(400, "INVALID_STATE", "POST", "/api/2.1/clusters/edit", clusterBody(me))
	p.wait(5 * time.Minute)
	state("RUNNING")
	p.ok("POST", "/api/2.0/libraries/install", object{"cluster_id": id, "libraries": []object{{"pypi": object{"package": "delta"}}, {"jar": "dbfs:/none.jar"}}})
	status := func() map[string]string {
		out := map[string]string{}
		for _, v := range p.ok("GET", "/api/2.0/libraries/cluster-status?cluster_id="+id, nil)["library_statuses"].([]any) {
			for kind := range v.(object)["library"].(object) {
				out[kind] = v.(object)["status"].(string)
			}
		}
		return out
	}
	if got := status(); got["pypi"] != "INSTALLING" {
		t.Errorf("at once: %v", got)
	}
	p.wait(time.Minute)
	if got := status(); got["pypi"] != "INSTALLED" || got["jar"] != "FAILED" {
		t.Errorf("later: %v", got)
	}
	p.ok("POST", "/api/2.0/libraries/uninstall", object{"cluster_id": id, "libraries": []object{{"pypi": object{"package": "delta"}}}})
	p.ok("POST", "/api/2.1/clusters/restart", me)
	state("RESTARTING")
	p.wait(5 * time.Minute)
	if got := status(); got["pypi"] != "" {
		t.Errorf("after a restart: %v", got)
	}
	p.wait(time.Hour)
	state("TERMINATED")
	p.ok("POST", "/api/2.1/clusters/pin", me)
	p.refused(400, "INVALID_STATE", "POST", "/api/2.1/clusters/permanent-delete", me)
	p.ok("POST", "/api/2.1/clusters/unpin", me)
	p.ok("POST", "/api/2.1/clusters/permanent-delete", me)
	p.refused(400, "RESOURCE_DOES_NOT_EXIST", "GET", "/api/2.1/clusters/get?cluster_id="+id, nil)
}

func TestDatabricksClusterEndsForAReason(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 43})
	p := a.warmWorkspace()
	reason := func(body object) object {
		t.Helper()
		id := p.ok("POST", "/api/2.1/clusters/create", body)["cluster_id"].(string)
		p.wait(10 * time.Minute)
		got := p.ok("GET", "/api/2.1/clusters/get?cluster_id="+id, nil)
		if got["state"] != "TERMINATED" {
			t.Fatalf("state %v", got["state"])
		}
		return got["termination_reason"].(object)
	}
	if got := reason(clusterBody(object{"spark_conf": object{"spark.secret.x": "{{secrets/none/x}}"}})); got["code"] != "INVALID_ARGUMENT" {
		t.Errorf("missing secret: %v", got)
	}
	if got := reason(clusterBody(object{"init_scripts": []object{{"dbfs": object{"destination": "dbfs:/none.sh"}}}})); got["code"] != "INIT_SCRIPT_FAILURE" {
		t.Errorf("script in DBFS: %v", got)
	}
	script := clusterBody(object{"init_scripts": []object{{"workspace": object{"destination": "/init/a.sh"}}}})
	if got := reason(script); got["code"] != "INIT_SCRIPT_FAILURE" {
		t.Errorf("missing script: %v", got)
	}
	p.ok("POST", "/api/2.0/workspace/mkdirs", object{"path": "/init"})
	p.ok("POST", "/api/2.0/workspace/import", object{"path": "/init/a.sh", "format": "AUTO", "content": ""})
	if got := reason(clusterBody(object{"init_scripts": script["init_scripts"], "spark_conf": object{"spark.secret.x": "{{secrets/none/x}}"}})); got["code"] != "INVALID_ARGUMENT" {
		t.Errorf("script of the workspace: %v", got)
	}
	a.faults(azuresim.Faults{Rules: []azuresim.FaultRule{{Method: "POST", Path: "clusters/create", Fault: azuresim.FaultOperation, Code: "CLOUD_PROVIDER_LAUNCH_FAILURE", Message: "no machine"}}})
	if got := reason(clusterBody(nil)); got["code"] != "CLOUD_PROVIDER_LAUNCH_FAILURE" || got["type"] != "CLOUD_FAILURE" {
		t.Errorf("on demand: %v", got)
	}
}

func TestDatabricksSecretsAndFiles(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 44})
	clientID, _, _, secret := a.application("reader")
	p := a.warmWorkspace()
	as := plane{t, a.client(clientID, secret), p.service}
	as.refused(403, "PERMISSION_DENIED", "GET", "/api/2.0/secrets/scopes/list", nil)
	p.ok("POST", "/api/2.0/preview/scim/v2/ServicePrincipals", object{"applicationId": clientID, "displayName": "reader"})
	as.ok("GET", "/api/2.0/secrets/scopes/list", nil)
	as.refused(403, "PERMISSION_DENIED", "POST", "/api/2.0/secrets/scopes/create", object{"scope": "s"})

	p.ok("POST", "/api/2.0/secrets/scopes/create", object{"scope": "s"})
	p.refused(400, "RESOURCE_ALREADY_EXISTS", "POST", "/api/2.0/secrets/scopes/create", object{"scope": "s"})
	p.ok("POST", "/api/2.0/secrets/put", object{"scope": "s", "key": "k", "string_value": "v"})
	p.ok("POST", "/api/2.0/secrets/acls/put", object{"scope": "s", "principal": clientID, "permission": "READ"})
	p.refused(404, "RESOURCE_DOES_NOT_EXIST", "POST", "/api/2.0/secrets/acls/put", object{"scope": "s", "principal": "nobody", "permission": "READ"})
	if list := p.ok("GET", "/api/2.0/secrets/list?scope=s", nil)["secrets"].([]any); len(list) != 1 || list[0].(object)["value"] != nil {
		t.Errorf("list of secrets: %v", list)
	}

	handle := p.ok("POST", "/api/2.0/dbfs/create", object{"path": "/pipelines/a/main.py", "overwrite": true})["handle"]
	for _, part := range []string{"print(", "1)"} {
		p.ok("POST", "/api/2.0/dbfs/add-block", object{"handle": handle, "data": base64.StdEncoding.EncodeToString([]byte(part))})
	}
	p.refused(404, "RESOURCE_DOES_NOT_EXIST", "GET", "/api/2.0/dbfs/get-status?path=/pipelines/a/main.py", nil)
	p.ok("POST", "/api/2.0/dbfs/close", object{"handle": handle})
	read := p.ok("GET", "/api/2.0/dbfs/read?path=/pipelines/a/main.py&offset=1&length=100", nil)
	if data, err := base64.StdEncoding.DecodeString(read["data"].(string)); err != nil || string(data) != "rint(1)" {
		t.Errorf("read %q, %v", data, err)
	}
	p.refused(400, "IO_ERROR", "POST", "/api/2.0/dbfs/delete", object{"path": "/pipelines"})
	p.ok("POST", "/api/2.0/dbfs/delete", object{"path": "/pipelines", "recursive": true})
	p.refused(404, "RESOURCE_DOES_NOT_EXIST", "GET", "/api/2.0/dbfs/list?path=/pipelines", nil)
}

func TestDatabricksWorkspaceObjects(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 46})
	p := a.warmWorkspace()
	const ws = "/api/2.0/workspace/"
	put := func(path, content string, overwrite bool) object {
		return object{"path": path, "format": "AUTO", "overwrite": overwrite, "content": base64.StdEncoding.EncodeToString([]byte(content))}
	}
	p.refused(404, "RESOURCE_DOES_NOT_EXIST", "POST", ws+"import", put("/a/b/s.sh", "1", false))
	p.ok("POST", ws+"mkdirs", object{"path": "/a/b"})
	p.ok("POST", ws+"mkdirs", object{"path": "/a/b"})
	p.ok("POST", ws+"import", put("/a/b/s.sh", "1", false))
	p.refused(400, "RESOURCE_ALREADY_EXISTS", "POST", ws+"import", put("/a/b/s.sh", "2", false))
	p.refused(400, "RESOURCE_ALREADY_EXISTS", "POST", ws+"mkdirs", object{"path": "/a/b/s.sh/c"})
	p.refused(400, "INVALID_PARAMETER_VALUE", "POST", ws+"import", put("/a/../s.sh", "2", false))
	p.ok("POST", ws+"import", put("/a/b/s.sh", "two", true))
	p.ok("POST", ws+"import", put("/Shared/n.py", "# Databricks notebook source\n", false))
	for path, kind := range map[string]string{"/a": "DIRECTORY", "/a/b/s.sh": "FILE", "/Workspace/a/b/s.sh": "FILE", "/Shared/n": "NOTEBOOK", "/": "DIRECTORY"} {
		if got := p.ok("GET", ws+"get-status?path="+path, nil); got["object_type"] != kind {
			t.Errorf("%s is %v, want a %s", path, got, kind)
		}
	}
	p.refused(404, "RESOURCE_DOES_NOT_EXIST", "GET", ws+"get-status?path=/Shared/n.py", nil)
	if got := p.ok("GET", ws+"export?path=/a/b/s.sh&format=AUTO", nil); got["content"] != base64.StdEncoding.EncodeToString([]byte("two")) {
		t.Errorf("exported %v", got)
	}
	if got := p.ok("GET", ws+"list?path=/a", nil)["objects"].([]any); len(got) != 1 || got[0].(object)["path"] != "/a/b" {
		t.Errorf("list of /a: %v", got)
	}
	p.refused(400, "DIRECTORY_NOT_EMPTY", "POST", ws+"delete", object{"path": "/a"})
	p.ok("POST", ws+"delete", object{"path": "/a", "recursive": true})
	p.refused(404, "RESOURCE_DOES_NOT_EXIST", "GET", ws+"export?path=/a/b/s.sh&format=AUTO", nil)
	p.refused(404, "RESOURCE_DOES_NOT_EXIST", "POST", ws+"delete", object{"path": "/a"})
}

// Runtimes from 15.1 install libraries from the workspace's file system only when they are told to.
func TestDatabricksLibrariesOfNewRuntimes(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 47})
	p := a.warmWorkspace()
	p.ok("POST", "/api/2.0/dbfs/put", object{"path": "/jars/a.jar", "contents": ""})
	for _, c := range []struct {
		runtime, conf, want string
	}{
		{"14.3.x-scala2.12", "", "INSTALLED"},
		{"15.4.x-scala2.12", "", "FAILED"},
		{"15.4.x-scala2.12", "true", "INSTALLED"},
		{"16.4.x-scala2.12", "false", "FAILED"},
	} {
		id := p.ok("POST", "/api/2.1/clusters/create", clusterBody(object{"spark_version": c.runtime,
			"spark_conf": object{"spark.databricks.driver.dbfsLibraryInstallationAllowed": c.conf}}))["cluster_id"].(string)
		p.wait(5 * time.Minute)
		p.ok("POST", "/api/2.0/libraries/install", object{"cluster_id": id, "libraries": []object{{"jar": "dbfs:/jars/a.jar"}}})
		p.wait(time.Minute)
		list := p.ok("GET", "/api/2.0/libraries/cluster-status?cluster_id="+id, nil)["library_statuses"].([]any)
		if len(list) != 1 || list[0].(object)["status"] != c.want {
			t.Errorf("%s with %q: %v, want %s", c.runtime, c.conf, list, c.want)
		}
	}
}

// A job of a pipeline runs a file that must stand in the workspace.
func TestFactoryJobNeedsItsFile(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 49})
	bricks := a.warmWorkspace()
	service := object{"type": "LinkedServiceReference", "referenceName": "spark"}
	job := activity("job", "DatabricksSparkPython", nil, object{"pythonFile": "dbfs:/pipelines/p/generated/job.py"})
	job["linkedServiceName"] = service
	p, factory := a.factory(map[string]object{"p": {"activities": []object{job}}})
	a.resource("Microsoft.DataFactory/factories/adf/linkedservices/spark", object{"properties": object{"type": "AzureDatabricks", "typeProperties": object{
		"domain": a.workspaceURL(), "authentication": "MSI"}}})
	if got, all := run(p, factory, "p", 10*time.Minute); got["status"] != "Failed" || !strings.Contains(at(all["job"], "error", "message").(string), "Cannot read the python file") {
		t.Errorf("without the file: %v %v", got["status"], all["job"])
	}
	bricks.ok("POST", "/api/2.0/dbfs/put", object{"path": "/pipelines/p/generated/job.py", "contents": ""})
	if got, all := run(p, factory, "p", 10*time.Minute); got["status"] != "Succeeded" {
		t.Errorf("with the file: %v %v", got["status"], all["job"])
	}
}

func TestDatabricksAccountGroups(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 48})
	account := plane{t, a.deployer(), cloud.DatabricksAccount()}
	const groups = "/api/2.0/accounts/99999999-0000-4000-8000-000000000000/scim/v2/Groups"
	find := func(name string) []any {
		list, _ := account.ok("GET", groups+"?filter="+url.QueryEscape(`displayName eq "`+name+`"`), nil)["Resources"].([]any)
		return list
	}
	if got := find("admins"); len(got) != 0 {
		t.Errorf("at first: %v", got)
	}
	id := account.ok("POST", groups, object{"displayName": "Admins", "members": []object{{"value": "7"}}})["id"].(string)
	if err := account.call("POST", groups, object{"displayName": "admins"}, nil); cloud.Status(err) != 409 {
		t.Errorf("again: %v", err)
	}
	if got := find("admins"); len(got) != 1 || got[0].(object)["id"] != id || got[0].(object)["members"] != nil {
		t.Errorf("list: %v", got)
	}
	if got := account.ok("GET", groups+"/"+id, nil); len(got["members"].([]any)) != 1 {
		t.Errorf("one: %v", got)
	}
	other := "/api/2.0/accounts/88888888-0000-4000-8000-000000000000/scim/v2/Groups/"
	if err := account.call("GET", other+id, nil, nil); cloud.Status(err) != 404 {
		t.Errorf("from another account: %v", err)
	}
	account.ok("DELETE", groups+"/"+id, nil)
	if got := find("Admins"); len(got) != 0 {
		t.Errorf("in the end: %v", got)
	}
}

func TestUnityCatalog(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 45})
	p := a.warmWorkspace()
	a.storage()
	a.resource("Microsoft.Databricks/accessConnectors/connector", object{"location": "uksouth", "identity": object{"type": "SystemAssigned"}, "properties": object{}})
	a.resource("Microsoft.Storage/storageAccounts/strgtest/blobServices/default", object{"properties": object{}})
	a.resource("Microsoft.Storage/storageAccounts/strgtest/blobServices/default/containers/bronze", object{"properties": object{}})
	connector := a.id("g", "Microsoft.Databricks/accessConnectors/connector")
	const uc = "/api/2.1/unity-catalog/"
	p.refused(404, "METASTORE_DOES_NOT_EXIST", "GET", uc+"catalogs", nil)

	account := plane{t, p.c, cloud.DatabricksAccount()}
	const root = "/api/2.0/accounts/99999999-0000-4000-8000-000000000000"
	made := account.ok("POST", root+"/metastores", object{"metastore_info": object{"name": "m", "region": "uksouth", "storage_root": "abfss://x@y.dfs.core.windows.net/"}})
	id := at(made, "metastore_info", "metastore_id").(string)
	account.refused(400, "QUOTA_EXCEEDED", "POST", root+"/metastores", object{"metastore_info": object{"name": "n", "region": "uksouth"}})
	_, ws, _ := a.do("GET", a.id("g", "Microsoft.Databricks/workspaces/dbks")+"?api-version=2025-01-01", nil)
	number := at(ws, "properties", "workspaceId").(string)
	account.ok("PUT", root+"/workspaces/"+number+"/metastores/"+id, object{"metastore_assignment": object{"metastore_id": id}})
	if got := account.ok("GET", root+"/workspaces/"+number+"/metastore", nil); at(got, "metastore_assignment", "metastore_id") != id {
		t.Errorf("assignment: %v", got)
	}

	p.ok("POST", uc+"storage-credentials", object{"name": "cred", "azure_managed_identity": object{"access_connector_id": connector}})
	location := object{"name": "bronze", "url": "abfss://bronze@strgtest.dfs.core.windows.net/", "credential_name": "cred"}
	p.refused(403, "PERMISSION_DENIED", "POST", uc+"external-locations", location)
	_, c, _ := a.do("GET", connector+"?api-version=2025-01-01", nil)
	a.role(a.id("g", "Microsoft.Storage/storageAccounts/strgtest"), roleBlobContributor, at(c, "identity", "principalId").(string))
	p.ok("POST", uc+"external-locations", location)
	p.refused(400, "EXTERNAL_LOCATION_ALREADY_EXISTS", "POST", uc+"external-locations", location)
	p.ok("POST", uc+"catalogs", object{"name": "cat", "storage_root": "abfss://bronze@strgtest.dfs.core.windows.net/cat"})
	p.ok("POST", uc+"schemas", object{"name": "sch", "catalog_name": "cat"})
	const admins = "catalogue admins"
	groupGrant := object{"changes": []object{{"principal": admins, "add": []string{"USE_SCHEMA"}}}}
	p.refused(404, "PRINCIPAL_DOES_NOT_EXIST", "PATCH", uc+"permissions/schema/cat.sch", groupGrant)
	account.ok("POST", root+"/scim/v2/Groups", object{"displayName": admins})
	p.ok("PATCH", uc+"permissions/schema/cat.sch", groupGrant)
	p.ok("PATCH", uc+"permissions/schema/cat.sch", object{"changes": []object{{"principal": admins, "remove": []string{"USE_SCHEMA"}}}})
	grant := func(add, remove []string) object {
		return object{"changes": []object{{"principal": "account users", "add": add, "remove": remove}}}
	}
	p.ok("PATCH", uc+"permissions/schema/cat.sch", grant([]string{"USE_SCHEMA", "SELECT"}, nil))
	got := p.ok("PATCH", uc+"permissions/schema/cat.sch", grant(nil, []string{"SELECT"}))
	if p := got["privilege_assignments"].([]any); len(p) != 1 || len(p[0].(object)["privileges"].([]any)) != 1 {
		t.Errorf("privileges: %v", got)
	}
	p.refused(400, "INVALID_PARAMETER_VALUE", "PATCH", uc+"permissions/schema/cat.sch", grant([]string{"USE_CATALOG"}, nil))
	p.refused(400, "INVALID_STATE", "DELETE", uc+"catalogs/cat", nil)
	p.ok("DELETE", uc+"catalogs/cat?force=true", nil)
	p.refused(404, "SCHEMA_DOES_NOT_EXIST", "GET", uc+"schemas/cat.sch", nil)
}
