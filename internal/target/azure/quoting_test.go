package azure

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// readBracketed reads an identifier as SQL Server does and returns what follows it.
func readBracketed(s string) (name, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, "[")
	if !ok {
		return "", "", false
	}
	for {
		i := strings.IndexByte(s, ']')
		if i < 0 {
			return "", "", false
		}
		name, s = name+s[:i], s[i+1:]
		if !strings.HasPrefix(s, "]") {
			return name, s, true
		}
		name, s = name+"]", s[1:]
	}
}

// A name in brackets is read back as itself, and nothing of it is read as anything else.
func FuzzBracketed(f *testing.F) {
	for _, name := range []string{"flowehr-apps", "a]b", "]]; DROP TABLE x --", "[", "", "Ärzte's group"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, rest, ok := readBracketed(bracketed(name))
		if !ok || got != name || rest != "" {
			t.Errorf("%q is read back as %q with %q behind", name, got, rest)
		}
	})
}

func FuzzDoubled(f *testing.F) {
	for _, name := range []string{"flowehr-apps", `a"b`, `""; DROP TABLE x --`, ""} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if strings.ContainsRune(name, 0) || !utf8.ValidString(name) {
			t.Skip("PostgreSQL takes no such text")
		}
		inner := doubled(name)
		inner = inner[1 : len(inner)-1]
		if strings.ReplaceAll(inner, `""`, "") != strings.ReplaceAll(name, `"`, "") || strings.ReplaceAll(inner, `""`, `"`) != name {
			t.Errorf("%q is quoted as %s", name, doubled(name))
		}
	})
}

func TestObjectLiteralTakesGUIDsOnly(t *testing.T) {
	got, err := objectLiteral("0E6C9D7A-2B1F-4C3D-8E5F-60718293A4B5")
	if err != nil || got != "'0e6c9d7a-2b1f-4c3d-8e5f-60718293a4b5'" {
		t.Errorf("got %s and %v", got, err)
	}
	for _, bad := range []string{"", "x", "0e6c9d7a-2b1f-4c3d-8e5f-60718293a4b5'; DROP LOGIN [x] --"} {
		if got, err := objectLiteral(bad); err == nil {
			t.Errorf("%q became the literal %s", bad, got)
		}
	}
}

func TestSIDTurnsTheFirstGroupsRound(t *testing.T) {
	got := sidOf("00112233-4455-6677-8899-aabbccddeeff")
	want := []byte{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	if !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	if sidOf("") != nil {
		t.Error("no id has a SID")
	}
}

func TestPasswordHasEveryKindAndLength(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(shortestPassword, 120).Draw(t, "length")
		p, err := password(n)
		if err != nil || len(p) != n {
			t.Fatalf("got %d characters and %v, want %d", len(p), err, n)
		}
		for _, kind := range passwordAlphabets {
			if !strings.ContainsAny(p, kind) {
				t.Errorf("no character of %s", kind)
			}
		}
		if strings.Trim(p, strings.Join(passwordAlphabets[:], "")) != "" {
			t.Error("a character of no kind")
		}
		if other, _ := password(n); other == p {
			t.Error("the same password twice")
		}
	})
	if _, err := password(shortestPassword - 1); err == nil {
		t.Error("a short password was made")
	}
}

func TestKeyedEscapes(t *testing.T) {
	if got, want := keyed("groups", "uniqueName", "a'b/c d"), "/groups(uniqueName='a%27%27b%2Fc%20d')"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
