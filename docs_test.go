package flowehr_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestParity holds docs/parity.md to the tree: a claim has a local witness, and every witness is a test that exists.
func TestParity(t *testing.T) {
	rows, problems := parityRows(readText(t, "docs/parity.md"))
	for _, p := range problems {
		t.Error(p)
	}
	if len(rows) == 0 {
		t.Error("docs/parity.md makes no claim")
	}
	tests := map[string][]string{}
	for _, r := range rows {
		for _, w := range slices.Concat(r.local, r.azure) {
			if _, known := tests[w.dir]; !known {
				tests[w.dir] = testsIn(t, w.dir)
			}
			if !slices.Contains(tests[w.dir], w.test) {
				t.Errorf("%q names %s %s, which does not exist", r.claim, w.dir, w.test)
			}
		}
	}
}

// TestParityRowsRefuses shows that a claim without a witness does not pass.
func TestParityRowsRefuses(t *testing.T) {
	const head = "| claim | local | azure |\n|---|---|---|\n"
	for _, tt := range []struct{ name, table, want string }{
		{"no local witness", "| it works | soon | not yet: issue 3 |", `"it works" has no local witness`},
		{"local not yet", "| it works | not yet: issue 3 | not yet: issue 3 |", `"it works" has no local witness`},
		{"no witness at all", "| it works | no counterpart | not proved: there is no subscription |", `"it works" has no local witness`},
		{"not proved without a reason", "| it works | `a TestB` | not proved: no |", `"it works" says nothing of azure`},
		{"empty azure", "| it works | `a TestB` |  |", `"it works" says nothing of azure`},
		{"azure without an issue", "| it works | `a TestB` | not yet |", `"it works" says nothing of azure`},
		{"a column too few", "| it works | `a TestB` |", "want three columns: | it works | `a TestB` |"},
		{"no claim", "|  | `a TestB` | not yet: issue 3 |", "a row makes no claim: |  | `a TestB` | not yet: issue 3 |"},
		{"said twice", "| a | `a TestB` | not yet: issue 3 |\n| a | `a TestB` | not yet: issue 3 |", `"a" is claimed twice`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, problems := parityRows(head + tt.table + "\n"); !slices.Equal(problems, []string{tt.want}) {
				t.Errorf("got %q, want %q", problems, tt.want)
			}
		})
	}
	rows, problems := parityRows(head + "| it works | `a TestB` `b/c FuzzD` | `target/azure TestE` |\n")
	if len(problems) > 0 || len(rows) != 1 || !slices.Equal(rows[0].local, []witness{{"a", "TestB"}, {"b/c", "FuzzD"}}) ||
		!slices.Equal(rows[0].azure, []witness{{"target/azure", "TestE"}}) {
		t.Errorf("got %v, %q", rows, problems)
	}
}

type parityRow struct {
	claim        string
	local, azure []witness
}

// witness is a test that would fail if a claim were not so.
type witness struct{ dir, test string }

// noCounterpart stands for a local witness where a claim makes sense in Azure alone, which then needs a witness.
const noCounterpart = "no counterpart"

var (
	witnessPattern = regexp.MustCompile("`([A-Za-z0-9_./-]+) ((?:Test|Fuzz)[A-Za-z0-9_]*)`")
	notYetPattern  = regexp.MustCompile(`^(?:not yet: issue [0-9]+|not proved: .{20,})$`)
)

// parityRows reads the tables whose first column is "claim", and says what is wrong with them.
func parityRows(text string) (rows []parityRow, problems []string) {
	inside := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			inside = false
			continue
		}
		cells := tableCells(line)
		if cells[0] == "claim" {
			inside = true
			continue
		}
		if !inside || strings.Trim(line, "|-: ") == "" {
			continue
		}
		if len(cells) != 3 {
			problems = append(problems, "want three columns: "+line)
			continue
		}
		r := parityRow{claim: cells[0], local: witnesses(cells[1]), azure: witnesses(cells[2])}
		switch {
		case r.claim == "":
			problems = append(problems, "a row makes no claim: "+line)
		case len(r.local) == 0 && (cells[1] != noCounterpart || len(r.azure) == 0):
			problems = append(problems, `"`+r.claim+`" has no local witness`)
		case len(r.azure) == 0 && !notYetPattern.MatchString(cells[2]):
			problems = append(problems, `"`+r.claim+`" says nothing of azure`)
		case slices.ContainsFunc(rows, func(o parityRow) bool { return o.claim == r.claim }):
			problems = append(problems, `"`+r.claim+`" is claimed twice`)
		}
		rows = append(rows, r)
	}
	return rows, problems
}

func tableCells(line string) []string {
	cells := strings.Split(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|")
	for i, c := range cells {
		cells[i] = strings.TrimSpace(c)
	}
	return cells
}

func witnesses(cell string) []witness {
	var out []witness
	for _, m := range witnessPattern.FindAllStringSubmatch(cell, -1) {
		out = append(out, witness{m[1], m[2]})
	}
	return out
}

// testsIn lists the tests and fuzz targets of the package in dir, whatever they are built for.
func testsIn(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	for _, f := range goFiles(t, dir, func(name string) bool { return strings.HasSuffix(name, "_test.go") }) {
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Recv != nil || fn.Name.Name == "TestMain" {
				continue
			}
			if name := fn.Name.Name; strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") {
				names = append(names, name)
			}
		}
	}
	return names
}

// TestEnvironmentVariablesAreListed compares docs/environment-variables.md with what package cli reads.
func TestEnvironmentVariablesAreListed(t *testing.T) {
	const file = "docs/environment-variables.md"
	_, section, found := strings.Cut(readText(t, file), "## Read by name\n")
	if !found {
		t.Fatalf("%s has no section \"Read by name\"", file)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var listed []string
	for line := range strings.Lines(section) {
		if cells := tableCells(strings.TrimSpace(line)); len(cells) == 3 {
			for _, m := range regexp.MustCompile("`([A-Z][A-Z0-9_]*)`").FindAllStringSubmatch(cells[0], -1) {
				listed = append(listed, m[1])
			}
		}
	}
	read, mentioned := variablesOfCLI(t)
	for _, name := range read {
		if !slices.Contains(listed, name) {
			t.Errorf("package cli reads %s, which %s does not list", name, file)
		}
	}
	for _, name := range listed {
		if !slices.Contains(mentioned, name) {
			t.Errorf("%s lists %s, which package cli never names", file, name)
		}
	}
}

// variablesOfCLI returns the names that calls of env and getenv are given, and every text of the package, since a name
// may also come from a list.
func variablesOfCLI(t *testing.T) (read, mentioned []string) {
	t.Helper()
	for _, f := range goFiles(t, "internal/cli", func(name string) bool { return !strings.HasSuffix(name, "_test.go") }) {
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BasicLit:
				if n.Kind == token.STRING {
					mentioned = append(mentioned, strings.Trim(n.Value, "\"`"))
				}
			case *ast.CallExpr:
				fn, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || len(n.Args) != 1 || !slices.Contains([]string{"env", "getenv", "Getenv", "LookupEnv"}, fn.Sel.Name) {
					return true
				}
				if name, ok := n.Args[0].(*ast.BasicLit); ok {
					read = append(read, strings.Trim(name.Value, "\"`"))
				}
			}
			return true
		})
	}
	if len(read) == 0 {
		t.Error("found no variable that package cli reads")
	}
	return read, mentioned
}

// TestArchitectureNamesEveryPackage holds the table of docs/architecture.md to docs/imports.txt.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	_, section, _ := strings.Cut(readText(t, "docs/architecture.md"), "## Packages\n")
	section, _, _ = strings.Cut(section, "\n## ")
	rows, _ := readImportTable(t)
	for _, row := range rows {
		if !strings.Contains(section, "`"+row+"`") {
			t.Errorf("docs/architecture.md does not name package %s", row)
		}
	}
	for line := range strings.Lines(section) {
		cells := tableCells(strings.TrimSpace(line))
		if len(cells) != 3 {
			continue
		}
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cells[1], -1) {
			if !slices.Contains(rows, m[1]) {
				t.Errorf("docs/architecture.md names package %s, which has no row in docs/imports.txt", m[1])
			}
		}
	}
}

// TestDecisionRecordsHaveTheirHeadings: records are numbered without a gap and say why.
func TestDecisionRecordsHaveTheirHeadings(t *testing.T) {
	files, err := filepath.Glob("docs/adr/*.md")
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(files)
	name := regexp.MustCompile(`^0*([0-9]+)-[a-z0-9-]+\.md$`)
	for i, file := range files {
		text := readText(t, file)
		m := name.FindStringSubmatch(filepath.Base(file))
		if m == nil {
			t.Errorf("%s is not named NNNN-title.md", file)
			continue
		}
		if first, _, _ := strings.Cut(text, "\n"); !strings.HasPrefix(first, "# "+m[1]+". ") {
			t.Errorf("%s begins with %q, not with its number", file, first)
		}
		if want := strconv.Itoa(i + 1); m[1] != want {
			t.Errorf("%s should have number %s", file, want)
		}
		at := 0
		for _, heading := range []string{"Status", "Context", "Decision", "Consequences", "Alternatives"} {
			found := strings.Index(text[at:], "\n## "+heading+"\n")
			if found < 0 {
				t.Errorf("%s has no heading %q in its place", file, heading)
				break
			}
			at += found
		}
	}
}

// TestLinksLeadSomewhere follows every link within the repository's documents.
func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, file := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(readText(t, file), -1) {
			to, _, _ := strings.Cut(m[1], "#")
			if to == "" || strings.Contains(to, "://") || strings.HasPrefix(to, "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), to)); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			}
		}
	}
}

// documents lists the Markdown files of the root and of docs.
func documents(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir("docs", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Ext(path) == ".md" {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func goFiles(t *testing.T, dir string, want func(name string) bool) []*ast.File {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
		return nil
	}
	var files []*ast.File
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".go" || !want(e.Name()) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Error(err)
			continue
		}
		files = append(files, f)
	}
	return files
}

func readText(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
