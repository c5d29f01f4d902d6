package azure

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// worldOf is all that stands, written so that two worlds which differ only in when things were made, and in identifiers that
// services draw, read the same. Resources are written as they were asked for. Of secrets the names count, and the values of
// those that the definition names.
func (s *subscription) worldOf(t testing.TB) string {
	t.Helper()
	raw, err := s.remote.World(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var world struct {
		State map[string]any
		Parts struct {
			Resources map[string]struct {
				ID, Stack, Deny string
				Busy            bool
				Want            any
			}
			Stacks map[string]struct {
				Name, State   string
				Actions, Deny any
				Managed       map[string]any
			}
		}
	}
	if err := json.Unmarshal(raw, &world); err != nil {
		t.Fatal(err)
	}
	n := namesIn(world.State)
	var out []string
	add := func(kind string, v any) { out = append(out, kind+" "+n.text(v)) }
	for _, r := range world.Parts.Resources {
		if strings.Contains(r.ID, placeOfRecord) {
			continue
		}
		add("resource", map[string]any{"is": r.ID, "wanted": r.Want, "stack": r.Stack, "busy": r.Busy, "deny": r.Deny})
	}
	for _, st := range world.Parts.Stacks {
		add("stack", map[string]any{"is": st.Name, "state": st.State, "actions": st.Actions, "deny": st.Deny, "manages": slices.Sorted(maps.Keys(st.Managed))})
	}
	manager, _ := world.State["manager"].(map[string]any)
	add("deleted", slices.Sorted(maps.Keys(objectOf(manager["deleted"]))))
	for _, plane := range []string{"directory", "vaults", "databricks", "sql", "factories", "tokens", "github", "blobs"} {
		for kind, v := range objectOf(world.State[plane]) {
			for name, thing := range entries(v) {
				if thing == nil || slices.Contains(passing, kind) {
					continue
				}
				if plane == "blobs" && strings.HasPrefix(kind, "flwrst") {
					continue // the record: its history is as long as the way there was
				}
				add(plane+" "+kind+" "+n.replaced(name), thing)
			}
		}
	}
	for i := range out {
		out[i] = addresses.ReplaceAllString(out[i], "*")
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// addresses are identifiers within texts: names of role assignments that follow from who deploys, hosts of workspaces,
// clusters, owners and repositories at GitHub, keys of telemetry, passwords of sites.
var addresses = regexp.MustCompile(`(?i)(roleAssignments/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|adb-[0-9]+\.[0-9]+|[0-9]{4}-[0-9]{6}-[0-9a-f]{8}|@[0-9]+|(InstrumentationKey|ApplicationId)=[0-9a-f-]{36}|:[0-9a-f]{40,}@)`)

// placeOfRecord is in the name of the group that the record is in, which stays.
const placeOfRecord = "/rg-flowehr-state-"

// entries are the members of an object, by name where names are not drawn, the elements of an array, or the value itself.
func entries(v any) func(yield func(string, any) bool) {
	return func(yield func(string, any) bool) {
		switch v := v.(type) {
		case map[string]any:
			for name, x := range v {
				if drawn.MatchString(name) {
					name = ""
				}
				if !yield(name, x) {
					return
				}
			}
		case []any:
			for _, x := range v {
				if !yield("", x) {
					return
				}
			}
		default:
			yield("", v)
		}
	}
}

func objectOf(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

// drawn is the form of identifiers that services draw.
var drawn = regexp.MustCompile(`^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9]+|[0-9]{4}-[0-9]{6}-[0-9a-f]{8})$`)

// passing are members that say when something was, who is asking, or how a service counts.
var passing = []string{"id", "Id", "made", "Made", "changed", "since", "until", "visible", "from", "at", "begun", "filled", "root", "expiry", "flowehr-made", "ends", "expires", "fired", "settled", "serial", "calls", "sid",
	"etag", "keyId", "key", "lease", "streams", "number", "objects", "startDateTime", "endDateTime", "flowehr-application", "flowehr-key", "sha", "head", "date", "tokens", "runs",
	"activated", "resources", "pulls", "object_id", "principal_id"}

// givenNames replaces identifiers by the names of what they identify.
type givenNames struct{ *strings.Replacer }

func namesIn(state map[string]any) givenNames {
	var pairs []string
	directory := objectOf(state["directory"])
	give := func(id any, name string) {
		if text, ok := id.(string); ok && text != "" {
			pairs = append(pairs, text, "<"+name+">")
		}
	}
	for _, v := range objectOf(directory["principals"]) {
		p := objectOf(v)
		give(p["id"], fmt.Sprint(p["kind"], " ", p["name"], " of ", p["of"]))
		give(p["appId"], fmt.Sprint("application ", p["name"], " of ", p["of"]))
	}
	for _, v := range objectOf(directory["applications"]) {
		a := objectOf(v)
		give(a["id"], fmt.Sprint("object of ", objectOf(a["body"])["displayName"]))
	}
	for id, m := range objectOf(objectOf(state["databricks"])["metastores"]) {
		give(id, fmt.Sprint("metastore ", objectOf(m)["name"]))
	}
	for _, v := range objectOf(objectOf(state["databricks"])["workspaces"]) {
		for id, p := range objectOf(objectOf(v)["principals"]) {
			give(id, fmt.Sprint("principal ", objectOf(p)["name"]))
		}
	}
	return givenNames{strings.NewReplacer(pairs...)}
}

func (n givenNames) replaced(s string) string { return n.Replace(s) }

// text writes a value so that the order in which things were made does not show.
func (n givenNames) text(v any) string {
	switch v := v.(type) {
	case map[string]any:
		var out []string
		for name, x := range v {
			if slices.Contains(passing, name) || isSecret(name, x) {
				continue
			}
			if versions, ok := x.([]any); ok && name == "versions" && len(versions) > 1 {
				x = versions[len(versions)-1:] // of a vault's secret, which counts when it was written twice because an answer was lost
			}
			if name = n.replaced(name); drawn.MatchString(name) {
				name = "*"
			}
			out = append(out, name+":"+n.text(x))
		}
		slices.Sort(out)
		return "{" + strings.Join(out, " ") + "}"
	case []any:
		var out []string
		for _, x := range v {
			out = append(out, n.text(x))
		}
		slices.Sort(out)
		return "[" + strings.Join(out, " ") + "]"
	case []string:
		var out []any
		for _, x := range v {
			out = append(out, x)
		}
		return n.text(out)
	case string:
		return n.replaced(v)
	}
	return fmt.Sprint(v)
}

// isSecret says whether a member is a value that was drawn, not one of the definition.
func isSecret(name string, v any) bool {
	text, _ := v.(string)
	return strings.EqualFold(name, "value") && !strings.Contains(text, secretMark)
}

// staying are lines of what is not taken away on purpose: the code of people, which is archived, and groups of people in the
// account of Databricks, which others use too.
func staying(line string) bool {
	return strings.HasPrefix(line, "github repos ") && strings.Contains(line, "archived:true") || strings.HasPrefix(line, "databricks groups ")
}

// sameWorld fails when two worlds differ.
func sameWorld(t testing.TB, want, got string) {
	t.Helper()
	if want == got {
		return
	}
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	missing := slices.DeleteFunc(slices.Clone(a), func(l string) bool { return slices.Contains(b, l) })
	more := slices.DeleteFunc(slices.Clone(b), func(l string) bool { return slices.Contains(a, l) })
	t.Errorf("another world than after an undisturbed deployment (-undisturbed +this):\n%s", cmp.Diff(missing, more))
}
