package apply

import (
	"testing"

	"github.com/flowehr/flowehr"
)

func TestVeilHidesTheWholeOfEverySecret(t *testing.T) {
	var v veil
	for range 3 {
		for _, value := range []string{"geheim", "geheim1234", "a b/c?", "abc"} { // the last is too short to be looked for
			v.add(flowehr.NewSecret(value))
		}
	}
	for text, want := range map[string]string{
		"password geheim1234, then geheim": "password " + flowehr.Masked + ", then " + flowehr.Masked,
		"postgres://u:a%20b%2Fc%3F@h/d":    "postgres://u:" + flowehr.Masked + "@h/d",
		"q=a+b%2Fc%3F":                     "q=" + flowehr.Masked,
		"abc stays":                        "abc stays",
	} {
		if got := v.text(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	if n := len(v.values); n > 6 {
		t.Errorf("%d texts are looked for; each secret was added three times", n)
	}
}
