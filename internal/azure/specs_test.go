package azure_test

import (
	"encoding/json"
	"testing"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// TestNamedFillsInWhatIsKnown: a name stands in the template until its value is known, and twice filled in is once.
func TestNamedFillsInWhatIsKnown(t *testing.T) {
	later := azure.Out(flowehr.Ref{Kind: azure.KindApplication, Name: "a"}, azure.OutPrincipalID)
	s := azure.StackSpec{Template: json.RawMessage(`{"name":"server/STANDS","other":"STANDS"}`), Names: map[string]azure.Value{"STANDS": later}}
	if got := string(s.Named()); got != string(s.Template) {
		t.Errorf("unknown: %s", got)
	}
	s.Names["STANDS"] = azure.Lit(`a"b`)
	want := `{"name":"server/a\"b","other":"a\"b"}`
	if got := string(s.Named()); got != want {
		t.Errorf("known: %s, want %s", got, want)
	}
	s.Template = s.Named()
	if got := string(s.Named()); got != want {
		t.Errorf("again: %s, want %s", got, want)
	}
}
