package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
	"github.com/flowehr/flowehr/internal/factory"
	"github.com/flowehr/flowehr/internal/target/local"
	"github.com/flowehr/flowehr/internal/vault"
)

// pipelinesDir is where pipelines are looked for, below the definition (spec 01-config "Files").
const pipelinesDir = "transform/pipelines"

// definition is a definition as read, checked and compiled, with where things of it stand on this machine.
type definition struct {
	root     string
	document *config.Document
	env      *flowehr.Environment
	paths    local.Paths
	lookup   config.Lookup
	problems []flowehr.Diagnostic
}

// loadOptions say how strictly a command reads the definition.
type loadOptions struct {
	changes bool // the command changes something: the environment's own file must be there, and secrets may be in the key vault
	lenient bool // go on although the definition has errors, as long as it says which environment it is
	unnamed bool // go on although it does not even say that; paths are not to be used then
	here    bool // the command works on this machine, whatever the definition's target
}

// load reads the definition of --dir. Warnings are shown; errors end it, all of them at once, unless lenient.
func (a *app) load(ctx context.Context, o loadOptions) (*definition, error) {
	d := &definition{root: a.dir}
	fsys := os.DirFS(a.dir)
	if _, err := fs.Stat(fsys, "config.yaml"); errors.Is(err, fs.ErrNotExist) {
		return nil, hint(fmt.Errorf("no definition here: %s does not exist", filepath.Join(a.dir, "config.yaml")),
			"Change to the folder that holds it, name it with --dir, or begin with: flowehr init")
	}
	opts := config.Options{
		Environment:    a.environmentName(),
		SuffixOverride: a.env("SUFFIX_OVERRIDE"),
		InAutomation:   a.inAutomation(),
		Target:         flowehr.TargetName(a.target),
	}
	if o.here {
		opts.Target = flowehr.TargetLocal
	}
	dotenv, problems := config.DotEnv(fsys)
	process := func(name string) (string, bool) {
		v, ok := a.getenv(name)
		return v, ok && v != "" // CI systems hand over a secret that they do not have as an empty variable
	}

	// The vault's place follows from the definition, and the definition's secrets may be in the vault: the first reading
	// finds the place and is otherwise thrown away.
	opts.Lookup = config.Chain(process, dotenv)
	document, _ := config.Load(fsys, opts)
	env, _ := compile.Environment(document)
	opts.AllowMissing = standInSecrets(env)
	if env.Target == flowehr.TargetAzure && o.changes {
		// The key vault may have what is missing here; the command looks when it has signed in.
		for _, r := range document.Secrets() {
			opts.AllowMissing = append(opts.AllowMissing, r.Name)
		}
	}
	if paths, err := local.Locate(env, a.dir, a.machine()); err == nil {
		opts.Lookup = config.Chain(process, dotenv, a.vaultLookup(ctx, paths))
	}

	d.lookup = opts.Lookup
	var more []flowehr.Diagnostic
	d.document, more = config.Load(fsys, opts)
	problems = append(problems, more...)
	d.env, more = compile.Environment(d.document)
	problems = append(problems, more...)
	switch missing, ok := d.document.MissingEnvironmentFile(); {
	case ok && d.env.Name == "" && len(d.document.Files()) > 0:
		problems = []flowehr.Diagnostic{missing} // all else follows from it
	case ok && o.changes:
		problems = append(problems, missing)
	}
	// Pipelines are compared with sources; those of a definition that cannot be read are not known.
	if d.named() {
		problems = append(problems, a.loadPipelines(fsys, d.env)...)
		if d.env.Target == flowehr.TargetAzure {
			if err := loadFiles(fsys, d.env); err != nil {
				return nil, err
			}
		}
	}
	flowehr.SortDiagnostics(problems)
	d.problems = slices.CompactFunc(problems, func(x, y flowehr.Diagnostic) bool { return x == y })
	var err error
	if d.paths, err = local.Locate(d.env, a.dir, a.machine()); err != nil {
		return nil, err
	}
	a.hideSecrets(ctx, d)
	switch {
	case o.unnamed, o.lenient && d.named():
	case flowehr.HasErrors(d.problems):
		return nil, flowehr.DiagnosticsError{Diagnostics: d.problems}
	case len(d.problems) > 0 && !a.json():
		a.showDiagnostics(d.problems)
	}
	return d, nil
}

// named reports whether the definition says which environment it is. Where an environment keeps its things follows from
// its name, so nothing may be looked for, and much less removed, without one.
func (d *definition) named() bool { return d.env.Name != "" && d.env.ID != "" }

// localFlag is what commands about this machine need to be given when the definition's own target is another.
func (d *definition) localFlag() string {
	def := &d.document.Definition
	if def.Target.OK() && def.Target.Get() == string(flowehr.TargetLocal) || !def.Target.OK() && !def.Location.OK() {
		return ""
	}
	return " --target " + string(flowehr.TargetLocal)
}

// hideSecrets keeps the values of secrets out of everything that is written from now on: those that the definition
// names, and all that are in the vault.
func (a *app) hideSecrets(ctx context.Context, d *definition) {
	for _, r := range d.document.Secrets() {
		if value, ok := d.lookup(r.Name); ok {
			a.veil.Hide(value)
		}
	}
	if !d.named() {
		return
	}
	names, values := a.readVault(ctx, d.paths)
	for _, name := range names {
		if s, err := values(name); err == nil {
			a.veil.Hide(s.Reveal())
		}
	}
}

// loadPipelines discovers pipelines, checks them and puts them into env.
func (a *app) loadPipelines(fsys fs.FS, env *flowehr.Environment) []flowehr.Diagnostic {
	if _, err := fs.Stat(fsys, pipelinesDir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	found, problems := factory.Load(fsys, pipelinesDir)
	known := factory.Known{ActivityTypes: set(activity.SupportedTypes()), LinkedServices: set(local.LinkedServices(env)), Pipelines: map[string]bool{}}
	if env.Target == flowehr.TargetAzure {
		// Data Factory has every type; what cannot be brought there is refused by name when the environment is lowered.
		known.ActivityTypes, known.LinkedServices = nil, nil
	}
	for _, b := range found.Bundles {
		known.Pipelines[b.Pipeline.Name] = true
	}
	for _, b := range found.Bundles {
		problems = append(problems, factory.Validate(b, known)...)
		encoded, err := b.Encode()
		if err != nil {
			problems = append(problems, flowehr.Errorf(flowehr.Pos{File: b.Dir}, "pipeline %q cannot be stored: %v", b.Pipeline.Name, err))
			continue
		}
		project := b.Pipeline.Project
		if project == "" {
			project = "main"
		}
		env.Pipelines = append(env.Pipelines, flowehr.Pipeline{Name: b.Pipeline.Name, Project: project, Dir: b.Dir, Bundle: encoded,
			Digest: b.Digest(), Pos: flowehr.Pos{File: b.Dir + "/pipeline.json"}})
	}
	factory.Locate(fsys, problems)
	return problems
}

// inAutomation reports whether CI runs this, not a person.
func (a *app) inAutomation() bool { return a.env("CI") != "" || a.env("TF_IN_AUTOMATION") != "" }

// environmentName is --env, else $ENVIRONMENT, else local.
func (a *app) environmentName() string {
	switch {
	case a.environment != "":
		return a.environment
	case a.env("ENVIRONMENT") != "":
		return a.env("ENVIRONMENT")
	}
	return "local"
}

// machine tells where this machine keeps keys, sockets and the data of its services.
func (a *app) machine() local.Machine {
	m := local.Machine{ConfigHome: a.env("XDG_CONFIG_HOME"), RuntimeHome: a.env("XDG_RUNTIME_DIR"), ServiceHome: "/var/lib/flowehr", Root: os.Geteuid() == 0}
	if m.ConfigHome == "" && a.env("HOME") != "" {
		m.ConfigHome = filepath.Join(a.env("HOME"), ".config")
	}
	if m.RuntimeHome == "" || m.Root {
		// A service user must be able to pass through it, and it must be short.
		m.RuntimeHome = "/tmp"
	}
	return m
}

// vaultLookup finds secrets in the environment's vault, when it has one. A vault that cannot be read knows nothing
// here; the commands that need it say what is wrong with it.
func (a *app) vaultLookup(ctx context.Context, paths local.Paths) config.Lookup {
	_, get := a.readVault(ctx, paths)
	return func(name string) (string, bool) {
		s, err := get(name)
		if err != nil {
			return "", false
		}
		return s.Reveal(), true
	}
}

// readVault returns the names in the environment's vault and how to get their values. One that is not there or cannot be
// read is as an empty one.
func (a *app) readVault(ctx context.Context, paths local.Paths) ([]string, func(string) (flowehr.Secret, error)) {
	none := func(string) (flowehr.Secret, error) { return flowehr.Secret{}, vault.ErrNotFound }
	if _, err := os.Stat(paths.Vault); err != nil {
		return nil, none
	}
	v, err := vault.Open(ctx, vault.Options{Path: paths.Vault, KeyPath: paths.Key})
	if err != nil {
		return nil, none
	}
	names, err := v.Names()
	if err != nil {
		return nil, none
	}
	return names, v.Get
}

// standInSecrets lists the secrets of sources that made-up data stands in for. They need no value here: one is
// generated when the stand-in is made.
func standInSecrets(env *flowehr.Environment) []string {
	var names []string
	for _, s := range env.Sources {
		if _, ok := env.Local.Synthetic[s.Name]; ok {
			names = append(names, s.Username.Secrets()...)
			names = append(names, s.Password.Secrets()...)
		}
	}
	return names
}

func set(names []string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}
