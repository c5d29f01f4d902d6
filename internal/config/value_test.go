package config_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"testing/fstest"

	"github.com/flowehr/flowehr/internal/config"
)

func TestValuePrintsMaskedWhenItCameFromASecret(t *testing.T) {
	doc, diags := config.Load(fstest.MapFS{"config.yaml": {Data: []byte(
		"flowehr_id: a${ID}\nenvironment: local\naccesses_real_data: ${REAL}\nvault_retention_days: 30\n")}},
		config.Options{Lookup: func(name string) (string, bool) { return map[string]string{"ID": "hidden", "REAL": "true"}[name], true }})
	if len(diags) > 0 {
		t.Fatalf("unexpected diagnostics: %v", diags)
	}
	d := doc.Definition
	if d.ID.Get() != "ahidden" || !d.RealData.Get() || d.VaultRetention.Get() != 30 {
		t.Errorf("got %q, %t, %d", d.ID.Get(), d.RealData.Get(), d.VaultRetention.Get())
	}
	for _, c := range []struct{ got, want string }{
		{fmt.Sprintf("%v %s %q %#v", d.ID, d.ID, d.ID, d.ID), "•••• •••• •••• ••••"},
		{fmt.Sprintf("%v %t", d.RealData, d.RealData), "•••• ••••"},
		{fmt.Sprintf("%q %d %05d %v", d.Environment, d.VaultRetention, d.VaultRetention, d.Location), `"local" 30 00030 `},
		{asJSON(t, d.ID), `"••••"`},
		{asJSON(t, d.Environment), `"local"`},
		{asJSON(t, d.Location), `null`},
		{d.ID.Pos().String(), "config.yaml:1:13"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}

func TestValueKnowsMissingFromWrong(t *testing.T) {
	doc, _ := config.Load(fstest.MapFS{"config.yaml": {Data: []byte("flowehr_id: NOT ONE\nenviroment: typo\nlocation: null\n")}}, config.Options{})
	d := doc.Definition
	for _, c := range []struct {
		name                   string
		v                      config.Value[string]
		wantMissing, wantWrong bool
	}{{"wrong", d.ID, false, true}, {"a typo in its key", d.Environment, false, true}, {"removed", d.Location, true, false}, {"not written", d.Target, true, false}} {
		if c.v.Missing() != c.wantMissing || c.v.Bad() != c.wantWrong || c.v.OK() {
			t.Errorf("%s: missing %t, bad %t, OK %t", c.name, c.v.Missing(), c.v.Bad(), c.v.OK())
		}
	}
	if got := d.Target.Or("fallback"); got != "fallback" {
		t.Errorf("got %q", got)
	}
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
