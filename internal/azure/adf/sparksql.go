package adf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/flowehr/flowehr/internal/lake/sqltext"
)

// statement is one statement of a script, as Spark takes it.
type statement struct {
	SQL  []any `json:"sql"` // text, and bound where it stands between
	Line int   `json:"line"`
	Rows bool  `json:"rows,omitempty"` // it is a query
}

// bound stands in a statement for the value of a parameter.
type bound struct {
	Param string `json:"param"`
}

// statements are the first words that package lake runs; the rest it refuses, and so do we.
var statements = []string{"select", "with", "values", "(", "create", "insert", "delete", "drop"}

// sparkScript takes a script of the lake apart and writes each statement for Spark. params are the parameters that it has.
func sparkScript(text string, params []string) ([]statement, error) {
	parts, err := sqltext.Split(text)
	if err != nil {
		return nil, err
	}
	if len(parts) == 0 {
		return nil, fmt.Errorf("there is no statement")
	}
	var out []statement
	for i, p := range parts {
		first := p.Tokens[0]
		if !slices.ContainsFunc(statements, first.Is) {
			return nil, fmt.Errorf("statement %d (line %d): %s is not run on the lake", i+1, p.Line, strings.ToUpper(first.Raw))
		}
		s := statement{Line: p.Line, Rows: slices.ContainsFunc(statements[:4], first.Is)}
		if s.SQL, err = spark(p.Tokens, params); err != nil {
			return nil, fmt.Errorf("statement %d: %w", i+1, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// sparkQuery writes a single query for Spark.
func sparkQuery(text string) (string, error) {
	all, err := sparkScript(text, nil)
	if err != nil {
		return "", err
	}
	if len(all) != 1 || !all[0].Rows {
		return "", fmt.Errorf("the query is not one SELECT")
	}
	query, _ := all[0].SQL[0].(string)
	return query, nil
}

// spark writes tokens for Spark, which reads a few of them differently from what the dialect means: in a text a backslash
// escapes, and a doubled quote is two texts; VARCHAR wants a length; digits hold no underscores. :name stands for a
// parameter only when it was given, because a colon has other uses.
func spark(tokens []sqltext.Token, given []string) ([]any, error) {
	var b strings.Builder
	var parts []any
	isKnown := func(name string) bool {
		return slices.ContainsFunc(given, func(g string) bool { return strings.EqualFold(g, name) })
	}
	bind := func(name string) {
		parts = append(parts, b.String(), bound{name})
		b.Reset()
	}
	brackets := 0
	for i := 0; i < len(tokens); i++ {
		t := tokens[i]
		switch {
		case t.Is("["):
			brackets++
		case t.Is("]"):
			brackets--
		}
		if t.Spaced && i > 0 {
			b.WriteByte(' ')
		}
		next := func(s string) bool { return i+1 < len(tokens) && tokens[i+1].Is(s) }
		switch {
		case t.Kind == sqltext.Text:
			b.WriteString(sparkText(t.Value))
		case t.Kind == sqltext.Name:
			b.WriteString(sparkName(t.Value))
		case t.Kind == sqltext.Number:
			b.WriteString(strings.ReplaceAll(t.Raw, "_", ""))
		case t.Kind == sqltext.Param:
			if !isKnown(t.Value) {
				return nil, fmt.Errorf("line %d: @%s: %w", t.Line, t.Value, sqltext.ErrParam)
			}
			bind(t.Value)
		case t.Is(":") && brackets == 0 && i+1 < len(tokens) && tokens[i+1].Kind == sqltext.Word && !tokens[i+1].Spaced && isKnown(tokens[i+1].Value):
			i++
			bind(tokens[i].Value)
		case t.Is("varchar") && !next("("):
			b.WriteString("STRING")
		default:
			b.WriteString(t.Raw)
		}
	}
	return append(parts, b.String()), nil
}

// sparkText writes a text literal for Spark.
func sparkText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// sparkName quotes a name for Spark, whatever is in it.
func sparkName(s string) string { return "`" + strings.ReplaceAll(s, "`", "``") + "`" }
