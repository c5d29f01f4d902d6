package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/flowehr/flowehr/internal/factory/expr"
	"pgregory.net/rapid"
)

// traceText writes steps one a line, parts indented.
func traceText(steps []TraceStep) string {
	var b strings.Builder
	for _, s := range steps {
		fmt.Fprintf(&b, "%s%s: %s = %s\n", strings.Repeat("  ", s.Depth), s.Property, s.Expression, s.Value)
	}
	return b.String()
}

func TestTraceOfExpressions(t *testing.T) {
	w := newWorld(t, forced)
	w.register("P", `{"parameters":{"day":{"type":"String"},"n":{"type":"Int","defaultValue":3}},"activities":[
		{"name":"A","type":"Echo","typeProperties":{"list":[1,2]}},
		{"name":"B","type":"Echo","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"policy":{"retry":"@sub(2,1)"},
			"userProperties":[{"name":"day","value":"@pipeline().parameters.day"}],
			"typeProperties":{"plain":"no expression","source":{"query":{"value":"@concat('day=',pipeline().parameters.day)","type":"Expression"},
				"both":"@{add(1,1)} and @{activity('A').output.list[sub(2,1)]}"}}},
		{"name":"L","type":"ForEach","typeProperties":{"items":"@range(0,2)","batchCount":"@pipeline().parameters.n","activities":[
			{"name":"V","type":"Do","typeProperties":{"i":"@item()"}}]}},
		{"name":"I","type":"IfCondition","typeProperties":{"expression":"@greater(int('x'),1)","ifTrueActivities":[]}},
		{"name":"X","type":"Echo","typeProperties":{}}]}`)
	acts := w.activities(w.end(w.begin("P", `{"day":"2026-03-01"}`)).ID)
	for path, want := range map[string]string{
		"/B": `userProperties.day: @pipeline().parameters.day = 2026-03-01
policy.retry: @sub(2,1) = 1
source.query: @concat('day=',pipeline().parameters.day) = day=2026-03-01
  source.query: pipeline().parameters.day = 2026-03-01
source.both: @add(1,1) = 2
source.both: @activity('A').output.list[sub(2,1)] = 2
  source.both: sub(2,1) = 1
`,
		"/L": `items: @range(0,2) = [0,1]
batchCount: @pipeline().parameters.n = 3
`,
		"/L[1]/V": "i: @item() = 1\n",
		"/I": `expression: @greater(int('x'),1) = error: The function 'int' cannot convert the value 'x' to type 'Integer'
  expression: int('x') = error: The function 'int' cannot convert the value 'x' to type 'Integer'
`,
		"/X": "",
	} {
		got := traceText(acts[path].Trace)
		if path == "/I" { // the text of the error is not the engine's
			got, want = strings.ReplaceAll(got, acts[path].Error.Message, "E"), "expression: @greater(int('x'),1) = error: E\n  expression: int('x') = error: E\n"
		}
		if got != want {
			t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
		}
	}
}

func TestTraceShowsNoSecrets(t *testing.T) {
	w := newWorld(t, func(_ context.Context, c Call) (Result, error) { return Result{Output: c.Properties}, nil })
	w.register("P", `{"parameters":{"pw":{"type":"SecureString"}},"variables":{"v":{"type":"String"}},"activities":[
		{"name":"A","type":"Do","policy":{"secureInput":true,"secureOutput":true},"typeProperties":{"k":"@concat('patient ','900')","list":["patient 901"]}},
		{"name":"B","type":"Do","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"policy":{"secureInput":true},
			"typeProperties":{"p":"@{pipeline().parameters.pw}!","k":"@toUpper(activity('A').output.k)"}},
		{"name":"C","type":"Fail","dependsOn":[{"activity":"B","dependencyConditions":["Succeeded"]}],
			"typeProperties":{"message":"@concat('m',if(equals(activity('A').output.k,'patient 900'),'yes','no'))","errorCode":"@{toUpper(concat('a',pipeline().parameters.pw))}"}},
		{"name":"L","type":"ForEach","dependsOn":[{"activity":"A","dependencyConditions":["Succeeded"]}],"typeProperties":{"items":"@activity('A').output.list","activities":[
			{"name":"E","type":"Echo","policy":{"secureInput":true,"secureOutput":true},"typeProperties":{"v":"@item()"}},
			{"name":"S","type":"SetVariable","policy":{"secureInput":true,"secureOutput":true},"typeProperties":{"variableName":"v","value":"@item()"}}]}},
		{"name":"R","type":"IfCondition","dependsOn":[{"activity":"L","dependencyConditions":["Succeeded"]}],"typeProperties":{"expression":"@equals(variables('v'),'x')"}}]}`)
	r := w.end(w.begin("P", `{"pw":"hunter22"}`))
	acts := w.activities(r.ID)
	for path, want := range map[string]string{
		"/C": "message: @concat('m',if(equals(activity('A').output.k,'patient 900'),'yes','no')) = ••••",
		"/R": "expression: @equals(variables('v'),'x') = ••••\n  expression: variables('v') = ••••\n",
		"/L": "items: @activity('A').output.list = ••••\n",
	} {
		if got := traceText(acts[path].Trace); !strings.Contains(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", path, got, want)
		}
	}
	if n := acts["/L"].Items; n != 1 {
		t.Errorf("%d items, want 1", n)
	}
	for path, a := range acts {
		for _, s := range a.Trace {
			if text := strings.ToLower(s.Value); strings.Contains(text, "900") || strings.Contains(text, "901") || strings.Contains(text, "hunter22") {
				t.Errorf("%s shows %+v", path, s)
			}
		}
	}
	var n int
	if err := w.pool.QueryRow(context.Background(), "select count(*) from engine.event where run_id = $1 and data::text ~ 'hunter22|patient 901'", r.ID).
		Scan(&n); err != nil || n != 0 {
		t.Errorf("%d events show a secret (%v)", n, err)
	}
}

func TestTraceIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	var properties strings.Builder
	for i := range 40 {
		fmt.Fprintf(&properties, `"p%d":"@concat(toUpper('x%d'),'y')",`, i, i)
	}
	r := w.run(`{"activities":[{"name":"A","type":"Echo","typeProperties":{"big":"@range(0,100000)","text":"@{join(range(0,3000),'é')}",` + properties.String() + `"end":1}}]}`)
	trace := w.activities(r.ID)["/A"].Trace
	if len(trace) != maxTrace+1 || trace[maxTrace].Value != "33 more parts are not kept" {
		t.Errorf("%d steps, the last %+v", len(trace), trace[len(trace)-1])
	}
	for _, s := range trace {
		if len(s.Value) > maxTraceValue+len(" …") || !utf8.ValidString(s.Value) {
			t.Errorf("%s has %d bytes", s.Expression, len(s.Value))
		}
	}
}

func TestBrief(t *testing.T) {
	v, err := expr.DecodeJSON([]byte(`{"a":[1,{"b":"x\"y"},null,true],"c":1.5}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := brief(v, 1000); got != encode(v) {
		t.Errorf("got %s, want %s", got, encode(v))
	}
	if got := brief(v, 12); got != `{"a":[1,{"b" …` {
		t.Errorf("got %s", got)
	}
}

// TestBriefIsShortAndTrue holds brief to its two promises for any value: what fits is written in full, and what does not
// is the beginning of it.
func TestBriefIsShortAndTrue(t *testing.T) {
	var value func(depth int) *rapid.Generator[expr.Value]
	value = func(depth int) *rapid.Generator[expr.Value] {
		return rapid.Custom(func(t *rapid.T) expr.Value {
			kind := rapid.IntRange(0, 5).Draw(t, "kind")
			if depth == 0 {
				kind %= 4
			}
			switch kind {
			case 0:
				return rapid.String().Draw(t, "text")
			case 1:
				return rapid.Int64().Draw(t, "number")
			case 2:
				return rapid.Bool().Draw(t, "truth")
			case 4:
				return rapid.SliceOfN(value(depth-1), 0, 5).Draw(t, "list")
			case 5:
				o := expr.NewObject()
				for _, key := range rapid.SliceOfNDistinct(rapid.StringN(0, 4, -1), 0, 4, rapid.ID[string]).Draw(t, "keys") {
					o.Set(key, value(depth-1).Draw(t, "field"))
				}
				return o
			}
			return nil
		})
	}
	rapid.Check(t, func(t *rapid.T) {
		v := value(3).Draw(t, "value")
		whole := encode(v)
		if s, ok := v.(string); ok {
			whole = s
		}
		limit := rapid.IntRange(1, 200).Draw(t, "limit")
		got := brief(v, limit)
		begin, cut := strings.CutSuffix(got, " …")
		switch {
		case len(whole) <= limit && got != whole:
			t.Errorf("got %q, want %q", got, whole)
		case len(whole) > limit && (!cut || len(begin) > limit || !utf8.ValidString(got)):
			t.Errorf("got %q of %q", got, whole)
		case len(whole) > limit && len(begin) < limit-utf8.UTFMax:
			t.Errorf("%q is shorter than it needs to be", got)
		}
	})
}
