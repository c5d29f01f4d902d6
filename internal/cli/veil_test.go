package cli

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
)

func TestVeil(t *testing.T) {
	for _, test := range []struct {
		name   string
		hidden []string
		writes []string
		want   string
	}{
		{"in the middle", []string{"hunter22"}, []string{"pw hunter22!"}, "pw ••••!"},
		{"in two pieces", []string{"hunter22"}, []string{"pw hunt", "er22!"}, "pw ••••!"},
		{"in many pieces", []string{"hunter22"}, []string{"h", "u", "n", "t", "e", "r", "2", "2"}, "••••"},
		{"begun and not finished", []string{"hunter22"}, []string{"a hunt"}, "a hunt"},
		{"one within the other", []string{"pass", "password1"}, []string{"password1 pass"}, "•••• ••••"},
		{"the longer one in two pieces", []string{"pass", "password1"}, []string{"password", "1"}, "••••"},
		{"too short to look for", []string{"abc"}, []string{"abc"}, "abc"},
		{"as JSON has it", []string{`pa"ss\word`}, []string{`{"p": "pa\"ss\\word"}`}, `{"p": "••••"}`},
		{"as an address has it", []string{"p@ss/word"}, []string{"postgres://me:p%40ss%2Fword@host"}, "postgres://me:••••@host"},
		{"a word of JSON", []string{"true"}, []string{`{"ok": true}`}, `{"ok": true}`},
		{"nothing to hide", nil, []string{"text"}, "text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			v := &veil{}
			v.Hide(test.hidden...)
			w := v.Over(&out)
			for _, text := range test.writes {
				if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
					t.Fatalf("Write = %d, %v", n, err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if out.String() != test.want {
				t.Errorf("got %q, want %q", out.String(), test.want)
			}
		})
	}
}

// However a text is cut into writes, no value that is hidden comes through, and nothing else is lost.
func TestVeilWhateverThePieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		hidden := rapid.SliceOfN(rapid.StringMatching(`[ab]{4,6}`), 1, 3).Draw(t, "hidden")
		pieces := rapid.SliceOf(rapid.StringMatching(`[abc]{0,5}`)).Draw(t, "pieces")
		v := &veil{}
		v.Hide(hidden...)
		var out bytes.Buffer
		w := v.Over(&out)
		for _, p := range pieces {
			if _, err := w.Write([]byte(p)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		for _, h := range hidden {
			if strings.Contains(out.String(), h) {
				t.Fatalf("%q came through in %q", h, out.String())
			}
		}
		if c := strings.Count(strings.Join(pieces, ""), "c"); strings.Count(out.String(), "c") != c {
			t.Fatalf("%d of %d other letters came through in %q", strings.Count(out.String(), "c"), c, out.String())
		}
	})
}

// A value cannot make an answer that is no JSON any more.
func TestVeilKeepsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(4, 12, -1).Draw(t, "secret")
		v := &veil{}
		v.Hide(secret)
		var out bytes.Buffer
		w := v.Over(&out)
		a := &app{out: w}
		if err := a.writeJSON(struct{ A string }{"before " + secret + " after"}); err != nil {
			t.Fatal(err)
		}
		_ = w.Close()
		var back struct{ A string }
		if err := json.Unmarshal(out.Bytes(), &back); err != nil {
			t.Fatalf("%q is no JSON: %v", out.String(), err)
		}
		if !strings.Contains(back.A, flowehr.Masked) {
			t.Fatalf("%q shows %q", out.String(), secret)
		}
	})
}
