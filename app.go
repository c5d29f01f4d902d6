package flowehr

// App is something that serves HTTP behind the platform's sign-in.
type App struct {
	ID           string
	Name         string
	Description  string
	Project      string
	TestingSlot  bool
	Owners       map[string]string // forge user name -> directory e-mail
	Contributors map[string]string
	ManagedRepo  *ManagedRepo
	Branch       Branch
	Env          map[string]Text
	Auth         *Auth
	Pos          Pos
}

// ManagedRepo is a source repository that the platform makes from a template.
type ManagedRepo struct {
	Private  bool
	Template string // ORG/REPO
}

// Branch is the protection of the branch that deploys to the environment.
type Branch struct {
	Approvals    int
	DismissStale bool
}

// Auth is how people sign in to an app.
type Auth struct {
	EasyAuth            bool
	Roles               []AppRole
	SPA                 bool
	AdditionalRedirects []string
}

// AppRole is a role that the directory can give to a person in one app.
type AppRole struct{ Value, DisplayName, Description string }
