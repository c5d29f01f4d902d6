package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-github/v88/github"
)

// Team is a team of an organisation and what it may do in one repository.
type Team struct {
	Owner       string
	Name        string
	Description string
	Members     []string // user names, in any case
	Maintainers bool     // members maintain the team
	Repository  string
	Permission  string // pull, triage, push, maintain, admin
	ID          int64
	slug        string
}

// Team returns the team of a name, with its members and those who were invited, and what it may do in repository. The
// error is ErrNotFound when there is none.
func (c *Client) Team(ctx context.Context, owner, name, repository string) (Team, error) {
	t, err := c.findTeam(ctx, owner, name)
	if err != nil {
		return Team{}, err
	}
	t.Repository = repository
	roles, err := c.members(ctx, t)
	if err != nil {
		return Team{}, err
	}
	t.Maintainers = len(roles) > 0
	for name, role := range roles {
		t.Members = append(t.Members, name)
		t.Maintainers = t.Maintainers && role == maintainer
	}
	slices.Sort(t.Members)
	t.Permission, err = c.permission(ctx, t)
	return t, err
}

// findTeam lists teams, because the short name that GitHub makes of a name is not documented.
func (c *Client) findTeam(ctx context.Context, owner, name string) (Team, error) {
	var found *github.Team
	err := pages(func(o github.ListOptions) (*github.Response, error) {
		list, res, err := c.api.Teams.ListTeams(ctx, owner, &o)
		for _, t := range list {
			if strings.EqualFold(t.GetName(), name) {
				found = t
			}
		}
		return res, err
	})
	if err != nil {
		return Team{}, failed(err, "teams of %s", owner)
	}
	if found == nil {
		return Team{}, fmt.Errorf("team %s of %s: %w", name, owner, ErrNotFound)
	}
	return Team{Owner: owner, Name: found.GetName(), Description: found.GetDescription(), ID: found.GetID(), slug: found.GetSlug()}, nil
}

// Roles within a team.
const (
	member     = "member"
	maintainer = "maintainer"
)

// members returns the role of each member and invited person by lower-case user name.
func (c *Client) members(ctx context.Context, t Team) (map[string]string, error) {
	roles := map[string]string{}
	for _, role := range []string{member, maintainer} {
		err := pages(func(o github.ListOptions) (*github.Response, error) {
			list, res, err := c.api.Teams.ListTeamMembersBySlug(ctx, t.Owner, t.slug, &github.TeamListTeamMembersOptions{Role: role, ListOptions: o})
			for _, u := range list {
				roles[strings.ToLower(u.GetLogin())] = role
			}
			return res, err
		})
		if err != nil {
			return nil, failed(err, "members of team %s", t.Name)
		}
	}
	err := pages(func(o github.ListOptions) (*github.Response, error) {
		list, res, err := c.api.Teams.ListPendingTeamInvitationsBySlug(ctx, t.Owner, t.slug, &o)
		for _, invited := range list {
			if name := invited.GetLogin(); name != "" {
				roles[strings.ToLower(name)] = c.invitedRole(ctx, t, name)
			}
		}
		return res, err
	})
	return roles, failed(err, "invitations to team %s", t.Name)
}

// invitedRole: an invitation names the role in the organisation, the membership the one in the team.
func (c *Client) invitedRole(ctx context.Context, t Team, name string) string {
	m, _, err := c.api.Teams.GetTeamMembershipBySlug(ctx, t.Owner, t.slug, name)
	if err != nil {
		return member
	}
	return m.GetRole()
}

// permission returns what the team may do in its repository, empty when nothing.
func (c *Client) permission(ctx context.Context, t Team) (string, error) {
	if t.Repository == "" {
		return "", nil
	}
	r, _, err := c.api.Teams.IsTeamRepoBySlug(ctx, t.Owner, t.slug, t.Owner, t.Repository)
	if err != nil {
		return "", ignoreNotFound(failed(err, "permission of team %s", t.Name))
	}
	p := r.GetPermissions()
	switch {
	case p.GetAdmin():
		return "admin", nil
	case p.GetMaintain():
		return "maintain", nil
	case p.GetPush():
		return "push", nil
	case p.GetTriage():
		return "triage", nil
	case p.GetPull():
		return "pull", nil
	}
	return "", nil
}

// EnsureTeam makes the team stand with exactly its members and permission. Whoever is not in the organisation is invited.
func (c *Client) EnsureTeam(ctx context.Context, want Team) (Team, error) {
	have, err := c.findTeam(ctx, want.Owner, want.Name)
	switch {
	case errors.Is(err, ErrNotFound):
		if have, err = c.makeTeam(ctx, want); err != nil {
			return Team{}, err
		}
	case err != nil:
		return Team{}, err
	case have.Description != want.Description:
		change := github.NewTeam{Name: want.Name, Description: &want.Description}
		if _, _, err := c.api.Teams.EditTeamBySlug(ctx, want.Owner, have.slug, change, false); err != nil {
			return Team{}, failed(err, "change team %s", want.Name)
		}
	}
	want.ID, want.slug = have.ID, have.slug
	if err := c.ensureMembers(ctx, want); err != nil {
		return Team{}, err
	}
	now, err := c.permission(ctx, want)
	if err != nil || want.Repository == "" || now == want.Permission {
		return want, err
	}
	_, err = c.api.Teams.AddTeamRepoBySlug(ctx, want.Owner, want.slug, want.Owner, want.Repository, &github.TeamAddTeamRepoOptions{Permission: want.Permission})
	return want, failed(err, "give team %s the permission %s in %s", want.Name, want.Permission, want.Repository)
}

func (c *Client) makeTeam(ctx context.Context, want Team) (Team, error) {
	t, _, err := c.api.Teams.CreateTeam(ctx, want.Owner, github.NewTeam{Name: want.Name, Description: &want.Description, Privacy: github.Ptr("closed")})
	if status(err) == http.StatusUnprocessableEntity {
		return c.findTeam(ctx, want.Owner, want.Name) // made by an earlier request whose answer was lost
	}
	if err != nil {
		return Team{}, failed(err, "make team %s", want.Name)
	}
	return Team{Owner: want.Owner, Name: t.GetName(), ID: t.GetID(), slug: t.GetSlug()}, nil
}

func (c *Client) ensureMembers(ctx context.Context, t Team) error {
	have, err := c.members(ctx, t)
	if err != nil {
		return err
	}
	role := member
	if t.Maintainers {
		role = maintainer
	}
	wanted := map[string]bool{}
	for _, name := range t.Members {
		wanted[strings.ToLower(name)] = true
		if have[strings.ToLower(name)] == role {
			continue
		}
		_, _, err := c.api.Teams.AddTeamMembershipBySlug(ctx, t.Owner, t.slug, name, &github.TeamAddTeamMembershipOptions{Role: role})
		if err != nil {
			return failed(err, "add GitHub user %s to team %s", name, t.Name)
		}
	}
	for name := range have {
		if wanted[name] {
			continue
		}
		if _, err := c.api.Teams.RemoveTeamMembershipBySlug(ctx, t.Owner, t.slug, name); err != nil && status(err) != http.StatusNotFound {
			return failed(err, "remove GitHub user %s from team %s", name, t.Name)
		}
	}
	return nil
}

// DeleteTeam removes a team. One that does not exist is no error.
func (c *Client) DeleteTeam(ctx context.Context, owner, name string) error {
	t, err := c.findTeam(ctx, owner, name)
	if err != nil {
		return ignoreNotFound(err)
	}
	_, err = c.api.Teams.DeleteTeamBySlug(ctx, owner, t.slug)
	return ignoreNotFound(failed(err, "delete team %s", name))
}
