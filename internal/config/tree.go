package config

import "github.com/flowehr/flowehr"

// kind is the shape of a node.
type kind int

const (
	kindEmpty   kind = iota // a key with nothing behind it: says nothing, unless it names an app
	kindNull                // null or ~ as written: removes
	kindScalar              // text
	kindList                // items
	kindMapping             // fields
)

// node is one value of the definition and where it was written. Its text is the text as written: references to secrets
// are never replaced in a tree. A tree is not changed once parsed; merging makes a new one.
type node struct {
	kind     kind
	pos      flowehr.Pos
	text     string
	plain    bool    // scalar: written without quotes, so that true and 5 may be a bool and a number
	fields   []field // mapping: in the order of the definition, each key once
	items    []*node // list
	replaces bool    // mapping: stands for itself and is not merged over what lies below
}

// field is one key of a mapping.
type field struct {
	key   string
	pos   flowehr.Pos // of the key
	value *node
}

// get returns the value of a key, or nil.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.key == key {
			return f.value
		}
	}
	return nil
}

// says reports whether n holds anything: it is neither missing, nor empty, nor a removal.
func (n *node) says() bool { return n != nil && n.kind != kindEmpty && n.kind != kindNull }

// blank reports whether n says nothing or is a text without characters.
func (n *node) blank() bool { return !n.says() || n.kind == kindScalar && n.text == "" }

// String names the shape for people.
func (k kind) String() string {
	switch k {
	case kindScalar:
		return "a single value"
	case kindList:
		return "a list"
	case kindMapping:
		return "a group of keys"
	}
	return "nothing"
}
