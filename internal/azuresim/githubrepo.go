package azuresim

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// gitRepo is a repository.
type gitRepo struct {
	ID           int64                      `json:"id"`
	Owner        string                     `json:"owner"`
	Name         string                     `json:"name"`
	Description  string                     `json:"description"`
	Private      bool                       `json:"private"`
	Archived     bool                       `json:"archived,omitempty"`
	Template     string                     `json:"template,omitempty"`
	Default      string                     `json:"default"`
	Filled       time.Time                  `json:"filled"` // when the template's content is there
	Branches     map[string]*gitBranch      `json:"branches"`
	Environments map[string]*gitEnvironment `json:"environments"`
	Secrets      map[string]*sealed         `json:"secrets"`
	Variables    map[string]string          `json:"variables"`
	Teams        map[string]string          `json:"teams"` // slug to permission
	Pulls        []*gitPull                 `json:"pulls,omitempty"`
	Comments     []*gitComment              `json:"comments,omitempty"`
	Statuses     []object                   `json:"statuses,omitempty"`
	Dispatches   []object                   `json:"dispatches,omitempty"`
	Subject      object                     `json:"subject,omitempty"` // form of the subject of workflows' tokens
	Made         time.Time                  `json:"made"`
}

// gitBranch is a branch with the files at its end.
type gitBranch struct {
	SHA        string            `json:"sha"`
	Files      map[string][]byte `json:"files"`
	Protection object            `json:"protection,omitempty"`
}

// gitFills is how long GitHub takes to copy a template.
const gitFills = 4 * time.Second

func (g *gitHub) repositoryRoutes(add func(method, path string, do func(*gitCall) answer)) {
	add("POST", "/repos/{owner}/{repo}/generate", (*gitCall).generate)
	add("GET", "/repos/{owner}/{repo}", (*gitCall).getRepository)
	add("PATCH", "/repos/{owner}/{repo}", (*gitCall).editRepository)
	add("DELETE", "/repos/{owner}/{repo}", (*gitCall).deleteRepository)
	add("POST", "/orgs/{org}/repos", (*gitCall).createRepository)
	add("GET", "/repos/{owner}/{repo}/git/ref/heads/{branch...}", (*gitCall).getRef)
	add("POST", "/repos/{owner}/{repo}/git/refs", (*gitCall).createRef)
	add("DELETE", "/repos/{owner}/{repo}/git/refs/heads/{branch...}", (*gitCall).deleteRef)
	add("GET", "/repos/{owner}/{repo}/branches/{branch}", (*gitCall).getBranch)
	add("GET", "/repos/{owner}/{repo}/branches/{branch}/protection", (*gitCall).getProtection)
	add("PUT", "/repos/{owner}/{repo}/branches/{branch}/protection", (*gitCall).protect)
	add("DELETE", "/repos/{owner}/{repo}/branches/{branch}/protection", (*gitCall).unprotect)
	add("GET", "/repos/{owner}/{repo}/contents/{path...}", (*gitCall).getFile)
	add("PUT", "/repos/{owner}/{repo}/contents/{path...}", (*gitCall).putContent)
	add("DELETE", "/repos/{owner}/{repo}/contents/{path...}", (*gitCall).deleteContent)
	add("GET", "/repos/{owner}/{repo}/actions/permissions", (*gitCall).actionsPermissions)
}

func (g *gitHub) repositoryByID(id string) *gitRepo {
	for _, r := range g.w.GitHub.Repos {
		if fmt.Sprint(r.ID) == id {
			return r
		}
	}
	return nil
}

func (r *gitRepo) describe() object {
	visibility := "public"
	if r.Private {
		visibility = "private"
	}
	out := object{"id": r.ID, "name": r.Name, "full_name": r.Owner + "/" + r.Name, "owner": object{"login": r.Owner, "type": "Organization"}, "description": r.Description,
		"private": r.Private, "visibility": visibility, "archived": r.Archived, "default_branch": r.Default, "html_url": "https://github.com/" + r.Owner + "/" + r.Name,
		"is_template": false, "created_at": r.Made.UTC().Format(time.RFC3339)}
	if r.Template != "" {
		owner, name, _ := strings.Cut(r.Template, "/")
		out["template_repository"] = object{"full_name": r.Template, "name": name, "owner": object{"login": owner}}
	}
	return out
}

// newRepo makes a repository with a branch and files.
func (g *gitHub) newRepo(owner, name string, files map[string][]byte) *gitRepo {
	r := &gitRepo{ID: g.id(), Owner: owner, Name: name, Default: "main", Made: g.w.now(), Branches: map[string]*gitBranch{"main": {Files: files}},
		Environments: map[string]*gitEnvironment{}, Secrets: map[string]*sealed{}, Variables: map[string]string{}, Teams: map[string]string{}}
	g.commit(r, r.Branches["main"])
	g.w.GitHub.Repos[strings.ToLower(owner+"/"+name)] = r
	return r
}

// commit gives a branch a new end.
func (g *gitHub) commit(r *gitRepo, b *gitBranch) {
	b.SHA = hexOf(g.w.seed, 20, "commit", r.Name, g.w.newID()) + hexOf(g.w.seed, 20, "rest", g.w.newID())
}

// templateFiles are what a template that the simulation has to make up contains.
func templateFiles(template string) map[string][]byte {
	return map[string][]byte{
		"README.md":  []byte("# " + template + "\n\nSimulated template.\n"),
		"Dockerfile": []byte("FROM scratch\n"),
		".github/workflows/acr_deploy_reusable.yml": []byte("on: workflow_call\n"),
		".github/workflows/slot_swap_reusable.yml":  []byte("on: workflow_call\n"),
	}
}

// generate copies a template (docs.github.com/rest/repos/repos: create a repository using a template).
func (c *gitCall) generate() answer {
	b := c.body()
	owner, name := textAt(b, "owner"), textAt(b, "name")
	st := &c.g.w.GitHub
	switch {
	case name == "":
		return gitFail(http.StatusUnprocessableEntity, "Invalid request. \"name\" wasn't supplied.")
	case owner == "":
		owner = c.part["owner"]
	}
	if st.Repos[strings.ToLower(owner+"/"+name)] != nil {
		return gitFail(http.StatusUnprocessableEntity, "Could not clone: Name already exists on this account")
	}
	files := templateFiles(c.part["owner"] + "/" + c.part["repo"]) // a template that was not made here is taken to stand
	if c.repo != nil {
		files = maps.Clone(c.repo.Branches[c.repo.Default].Files)
	}
	r := c.g.newRepo(owner, name, files)
	r.Template, r.Description = c.part["owner"]+"/"+c.part["repo"], textAt(b, "description")
	r.Private, _ = b["private"].(bool)
	r.Filled = c.g.w.now().Add(gitFills)
	return reply(http.StatusCreated, r.describe())
}

func (c *gitCall) createRepository() answer {
	b := c.body()
	name := textAt(b, "name")
	if name == "" || c.g.w.GitHub.Repos[strings.ToLower(c.part["org"]+"/"+name)] != nil {
		return gitFail(http.StatusUnprocessableEntity, "Repository creation failed: name already exists on this account")
	}
	r := c.g.newRepo(c.part["org"], name, map[string][]byte{"README.md": []byte("# " + name + "\n")})
	r.Description = textAt(b, "description")
	r.Private, _ = b["private"].(bool)
	return reply(http.StatusCreated, r.describe())
}

func (c *gitCall) getRepository() answer { return ok(c.repo.describe()) }

// unarchives reports whether a call takes a repository out of the archive and does nothing else.
func (c *gitCall) unarchives() bool {
	b := c.body()
	archived, told := b["archived"].(bool)
	return c.Method == http.MethodPatch && told && !archived && len(b) == 1
}

func (c *gitCall) editRepository() answer {
	b := c.body()
	if v, told := b["description"].(string); told {
		c.repo.Description = v
	}
	if v, told := b["private"].(bool); told {
		c.repo.Private = v
	}
	if v, told := b["archived"].(bool); told {
		c.repo.Archived = v
	}
	if v, told := b["default_branch"].(string); told {
		if c.repo.Branches[v] == nil {
			return gitFail(http.StatusUnprocessableEntity, "The branch %s was not found.", v)
		}
		c.repo.Default = v
	}
	return ok(c.repo.describe())
}

func (c *gitCall) deleteRepository() answer {
	delete(c.g.w.GitHub.Repos, strings.ToLower(c.repo.Owner+"/"+c.repo.Name))
	return reply(http.StatusNoContent, nil)
}

// empty is what is answered about the content of a repository whose template is still being copied.
func (c *gitCall) empty() bool { return c.repo.Filled.After(c.g.w.now()) }

func (c *gitCall) branch() *gitBranch {
	if c.empty() {
		return nil
	}
	return c.repo.Branches[c.part["branch"]]
}

func describeRef(branch, sha string) object {
	return object{"ref": "refs/heads/" + branch, "object": object{"sha": sha, "type": "commit"}}
}

func (c *gitCall) getRef() answer {
	if c.empty() {
		return gitFail(http.StatusConflict, "Git Repository is empty.")
	}
	b := c.branch()
	if b == nil {
		return gitMissing()
	}
	return ok(describeRef(c.part["branch"], b.SHA))
}

func (c *gitCall) createRef() answer {
	b := c.body()
	name, branch := strings.CutPrefix(textAt(b, "ref"), "refs/heads/")
	if !branch || name == "" {
		return gitFail(http.StatusUnprocessableEntity, "Reference name must begin with refs/heads/ in the simulation")
	}
	if c.repo.Branches[name] != nil {
		return gitFail(http.StatusUnprocessableEntity, "Reference already exists")
	}
	for _, from := range c.repo.Branches {
		if from.SHA == textAt(b, "sha") && !c.empty() {
			c.repo.Branches[name] = &gitBranch{SHA: from.SHA, Files: maps.Clone(from.Files)}
			return reply(http.StatusCreated, describeRef(name, from.SHA))
		}
	}
	return gitFail(http.StatusUnprocessableEntity, "Object does not exist")
}

func (c *gitCall) deleteRef() answer {
	b := c.branch()
	switch {
	case b == nil:
		return gitFail(http.StatusUnprocessableEntity, "Reference does not exist")
	case b.Protection != nil || c.part["branch"] == c.repo.Default:
		return gitFail(http.StatusUnprocessableEntity, "Cannot delete this protected branch")
	}
	delete(c.repo.Branches, c.part["branch"])
	return reply(http.StatusNoContent, nil)
}

func (c *gitCall) getBranch() answer {
	b := c.branch()
	if b == nil {
		return gitFail(http.StatusNotFound, "Branch not found")
	}
	return ok(object{"name": c.part["branch"], "commit": object{"sha": b.SHA}, "protected": b.Protection != nil})
}

func (c *gitCall) getProtection() answer {
	b := c.branch()
	switch {
	case b == nil:
		return gitFail(http.StatusNotFound, "Branch not found")
	case b.Protection == nil:
		return gitFail(http.StatusNotFound, "Branch not protected")
	}
	return ok(describeProtection(b.Protection))
}

// describeProtection is what a request told, in the form of an answer: switches become objects
// (docs.github.com/rest/branches/branch-protection).
func describeProtection(told object) object {
	out := object{}
	if v, is := told["required_status_checks"].(object); is {
		checks := clone(v)
		contexts := jsonTexts(v["contexts"])
		for _, check := range listAt(v, "checks") {
			contexts = append(contexts, textAt(asObject(check), "context"))
		}
		all := []object{}
		slices.Sort(contexts)
		contexts = slices.Compact(contexts)
		for _, name := range contexts {
			all = append(all, object{"context": name, "app_id": nil})
		}
		checks["contexts"], checks["checks"] = append([]string{}, contexts...), all
		out["required_status_checks"] = checks
	}
	if v, is := told["required_pull_request_reviews"].(object); is {
		out["required_pull_request_reviews"] = v
	}
	for _, name := range []string{"enforce_admins", "allow_force_pushes", "allow_deletions", "required_linear_history", "required_conversation_resolution", "lock_branch"} {
		on, _ := told[name].(bool)
		out[name] = object{"enabled": on}
	}
	return out
}

func (c *gitCall) protect() answer {
	b := c.branch()
	if b == nil {
		return gitFail(http.StatusNotFound, "Branch not found")
	}
	told := c.body()
	for _, name := range []string{"required_status_checks", "enforce_admins", "required_pull_request_reviews", "restrictions"} {
		if _, is := told[name]; !is {
			return gitFail(http.StatusUnprocessableEntity, "Invalid request. %q wasn't supplied.", name)
		}
	}
	b.Protection = told
	return ok(describeProtection(told))
}

func (c *gitCall) unprotect() answer {
	b := c.branch()
	if b == nil || b.Protection == nil {
		return gitFail(http.StatusNotFound, "Branch not protected")
	}
	b.Protection = nil
	return reply(http.StatusNoContent, nil)
}

// blobSHA is the name that git gives to content.
func blobSHA(data []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(data))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}

func (c *gitCall) contentBranch(name string) *gitBranch {
	if name == "" {
		name = c.repo.Default
	}
	if c.empty() {
		return nil
	}
	return c.repo.Branches[name]
}

func describeContent(path string, data []byte) object {
	return object{"type": "file", "name": path[strings.LastIndexByte(path, '/')+1:], "path": path, "sha": blobSHA(data), "size": len(data)}
}

func (c *gitCall) getFile() answer {
	b, path := c.contentBranch(c.Query.Get("ref")), c.part["path"]
	if b == nil {
		return gitFail(http.StatusNotFound, "No commit found for the ref %s", c.Query.Get("ref"))
	}
	if data, is := b.Files[path]; is {
		out := describeContent(path, data)
		out["encoding"], out["content"] = "base64", base64.StdEncoding.EncodeToString(data)
		return ok(out)
	}
	var inside []object
	for _, name := range slices.Sorted(maps.Keys(b.Files)) {
		if rest, is := strings.CutPrefix(name, path+"/"); is && !strings.Contains(rest, "/") {
			inside = append(inside, describeContent(name, b.Files[name]))
		}
	}
	if inside == nil {
		return gitMissing()
	}
	return ok(inside)
}

// writable finds the branch that a change of a file is for, and holds the change to the branch's rules and to what the
// caller has seen.
func (c *gitCall) writable() (object, *gitBranch, *answer) {
	told := c.body()
	if len(c.Body) == 0 { // a deletion may tell it in the query
		told = object{"message": c.Query.Get("message"), "sha": c.Query.Get("sha"), "branch": c.Query.Get("branch")}
	}
	refuse := func(status int, format string, args ...any) (object, *gitBranch, *answer) {
		a := gitFail(status, format, args...)
		return nil, nil, &a
	}
	b := c.contentBranch(textAt(told, "branch"))
	if b == nil {
		return refuse(http.StatusNotFound, "Branch %s not found", textAt(told, "branch"))
	}
	data, stands := b.Files[c.part["path"]]
	sha := textAt(told, "sha")
	_, reviews := b.Protection["required_pull_request_reviews"].(object)
	enforced, _ := b.Protection["enforce_admins"].(bool)
	switch {
	case reviews && enforced:
		return refuse(http.StatusConflict, "Changes must be made through a pull request.")
	case textAt(told, "message") == "":
		return refuse(http.StatusUnprocessableEntity, "Invalid request. \"message\" wasn't supplied.")
	case stands && sha == "":
		return refuse(http.StatusUnprocessableEntity, "Invalid request. \"sha\" wasn't supplied.")
	case stands && sha != blobSHA(data), !stands && sha != "":
		return refuse(http.StatusConflict, "%s does not match %s", c.part["path"], sha)
	}
	return told, b, nil
}

func (c *gitCall) putContent() answer {
	told, b, refused := c.writable()
	if refused != nil {
		return *refused
	}
	data, err := base64.StdEncoding.DecodeString(textAt(told, "content"))
	if err != nil {
		return gitFail(http.StatusUnprocessableEntity, "content is not valid Base64")
	}
	status := http.StatusOK
	if _, stands := b.Files[c.part["path"]]; !stands {
		status = http.StatusCreated
	}
	b.Files[c.part["path"]] = data
	c.g.commit(c.repo, b)
	return reply(status, object{"content": describeContent(c.part["path"], data), "commit": object{"sha": b.SHA, "message": told["message"]}})
}

func (c *gitCall) deleteContent() answer {
	told, b, refused := c.writable()
	if refused != nil {
		return *refused
	}
	if _, stands := b.Files[c.part["path"]]; !stands {
		return gitMissing()
	}
	delete(b.Files, c.part["path"])
	c.g.commit(c.repo, b)
	return ok(object{"content": nil, "commit": object{"sha": b.SHA, "message": told["message"]}})
}

func (c *gitCall) actionsPermissions() answer {
	return ok(object{"enabled": true, "allowed_actions": "all"})
}
