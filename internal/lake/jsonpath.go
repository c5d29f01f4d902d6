package lake

import (
	"fmt"
	"strconv"
	"strings"
)

// jsonStep is one step of a path: into a field, or to an element of a list.
type jsonStep struct {
	field string
	index int // counted from 0; -1 for a field
}

// parsePath reads a path such as $.code.coding[0].code or $['a b'][2]. The path $ has no steps.
func parsePath(path string) ([]jsonStep, error) {
	rest, ok := strings.CutPrefix(path, "$")
	if !ok {
		return nil, fmt.Errorf("path %q: want $ at its beginning", path)
	}
	var out []jsonStep
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, "['"):
			name, after, ok := strings.Cut(rest[2:], "']")
			if !ok || name == "" {
				return nil, fmt.Errorf("path %q: ['name'] is not closed", path)
			}
			out, rest = append(out, jsonStep{field: name, index: -1}), after
		case rest[0] == '[':
			digits, after, ok := strings.Cut(rest[1:], "]")
			n, err := strconv.Atoi(digits)
			if !ok || err != nil || n < 0 {
				return nil, fmt.Errorf("path %q: want a number in []", path)
			}
			out, rest = append(out, jsonStep{index: n}), after
		case rest[0] == '.':
			end := strings.IndexAny(rest[1:], ".[")
			name := rest[1:]
			if end >= 0 {
				name = rest[1 : end+1]
			}
			if name == "" || strings.ContainsAny(name, `'"\*`) {
				return nil, fmt.Errorf("path %q: want a field's name after the point", path)
			}
			out, rest = append(out, jsonStep{field: name, index: -1}), rest[1+len(name):]
		default:
			return nil, fmt.Errorf("path %q: want . or [ at %q", path, rest)
		}
	}
	if len(out) > 0 && out[0].index >= 0 {
		return nil, fmt.Errorf("path %q: records are objects, so a field comes first", path)
	}
	return out, nil
}

// jsonNode is a value in the structure that is read: an object, a list or, with a type, a leaf.
type jsonNode struct {
	typ   string
	names []string
	child map[string]*jsonNode
	elem  *jsonNode
}

func (n *jsonNode) field(name string) *jsonNode {
	if n.child == nil {
		n.child = map[string]*jsonNode{}
	}
	c := n.child[name]
	if c == nil {
		c = &jsonNode{}
		n.child[name] = c
		n.names = append(n.names, name)
	}
	return c
}

// engine is the node as a type of the engine.
func (n *jsonNode) engine() string {
	switch {
	case n.elem != nil:
		return n.elem.engine() + "[]"
	case len(n.names) > 0:
		return "STRUCT(" + n.fields(false) + ")"
	}
	return n.typ
}

// fields lists the fields as name type, or as 'name': 'type'.
func (n *jsonNode) fields(literal bool) string {
	out := make([]string, len(n.names))
	for i, name := range n.names {
		if literal {
			out[i] = quoteText(name) + ": " + quoteText(n.child[name].engine())
			continue
		}
		out[i] = quoteName(name) + " " + n.child[name].engine()
	}
	return strings.Join(out, ", ")
}

// transform is the structure in the words of json_transform.
func (n *jsonNode) transform() string {
	switch {
	case n.elem != nil:
		return "[" + n.elem.transform() + "]"
	case len(n.names) > 0:
		out := make([]string, len(n.names))
		for i, name := range n.names {
			out[i] = strconv.Quote(name) + ":" + n.child[name].transform()
		}
		return "{" + strings.Join(out, ",") + "}"
	}
	return strconv.Quote(n.typ)
}

// jsonPlan is how columns are read from objects.
type jsonPlan struct {
	columns []FileColumn
	types   []string
	steps   [][]jsonStep
	root    *jsonNode
	// extracted columns are read by path from the whole object, because another column lies inside theirs.
	extracted []bool
}

func planJSON(columns []FileColumn) (*jsonPlan, error) {
	p := &jsonPlan{columns: columns, root: &jsonNode{}, extracted: make([]bool, len(columns))}
	for _, c := range columns {
		typ, err := engineType(c.typ())
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		steps, err := parsePath(orElse(c.Path, "$['"+c.Name+"']"))
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.Name, err)
		}
		p.types, p.steps = append(p.types, typ), append(p.steps, steps)
	}
	for i, a := range p.steps {
		for j, b := range p.steps {
			if i != j && (inside(b, a) || j < i && same(a, b) && p.types[i] != p.types[j]) {
				p.extracted[i] = true
			}
		}
		p.extracted[i] = p.extracted[i] || len(a) == 0
	}
	for i, steps := range p.steps {
		if p.extracted[i] {
			continue
		}
		n := p.root
		for k, s := range steps {
			if s.index < 0 && n.elem != nil || s.index >= 0 && len(n.names) > 0 {
				return nil, fmt.Errorf("column %s: %q is a list in one path and an object in another", columns[i].Name, describeSteps(steps[:k]))
			}
			if s.index < 0 {
				n = n.field(s.field)
				continue
			}
			if n.elem == nil {
				n.elem = &jsonNode{}
			}
			n = n.elem
		}
		n.typ = p.types[i]
	}
	return p, nil
}

// under reports whether a is b's place or lies below it. All elements of a list are one place.
func under(a, b []jsonStep) bool {
	if len(a) < len(b) {
		return false
	}
	for i, s := range b {
		if s.field != a[i].field || (s.index < 0) != (a[i].index < 0) {
			return false
		}
	}
	return true
}

func same(a, b []jsonStep) bool { return len(a) == len(b) && under(a, b) }

func inside(a, b []jsonStep) bool { return len(a) > len(b) && under(a, b) }

func describeSteps(steps []jsonStep) string {
	out := "$"
	for _, s := range steps {
		if s.index >= 0 {
			out += "[" + strconv.Itoa(s.index) + "]"
			continue
		}
		out += `."` + s.field + `"`
	}
	return out
}

func (p *jsonPlan) needsWhole() bool {
	for _, e := range p.extracted {
		if e {
			return true
		}
	}
	return false
}

// pick is the expression of column i below the value that is called from.
func (p *jsonPlan) pick(i int, from string) string {
	for _, s := range p.steps[i] {
		if s.index >= 0 {
			from += "[" + strconv.Itoa(s.index+1) + "]"
			continue
		}
		from += "." + quoteName(s.field)
	}
	return from + " AS " + quoteName(p.columns[i].Name)
}

// direct reads from a source that has the top-level fields as columns.
func (p *jsonPlan) direct(source string) string {
	list := make([]string, len(p.columns))
	for i := range p.columns {
		list[i] = p.pick(i, "r")
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM (" + source + ") AS r"
}

// whole reads from a source that has whole objects in a column json.
func (p *jsonPlan) whole(source string) string {
	list := make([]string, len(p.columns))
	for i, c := range p.columns {
		switch {
		case len(p.steps[i]) == 0:
			list[i] = "CAST(json AS VARCHAR) AS " + quoteName(c.Name)
		case p.extracted[i]:
			list[i] = "CAST(json_extract_string(json, " + quoteText(describeSteps(p.steps[i])) + ") AS " + p.types[i] + ") AS " + quoteName(c.Name)
		default:
			list[i] = p.pick(i, "v")
		}
	}
	value := ""
	if len(p.root.names) > 0 {
		value = ", json_transform_strict(json, " + quoteText(p.root.transform()) + ") AS v"
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM (SELECT json" + value + " FROM (" + source + "))"
}
