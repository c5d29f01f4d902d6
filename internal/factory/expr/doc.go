// Package expr is the expression language of Data Factory: it decides which text is an expression, parses it, and
// evaluates it against a [Scope] that knows the run (adf.md section 2). It also holds the language's values, with JSON
// that keeps the order of keys and the difference between 1 and 1.0.
//
// It does not know pipelines, activities or runs: those are behind Scope. It does no input or output and keeps no
// state; time, identifiers and chance come from [Env].
//
// The rule that holds here: the work of one evaluation is bounded. Nesting, the length of texts and arrays, and the sum
// of what an evaluation produces are limited, so that no definition can stop the process that evaluates it.
package expr
