package render_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/render"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write golden files")

// styles are the terminals that every output is looked at on.
var styles = map[string]render.Style{
	"colour": {Color: true, Unicode: true, Width: 100},
	"plain":  {Unicode: true, Width: 100},
	"ascii":  {Width: 100},
	"narrow": {Unicode: true, Width: 60},
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
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
		t.Errorf("%s: -want +got\n%s", name, diff)
	}
}

var colours = regexp.MustCompile("\x1b\\[[0-9]*[mAJ]")

// onEvery compares the output in every style with its golden file and holds it to the width.
func onEvery(t *testing.T, name string, write func(*testing.T, *bytes.Buffer, render.Style)) {
	for style, s := range styles {
		t.Run(style, func(t *testing.T) {
			var b bytes.Buffer
			write(t, &b, s)
			golden(t, name+"."+style+".txt", b.Bytes())
			text := colours.ReplaceAllString(b.String(), "")
			for line := range strings.Lines(text) {
				line = strings.TrimRight(line, "\n")
				if n := utf8.RuneCountInString(line); n > s.Width {
					t.Errorf("line of %d columns: %q", n, line)
				}
				if !s.Unicode && len(line) != utf8.RuneCountInString(line) {
					t.Errorf("not ASCII: %q", line)
				}
			}
			if !s.Color && strings.Contains(b.String(), "\x1b") {
				t.Errorf("colours in %q", b.String())
			}
		})
	}
}

var now = time.Date(2026, 11, 21, 20, 5, 0, 0, time.UTC)

func step(a flowehr.Action, kind, name string, layer flowehr.Layer, why string, changes ...flowehr.Change) flowehr.Step {
	return flowehr.Step{Action: a, Want: flowehr.Resource{Ref: flowehr.Ref{Kind: kind, Name: name}, Layer: layer}, Why: why, Changes: changes}
}

func samplePlan() flowehr.Plan {
	p := flowehr.Plan{ID: "41a7c09e", Environment: "st-elsewhere-local", Target: flowehr.TargetLocal, Base: 41, At: now.Add(-time.Minute),
		Steps: []flowehr.Step{
			step(flowehr.Keep, "zone", "gold", flowehr.LayerCore, ""),
			step(flowehr.Update, "pipeline", "gold-features", flowehr.LayerTransform, "trigger.startTime changed",
				flowehr.Change{Path: "/trigger/startTime", Before: json.RawMessage(`"18:00"`), After: json.RawMessage(`"19:00"`)}),
			step(flowehr.Create, "table", "gold/readmission_30d", flowehr.LayerTransform, "not there yet"),
			step(flowehr.Delete, "source", "old-dw", flowehr.LayerTransform, "no longer in the definition; it holds data"),
			step(flowehr.Update, "app", "cohort-explorer", flowehr.LayerApps, "env.TOKEN changed",
				flowehr.Change{Path: "/env/TOKEN", After: json.RawMessage(`"${API_TOKEN}"`)}),
			step(flowehr.Replace, "app", "a-name-that-is-much-longer-than-any-name-should-ever-be-allowed-to-be", flowehr.LayerApps, "region cannot be changed in place"),
		}}
	p.Steps[3].Want.Holds = true
	p.Steps[2].After = []flowehr.Ref{p.Steps[1].Want.Ref}
	return p
}

func TestPlan(t *testing.T) {
	onEvery(t, "plan", func(t *testing.T, b *bytes.Buffer, s render.Style) {
		err := render.Plan(b, s, render.PlanView{Plan: samplePlan(), Facts: []string{"tier 1"}, Now: now,
			Notes: []string{"About 4 s."}, Next: "flowehr deploy --plan 41a7c09e"})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestPlanVariants(t *testing.T) {
	for name, change := range map[string]func(*render.PlanView){
		"plan-all":     func(v *render.PlanView) { v.All = true },
		"plan-empty":   func(v *render.PlanView) { v.Plan.Steps = v.Plan.Steps[:1] },
		"plan-nothing": func(v *render.PlanView) { v.Plan.Steps = nil },
		"plan-real":    func(v *render.PlanView) { v.Plan.RealData = true; v.Plan.Target, v.Location = "azure", "uksouth" },
	} {
		t.Run(name, func(t *testing.T) {
			v := render.PlanView{Plan: samplePlan(), Now: now}
			change(&v)
			var b bytes.Buffer
			if err := render.Plan(&b, styles["plain"], v); err != nil {
				t.Fatal(err)
			}
			golden(t, name+".txt", b.Bytes())
		})
	}
}

// partsPlan changes a stack that stands for many things, and makes another.
func partsPlan() flowehr.Plan {
	part := func(a flowehr.Action, kind, name string, changes ...flowehr.Change) flowehr.Part {
		return flowehr.Part{Kind: kind, Name: name, Action: a, Changes: changes}
	}
	change := func(path, before, after string) flowehr.Change {
		return flowehr.Change{Path: path, Before: json.RawMessage(before), After: json.RawMessage(after)}
	}
	var many []flowehr.Part
	for i := range 20 {
		many = append(many, part(flowehr.Create, "Microsoft.Network/privateDnsZones", fmt.Sprintf("zone-%02d", i)))
	}
	var properties []flowehr.Change
	for i := range 9 {
		properties = append(properties, change(fmt.Sprintf("/properties/p%d", i), "false", "true"))
	}
	stack := func(name string, layer flowehr.Layer) flowehr.Resource {
		return flowehr.Resource{Ref: flowehr.Ref{Kind: "stack", Name: name}, Layer: layer}
	}
	return flowehr.Plan{ID: "41a7", Environment: "st-elsewhere-prod", Target: flowehr.TargetAzure, Base: 7, RealData: true,
		Estimate: &flowehr.Estimate{Currency: "GBP", Before: 0, After: 1234.4, Prices: "list prices of 20 Nov 2026", Unpriced: []string{"logs"}, Took: 14 * time.Minute},
		Steps: []flowehr.Step{
			{Action: flowehr.Update, Want: stack("core", flowehr.LayerCore), Why: "the template changed", Parts: []flowehr.Part{
				part(flowehr.Update, "Microsoft.KeyVault/vaults", "kv-stelsewhereprod", change("/properties/sku", `"standard"`, `"premium"`)),
				part(flowehr.Keep, "Microsoft.Network/virtualNetworks", "vnet-st-elsewhere-prod"),
				part(flowehr.Update, "Microsoft.Storage/storageAccounts", "strgstelsewhereprod", properties...),
				part(flowehr.Delete, "Microsoft.Network/virtualNetworks/virtualNetworkPeerings", "vnet-st-elsewhere-prod/peer-with-a-name-that-is-rather-long-for-one-line"),
			}},
			{Action: flowehr.Create, Want: stack("transform", flowehr.LayerTransform), Why: "not there yet", Parts: many},
		}}
}

func TestPlanOfManyParts(t *testing.T) {
	onEvery(t, "parts", func(t *testing.T, b *bytes.Buffer, s render.Style) {
		if err := render.Plan(b, s, render.PlanView{Plan: partsPlan(), Location: "uksouth"}); err != nil {
			t.Fatal(err)
		}
	})
}

func TestPlanJSON(t *testing.T) {
	var b bytes.Buffer
	if err := render.JSON(&b, render.NewPlanJSON(render.PlanView{Plan: samplePlan(), Next: "flowehr deploy"})); err != nil {
		t.Fatal(err)
	}
	golden(t, "plan.json", b.Bytes())
}

func TestDiagnostics(t *testing.T) {
	at := func(file string, line, column int) flowehr.Pos {
		return flowehr.Pos{File: file, Line: line, Column: column}
	}
	ds := []flowehr.Diagnostic{
		flowehr.Errorf(at("config.local.yaml", 22, 15), "secret EPR_PASSWORD has no value").
			With("Set it with: flowehr secrets set EPR_PASSWORD (or export it, or put it in .env)"),
		flowehr.Errorf(at("config.local.yaml", 14, 7), `unknown key "spark_verison" in transform`).With(`Did you mean "spark_version"?`),
		{Severity: flowehr.SeverityError, Summary: "activity Copy has no sink", Pos: at("p/pipeline.json", 3, 1), Pointer: "/properties/activities/0",
			Detail: "A Copy activity moves data from a source to a sink.\nAdd one."},
		flowehr.Warningf(at("config.yaml", 1, 1), "nobody is told when a pipeline fails"),
	}
	onEvery(t, "diagnostics", func(t *testing.T, b *bytes.Buffer, s render.Style) {
		if err := render.Diagnostics(b, s, ds); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("json", func(t *testing.T) {
		var b bytes.Buffer
		if err := render.JSON(&b, render.NewDiagnosticsJSON(ds)); err != nil {
			t.Fatal(err)
		}
		golden(t, "diagnostics.json", b.Bytes())
	})
	t.Run("none", func(t *testing.T) {
		var b bytes.Buffer
		if err := render.Diagnostics(&b, styles["plain"], nil); err != nil || b.Len() > 0 {
			t.Errorf("got %q, %v", b.String(), err)
		}
	})
}

// sampleEvents is a run of samplePlan with everything that can happen.
func sampleEvents() []flowehr.Event {
	p := samplePlan()
	ref := func(i int) flowehr.Ref { return p.Steps[i].Want.Ref }
	at := func(s int) time.Time { return now.Add(time.Duration(s) * time.Second) }
	return []flowehr.Event{
		{At: at(0), Kind: flowehr.EventRunStarted, Text: "1 to create, 3 to change, 1 to delete, 1 unchanged"},
		{At: at(0), Kind: flowehr.EventStepStarted, Ref: ref(1), Action: flowehr.Update},
		{At: at(0), Kind: flowehr.EventStepStarted, Ref: ref(3), Action: flowehr.Delete},
		{At: at(2), Kind: flowehr.EventStepNote, Ref: ref(1), Action: flowehr.Update, Text: "12 of 40 activities"},
		{At: at(3), Kind: flowehr.EventStepRetry, Ref: ref(3), Action: flowehr.Delete, Text: "attempt 2 of 5 in 1s", Err: "server is busy"},
		{At: at(9), Kind: flowehr.EventStepDone, Ref: ref(1), Action: flowehr.Update, Took: 9 * time.Second},
		{At: at(9), Kind: flowehr.EventStepStarted, Ref: ref(4), Action: flowehr.Update},
		{At: at(11), Kind: flowehr.EventStepDone, Ref: ref(4), Action: flowehr.Update, Took: 2100 * time.Millisecond},
		{At: at(161), Kind: flowehr.EventStepFailed, Ref: ref(3), Action: flowehr.Delete, Took: 161 * time.Second,
			Err: "given up after 5 attempts:\nthe server \x1b[31mdropped the connection while the folder was being emptied, which it does when it is out of disk"},
		{At: at(161), Kind: flowehr.EventStepSkipped, Ref: ref(2), Action: flowehr.Create, Text: "source/old-dw is not done"},
		{At: at(161), Kind: flowehr.EventRunDone, Took: 161 * time.Second, Err: "1 failed, 1 not reached"},
	}
}

func TestPlain(t *testing.T) {
	var b bytes.Buffer
	sink := render.Plain(&b, styles["ascii"])
	for _, e := range sampleEvents() {
		sink(e)
	}
	golden(t, "progress-plain.txt", b.Bytes())
}

func TestEvents(t *testing.T) {
	var b bytes.Buffer
	sink := render.Events(&b)
	for _, e := range sampleEvents() {
		sink(e)
	}
	golden(t, "progress.jsonl", b.Bytes())
}

// terminal is what a terminal shows of what is written to it: enough of one to follow Live.
type terminal struct {
	lines []string
	width int
}

var upAndClear = regexp.MustCompile(`^\x1b\[(\d+)A\r\x1b\[J`)

func (m *terminal) Write(b []byte) (int, error) {
	text := string(b)
	if up := upAndClear.FindStringSubmatch(text); up != nil {
		var n int
		if err := json.Unmarshal([]byte(up[1]), &n); err != nil {
			return 0, err
		}
		m.lines = m.lines[:len(m.lines)-n]
		text = text[len(up[0]):]
	}
	for line := range strings.Lines(text) {
		m.lines = append(m.lines, strings.TrimRight(line, "\n"))
	}
	return len(b), nil
}

func TestLive(t *testing.T) {
	onEvery(t, "progress-live", func(t *testing.T, b *bytes.Buffer, s render.Style) {
		screen := &terminal{width: s.Width}
		clock := now
		l := render.NewLive(screen, s, samplePlan(), func() time.Time { return clock })
		for _, e := range sampleEvents() {
			clock = e.At
			l.Sink(e)
			b.WriteString("--- " + string(e.Kind) + "\n" + strings.Join(screen.lines, "\n") + "\n")
		}
		l.Say("Stopping after the current step.")
		l.Close()
		b.WriteString("--- closed\n" + strings.Join(screen.lines, "\n") + "\n")
	})
}

// What is under way says how long it usually takes, when that is known.
func TestLiveSaysHowLongAStepTakes(t *testing.T) {
	p := samplePlan()
	step := &p.Steps[1]
	step.Expected = 6 * time.Minute
	screen := &terminal{width: 100}
	l := render.NewLive(screen, styles["plain"], p, func() time.Time { return now.Add(243 * time.Second) })
	l.Sink(flowehr.Event{Kind: flowehr.EventStepStarted, Ref: step.Want.Ref, At: now})
	if text := strings.Join(screen.lines, "\n"); !strings.Contains(text, "4m 03s of about 6 min") {
		t.Errorf("the display says\n%s", text)
	}
}

func TestStopped(t *testing.T) {
	ref := func(name string) flowehr.Ref { return flowehr.Ref{Kind: "table", Name: name} }
	v := render.StoppedView{Interrupted: true, Next: "flowehr deploy", HalfDone: []flowehr.Ref{ref("gold/x")}, NotStarted: []flowehr.Ref{ref("y"), ref("z")}}
	for _, n := range strings.Split("abcdefghijk", "") {
		v.Done = append(v.Done, ref(n))
	}
	onEvery(t, "stopped", func(t *testing.T, b *bytes.Buffer, s render.Style) {
		if err := render.Stopped(b, s, v); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTable(t *testing.T) {
	onEvery(t, "table", func(t *testing.T, b *bytes.Buffer, s render.Style) {
		err := render.Table(b, s, []render.Column{{Name: "TABLE"}, {Name: "ROWS", Right: true}, {Name: "SIZE", Right: true}, {Name: "NOTE"}}, [][]string{
			{"gold.features", render.Count(48211), render.Bytes(1_230_000), "written by pipeline gold-features from silver.patients"},
			{"bronze.x", render.Count(4102118), render.Bytes(999)},
			{"naïve\x1b[31m\nname", "0", "0 B", ""},
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestNumbers(t *testing.T) {
	for _, c := range []struct{ name, got, want string }{
		{"count", render.Count(4102118), "4,102,118"},
		{"small count", render.Count(999), "999"},
		{"negative count", render.Count(-1234), "-1,234"},
		{"least count", render.Count(-1 << 63), "-9,223,372,036,854,775,808"},
		{"one", render.Plural(1, "row", "rows"), "1 row"},
		{"none", render.Plural(0, "row", "rows"), "0 rows"},
		{"bytes", render.Bytes(512), "512 B"},
		{"kilobytes", render.Bytes(1234), "1.23 kB"},
		{"almost a megabyte", render.Bytes(999_999), "1.00 MB"},
		{"gigabytes", render.Bytes(12_340_000_000), "12.3 GB"},
		{"most bytes", render.Bytes(1<<63 - 1), "9.22 EB"},
		{"milliseconds", render.Duration(85 * time.Millisecond), "85ms"},
		{"almost a second", render.Duration(999_900 * time.Microsecond), "1.0s"},
		{"seconds", render.Duration(3100 * time.Millisecond), "3.1s"},
		{"almost a minute", render.Duration(59_990 * time.Millisecond), "59s"},
		{"minutes", render.Duration(161 * time.Second), "2m 41s"},
		{"hours", render.Duration(63 * time.Minute), "1h 03m"},
		{"days", render.Elapsed(52 * time.Hour), "2d 04h"},
		{"elapsed", render.Elapsed(58900 * time.Millisecond), "58s"},
		{"just now", render.Ago(now, now), "just now"},
		{"seconds ago", render.Ago(now.Add(-12*time.Second), now), "12 s ago"},
		{"minutes ago", render.Ago(now.Add(-3*time.Minute), now), "3 min ago"},
		{"hours ago", render.Ago(now.Add(-20*time.Hour), now), "20 h ago"},
		{"yesterday", render.Ago(now.Add(-21*time.Hour), now), "yesterday 23:05"},
		{"this year", render.Ago(now.AddDate(0, -1, 0), now), "21 Oct 20:05"},
		{"last year", render.Ago(now.AddDate(-1, 0, 0), now), "21 Nov 2025 20:05"},
		{"future", render.Ago(now.Add(time.Hour), now), "21 Nov 21:05"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.got != c.want {
				t.Errorf("got %q, want %q", c.got, c.want)
			}
		})
	}
}

// Whatever stands in data, nothing but our own colours controls the terminal, and no line is longer than it is wide.
func TestDataCannotControlTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := render.Style{Unicode: rapid.Bool().Draw(t, "unicode"), Width: rapid.IntRange(40, 120).Draw(t, "width")}
		text := rapid.StringOfN(rapid.RuneFrom([]rune("ab \x1b[2J\r\n\t\x07\u202e\u2028é→")), 0, 35, -1).Draw(t, "text")
		p := flowehr.Plan{Environment: text, Steps: []flowehr.Step{step(flowehr.Create, text, text, "core", text)}}
		var b bytes.Buffer
		if err := render.Plan(&b, s, render.PlanView{Plan: p, Now: now}); err != nil {
			t.Fatal(err)
		}
		screen := &terminal{}
		l := render.NewLive(screen, s, p, func() time.Time { return now })
		ref := p.Steps[0].Want.Ref
		l.Sink(flowehr.Event{Kind: flowehr.EventStepStarted, Ref: ref, At: now})
		l.Sink(flowehr.Event{Kind: flowehr.EventStepNote, Ref: ref, Text: text})
		b.WriteString(strings.Join(screen.lines, "\n"))
		for line := range strings.Lines(b.String()) {
			line = strings.TrimSuffix(line, "\n")
			if strings.ContainsAny(line, "\x1b\r\x07\t\u202e\u2028") {
				t.Fatalf("control characters in %q", line)
			}
			if n := utf8.RuneCountInString(line); n > s.Width {
				t.Fatalf("%d columns of %d: %q", n, s.Width, line)
			}
		}
	})
}
