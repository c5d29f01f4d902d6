package config

import (
	"strings"
	"testing"
	"testing/fstest"
)

func TestDotEnv(t *testing.T) {
	text := strings.Join([]string{
		"# a remark", "", "PLAIN=a b", "export SHELL_STYLE = x ", "EMPTY=", "REMARK=a # not this", "HASH=a#b",
		`SINGLE='a "b" \n ${C} # d'`, `DOUBLE="a\n\t\"b\" \\ \$ \q # c"   # remark`, "EQUALS=a=b==", "CRLF=x\r", "TWICE=1", "TWICE=2", "REF=${PLAIN}",
	}, "\n")
	lookup, diags := DotEnv(fstest.MapFS{".env": {Data: []byte(text)}})
	if len(diags) > 0 {
		t.Fatalf("unexpected diagnostics: %v", diags)
	}
	for name, want := range map[string]string{
		"PLAIN": "a b", "SHELL_STYLE": "x", "EMPTY": "", "REMARK": "a", "HASH": "a#b", "SINGLE": `a "b" \n ${C} # d`,
		"DOUBLE": "a\n\t\"b\" \\ $ \\q # c", "EQUALS": "a=b==", "CRLF": "x", "TWICE": "2", "REF": "${PLAIN}",
	} {
		if got, ok := lookup(name); !ok || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, ok, want)
		}
	}
	if _, ok := lookup("MISSING"); ok {
		t.Error("MISSING was found")
	}
}

func TestDotEnvNamesTheLineAndNotWhatStandsOnIt(t *testing.T) {
	_, diags := DotEnv(fstest.MapFS{".env": {Data: []byte("A=1\nhunter2\n1B=hunter2\nC='hunter2\nD=\"hunter2\" hunter2\n")}})
	var got []string
	for _, d := range diags {
		got = append(got, d.Pos.String()+" "+d.Summary)
		if strings.Contains(d.Summary+d.Detail, "hunter2") {
			t.Errorf("a secret stands in %v", d)
		}
	}
	want := ".env:2:1 not a NAME=value line, .env:3:1 not a NAME=value line, .env:4:1 the value of C has no closing quote, .env:5:1 the value of D has no closing quote"
	if strings.Join(got, ", ") != want {
		t.Errorf("got  %s\nwant %s", strings.Join(got, ", "), want)
	}
}

func TestDotEnvMayBeAbsent(t *testing.T) {
	lookup, diags := DotEnv(fstest.MapFS{})
	if _, ok := lookup("A"); ok || len(diags) > 0 {
		t.Errorf("got %v, %v, want nothing", ok, diags)
	}
}

func TestChainAsksInOrder(t *testing.T) {
	holds := func(values map[string]string) Lookup {
		return func(name string) (string, bool) { v, ok := values[name]; return v, ok }
	}
	chain := Chain(holds(map[string]string{"A": "process", "EMPTY": ""}), nil, holds(map[string]string{"A": "file", "B": "file", "EMPTY": "file"}))
	for name, want := range map[string]string{"A": "process", "B": "file", "EMPTY": ""} {
		if got, ok := chain(name); !ok || got != want {
			t.Errorf("%s: got %q, %v, want %q", name, got, ok, want)
		}
	}
}
