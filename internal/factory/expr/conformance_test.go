package expr

import (
	"bufio"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// exceptions are cases of the collection that are deliberately answered otherwise, with the reason.
var exceptions = map[string]string{}

func dataFile(t testing.TB, name string) []Value {
	t.Helper()
	root := os.Getenv("FLOWEHR_TEST_DATA")
	if root == "" {
		root = filepath.Join("..", "..", "..", "..", "shared", "data")
	}
	f, err := os.Open(filepath.Join(root, "adf", name))
	if err != nil {
		t.Skipf("the conformance collection is not here: %v", err)
	}
	defer f.Close()
	var lines []Value
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		v, err := DecodeJSON(sc.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		lines = append(lines, v)
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

func field(v Value, names ...string) Value {
	for _, name := range names {
		o, _ := v.(*Object)
		v, _ = o.Get(name)
	}
	return v
}

// caseScope is the state of a case as a scope.
type caseScope struct{ state Value }

func (s caseScope) Call(function string, args []Value) (Value, bool, error) {
	named := func(in string) (Value, bool, error) {
		if v, ok := field(s.state, in).(*Object).Get(Text(args[0])); ok {
			return v, true, nil
		}
		return nil, true, errorf(0, "no %s %s", in, Text(args[0]))
	}
	whole := func(in string) (Value, bool, error) {
		v := field(s.state, in)
		return v, v != nil, nil
	}
	switch function {
	case "pipeline":
		o := NewObject()
		for _, k := range []string{"parameters", "globalParameters", "libraryVariables"} {
			if v := field(s.state, k); v != nil {
				o.Set(k, v)
			}
		}
		for k, v := range field(s.state, "system").(*Object).All() {
			o.Set(k, v)
		}
		return o, true, nil
	case "activity":
		return named("activities")
	case "variables":
		return named("variables")
	case "item":
		return whole("item")
	case "dataset":
		return whole("dataset")
	case "linkedservice":
		return whole("linkedService")
	case "trigger":
		return whole("trigger")
	case "triggerbody":
		v := field(s.state, "trigger", "outputs", "body")
		return v, v != nil, nil
	}
	return nil, false, nil
}

func caseEnv(t *testing.T, state Value) Env {
	o, _ := state.(*Object)
	o = o.Clone()
	for _, k := range []string{"system", "activities", "variables"} {
		if _, ok := o.Get(k); !ok {
			o.Set(k, NewObject())
		}
	}
	e := Env{Scope: caseScope{o}}
	if text, ok := field(o, "now").(string); ok {
		now, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		e.Now = func() time.Time { return now }
	}
	if text, ok := field(o, "guid").(string); ok {
		e.NewGUID = func() string { return text }
	}
	return e
}

func TestExpressionCases(t *testing.T) {
	for _, c := range dataFile(t, "expr_cases.jsonl") {
		id := Text(field(c, "id"))
		t.Run(id, func(t *testing.T) {
			if reason, ok := exceptions[id]; ok {
				t.Skip(reason)
			}
			expression := Text(field(c, "expression"))
			report := t.Errorf
			if field(c, "confidence") == "low" {
				report = t.Logf
			}
			got, err := caseEnv(t, field(c, "state")).EvaluateText(expression)
			if want := field(c, "error"); want != nil {
				message, given := field(c, "error_message").(string)
				switch {
				case err == nil:
					report("%s = %s, want an error", expression, EncodeJSON(got))
				case given && !strings.Contains(err.Error(), message):
					report("%s\n got error %s\nwant error %s", expression, err, message)
				}
				return
			}
			if err != nil {
				report("%s: %v", expression, err)
				return
			}
			if !asExpected(c.(*Object), got) {
				report("%s\n got %s\nwant %s", expression, EncodeJSON(got), EncodeJSON(c))
			}
		})
	}
}

func asExpected(c *Object, got Value) bool {
	if want, ok := c.Get("expected"); ok {
		return closeTo(got, want)
	}
	if pattern, ok := c.Get("expected_regex"); ok {
		return regexp.MustCompile(Text(pattern)).MatchString(Text(got))
	}
	choice, _ := c.Get("expected_one_of")
	return slices.ContainsFunc(choice.([]Value), func(want Value) bool { return closeTo(got, want) })
}

// closeTo is equality with a tolerance for floats.
func closeTo(got, want Value) bool {
	x, isNumber := asFloat(got)
	y, wantNumber := asFloat(want)
	if isNumber && wantNumber {
		return math.Abs(x-y) <= 1e-12*max(math.Abs(x), math.Abs(y))
	}
	a, aList := got.([]Value)
	b, bList := want.([]Value)
	if aList && bList {
		return slices.EqualFunc(a, b, closeTo)
	}
	if TypeName(got) == "Boolean" || TypeName(want) == "Boolean" {
		return got == want // Equal would let 1 pass for true
	}
	return Equal(got, want)
}

func TestParseCorpus(t *testing.T) {
	for _, c := range dataFile(t, "expr_parse_corpus.jsonl") {
		text := Text(field(c, "expression"))
		t.Run(Text(field(c, "id")), func(t *testing.T) {
			x, err := Parse(text)
			if err != nil {
				t.Fatalf("%s\n%v", text, err)
			}
			for _, site := range x.Calls() {
				if site.Offset < 0 || !strings.HasPrefix(strings.ToLower(text[site.Offset:]), site.Function) {
					t.Errorf("call of %s is said to be at %d of %s", site.Function, site.Offset, text)
				}
			}
		})
	}
}

func TestJSONOfValuesIsJSON(t *testing.T) {
	for _, c := range dataFile(t, "expr_cases.jsonl") {
		if data := EncodeJSON(c); !json.Valid(data) {
			t.Errorf("not JSON: %s", data)
		}
	}
}
