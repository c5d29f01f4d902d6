package github

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/nacl/box"

	"github.com/flowehr/flowehr"
)

// hub is a GitHub of one organisation in memory, as far as the client needs one. Its answers have the shapes of the
// documentation (docs.github.com/rest).
type hub struct {
	mu      sync.Mutex
	repos   map[string]*repo
	teams   map[string]*team
	public  *[32]byte
	private *[32]byte
	calls   []string                       // METHOD path, without those that only read
	trouble func(r *http.Request) *trouble // asked before every call
	waits   []time.Duration                // of the client
	pending int                            // looks until a generated repository has content
	moved   int                            // how often a branch cannot be made because another has moved on
}

type repo struct {
	id                int64
	description       string
	private, archived bool
	template          string
	looks             int
	branches          map[string]map[string]any // protection, nil without
	files             map[string]string         // branch:path
	environments      map[string]*environment
	subjects          map[string]any // nil: GitHub says nothing about them
}

type environment struct {
	policies map[string]int64
	secrets  map[string]string
}

type team struct {
	id          int64
	description string
	members     map[string]string // role
	invited     map[string]string
	repos       map[string]string
}

type trouble struct {
	status int
	header http.Header
}

func newHub(t *testing.T) (*hub, *Client) {
	t.Helper()
	public, private, err := box.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := &hub{repos: map[string]*repo{}, teams: map[string]*team{}, public: public, private: private}
	server := httptest.NewServer(h.handler())
	t.Cleanup(server.Close)
	c, err := New(Options{Token: flowehr.NewSecret("pat-of-tests"), Transport: redirect{server.Listener.Addr().String()},
		Wait: func(ctx context.Context, d time.Duration) error {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.waits = append(h.waits, d)
			return ctx.Err()
		}})
	if err != nil {
		t.Fatal(err)
	}
	return h, c
}

// redirect sends what is for GitHub to the fake.
type redirect struct{ address string }

func (r redirect) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host = "http", r.address
	return http.DefaultTransport.RoundTrip(req)
}

// changed returns the calls that were to change something, and forgets them.
func (h *hub) changed() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	calls := h.calls
	h.calls = nil
	return calls
}

func (h *hub) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, f := range map[string]func(http.ResponseWriter, *http.Request){
		"GET /repos/{o}/{r}":                                                     h.getRepo,
		"PATCH /repos/{o}/{r}":                                                   h.editRepo,
		"DELETE /repos/{o}/{r}":                                                  h.deleteRepo,
		"POST /repos/{to}/{tr}/generate":                                         h.generate,
		"GET /repos/{o}/{r}/git/ref/heads/{b}":                                   h.getRef,
		"POST /repos/{o}/{r}/git/refs":                                           h.createRef,
		"DELETE /repos/{o}/{r}/git/refs/heads/{b}":                               h.deleteRef,
		"GET /repos/{o}/{r}/branches/{b}":                                        h.getBranch,
		"GET /repos/{o}/{r}/branches/{b}/protection":                             h.getProtection,
		"PUT /repos/{o}/{r}/branches/{b}/protection":                             h.protect,
		"DELETE /repos/{o}/{r}/branches/{b}/protection":                          h.unprotect,
		"GET /repos/{o}/{r}/contents/{p...}":                                     h.getFile,
		"PUT /repos/{o}/{r}/contents/{p...}":                                     h.putFile,
		"DELETE /repos/{o}/{r}/contents/{p...}":                                  h.deleteFile,
		"GET /orgs/{o}/teams":                                                    h.listTeams,
		"POST /orgs/{o}/teams":                                                   h.createTeam,
		"PATCH /orgs/{o}/teams/{s}":                                              h.editTeam,
		"DELETE /orgs/{o}/teams/{s}":                                             h.deleteTeam,
		"GET /orgs/{o}/teams/{s}/members":                                        h.listMembers,
		"GET /orgs/{o}/teams/{s}/invitations":                                    h.listInvited,
		"GET /orgs/{o}/teams/{s}/memberships/{u}":                                h.getMember,
		"PUT /orgs/{o}/teams/{s}/memberships/{u}":                                h.putMember,
		"DELETE /orgs/{o}/teams/{s}/memberships/{u}":                             h.dropMember,
		"GET /orgs/{o}/teams/{s}/repos/{ro}/{r}":                                 h.getTeamRepo,
		"PUT /orgs/{o}/teams/{s}/repos/{ro}/{r}":                                 h.putTeamRepo,
		"GET /repos/{o}/{r}/actions/oidc/customization/sub":                      h.getSubjects,
		"GET /repos/{o}/{r}/environments":                                        h.listEnvironments,
		"GET /repos/{o}/{r}/environments/{e}":                                    h.getEnvironment,
		"PUT /repos/{o}/{r}/environments/{e}":                                    h.putEnvironment,
		"DELETE /repos/{o}/{r}/environments/{e}":                                 h.deleteEnvironment,
		"GET /repos/{o}/{r}/environments/{e}/deployment-branch-policies":         h.listPolicies,
		"POST /repos/{o}/{r}/environments/{e}/deployment-branch-policies":        h.addPolicy,
		"DELETE /repos/{o}/{r}/environments/{e}/deployment-branch-policies/{id}": h.dropPolicy,
		"GET /repositories/{id}/environments/{e}/secrets":                        h.listSecrets,
		"GET /repositories/{id}/environments/{e}/secrets/public-key":             h.publicKey,
		"PUT /repositories/{id}/environments/{e}/secrets/{n}":                    h.putSecret,
		"DELETE /repositories/{id}/environments/{e}/secrets/{n}":                 h.dropSecret,
	} {
		mux.HandleFunc(pattern, f)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer pat-of-tests" {
			answer(w, http.StatusUnauthorized, message("Bad credentials"))
			return
		}
		if h.trouble != nil {
			if bad := h.trouble(r); bad != nil {
				for k, v := range bad.header {
					w.Header()[k] = v
				}
				answer(w, bad.status, message("trouble"))
				return
			}
		}
		if r.Method != http.MethodGet {
			h.calls = append(h.calls, r.Method+" "+r.URL.Path)
		}
		mux.ServeHTTP(w, r)
	})
}

func message(text string) map[string]string { return map[string]string{"message": text} }

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body != nil {
		_ = json.NewEncoder(w).Encode(body)
	}
}

func body(r *http.Request) map[string]any {
	var b map[string]any
	_ = json.NewDecoder(r.Body).Decode(&b)
	return b
}

// repo finds the repository of a request, or answers that there is none.
func (h *hub) repo(w http.ResponseWriter, r *http.Request) *repo {
	x := h.repos[r.PathValue("r")]
	if id := r.PathValue("id"); x == nil && r.PathValue("r") == "" {
		for _, one := range h.repos {
			if fmt.Sprint(one.id) == id {
				x = one
			}
		}
	}
	if x == nil {
		answer(w, http.StatusNotFound, message("Not Found"))
	}
	return x
}

func (h *hub) describe(name string, x *repo) map[string]any {
	m := map[string]any{"id": x.id, "name": name, "owner": map[string]string{"login": "trust"}, "description": x.description, "private": x.private,
		"archived": x.archived, "html_url": "https://github.com/trust/" + name, "default_branch": "main"}
	if x.template != "" {
		m["template_repository"] = map[string]string{"full_name": x.template}
	}
	return m
}

func (h *hub) getRepo(w http.ResponseWriter, r *http.Request) {
	if x := h.repo(w, r); x != nil {
		answer(w, http.StatusOK, h.describe(r.PathValue("r"), x))
	}
}

func (h *hub) editRepo(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	b := body(r)
	archived, told := b["archived"].(bool)
	if x.archived && (!told || archived || len(b) > 1) {
		answer(w, http.StatusForbidden, message("Repository was archived so is read-only."))
		return
	}
	if told {
		x.archived = archived
	}
	if d, ok := b["description"].(string); ok {
		x.description = d
	}
	if p, ok := b["private"].(bool); ok {
		x.private = p
	}
	answer(w, http.StatusOK, h.describe(r.PathValue("r"), x))
}

func (h *hub) deleteRepo(w http.ResponseWriter, r *http.Request) {
	if h.repo(w, r) != nil {
		delete(h.repos, r.PathValue("r"))
		w.WriteHeader(http.StatusNoContent)
	}
}

func (h *hub) generate(w http.ResponseWriter, r *http.Request) {
	b := body(r)
	name := b["name"].(string)
	if h.repos[name] != nil {
		answer(w, http.StatusUnprocessableEntity, message("Could not clone: Name already exists on this account"))
		return
	}
	x := &repo{id: int64(len(h.repos) + 1), template: r.PathValue("to") + "/" + r.PathValue("tr"), private: b["private"].(bool), looks: h.pending,
		branches: map[string]map[string]any{"main": nil}, files: map[string]string{}, environments: map[string]*environment{}}
	x.description, _ = b["description"].(string)
	h.repos[name] = x
	answer(w, http.StatusCreated, h.describe(name, x))
}

func (h *hub) getRef(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	if x.looks > 0 {
		x.looks--
		answer(w, http.StatusConflict, message("Git Repository is empty."))
		return
	}
	if _, ok := x.branches[r.PathValue("b")]; !ok {
		answer(w, http.StatusNotFound, message("Not Found"))
		return
	}
	answer(w, http.StatusOK, map[string]any{"ref": "refs/heads/" + r.PathValue("b"), "object": map[string]string{"sha": "abc"}})
}

func (h *hub) createRef(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	b := body(r)
	name := strings.TrimPrefix(b["ref"].(string), "refs/heads/")
	if h.moved > 0 {
		h.moved--
		answer(w, http.StatusUnprocessableEntity, message("Object does not exist"))
		return
	}
	if _, ok := x.branches[name]; ok {
		answer(w, http.StatusUnprocessableEntity, message("Reference already exists"))
		return
	}
	x.branches[name] = nil
	answer(w, http.StatusCreated, map[string]any{"ref": "refs/heads/" + name, "object": map[string]string{"sha": "abc"}})
}

func (h *hub) deleteRef(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	p, ok := x.branches[r.PathValue("b")]
	if !ok || p != nil {
		answer(w, http.StatusUnprocessableEntity, message("Reference does not exist or is protected"))
		return
	}
	delete(x.branches, r.PathValue("b"))
	w.WriteHeader(http.StatusNoContent)
}

func (h *hub) getBranch(w http.ResponseWriter, r *http.Request) {
	if x := h.repo(w, r); x != nil {
		answer(w, http.StatusOK, map[string]any{"name": r.PathValue("b"), "protected": x.branches[r.PathValue("b")] != nil})
	}
}

func (h *hub) getProtection(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	p := x.branches[r.PathValue("b")]
	if p == nil {
		answer(w, http.StatusNotFound, message("Branch not protected"))
		return
	}
	open := map[string]any{}
	for k, v := range p {
		open[k] = v
	}
	for _, k := range []string{"allow_force_pushes", "allow_deletions", "enforce_admins"} {
		open[k] = map[string]any{"enabled": p[k]}
	}
	answer(w, http.StatusOK, open)
}

func (h *hub) protect(w http.ResponseWriter, r *http.Request) {
	if x := h.repo(w, r); x != nil {
		x.branches[r.PathValue("b")] = body(r)
		answer(w, http.StatusOK, map[string]any{})
	}
}

func (h *hub) unprotect(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	if x.branches[r.PathValue("b")] == nil {
		answer(w, http.StatusNotFound, message("Branch not protected"))
		return
	}
	x.branches[r.PathValue("b")] = nil
	w.WriteHeader(http.StatusNoContent)
}

func fileKey(r *http.Request, branch string) string { return branch + ":" + r.PathValue("p") }

func shaOf(content string) string {
	return fmt.Sprintf("sha-%d-%s", len(content), content[:min(4, len(content))])
}

func (h *hub) getFile(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	content, ok := x.files[fileKey(r, r.URL.Query().Get("ref"))]
	if !ok {
		answer(w, http.StatusNotFound, message("Not Found"))
		return
	}
	answer(w, http.StatusOK, map[string]any{"type": "file", "encoding": "base64", "path": r.PathValue("p"), "sha": shaOf(content),
		"content": base64.StdEncoding.EncodeToString([]byte(content))})
}

func (h *hub) putFile(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	b := body(r)
	key := fileKey(r, b["branch"].(string))
	sha, _ := b["sha"].(string)
	content, stands := x.files[key]
	switch {
	case x.branches[b["branch"].(string)] != nil:
		answer(w, http.StatusConflict, message("Repository rule violations found: changes must be made through a pull request."))
		return
	case stands && sha != shaOf(content):
		answer(w, http.StatusConflict, message("does not match"))
		return
	}
	raw, _ := base64.StdEncoding.DecodeString(b["content"].(string))
	x.files[key] = string(raw)
	answer(w, http.StatusOK, map[string]any{"content": map[string]string{"sha": shaOf(string(raw))}})
}

func (h *hub) deleteFile(w http.ResponseWriter, r *http.Request) {
	if x := h.repo(w, r); x != nil {
		delete(x.files, fileKey(r, body(r)["branch"].(string)))
		answer(w, http.StatusOK, map[string]any{})
	}
}

func (h *hub) environment(w http.ResponseWriter, r *http.Request) *environment {
	x := h.repo(w, r)
	if x == nil {
		return nil
	}
	e := x.environments[r.PathValue("e")]
	if e == nil {
		answer(w, http.StatusNotFound, message("Not Found"))
	}
	return e
}

func (h *hub) getEnvironment(w http.ResponseWriter, r *http.Request) {
	if h.environment(w, r) != nil {
		answer(w, http.StatusOK, map[string]any{"name": r.PathValue("e")})
	}
}

func (h *hub) getSubjects(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	switch {
	case x == nil:
	case x.subjects == nil:
		answer(w, http.StatusNotFound, message("Not Found"))
	default:
		answer(w, http.StatusOK, x.subjects)
	}
}

func (h *hub) listEnvironments(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	out := []any{}
	for name := range x.environments {
		out = append(out, map[string]any{"name": name})
	}
	answer(w, http.StatusOK, map[string]any{"total_count": len(out), "environments": out})
}

func (h *hub) putEnvironment(w http.ResponseWriter, r *http.Request) {
	x := h.repo(w, r)
	if x == nil {
		return
	}
	if x.environments[r.PathValue("e")] == nil {
		x.environments[r.PathValue("e")] = &environment{policies: map[string]int64{}, secrets: map[string]string{}}
	}
	answer(w, http.StatusOK, map[string]any{"name": r.PathValue("e")})
}

func (h *hub) deleteEnvironment(w http.ResponseWriter, r *http.Request) {
	if h.environment(w, r) != nil {
		delete(h.repos[r.PathValue("r")].environments, r.PathValue("e"))
		w.WriteHeader(http.StatusNoContent)
	}
}

func (h *hub) listPolicies(w http.ResponseWriter, r *http.Request) {
	e := h.environment(w, r)
	if e == nil {
		return
	}
	out := []any{}
	for name, id := range e.policies {
		out = append(out, map[string]any{"id": id, "name": name})
	}
	answer(w, http.StatusOK, map[string]any{"total_count": len(out), "branch_policies": out})
}

func (h *hub) addPolicy(w http.ResponseWriter, r *http.Request) {
	if e := h.environment(w, r); e != nil {
		name := body(r)["name"].(string)
		e.policies[name] = int64(1000 + len(name))
		answer(w, http.StatusOK, map[string]any{"id": e.policies[name], "name": name})
	}
}

func (h *hub) dropPolicy(w http.ResponseWriter, r *http.Request) {
	if e := h.environment(w, r); e != nil {
		for name, id := range e.policies {
			if fmt.Sprint(id) == r.PathValue("id") {
				delete(e.policies, name)
			}
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

func (h *hub) listSecrets(w http.ResponseWriter, r *http.Request) {
	e := h.environment(w, r)
	if e == nil {
		return
	}
	out := []any{}
	for name := range e.secrets {
		out = append(out, map[string]any{"name": name, "updated_at": "2026-11-20T10:00:00Z", "created_at": "2026-11-20T10:00:00Z"})
	}
	answer(w, http.StatusOK, map[string]any{"total_count": len(out), "secrets": out})
}

func (h *hub) publicKey(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, map[string]string{"key_id": "1", "key": base64.StdEncoding.EncodeToString(h.public[:])})
}

// putSecret opens what was sealed, as GitHub does.
func (h *hub) putSecret(w http.ResponseWriter, r *http.Request) {
	e := h.environment(w, r)
	if e == nil {
		return
	}
	sealed, err := base64.StdEncoding.DecodeString(body(r)["encrypted_value"].(string))
	value, ok := box.OpenAnonymous(nil, sealed, h.public, h.private)
	if err != nil || !ok {
		answer(w, http.StatusUnprocessableEntity, message("cannot be opened"))
		return
	}
	e.secrets[r.PathValue("n")] = string(value)
	w.WriteHeader(http.StatusCreated)
}

func (h *hub) dropSecret(w http.ResponseWriter, r *http.Request) {
	if e := h.environment(w, r); e != nil {
		delete(e.secrets, r.PathValue("n"))
		w.WriteHeader(http.StatusNoContent)
	}
}
