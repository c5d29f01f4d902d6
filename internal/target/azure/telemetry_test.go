package azure

import (
	"strings"
	"testing"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azuresim"
)

// TestTelemetryIsAskedForWhenItIsUsed: the connection string of a component of Application Insights comes from the component, and
// of one that is not there the error names it.
func TestTelemetryIsAskedForWhenItIsUsed(t *testing.T) {
	s := simulate(t, azuresim.Options{}, nil)
	component := func(name string) string {
		return arm.ID(s.client.Subscription(), "rg-a", "Microsoft.Insights/components", name)
	}
	if err := s.remote.Stand(t.Context(), component("transform-ai"), map[string]any{
		"location": region, "kind": "web", "properties": map[string]any{"Application_Type": "web"},
	}); err != nil {
		t.Fatal(err)
	}
	from := secrets{vaults{c: s.client}}
	got, err := from.value(t.Context(), azure.Source{Telemetry: component("transform-ai")}, nil)
	if err != nil || !strings.Contains(got.Reveal(), "InstrumentationKey=") {
		t.Errorf("got %q, %v", got.Reveal(), err)
	}
	if _, err := from.value(t.Context(), azure.Source{Telemetry: component("gone")}, nil); err == nil || !strings.Contains(err.Error(), "gone") {
		t.Errorf("error %v does not name the component", err)
	}
}
