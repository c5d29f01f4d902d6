package compile_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/compile"
	"github.com/flowehr/flowehr/internal/config"
)

// TestNoSecretIsShown puts secrets anywhere in random definitions and looks for their values in everything that may be
// shown of them.
func TestNoSecretIsShown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc, _, diags, values := drawEnvironment(t, false)
		search(t, shownOf(t, doc, diags), values)
	})
}

// TestNoSecretIsInTheModel allows secrets only where the model keeps a reference. Then no form of the model holds one.
func TestNoSecretIsInTheModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		doc, env, diags, values := drawEnvironment(t, true)
		texts := shownOf(t, doc, diags)
		texts["%v of the model"] = fmt.Sprintf("%v", env)
		texts["%+v of the model"] = fmt.Sprintf("%+v", *env)
		texts["%#v of the model"] = fmt.Sprintf("%#v", *env)
		encoded, err := json.Marshal(env)
		if err != nil {
			t.Fatal(err)
		}
		texts["JSON of the model"] = string(encoded)
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("model", "env", env, "doc", doc)
		texts["log of the model"] = log.String()
		search(t, texts, values)
	})
}

// TestTheLeakTestsCanFail makes sure that the search finds a value that is there.
func TestTheLeakTestsCanFail(t *testing.T) {
	doc, _ := config.Load(fstest.MapFS{"config.yaml": {Data: []byte("flowehr_id: literal\nenvironment: local")}}, config.Options{})
	found := 0
	for _, text := range shownOf(t, doc, nil) {
		if strings.Contains(text, "literal") {
			found++
		}
	}
	if found < 6 {
		t.Errorf("a plain value was found in %d places only", found)
	}
}

// shownOf collects every text that may be shown of a document and its diagnostics.
func shownOf(t rapid.TB, doc *config.Document, diags []flowehr.Diagnostic) map[string]string {
	out := map[string]string{
		"diagnostics":            diagnosticText(diags),
		"error":                  flowehr.DiagnosticsError{Diagnostics: diags}.Error(),
		"wrapped error":          errors.Join(flowehr.DiagnosticsError{Diagnostics: diags}).Error(),
		"%v of the definition":   fmt.Sprintf("%v", doc.Definition),
		"%+v of the definition":  fmt.Sprintf("%+v", doc.Definition),
		"%#v of the definition":  fmt.Sprintf("%#v", doc.Definition),
		"%v of the document":     fmt.Sprintf("%v", doc),
		"%#v of the document":    fmt.Sprintf("%#v", doc),
		"%v of the references":   fmt.Sprintf("%v", doc.Secrets()),
		"JSON of the references": fmt.Sprintf("%+v", doc.Secrets()),
	}
	encoded, err := json.Marshal(doc)
	if err != nil {
		t.Fatalf("encode the document: %v", err)
	}
	out["JSON of the document"] = string(encoded)
	for _, o := range []config.ShowOptions{{}, {Origin: true}, {JSON: true}, {JSON: true, Origin: true}} {
		var b strings.Builder
		if err := doc.Show(&b, o); err != nil {
			t.Fatalf("show: %v", err)
		}
		out[fmt.Sprintf("show %+v", o)] = b.String()
	}
	return out
}

func search(t *rapid.T, texts map[string]string, values []string) {
	for name, text := range texts {
		for _, value := range values {
			if strings.Contains(strings.ToLower(text), strings.ToLower(value)) {
				t.Errorf("%s holds the secret %q:\n%s", name, value, text)
			}
		}
	}
}

// drawEnvironment writes a random definition and compiles it. With textsOnly, secrets stand only where the model keeps
// a reference.
func drawEnvironment(t *rapid.T, textsOnly bool) (*config.Document, *flowehr.Environment, []flowehr.Diagnostic, []string) {
	d := drawer{t: t, textsOnly: textsOnly, values: map[string]string{}}
	root := d.group(reflect.TypeFor[config.Definition]())
	if textsOnly {
		root["flowehr_id"], root["environment"] = "a", "local"
	}
	apps := map[string]any{}
	for _, id := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"one", "two", "three"}), 0, 3, rapid.ID[string]).Draw(t, "apps") {
		apps[id] = d.group(reflect.TypeFor[config.App]())
	}
	fsys := fstest.MapFS{"config.yaml": {Data: encodeYAML(t, root)}, "apps/apps.local.yaml": {Data: encodeYAML(t, apps)}}
	doc, diags := config.Load(fsys, config.Options{Lookup: func(name string) (string, bool) { v, ok := d.values[name]; return v, ok }})
	env, more := compile.Environment(doc)
	var values []string
	for _, v := range d.values {
		values = append(values, strings.TrimSpace(v))
	}
	return doc, env, slices.Concat(diags, more), values
}

func encodeYAML(t *rapid.T, v any) []byte {
	data, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// drawer makes random values in the shape of the definition's structs.
type drawer struct {
	t         *rapid.T
	textsOnly bool
	values    map[string]string // secrets by name
}

func (d *drawer) group(of reflect.Type) map[string]any {
	out := map[string]any{}
	for f := range of.Fields() {
		key := f.Tag.Get("yaml")
		if key == "" || key == "-" || rapid.IntRange(0, 2).Draw(d.t, key+"?") == 0 {
			continue
		}
		out[key] = d.value(f.Type, f.Tag)
	}
	if rapid.IntRange(0, 30).Draw(d.t, "unknown?") == 0 && !d.textsOnly {
		out["unknown"] = d.reference()
	}
	return out
}

func (d *drawer) value(of reflect.Type, tag reflect.StructTag) any {
	name := of.Name()
	switch {
	case strings.HasPrefix(name, "Value["):
		return d.scalar(name, tag)
	case strings.HasPrefix(name, "Map["):
		value, _ := of.Elem().FieldByName("Value")
		out := map[string]any{}
		for _, key := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"WEBSITES_PORT", "main", "epr", "k"}), 0, 2, rapid.ID[string]).Draw(d.t, "keys") {
			out[key] = d.value(value.Type, tag)
		}
		return out
	case of.Kind() == reflect.Slice:
		out := []any{}
		for range rapid.IntRange(0, 2).Draw(d.t, "items") {
			out = append(out, d.value(of.Elem(), tag))
		}
		return out
	case of.Kind() == reflect.Pointer:
		return d.group(of.Elem())
	}
	return d.group(of)
}

func (d *drawer) scalar(name string, tag reflect.StructTag) any {
	if !d.textsOnly || strings.Contains(name, "flowehr.Text") {
		switch rapid.IntRange(0, 4).Draw(d.t, "secret?") {
		case 0:
			return d.reference()
		case 1:
			return "a" + d.reference() + "/b"
		}
	}
	if words := tag.Get("enum"); words != "" {
		return rapid.SampledFrom(strings.Split(words, "|")).Draw(d.t, "word")
	}
	return rapid.SampledFrom([]any{"text", 7, true, "a@b.uk", "10.0.0.0/24", "https://example.org/a", "2027-03-31", "epr", "bronze"}).Draw(d.t, "plain")
}

// reference names a new secret, of a form that some key may accept.
func (d *drawer) reference() string {
	name := fmt.Sprintf("S%d", len(d.values))
	id := fmt.Sprintf("q%dzx%06d", len(d.values), rapid.IntRange(0, 999999).Draw(d.t, "id"))
	d.values[name] = rapid.SampledFrom([]string{
		id, strings.ToUpper(id), "https://git.example/" + id, "https://" + id + "@git.example/x", id + "@nhs.uk", id + ":80", " " + id + "\n", "-" + id, "90" + strings.Map(digit, id),
	}).Draw(d.t, "value")
	if rapid.IntRange(0, 9).Draw(d.t, "missing?") == 0 {
		delete(d.values, name)
		return "${MISSING}"
	}
	return "${" + name + "}"
}

func digit(r rune) rune {
	if r >= '0' && r <= '9' {
		return r
	}
	return '7'
}
