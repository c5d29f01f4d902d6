package state

import (
	"encoding/json"
	"testing"

	"github.com/flowehr/flowehr"
)

// SQL in a spec has characters that encoding/json likes to escape.
func TestStateKeepsEveryCharacter(t *testing.T) {
	ref := flowehr.Ref{Kind: "pipeline", Name: "a"}
	spec := json.RawMessage("{\"sql\":\"a < b && b > c \\u2028 é\"}")
	b, err := encode(flowehr.State{Environment: "e", Target: flowehr.TargetLocal, Revision: 1,
		Records: map[flowehr.Ref]flowehr.Record{ref: {Resource: flowehr.Resource{Ref: ref, Layer: flowehr.LayerCore, Spec: spec}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(b); err != nil {
		t.Errorf("a state that was just encoded cannot be decoded: %v", err)
	}
}
