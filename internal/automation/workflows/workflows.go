// Package workflows writes what a repository needs so that GitHub deploys from it: workflows, the action that installs the
// program, and a Makefile with the names of the older system.
//
// It makes files and compares them with what stands; it does not speak to GitHub or Azure. The decisions of the pull-request
// bot are in automation/bot, these workflows only call it.
//
// The rule that holds here: no expression of GitHub stands inside a script. Whatever comes from an event, an input or a setting
// reaches a script as an environment variable, so that no text of somebody else can become part of it. And a file that people
// changed is not overwritten unasked.
package workflows

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
)

// Options say what the files are made for.
type Options struct {
	Environments []string // in the order in which a change reaches them; each is also the name of a GitHub environment
	PullRequest  string   // environment that the short-lived ones of pull requests take their definition from; empty means no bot
	Check        string   // environment whose pipelines run on GitHub's own machines for every change; empty means none
	Branch       string   // the branch that deploys; empty means main
	Secrets      []string // names that the definition mentions as ${NAME}
	ClientSecret bool     // sign in with ARM_CLIENT_SECRET; else with GitHub's own tokens
	Apps         bool     // there are apps
	Version      string   // of the program that the workflows install
	Life         time.Duration
}

// DefaultLife is how long a pull request's environment may stand after its last deployment.
const DefaultLife = 24 * time.Hour

// File is a file to be written. Path is relative to the repository, with slashes.
type File struct {
	Path    string
	Content []byte
}

var (
	environmentName = regexp.MustCompile(`^[a-z0-9_-]{1,12}$`)
	branchName      = regexp.MustCompile(`^[A-Za-z0-9._/-]{1,100}$`)
	secretName      = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	versionName     = regexp.MustCompile(`^[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)
)

// reserved are names that the workflows set themselves.
var reserved = []string{"ENVIRONMENT", "SUFFIX_OVERRIDE", "ARM_CLIENT_ID", "ARM_TENANT_ID", "ARM_SUBSCRIPTION_ID", "ARM_CLIENT_SECRET",
	"FLOWEHR_REPOSITORIES_GH_TOKEN", "GH_APP_CERT", "CI_RESOURCE_GROUP", "CI_CONTAINER_REGISTRY", "CI_STORAGE_ACCOUNT", "CI_PEERING_VNET",
	"PATH", "HOME", "CI", "LAYER"}

func (o Options) check() error {
	if len(o.Environments) == 0 {
		return fmt.Errorf("no environment to deploy: add a file config.NAME.yaml")
	}
	names := slices.Clone(o.Environments)
	for _, more := range []string{o.PullRequest, o.Check} {
		if more != "" {
			names = append(names, more)
		}
	}
	for _, e := range names {
		if !environmentName.MatchString(e) {
			return fmt.Errorf("%q is no environment: at most 12 lower-case letters, digits, - and _", e)
		}
	}
	if slices.Contains(o.Environments, o.PullRequest) {
		return fmt.Errorf("%s is deployed from the branch, so pull requests need another environment", o.PullRequest)
	}
	if slices.Contains(o.Environments, everyEnvironment) {
		return fmt.Errorf("an environment cannot be called %q here: in the workflow that means every one", everyEnvironment)
	}
	if len(o.Environments) != len(slices.Compact(slices.Sorted(slices.Values(o.Environments)))) {
		return fmt.Errorf("an environment is named twice: %s", strings.Join(o.Environments, ", "))
	}
	if !branchName.MatchString(o.Branch) {
		return fmt.Errorf("%q is no branch: letters, digits, . / - and _", o.Branch)
	}
	if !versionName.MatchString(o.Version) {
		return fmt.Errorf("%q is no released version of flowehr: want a number like 1.2.3", o.Version)
	}
	for _, s := range o.Secrets {
		if !secretName.MatchString(s) {
			return fmt.Errorf("%q is no name of a secret", s)
		}
		if strings.HasPrefix(strings.ToUpper(s), "GITHUB_") {
			return fmt.Errorf("GitHub keeps no secret whose name begins with GITHUB_, so ${%s} of the definition must be called otherwise", s)
		}
	}
	return nil
}

// everyEnvironment is what one chooses to deploy all of them by hand.
const everyEnvironment = "all"

//go:embed files
var embedded embed.FS

// checkout is the one action of somebody else that the workflows use. It is named by its commit, because a tag can be moved to
// other code.
const checkout = "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8 # v5.0.0"

// values are what the files are filled with.
type values struct {
	Options
	Checkout string
	Every    string
}

// Render makes the files. It is pure: the same options give the same files.
func Render(o Options) ([]File, error) {
	if o.Branch == "" {
		o.Branch = "main"
	}
	if o.Life == 0 {
		o.Life = DefaultLife
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	o.Secrets = slices.DeleteFunc(slices.Compact(slices.Sorted(slices.Values(o.Secrets))), func(s string) bool { return slices.Contains(reserved, s) })
	v := values{Options: o, Checkout: checkout, Every: everyEnvironment}
	files, err := render("files/repository", v, func(name string) bool {
		switch path.Base(name) {
		case "flowehr-bot.yml", "flowehr-pull-request.yml", "flowehr-sweep.yml":
			return o.PullRequest != ""
		case "flowehr-apps.yml":
			return o.Apps
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return append(files, Makefile()), nil
}

// AppTemplate makes the two reusable workflows that a template of app repositories must have: the deploy workflows that are put
// into every app's repository call them.
func AppTemplate() ([]File, error) {
	return render("files/app", values{Checkout: checkout}, func(string) bool { return true })
}

// Makefile has the names of the older system.
func Makefile() File {
	b, err := embedded.ReadFile("files/Makefile")
	if err != nil {
		panic("workflows: " + err.Error()) // it is embedded
	}
	return File{"Makefile", signed(b)}
}

// places says where the files of a folder go.
var places = map[string]string{"action.yml": ".github/actions/setup-flowehr/"}

func render(dir string, v values, wanted func(name string) bool) ([]File, error) {
	shared, err := template.New("").Delims("<%", "%>").Funcs(template.FuncMap{"before": before}).ParseFS(embedded, "files/shared.tmpl")
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(embedded, dir)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries {
		name := strings.TrimSuffix(e.Name(), ".tmpl")
		if !wanted(name) {
			continue
		}
		text, err := embedded.ReadFile(dir + "/" + e.Name())
		if err != nil {
			return nil, err
		}
		t, err := template.Must(shared.Clone()).New(name).Parse(string(text))
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, v); err != nil {
			return nil, err
		}
		place := ".github/workflows/"
		if p, ok := places[name]; ok {
			place = p
		}
		files = append(files, File{place + name, signed(b.Bytes())})
	}
	return files, nil
}

// before is the environment that a change reaches before the one at index n.
func before(environments []string, n int) string {
	if n == 0 {
		return ""
	}
	return environments[n-1]
}
