package azuresim

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/nacl/box"
)

// gitEnvironment is a deployment environment of a repository.
type gitEnvironment struct {
	ID        int64              `json:"id"`
	Policy    object             `json:"policy,omitempty"` // protected_branches, custom_branch_policies
	Policies  map[string]string  `json:"policies"`         // patterns of branches by id
	Secrets   map[string]*sealed `json:"secrets"`
	Variables map[string]string  `json:"variables"`
	Made      time.Time          `json:"made"`
}

// sealed is a secret as it came: nobody can read it without GitHub's private key.
type sealed struct {
	Value   string    `json:"value"`
	Made    time.Time `json:"made"`
	Changed time.Time `json:"changed"`
}

func (g *gitHub) environmentRoutes(add func(method, path string, do func(*gitCall) answer)) {
	const env = "/repos/{owner}/{repo}/environments/{env}"
	add("GET", "/repos/{owner}/{repo}/environments", (*gitCall).listEnvironments)
	add("GET", env, withEnvironment((*gitCall).getEnvironment))
	add("PUT", env, (*gitCall).putEnvironment)
	add("DELETE", env, withEnvironment((*gitCall).deleteEnvironment))
	add("GET", env+"/deployment-branch-policies", withEnvironment((*gitCall).listPolicies))
	add("POST", env+"/deployment-branch-policies", withEnvironment((*gitCall).addPolicy))
	add("DELETE", env+"/deployment-branch-policies/{policy}", withEnvironment((*gitCall).dropPolicy))
	for _, base := range []string{"/repositories/{repository}/environments/{env}/secrets", env + "/secrets"} {
		add("GET", base, withEnvironment(func(c *gitCall, e *gitEnvironment) answer { return c.listSecrets(e.Secrets) }))
		add("GET", base+"/public-key", withEnvironment(func(c *gitCall, _ *gitEnvironment) answer { return c.publicKey() }))
		add("PUT", base+"/{name}", withEnvironment(func(c *gitCall, e *gitEnvironment) answer { return c.putSecret(e.Secrets) }))
		add("DELETE", base+"/{name}", withEnvironment(func(c *gitCall, e *gitEnvironment) answer { return c.deleteSecret(e.Secrets) }))
	}
	const secrets = "/repos/{owner}/{repo}/actions/secrets"
	add("GET", secrets, func(c *gitCall) answer { return c.listSecrets(c.repo.Secrets) })
	add("GET", secrets+"/public-key", (*gitCall).publicKey)
	add("PUT", secrets+"/{name}", func(c *gitCall) answer { return c.putSecret(c.repo.Secrets) })
	add("DELETE", secrets+"/{name}", func(c *gitCall) answer { return c.deleteSecret(c.repo.Secrets) })
	for _, scope := range []struct {
		path string
		of   func(func(*gitCall, map[string]string) answer) func(*gitCall) answer
	}{{env + "/variables", ofEnvironment}, {"/repos/{owner}/{repo}/actions/variables", ofRepository}} {
		add("GET", scope.path, scope.of((*gitCall).listVariables))
		add("GET", scope.path+"/{name}", scope.of((*gitCall).getVariable))
		add("POST", scope.path, scope.of((*gitCall).addVariable))
		add("PATCH", scope.path+"/{name}", scope.of((*gitCall).changeVariable))
		add("DELETE", scope.path+"/{name}", scope.of((*gitCall).dropVariable))
	}
	add("POST", "/repos/{owner}/{repo}/actions/runners/registration-token", (*gitCall).runnerToken)
	add("POST", "/orgs/{org}/actions/runners/registration-token", (*gitCall).runnerToken)
	add("GET", "/repos/{owner}/{repo}/actions/oidc/customization/sub", (*gitCall).getSubject)
	add("PUT", "/repos/{owner}/{repo}/actions/oidc/customization/sub", (*gitCall).putSubject)
}

func ofRepository(f func(*gitCall, map[string]string) answer) func(*gitCall) answer {
	return func(c *gitCall) answer { return f(c, c.repo.Variables) }
}

func ofEnvironment(f func(*gitCall, map[string]string) answer) func(*gitCall) answer {
	return withEnvironment(func(c *gitCall, e *gitEnvironment) answer { return f(c, e.Variables) })
}

// withEnvironment finds the environment that a call is about.
func withEnvironment(f func(*gitCall, *gitEnvironment) answer) func(*gitCall) answer {
	return func(c *gitCall) answer {
		e := c.repo.Environments[strings.ToLower(c.part["env"])]
		if e == nil {
			return gitMissing()
		}
		return f(c, e)
	}
}

func describeEnvironment(name string, e *gitEnvironment) object {
	out := object{"id": e.ID, "name": name, "created_at": e.Made.UTC().Format(time.RFC3339), "protection_rules": []any{}, "deployment_branch_policy": nil}
	if e.Policy != nil {
		out["deployment_branch_policy"] = e.Policy
		out["protection_rules"] = []any{object{"id": e.ID, "type": "branch_policy"}}
	}
	return out
}

func (c *gitCall) listEnvironments() answer {
	return c.counted("environments", sortedBy(c.repo.Environments, describeEnvironment))
}

func (c *gitCall) getEnvironment(e *gitEnvironment) answer {
	return ok(describeEnvironment(c.part["env"], e))
}

func (c *gitCall) putEnvironment() answer {
	name := strings.ToLower(c.part["env"])
	e := c.repo.Environments[name]
	if e == nil {
		e = &gitEnvironment{ID: c.g.id(), Policies: map[string]string{}, Secrets: map[string]*sealed{}, Variables: map[string]string{}, Made: c.g.w.now()}
		c.repo.Environments[name] = e
	}
	policy, told := c.body()["deployment_branch_policy"]
	if told {
		e.Policy = asObject(policy)
		a, _ := e.Policy["protected_branches"].(bool)
		b, _ := e.Policy["custom_branch_policies"].(bool)
		if e.Policy != nil && a == b {
			return gitFail(http.StatusUnprocessableEntity, "protected_branches and custom_branch_policies cannot have the same value")
		}
	}
	return ok(describeEnvironment(c.part["env"], e))
}

func (c *gitCall) deleteEnvironment(*gitEnvironment) answer {
	delete(c.repo.Environments, strings.ToLower(c.part["env"]))
	return reply(http.StatusNoContent, nil)
}

func describePolicy(id, name string) object {
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil { // written from a number
		panic("azuresim: " + err.Error())
	}
	return object{"id": n, "name": name, "type": "branch"}
}

func (c *gitCall) listPolicies(e *gitEnvironment) answer {
	return c.counted("branch_policies", sortedBy(e.Policies, describePolicy))
}

func (c *gitCall) addPolicy(e *gitEnvironment) answer {
	name := textAt(c.body(), "name")
	custom, _ := e.Policy["custom_branch_policies"].(bool)
	if name == "" || !custom {
		return gitFail(http.StatusNotFound, "Not Found or `deployment_branch_policy.custom_branch_policies` property for the environment is set to false")
	}
	for _, have := range e.Policies {
		if have == name {
			return reply(http.StatusSeeOther, nil)
		}
	}
	id := strconv.FormatInt(c.g.id(), 10)
	e.Policies[id] = name
	return ok(describePolicy(id, name))
}

func (c *gitCall) dropPolicy(e *gitEnvironment) answer {
	if e.Policies[c.part["policy"]] == "" {
		return gitMissing()
	}
	delete(e.Policies, c.part["policy"])
	return reply(http.StatusNoContent, nil)
}

func (c *gitCall) publicKey() answer {
	public, _ := c.g.sealKey()
	return ok(object{"key_id": keyID(public), "key": base64.StdEncoding.EncodeToString(public[:])})
}

func keyID(public [32]byte) string { return hex.EncodeToString(public[:8]) }

func (c *gitCall) listSecrets(secrets map[string]*sealed) answer {
	return c.counted("secrets", sortedBy(secrets, func(name string, s *sealed) object {
		return object{"name": name, "created_at": s.Made.UTC().Format(time.RFC3339), "updated_at": s.Changed.UTC().Format(time.RFC3339)}
	}))
}

// putSecret takes a secret that is sealed for GitHub's key, tries the seal and keeps it as it came
// (docs.github.com/rest/guides/encrypting-secrets-for-the-rest-api).
func (c *gitCall) putSecret(secrets map[string]*sealed) answer {
	b, name := c.body(), strings.ToUpper(c.part["name"])
	public, private := c.g.sealKey()
	value, err := base64.StdEncoding.DecodeString(textAt(b, "encrypted_value"))
	switch {
	case strings.HasPrefix(name, "GITHUB_"):
		return gitFail(http.StatusUnprocessableEntity, "Secret names must not start with GITHUB_.")
	case textAt(b, "key_id") != keyID(public):
		return gitFail(http.StatusUnprocessableEntity, "The key_id is not that of the current public key.")
	case err != nil:
		return gitFail(http.StatusUnprocessableEntity, "encrypted_value is not Base64.")
	}
	if _, opened := box.OpenAnonymous(nil, value, &public, &private); !opened {
		return gitFail(http.StatusUnprocessableEntity, "The secret is not sealed for the public key: it would have been stored in the clear.")
	}
	now := c.g.w.now()
	if have := secrets[name]; have != nil {
		have.Value, have.Changed = textAt(b, "encrypted_value"), now
		return reply(http.StatusNoContent, nil)
	}
	secrets[name] = &sealed{Value: textAt(b, "encrypted_value"), Made: now, Changed: now}
	return reply(http.StatusCreated, object{})
}

func (c *gitCall) deleteSecret(secrets map[string]*sealed) answer {
	name := strings.ToUpper(c.part["name"])
	if secrets[name] == nil {
		return gitMissing()
	}
	delete(secrets, name)
	return reply(http.StatusNoContent, nil)
}

func describeVariable(name, value string) object { return object{"name": name, "value": value} }

func (c *gitCall) listVariables(all map[string]string) answer {
	return c.counted("variables", sortedBy(all, describeVariable))
}

func (c *gitCall) getVariable(all map[string]string) answer {
	name := strings.ToUpper(c.part["name"])
	if v, stands := all[name]; stands {
		return ok(describeVariable(name, v))
	}
	return gitMissing()
}

func (c *gitCall) addVariable(all map[string]string) answer {
	b := c.body()
	name := strings.ToUpper(textAt(b, "name"))
	if _, stands := all[name]; stands || name == "" {
		return gitFail(http.StatusConflict, "Already exists - Variable already exists")
	}
	all[name] = textAt(b, "value")
	return reply(http.StatusCreated, object{})
}

func (c *gitCall) changeVariable(all map[string]string) answer {
	name := strings.ToUpper(c.part["name"])
	if _, stands := all[name]; !stands {
		return gitMissing()
	}
	all[name] = textAt(c.body(), "value")
	return reply(http.StatusNoContent, nil)
}

func (c *gitCall) dropVariable(all map[string]string) answer {
	name := strings.ToUpper(c.part["name"])
	if _, stands := all[name]; !stands {
		return gitMissing()
	}
	delete(all, name)
	return reply(http.StatusNoContent, nil)
}

func (c *gitCall) runnerToken() answer {
	return reply(http.StatusCreated, object{"token": "AABB" + strings.ToUpper(hexOf(c.g.w.seed, 25, "runner", c.g.w.newID())),
		"expires_at": c.g.w.now().Add(time.Hour).UTC().Format(time.RFC3339)})
}

// numbered is the day since which subjects of a new repository's tokens have numbers in them
// (docs.github.com/actions/reference/security/oidc).
var numbered = time.Date(2026, time.July, 1, 0, 0, 0, 0, time.UTC)

// getSubject says what the subjects of the repository's tokens look like.
func (c *gitCall) getSubject() answer {
	switch {
	case c.repo.Subject != nil:
		return ok(c.repo.Subject)
	case c.repo.Made.Before(numbered):
		return ok(object{"use_default": true})
	}
	owner, err := strconv.ParseUint(hexOf(c.g.w.seed, 6, "owner", strings.ToLower(c.repo.Owner)), 16, 32)
	if err != nil { // written in hex
		panic("azuresim: " + err.Error())
	}
	return ok(object{"use_default": true, "sub_claim_prefix": fmt.Sprintf("repo:%s@%d/%s@%d", c.repo.Owner, owner, c.repo.Name, c.repo.ID)})
}

func (c *gitCall) putSubject() answer {
	c.repo.Subject = c.body()
	return reply(http.StatusCreated, object{})
}
