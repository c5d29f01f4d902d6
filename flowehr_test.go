package flowehr_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
)

func TestTextResolves(t *testing.T) {
	lookup := func(name string) (flowehr.Secret, error) {
		if name == "GONE" {
			return flowehr.Secret{}, errors.New("no value")
		}
		return flowehr.NewSecret("<" + name + ">"), nil
	}
	for _, tt := range []struct{ text, want, shown string }{
		{"", "", ""},
		{"plain", "plain", "plain"},
		{"${A}", "<A>", flowehr.Masked},
		{"u=${A};p=${B}", "u=<A>;p=<B>", "u=" + flowehr.Masked + ";p=" + flowehr.Masked},
		{"$${A}", "${A}", "${A}"},
		{"$$${A}", "$${A}", "$${A}"},
		{"$A {B} ${9}", "$A {B} ${9}", "$A {B} ${9}"},
		{"cost $5", "cost $5", "cost $5"},
	} {
		t.Run(tt.text, func(t *testing.T) {
			got, err := flowehr.Text(tt.text).Resolve(lookup)
			if err != nil || got.Reveal() != tt.want {
				t.Errorf("Resolve(%q) = %q, %v, want %q", tt.text, got.Reveal(), err, tt.want)
			}
			if shown := flowehr.Text(tt.text).String(); shown != tt.shown {
				t.Errorf("String(%q) = %q, want %q", tt.text, shown, tt.shown)
			}
		})
	}
	if _, err := flowehr.Text("${A}${GONE}").Resolve(lookup); err == nil {
		t.Error("a name without value resolved")
	}
}

func TestLiteralResolvesToItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`([$]{0,3}[{]?[A-Z_]{0,2}[}]?){0,6}`).Draw(t, "text")
		got, err := flowehr.Literal(s).Resolve(func(string) (flowehr.Secret, error) { return flowehr.NewSecret("LEAK"), nil })
		if err != nil || got.Reveal() != s {
			t.Errorf("Literal(%q) resolves to %q, %v", s, got.Reveal(), err)
		}
		if names := flowehr.Literal(s).Secrets(); len(names) != 0 {
			t.Errorf("Literal(%q) names secrets %q", s, names)
		}
	})
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const value = "hunter2"
	type wrapper struct {
		Open   flowehr.Secret
		hidden flowehr.Secret
	}
	w := wrapper{flowehr.NewSecret(value), flowehr.NewSecret(value)}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "w", w, "s", w.Open)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "w", w, "s", w.Open)
	b, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{fmt.Sprint(w), fmt.Sprintf("%v %+v %#v %s %q", w, w, w, w.Open, w.Open), fmt.Sprintf("%x", w.hidden), string(b), log.String()} {
		if strings.Contains(out, value) || strings.Contains(out, fmt.Sprintf("%x", value)) {
			t.Errorf("the value shows in %s", out)
		}
	}
}

func TestCanonicalIsStable(t *testing.T) {
	a, err := flowehr.Canonical(map[string]any{"b": 1, "a": "<&>", "n": int64(1) << 60})
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"a":"<&>","b":1,"n":1152921504606846976}`; string(a) != want {
		t.Errorf("got %s, want %s", a, want)
	}
}

func TestRefRoundTrips(t *testing.T) {
	in := map[flowehr.Ref]int{{Kind: "table", Name: "gold/features"}: 1}
	b, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out := map[flowehr.Ref]int{}
	if err := json.Unmarshal(b, &out); err != nil || out[flowehr.Ref{Kind: "table", Name: "gold/features"}] != 1 {
		t.Errorf("%s came back as %v, %v", b, out, err)
	}
	for _, bad := range []string{"", "table", "/x", "table/"} {
		if err := new(flowehr.Ref).UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was accepted as a reference", bad)
		}
	}
}

func TestActionNamesRoundTrip(t *testing.T) {
	for _, a := range flowehr.Actions() {
		var b flowehr.Action
		if err := b.UnmarshalText([]byte(a.String())); err != nil || a != b {
			t.Errorf("%v came back as %v, %v", a, b, err)
		}
	}
	if err := new(flowehr.Action).UnmarshalText([]byte("explode")); err == nil {
		t.Error("an unknown action was accepted")
	}
}
