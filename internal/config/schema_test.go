package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"go.yaml.in/yaml/v4"

	"github.com/flowehr/flowehr/internal/config"
)

const (
	schemaDir  = "../../docs/schema"
	schemaFile = "flowehr.schema.json"
	appsFile   = "apps.schema.json"
)

// TestSchemaIsCurrent compares the schemas in docs/schema with what the structs say now. Run it with -update to write
// them.
func TestSchemaIsCurrent(t *testing.T) {
	for name, want := range map[string][]byte{schemaFile: config.Schema(), appsFile: config.AppsSchema(schemaFile)} {
		path := filepath.Join(schemaDir, name)
		if *update {
			if err := os.MkdirAll(schemaDir, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate ./internal/config", path)
		}
	}
}

func TestSchemaAcceptsWhatLoadAccepts(t *testing.T) {
	for _, name := range []string{"old-system", "minimal", "minimal-azure", "own-keys", "merge", "apps-none", "real-data", "structural-secret", "utf8"} {
		t.Run(name, func(t *testing.T) {
			for file, problems := range checkFiles(t, name) {
				if file != "config.sample.yaml" && len(problems) > 0 {
					t.Errorf("%s is refused:\n%s", file, strings.Join(problems, "\n"))
				}
			}
		})
	}
}

func TestSchemaRefusesWhatLoadRefuses(t *testing.T) {
	problems := checkFiles(t, "types")
	for _, want := range []string{
		"/flowehr_id", "/enviroment: no such key", "/location", "/target", "/accesses_real_data", "/core_address_space", "/tags",
		"/transform/spark_verison: no such key", "/transform/datalake", "/transform/spark_config/x", "/transform/databricks_cluster/num_of_workers",
		"/transform/databricks_cluster/autoscale/min_workers", "/transform/databricks_cluster/runtime_engine", "/transform/databricks_account_id",
		"/transform/repositories/0", "/transform/repositories/1", "/data_source_connections/0/name", "/data_source_connections/0/fqnd: is not null",
		"/data_source_connections/0/port", "/data_source_connections/0/kind", "/data_source_connections/0: fqdn is missing", "/projects/Sepsis!/tier",
		"/projects/Sepsis!/owners/0", "/projects/Sepsis!/approved_until", "/projects/Sepsis!/budget_per_month", "/monitoring/alert_recipients/0/email",
		"/monitoring/log_retention_days", "/completely_different: no such key",
	} {
		if !slices.ContainsFunc(problems["config.yaml"], func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("config.yaml: %s is accepted; refused is only:\n%s", want, strings.Join(problems["config.yaml"], "\n"))
		}
	}
	for _, want := range []string{"/bed board", "/bed/name", "/bed/owners/a", "/bed/managed_repo/private", "/bed/managed_repo/template", "/bed/branch", "/text"} {
		if !slices.ContainsFunc(problems["apps/apps.local.yaml"], func(p string) bool { return strings.HasPrefix(p, want) }) {
			t.Errorf("apps: %s is accepted; refused is only:\n%s", want, strings.Join(problems["apps/apps.local.yaml"], "\n"))
		}
	}
}

// TestSchemaDescribesEveryKey holds every property to a description, so that editors can show one.
func TestSchemaDescribesEveryKey(t *testing.T) {
	var walk func(path string, v any)
	walk = func(path string, v any) {
		object, ok := v.(map[string]any)
		if !ok {
			return
		}
		properties, _ := object["properties"].(map[string]any)
		for key, p := range properties {
			if p, _ := p.(map[string]any); p["description"] == nil && !strings.HasSuffix(path, "/if") {
				t.Errorf("%s/%s has no description", path, key)
			}
		}
		for key, value := range object {
			walk(path+"/"+key, value)
		}
	}
	walk("", decodeSchema(t))
}

// checkFiles validates every YAML file of a case of package compile and returns what is wrong in each.
func checkFiles(t *testing.T, name string) map[string][]string {
	t.Helper()
	archive, err := txtar.ParseFile("../compile/testdata/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	root := decodeSchema(t)
	defs, _ := root["$defs"].(map[string]any)
	out := map[string][]string{}
	for _, f := range archive.Files {
		if filepath.Ext(f.Name) != ".yaml" || f.Name == "config.sample.yaml" {
			continue
		}
		var value any
		if err := yaml.Unmarshal(f.Data, &value); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		schema := any(root)
		if strings.HasPrefix(f.Name, "apps/") {
			schema = defs["apps"]
		}
		v := validator{defs: defs}
		v.check("", schema, value)
		out[f.Name] = v.problems
	}
	return out
}

func decodeSchema(t *testing.T) map[string]any {
	t.Helper()
	var root map[string]any
	if err := json.Unmarshal(config.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	return root
}

// validator knows as much of JSON Schema as the generated one uses, and fails on any other word, so that a rule cannot
// be there without being tested.
type validator struct {
	defs     map[string]any
	problems []string
}

func (v *validator) refuse(path, format string, args ...any) {
	v.problems = append(v.problems, path+": "+fmt.Sprintf(format, args...))
}

func (v *validator) valid(schema, value any) bool {
	inner := validator{defs: v.defs}
	inner.check("", schema, value)
	return len(inner.problems) == 0
}

func (v *validator) check(path string, schema, value any) {
	if schema == false {
		v.refuse(path, "no such key")
		return
	}
	rules, _ := schema.(map[string]any)
	object, isObject := value.(map[string]any)
	switch odd := value.(type) {
	case map[any]any: // a mapping with a key that is no text; editors see its text
		object, isObject = map[string]any{}, true
		for k, item := range odd {
			object[fmt.Sprint(k)] = item
		}
		value = object
	case time.Time:
		value = odd.Format(time.DateOnly)
	}
	if wanted, ok := rules["type"]; ok && !hasType(wanted, value) {
		v.refuse(path, "is not %v", wanted)
		return
	}
	for word, rule := range rules {
		switch word {
		case "type", "$schema", "title", "description", "default", "$defs", "properties", "then", "else":
		case "$ref":
			ref, _ := rule.(string)
			v.check(path, v.defs[strings.TrimPrefix(ref, "#/$defs/")], value)
		case "anyOf":
			alternatives, _ := rule.([]any)
			if !slices.ContainsFunc(alternatives, func(s any) bool { return v.valid(s, value) }) {
				v.refuse(path, "is none of the alternatives")
			}
		case "enum":
			words, _ := rule.([]any)
			if !slices.ContainsFunc(words, func(w any) bool { return reflect.DeepEqual(w, value) }) {
				v.refuse(path, "is none of %v", words)
			}
		case "const":
			if rule != value {
				v.refuse(path, "is not %v", rule)
			}
		case "pattern":
			pattern, _ := rule.(string)
			if text, ok := value.(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
				v.refuse(path, "does not match %s", pattern)
			}
		case "minimum", "maximum":
			limit, _ := rule.(float64)
			if x, ok := asNumber(value); ok && (word == "minimum" && x < limit || word == "maximum" && x > limit) {
				v.refuse(path, "breaks %s %v", word, limit)
			}
		case "items":
			list, _ := value.([]any)
			for i, item := range list {
				v.check(fmt.Sprintf("%s/%d", path, i), rule, item)
			}
		case "required":
			keys, _ := rule.([]any)
			for _, key := range keys {
				if _, there := object[fmt.Sprint(key)]; isObject && !there {
					v.refuse(path, "%s is missing", key)
				}
			}
		case "propertyNames":
			for key := range object {
				v.check(path+"/"+key, rule, key)
			}
		case "additionalProperties":
			known, _ := rules["properties"].(map[string]any)
			for key, item := range object {
				if _, ok := known[key]; !ok {
					v.check(path+"/"+key, rule, item)
				}
			}
		case "if":
			branch := "else"
			if v.valid(rule, value) {
				branch = "then"
			}
			v.check(path, rules[branch], value)
		default:
			v.refuse(path, "the schema uses %q, which this check does not know", word)
		}
	}
	properties, _ := rules["properties"].(map[string]any)
	for key, rule := range properties {
		if item, there := object[key]; there {
			v.check(path+"/"+key, rule, item)
		}
	}
}

func hasType(wanted, value any) bool {
	if list, ok := wanted.([]any); ok {
		return slices.ContainsFunc(list, func(w any) bool { return hasType(w, value) })
	}
	number, isNumber := asNumber(value)
	switch wanted {
	case "null":
		return value == nil
	case "boolean":
		_, ok := value.(bool)
		return ok
	case "string":
		_, ok := value.(string)
		return ok
	case "number":
		return isNumber
	case "integer":
		return isNumber && number == float64(int64(number))
	case "array":
		_, ok := value.([]any)
		return ok
	case "object":
		_, ok := value.(map[string]any)
		return ok
	}
	return false
}

func asNumber(value any) (float64, bool) {
	switch x := value.(type) {
	case int:
		return float64(x), true
	case float64:
		return x, true
	}
	return 0, false
}
