package flowehr_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/flowehr/flowehr"
)

func TestReplaceOutputs(t *testing.T) {
	value := func(o flowehr.OutputRef) (any, error) {
		if o.Name == "none" {
			return nil, fmt.Errorf("no %s", o)
		}
		return strings.ToUpper(o.Name), nil
	}
	for _, c := range []struct{ name, spec, want, err string }{
		{"nothing to replace", `{"b":1,"a":[true]}`, `{"a":[true],"b":1}`, ""},
		{"everywhere", `{"a":{"$output":"db/x","name":"host"},"l":[1,{"$output":"db/x/y","name":"port"}]}`, `{"a":"HOST","l":[1,"PORT"]}`, ""},
		{"the whole spec", `{"$output":"db/x","name":"host"}`, `"HOST"`, ""},
		{"another document with such a member", `{"$output":"db/x","name":"host","more":1}`, `{"$output":"db/x","more":1,"name":"host"}`, ""},
		{"large numbers stay", `[12345678901234567890]`, `[12345678901234567890]`, ""},
		{"a wrong reference", `{"$output":"db","name":"host"}`, "", `"db" is not kind/name`},
		{"no name", `{"$output":"db/x","name":""}`, "", "output of db/x has no name"},
		{"what the value says", `{"$output":"db/x","name":"none"}`, "", "no none of db/x"},
		{"not JSON", `{`, "", "spec is not JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := flowehr.ReplaceOutputs(json.RawMessage(c.spec), value)
			if string(got) != c.want || (c.err == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %s, %v; want %s, %q", got, err, c.want, c.err)
			}
		})
	}
}

func FuzzOutputRefs(f *testing.F) {
	f.Add([]byte(`{"a":{"$output":"db/x","name":"host"}}`))
	f.Add([]byte(`[{"$output":"/","name":1}]`))
	f.Fuzz(func(t *testing.T, spec []byte) {
		refs, err := flowehr.OutputRefs(spec)
		if err != nil {
			return
		}
		n := 0
		if _, err := flowehr.ReplaceOutputs(spec, func(flowehr.OutputRef) (any, error) { n++; return "", nil }); err != nil {
			t.Fatalf("listed but not replaced: %v", err)
		}
		if n < len(refs) {
			t.Fatalf("%d references listed, %d replaced", len(refs), n)
		}
	})
}
