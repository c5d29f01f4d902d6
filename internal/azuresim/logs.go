package azuresim

import (
	"net/http"
	"strings"
	"time"
)

// logs answers queries of Log Analytics and the log stream of web apps. No app runs, so there is one line, which says so.
type logs struct {
	w *world
	m *manager
}

const logsHost = "api.loganalytics.io"

func newLogs(s *Sim) {
	l := &logs{s.w, s.manager}
	s.host(logsHost, l.query, "https://api.loganalytics.io")
	s.host("*.scm.azurewebsites.net", l.scm, "https://management.azure.com", "https://management.core.windows.net")
}

// simulatedApp is the one line of every app's log.
const simulatedApp = "SIMULATED: this app was deployed to a simulation and does not run"

// query answers a query (learn.microsoft.com/azure/azure-monitor/logs/api/request-format) over the tables of app logs.
func (l *logs) query(c *call) answer {
	path := splitPath(c.Path)
	if len(path) != 4 || path[0] != "v1" || path[1] != "workspaces" || path[3] != "query" || c.Method != http.MethodPost {
		return fail(http.StatusNotFound, "PathNotFoundError", "The simulated Log Analytics has no %s %s.", c.Method, c.Path)
	}
	var body struct{ Query string }
	if err := c.decode(&body); err != nil || strings.TrimSpace(body.Query) == "" {
		return fail(http.StatusBadRequest, "BadArgumentError", "The request had some invalid properties: query is required.")
	}
	workspace := l.workspace(path[2])
	switch {
	case workspace == nil:
		return fail(http.StatusNotFound, "WorkspaceNotFoundError", "The workspace %s could not be found.", path[2])
	case !l.m.allowed(c.Caller.ObjectID, typeLogs+"/query/read", workspace.ID):
		return fail(http.StatusForbidden, "InsufficientAccessError", "The provided credentials have insufficient access to perform the requested operation.")
	}
	table, _, _ := strings.Cut(strings.TrimSpace(body.Query), "|")
	table = strings.TrimSpace(table)
	if !strings.HasPrefix(table, "AppService") {
		return fail(http.StatusBadRequest, "BadArgumentError", "The simulated workspace has the tables of web apps only, not %q.", table)
	}
	column := func(name, typ string) object { return object{"name": name, "type": typ} }
	rows := [][]any{}
	for _, site := range l.m.all(func(r *resource) bool { return strings.EqualFold(r.Type, typeSite) }) {
		if strings.Contains(strings.ToLower(body.Query), strings.ToLower(site.Name)) {
			rows = append(rows, []any{site.Made.UTC().Format(time.RFC3339), simulatedApp, key(site.ID)})
		}
	}
	return ok(object{"tables": []object{{"name": "PrimaryResult", "rows": rows,
		"columns": []object{column("TimeGenerated", "datetime"), column("ResultDescription", "string"), column("_ResourceId", "string")}}}})
}

func (l *logs) workspace(customer string) *resource {
	for _, r := range l.m.w.Manager.Resources {
		if strings.EqualFold(r.Type, typeLogs) && strings.EqualFold(textAt(r.Body, "properties", "customerId"), customer) {
			return r
		}
	}
	return nil
}

// scm answers the log of the containers of an app (github.com/projectkudu/kudu/wiki/REST-API).
func (l *logs) scm(c *call) answer {
	name, _, _ := strings.Cut(c.Host, ".")
	for _, site := range l.m.all(func(r *resource) bool {
		return strings.EqualFold(r.Type, typeSite) || strings.EqualFold(r.Type, typeSite+"/slots")
	}) {
		host, _, _ := strings.Cut(textAt(site.Body, "properties", "defaultHostName"), ".")
		if !strings.EqualFold(host, name) {
			continue
		}
		switch {
		case !l.m.allowed(c.Caller.ObjectID, site.Type+"/publish/action", site.ID):
			return fail(http.StatusForbidden, "Forbidden", "The caller may not read the logs of %s.", site.Name)
		case c.Method == http.MethodGet && (c.Path == "/api/logstream" || c.Path == "/api/logs/docker"):
			return raw(http.StatusOK, "text/plain", []byte(stamp(site.Made)+" "+simulatedApp+"\n"))
		}
		return fail(http.StatusNotFound, "NotFound", "The simulated app has no %s %s.", c.Method, c.Path)
	}
	return drop()
}
