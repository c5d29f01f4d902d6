package flowehr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// OutputRef stands in a Spec for a value that is known only after another resource was applied. It is written
// {"$output": "kind/name", "name": "x"} and may stand wherever JSON allows a value.
type OutputRef struct {
	Ref  Ref
	Name string
}

// outputRefJSON is the written form.
type outputRefJSON struct {
	Ref  Ref    `json:"$output"`
	Name string `json:"name"`
}

// MarshalJSON writes the form that stands in a Spec.
func (o OutputRef) MarshalJSON() ([]byte, error) { return json.Marshal(outputRefJSON(o)) }

// UnmarshalJSON is the reverse of MarshalJSON.
func (o *OutputRef) UnmarshalJSON(b []byte) error {
	return json.Unmarshal(b, (*outputRefJSON)(o))
}

// String names the output for people.
func (o OutputRef) String() string { return o.Name + " of " + o.Ref.String() }

// OutputRefs lists the outputs that spec refers to, each once, in the order of canonical JSON.
func OutputRefs(spec json.RawMessage) ([]OutputRef, error) {
	if !mayHoldOutputs(spec) && json.Valid(spec) {
		return nil, nil
	}
	tree, err := decodeSpec(spec)
	if err != nil {
		return nil, err
	}
	return outputRefsOf(tree)
}

// outputRefsOf lists the outputs that a decoded spec refers to. It leaves the tree with them decoded, too.
func outputRefsOf(tree any) ([]OutputRef, error) {
	var refs []OutputRef
	seen := map[OutputRef]bool{}
	_, err := replaceOutputs(tree, func(o OutputRef) (any, error) {
		if !seen[o] {
			seen[o] = true
			refs = append(refs, o)
		}
		return o, nil
	})
	return refs, err
}

// ReplaceOutputs returns spec, as canonical JSON, with every reference to an output replaced by what value returns.
// Only an object of exactly the two members is a reference, so that other documents within a Spec stay as they are.
func ReplaceOutputs(spec json.RawMessage, value func(OutputRef) (any, error)) (json.RawMessage, error) {
	if len(spec) == 0 {
		return nil, nil
	}
	tree, err := decodeSpec(spec)
	if err != nil {
		return nil, err
	}
	replaced, err := replaceOutputs(tree, value)
	if err != nil {
		return nil, err
	}
	return Canonical(replaced)
}

// mayHoldOutputs is false when no reference can be in spec: most have none, and it is far faster than decoding. The member's name
// might be written with an escape.
func mayHoldOutputs(spec json.RawMessage) bool {
	return bytes.Contains(spec, []byte("$output")) || bytes.Contains(spec, []byte(`\u`))
}

// decodeSpec reads a spec, numbers as they are written. An empty one is nothing.
func decodeSpec(spec json.RawMessage) (any, error) {
	if len(spec) == 0 {
		return nil, nil
	}
	dec := json.NewDecoder(bytes.NewReader(spec))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, fmt.Errorf("spec is not JSON: %w", err)
	}
	return tree, nil
}

func replaceOutputs(node any, value func(OutputRef) (any, error)) (any, error) {
	switch n := node.(type) {
	case []any:
		for i := range n {
			v, err := replaceOutputs(n[i], value)
			if err != nil {
				return nil, err
			}
			n[i] = v
		}
	case map[string]any:
		o, is, err := asOutputRef(n)
		if err != nil {
			return nil, err
		}
		if is {
			return value(o)
		}
		for _, k := range slices.Sorted(maps.Keys(n)) {
			v, err := replaceOutputs(n[k], value)
			if err != nil {
				return nil, err
			}
			n[k] = v
		}
	}
	return node, nil
}

// asOutputRef recognises the written form of a reference.
func asOutputRef(n map[string]any) (OutputRef, bool, error) {
	text, ok := n["$output"].(string)
	name, named := n["name"].(string)
	if !ok || !named || len(n) != 2 {
		return OutputRef{}, false, nil
	}
	var o OutputRef
	if err := o.Ref.UnmarshalText([]byte(text)); err != nil {
		return OutputRef{}, false, err
	}
	if o.Name = name; name == "" {
		return OutputRef{}, false, fmt.Errorf("reference to an output of %s has no name", o.Ref)
	}
	return o, true, nil
}
