package delta

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Schema is the list of a table's columns.
type Schema struct {
	Fields []Field
}

// Field is one column. Type is a primitive type's name ("long", "decimal(10,2)"), or a nested type as compact JSON.
type Field struct {
	Name     string
	Type     string
	Nullable bool
	Comment  string
	// Metadata is kept as it was found, so that a new schema written by us does not lose another writer's notes.
	Metadata map[string]json.RawMessage
}

type wireSchema struct {
	Type   string      `json:"type"`
	Fields []wireField `json:"fields"`
}

type wireField struct {
	Name     string                     `json:"name"`
	Type     json.RawMessage            `json:"type"`
	Nullable bool                       `json:"nullable"`
	Metadata map[string]json.RawMessage `json:"metadata"`
}

// ParseSchema reads a metadata action's schemaString.
func ParseSchema(text string) (Schema, error) {
	var w wireSchema
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return Schema{}, fmt.Errorf("schema: %w", err)
	}
	var s Schema
	for _, f := range w.Fields {
		field := Field{Name: f.Name, Nullable: f.Nullable, Metadata: f.Metadata}
		if json.Unmarshal(f.Type, &field.Type) != nil {
			field.Type = string(f.Type)
		}
		if c, ok := f.Metadata["comment"]; ok {
			// A comment that is no text says nothing to a person; the column is still good.
			_ = json.Unmarshal(c, &field.Comment)
		}
		s.Fields = append(s.Fields, field)
	}
	return s, nil
}

// String is the schema as a metadata action holds it.
func (s Schema) String() string {
	w := wireSchema{Type: "struct", Fields: []wireField{}}
	for _, f := range s.Fields {
		meta := map[string]json.RawMessage{}
		for k, v := range f.Metadata {
			meta[k] = v
		}
		if f.Comment != "" {
			meta["comment"] = quoteJSON(f.Comment)
		}
		typ := quoteJSON(f.Type)
		if strings.HasPrefix(f.Type, "{") {
			typ = json.RawMessage(f.Type)
		}
		w.Fields = append(w.Fields, wireField{Name: f.Name, Type: typ, Nullable: f.Nullable, Metadata: meta})
	}
	b, err := json.Marshal(w)
	if err != nil { // Only a nested type that is no JSON, which ParseSchema never yields.
		return ""
	}
	return string(b)
}

func quoteJSON(s string) json.RawMessage {
	b, _ := json.Marshal(s) // A string always has a JSON form.
	return b
}

// Same reports whether both schemas have the same columns with the same types in the same order. Comments and
// nullability do not count: they change no byte of a data file.
func (s Schema) Same(other Schema) bool {
	if len(s.Fields) != len(other.Fields) {
		return false
	}
	for i, f := range s.Fields {
		if f.Name != other.Fields[i].Name || f.Type != other.Fields[i].Type {
			return false
		}
	}
	return true
}
