// Package activity holds what the activity types of a pipeline do: Copy, Script and Lookup. Each is an engine.Activity;
// the engine is handed them by type and knows none of them. SQL connections are package connect's, files of a folder
// package folder's, tables those of the lake and of the feature store.
//
// It keeps no state of its own and starts nothing that outlives a call. Two rules hold here. What a definition asks for
// and this package does not do is refused by name, never left out in silence; and a failed activity has changed nothing
// that a reader of its sink could see, because every write is one commit of the sink.
package activity

import (
	"cmp"
	"context"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/featurestore"
	"github.com/flowehr/flowehr/internal/lake"
)

// Names of the linked services that every environment has.
const (
	LakeService    = "LakeLinkedService"
	StoreService   = "FeatureStoreLinkedService"
	StorageService = "ADLSLinkedServiceViaMSI"
	VaultService   = "KVLinkedServiceViaMSI"
	SparkService   = "ADBLinkedServiceViaMSI"
)

// Deps are the parts of an environment that activities work on.
type Deps struct {
	Lake    Lake
	Store   Store
	Sources Sources
	Now     flowehr.Clock // nil means time.Now
}

// Sources knows what stands behind linked services.
type Sources interface {
	// Source returns what stands behind a linked service, and whether anything does. It is asked for every data source
	// and every linked service of the configuration by name, and for two built-in ones: StorageService, a folder, and
	// StoreService, a connection on which the feature store may be read. Secrets are resolved at each call.
	Source(ctx context.Context, name string) (Source, bool, error)
}

// Source is a database or a folder.
type Source struct {
	Kind     flowehr.SourceKind
	Database connect.Config // its Name and Kind are filled in from the linked service
	Folder   string         // SourceFolder: its path on this machine
}

// Lake is the data lake. *lake.Lake is one.
type Lake interface {
	LakeReader
	LakeWriter
	LakeRunner
}

// LakeReader reads tables of the lake.
type LakeReader interface {
	// Query returns at most limit rows.
	Query(ctx context.Context, sql string, limit int, params ...lake.Param) (lake.Result, error)
	// Export streams a query.
	Export(ctx context.Context, sql string, params ...lake.Param) (lake.Batches, error)
}

// LakeWriter writes a table in one commit, or not at all. A second write with the same Commit.Key does nothing.
type LakeWriter interface {
	WriteRows(ctx context.Context, n lake.Name, src lake.RowSource, mode lake.Mode, c lake.Commit, progress func(int64)) (lake.Written, error)
	WriteFiles(ctx context.Context, n lake.Name, src lake.FileSource, mode lake.Mode, c lake.Commit, progress func(int64)) (lake.Written, error)
}

// LakeRunner runs statements on the lake.
type LakeRunner interface {
	Script(ctx context.Context, sql string, c lake.Commit, log func(string), params ...lake.Param) (lake.ScriptResult, error)
}

// Store is the feature store. *featurestore.Store is one.
type Store interface {
	// Publish replaces the whole table under its readers in one step.
	Publish(ctx context.Context, t featurestore.Target, b featurestore.Batches, o featurestore.PublishOptions, progress func(int64)) (featurestore.Published, error)
	// Append adds rows to the published table.
	Append(ctx context.Context, t featurestore.Target, b featurestore.Batches, o featurestore.PublishOptions, progress func(int64)) (featurestore.Published, error)
}

// New returns the activities by type.
func New(d Deps) map[string]engine.Activity {
	if d.Now == nil {
		d.Now = time.Now
	}
	return map[string]engine.Activity{
		"Copy":   copyActivity{d},
		"Script": scriptActivity{d},
		"Lookup": lookupActivity{d},
	}
}

// SupportedTypes lists the keys of New in alphabetical order, for validation.
func SupportedTypes() []string { return []string{"Copy", "Lookup", "Script"} }

// source resolves a linked service that is a database or a folder.
func (d Deps) source(ctx context.Context, name string) (Source, error) {
	if d.Sources == nil {
		return Source{}, unknownService(name)
	}
	s, ok, err := d.Sources.Source(ctx, name)
	if err != nil {
		return Source{}, fail(CodeSource, "linked service %q: %s", name, err)
	}
	if !ok {
		return Source{}, unknownService(name)
	}
	s.Kind = cmp.Or(s.Kind, s.Database.Kind)
	s.Database.Kind = s.Kind
	s.Database.Name = cmp.Or(s.Database.Name, name)
	return s, nil
}

func unknownService(name string) error {
	if name == "" {
		return refuse(CodeInvalid, "no linked service is named")
	}
	return refuse(CodeUnknown, "linked service %q stands for nothing here: name a data source so, or give it a counterpart under local.linked_services", name)
}
