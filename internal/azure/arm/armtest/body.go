package armtest

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
)

// Flags of a property.
const (
	required = 1
	readOnly = 2
)

// extensionScope is the bit of the scopes at which a type is written that says it stands on other resources.
const extensionScope = 16

// description is a table of types that refer to each other by index; the first is the body of the resource.
type description struct {
	Type       string   `json:"type"`
	APIVersion string   `json:"apiVersion"`
	Scopes     int      `json:"writableScopes"`
	Types      []*entry `json:"types"`
}

type property struct {
	Ref   int `json:"r"`
	Flags int `json:"f"`
}

// entry is one type: t is obj, disc (an object that is one of several by a member), arr, union, lit, str, int, bool or any.
type entry struct {
	Kind   string              `json:"t"`
	Name   string              `json:"n"`
	Props  map[string]property `json:"p"`
	Rest   *int                `json:"a"` // type of members that are not named
	By     string              `json:"d"`
	Elems  json.RawMessage     `json:"e"`
	Item   int                 `json:"i"`
	Value  string              `json:"v"`
	Shape  string              `json:"pattern"`
	MinLen *int                `json:"minLength"`
	MaxLen *int                `json:"maxLength"`
	Min    *float64            `json:"minValue"`
	Max    *float64            `json:"maxValue"`

	variants map[string]int
	members  []int
	shape    *regexp.Regexp
}

func (d *description) prepare() error {
	if len(d.Types) == 0 {
		return fmt.Errorf("no types")
	}
	for _, e := range d.Types {
		var err error
		switch e.Kind {
		case "disc":
			err = json.Unmarshal(e.Elems, &e.variants)
		case "union":
			err = json.Unmarshal(e.Elems, &e.members)
		}
		if err != nil {
			return err
		}
		if e.Shape != "" {
			e.shape, _ = regexp.Compile(e.Shape) // what this language's expressions do not have is not checked
		}
	}
	return nil
}

// unfinished are objects of which the description lists some variants only. Parts of a dashboard are one: it has Markdown alone,
// while every extension of the portal brings parts of its own.
var unfinished = map[string]bool{"DashboardPartMetadata": true}

// walker compares a body with its description.
type walker struct {
	d   *description
	bad func(path, format string, args ...any)
}

func (w *walker) walk(path string, index int, v any) {
	if stands(v) {
		return
	}
	e := w.d.Types[index]
	switch e.Kind {
	case "any":
	case "str":
		w.text(path, e, v)
	case "lit":
		if s, ok := v.(string); !ok || !strings.EqualFold(s, e.Value) { // Resource Manager does not tell letters by their case
			w.bad(path, "%v instead of %q", v, e.Value)
		}
	case "bool":
		if _, ok := v.(bool); !ok {
			w.bad(path, "%s instead of a boolean", kind(v))
		}
	case "int":
		w.number(path, e, v)
	case "arr":
		list, ok := v.([]any)
		if !ok {
			w.bad(path, "%s instead of a list", kind(v))
			return
		}
		for i, item := range list {
			w.walk(fmt.Sprintf("%s[%d]", path, i), e.Item, item)
		}
	case "union":
		w.union(path, e, v)
	case "obj", "disc":
		w.object(path, e, v)
	default:
		w.bad(path, "the description has an unknown kind %q", e.Kind)
	}
}

// stands reports whether v stands for a value that is not known yet.
func stands(v any) bool {
	switch v := v.(type) {
	case string:
		return isExpression(v)
	case map[string]any:
		_, is := v["$output"]
		return is && len(v) == 2
	}
	return false
}

func (w *walker) text(path string, e *entry, v any) {
	s, ok := v.(string)
	if !ok {
		w.bad(path, "%s instead of text", kind(v))
		return
	}
	if n := len([]rune(s)); e.MinLen != nil && n < *e.MinLen || e.MaxLen != nil && n > *e.MaxLen {
		w.bad(path, "%q has %d characters", s, n)
	}
	if e.shape != nil && !e.shape.MatchString(s) {
		w.bad(path, "%q does not match %s", s, e.Shape)
	}
}

func (w *walker) number(path string, e *entry, v any) {
	f, ok := v.(float64)
	if !ok || f != math.Trunc(f) {
		w.bad(path, "%v instead of a whole number", v)
		return
	}
	if e.Min != nil && f < *e.Min || e.Max != nil && f > *e.Max {
		w.bad(path, "%v is out of range", f)
	}
}

// union takes what one of its members takes. Text beside literals only says that Microsoft may add some: it is not taken.
func (w *walker) union(path string, e *entry, v any) {
	var literals []string
	for _, m := range e.members {
		member := w.d.Types[m]
		if member.Kind == "lit" {
			literals = append(literals, member.Value)
		}
	}
	for _, m := range e.members {
		if w.d.Types[m].Kind == "str" && literals != nil {
			continue
		}
		fits := true
		probe := &walker{d: w.d, bad: func(string, string, ...any) { fits = false }}
		if probe.walk(path, m, v); fits {
			return
		}
	}
	w.bad(path, "%v is none of %v", v, literals)
}

func (w *walker) object(path string, e *entry, v any) {
	o, ok := v.(map[string]any)
	if !ok {
		w.bad(path, "%s instead of an object", kind(v))
		return
	}
	props, rest := e.Props, e.Rest
	if e.Kind == "disc" {
		which, _ := o[e.By].(string)
		index, known := e.variants[which]
		if !known {
			if !isExpression(which) && !unfinished[e.Name] {
				w.bad(join(path, e.By), "%q is none of %v", which, sorted(e.variants))
			}
			return
		}
		variant := w.d.Types[index]
		props = maps.Clone(e.Props)
		if props == nil {
			props = map[string]property{}
		}
		maps.Copy(props, variant.Props)
		rest = variant.Rest
	}
	for _, k := range sorted(o) {
		p, known := props[k]
		switch {
		case !known && rest != nil:
			w.walk(join(path, k), *rest, o[k])
		case !known:
			w.bad(join(path, k), "unknown property%s", meant(k, props))
		case p.Flags&readOnly != 0:
			w.bad(join(path, k), "read-only property")
		default:
			w.walk(join(path, k), p.Ref, o[k])
		}
	}
	for _, k := range sorted(props) {
		if _, have := o[k]; !have && props[k].Flags&required != 0 && props[k].Flags&readOnly == 0 {
			w.bad(join(path, k), "missing")
		}
	}
}

// meant proposes the property whose name differs least, when one differs little.
func meant(name string, props map[string]property) string {
	best, distance := "", 1+len(name)/3
	for _, p := range slices.Sorted(maps.Keys(props)) {
		if d := differs(strings.ToLower(name), strings.ToLower(p)); d < distance {
			best, distance = p, d
		}
	}
	if best == "" {
		return ""
	}
	return ", did you mean " + best + "?"
}

// differs counts the letters to insert, remove or replace to make a into b.
func differs(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

func kind(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "text"
	case bool:
		return "a boolean"
	case float64:
		return "a number"
	case []any:
		return "a list"
	}
	return "an object"
}
