package factory

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

func dataDir(t testing.TB) string {
	t.Helper()
	root := os.Getenv("FLOWEHR_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared", "data")
	}
	dir := filepath.Join(root, "adf")
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the conformance collection is not here: %v", err)
	}
	return dir
}

func cases(t testing.TB, name string) []*expr.Object {
	t.Helper()
	f, err := os.Open(filepath.Join(dataDir(t), name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []*expr.Object
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		o := expr.NewObject()
		if err := o.UnmarshalJSON(sc.Bytes()); err != nil {
			t.Fatal(err)
		}
		all = append(all, o)
	}
	return all
}

func text(o *expr.Object, key string) string { return expr.Text(first(o, key)) }

// run plays a body by the decisions of this package alone: outcomes names the activities that fail when they run.
func run(acts []Activity, outcomes map[string]Status) map[string]Status {
	status := map[string]Status{}
	for changed := true; changed; {
		changed = false
		for _, a := range acts {
			if _, done := status[a.Name]; done {
				continue
			}
			decidable, satisfied := Ready(a.DependsOn, func(n string) (Status, bool) { s, ok := status[n]; return s, ok })
			if !decidable {
				continue
			}
			changed = true
			switch {
			case !satisfied:
				status[a.Name] = Skipped
			case a.Inactive:
				status[a.Name] = Status(a.InactiveMark)
			case outcomes[a.Name] != "":
				status[a.Name] = outcomes[a.Name]
			default:
				status[a.Name] = Succeeded
			}
		}
	}
	return status
}

func TestPipelineCases(t *testing.T) {
	played := 0
	for _, c := range cases(t, "pipeline_cases.jsonl") {
		if _, ok := c.Get("activities"); !ok {
			continue // about containers and activities: the engine's tests play them
		}
		played++
		t.Run(text(c, "id"), func(t *testing.T) {
			p, ds := DecodePipeline("p", "p.json", c)
			if flowehr.HasErrors(ds) {
				t.Fatal(ds)
			}
			outcomes := map[string]Status{}
			for k, v := range first(c, "outcomes").(*expr.Object).All() {
				outcomes[k] = Status(expr.Text(v))
			}
			want := map[string]Status{}
			for k, v := range first(c, "expected_activity_status").(*expr.Object).All() {
				want[k] = Status(expr.Text(v))
			}
			got := run(p.Activities, outcomes)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("statuses of activities (-want +got):\n%s", diff)
			}
			verdict := Outcome(p.Activities, got)
			if want := Status(text(c, "expected_pipeline_status")); verdict.Status != want {
				t.Errorf("outcome %s, want %s: %s", verdict.Status, want, verdict.Why)
			}
			if !strings.HasPrefix(verdict.Why, string(verdict.Status)) {
				t.Errorf("a reason that does not fit the outcome %s: %s", verdict.Status, verdict.Why)
			}
		})
	}
	if played == 0 {
		t.Fatal("the collection holds no case of dependencies")
	}
}

func TestScheduleCases(t *testing.T) {
	for _, c := range cases(t, "trigger_cases.jsonl") {
		if text(c, "kind") != "schedule" {
			continue
		}
		t.Run(text(c, "id"), func(t *testing.T) {
			r, err := Schedule(first(c, "recurrence").(*expr.Object))
			if err != nil {
				t.Fatal(err)
			}
			from, to := moment(t, text(c, "window_from")), moment(t, text(c, "window_to"))
			var got []string
			for at := from.Add(-1); ; {
				next, ok := r.Next(at)
				if !ok || !next.Before(to) {
					break
				}
				got = append(got, next.UTC().Format(time.RFC3339))
				at = next
			}
			var want []string
			for _, v := range first(c, "expected_fire_times_utc").([]expr.Value) {
				want = append(want, expr.Text(v))
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", text(c, "title"), diff)
			}
		})
	}
}

func moment(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// corpus lists the real definitions; kind is the folder below a repository, "" for pipelines.
func corpus(t *testing.T) (files []string) {
	t.Helper()
	root := filepath.Join(dataDir(t), "pipelines")
	for _, pattern := range []string{"*/*.json", "*/*/*.json"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Fatal("the corpus is empty")
	}
	return files
}

func TestCorpusRoundTrips(t *testing.T) {
	for _, file := range corpus(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			v, err := expr.DecodeJSON(data)
			if err != nil {
				t.Fatal(err)
			}
			var want bytes.Buffer
			if err := json.Compact(&want, expr.StripComments(data)); err != nil {
				t.Fatal(err)
			}
			if got := expr.EncodeJSON(v); !bytes.Equal(unescape(t, got), unescape(t, want.Bytes())) {
				t.Errorf("got  %s\nwant %s", got, want.Bytes())
			}
		})
	}
}

// unescape brings texts to one spelling and leaves order and numbers as they are.
func unescape(t *testing.T, data []byte) []byte {
	t.Helper()
	var out []byte
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	for {
		token, err := dec.Token()
		if err != nil {
			return out
		}
		out = fmt.Appendf(out, "%T %v\n", token, token)
	}
}

func TestCorpusLoadsAndBundlesRoundTrip(t *testing.T) {
	kinds := map[string]int{}
	for _, file := range corpus(t) {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		kind := filepath.Base(filepath.Dir(file))
		if !strings.HasPrefix(kind, "_") {
			kind = "pipeline"
		}
		kinds[kind]++
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			raw := expr.NewObject()
			if err := raw.UnmarshalJSON(data); err != nil {
				t.Fatal(err)
			}
			var ds []flowehr.Diagnostic
			switch kind {
			case "_trigger":
				_, ds = DecodeTrigger(name, file, raw)
			case "_dataset":
				_, ds = DecodeDataset(name, file, raw)
			case "_linkedService":
				_, ds = DecodeLinkedService(name, file, raw)
			default:
				var p Pipeline
				p, ds = DecodePipeline(name, file, raw)
				roundTrip(t, Bundle{Pipeline: p, Dir: "d"})
			}
			for _, d := range ds {
				if d.Severity == flowehr.SeverityError {
					t.Errorf("%s: %s", d.Pointer, d.Summary)
				}
			}
		})
	}
	if kinds["pipeline"] == 0 || kinds["_trigger"] == 0 {
		t.Errorf("the corpus lacks a kind: %v", kinds)
	}
}

func roundTrip(t *testing.T, b Bundle) {
	t.Helper()
	first, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodeBundle(first)
	if err != nil {
		t.Fatal(err)
	}
	second, err := again.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, second) || b.Digest() != again.Digest() {
		t.Errorf("a bundle changed on its way:\n%s\n%s", first, second)
	}
	if diff := cmp.Diff(b.Pipeline.Activities, again.Pipeline.Activities, cmp.AllowUnexported(expr.Object{})); diff != "" {
		t.Error(diff)
	}
}

// TestCorpusValidates expects no error in real definitions apart from what is listed: types that cannot run here and
// names that the collection does not hold.
func TestCorpusValidates(t *testing.T) {
	allowed := []string{"which cannot run here", "there is no dataset", "there is no linked service", "there is no global parameter"}
	faulty := map[string]string{
		"Multiple_Waits.json":                     `depends on "If Condition1", which does not exist`, // its activity is "If Condition"
		"DeltaCopyfromDB_using_ControlTable.json": "there is no parameter",                            // its parameters are an ARM placeholder
	}
	for _, file := range corpus(t) {
		if strings.HasPrefix(filepath.Base(filepath.Dir(file)), "_") {
			continue
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			raw := expr.NewObject()
			if err := raw.UnmarshalJSON(data); err != nil {
				t.Fatal(err)
			}
			p, _ := DecodePipeline("p", "p.json", raw)
			for _, d := range Validate(Bundle{Pipeline: p}, Known{}) {
				known := slices.ContainsFunc(allowed, func(s string) bool { return strings.Contains(d.Summary, s) })
				if fault, ok := faulty[filepath.Base(file)]; ok && strings.Contains(d.Summary, fault) {
					continue
				}
				if d.Severity == flowehr.SeverityError && !known {
					t.Errorf("%s: %s", d.Pointer, d.Summary)
				}
			}
		})
	}
}
