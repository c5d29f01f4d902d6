// Package config finds the files of a definition, lays them over each other and decodes the result, strictly and once.
// Every value keeps the file, line and column that it was written at.
//
// The files are config.yaml, config.{environment}.yaml over it, apps/apps.yaml, and apps/apps.{environment}.yaml over
// that. [Load] parses each to a tree, merges the trees, keeps the apps that the environment itself names, and decodes
// the merged tree into a [Definition]. All mistakes are reported together, none ends the reading.
//
// The package applies no default and knows no rule that spans two keys; package compile does. It opens no file but
// those, and writes none.
//
// Rules that hold here: a secret's value never enters a tree, so nothing that shows a tree can show one; a value that
// had to be resolved while reading (a number, a name, an address range) is a [Value] that prints masked; a password
// stays a [flowehr.Text], which holds names only.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/flowehr/flowehr"
)

//go:generate go test . -run TestSchemaIsCurrent -update

// Options say which environment is read and where secrets come from.
type Options struct {
	Environment    string   // names the files to read; empty means "local"
	Lookup         Lookup   // finds secrets; nil knows none
	AllowMissing   []string // secrets that need no value yet, because the command is about to set them
	SuffixOverride string   // takes the place of the naming suffix
	InAutomation   bool     // run by CI, not by a person

	// Target takes the place of what the definition says, for a command that works on one of the two; empty means neither.
	Target flowehr.TargetName
}

// Document is a definition as read. It is not changed after [Load] and may be shared between goroutines.
type Document struct {
	Definition     Definition
	Environment    string // of the files that were read
	SuffixOverride string
	InAutomation   bool
	Target         flowehr.TargetName // that the command asks for; empty means the definition's

	files []File
	root  *node // merged config files, never nil
	apps  *node // chosen and merged apps, never nil
	refs  []Reference

	broken map[flowehr.Pos]bool
}

// File is one of the files that a definition may have.
type File struct {
	Name  string
	Found bool
}

// environmentName is what may stand in the name of a file.
var environmentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,30}$`)

// Load reads the definition in fsys. The document is never nil: with errors it holds what could be read, so that a
// caller can go on looking for more mistakes. It must not be acted on when there are errors.
func Load(fsys fs.FS, o Options) (*Document, []flowehr.Diagnostic) {
	if o.Environment == "" {
		o.Environment = "local"
	}
	doc := &Document{
		Environment: o.Environment, SuffixOverride: o.SuffixOverride, InAutomation: o.InAutomation, Target: o.Target,
		root: &node{kind: kindMapping}, apps: &node{kind: kindMapping},
	}
	if !environmentName.MatchString(o.Environment) {
		return doc, []flowehr.Diagnostic{flowehr.Errorf(flowehr.Pos{}, "%q cannot be the name of an environment", o.Environment).
			With("Use letters, digits, - and _. The name comes from --env or from the variable ENVIRONMENT.")}
	}
	var diags []flowehr.Diagnostic
	read := func(name string) *node {
		n, found, ds := readFile(fsys, name)
		doc.files = append(doc.files, File{Name: name, Found: found})
		diags = append(diags, ds...)
		return n
	}
	shared, own := read("config.yaml"), read(doc.ownConfig())
	root := merge(shared, own)
	silent(shared, own, func(f field, below *node) {
		diags = append(diags, flowehr.Warningf(f.pos, "%s has nothing behind it and changes nothing", f.key).
			With("The value at %s holds. Write null to remove it, or delete this line.", below.pos))
	})
	apps := chosenApps(read("apps/apps.yaml"), read(doc.ownApps()))
	if !doc.files[0].Found && !doc.files[1].Found {
		return doc, append(diags, flowehr.Errorf(flowehr.Pos{File: "config.yaml"}, "no definition here").
			With("Neither config.yaml nor %s exists in this folder. Go to the folder of your environment, or make one with: flowehr init", doc.ownConfig()))
	}
	// A file that cannot be parsed hides its keys; complaining of what it may hold would mislead.
	broken := flowehr.HasErrors(diags)
	if root != nil {
		doc.root = root
	} else {
		doc.root.pos = flowehr.Pos{File: "config.yaml", Line: 1, Column: 1}
	}
	doc.apps = apps
	if broken {
		flowehr.SortDiagnostics(diags)
		return doc, diags
	}
	d := &decoder{secrets: newSecrets(o), broken: map[flowehr.Pos]bool{}}
	d.decode(doc.root, &doc.Definition, rootPath)
	doc.Definition.Apps = d.apps(apps)
	doc.refs, doc.broken = d.secrets.refs, d.broken
	diags = append(diags, append(d.diags, d.secrets.diags...)...)
	flowehr.SortDiagnostics(diags)
	return doc, diags
}

// Files lists the files that the environment may have, in the order of precedence, and which of them exist.
func (d *Document) Files() []File { return append([]File(nil), d.files...) }

// Secrets lists the references to secrets, each place once, in the order of the definition. Apps come last.
func (d *Document) Secrets() []Reference { return append([]Reference(nil), d.refs...) }

// Broken reports whether what stands at pos has a shape that could not be read, such as a list in the place of a group of
// keys. A diagnostic of [Load] says so; what such a value lacks need not be said as well.
func (d *Document) Broken(pos flowehr.Pos) bool { return d.broken[pos] }

// MissingEnvironmentFile returns an error for commands that change something when the environment has no file of its
// own: what they would do then is rarely what was meant.
func (d *Document) MissingEnvironmentFile() (flowehr.Diagnostic, bool) {
	for _, f := range d.files {
		if f.Name == d.ownConfig() && f.Found {
			return flowehr.Diagnostic{}, false
		}
	}
	return flowehr.Errorf(flowehr.Pos{File: d.ownConfig()}, "environment %q has no file of its own", d.Environment).
		With("Commands that change something need %s, even if it only says environment: %s. Choose another environment with --env or the variable ENVIRONMENT.",
			d.ownConfig(), d.Environment), true
}

func (d *Document) ownConfig() string { return "config." + d.Environment + ".yaml" }
func (d *Document) ownApps() string   { return "apps/apps." + d.Environment + ".yaml" }

// readFile parses a file that may not exist.
func readFile(fsys fs.FS, name string) (n *node, found bool, diags []flowehr.Diagnostic) {
	data, err := fs.ReadFile(fsys, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case err != nil:
		if pe, ok := errors.AsType[*fs.PathError](err); ok {
			err = pe.Err // its path is that of this machine
		}
		return nil, true, []flowehr.Diagnostic{flowehr.Errorf(flowehr.Pos{File: name}, "cannot be read: %s", fmt.Sprint(err)).
			With("It must be a plain file that you may read.")}
	}
	n, diags = parse(name, data)
	return n, true, diags
}
