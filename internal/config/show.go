package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/flowehr/flowehr"
)

// ShowOptions choose the form of [Document.Show].
type ShowOptions struct {
	Origin bool // say where each value was written
	JSON   bool
}

// Show writes the merged definition in the order in which it was written, and which files were read. Secrets are
// masked, and so is every text behind a key that is meant for a password.
func (d *Document) Show(w io.Writer, o ShowOptions) error {
	root := shownMapping(d.root, reflect.TypeFor[Definition](), false)
	apps := shownMapping(d.apps, reflect.TypeFor[Map[App]](), false)
	if len(apps.fields) > 0 {
		root.fields = append(root.fields, shownField{key: "apps", value: apps})
	}
	if o.JSON {
		return d.showJSON(w, root, o.Origin)
	}
	var b bytes.Buffer
	for _, f := range d.files {
		if f.Found {
			fmt.Fprintf(&b, "# %s\n", f.Name)
		} else {
			fmt.Fprintf(&b, "# %s (not there)\n", f.Name)
		}
	}
	p := yamlPrinter{w: &b, origin: o.Origin}
	if len(root.fields) == 0 {
		p.line("{}", flowehr.Pos{})
	}
	p.fields(root, 0, "")
	_, err := w.Write(b.Bytes())
	return err
}

func (d *Document) showJSON(w io.Writer, root shown, origin bool) error {
	type file struct {
		Name  string `json:"name"`
		Found bool   `json:"found"`
	}
	out := struct {
		Files      []file          `json:"files"`
		Definition json.RawMessage `json:"definition"`
	}{Definition: root.json(origin)}
	for _, f := range d.files {
		out.Files = append(out.Files, file(f))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// shown is a value ready to be shown: masked, and without what was removed.
type shown struct {
	kind   kind
	pos    flowehr.Pos
	text   string
	bare   bool // a number or a bool
	fields []shownField
	items  []shown
}

type shownField struct {
	key   string
	value shown
}

// shownMapping walks a mapping together with the type that it decodes to, which knows what is a password.
func shownMapping(n *node, t reflect.Type, mask bool) shown {
	s := shown{kind: kindMapping, pos: n.pos}
	for _, f := range n.fields {
		if f.value.kind == kindNull || f.value.kind == kindEmpty && !t.Implements(mapType) {
			continue
		}
		inner, masked := inside(t, f.key)
		s.fields = append(s.fields, shownField{key: f.key, value: show(f.value, inner, mask || masked)})
	}
	return s
}

func show(n *node, t reflect.Type, mask bool) shown {
	switch n.kind {
	case kindMapping:
		return shownMapping(n, t, mask)
	case kindList:
		s := shown{kind: kindList, pos: n.pos}
		for _, item := range n.items {
			s.items = append(s.items, show(item, element(t), mask))
		}
		return s
	case kindScalar:
		if mask && n.text != "" {
			return shown{kind: kindScalar, pos: n.pos, text: flowehr.Masked}
		}
		if b, ok := parseBool(n.text); ok && n.plain && wants(t) == wantsBool {
			return shown{kind: kindScalar, pos: n.pos, text: strconv.FormatBool(b), bare: true}
		}
		text := flowehr.Text(n.text).String()
		bare := n.plain && text == n.text && json.Valid([]byte(text)) && wants(t) != wantsText
		return shown{kind: kindScalar, pos: n.pos, text: text, bare: bare}
	}
	return shown{kind: kindEmpty, pos: n.pos}
}

var (
	mapType    = reflect.TypeFor[interface{ isMap() }]()
	scalarType = reflect.TypeFor[scalar]()
	noType     = reflect.TypeFor[struct{}]()
)

// inside returns the type behind a key of t, and whether it holds a password.
func inside(t reflect.Type, key string) (inner reflect.Type, mask bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Implements(mapType) {
		f, _ := t.Elem().FieldByName("Value")
		return f.Type, false
	}
	if t.Kind() == reflect.Struct {
		for _, f := range rules(t) {
			if f.Tag.Get("yaml") == key {
				return f.Type, f.Tag.Get("mask") != ""
			}
		}
	}
	// An unknown key is refused elsewhere; until it is corrected it may well be a password.
	return noType, strings.Contains(strings.ToLower(key), "pass") || strings.Contains(strings.ToLower(key), "secret")
}

func element(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Slice && !t.Implements(mapType) {
		return t.Elem()
	}
	return noType
}

// wants says in words what a single value of type t is, or "": a text keeps what was written, as in
// spark_version: 3.3.
func wants(t reflect.Type) string {
	if !reflect.PointerTo(t).Implements(scalarType) {
		return ""
	}
	s, _ := reflect.New(t).Interface().(scalar)
	return s.wants()
}

// yamlPrinter writes YAML, with the origin of each value as a remark behind it.
type yamlPrinter struct {
	w      io.Writer
	origin bool
}

func (p yamlPrinter) line(text string, pos flowehr.Pos) {
	if !p.origin || pos.Line == 0 {
		fmt.Fprintln(p.w, text)
		return
	}
	pad := max(2, 56-utf8.RuneCountInString(text))
	fmt.Fprintf(p.w, "%s%*s# %s:%d\n", text, pad, "", pos.File, pos.Line)
}

// fields writes a mapping. lead stands before the first key in the place of its indentation, as in "- ".
func (p yamlPrinter) fields(s shown, depth int, lead string) {
	for i, f := range s.fields {
		indent := strings.Repeat("  ", depth)
		if i == 0 && lead != "" {
			indent = lead
		}
		p.value(indent+quoted(f.key)+":", f.value, depth)
	}
}

func (p yamlPrinter) value(head string, s shown, depth int) {
	switch {
	case s.kind == kindMapping && len(s.fields) == 0:
		p.line(head+" {}", s.pos)
	case s.kind == kindMapping:
		p.line(head, flowehr.Pos{})
		p.fields(s, depth+1, "")
	case s.kind == kindList && len(s.items) == 0:
		p.line(head+" []", s.pos)
	case s.kind == kindList:
		p.line(head, flowehr.Pos{})
		p.items(s, depth+1)
	default:
		p.line(strings.TrimRight(head+" "+s.yaml(), " "), s.pos)
	}
}

func (p yamlPrinter) items(s shown, depth int) {
	dash := strings.Repeat("  ", depth) + "- "
	for _, item := range s.items {
		switch {
		case item.kind == kindMapping && len(item.fields) > 0:
			p.fields(item, depth+1, dash)
		case item.kind == kindList:
			p.line(dash+string(item.json(false)), item.pos)
		default:
			p.value(strings.TrimSuffix(dash, " "), item, depth)
		}
	}
}

func (s shown) yaml() string {
	switch {
	case s.kind == kindEmpty:
		return ""
	case s.bare:
		return s.text
	}
	return quoted(s.text)
}

// plainText needs no quotes in YAML and is no other type.
var plainText = regexp.MustCompile(`^[\p{L}/•][\p{L}0-9_./@+•$\\-]*(?:[ :][\p{L}0-9_./@+•$\\-]+)*$`)

func quoted(text string) string {
	switch strings.ToLower(text) {
	case "true", "false", "null", "yes", "no", "on", "off", "y", "n":
	default:
		if plainText.MatchString(text) {
			return text
		}
	}
	return string(jsonText(text))
}

// jsonText writes a JSON string, which is also a double-quoted YAML string.
func jsonText(text string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(text) // a string cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// json writes s; with origin each single value becomes an object with its value, file and line.
func (s shown) json(origin bool) json.RawMessage {
	var b bytes.Buffer
	switch s.kind {
	case kindMapping:
		b.WriteByte('{')
		for i, f := range s.fields {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(jsonText(f.key))
			b.WriteByte(':')
			b.Write(f.value.json(origin))
		}
		b.WriteByte('}')
		return b.Bytes()
	case kindList:
		b.WriteByte('[')
		for i, item := range s.items {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(item.json(origin))
		}
		b.WriteByte(']')
		return b.Bytes()
	case kindScalar:
		if s.bare {
			b.WriteString(s.text)
		} else {
			b.Write(jsonText(s.text))
		}
	default:
		b.WriteString("null")
	}
	if !origin {
		return b.Bytes()
	}
	return fmt.Appendf(nil, `{"value":%s,"file":%s,"line":%d}`, b.Bytes(), jsonText(s.pos.File), s.pos.Line)
}
