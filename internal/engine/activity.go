package engine

import (
	"context"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Activity does the work of one activity type that is not control flow (Copy, Script, Lookup, ...). The engine is
// handed a map from type to Activity.
//
// Run is called at least once for every instance: after a crash the same instance (same RunID and Path) is run again if
// its success was not recorded, so an Activity must make a second run harmless (see Call.Key). Run returns soon after
// ctx ends. An error that is not *Error is reported as a system error with its text. Run is called concurrently.
type Activity interface {
	Run(ctx context.Context, c Call) (Result, error)
}

// Call is one attempt of one activity instance. Everything in it is evaluated: no expression is left.
type Call struct {
	RunID    string // GUID of the pipeline run
	Pipeline string
	Project  string
	By       string // who or what started the run
	Path     string // stable path of the instance within the run, e.g. "/FE[17]/Copy"
	Attempt  int    // 1 for the first
	Name     string
	Type     string

	Properties    *expr.Object // typeProperties
	Inputs        []Dataset
	Outputs       []Dataset
	Dataset       *Dataset       // typeProperties.dataset of Lookup, GetMetadata, Delete, ...
	LinkedService *LinkedService // linkedServiceName of the activity
	Dir           string         // folder of the definition, relative to the environment's root

	// Log writes one line to the attempt's log. Progress says how many rows have been written so far. Both may be
	// called from any goroutine and never block for long.
	Log      func(format string, args ...any)
	Progress func(rows int64)
}

// Key identifies the instance across attempts and restarts. Writers that must not repeat a write record it with the
// data (a Delta transaction id, a publish id).
func (c Call) Key() string { return c.RunID + c.Path }

// Dataset is a dataset reference, resolved with its parameters.
type Dataset struct {
	Name          string
	Type          string
	Properties    *expr.Object
	Schema        expr.Value
	LinkedService LinkedService
}

// LinkedService is a linked service reference, resolved. A built-in one, and a data source of the definition, has only
// a name.
type LinkedService struct {
	Name       string
	Type       string
	Properties *expr.Object
}

// Result is what a successful attempt leaves.
type Result struct {
	Output *expr.Object // the activity's output, with the keys of adf.md section 1.7
	Rows   int64        // rows written, for the run's display
	Tables []Table      // tables read and written, for lineage
}

// Table is one table that an activity touched. Name is written as "source:epr/patients", "lake:silver.patient",
// "store:main.patient_features" or "file:fhir/Patient.ndjson".
type Table struct {
	Name    string
	Written bool
	Rows    int64
	Version int64 // of the written or read snapshot, -1 when unknown
}

// Error is the failure of an attempt in the terms of the definition's reader.
type Error struct {
	Code    string
	Message string
	Type    string       // "UserError" or "SystemError"
	Output  *expr.Object // output of a failed activity, may be nil
	Final   bool         // retrying cannot help: a refused definition, a broken assertion
}

// Error returns the message.
func (e *Error) Error() string { return e.Message }
