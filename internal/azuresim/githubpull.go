package azuresim

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// gitPull is a pull request between two branches of a repository.
type gitPull struct {
	Number int       `json:"number"`
	Title  string    `json:"title"`
	State  string    `json:"state"`
	User   string    `json:"user"`
	Head   string    `json:"head"` // branches
	Base   string    `json:"base"`
	Made   time.Time `json:"made"`
}

// gitComment is a comment on an issue or a pull request.
type gitComment struct {
	ID     int64     `json:"id"`
	Number int       `json:"number"`
	Body   string    `json:"body"`
	Made   time.Time `json:"made"`
}

func (g *gitHub) pullRoutes(add func(method, path string, do func(*gitCall) answer)) {
	add("GET", "/repos/{owner}/{repo}/pulls", (*gitCall).listPulls)
	add("POST", "/repos/{owner}/{repo}/pulls", (*gitCall).createPull)
	add("GET", "/repos/{owner}/{repo}/pulls/{number}", withPull((*gitCall).getPull))
	add("PATCH", "/repos/{owner}/{repo}/pulls/{number}", withPull((*gitCall).editPull))
	add("GET", "/repos/{owner}/{repo}/pulls/{number}/files", withPull((*gitCall).pullFiles))
	add("GET", "/repos/{owner}/{repo}/issues/{number}/comments", (*gitCall).listComments)
	add("POST", "/repos/{owner}/{repo}/issues/{number}/comments", (*gitCall).addComment)
	add("PATCH", "/repos/{owner}/{repo}/issues/comments/{comment}", (*gitCall).editComment)
	add("POST", "/repos/{owner}/{repo}/statuses/{sha}", (*gitCall).addStatus)
	add("GET", "/repos/{owner}/{repo}/commits/{sha}/statuses", (*gitCall).listStatuses)
	add("POST", "/repos/{owner}/{repo}/actions/workflows/{workflow}/dispatches", (*gitCall).dispatchWorkflow)
}

// withPull finds the pull request that a call is about.
func withPull(f func(*gitCall, *gitPull) answer) func(*gitCall) answer {
	return func(c *gitCall) answer {
		for _, p := range c.repo.Pulls {
			if strconv.Itoa(p.Number) == c.part["number"] {
				return f(c, p)
			}
		}
		return gitMissing()
	}
}

func (c *gitCall) describePull(p *gitPull) object {
	side := func(branch string) object {
		out := object{"ref": branch, "sha": "", "repo": object{"full_name": c.repo.Owner + "/" + c.repo.Name}}
		if b := c.repo.Branches[branch]; b != nil {
			out["sha"] = b.SHA
		}
		return out
	}
	return object{"number": p.Number, "title": p.Title, "state": p.State, "user": object{"login": p.User}, "head": side(p.Head), "base": side(p.Base),
		"created_at": p.Made.UTC().Format(time.RFC3339)}
}

// listPulls lists the newest first when it is asked to.
func (c *gitCall) listPulls() answer {
	state := c.Query.Get("state")
	out := []object{}
	for _, p := range c.repo.Pulls {
		if state == "all" || p.State == state || state == "" && p.State == "open" {
			out = append(out, c.describePull(p))
		}
	}
	if c.Query.Get("direction") == "desc" || c.Query.Get("direction") == "" {
		slices.Reverse(out)
	}
	return c.list(out)
}

func (c *gitCall) createPull() answer {
	b := c.body()
	p := &gitPull{Number: len(c.repo.Pulls) + 1, Title: textAt(b, "title"), State: "open", User: "simulated", Head: textAt(b, "head"), Base: textAt(b, "base"), Made: c.g.w.now()}
	if c.repo.Branches[p.Head] == nil || c.repo.Branches[p.Base] == nil {
		return gitFail(http.StatusUnprocessableEntity, "Validation Failed: head or base is no branch")
	}
	c.repo.Pulls = append(c.repo.Pulls, p)
	return reply(http.StatusCreated, c.describePull(p))
}

func (c *gitCall) getPull(p *gitPull) answer { return ok(c.describePull(p)) }

func (c *gitCall) editPull(p *gitPull) answer {
	b := c.body()
	if v := textAt(b, "title"); v != "" {
		p.Title = v
	}
	if v := textAt(b, "state"); v == "open" || v == "closed" {
		p.State = v
	}
	return ok(c.describePull(p))
}

// pullFiles are the files in which the two branches differ.
func (c *gitCall) pullFiles(p *gitPull) answer {
	var head, base map[string][]byte
	if b := c.repo.Branches[p.Head]; b != nil {
		head = b.Files
	}
	if b := c.repo.Branches[p.Base]; b != nil {
		base = b.Files
	}
	names := slices.Sorted(maps.Keys(head))
	for name := range base {
		if _, stays := head[name]; !stays {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	out := []object{}
	for _, name := range names {
		before, had := base[name]
		after, has := head[name]
		status := "modified"
		switch {
		case had && has && bytes.Equal(before, after):
			continue
		case !had:
			status = "added"
		case !has:
			status = "removed"
		}
		out = append(out, object{"filename": name, "status": status, "sha": blobSHA(after)})
	}
	return c.list(out)
}

func (m *gitComment) describe() object {
	return object{"id": m.ID, "body": m.Body, "user": object{"login": "simulated[bot]"}, "created_at": m.Made.UTC().Format(time.RFC3339)}
}

func (c *gitCall) listComments() answer {
	out := []object{}
	for _, m := range c.repo.Comments {
		if strconv.Itoa(m.Number) == c.part["number"] {
			out = append(out, m.describe())
		}
	}
	return c.list(out)
}

// commentLimit is how long a comment may be.
const commentLimit = 65536

func (c *gitCall) addComment() answer {
	number, err := strconv.Atoi(c.part["number"])
	body := textAt(c.body(), "body")
	switch {
	case err != nil:
		return gitMissing()
	case strings.TrimSpace(body) == "":
		return gitFail(http.StatusUnprocessableEntity, "Validation Failed: Body cannot be blank")
	case len(body) > commentLimit:
		return gitFail(http.StatusUnprocessableEntity, "Validation Failed: Body is too long")
	}
	m := &gitComment{ID: c.g.id(), Number: number, Body: body, Made: c.g.w.now()}
	c.repo.Comments = append(c.repo.Comments, m)
	return reply(http.StatusCreated, m.describe())
}

func (c *gitCall) editComment() answer {
	for _, m := range c.repo.Comments {
		if strconv.FormatInt(m.ID, 10) == c.part["comment"] {
			m.Body = textAt(c.body(), "body")
			return ok(m.describe())
		}
	}
	return gitMissing()
}

func (c *gitCall) addStatus() answer {
	b := c.body()
	if !slices.Contains([]string{"error", "failure", "pending", "success"}, textAt(b, "state")) {
		return gitFail(http.StatusUnprocessableEntity, "Validation Failed: state")
	}
	b["sha"] = c.part["sha"]
	c.repo.Statuses = append(c.repo.Statuses, b)
	return reply(http.StatusCreated, b)
}

// listStatuses lists the newest first.
func (c *gitCall) listStatuses() answer {
	out := []object{}
	for _, s := range slices.Backward(c.repo.Statuses) {
		if textAt(s, "sha") == c.part["sha"] {
			out = append(out, s)
		}
	}
	return c.list(out)
}

// dispatchWorkflow notes that a workflow was asked for. Nothing runs it.
func (c *gitCall) dispatchWorkflow() answer {
	b := c.body()
	if c.repo.Branches[textAt(b, "ref")] == nil {
		return gitFail(http.StatusUnprocessableEntity, "No ref found for: %s", textAt(b, "ref"))
	}
	b["workflow"] = c.part["workflow"]
	c.repo.Dispatches = append(c.repo.Dispatches, b)
	return reply(http.StatusNoContent, nil)
}
