package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of config*.yaml, made from the structs of the definition, with the
// schema of apps/apps*.yaml as its definition "apps". Editors use it on single files. A key that must be there in the
// merged definition may stand in any of them, so only items of lists, which are never merged, have required keys.
func Schema() []byte {
	s := schemaWriter{defs: map[string]any{}}
	root := s.group(reflect.TypeFor[Definition](), false)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "FlowEHR environment"
	root["description"] = "config.yaml and config.{environment}.yaml of a FlowEHR environment."
	s.defs["apps"] = map[string]any{
		"title":                "FlowEHR apps",
		"description":          "apps/apps.yaml and apps/apps.{environment}.yaml: apps by their id.",
		"type":                 []any{"object", "null"},
		"propertyNames":        map[string]any{"pattern": appID.String()},
		"additionalProperties": s.of(reflect.TypeFor[App](), "", false),
	}
	root["$defs"] = s.defs
	return encodeSchema(root)
}

// AppsSchema returns a schema of apps/apps*.yaml that refers to [Schema], which must lie beside it as file.
func AppsSchema(file string) []byte {
	return encodeSchema(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"$ref":    file + "#/$defs/apps",
	})
}

func encodeSchema(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(v) // maps, slices and strings only: cannot fail
	return b.Bytes()
}

// schemaWriter collects one definition for each struct.
type schemaWriter struct{ defs map[string]any }

// group describes a struct.
func (s schemaWriter) group(t reflect.Type, inList bool) map[string]any {
	properties, required := map[string]any{}, []any{}
	for _, f := range rules(t) {
		p := s.of(f.Type, f.Tag, false)
		p["description"] = describe(f.Tag)
		if fallback, ok := fixedDefault(f); ok {
			p["default"] = fallback
		}
		key := f.Tag.Get("yaml")
		properties[key] = p
		if f.Tag.Get("required") != "" {
			required = append(required, key)
		}
	}
	out := map[string]any{"type": []any{"object", "null"}, "properties": properties, "additionalProperties": false}
	if !inList {
		return out
	}
	// Items of older lists may carry one more key with nothing behind it.
	out["type"], out["additionalProperties"] = "object", map[string]any{"type": "null"}
	if len(required) > 0 {
		out["required"] = required
	}
	if t == reflect.TypeFor[Source]() {
		out["if"] = map[string]any{"properties": map[string]any{"kind": map[string]any{"const": "folder"}}, "required": []any{"kind"}}
		out["then"] = map[string]any{"required": []any{"path"}}
		out["else"] = map[string]any{"required": []any{"fqdn", "database", "username", "password"}}
	}
	return out
}

// of describes a type. The result is the caller's to add to.
func (s schemaWriter) of(t reflect.Type, tag reflect.StructTag, inList bool) map[string]any {
	if reflect.PointerTo(t).Implements(scalarType) {
		v, _ := reflect.New(t).Interface().(scalar)
		return ruled(v.schema(), tag, inList)
	}
	switch {
	case t.Implements(mapType):
		value, _ := t.Elem().FieldByName("Value")
		return map[string]any{"type": []any{"object", "null"}, "additionalProperties": s.of(value.Type, tag, false)}
	case t.Kind() == reflect.Slice:
		return map[string]any{"type": []any{"array", "null"}, "items": s.of(t.Elem(), tag, true)}
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem(), tag, inList)
	}
	name := strings.ToLower(t.Name())
	if _, done := s.defs[name]; !done {
		s.defs[name] = nil // a struct that held itself would end here
		s.defs[name] = s.group(t, inList)
	}
	return map[string]any{"$ref": "#/$defs/" + name}
}

// ruled adds the rules of a tag to the schema of a single value. A reference to a secret passes them all: its value is
// checked when it is known.
func ruled(schema map[string]any, tag reflect.StructTag, inList bool) map[string]any {
	if words := tag.Get("enum"); words != "" {
		allowed := []any{nil}
		for _, w := range strings.Split(words, "|") {
			allowed = append(allowed, w)
		}
		return map[string]any{"anyOf": []any{map[string]any{"enum": allowed}, map[string]any{"type": "string", "pattern": referencePattern}}}
	}
	if pattern := tag.Get("pattern"); pattern != "" {
		schema["pattern"] = fmt.Sprintf("^(?:%s)$|%s", pattern, referencePattern)
	}
	low, high := bounds(tag)
	if alternatives, ok := schema["anyOf"].([]any); ok && (low != nil || high != nil) {
		number, _ := alternatives[0].(map[string]any)
		if low != nil {
			number["minimum"] = *low
		}
		if high != nil {
			number["maximum"] = *high
		}
	}
	if types, ok := schema["type"].([]any); ok && inList {
		schema["type"] = types[:len(types)-1] // an item is not null
	}
	return schema
}

// fixedDefault returns a default that is a value and not a sentence.
func fixedDefault(f reflect.StructField) (any, bool) {
	text := f.Tag.Get("default")
	v, ok := reflect.New(f.Type).Interface().(scalar)
	if !ok || text == "" || strings.Contains(text, " ") {
		return nil, false
	}
	if b, isBool := parseBool(text); isBool && v.wants() == wantsBool {
		return b, true
	}
	if n, err := strconv.Atoi(text); err == nil && v.assign(text, true) && v.wants() != wantsText {
		return n, true
	}
	return text, v.wants() == wantsText
}

// describe says what a key is for, whether it must be there, and what holds without it.
func describe(tag reflect.StructTag) string {
	text := tag.Get("doc")
	if tag.Get("required") != "" {
		text += " Required in the merged definition."
	}
	if shape := tag.Get("shape"); shape != "" {
		text += " Form: " + shape + "."
	}
	if fallback := tag.Get("default"); fallback != "" {
		text += " Default: " + fallback + "."
	}
	return text
}
