// Package hub asks GitHub's REST API what automation must know of one repository, and does there what automation decided:
// comments, commit statuses, starting workflows, settings, tokens for runners.
//
// It decides nothing (automation/bot does) and manages no repositories of apps (package github does, which also seals secrets and
// tells subjects of tokens for both).
//
// The rule that holds here: every name in an address was checked to be one, and a secret leaves the machine only sealed for the
// repository.
package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/automation/bot"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Options say which repository, and as whom.
type Options struct {
	Client     *cloud.Client
	Base       string // of the API; empty means https://api.github.com
	Repository string // owner/name
	Token      flowehr.Secret
}

// Hub is one repository on GitHub. It may be used by many goroutines.
type Hub struct {
	o       Options
	service cloud.Service
}

var repositoryName = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$`)

// New checks the options. It makes no request.
func New(o Options) (*Hub, error) {
	if !repositoryName.MatchString(o.Repository) {
		return nil, fmt.Errorf("%q is no repository: want OWNER/NAME", o.Repository)
	}
	if o.Base == "" {
		o.Base = "https://api.github.com"
	}
	if !strings.HasPrefix(o.Base, "https://") {
		return nil, fmt.Errorf("%s: a token is sent over https only", o.Base)
	}
	return &Hub{o, cloud.Service{Name: "GitHub", Base: strings.TrimSuffix(o.Base, "/")}}, nil
}

// Repository is owner/name.
func (h *Hub) Repository() string { return h.o.Repository }

// call makes a request below the repository.
func (h *Hub) call(ctx context.Context, method, path string, body, into any) error {
	r := cloud.Request{Method: method, Path: "/repos/" + h.o.Repository + path, Body: body, Header: map[string]string{
		"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "Authorization": "Bearer " + h.o.Token.Reveal()}}
	res, err := h.patiently(ctx, r)
	if err != nil || into == nil || len(res.Body) == 0 {
		return err
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return fmt.Errorf("answer of GitHub to %s %s: %w", method, path, err)
	}
	return nil
}

// tries of a request that GitHub puts off.
const tries = 4

// patiently repeats what GitHub puts off with 403 and a time to wait, which it does when requests come too fast. Such a request
// was not carried out (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api).
func (h *Hub) patiently(ctx context.Context, r cloud.Request) (cloud.Response, error) {
	for n := 1; ; n++ {
		res, err := h.o.Client.Do(ctx, h.service, r)
		e, refused := errors.AsType[*cloud.Error](err)
		if !refused || e.Status != http.StatusForbidden || e.RetryAfter == 0 || n == tries {
			return res, err
		}
		if werr := h.o.Client.Wait(ctx, e.RetryAfter); werr != nil {
			return res, err
		}
	}
}

// perPage: GitHub gives 100 at once, and at most 3,000 files of a pull request.
const perPage = 100

// pages reads a list to its end, or to the limit of pages, and reports whether there is more.
func pages[T any](ctx context.Context, h *Hub, path string, limit int) (all []T, more bool, err error) {
	join := "?"
	if strings.Contains(path, "?") {
		join = "&"
	}
	for n := 1; n <= limit; n++ {
		var page []T
		if err := h.call(ctx, http.MethodGet, fmt.Sprintf("%s%sper_page=%d&page=%d", path, join, perPage, n), nil, &page); err != nil {
			return nil, false, err
		}
		if all = append(all, page...); len(page) < perPage {
			return all, false, nil
		}
	}
	return all, true, nil
}

// Pull is part of [bot.Reader].
func (h *Hub) Pull(ctx context.Context, number int) (bot.Pull, string, error) {
	var p struct {
		Number int    `json:"number"`
		State  string `json:"state"`
		User   struct {
			Login string `json:"login"`
		} `json:"user"`
		Head struct {
			SHA  string `json:"sha"`
			Repo *struct {
				FullName string `json:"full_name"`
			} `json:"repo"`
		} `json:"head"`
	}
	if err := h.call(ctx, http.MethodGet, fmt.Sprintf("/pulls/%d", number), nil, &p); err != nil {
		return bot.Pull{}, "", err
	}
	out := bot.Pull{Number: p.Number, Open: p.State == "open", Head: p.Head.SHA}
	if p.Head.Repo != nil {
		out.HeadRepository = p.Head.Repo.FullName
	}
	return out, p.User.Login, nil
}

// Files is part of [bot.Reader].
func (h *Hub) Files(ctx context.Context, number int) (paths []string, partial bool, err error) {
	type file struct {
		Filename string `json:"filename"`
		Previous string `json:"previous_filename"`
	}
	files, partial, err := pages[file](ctx, h, fmt.Sprintf("/pulls/%d/files", number), 30)
	for _, f := range files {
		paths = append(paths, f.Filename)
		if f.Previous != "" {
			paths = append(paths, f.Previous)
		}
	}
	return paths, partial, err
}

// MayWrite is part of [bot.Reader]. GitHub tells what somebody may do in the end, whether by a team, by the organisation or in
// person; its word for who may maintain is write, for who may triage it is read.
func (h *Hub) MayWrite(ctx context.Context, login string) (bool, error) {
	var p struct {
		Permission string `json:"permission"`
	}
	err := h.call(ctx, http.MethodGet, "/collaborators/"+url.PathEscape(login)+"/permission", nil, &p)
	if cloud.NotFound(err) {
		return false, nil
	}
	return p.Permission == "admin" || p.Permission == "write", err
}

// Comment is part of [bot.Writer].
func (h *Hub) Comment(ctx context.Context, pull int, text string) error {
	return h.call(ctx, http.MethodPost, fmt.Sprintf("/issues/%d/comments", pull), map[string]string{"body": text}, nil)
}

// maxDescription is how long GitHub lets the text of a commit status be.
const maxDescription = 140

// SetStatus is part of [bot.Writer].
func (h *Hub) SetStatus(ctx context.Context, s bot.Status) error {
	text := []rune(s.Description)
	return h.call(ctx, http.MethodPost, "/statuses/"+url.PathEscape(s.SHA), map[string]string{
		"state": string(s.State), "description": string(text[:min(len(text), maxDescription)]), "context": bot.StatusContext}, nil)
}

// Dispatch is part of [bot.Writer].
func (h *Hub) Dispatch(ctx context.Context, inputs map[string]string) error {
	branch, err := h.DefaultBranch(ctx)
	if err != nil {
		return err
	}
	return h.call(ctx, http.MethodPost, "/actions/workflows/"+bot.Workflow+"/dispatches", map[string]any{"ref": branch, "inputs": inputs}, nil)
}

// DefaultBranch is the branch whose workflows and settings count.
func (h *Hub) DefaultBranch(ctx context.Context) (string, error) {
	var r struct {
		DefaultBranch string `json:"default_branch"`
	}
	err := h.call(ctx, http.MethodGet, "", nil, &r)
	if err == nil && r.DefaultBranch == "" {
		err = fmt.Errorf("repository %s has no default branch", h.o.Repository)
	}
	return r.DefaultBranch, err
}

// Pulls lists the open pull requests, and the highest number that any pull request has.
func (h *Hub) Pulls(ctx context.Context) (open []int, last int, err error) {
	type pull struct {
		Number int `json:"number"`
	}
	list, more, err := pages[pull](ctx, h, "/pulls?state=open&sort=created&direction=desc", 20)
	if err != nil {
		return nil, 0, err
	}
	if more { // what is not listed would be taken for closed
		return nil, 0, fmt.Errorf("repository %s has more open pull requests than are read", h.o.Repository)
	}
	for _, p := range list {
		open = append(open, p.Number)
	}
	var newest []pull
	if err := h.call(ctx, http.MethodGet, "/pulls?state=all&sort=created&direction=desc&per_page=1", nil, &newest); err != nil {
		return nil, 0, err
	}
	if len(newest) > 0 {
		last = newest[0].Number
	}
	return open, last, nil
}
