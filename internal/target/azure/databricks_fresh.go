package azure

import (
	"context"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"time"

	"github.com/flowehr/flowehr/internal/azure"
)

// secretReference is how the configuration of a cluster names a secret of a scope.
// https://learn.microsoft.com/azure/databricks/security/secrets/secrets-spark-conf-env-var
var secretReference = regexp.MustCompile(`\{\{secrets/([^/}]+)/([^}]+)\}\}`)

// scopeKey is a secret of a scope.
type scopeKey struct{ scope, key string }

// referredTo lists the secrets that a cluster reads when it starts, each once.
func referredTo(s azure.ClusterSpec) []scopeKey {
	texts := slices.Collect(maps.Values(s.Conf))
	for _, v := range s.Env {
		texts = append(texts, text(v))
	}
	found := map[scopeKey]bool{}
	for _, t := range texts {
		for _, m := range secretReference.FindAllStringSubmatch(t, -1) {
			found[scopeKey{m[1], m[2]}] = true
		}
	}
	return slices.Collect(maps.Keys(found))
}

// refreshSecrets restarts a running cluster that was started before one of its secrets was written: it reads them only when it
// starts. Both times are of the same service.
func (m clusterMinder) refreshSecrets(ctx context.Context, s azure.ClusterSpec, id string, t task) error {
	now, err := m.now(ctx, s.Workspace, id)
	if err != nil || now.State != stateRunning {
		return err
	}
	written, err := m.lastWritten(ctx, s)
	if err != nil || !written.After(now.begun()) {
		return err
	}
	t.in.Note("restarting it, so that it reads its secrets again")
	if err := m.post(ctx, s.Workspace, clustersPath+"restart", map[string]string{"cluster_id": id}, nil); err != nil {
		return err
	}
	return m.start(ctx, s, id, true, t)
}

// lastWritten is when one of the secrets that a cluster reads was written last. A scope that is not there has none.
func (m clusterMinder) lastWritten(ctx context.Context, s azure.ClusterSpec) (time.Time, error) {
	wanted := referredTo(s)
	scopes := map[string]bool{}
	for _, k := range wanted {
		scopes[k.scope] = true
	}
	var last time.Time
	for _, scope := range slices.Sorted(maps.Keys(scopes)) {
		var list struct {
			Secrets []struct {
				Key     string `json:"key"`
				Updated int64  `json:"last_updated_timestamp"`
			} `json:"secrets"`
		}
		err := m.get(ctx, s.Workspace, secretsPath+"list?scope="+url.QueryEscape(scope), &list)
		if err := ignoring(missing, err); err != nil {
			return last, err
		}
		for _, one := range list.Secrets {
			if at := time.UnixMilli(one.Updated); slices.Contains(wanted, scopeKey{scope, one.Key}) && at.After(last) {
				last = at
			}
		}
	}
	return last, nil
}
