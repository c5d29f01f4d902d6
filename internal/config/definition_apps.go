package config

import "github.com/flowehr/flowehr"

// App is one app of apps/apps*.yaml.
type App struct {
	At           Pos                      `yaml:"-"`
	Name         Value[string]            `yaml:"name" required:"true" doc:"Name for people."`
	Description  Value[string]            `yaml:"description" default:"Created by FlowEHR" doc:"What it is for, in a sentence."`
	TestingSlot  Value[bool]              `yaml:"add_testing_slot" default:"false" doc:"Add a second place to run it, to test a version before it is swapped in."`
	Project      Value[string]            `yaml:"project" default:"main" doc:"Project that it belongs to."`
	Owners       Map[Value[string]]       `yaml:"owners" pattern:"[^@\\s]+@[^@\\s]+" shape:"an e-mail address of the directory" doc:"People who approve its releases: GitHub user name to directory e-mail address."`
	Contributors Map[Value[string]]       `yaml:"contributors" pattern:"[^@\\s]+@[^@\\s]+" shape:"an e-mail address of the directory" doc:"People who work on it: GitHub user name to directory e-mail address."`
	ManagedRepo  *ManagedRepo             `yaml:"managed_repo" doc:"Source repository to create from a template."`
	Branch       *Branch                  `yaml:"branch" doc:"Protection of the branch that deploys to the environment."`
	Env          Map[Value[flowehr.Text]] `yaml:"env" doc:"Settings of the app. WEBSITES_PORT is the port that it listens on."`
	Auth         *Auth                    `yaml:"auth" doc:"How people sign in."`
}

// ManagedRepo is managed_repo of an app.
type ManagedRepo struct {
	At       Pos           `yaml:"-"`
	Private  Value[bool]   `yaml:"private" required:"true" doc:"Whether only members can see it."`
	Template Value[string] `yaml:"template" required:"true" pattern:"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+" shape:"ORGANISATION/REPOSITORY" doc:"Template to create it from, as ORGANISATION/REPOSITORY."`
}

// Branch is branch of an app.
type Branch struct {
	At           Pos         `yaml:"-"`
	Approvals    Value[int]  `yaml:"num_of_approvals" min:"0" max:"6" default:"1" doc:"Approvals that a change needs. With real data at least 1."`
	DismissStale Value[bool] `yaml:"dismiss_stale_reviews" default:"false, true with real data" doc:"A new commit takes earlier approvals back."`
}

// Auth is auth of an app.
type Auth struct {
	At       Pos         `yaml:"-"`
	EasyAuth Value[bool] `yaml:"easy_auth" default:"false" doc:"The platform signs people in before the app sees them."`
	Roles    []AppRole   `yaml:"app_roles" doc:"Roles that the directory can give to people in this app."`
	SPA      *SPA        `yaml:"single_page_application" doc:"The app signs people in from the browser."`
}

// AppRole is one of auth.app_roles.
type AppRole struct {
	At          Pos           `yaml:"-"`
	Value       Value[string] `yaml:"value" required:"true" pattern:"[^\\s]+" shape:"a word without spaces" doc:"The role as the app sees it."`
	DisplayName Value[string] `yaml:"display_name" required:"true" doc:"Name for people."`
	Description Value[string] `yaml:"description" required:"true" doc:"What the role is for."`
}

// SPA is auth.single_page_application.
type SPA struct {
	At        Pos             `yaml:"-"`
	Redirects []Value[string] `yaml:"additional_redirect_uris" doc:"More addresses that a sign-in may return to."`
}
