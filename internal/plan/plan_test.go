package plan_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/plan"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write golden files")

var env = &flowehr.Environment{Name: "local", Suffix: "st-elsewhere-local", Target: flowehr.TargetLocal}

func ref(name string) flowehr.Ref { return flowehr.Ref{Kind: "thing", Name: name} }

func res(name string, layer flowehr.Layer, spec string, needs ...string) flowehr.Resource {
	r := flowehr.Resource{Ref: ref(name), Layer: layer, Spec: json.RawMessage(spec)}
	for _, n := range needs {
		r.Needs = append(r.Needs, ref(n))
	}
	return r
}

func stateOf(records ...flowehr.Record) flowehr.State {
	st := flowehr.State{Environment: env.Suffix, Target: env.Target, Revision: 7, Records: map[flowehr.Ref]flowehr.Record{}}
	for _, r := range records {
		st.Records[r.Resource.Ref] = r
	}
	return st
}

func rec(r flowehr.Resource, pending flowehr.Action) flowehr.Record {
	return flowehr.Record{Resource: r, ID: "id-" + r.Ref.Name, Pending: pending}
}

const (
	core      = flowehr.LayerCore
	transform = flowehr.LayerTransform
)

func TestMake(t *testing.T) {
	fixed := func(string) []string { return []string{"/region", "/nodes/*/size"} }
	old := res("db", core, `{"region":"uk","size":1}`)
	holds := old
	holds.Holds = true
	for _, c := range []struct {
		name string
		want []flowehr.Resource
		have flowehr.State
		opts plan.Options
		text string // one step a line
	}{
		{"creates what is not there", []flowehr.Resource{old}, stateOf(), plan.Options{},
			"create thing/db: not there yet"},
		{"keeps what is equal whatever the order of members", []flowehr.Resource{res("db", core, `{ "size":1, "region":"uk"}`)},
			stateOf(rec(old, flowehr.Keep)), plan.Options{}, "keep thing/db"},
		{"updates and says what", []flowehr.Resource{res("db", core, `{"region":"uk","size":2}`)}, stateOf(rec(old, flowehr.Keep)),
			plan.Options{}, `update thing/db: size changed [/size 1 -> 2]`},
		{"replaces when a fixed property changes", []flowehr.Resource{res("db", core, `{"region":"eu","size":1}`)},
			stateOf(rec(old, flowehr.Keep)), plan.Options{Replace: fixed}, `replace thing/db: region cannot be changed in place [/region "uk" -> "eu"]`},
		{"replaces when a fixed property of an element changes", []flowehr.Resource{res("db", core, `{"nodes":[{"size":1},{"size":3}]}`)},
			stateOf(rec(res("db", core, `{"nodes":[{"size":1}]}`), flowehr.Keep)), plan.Options{Replace: fixed},
			`replace thing/db: nodes.*.size cannot be changed in place [/nodes [{"size":1}] -> [{"size":1},{"size":3}]]`},
		{"says that a replacement loses data", []flowehr.Resource{func() flowehr.Resource { r := holds; r.Spec = []byte(`{"region":"eu"}`); return r }()},
			stateOf(rec(holds, flowehr.Keep)), plan.Options{Replace: fixed},
			`replace thing/db: region cannot be changed in place; it holds data [/region "uk" -> "eu" /size 1 -> none]`},
		{"deletes what is not wanted, users first", nil,
			stateOf(rec(old, flowehr.Keep), rec(res("table", core, `{}`, "db"), flowehr.Keep), rec(res("view", core, `{}`, "table"), flowehr.Keep)), plan.Options{},
			"delete thing/view: no longer in the definition\n" +
				"delete thing/table: no longer in the definition after thing/view\n" +
				"delete thing/db: no longer in the definition after thing/table"},
		{"deletes after the user has let go", []flowehr.Resource{res("table", core, `{"v":2}`)},
			stateOf(rec(old, flowehr.Keep), rec(res("table", core, `{"v":1}`, "db"), flowehr.Keep)), plan.Options{},
			"update thing/table: v changed [/v 1 -> 2]\ndelete thing/db: no longer in the definition after thing/table"},
		{"carries a creation on", []flowehr.Resource{old}, stateOf(rec(old, flowehr.Create)), plan.Options{},
			"create thing/db: begun before and not finished"},
		{"replaces what was begun otherwise", []flowehr.Resource{res("db", core, `{"region":"eu","size":1}`)}, stateOf(rec(old, flowehr.Create)),
			plan.Options{Replace: fixed}, `replace thing/db: region cannot be changed in place [/region "uk" -> "eu"]`},
		{"carries an update on", []flowehr.Resource{old}, stateOf(rec(old, flowehr.Update)), plan.Options{},
			"update thing/db: a change was begun before and not finished"},
		{"carries a replacement on", []flowehr.Resource{old}, stateOf(rec(old, flowehr.Replace)), plan.Options{},
			"replace thing/db: a replacement was begun before and not finished"},
		{"makes anew what was being deleted", []flowehr.Resource{old}, stateOf(rec(old, flowehr.Delete)), plan.Options{},
			"replace thing/db: a deletion was begun before and not finished"},
		{"deletes what was begun and is not wanted", nil, stateOf(rec(old, flowehr.Create)), plan.Options{},
			"delete thing/db: no longer in the definition"},
		{"updates users of what is made anew",
			[]flowehr.Resource{old, res("app", core, `{"url":{"$output":"thing/db","name":"url"}}`, "db")},
			stateOf(rec(res("app", core, `{"url":{"$output":"thing/db","name":"url"}}`, "db"), flowehr.Keep)), plan.Options{},
			"create thing/db: not there yet\nupdate thing/app: uses url of thing/db, which may come out different after thing/db"},
		{"leaves other layers alone", []flowehr.Resource{old, res("app", transform, `{}`, "db")},
			stateOf(rec(old, flowehr.Keep), rec(res("gone", core, `{}`), flowehr.Keep)), plan.Options{Layers: []flowehr.Layer{transform}},
			"create thing/app: not there yet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := plan.Make(env, c.want, c.have, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.text, text(p)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// text writes the steps of a plan for comparison.
func text(p flowehr.Plan) string {
	var lines []string
	for _, s := range p.Steps {
		line := s.Action.String() + " " + s.Want.Ref.String()
		if s.Why != "" {
			line += ": " + s.Why
		}
		var changes []string
		for _, c := range s.Changes {
			changes = append(changes, fmt.Sprintf("%s %s -> %s", c.Path, orNone(c.Before), orNone(c.After)))
		}
		if len(changes) > 0 {
			line += " [" + strings.Join(changes, " ") + "]"
		}
		if len(s.After) > 0 {
			var after []string
			for _, r := range s.After {
				after = append(after, r.String())
			}
			line += " after " + strings.Join(after, ", ")
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func orNone(v json.RawMessage) string {
	if v == nil {
		return "none"
	}
	return string(v)
}

func TestMakeRefuses(t *testing.T) {
	db := res("db", core, `{}`)
	at := func(r flowehr.Resource, line int) flowehr.Resource {
		r.Pos = flowehr.Pos{File: "config.yaml", Line: line}
		return r
	}
	for _, c := range []struct {
		name string
		want []flowehr.Resource
		have flowehr.State
		opts plan.Options
		says []string
	}{
		{"a need that is nowhere", []flowehr.Resource{res("app", core, `{}`, "db")}, stateOf(), plan.Options{},
			[]string{"thing/app needs thing/db, which the definition does not have"}},
		{"a layer before the one it needs", []flowehr.Resource{db, res("app", transform, `{}`, "db")}, stateOf(),
			plan.Options{Layers: []flowehr.Layer{transform}}, []string{"thing/app needs thing/db, which is not deployed", "layer core"}},
		{"a layer on one that is half-done", []flowehr.Resource{db, res("app", transform, `{}`, "db")}, stateOf(rec(db, flowehr.Update)),
			plan.Options{Layers: []flowehr.Layer{transform}}, []string{"thing/app needs thing/db, whose update was begun and not finished"}},
		{"taking away what another layer needs", nil, stateOf(rec(db, flowehr.Keep), rec(res("app", transform, `{}`, "db"), flowehr.Keep)),
			plan.Options{Layers: []flowehr.Layer{core}}, []string{"thing/db cannot be deleted: thing/app needs it", "layer transform"}},
		{"two of one name", []flowehr.Resource{at(db, 4), at(db, 2)}, stateOf(), plan.Options{}, []string{"config.yaml:4", "thing/db is defined twice", "config.yaml:2"}},
		{"a circle", []flowehr.Resource{res("a", core, `{}`, "b"), res("b", core, `{}`, "a")}, stateOf(), plan.Options{},
			[]string{"resources of the definition need each other", "thing/a needs thing/b needs thing/a"}},
		{"a circle among records", nil, stateOf(rec(res("a", core, `{}`, "b"), flowehr.Keep), rec(res("b", core, `{}`, "a"), flowehr.Keep)), plan.Options{},
			[]string{"resources of the state need each other"}},
		{"a spec that is not JSON", []flowehr.Resource{res("a", core, `{`)}, stateOf(), plan.Options{}, []string{"specification of thing/a is not JSON"}},
		{"an output without a need", []flowehr.Resource{db, res("app", core, `{"$output":"thing/db","name":"url"}`)}, stateOf(), plan.Options{},
			[]string{"thing/app uses output url of thing/db without needing thing/db"}},
		{"an output of nothing", []flowehr.Resource{res("app", core, `{"$output":"db","name":"url"}`)}, stateOf(), plan.Options{},
			[]string{"thing/app refers to an output wrongly", `"db" is not kind/name`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := plan.Make(env, c.want, c.have, c.opts)
			diags, ok := errors.AsType[flowehr.DiagnosticsError](err)
			if !ok {
				t.Fatalf("got %v with plan\n%s\nwant diagnostics", err, text(p))
			}
			all := fmt.Sprintf("%+v", diags.Diagnostics)
			for _, want := range c.says {
				if !strings.Contains(all, want) {
					t.Errorf("got %s\nwant it to say %q", all, want)
				}
			}
		})
	}
}

func TestMakeRefusesTheStateOfAnother(t *testing.T) {
	st := stateOf()
	st.Environment = "other-prod"
	if _, err := plan.Make(env, nil, st, plan.Options{}); err == nil || !strings.Contains(err.Error(), "other-prod") {
		t.Errorf("got %v, want a refusal that names other-prod", err)
	}
}

func TestMakeDestroy(t *testing.T) {
	db, app := rec(res("db", core, `{}`), flowehr.Keep), rec(res("app", transform, `{}`, "db"), flowehr.Keep)
	db.Resource.Holds = true
	t.Run("all", func(t *testing.T) {
		p, err := plan.MakeDestroy(stateOf(db, app), nil, true, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := text(p), "delete thing/app: destroy\ndelete thing/db: destroy; it holds data after thing/app"; got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
	t.Run("a layer that nothing needs", func(t *testing.T) {
		p, err := plan.MakeDestroy(stateOf(db, app), []flowehr.Layer{transform}, false, time.Time{})
		if err != nil || text(p) != "delete thing/app: destroy" {
			t.Errorf("got %v\n%s", err, text(p))
		}
	})
	t.Run("a layer that another needs", func(t *testing.T) {
		_, err := plan.MakeDestroy(stateOf(db, app), []flowehr.Layer{core}, false, time.Time{})
		if err == nil || !strings.Contains(err.Error(), "thing/app needs it") {
			t.Errorf("got %v, want a refusal that names thing/app", err)
		}
	})
}

// world draws wanted resources without cycles and a state that has some of them, some changed and some others.
func world(t *rapid.T) ([]flowehr.Resource, flowehr.State) {
	spec := rapid.SampledFrom([]string{`{}`, `{"a":1}`, `{"a":2,"fixed":"x"}`, `{"fixed":"y","list":[1,2]}`, `{"list":[1,3]}`})
	draw := func(label string) []flowehr.Resource {
		var out []flowehr.Resource
		for i := range rapid.IntRange(0, 6).Draw(t, label) {
			var needs []string
			if i > 0 {
				for _, j := range rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 0, min(i, 2), rapid.ID[int]).Draw(t, "needs") {
					needs = append(needs, fmt.Sprint("r", j))
				}
			}
			out = append(out, res(fmt.Sprint("r", i), flowehr.Layers()[min(i/2, 3)], spec.Draw(t, "spec"), needs...))
		}
		return out
	}
	var records []flowehr.Record
	for _, r := range draw("recorded") {
		records = append(records, rec(r, rapid.SampledFrom(flowehr.Actions()).Draw(t, "pending")))
	}
	return draw("wanted"), stateOf(records...)
}

func TestMakeDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, have := world(t)
		o := plan.Options{Replace: func(string) []string { return []string{"/fixed"} }, At: time.Unix(1, 0).UTC()}
		first := encoded(t, want, have, o)
		shuffled := slices.Clone(want)
		for i := range shuffled {
			shuffled[i].Needs = slices.Clone(shuffled[i].Needs)
			slices.Reverse(shuffled[i].Needs)
		}
		if second := encoded(t, rapid.Permutation(shuffled).Draw(t, "other order"), have, o); !bytes.Equal(first, second) {
			t.Fatalf("got\n%s\nand\n%s", first, second)
		}
	})
}

func encoded(t *rapid.T, want []flowehr.Resource, have flowehr.State, o plan.Options) []byte {
	t.Helper()
	p, err := plan.Make(env, want, have, o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := plan.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Every wanted or recorded resource has exactly one step, and steps come after those that they wait for.
func TestMakeIsCompleteAndOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, have := world(t)
		p, err := plan.Make(env, want, have, plan.Options{})
		if err != nil {
			t.Fatal(err)
		}
		seen := map[flowehr.Ref]bool{}
		for _, s := range p.Steps {
			if seen[s.Want.Ref] {
				t.Fatalf("two steps for %s", s.Want.Ref)
			}
			for _, r := range s.After {
				if !seen[r] {
					t.Fatalf("%s stands before %s, which it waits for:\n%s", s.Want.Ref, r, text(p))
				}
			}
			seen[s.Want.Ref] = true
		}
		for _, r := range want {
			if !seen[r.Ref] {
				t.Fatalf("no step for wanted %s", r.Ref)
			}
		}
		for r := range have.Records {
			if !seen[r] {
				t.Fatalf("no step for recorded %s", r)
			}
		}
	})
}

func TestPlanFileRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want, have := world(t)
		p, err := plan.Make(env, want, have, plan.Options{At: time.Unix(5, 0).UTC()})
		if err != nil {
			t.Fatal(err)
		}
		b, err := plan.Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		back, err := plan.Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := plan.Encode(back); !bytes.Equal(b, again) {
			t.Fatalf("got\n%s\nwant\n%s", again, b)
		}
		flipped := bytes.Replace(b, []byte(`"base":7`), []byte(`"base":8`), 1)
		if _, err := plan.Decode(flipped); err == nil {
			t.Fatal("an edited plan file was accepted")
		}
	})
}

func TestPlanFileGolden(t *testing.T) {
	p, err := plan.Make(env, []flowehr.Resource{res("app", transform, `{"v":1}`, "db"), res("db", core, `{}`)},
		stateOf(rec(res("old", core, `{}`), flowehr.Keep)), plan.Options{At: time.Date(2026, 11, 21, 20, 4, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := plan.Encode(p)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "plan.json")
	if *update {
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("plan files written before could not be read any more; -want +got\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct{ name, file, says string }{
		{"nothing", "", "not a plan file"},
		{"another file", `{"a":1}`, "not a plan file"},
		{"a later version", `{"flowehrPlan":2,"digest":"","plan":{}}`, "version 2"},
		{"a wrong digest", `{"flowehrPlan":1,"digest":"00","plan":{}}`, "damaged or was edited"},
		{"two values", `{"flowehrPlan":1,"digest":"00","plan":{}} {}`, "more after its end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := plan.Decode([]byte(c.file)); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want it to say %q", err, c.says)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "plan.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add([]byte(`{"flowehrPlan":1,"digest":"","plan":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := plan.Decode(b)
		if err != nil {
			return
		}
		again, err := plan.Encode(p)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		if _, err := plan.Decode(again); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
	})
}

// decoded specs are what Diff claims: putting the changes into the old one gives the new one.
func TestDiffFindsEveryChange(t *testing.T) {
	value := rapid.Deferred(func() *rapid.Generator[any] { return anyJSON(3) })
	rapid.Check(t, func(t *rapid.T) {
		a, _ := flowehr.Canonical(value.Draw(t, "before"))
		b, _ := flowehr.Canonical(value.Draw(t, "after"))
		if same := len(plan.Diff(a, b)) == 0; same != bytes.Equal(a, b) {
			t.Fatalf("Diff(%s, %s) = %v", a, b, plan.Diff(a, b))
		}
	})
}

func anyJSON(depth int) *rapid.Generator[any] {
	scalar := rapid.OneOf(rapid.Just[any](nil), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Map(rapid.IntRange(0, 2), func(i int) any { return i }), rapid.Map(rapid.SampledFrom([]string{"", "a", "a/b", "~"}), func(s string) any { return s }))
	if depth == 0 {
		return scalar
	}
	inner := anyJSON(depth - 1)
	return rapid.OneOf(scalar,
		rapid.Map(rapid.SliceOfN(inner, 0, 3), func(s []any) any { return s }),
		rapid.Map(rapid.MapOfN(rapid.SampledFrom([]string{"a", "b/c", "~d"}), inner, 0, 3), func(m map[string]any) any { return m }))
}
