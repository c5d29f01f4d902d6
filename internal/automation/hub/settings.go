package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/github"
)

// SubjectPrefix is what GitHub begins the subjects of the repository's tokens with, such as repo:owner/name; see
// [github.Subjects].
func (h *Hub) SubjectPrefix(ctx context.Context) (string, error) {
	var s github.Subjects
	if err := h.call(ctx, http.MethodGet, "/actions/oidc/customization/sub", nil, &s); err != nil && !cloud.NotFound(err) {
		return "", err
	}
	var r struct {
		FullName string `json:"full_name"`
	}
	if err := h.call(ctx, http.MethodGet, "", nil, &r); err != nil {
		return "", err
	}
	return s.Prefix(r.FullName)
}

var (
	environmentName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	settingName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// KeepEnvironment makes a GitHub environment that only the default branch deploys to. One that stands keeps its own rules; one
// that no branch may deploy to, as an interrupted call leaves it, gets the default branch.
func (h *Hub) KeepEnvironment(ctx context.Context, name string) error {
	if !environmentName.MatchString(name) {
		return fmt.Errorf("%q is no name of a GitHub environment", name)
	}
	type policy struct {
		Protected bool `json:"protected_branches"`
		Custom    bool `json:"custom_branch_policies"`
	}
	var e struct {
		Branches *policy `json:"deployment_branch_policy"`
	}
	path := "/environments/" + name
	err := h.call(ctx, http.MethodGet, path, nil, &e)
	if cloud.NotFound(err) {
		e.Branches = &policy{Custom: true}
		err = h.call(ctx, http.MethodPut, path, map[string]any{"deployment_branch_policy": e.Branches}, nil)
	}
	if err != nil || e.Branches == nil || !e.Branches.Custom {
		return err
	}
	var branches struct {
		Count int `json:"total_count"`
	}
	if err := h.call(ctx, http.MethodGet, path+"/deployment-branch-policies", nil, &branches); err != nil || branches.Count > 0 {
		return err
	}
	branch, err := h.DefaultBranch(ctx)
	if err != nil {
		return err
	}
	return h.call(ctx, http.MethodPost, path+"/deployment-branch-policies", map[string]string{"name": branch}, nil)
}

// KeepVariable sets a variable of an environment, or of the repository when environment is empty.
func (h *Hub) KeepVariable(ctx context.Context, environment, name, value string) error {
	path, err := below(environment, "variables", name)
	if err != nil {
		return err
	}
	body := map[string]string{"name": name, "value": value}
	err = h.call(ctx, http.MethodPatch, path+"/"+name, body, nil)
	if cloud.NotFound(err) {
		err = h.call(ctx, http.MethodPost, path, body, nil)
	}
	return err
}

// KeepSecret sets a secret of an environment, or of the repository when environment is empty. GitHub takes it sealed for a key
// that it gives out for that purpose.
func (h *Hub) KeepSecret(ctx context.Context, environment, name string, value flowehr.Secret) error {
	path, err := below(environment, "secrets", name)
	if err != nil {
		return err
	}
	var key struct {
		ID  string `json:"key_id"`
		Key string `json:"key"`
	}
	if err := h.call(ctx, http.MethodGet, path+"/public-key", nil, &key); err != nil {
		return err
	}
	sealed, err := github.Seal(key.Key, value)
	if err != nil {
		return err
	}
	return h.call(ctx, http.MethodPut, path+"/"+name, map[string]string{"encrypted_value": sealed, "key_id": key.ID}, nil)
}

func below(environment, kind, name string) (string, error) {
	switch {
	case !settingName.MatchString(name):
		return "", fmt.Errorf("%q is no name of a setting", name)
	case environment == "":
		return "/actions/" + kind, nil
	case !environmentName.MatchString(environment):
		return "", fmt.Errorf("%q is no name of a GitHub environment", environment)
	}
	return "/environments/" + url.PathEscape(environment) + "/" + kind, nil
}

// RegistrationToken makes a token with which a runner registers. Only who administers the repository may.
func (h *Hub) RegistrationToken(ctx context.Context) (flowehr.Secret, time.Time, error) {
	var t struct {
		Token   string    `json:"token"`
		Expires time.Time `json:"expires_at"`
	}
	if err := h.call(ctx, http.MethodPost, "/actions/runners/registration-token", nil, &t); err != nil {
		return flowehr.Secret{}, time.Time{}, err
	}
	if t.Token == "" {
		return flowehr.Secret{}, time.Time{}, errors.New("GitHub made no registration token")
	}
	return flowehr.NewSecret(t.Token), t.Expires, nil
}
