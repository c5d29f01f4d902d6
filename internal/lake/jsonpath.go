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
			if strings.ContainsAny(name, `"\\`) {
				return nil, fmt.Errorf("path %q: a name with \" or \\ in it is not supported", path)
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

// jsonPlan is how columns are read from objects.
type jsonPlan struct {
	columns []FileColumn
	types   []string
	steps   [][]jsonStep
	root    *jsonNode
	// overlap tells that a column is the whole object, or lies inside another one's value or at the same place with
	// another type. root has no room for both, so the objects have to be read whole.
	overlap bool
}

func planJSON(columns []FileColumn) (*jsonPlan, error) {
	p := &jsonPlan{columns: columns, root: &jsonNode{}}
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
		p.overlap = p.overlap || len(a) == 0
		for j, b := range p.steps {
			p.overlap = p.overlap || i != j && (inside(b, a) || same(a, b) && p.types[i] != p.types[j])
		}
	}
	for i, steps := range p.steps {
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

// describeSteps writes a path as the engine's JSON functions take it.
func describeSteps(steps []jsonStep) string {
	var out strings.Builder
	out.WriteByte('$')
	for _, s := range steps {
		if s.index >= 0 {
			out.WriteString("[" + strconv.Itoa(s.index) + "]")
			continue
		}
		out.WriteString(`."` + s.field + `"`)
	}
	return out.String()
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

// whole reads from a source that has whole objects in a column json. All values are taken in one pass as text and cast
// then, so that a field that is missing is nothing, and one of another type is an error. A second pass finds what the
// first would take for missing: text or a number where a path goes on.
func (p *jsonPlan) whole(source string) string {
	paths, list := make([]string, len(p.columns)), make([]string, len(p.columns))
	var places []string
	wants := map[string]string{}
	for i, c := range p.columns {
		paths[i] = describeSteps(p.steps[i])
		value := "texts[" + strconv.Itoa(i+1) + "]"
		if len(p.steps[i]) == 0 {
			value = "CAST(json AS VARCHAR)"
		}
		list[i] = "CAST(" + value + " AS " + p.types[i] + ") AS " + quoteName(c.Name)
		for k, s := range p.steps[i] {
			place := describeSteps(p.steps[i][:k])
			if wants[place] != "" {
				continue
			}
			places = append(places, place)
			wants[place] = "OBJECT"
			if s.index >= 0 {
				wants[place] = "ARRAY"
			}
		}
	}
	texts := "json_extract_string(json, " + quoteTexts(paths) + ")"
	if len(places) > 0 {
		cases := ""
		for i, place := range places {
			kind := "kinds[" + strconv.Itoa(i+1) + "]"
			cases += " WHEN " + kind + " NOT IN (" + quoteText(wants[place]) + ", 'NULL') THEN error('Expected " + wants[place] + ", got ' || " + kind + ")"
		}
		texts = "CASE" + cases + " ELSE " + texts + " END"
		source = "SELECT json, json_type(json, " + quoteTexts(places) + ") AS kinds FROM (" + source + ")"
	}
	return "SELECT " + strings.Join(list, ", ") + " FROM (SELECT json, " + texts + " AS texts FROM (" + source + "))"
}
