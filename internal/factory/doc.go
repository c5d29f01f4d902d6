// Package factory reads Data Factory definitions: pipelines with their triggers, datasets and linked services. It finds
// them in a tree ([Load]), closes each pipeline over what it refers to ([Bundle]), says everything that is wrong with it
// before it runs ([Validate]), and holds the decisions of a run that need no input or output: when an activity is ready
// ([Ready]), how a run ends ([Outcome]), what a parameter's value is ([Coerce]), when a schedule fires ([Schedule]).
//
// It does not run anything and reads no files except through the fs.FS that Load is given. Expressions are package expr's.
//
// The rule that holds here: a definition is never changed. What the model does not know is kept as it was written, and
// what cannot be honoured is refused by name instead of being left out.
package factory
