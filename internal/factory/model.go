package factory

import (
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Bundle is one pipeline with everything that it refers to, so that a run needs nothing else and a new version of a
// shared dataset never changes a run that has started. ExecutePipeline names other bundles; they stay separate.
type Bundle struct {
	Pipeline       Pipeline
	Triggers       []Trigger
	Datasets       map[string]Dataset       // by name: those the pipeline refers to
	LinkedServices map[string]LinkedService // by name: those defined in files; built-in ones are not listed
	Globals        map[string]expr.Value    // global parameters of the factory
	References     map[string]string        // pipeline names as written -> registered names, where these differ
	Dir            string                   // folder of the definition, relative to the environment's root
}

// Pipeline is a Data Factory pipeline (adf.md section 1.2).
type Pipeline struct {
	Name          string
	Project       string // "main" unless the folder's project file says otherwise
	Description   string
	Parameters    map[string]Parameter
	Variables     map[string]Variable
	Concurrency   int // 0 is unlimited
	Annotations   []expr.Value
	RunDimensions map[string]expr.Value
	Activities    []Activity
	File          string       // relative to the environment's root
	Raw           *expr.Object // the definition as written; Encode writes this
}

// Parameter of a pipeline or dataset. Type is one of the canonical spellings Object, String, Int, Float, Bool, Array,
// SecureString.
type Parameter struct {
	Type       string
	Default    expr.Value
	HasDefault bool
}

// Variable of a pipeline. Type is String, Boolean, Integer or Array.
type Variable struct {
	Type       string
	Default    expr.Value
	HasDefault bool
}

// Activity is one node of a pipeline (adf.md section 1.3). Container activities hold their bodies in Branches, which
// are taken out of Properties.
type Activity struct {
	Name           string
	Type           string
	Description    string
	DependsOn      []Dependency
	UserProperties []Property
	Inactive       bool
	InactiveMark   string // Succeeded (default), Failed or Skipped
	Policy         Policy
	LinkedService  *Reference
	Inputs         []Reference
	Outputs        []Reference
	Properties     *expr.Object // typeProperties, expressions not yet evaluated, without the bodies
	Branches       []Branch     // ForEach and Until: one named ""; If: "true", "false"; Switch: each case's value, and "" for default
	Pointer        string       // JSON pointer of the activity in its file
}

// Branch is a body of a container activity.
type Branch struct {
	Name       string
	Default    bool // Switch: the default body
	Activities []Activity
}

// Dependency is one entry of dependsOn: its conditions are alternatives, entries all hold (adf.md section 1.4).
type Dependency struct {
	Activity   string
	Conditions []string // Succeeded, Failed, Skipped, Completed
}

// Policy of an activity. The fields are values because each may be an expression; nil means absent.
type Policy struct {
	Timeout       expr.Value
	Retry         expr.Value
	RetryInterval expr.Value // seconds
	SecureInput   bool
	SecureOutput  bool
}

// Property is a user property: shown with the run.
type Property struct {
	Name  string
	Value expr.Value
}

// Reference names another object and gives it parameters.
type Reference struct {
	Name       string
	Type       string // DatasetReference, LinkedServiceReference, PipelineReference, ...
	Parameters *expr.Object
}

// Dataset is a named place or shape of data.
type Dataset struct {
	Name          string
	Type          string
	LinkedService Reference
	Parameters    map[string]Parameter
	Schema        expr.Value
	Properties    *expr.Object // typeProperties, expressions not evaluated
	File          string
	Raw           *expr.Object
}

// LinkedService is a named connection.
type LinkedService struct {
	Name       string
	Type       string
	Parameters map[string]Parameter
	Properties *expr.Object
	File       string
	Raw        *expr.Object
}

// Trigger starts pipelines (adf.md section 1.11).
type Trigger struct {
	Name        string
	Type        string // ScheduleTrigger, TumblingWindowTrigger, BlobEventsTrigger, CustomEventsTrigger
	Started     bool   // runtimeState; absent is stopped
	Annotations []expr.Value
	Pipelines   []TriggeredPipeline
	Properties  *expr.Object
	Pointer     string // JSON pointer of the trigger in its file, "" for the whole file
	File        string
	Raw         *expr.Object
}

// TriggeredPipeline is a pipeline that a trigger starts, with the parameters it passes.
type TriggeredPipeline struct {
	Name       string
	Parameters *expr.Object
}
