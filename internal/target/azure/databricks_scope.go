package azure

import (
	"context"
	"net/url"
	"slices"
	"time"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// scopeMinder looks after a secret scope that Databricks holds itself, and who may read it. Whoever made it may manage it;
// that right is left alone.
type scopeMinder struct{ bricks }

const (
	scopesPath  = "/api/2.0/secrets/scopes/"
	aclsPath    = "/api/2.0/secrets/acls/"
	secretsPath = "/api/2.0/secrets/"
)

type scopeACL struct {
	Principal  string `json:"principal"`
	Permission string `json:"permission"`
}

const readPermission = "READ"

func (m scopeMinder) stands(ctx context.Context, s azure.ScopeSpec) (bool, error) {
	var list struct {
		Scopes []struct{ Name string } `json:"scopes"`
	}
	err := m.get(ctx, s.Workspace, scopesPath+"list", &list)
	return slices.ContainsFunc(list.Scopes, func(x struct{ Name string }) bool { return x.Name == s.Name }), err
}

// readers lists who may read the scope and no more.
func (m scopeMinder) readers(ctx context.Context, s azure.ScopeSpec) ([]string, error) {
	var list struct {
		Items []scopeACL `json:"items"`
	}
	err := m.get(ctx, s.Workspace, aclsPath+"list?scope="+url.QueryEscape(s.Name), &list)
	var out []string
	for _, acl := range list.Items {
		if acl.Permission == readPermission {
			out = append(out, acl.Principal)
		}
	}
	return out, err
}

func (m scopeMinder) ensure(ctx context.Context, s azure.ScopeSpec, _ task) (made, error) {
	err := m.post(ctx, s.Workspace, scopesPath+"create", map[string]string{"scope": s.Name}, nil)
	if err := ignoring(exists, err); err != nil {
		return made{}, err
	}
	have, err := m.readers(ctx, s)
	if err != nil {
		return made{}, err
	}
	for _, p := range difference(texts(s.Readers), have) {
		acl := map[string]string{"scope": s.Name, "principal": p, "permission": readPermission}
		if err := m.post(ctx, s.Workspace, aclsPath+"put", acl, nil); err != nil {
			return made{}, err
		}
	}
	for _, p := range difference(have, texts(s.Readers)) {
		err := m.post(ctx, s.Workspace, aclsPath+"delete", map[string]string{"scope": s.Name, "principal": p}, nil)
		if err := ignoring(missing, err); err != nil {
			return made{}, err
		}
	}
	return made{id: s.Name}, nil
}

func (m scopeMinder) read(ctx context.Context, s azure.ScopeSpec, _ string) (azure.ScopeSpec, made, error) {
	stands, err := m.stands(ctx, s)
	if err != nil || !stands {
		return s, made{}, cmpErr(err, gone("secret scope %s", s.Name))
	}
	have, err := m.readers(ctx, s)
	if err != nil {
		return s, made{}, err
	}
	s.Readers = valuesAsWanted(s.Readers, have)
	return s, made{id: s.Name}, nil
}

func valuesAsWanted(want []azure.Value, have []string) []azure.Value {
	if sameSet(texts(want), have) {
		return want
	}
	var out []azure.Value
	for _, h := range sorted(have) {
		out = append(out, azure.Lit(h))
	}
	return out
}

func (m scopeMinder) remove(ctx context.Context, s azure.ScopeSpec, _ string) error {
	return ignoring(missing, m.post(ctx, s.Workspace, scopesPath+"delete", map[string]string{"scope": s.Name}, nil))
}

// scopeSecretMinder copies secrets into a scope. Databricks never gives a value back, so one is written whenever its step
// is done, and no digest is kept anywhere: a copy of a vault secret counts as stale when the vault's version is clearly
// younger than what Databricks says of the copy.
type scopeSecretMinder struct {
	bricks
	secrets secrets
}

// skew is how much the clocks of two services may differ before one time counts as younger than the other.
const skew = 5 * time.Minute

func scopeSecretMade(s azure.ScopeSecretSpec) made { return made{id: s.Scope + "/" + s.Key} }

func (m scopeSecretMinder) ensure(ctx context.Context, s azure.ScopeSecretSpec, t task) (made, error) {
	value, err := m.secrets.noting(t).value(ctx, s.Source, t.in)
	if err != nil {
		return made{}, err
	}
	body := map[string]string{"scope": s.Scope, "key": s.Key, "string_value": value.Reveal()}
	return scopeSecretMade(s), m.post(ctx, s.Workspace, secretsPath+"put", body, nil)
}

// read tells of a stale copy by leaving its source out.
func (m scopeSecretMinder) read(ctx context.Context, s azure.ScopeSecretSpec, _ string) (azure.ScopeSecretSpec, made, error) {
	var list struct {
		Secrets []struct {
			Key     string `json:"key"`
			Updated int64  `json:"last_updated_timestamp"` // milliseconds since 1970
		} `json:"secrets"`
	}
	err := m.get(ctx, s.Workspace, secretsPath+"list?scope="+url.QueryEscape(s.Scope), &list)
	if err := ignoring(missing, err); err != nil {
		return s, made{}, err
	}
	for _, one := range list.Secrets {
		if one.Key != s.Key {
			continue
		}
		stale, err := m.stale(ctx, s.Source, time.UnixMilli(one.Updated))
		if stale {
			s.Source = azure.Source{}
		}
		return s, scopeSecretMade(s), err
	}
	return s, made{}, gone("secret %s of scope %s", s.Key, s.Scope)
}

func (m scopeSecretMinder) stale(ctx context.Context, source azure.Source, copied time.Time) (bool, error) {
	if source.Vault == nil {
		return false, nil
	}
	return vaults{c: m.c}.youngerThan(ctx, *source.Vault, copied)
}

// youngerThan reports whether the newest version was written clearly after a time. A secret that cannot be seen from here,
// as in a vault that is private, is taken for unchanged.
func (v vaults) youngerThan(ctx context.Context, ref azure.VaultRef, at time.Time) (bool, error) {
	s, found, err := v.get(ctx, ref)
	if notYetGranted(err) || cloud.Status(err) == 0 && err != nil {
		return false, nil
	}
	return found && time.Unix(s.Attributes.Updated, 0).After(at.Add(skew)), err
}

func (m scopeSecretMinder) remove(ctx context.Context, s azure.ScopeSecretSpec, _ string) error {
	body := map[string]string{"scope": s.Scope, "key": s.Key}
	return ignoring(missing, m.post(ctx, s.Workspace, secretsPath+"delete", body, nil))
}
