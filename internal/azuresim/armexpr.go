package azuresim

import (
	"fmt"
	"strconv"
	"strings"
)

// The expressions of templates that the simulation understands: reference('symbol') and reference('symbol', 'full') with members,
// list('id', 'version') with members, concat of texts and these, and nothing else. Products that write literal templates need no
// more; all others are refused by name.
// https://learn.microsoft.com/azure/azure-resource-manager/templates/template-expressions

// expression is one of reference, list, concat or a text.
type expression struct {
	text   string
	symbol string // of a reference
	listed string // id of what is listed
	full   bool
	path   []string
	parts  []expression // of a concat
}

// isExpression reports whether a string of a template is one; a doubled bracket says that it is not.
func isExpression(s string) bool {
	return strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") && !strings.HasPrefix(s, "[[")
}

// unescape returns what a string of a template that is no expression stands for.
func unescape(s string) string {
	if strings.HasPrefix(s, "[[") {
		return s[1:]
	}
	return s
}

// parseExpression reads an expression with its brackets.
func parseExpression(s string) (expression, error) {
	p := &exprParser{rest: s[1 : len(s)-1]}
	e, err := p.expression(0)
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = fmt.Errorf("%q is left over", p.rest)
	}
	if err != nil {
		return e, fmt.Errorf("expression %s: %w", s, err)
	}
	return e, nil
}

type exprParser struct{ rest string }

// deepest is how far concats may be nested.
const deepest = 20

func (p *exprParser) expression(depth int) (expression, error) {
	p.rest = strings.TrimSpace(p.rest)
	if depth > deepest {
		return expression{}, fmt.Errorf("nested deeper than %d", deepest)
	}
	if strings.HasPrefix(p.rest, "'") {
		text, err := p.text()
		return expression{text: text}, err
	}
	name, args, found := strings.Cut(p.rest, "(")
	if !found {
		return expression{}, fmt.Errorf("%q is neither a text nor a function", p.rest)
	}
	p.rest = args
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "reference":
		return p.reference()
	case "list":
		return p.list()
	case "concat":
		return p.concat(depth)
	}
	return expression{}, fmt.Errorf("the simulation does not know the function %q", name)
}

func (p *exprParser) reference() (expression, error) {
	p.rest = strings.TrimSpace(p.rest)
	symbol, err := p.text()
	if err != nil {
		return expression{}, err
	}
	e := expression{symbol: symbol}
	if p.take(",") {
		p.rest = strings.TrimSpace(p.rest)
		full, err := p.text()
		if err != nil || !strings.EqualFold(full, "full") {
			return e, fmt.Errorf("the second argument of reference can only be 'full' here")
		}
		e.full = true
	}
	if symbol == "" || !p.take(")") {
		return e, fmt.Errorf("reference needs a symbolic name and a closing bracket")
	}
	return e, p.members(&e)
}

func (p *exprParser) list() (expression, error) {
	p.rest = strings.TrimSpace(p.rest)
	id, err := p.text()
	if err != nil {
		return expression{}, err
	}
	if id == "" || !p.take(",") {
		return expression{}, fmt.Errorf("list needs an id and an api-version")
	}
	p.rest = strings.TrimSpace(p.rest)
	version, err := p.text()
	if err != nil || !apiVersion.MatchString(version) || !p.take(")") {
		return expression{}, fmt.Errorf("list needs an api-version and a closing bracket, there is %q", version)
	}
	e := expression{listed: id}
	return e, p.members(&e)
}

func (p *exprParser) members(e *expression) error {
	for {
		switch {
		case p.take("."):
			n := strings.IndexFunc(p.rest, func(r rune) bool { return !memberRune(r) })
			if n < 0 {
				n = len(p.rest)
			}
			if n == 0 {
				return fmt.Errorf("a member is missing before %q", p.rest)
			}
			e.path, p.rest = append(e.path, p.rest[:n]), p.rest[n:]
		case p.take("["):
			inner, rest, found := strings.Cut(p.rest, "]")
			if !found || inner == "" {
				return fmt.Errorf("an index is not closed")
			}
			e.path, p.rest = append(e.path, strings.Trim(inner, "'")), rest
		default:
			return nil
		}
	}
}

func memberRune(r rune) bool {
	return r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

func (p *exprParser) concat(depth int) (expression, error) {
	var e expression
	for {
		part, err := p.expression(depth + 1)
		if err != nil {
			return e, err
		}
		e.parts = append(e.parts, part)
		if p.take(",") {
			continue
		}
		if !p.take(")") {
			return e, fmt.Errorf("concat is not closed before %q", p.rest)
		}
		return e, nil
	}
}

// text reads a text in single quotes; two of them stand for one.
func (p *exprParser) text() (string, error) {
	if !strings.HasPrefix(p.rest, "'") {
		return "", fmt.Errorf("a text in quotes is expected at %q", p.rest)
	}
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		if p.rest[i] != '\'' {
			b.WriteByte(p.rest[i])
			continue
		}
		if i+1 < len(p.rest) && p.rest[i+1] == '\'' {
			b.WriteByte('\'')
			i++
			continue
		}
		p.rest = p.rest[i+1:]
		return b.String(), nil
	}
	return "", fmt.Errorf("a text is not closed")
}

func (p *exprParser) take(s string) bool {
	trimmed := strings.TrimLeft(p.rest, " ")
	if !strings.HasPrefix(trimmed, s) {
		return false
	}
	p.rest = trimmed[len(s):]
	return true
}

// symbols lists what an expression refers to.
func (e expression) symbols() []string {
	if e.symbol != "" {
		return []string{e.symbol}
	}
	var out []string
	for _, p := range e.parts {
		out = append(out, p.symbols()...)
	}
	return out
}

// lookup is what expressions need to know of the world.
type lookup struct {
	// reference returns the properties of what a symbolic name stands for or, with full, the whole resource.
	reference func(symbol string, full bool) (any, error)
	// list returns what the action list of an id answers.
	list func(id string) (any, error)
}

func (e expression) value(look lookup) (any, error) {
	if e.parts != nil {
		var b strings.Builder
		for _, p := range e.parts {
			v, err := p.value(look)
			if err != nil {
				return nil, err
			}
			fmt.Fprint(&b, v)
		}
		return b.String(), nil
	}
	var v any
	var err error
	switch {
	case e.symbol != "":
		v, err = look.reference(e.symbol, e.full)
	case e.listed != "":
		v, err = look.list(e.listed)
	default:
		return e.text, nil
	}
	if err != nil {
		return nil, err
	}
	for _, member := range e.path {
		switch at := v.(type) {
		case object:
			inner, has := lookupFold(at, member)
			if !has {
				return nil, fmt.Errorf("the language expression property '%s' doesn't exist in what '%s' refers to", member, e.symbol+e.listed)
			}
			v = inner
		case []any:
			i, err := strconv.Atoi(member)
			if err != nil || i < 0 || i >= len(at) {
				return nil, fmt.Errorf("the index '%s' is outside of what '%s' refers to", member, e.symbol)
			}
			v = at[i]
		default:
			return nil, fmt.Errorf("the language expression property '%s' can't be read from a value of '%s'", member, e.symbol)
		}
	}
	return v, nil
}

// walkExpressions calls f for every expression in a value of a template.
func walkExpressions(v any, f func(expression) error) error {
	switch v := v.(type) {
	case object:
		for _, inner := range v {
			if err := walkExpressions(inner, f); err != nil {
				return err
			}
		}
	case []any:
		for _, inner := range v {
			if err := walkExpressions(inner, f); err != nil {
				return err
			}
		}
	case string:
		if !isExpression(v) {
			return nil
		}
		e, err := parseExpression(v)
		if err != nil {
			return err
		}
		return f(e)
	}
	return nil
}

// evaluate copies a value of a template with all its expressions resolved.
func evaluate(v any, look lookup) (any, error) {
	switch v := v.(type) {
	case object:
		out := make(object, len(v))
		for k, inner := range v {
			value, err := evaluate(inner, look)
			if err != nil {
				return nil, err
			}
			out[k] = value
		}
		return out, nil
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			value, err := evaluate(inner, look)
			if err != nil {
				return nil, err
			}
			out[i] = value
		}
		return out, nil
	case string:
		if !isExpression(v) {
			return unescape(v), nil
		}
		e, err := parseExpression(v)
		if err != nil {
			return nil, err
		}
		return e.value(look)
	}
	return v, nil
}
