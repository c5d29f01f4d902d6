package hub_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/automation"
	"github.com/flowehr/flowehr/internal/automation/bot"
	"github.com/flowehr/flowehr/internal/automation/hub"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// simulated is a repository on the simulated GitHub.
type simulated struct {
	t      *testing.T
	client *cloud.Client
	hub    *hub.Hub
}

const org = "Hospital"

// call asks the simulated GitHub in the name of its administrator.
func (s *simulated) call(method, path string, body, into any) {
	s.t.Helper()
	service := cloud.Service{Name: "GitHub", Base: "https://api.github.com"}
	res, err := s.client.Do(s.t.Context(), service, cloud.Request{Method: method, Path: path, Body: body, Header: map[string]string{"Authorization": "Bearer ghp_admin"}})
	if err != nil {
		s.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(res.Body, into); err != nil {
			s.t.Fatal(err)
		}
	}
}

// simulateRepository makes a repository with somebody who may write, and a pull request that changes the configuration.
func simulateRepository(t *testing.T) *simulated {
	t.Helper()
	sim, err := azuresim.New(azuresim.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sim.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := errors.Join(<-ended, sim.Close()); err != nil {
			t.Errorf("end of the simulation: %v", err)
		}
	})
	remote, err := azuresim.Connect(l.Addr().String(), sim.CA())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(remote.Transport.CloseIdleConnections)
	s := &simulated{t: t, client: cloud.New(cloud.Options{Transport: remote, Wait: remote.Wait})}
	if s.hub, err = hub.New(hub.Options{Client: s.client, Repository: org + "/env", Token: flowehr.NewSecret("ghp_admin")}); err != nil {
		t.Fatal(err)
	}
	s.call(http.MethodPost, "/orgs/"+org+"/repos", map[string]any{"name": "env", "private": true}, nil)
	s.call(http.MethodPost, "/orgs/"+org+"/teams", map[string]any{"name": "platform"}, nil)
	s.call(http.MethodPut, "/orgs/"+org+"/teams/platform/repos/"+org+"/env", map[string]any{"permission": "push"}, nil)
	for _, member := range []string{"ada", "simulated"} {
		s.call(http.MethodPut, "/orgs/"+org+"/teams/platform/memberships/"+member, map[string]any{"role": "member"}, nil)
	}
	return s
}

// pull opens a pull request that changes one file.
func (s *simulated) pull(branch, file string) (number int, head string) {
	s.t.Helper()
	const repo = "/repos/" + org + "/env"
	var base struct{ Object struct{ SHA string } }
	s.call(http.MethodGet, repo+"/git/ref/heads/main", nil, &base)
	s.call(http.MethodPost, repo+"/git/refs", map[string]any{"ref": "refs/heads/" + branch, "sha": base.Object.SHA}, nil)
	s.call(http.MethodPut, repo+"/contents/"+file, map[string]any{"message": "x", "content": base64.StdEncoding.EncodeToString([]byte(branch)), "branch": branch}, nil)
	var made struct {
		Number int
		Head   struct{ SHA string }
	}
	s.call(http.MethodPost, repo+"/pulls", map[string]any{"title": "x", "head": branch, "base": "main"}, &made)
	return made.Number, made.Head.SHA
}

// said is what GitHub has of a pull request: statuses of its newest commit, newest first, and comments.
func (s *simulated) said(number int, head string) (statuses, comments []string) {
	s.t.Helper()
	const repo = "/repos/" + org + "/env"
	var st []struct{ State, Description, Context string }
	s.call(http.MethodGet, repo+"/commits/"+head+"/statuses", nil, &st)
	for _, x := range st {
		if x.Context == bot.StatusContext {
			statuses = append(statuses, x.State+": "+x.Description)
		}
	}
	var cs []struct{ Body string }
	s.call(http.MethodGet, fmt.Sprintf("%s/issues/%d/comments", repo, number), nil, &cs)
	for _, x := range cs {
		first, _, _ := strings.Cut(x.Body, ".")
		comments = append(comments, first)
	}
	return statuses, comments
}

// TestPullRequestFromCommentToReport goes the whole way of a pull request on the simulated GitHub.
func TestPullRequestFromCommentToReport(t *testing.T) {
	s := simulateRepository(t)
	number, head := s.pull("change", "config.yaml")
	event := func(name, text string) bot.Payload {
		t.Helper()
		p, err := bot.ReadPayload(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	comment := func(author, body string) bot.Payload {
		return event("issue_comment", fmt.Sprintf(`{"action":"created","repository":{"full_name":"%s/env"},"issue":{"number":%d,"pull_request":{}},
			"comment":{"body":%q,"html_url":"https://github.com/c","user":{"login":%q,"type":"User"}}}`, org, number, body, author))
	}
	changed := func(number int) bot.Payload {
		return event("pull_request_target", fmt.Sprintf(`{"action":"opened","repository":{"full_name":"%s/env"},"pull_request":{"number":%d}}`, org, number))
	}
	answer := func(p bot.Payload) bot.Decision {
		t.Helper()
		d, err := bot.Answer(t.Context(), s.hub, p)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	answer(changed(number))
	answer(comment("eve", "/test"))
	d := answer(comment("ada", "/test\nLooks fine."))
	if d.Dispatch == nil || d.Dispatch.SHA != head || d.Dispatch.Action != bot.ActionTest {
		t.Fatalf("got %+v", d)
	}
	if err := bot.Report(t.Context(), s.hub, bot.Outcome{Action: bot.ActionTest, Pull: number, SHA: head, Result: "success", RunURL: "https://github.com/r"}); err != nil {
		t.Fatal(err)
	}
	statuses, comments := s.said(number, head)
	suffix := bot.Suffix(org+"/env", number)
	if d := cmp.Diff([]string{"success: deployed and its pipelines ran", "pending: deploying " + suffix, "pending: waiting for somebody to comment /test"}, statuses); d != "" {
		t.Error(d)
	}
	want := []string{"Only people with write access to this repository may give commands here", "Trying out " + head + " as environment `" + suffix + "`",
		"Trying out " + head + " ended with: success"}
	if d := cmp.Diff(want, comments); d != "" {
		t.Error(d)
	}

	page, pageHead := s.pull("words", "docs.md")
	answer(changed(page))
	if statuses, _ := s.said(page, pageHead); !slices.Equal(statuses, []string{"success: documentation only, nothing to deploy"}) {
		t.Errorf("documentation: %q", statuses)
	}
	s.call(http.MethodPatch, fmt.Sprintf("/repos/%s/env/pulls/%d", org, page), map[string]any{"state": "closed"}, nil)
	open, last, err := s.hub.Pulls(t.Context())
	if err != nil || last != page || !slices.Equal(open, []int{number}) {
		t.Errorf("open %v, last %d, %v", open, last, err)
	}
}

// TestSettingsArriveAtGitHub: what auth and bootstrap store, twice.
func TestSettingsArriveAtGitHub(t *testing.T) {
	s := simulateRepository(t)
	settings := append(automation.BootstrapOptions{FlowEHRID: "hospital"}.Settings([]string{"dev", "prod"}),
		automation.Setting{Name: automation.ClientID, Kind: automation.Secret, Value: "client"},
		automation.Setting{Name: automation.ClientSecret, Kind: automation.Secret, Secret: flowehr.NewSecret("hunter2")})
	for range 2 {
		if err := automation.Store(t.Context(), s.hub, settings); err != nil {
			t.Fatal(err)
		}
	}
	const repo = "/repos/" + org + "/env"
	var secrets struct{ Secrets []struct{ Name string } }
	s.call(http.MethodGet, repo+"/actions/secrets", nil, &secrets)
	var names []string
	for _, x := range secrets.Secrets {
		names = append(names, x.Name)
	}
	if !slices.Equal(names, []string{"ARM_CLIENT_ID", "ARM_CLIENT_SECRET"}) {
		t.Errorf("secrets: %q", names)
	}
	for path, want := range map[string]string{"/actions/variables": "CI_GITHUB_RUNNER_LABEL=ubuntu-24.04",
		"/environments/prod/variables": "CI_CONTAINER_REGISTRY=acrhospitalci CI_PEERING_VNET=vnet-hospital-ci CI_RESOURCE_GROUP=rg-hospital-ci CI_STORAGE_ACCOUNT=strghospitalci"} {
		var list struct {
			Variables []struct{ Name, Value string }
		}
		s.call(http.MethodGet, repo+path, nil, &list)
		var got []string
		for _, v := range list.Variables {
			got = append(got, v.Name+"="+v.Value)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != want {
			t.Errorf("%s: got %q", path, got)
		}
	}
	var branches struct {
		Policies []struct{ Name string } `json:"branch_policies"`
	}
	s.call(http.MethodGet, repo+"/environments/prod/deployment-branch-policies", nil, &branches)
	if len(branches.Policies) != 1 || branches.Policies[0].Name != "main" {
		t.Errorf("branches that deploy to prod: %+v", branches)
	}
	if token, until, err := s.hub.RegistrationToken(t.Context()); err != nil || token.Reveal() == "" || until.IsZero() {
		t.Errorf("token until %v, %v", until, err)
	}
	if prefix, err := s.hub.SubjectPrefix(t.Context()); err != nil || !strings.HasPrefix(prefix, "repo:") {
		t.Errorf("%q, %v", prefix, err)
	}
}
