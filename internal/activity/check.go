package activity

import (
	"context"
	"fmt"
	"strings"

	"github.com/flowehr/flowehr/internal/engine"
	"github.com/flowehr/flowehr/internal/factory/expr"
	"github.com/flowehr/flowehr/internal/lake"
)

// check evaluates every assertion, also after one has failed, logs each and adds them to output. One failed assertion
// of severity error fails the Script: whatever depends on it, such as a publish, does not happen.
func (s scriptActivity) check(ctx context.Context, call engine.Call, list []assertion, output *expr.Object) ([]engine.Table, error) {
	call.Log("checking %d assertions%s", len(list), onTables(list))
	var outputs []expr.Value
	var broken, unknown []string
	var tables []engine.Table
	seen := map[string]bool{}
	held := 0
	for _, a := range list {
		total, violations, err := s.count(ctx, a)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch {
		case err != nil:
			call.Log("error %-28s %s", a.name, clip(err.Error()))
			unknown = append(unknown, fmt.Sprintf("%s: %s", a.name, clip(err.Error())))
			outputs = append(outputs, assertionOutput(a, "error", 0, 0))
			continue
		case violations == 0:
			held++
			call.Log("ok    %-28s %s", a.name, thousands(total))
			outputs = append(outputs, assertionOutput(a, "ok", total, 0))
		default:
			status := "failed"
			if a.warning {
				status = "warning"
			} else {
				broken = append(broken, a.sentence(total, violations))
			}
			call.Log("%-5s %-28s %s", map[bool]string{true: "warn", false: "fail"}[a.warning], a.name, a.found(total, violations))
			s.logSample(ctx, call, a)
			outputs = append(outputs, assertionOutput(a, status, total, violations))
		}
		if a.table != "" && !seen[a.table] {
			seen[a.table] = true
			tables = append(tables, engine.Table{Name: "lake:" + a.table, Rows: total, Version: -1})
		}
	}
	output.Set("assertions", outputs)
	if len(broken)+len(unknown) == 0 {
		call.Log("%d of %d hold", held, len(list))
		return tables, nil
	}
	call.Log("%d of %d hold; what depends on them does not run", held, len(list))
	if len(broken) == 0 {
		return tables, &engine.Error{Code: CodeQuery, Type: failureUser, Message: "an assertion could not be checked: " + strings.Join(unknown, "; "), Output: output}
	}
	return tables, &engine.Error{Code: CodeAssertion, Type: failureUser, Final: true, Message: strings.Join(append(broken, unknown...), "; "), Output: output}
}

// count runs the counting query of an assertion.
func (s scriptActivity) count(ctx context.Context, a assertion) (total, violations int64, err error) {
	res, err := s.deps.Lake.Query(ctx, a.count, 1)
	if err != nil {
		return 0, 0, err
	}
	if len(res.Rows) != 1 || len(res.Rows[0]) != 2 {
		return 0, 0, fmt.Errorf("the count gave no number")
	}
	total, ok := wholeNumber(res.Rows[0][0])
	bad, ok2 := wholeNumber(res.Rows[0][1])
	if !ok || !ok2 {
		return 0, 0, fmt.Errorf("the count gave no number")
	}
	return total, a.judge(total, bad), nil
}

// wholeNumber reads a count. Sums of counts are wider than 64 bits in the engine, and so come as text.
func wholeNumber(v any) (int64, bool) {
	n, ok := jsonValue(v, "decimal").(int64)
	return n, ok
}

// logSample names the first rows that violate an assertion by their keys. It only informs: an error in it is a line.
func (s scriptActivity) logSample(ctx context.Context, call engine.Call, a assertion) {
	if a.sample == "" {
		return
	}
	res, err := s.deps.Lake.Query(ctx, a.sample, sampled)
	if err != nil {
		call.Log("      the rows cannot be shown: %s", clip(err.Error()))
		return
	}
	for i, row := range res.Rows {
		lead := "      first: "
		if i > 0 {
			lead = "             "
		}
		call.Log("%s%s", lead, keyText(res.Columns, row))
	}
}

func keyText(columns []lake.Column, row []any) string {
	var parts []string
	for i, c := range columns {
		v := jsonValue(row[i], c.Type)
		if v == nil {
			v = "null"
		}
		parts = append(parts, fmt.Sprintf("%s %v", c.Name, v))
	}
	return strings.Join(parts, ", ")
}

// found says in the log how many rows violate an assertion.
func (a assertion) found(total, violations int64) string {
	if a.bounds != nil {
		return thousands(total) + " rows"
	}
	return thousands(violations) + " rows"
}

// onTables names the tables that a list of assertions is about.
func onTables(list []assertion) string {
	var names []string
	seen := map[string]bool{}
	for _, a := range list {
		if a.table != "" && !seen[a.table] {
			seen[a.table] = true
			names = append(names, a.table)
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " on " + strings.Join(names, ", ")
}
