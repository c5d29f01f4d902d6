package folder_test

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/flowehr/flowehr/internal/activity/folder"
)

func tree(t testing.TB, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, n := range names {
		full := filepath.Join(root, filepath.FromSlash(n))
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(n), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func found(files []folder.File) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.Name)
	}
	return out
}

func TestFind(t *testing.T) {
	root := tree(t, "a.csv", "b.csv", "c.json", "2023/a.csv", "2024/01/a.csv", "2024/02/a.csv", "2024/02/deep/x.csv", "odd [1]/x.csv")
	tests := []struct {
		name string
		p    folder.Pattern
		want []string
	}{
		{"one file", folder.Pattern{File: "a.csv"}, []string{"a.csv"}},
		{"one file in a folder", folder.Pattern{Folder: "2024/01", File: "a.csv"}, []string{"2024/01/a.csv"}},
		{"slashes around", folder.Pattern{Folder: "/2024/01/", File: "a.csv"}, []string{"2024/01/a.csv"}},
		{"a folder", folder.Pattern{Name: "*.csv"}, []string{"a.csv", "b.csv"}},
		{"recursive", folder.Pattern{Folder: "2024", Name: "*.csv", Recursive: true}, []string{"2024/01/a.csv", "2024/02/a.csv", "2024/02/deep/x.csv"}},
		{"everything", folder.Pattern{Folder: "2023"}, []string{"2023/a.csv"}},
		{"folders by wildcard", folder.Pattern{Folders: "*/0?", Name: "a.*"}, []string{"2024/01/a.csv", "2024/02/a.csv"}},
		{"folders by wildcard, recursive", folder.Pattern{Folders: "2024/02", Recursive: true}, []string{"2024/02/a.csv", "2024/02/deep/x.csv"}},
		{"names that look like patterns", folder.Pattern{Folder: "odd [1]", Name: "*"}, []string{"odd [1]/x.csv"}},
		{"none or one", folder.Pattern{Name: "a?.csv"}, []string{"a.csv"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			files, err := folder.Find(root, tt.p)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, found(files)); d != "" {
				t.Error(d)
			}
			for _, f := range files {
				if text, err := os.ReadFile(f.Path); err != nil || string(text) != f.Name || f.Size != int64(len(text)) {
					t.Errorf("%+v: %q %v", f, text, err)
				}
			}
		})
	}
}

func TestFindByTime(t *testing.T) {
	root := tree(t, "old.csv", "new.csv")
	day := time.Date(2024, 5, 6, 0, 0, 0, 0, time.UTC)
	for name, at := range map[string]time.Time{"old.csv": day.Add(-time.Hour), "new.csv": day} {
		if err := os.Chtimes(filepath.Join(root, name), at, at); err != nil {
			t.Fatal(err)
		}
	}
	files, err := folder.Find(root, folder.Pattern{ModifiedFrom: day})
	if d := cmp.Diff([]string{"new.csv"}, found(files)); d != "" || err != nil {
		t.Error(d, err)
	}
	if files, err = folder.Find(root, folder.Pattern{ModifiedUntil: day}); err != nil || cmp.Diff([]string{"old.csv"}, found(files)) != "" {
		t.Error(found(files), err)
	}
}

func TestFindNeverLeavesTheFolder(t *testing.T) {
	outside := tree(t, "secret.csv")
	root := tree(t, "in/a.csv", "in/real/b.csv")
	for link, to := range map[string]string{"file.csv": filepath.Join(outside, "secret.csv"), "dir": outside, "in/inner.csv": filepath.Join(root, "in", "a.csv"), "in/alias": filepath.Join(root, "in", "real")} {
		if err := os.Symlink(to, filepath.Join(root, filepath.FromSlash(link))); err != nil {
			t.Fatal(err)
		}
	}
	tests := map[string]folder.Pattern{
		"parent in the folder":   {Folder: "../" + filepath.Base(outside), File: "secret.csv"},
		"parent in the file":     {File: "../secret.csv"},
		"parent in the wildcard": {Folders: "../*", Name: "*"},
		"parent in the name":     {Name: "../*"},
		"back slashes":           {Folder: `in\..\..`, Name: "*"},
		"link to a file":         {File: "file.csv"},
		"link to a folder":       {Folder: "dir", File: "secret.csv"},
		"link by wildcard":       {Name: "file*"},
		"below a linked folder":  {Folder: "dir", Name: "*", Recursive: true},
		"NUL":                    {File: "a\x00.csv"},
	}
	for name, p := range tests {
		t.Run(name, func(t *testing.T) {
			files, err := folder.Find(root, p)
			if !errors.Is(err, folder.ErrOutside) {
				t.Errorf("got %v %v, want ErrOutside", found(files), err)
			}
		})
	}
	t.Run("links that stay inside are fine", func(t *testing.T) {
		files, err := folder.Find(root, folder.Pattern{Folder: "in", Name: "*.csv", Recursive: true})
		if d := cmp.Diff([]string{"in/a.csv", "in/inner.csv", "in/real/b.csv"}, found(files)); d != "" || err != nil {
			t.Error(d, err)
		}
	})
	t.Run("the root may be a link", func(t *testing.T) {
		link := filepath.Join(t.TempDir(), "root")
		if err := os.Symlink(root, link); err != nil {
			t.Fatal(err)
		}
		if files, err := folder.Find(link, folder.Pattern{Folder: "in", File: "a.csv"}); err != nil || len(files) != 1 {
			t.Error(files, err)
		}
	})
}

func TestFindNothing(t *testing.T) {
	root := tree(t, "a.csv", "d/b.csv")
	for _, p := range []folder.Pattern{{File: "b.csv"}, {Folder: "x"}, {Name: "*.json"}, {File: "d"}, {Folder: "a.csv"}, {Folders: "x"}} {
		if files, err := folder.Find(root, p); !errors.Is(err, folder.ErrNotFound) {
			t.Errorf("%+v: got %v %v, want ErrNotFound", p, found(files), err)
		}
	}
	if _, err := folder.Find(filepath.Join(root, "gone"), folder.Pattern{}); err == nil || strings.Contains(err.Error(), root) {
		t.Errorf("got %v, want an error without the path of this machine", err)
	}
}

func TestPlace(t *testing.T) {
	outside := t.TempDir()
	root := tree(t, "in/a.csv")
	for link, to := range map[string]string{"out": outside, "dangling": filepath.Join(outside, "new")} {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"x.csv", "in/a.csv", "in/new/deep/x.csv", "/in/x.csv"} {
		got, err := folder.Place(root, name)
		resolved, _ := filepath.EvalSymlinks(root)
		if want := filepath.Join(resolved, filepath.FromSlash(name)); err != nil || got != want {
			t.Errorf("%s: got %s %v, want %s", name, got, err, want)
		}
	}
	for _, name := range []string{"../x", "out/x.csv", "out", "dangling", "dangling/x", "in/../../x"} {
		if got, err := folder.Place(root, name); !errors.Is(err, folder.ErrOutside) {
			t.Errorf("%s: got %s %v, want ErrOutside", name, got, err)
		}
	}
	if _, err := folder.Place(root, ""); err == nil {
		t.Error("a file without a name was placed")
	}
}

func TestMatchAgreesWithTheStandardLibraryOnStars(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pattern := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern")
		name := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "name")
		want, err := path.Match(pattern, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := folder.Match(pattern, name); got != want {
			t.Fatalf("Match(%q, %q): got %v, want %v", pattern, name, got, want)
		}
	})
}

func TestMatchTakesEscapedTextLiterally(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		var pattern strings.Builder
		for _, r := range name {
			pattern.WriteRune('^')
			pattern.WriteRune(r)
		}
		if !folder.Match(pattern.String(), name) {
			t.Fatalf("%q does not match itself escaped", name)
		}
		if folder.Match(pattern.String(), name+"x") {
			t.Fatalf("%q matches more than itself", name)
		}
	})
}

func FuzzMatch(f *testing.F) {
	f.Add("*.csv", "a.csv")
	f.Add("^*?", "*")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		if strings.HasSuffix(pattern, "^") {
			return // the star would lose its meaning
		}
		if folder.Match(pattern, name) && !folder.Match(pattern+"*", name+"z") {
			t.Errorf("Match(%q, %q) holds, and not with a star and more text", pattern, name)
		}
	})
}
