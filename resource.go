package flowehr

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Ref names a resource within an environment. It is written "kind/name", for example "table/gold.features".
type Ref struct{ Kind, Name string }

// String returns "kind/name".
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// MarshalText writes "kind/name", so that a Ref can be a JSON string or the key of a JSON object.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText is the reverse of MarshalText. The name may contain slashes, the kind may not.
func (r *Ref) UnmarshalText(b []byte) error {
	kind, name, ok := strings.Cut(string(b), "/")
	if !ok || kind == "" || name == "" {
		return fmt.Errorf("resource reference %q is not kind/name", b)
	}
	r.Kind, r.Name = kind, name
	return nil
}

// Layer is one of the four parts of an environment, in the order in which they are deployed.
type Layer string

// The layers. "infrastructure" in commands means the first three.
const (
	LayerCore      Layer = "core"
	LayerTransform Layer = "transform"
	LayerServe     Layer = "serve"
	LayerApps      Layer = "apps"
)

// Layers lists all layers in deployment order.
func Layers() []Layer { return []Layer{LayerCore, LayerTransform, LayerServe, LayerApps} }

// Resource is one thing that a target can create, read, change and delete.
type Resource struct {
	Ref   Ref             `json:"ref"`
	Layer Layer           `json:"layer"`
	Needs []Ref           `json:"needs,omitempty"` // must exist first
	Spec  json.RawMessage `json:"spec"`            // canonical JSON, see [Canonical]; only its target knows the type
	Holds bool            `json:"holds,omitempty"` // holds people's data: deleting it is said loudly
	Pos   Pos             `json:"pos,omitzero"`    // the line of the definition that asked for it
}

// Record is what is known of a resource after it was applied.
type Record struct {
	Resource Resource          `json:"resource"`
	ID       string            `json:"id,omitempty"` // the target's own name for it
	Outputs  map[string]string `json:"outputs,omitempty"`
	At       time.Time         `json:"at"`

	// Pending is the action that was begun and not seen to end, Keep when there is none. The next plan carries it on, so
	// that a crash between two saves leaves nothing forgotten.
	Pending Action `json:"pending,omitzero"`
}

// State is a cache of the world: all records, and how often it was saved. It holds no secret.
type State struct {
	Environment string         `json:"environment"`
	Target      TargetName     `json:"target"`
	Revision    Revision       `json:"revision"`
	Records     map[Ref]Record `json:"records"`
}

// Revision counts saves of a state.
type Revision int64

// Canonical encodes v as JSON with sorted object keys, no HTML escaping and no insignificant space, so that equal
// values give equal bytes. It is how every Spec is made.
func Canonical(v any) (json.RawMessage, error) {
	spec, _, err := canonical(v)
	return spec, err
}

// CanonicalSpec is [Canonical] and [OutputRefs] in one, for who makes many specs. The second error is that of the references alone.
func CanonicalSpec(v any) (spec json.RawMessage, outputs []OutputRef, err, refsErr error) {
	spec, tree, err := canonical(v)
	if err != nil {
		return nil, nil, err, nil
	}
	outputs, refsErr = outputRefsOf(tree)
	return spec, outputs, nil, refsErr
}

// canonical returns the canonical form of v and what it decodes to.
func canonical(v any) (json.RawMessage, any, error) {
	first, err := json.Marshal(v)
	if err != nil {
		return nil, nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(first))
	dec.UseNumber()
	var generic any
	if err := dec.Decode(&generic); err != nil {
		return nil, nil, err
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(generic); err != nil {
		return nil, nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), generic, nil
}
