package automation

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// IdentityOptions describe the identity that CI signs in with.
type IdentityOptions struct {
	FlowEHRID string // flowehr_id of the definition

	// Repository is owner/name as GitHub writes it. SubjectPrefix is what GitHub begins the subjects of its tokens with for
	// that repository (automation/hub asks); empty means the form that repositories have which were made before
	// GitHub put numbers into it.
	Repository    string
	SubjectPrefix string

	Environments []string // GitHub environments whose jobs may sign in
	Branches     []string // branches whose jobs may sign in without an environment
	PullRequests bool     // jobs of any pull request of the repository; whoever can push a branch is then an owner of the subscription

	SecretDays int // makes a client secret that is good for so many days; 0 means none

	Automation bool // the program was not started by a person
	Now        flowehr.Clock
}

// ErrAutomation says that a machine tried what only a person may do.
var ErrAutomation = errors.New("the identity of CI is made by a person, not by automation")

// Permissions are the application permissions of Microsoft Graph that deploying needs, and what for.
var permissions = []Permission{
	{"Application.ReadWrite.All", "makes the applications of an environment"},
	{"AppRoleAssignment.ReadWrite.All", "gives the SQL server's identity leave to look people up"},
	{"Group.ReadWrite.All", "makes the groups of an environment and their members"},
	{"Directory.Read.All", "finds the owners and members that a definition names"},
}

// Permission is an application permission of Microsoft Graph.
type Permission struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// Permissions lists what the identity may do in the directory.
func Permissions() []Permission { return append([]Permission(nil), permissions...) }

// Identity is the application sp-flowehr-ci-{flowehr_id} with its service principal, credentials and rights.
type Identity struct {
	c *cloud.Client
	o IdentityOptions
}

var (
	idPattern         = regexp.MustCompile(`^[a-z0-9_-]{1,12}$`)
	repositoryPattern = regexp.MustCompile(`^[A-Za-z0-9-]+/[A-Za-z0-9._-]+$`)
	environmentName   = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
	branchName        = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,100}$`)
)

// NewIdentity checks the options. It makes no request.
func NewIdentity(c *cloud.Client, o IdentityOptions) (*Identity, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if !idPattern.MatchString(o.FlowEHRID) {
		return nil, fmt.Errorf("%q is no flowehr_id: at most 12 lower-case letters, digits, - and _", o.FlowEHRID)
	}
	trusts := len(o.Environments) + len(o.Branches)
	if o.PullRequests {
		trusts++
	}
	switch {
	case trusts > 0 && !repositoryPattern.MatchString(o.Repository):
		return nil, fmt.Errorf("%q is no repository: want OWNER/NAME", o.Repository)
	case trusts > maxFederations:
		return nil, fmt.Errorf("an application takes %d federated credentials, %d are wanted", maxFederations, trusts)
	case o.SecretDays < 0 || o.SecretDays > maxSecretDays:
		return nil, fmt.Errorf("a client secret may be good for 1 to %d days, not %d", maxSecretDays, o.SecretDays)
	case trusts == 0 && o.SecretDays == 0:
		return nil, errors.New("nothing could sign in: name a repository with its environments, or ask for a client secret")
	}
	for _, e := range o.Environments {
		if !environmentName.MatchString(e) {
			return nil, fmt.Errorf("%q is no name for a GitHub environment here: letters, digits, . - and _", e)
		}
	}
	for _, b := range o.Branches {
		if !branchName.MatchString(b) {
			return nil, fmt.Errorf("%q is no branch: letters, digits, . / - and _", b)
		}
	}
	return &Identity{c, o}, nil
}

// Limits of Entra, and ours on how long a secret may be forgotten.
const (
	maxFederations = 20
	maxSecretDays  = 365
)

// Name is what the application is called.
func (i *Identity) Name() string { return "sp-flowehr-ci-" + i.o.FlowEHRID }

// uniqueName is how Microsoft Graph finds the application again.
func (i *Identity) uniqueName() string { return azure.UniqueName(i.Name()) }

// Federation is trust in the tokens that GitHub gives to some jobs.
type Federation struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
}

// issuer and audience of the tokens of GitHub Actions.
const (
	issuer   = "https://token.actions.githubusercontent.com"
	audience = "api://AzureADTokenExchange"
)

// Federations lists the wanted federated credentials in order. Their names follow from what they trust, so that a changed
// list changes only what it must.
func (i *Identity) Federations() []Federation {
	prefix := i.o.SubjectPrefix
	if prefix == "" {
		prefix = "repo:" + i.o.Repository
	}
	var fs []Federation
	for _, e := range i.o.Environments {
		fs = append(fs, Federation{"github-environment-" + e, prefix + ":environment:" + e})
	}
	for _, b := range i.o.Branches {
		fs = append(fs, Federation{"github-branch-" + strings.ReplaceAll(b, "/", "."), prefix + ":ref:refs/heads/" + b})
	}
	if i.o.PullRequests {
		fs = append(fs, Federation{"github-pull-request", prefix + ":pull_request"})
	}
	return fs
}
