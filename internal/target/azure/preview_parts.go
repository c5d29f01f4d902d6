package azure

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// partsOfWhatIf turns what Azure says into parts, in the order of ids. Resources that it says nothing of are as they were.
func (t *Target) partsOfWhatIf(step flowehr.Step, s azure.StackSpec, changes []whatIfChange) ([]flowehr.Part, error) {
	wanted, err := partsOf(t.o.Client.Subscription(), s.Template)
	if err != nil {
		return nil, err
	}
	recorded := map[string]map[string]any{} // as the template had it the last time
	if step.Prior != nil {
		var prior azure.StackSpec
		if json.Unmarshal(step.Prior.Resource.Spec, &prior) == nil {
			if parts, err := partsOf(t.o.Client.Subscription(), prior.Template); err == nil {
				for _, p := range parts {
					recorded[strings.ToLower(p.id)] = p.body
				}
			}
		}
	}
	type row struct {
		id   string
		part flowehr.Part
	}
	rows := map[string]row{}
	for _, p := range wanted {
		rows[strings.ToLower(p.id)] = row{p.id, flowehr.Part{Kind: p.typ, Name: p.name}}
	}
	bodies := map[string]map[string]any{}
	for _, p := range wanted {
		bodies[strings.ToLower(p.id)] = p.body
	}
	for _, c := range changes {
		key := strings.ToLower(c.id())
		if strings.EqualFold(typeOf(c.id()), typeDeployment) || key == "" {
			continue // nested deployments are the way, not the aim
		}
		r, ours := rows[key]
		if !ours {
			r = row{c.id(), flowehr.Part{Kind: typeOf(c.id()), Name: namesOf(c.id())}}
		}
		r.part.Action, r.part.Changes = actionOf(c, recorded[key], bodies[key])
		if !ours && r.part.Action == flowehr.Keep {
			continue
		}
		rows[key] = r
	}
	sorted := make([]row, 0, len(rows))
	for _, r := range rows {
		sorted = append(sorted, r)
	}
	slices.SortFunc(sorted, func(a, b row) int { return cmp.Compare(strings.ToLower(a.id), strings.ToLower(b.id)) })
	out := make([]flowehr.Part, len(sorted))
	for i, r := range sorted {
		out[i] = r.part
	}
	return out, nil
}

func actionOf(c whatIfChange, recorded, wanted map[string]any) (flowehr.Action, []flowehr.Change) {
	switch strings.ToLower(c.Type) {
	case "create":
		return flowehr.Create, nil
	case "delete":
		return flowehr.Delete, nil
	case "detach":
		return flowehr.Delete, nil // it leaves the stack; what cannot be deleted stays behind
	case "modify", "deploy":
		var changes []flowehr.Change
		for _, d := range c.delta() {
			changes = flattened(changes, "", d)
		}
		changes = slices.DeleteFunc(changes, func(ch flowehr.Change) bool { return noise(typeOf(c.id()), ch, recorded, wanted) })
		if len(changes) > 0 {
			return flowehr.Update, changes
		}
	}
	return flowehr.Keep, nil
}

// flattened appends the leaves of a difference. Paths of children are relative to their parent's.
func flattened(out []flowehr.Change, parent string, d whatIfDelta) []flowehr.Change {
	path := parent + pointer(d.Path)
	if strings.EqualFold(cmp.Or(d.Type, d.PropType), "noEffect") {
		return out
	}
	if len(d.Children) > 0 {
		for _, c := range d.Children {
			out = flattened(out, path, c)
		}
		return out
	}
	return append(out, flowehr.Change{Path: path, Before: absentNull(d.Before), After: absentNull(d.After)})
}

func absentNull(raw json.RawMessage) json.RawMessage {
	if bytes.Equal(bytes.TrimSpace(raw), []byte("null")) {
		return nil
	}
	return raw
}

// pointer turns a path of what-if, such as properties.subnets[0].name or tags['a.b'], into a JSON pointer.
func pointer(path string) string {
	var b strings.Builder
	for path != "" {
		var token string
		switch {
		case strings.HasPrefix(path, "['"):
			token, path, _ = strings.Cut(path[2:], "']")
		case strings.HasPrefix(path, "["):
			token, path, _ = strings.Cut(path[1:], "]")
		default:
			end := strings.IndexAny(path, ".[")
			if end < 0 {
				end = len(path)
			}
			token, path = path[:end], path[end:]
		}
		path = strings.TrimPrefix(path, ".")
		b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(token))
	}
	return b.String()
}

// readOnly has what resource providers add to every resource, or to those of a type, and no template can set. What-if reports
// it as a difference although nothing would happen. Sources: learn.microsoft.com/azure/azure-resource-manager/templates/
// deploy-what-if, "Known issues", and the read-only flags of the published types.
var readOnly = map[string][]string{
	"": {"/etag", "/systemData", "/id", "/type", "/apiVersion", "/properties/provisioningState", "/properties/resourceGuid", "/properties/createdAt",
		"/properties/creationTime", "/properties/creationDate", "/properties/createTime", "/properties/lastModifiedTime", "/properties/modifiedDate",
		"/properties/state", "/properties/statusOfPrimary", "/properties/statusOfSecondary", "/properties/primaryLocation", "/properties/secondaryLocation",
		"/properties/primaryEndpoints", "/properties/secondaryEndpoints", "/properties/privateEndpointConnections", "/identity/principalId", "/identity/tenantId"},
	"microsoft.keyvault/vaults":                {"/properties/vaultUri", "/properties/hsmPoolResourceId"},
	"microsoft.network/virtualnetworks":        {"/properties/subnets/*/properties/purpose", "/properties/subnets/*/properties/ipConfigurations"},
	"microsoft.web/sites":                      {"/properties/hostNames", "/properties/outboundIpAddresses", "/properties/possibleOutboundIpAddresses", "/properties/hostNameSslStates"},
	"microsoft.datafactory/factories/triggers": {"/properties/runtimeState"},
	"microsoft.databricks/workspaces":          {"/properties/workspaceId", "/properties/workspaceUrl", "/properties/managedDiskIdentity", "/properties/storageAccountIdentity"},
	"microsoft.operationalinsights/workspaces": {"/properties/customerId"},
	"microsoft.insights/components":            {"/properties/AppId", "/properties/ApplicationId", "/properties/InstrumentationKey", "/properties/ConnectionString", "/properties/Name"},
	"microsoft.containerregistry/registries":   {"/properties/loginServer", "/properties/status"},
	"microsoft.sql/servers":                    {"/properties/fullyQualifiedDomainName", "/properties/administrators/azureADOnlyAuthentication"},
	"microsoft.documentdb/databaseaccounts":    {"/properties/documentEndpoint", "/properties/readLocations", "/properties/writeLocations"},
	"microsoft.authorization/roleassignments":  {"/properties/createdOn", "/properties/createdBy", "/properties/updatedOn", "/properties/updatedBy"},
}

// noise reports whether a difference is none: what the service sets itself, an expression that is worked out only when it is
// deployed, and a default that neither the template before nor the one now speaks of.
func noise(typ string, ch flowehr.Change, recorded, wanted map[string]any) bool {
	for _, list := range [][]string{readOnly[""], readOnly[strings.ToLower(typ)]} {
		if slices.ContainsFunc(list, func(p string) bool { return below(ch.Path, p) }) {
			return true
		}
	}
	var text string
	if json.Unmarshal(ch.After, &text) == nil && strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		return true
	}
	return ch.After == nil && !speaks(recorded, ch.Path) && !speaks(wanted, ch.Path)
}

// below reports whether a path is pattern or lies below it; * stands for one token.
func below(path, pattern string) bool {
	p, q := strings.Split(path, "/"), strings.Split(pattern, "/")
	if len(p) < len(q) {
		return false
	}
	for i, token := range q {
		if token != "*" && !strings.EqualFold(token, p[i]) {
			return false
		}
	}
	return true
}

// speaks reports whether a template's resource sets what a path names.
func speaks(body map[string]any, path string) bool {
	var node any = body
	for _, token := range strings.Split(path, "/")[1:] {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch n := node.(type) {
		case map[string]any:
			v, ok := n[token]
			if !ok {
				return false
			}
			node = v
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(n) {
				return false
			}
			node = n[i]
		default:
			return false
		}
	}
	return body != nil
}

// namesOf returns the names in an id as a template writes them: parent/child.
func namesOf(id string) string {
	i := strings.LastIndex(strings.ToLower(id), "/providers/")
	if i < 0 {
		return nameOf(id)
	}
	segments := strings.Split(id[i+len("/providers/"):], "/")
	var names []string
	for i := 2; i < len(segments); i += 2 {
		names = append(names, segments[i])
	}
	return strings.Join(names, "/")
}
