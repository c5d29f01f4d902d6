package flowehr_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImports holds the module to docs/imports.txt: who may import whom, without circles.
func TestImports(t *testing.T) {
	rows, allowed := readImportTable(t)
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		name := shortName(p.ImportPath, p.Module.Path)
		seen[name] = true
		if !slices.Contains(rows, name) {
			t.Errorf("package %s has no row in docs/imports.txt", name)
		}
		for _, path := range p.Imports {
			ours := path == p.Module.Path || strings.HasPrefix(path, p.Module.Path+"/")
			if ours && !slices.Contains(allowed[name], shortName(path, p.Module.Path)) {
				t.Errorf("%s must not import %s", name, shortName(path, p.Module.Path))
			}
		}
	}
	for _, row := range rows {
		if !seen[row] {
			t.Errorf("docs/imports.txt lists %s, which does not exist", row)
		}
	}
}

// TestConfinedLibraries keeps each third-party library in the packages whose business it is, so that it can be
// replaced, and so that nobody reaches round the package that owns a rule (SQL only through the lake, for one).
func TestConfinedLibraries(t *testing.T) {
	homes := map[string][]string{
		"go.yaml.in/yaml/":            {"config"},
		"github.com/spf13/cobra":      {"cli"},
		"github.com/duckdb/":          {"lake"},
		"github.com/jackc/pgx/":       {"service/postgres", "engine", "featurestore", "activity", "target/local", "target/azure"},
		"github.com/microsoft/go-mss": {"activity", "target/azure"},
		"github.com/go-sql-driver/":   {"activity"},
		"filippo.io/age":              {"vault"},
		"github.com/AzureAD/":         {"azure/cloud"},
		"github.com/google/go-github": {"github"},
		"github.com/bradleyfalzon/":   {"github"},
		"github.com/a-h/templ":        {"service/portal"},
		"testing":                     {"target/targettest", "testpg"},
	}
	for _, p := range listPackages(t) {
		name := shortName(p.ImportPath, p.Module.Path)
		for _, path := range p.Imports {
			for prefix, where := range homes {
				within := slices.ContainsFunc(where, func(w string) bool { return name == w || strings.HasPrefix(name, w+"/") })
				if strings.HasPrefix(path, prefix) && (prefix != "testing" || path == "testing") && !within {
					t.Errorf("%s imports %s, which belongs to %s", name, path, strings.Join(where, ", "))
				}
			}
		}
	}
}

// TestRootIsVocabulary: the root package does no I/O and starts nothing.
func TestRootIsVocabulary(t *testing.T) {
	for _, p := range listPackages(t) {
		if p.ImportPath != p.Module.Path {
			continue
		}
		for _, banned := range []string{"os", "net", "net/http", "context", "io", "log/slog", "sync", "os/exec"} {
			if slices.Contains(p.Imports, banned) {
				t.Errorf("the root package imports %s", banned)
			}
		}
	}
}

type goPackage struct {
	ImportPath string
	Imports    []string
	Module     struct{ Path string }
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-tags", "duckdb_arrow", "-json=ImportPath,Imports,Module", "./...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		var p goPackage
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// readImportTable returns the rows in order and what each may import. A row that names a later one is an error: that
// is how circles are kept out.
func readImportTable(t *testing.T) (rows []string, allowed map[string][]string) {
	t.Helper()
	f, err := os.Open("docs/imports.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	allowed = map[string][]string{}
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "#")
		name, uses, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		for _, use := range strings.Fields(uses) {
			if !slices.Contains(rows, use) {
				t.Errorf("docs/imports.txt: %s may import %s, which does not stand above it", name, use)
			}
			allowed[name] = append(allowed[name], use)
		}
		rows = append(rows, name)
	}
	return rows, allowed
}

func shortName(path, module string) string {
	if path == module {
		return "flowehr"
	}
	return strings.TrimPrefix(strings.TrimPrefix(path, module+"/"), "internal/")
}
