package expr

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// EvaluateText evaluates one text; what is no expression stays as it is.
func (e Env) EvaluateText(s string) (Value, error) { return e.start().text(s) }

func evaluate(t *testing.T, s string) Value {
	t.Helper()
	v, err := Env{Now: fixedNow}.EvaluateText(s)
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return v
}

func fixedNow() time.Time { return time.Date(2024, 2, 29, 13, 4, 5, 678_912_345, time.UTC) }

func TestClassification(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Value
	}{
		{"literal with a sign inside", "select @x from t", "select @x from t"},
		{"leading space", " @add(1,1)", " @add(1,1)"},
		{"escaped", "@@add(1,1)", "@add(1,1)"},
		{"escaped template", "a @@{add(1,1)} b", "a @{add(1,1)} b"},
		{"escaped template at the start", "@@{add(1,1)}", "@{add(1,1)}"},
		{"whole keeps its type", "@add(1,1)", int64(2)},
		{"template is text", "@{add(1,1)}", "2"},
		{"template keeps text around it", "<@{add(1,1)}|@{null}|@{true}>", "<2||True>"},
		{"brace in quoted text", "@{concat('}', '{', '''}')}", "}{'}"},
		{"white space after a whole expression", "@add(1,1) \n", int64(2)},
		{"white space between all tokens", "@ json ( '{\"a\":[7]}' ) . a [ 0 ] ", int64(7)},
		{"nothing", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := evaluate(t, c.text); got != c.want {
				t.Errorf("%q = %#v, want %#v", c.text, got, c.want)
			}
		})
	}
}

func TestValues(t *testing.T) {
	for _, c := range []struct {
		text string
		want Value
	}{
		{"@div(11,5)", int64(2)},
		{"@div(-11,5)", int64(-2)},
		{"@div(11.0,5)", 2.2},
		{"@mod(-3,2)", int64(-1)},
		{"@concat(1, 1.0, true, null, createArray(1,'a'), json('{\"b\":1.50}'))", `11.0True[1,"a"]{"b":1.5}`},
		{"@string(json('{\"z\":\"<&>\",\"a\":[1.0,2]}'))", `{"z":"<&>","a":[1.0,2]}`},
		{"@json('9007199254740993')", int64(9007199254740993)},
		{"@equals(1, 1.0)", true},
		{"@equals(true, 1)", true},
		{"@equals('1', 1)", false},
		{"@equals(json('{\"a\":1,\"b\":2}'), json('{\"b\":2,\"a\":1}'))", true},
		{"@greater('10', '9')", false},
		{"@if(true, 1, div(1,0))", int64(1)},
		{"@or(true, div(1,0))", true},
		{"@and(false, div(1,0))", false},
		{"@coalesce(null, 7, div(1,0))", int64(7)},
		{"@json('{\"Name\":1}').name", int64(1)},
		{"@json('{\"Name\":1,\"name\":2}').name", int64(2)},
		{"@contains(json('{\"b\":1}'),'B')", false},
		{"@null?.a?.b", nil},
		{"@json('{}')?['a']", nil},
		{"@createArray(1)?[4]", nil},
		{"@createArray(createArray(1,2))[0][1]", int64(2)},
		{"@startsWith('Hello','hE')", true},
		{"@endsWith('Hello','LO')", true},
		{"@indexOf('a😀Bc','bC')", int64(3)},
		{"@lastIndexOf('aXax','X')", int64(3)},
		{"@lastIndexOf('abc','')", int64(3)},
		{"@length('😀')", int64(2)},
		{"@substring('a😀b', 1, 2)", "😀"},
		{"@substring('abc', 1)", "bc"},
		{"@split('abcabc','a')", []Value{"", "bc", "bc"}},
		{"@union(createArray(1,2), createArray(2.0,3))", []Value{int64(1), int64(2), int64(3)}},
		{"@intersection(createArray(1,2,3,2), createArray(3,2))", []Value{int64(2), int64(3)}},
		{"@intersection(createArray(1,2), createArray(3), createArray(1))", []Value{}},
		{"@join(createArray(1,true,null,'x'),'-')", "1-True--x"},
		{"@take('abcde', 9)", "abcde"},
		{"@skip(createArray(1,2), 5)", []Value{}},
		{"@max(createArray(1, 2.5, 2))", 2.5},
		{"@uriComponent('a b+ü~')", "a%20b%2B%C3%BC~"},
		{"@uriComponentToString('a+b%20c%zz')", "a+b c%zz"},
		{"@decodeDataUri('data:text/plain;base64,aGk=')['$content']", "aGk="},
		{"@dataUriToString('data:,a%20b')", "a b"},
		{"@int(' 42 ')", int64(42)},
		{"@float('1,234.5')", 1234.5},
		{"@bool('TRUE')", true},
		{"@CONCAT('a','b')", "ab"},
		{"@.3", 0.3},
		{"@-7", int64(-7)},
		{"@1e3", 1000.0},
		{"@string(xml(json('{\"a\":{\"@id\":\"1\",\"b\":[1,2],\"#text\":\"<\"}}')))", `<a id="1"><b>1</b><b>2</b>&lt;</a>`},
		{"@xpath(xml('<a><b>1</b><b>2</b></a>'), 'count(//b)')", int64(2)},
		{"@xpath(xml('<a><b>1</b></a>'), 'string(/a/b)')", "1"},
		{"@length(xpath(xml('<a><b>1</b><b/></a>'), '/a/b'))", int64(2)},
		{"@base64ToString(xpath(xml('<a xmlns:p=\"u\"><p:b>1</p:b></a>'), '/a/*')[0]['$content'])", `<p:b xmlns:p="u">1</p:b>`},
	} {
		t.Run(c.text, func(t *testing.T) {
			if diff := cmp.Diff(c.want, evaluate(t, c.text)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	for text, want := range map[string]Value{
		"@utcNow()":                                                    "2024-02-29T13:04:05.6789123Z",
		"@utcNow('yyyy-MM-dd HH:mm:sss')":                              "2024-02-29 13:04:05",
		"@utcNow('yyyy_MM_dd_hh_mm_ss')":                               "2024_02_29_01_04_05",
		"@utcNow('yyyyMMddTHHmm')":                                     "20240229T1304",
		"@utcNow('yyyyy MMMMM ddddd fff FFF tt t %d')":                 "02024 February Thursday 678 678 PM P 29",
		"@utcNow('%h''o''\"c\"\\d Z zzz')":                             `1oc` + "d Z +00:00",
		"@utcNow('d')":                                                 "2/29/2024",
		"@utcNow('F')":                                                 "Thursday, February 29, 2024 1:04:05 PM",
		"@utcNow('R')":                                                 "Thu, 29 Feb 2024 13:04:05 GMT",
		"@utcNow('u')":                                                 "2024-02-29 13:04:05Z",
		"@addToTime('2024-01-31', 1, 'Month')":                         "2024-02-29T00:00:00.0000000",
		"@addToTime('2024-02-29Z', 1, 'Year', 'd')":                    nil,
		"@subtractFromTime('2024-02-29T00:00:00Z', 1, 'Year')":         "2023-02-28T00:00:00.0000000Z",
		"@formatDateTime('2024-01-02T03:04:05+02:00')":                 "2024-01-02T01:04:05.0000000Z",
		"@formatDateTime('1/2/2024 3:04 PM')":                          "2024-01-02T15:04:00.0000000",
		"@formatDateTime('2024-01-02 13:00')":                          "2024-01-02T13:00:00.0000000",
		"@formatDateTime('Tuesday, January 2, 2018')":                  "2018-01-02T00:00:00.0000000",
		"@formatDateTime('2024-01-02T03:04:05.10Z','s.FFF')":           "5.1",
		"@formatDateTime('2024-01-02T03:04:05Z','ss.FFF')":             "05",
		"@convertFromUtc('2024-07-01T00:00:00Z','GMT Standard Time')":  "2024-07-01T01:00:00.0000000",
		"@convertFromUtc('2024-07-01T00:00:00Z','Europe/London','HH')": "01",
		"@convertToUtc('2024-10-27T01:30:00','GMT Standard Time')":     "2024-10-27T01:30:00.0000000Z",
		"@convertToUtc('2024-03-31T01:30:00','GMT Standard Time')":     nil,
		"@convertTimeZone('2024-07-01T00:00:00','UTC','Nowhere')":      nil,
		"@dayOfWeek('2024-03-03')":                                     int64(0),
		"@ticks('2023-12-19T14:25:53.1471320')":                        int64(638385927531471320),
		"@div(sub(ticks('2024-01-02'),ticks('2024-01-01')),10000000)":  int64(86400),
		"@addDays('9999-12-31', 1)":                                    nil,
		"@addDays('2024-01-01', 9223372036854775807)":                  nil,
		"@formatDateTime('2024-02-30')":                                nil,
		"@formatDateTime('2024-01-01','fffffffff')":                    nil,
		"@formatDateTime('2024-01-01','q')":                            nil,
	} {
		t.Run(text, func(t *testing.T) {
			got, err := Env{Now: fixedNow}.EvaluateText(text)
			if want == nil {
				if err == nil {
					t.Errorf("= %v, want an error", got)
				}
				return
			}
			if err != nil || got != want {
				t.Errorf("= %v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestErrorTexts(t *testing.T) {
	for text, want := range map[string]string{
		"@int('abc')":                  "The function 'int' was invoked with a parameter that is not valid. The value cannot be converted to the target type",
		"@length(null)":                "The function 'length' expects its parameter to be an array or a string. The provided value is of type 'Null'.",
		"@substring('abc',2,5)":        "The function 'substring' parameters are out of range: 'start index' and 'length' must be non-negative integers and their sum must be no larger than the length of the string.",
		"@json('{\"a\":1,\"b\":2}').x": "The expression 'json('{\"a\":1,\"b\":2}').x' cannot be evaluated because property 'x' doesn't exist, available properties are 'a, b'.",
		"@concat('a').x":               "property selection is not supported on values of type 'String'",
		"@json('null').x":              "property selection is not supported on values of type 'Null'",
		"@createArray(1)[1]":           "array index '1' is outside bounds (0, 0) of array",
		"@nope(1)":                     "The template function 'nope' is not defined or not valid.",
		"@and(true)":                   "expects exactly 2 parameters. It was given one parameter.",
		"@and('true', true)":           "to be a boolean. The provided value is of type 'String'",
		"@concat('a') b":               "unexpected 'b' after its end",
		"@1+1":                         "after its end",
		"@concat('a":                   "no closing quote",
		"a @{concat('b')":              "expected '}', found the end of the text",
		"@abc":                         "neither a function call nor a literal",
		"@item()":                      "cannot be used here",
		"@add(9223372036854775807,1)":  "does not fit",
		"@int(1.5)":                    "cannot be converted",
	} {
		t.Run(text, func(t *testing.T) {
			v, err := Env{}.EvaluateText(text)
			if err == nil {
				t.Fatalf("= %v, want an error", v)
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.Code != CodeInvalidTemplate || e.Offset < 0 || e.Offset > len(text) {
				t.Errorf("%#v is no complete *Error", err)
			}
			if !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
				t.Errorf("error %q\nwant  %q", err, want)
			}
		})
	}
}

func TestEvaluationIsBounded(t *testing.T) {
	long := "'" + strings.Repeat("a", 4000) + "'"
	for name, text := range map[string]string{
		"range":       "@range(0, 1000000000)",
		"replace":     "@replace(replace(replace(" + long + ",'a'," + long + "),'a'," + long + "),'a'," + long + ")",
		"parentheses": "@" + strings.Repeat("array(", 5000) + "1" + strings.Repeat(")", 5000),
		"selections":  "@item()" + strings.Repeat(".a", 5000),
		"json":        "@json('" + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "')",
		"xml":         "@xml('" + strings.Repeat("<a>", 5000) + strings.Repeat("</a>", 5000) + "')",
		"xpath":       "@xpath(xml('<a/>'), '" + strings.Repeat("(", 3000) + "')",
	} {
		t.Run(name, func(t *testing.T) {
			if v, err := (Env{}).EvaluateText(text); err == nil {
				t.Errorf("gave %s", TypeName(v))
			}
		})
	}
}

func TestEvaluateGoesThroughStructures(t *testing.T) {
	in, err := DecodeJSON([]byte(`{
		"a": "@add(1,2)", "b": ["@{1}", {"value": "@createArray(1)", "type": "Expression"}],
		"c": {"value": "abc", "type": "Expression"}, "d": {"value": "@add(1,1)", "type": "Int"}, "e": 1.0, "f": null}`))
	if err != nil {
		t.Fatal(err)
	}
	before := string(EncodeJSON(in))
	got, err := Env{}.Evaluate(in)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"a":3,"b":["1",[1]],"c":"abc","d":{"value":2,"type":"Int"},"e":1.0,"f":null}`
	if text := string(EncodeJSON(got)); text != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
	if string(EncodeJSON(in)) != before {
		t.Error("the input was changed")
	}
}

func TestObjectKeepsOrder(t *testing.T) {
	o := NewObject()
	for _, k := range []string{"z", "a", "m"} {
		o.Set(k, int64(len(o.Keys())))
	}
	o.Set("a", (*Object)(nil))
	o.Delete("z")
	o.Delete("none")
	o.Set("z", "last")
	if text := string(EncodeJSON(o)); text != `{"a":null,"m":2,"z":"last"}` || o.Len() != 3 {
		t.Errorf("got %s", text)
	}
	var none *Object
	if _, ok := none.Lookup("a"); ok || none.Len() != 0 || none.Keys() != nil || string(EncodeJSON(none)) != "null" {
		t.Error("a nil object has something in it")
	}
}

func TestCallsAndTrace(t *testing.T) {
	x, err := Parse("@concat(pipeline().parameters?.a['b c'], activity('X').output[item()].y)")
	if err != nil {
		t.Fatal(err)
	}
	want := []CallSite{
		{Function: "concat", Offset: 1},
		{Function: "pipeline", Path: []Step{{"parameters", false}, {"a", true}, {"b c", false}}, Offset: 8},
		{Function: "activity", LiteralArgs: []Value{"X"}, Path: []Step{{"output", false}}, Offset: 41},
		{Function: "item", Offset: 62},
	}
	if diff := cmp.Diff(want, x.Calls()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	var steps []string
	e := Env{Trace: func(s TraceStep) { steps = append(steps, s.Text+" = "+Text(s.Value)) }}
	if _, err := e.EvaluateText("x@{concat(toUpper('a'), if(true, 'b', 'c'))}"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"toUpper('a') = A", "if(true, 'b', 'c') = b", "concat(toUpper('a'), if(true, 'b', 'c')) = Ab"}, steps); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestEveryFunctionOfTheTableIsThere(t *testing.T) {
	names := strings.Fields(`concat endsWith startsWith indexOf lastIndexOf replace split substring toLower toUpper trim guid contains empty
		first last intersection join length skip take union and or not if equals greater greaterOrEquals less lessOrEquals array
		createArray base64 base64ToString decodeBase64 binary base64ToBinary dataUriToBinary decodeDataUri uriComponentToBinary bool
		coalesce dataUri dataUriToString encodeUriComponent uriComponent decodeUriComponent uriComponentToString float int json string
		xml xpath add sub mul div mod max min rand range utcNow addDays addHours addMinutes addSeconds addToTime subtractFromTime
		getFutureTime getPastTime convertFromUtc convertTimeZone convertToUtc formatDateTime startOfDay startOfHour startOfMonth
		dayOfWeek dayOfMonth dayOfYear ticks`)
	if len(names) != 84 {
		t.Fatalf("the list has %d names", len(names))
	}
	for _, name := range names {
		if f := functions[strings.ToLower(name)]; f.display != name || f.eval == nil && f.lazy == nil {
			t.Errorf("function %s is missing", name)
		}
	}
}

func TestZonesExist(t *testing.T) {
	for name := range windowsZones() {
		if _, windows, ok := Zone(name); !ok || !windows {
			t.Errorf("time zone %q cannot be used", name)
		}
	}
	for _, name := range []string{"", "Local", "../../etc/passwd", "No Such Time"} {
		if _, _, ok := Zone(name); ok {
			t.Errorf("time zone %q was accepted", name)
		}
	}
}

// anyValue draws values of the language.
func anyValue(depth int) *rapid.Generator[Value] {
	leaves := []*rapid.Generator[Value]{
		rapid.Just[Value](nil), rapid.Map(rapid.Bool(), func(b bool) Value { return b }),
		rapid.Map(rapid.Int64(), func(n int64) Value { return n }),
		rapid.Map(rapid.Float64(), func(f float64) Value { return f }),
		rapid.Map(rapid.String(), func(s string) Value { return s }),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	list := rapid.Map(rapid.SliceOfN(anyValue(depth-1), 0, 4), func(l []Value) Value {
		if l == nil {
			l = []Value{}
		}
		return l
	})
	object := rapid.Custom(func(t *rapid.T) Value {
		o := NewObject()
		for _, k := range rapid.SliceOfN(rapid.String(), 0, 4).Draw(t, "keys") {
			o.Set(k, anyValue(depth-1).Draw(t, "value"))
		}
		return o
	})
	return rapid.OneOf(append(leaves, list, object)...)
}

func TestJSONKeepsValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := anyValue(3).Draw(t, "v")
		data := EncodeJSON(v)
		again, err := DecodeJSON(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(v, again, cmp.AllowUnexported(Object{})); diff != "" {
			t.Fatalf("%s\n-before +after:\n%s", data, diff)
		}
		if !Equal(v, again) {
			t.Fatalf("%s is not Equal to itself", data)
		}
		if string(appendIdentity(nil, v)) != string(appendIdentity(nil, again)) {
			t.Fatalf("%s has two identities", data)
		}
	})
}

func TestSubstringCountsUTF16(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		head := rapid.String().Draw(t, "head")
		middle := rapid.String().Draw(t, "middle")
		tail := rapid.String().Draw(t, "tail")
		whole := head + middle + tail
		quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		text := "@substring(" + quote(whole) + "," + Text(unitLength(head)) + "," + Text(unitLength(middle)) + ")"
		got, err := Env{}.EvaluateText(text)
		if err != nil || got != middle {
			t.Fatalf("%s = %q, %v; want %q", text, got, err, middle)
		}
		if n := unitLength(whole); n != int64(len(units(whole))) {
			t.Fatalf("length of %q is %d, want %d", whole, n, len(units(whole)))
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"@add(1,-2.5e3)", "a@{b}c", "@item()?.x[0]?['y z']", "@@{", "@{concat('}''')}", "@null?.a", "@\ufeff( '"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, err := Parse(s)
		if err != nil {
			if e, ok := errors.AsType[*Error](err); !ok || e.Offset < 0 || e.Offset > len(s) {
				t.Errorf("%v has no offset in %q", err, s)
			}
			return
		}
		for _, c := range x.Calls() {
			if c.Offset < 0 || c.Offset >= len(s) {
				t.Errorf("offset %d of a call is outside of %q", c.Offset, s)
			}
		}
	})
}

func FuzzEvaluate(f *testing.F) {
	for _, seed := range []string{
		"@add(1,-2.5e3)", "@json('{\"a\":[1,{}]}').a[1]", "@range(0,99)", "@formatDateTime('2024-01-02T03:04:05.1Z','F')",
		"@xpath(xml('<a b=\"1\">x</a>'),'//a/@b')", "@json(xml('<a><b/><b>1</b></a>'))", "@replace('aaa','a','bb')", "@guid('X')",
		"@convertTimeZone('2024-03-31T01:30:00','GMT Standard Time','UTC')", "@union(createArray(1),createArray('x'))",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Env{Now: fixedNow}.EvaluateText(s)
		if err != nil {
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("%q: %T is not an *Error", s, err)
			}
			return
		}
		if _, err := DecodeJSON(EncodeJSON(v)); err != nil {
			t.Errorf("%q gives a value whose JSON is wrong: %v", s, err)
		}
	})
}

func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{"\ufeff{\"a\":1} // x", "/* x */ [1.0,1e5]", "{\"a\":\"//\"}", "[", "1 2", "/*"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := DecodeJSON(data)
		if err != nil {
			if e, ok := errors.AsType[*SyntaxError](err); !ok || e.Line < 1 || e.Column < 1 {
				t.Errorf("%v has no place", err)
			}
			return
		}
		again, err := DecodeJSON(EncodeJSON(v))
		if err != nil || string(EncodeJSON(again)) != string(EncodeJSON(v)) {
			t.Errorf("%q changed: %v", data, err)
		}
	})
}
