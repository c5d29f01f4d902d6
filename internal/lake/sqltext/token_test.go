package sqltext

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestSplitFindsStatements(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want []string
	}{
		"two":            {"SELECT 1; SELECT 2", []string{"SELECT 1", "SELECT 2"}},
		"empty ones":     {";; SELECT 1 ;;", []string{"SELECT 1"}},
		"in a text":      {"SELECT 'a;b''c;' ;", []string{"SELECT 'a;b''c;'"}},
		"in a name":      {"SELECT `a;``b`", []string{"SELECT \"a;`b\""}},
		"in comments":    {"SELECT 1 -- ;\n, /* ; */ 2", []string{"SELECT 1 , 2"}},
		"without space":  {"SELECT a.b->>'$.x',1e-5::INT", []string{"SELECT a.b->>'$.x',1e-5::INT"}},
		"comment as gap": {"SELECT/**/1", []string{"SELECT 1"}},
		"other letters":  {"SELECT größe\u00a0FROM t", []string{"SELECT größe FROM t"}},
	} {
		t.Run(name, func(t *testing.T) {
			stmts, err := Split(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, s := range stmts {
				text, err := Render(s.Tokens, nil)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, text)
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestTokenizeRefuses(t *testing.T) {
	for text, line := range map[string]int{
		"SELECT\n'open": 2, "`open": 1, "/* open": 1, "/* a /* b */ */": 1, "SELECT \"x\"": 1, "$1": 1, "$$x$$": 1, "\n\n\x00": 3, "e'x'": 1, "x'00'": 1, "\xff": 1, "``": 1, "@ x": 1, "'a\x00b'": 1,
	} {
		_, err := Tokenize(text)
		bad, ok := errors.AsType[*SyntaxError](err)
		if !ok || bad.Line != line {
			t.Errorf("%q: error = %v, want one for line %d", text, err, line)
		}
	}
}

func TestRenderBindsParameters(t *testing.T) {
	tokens, err := Tokenize("SELECT @A, :a, x[1:a], {k: a}, a::INT, :b")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Render(tokens, []string{"a"})
	if err != nil {
		t.Fatal(err)
	}
	want := "SELECT getvariable('param_a'), getvariable('param_a'), x[1:a], {k: a}, a::INT, :b"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := Render(tokens, nil); !errors.Is(err, ErrParam) {
		t.Errorf("error = %v", err)
	}
}

func TestRefs(t *testing.T) {
	tokens, err := Tokenize("SELECT o.x FROM Bronze.Obs o JOIN `silver`.b ON o.id = b.id, bronze.obs, 'bronze.c' /* bronze.d */")
	if err != nil {
		t.Fatal(err)
	}
	want := []Ref{{"o", "x"}, {"bronze", "obs"}, {"silver", "b"}, {"o", "id"}, {"b", "id"}}
	if d := cmp.Diff(want, Refs(tokens)); d != "" {
		t.Error(d)
	}
}

// Whatever is put into a text literal comes out as it went in, and never ends the statement.
func TestTextLiteralsRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := strings.ReplaceAll(strings.ToValidUTF8(rapid.String().Draw(t, "value"), ""), "\x00", "")
		stmts, err := Split("SELECT '" + strings.ReplaceAll(value, "'", "''") + "'; SELECT 2")
		if err != nil {
			t.Fatal(err)
		}
		if len(stmts) != 2 || stmts[0].Tokens[1].Value != value {
			t.Fatalf("got %+v", stmts)
		}
	})
}

func FuzzTokenizer(f *testing.F) {
	for _, s := range []string{"SELECT 1; SELECT '2''' -- x\n", "CREATE TABLE a.b AS SELECT `x`.y, @p, :q::INT /* c */", "'", "1e+5.3", "a\u2028b", "\ufeffSELECT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		tokens, err := Tokenize(text)
		if err != nil {
			return
		}
		lines := strings.Count(text, "\n") + 1
		var params []string
		for _, k := range tokens {
			if k.Line < 1 || k.Line > lines {
				t.Errorf("token %q on line %d of %d", k.Raw, k.Line, lines)
			}
			if k.Kind == Param {
				return // Becomes a call, so it is no longer the same text.
			}
		}
		out, err := Render(tokens, params)
		if err != nil {
			t.Fatal(err)
		}
		// What the engine gets has names in double quotes; put back, it must be the same tokens.
		if strings.ContainsAny(text, "\"`") {
			return
		}
		again, err := Tokenize(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		if len(again) != len(tokens) {
			t.Fatalf("%q became %q: %d tokens, %d before", text, out, len(again), len(tokens))
		}
		for i := range tokens {
			if tokens[i].Kind != again[i].Kind || tokens[i].Value != again[i].Value {
				t.Errorf("token %d: %+v became %+v", i, tokens[i], again[i])
			}
		}
	})
}
