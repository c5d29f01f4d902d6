package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/flowehr/flowehr/internal/target/local"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"flowehr": main})
}

// TestScripts runs the program as people do. Every script has its own home, so scripts run beside each other, and what a
// script leaves running is stopped when it ends.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup:               setUp,
		Condition: func(name string) (bool, error) {
			if name != "postgres" {
				return false, fmt.Errorf("condition %q is not known", name)
			}
			_, err := local.FindPostgres(t.Context())
			return err == nil, nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code": code, "hospital": hospital, "edit": edit, "json": wantJSON, "pick": pick, "absent": absent, "until": until,
		},
	})
}

// setUp gives a script its own home. The folders are open to the user that PostgreSQL runs as.
func setUp(env *testscript.Env) error {
	home := filepath.Join(env.WorkDir, "home")
	if err := os.Mkdir(home, 0o755); err != nil {
		return err
	}
	for _, dir := range []string{env.WorkDir, filepath.Dir(env.WorkDir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			return err
		}
	}
	env.Setenv("HOME", home)
	env.Setenv("XDG_CONFIG_HOME", filepath.Join(home, ".config"))
	env.Setenv("LANG", "C.UTF-8")
	env.Setenv("TZ", "UTC")
	env.Defer(func() { removeEnvironments(env) })
	return nil
}

// removeEnvironments stops and removes what a script started and did not remove, also when it failed.
func removeEnvironments(env *testscript.Env) {
	found, err := filepath.Glob(filepath.Join(env.WorkDir, "*", ".flowehr", "*", "state"))
	if err != nil {
		panic(err) // the pattern is ours
	}
	for _, state := range found {
		data := filepath.Dir(state)
		dir := filepath.Dir(filepath.Dir(data))
		if err := restoreConfig(dir); err != nil {
			env.T().Log(err)
		}
		for _, verb := range [][]string{{"down"}, {"clean", "--yes"}} {
			c := exec.Command("flowehr", append([]string{"--dir", dir, "--env", filepath.Base(data)}, verb...)...)
			c.Env = env.Vars
			if out, err := c.CombinedOutput(); err != nil {
				env.T().Log("leave "+dir+":", err, string(out))
			}
		}
	}
}

// restoreConfig makes sure that the definition in dir can be read, so that the environment can be found.
func restoreConfig(dir string) error {
	kept, err := os.ReadFile(filepath.Join(dir, "config.local.yaml.kept"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return errors.Join(err, os.WriteFile(filepath.Join(dir, "config.local.yaml"), kept, 0o644))
}

// hospital DIR PATIENTS writes the demo hospital into DIR, with few patients and an address that is free.
func hospital(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hospital DIR PATIENTS")
	}
	ts.Check(ts.Exec("flowehr", "init", args[0]))
	path := ts.MkAbs(filepath.Join(args[0], "config.local.yaml"))
	text := ts.ReadFile(path)
	text = strings.ReplaceAll(text, "patients: 1000", "patients: "+args[1]) + "  listen: 127.0.0.1:0\n"
	ts.Check(os.WriteFile(path, []byte(text), 0o644))
	ts.Check(os.WriteFile(path+".kept", []byte(text), 0o644))
}

// code N COMMAND... runs a command that has to end with exit code N.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	ts.Logf("[stdout]\n%s[stderr]\n%s", ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// edit FILE OLD NEW replaces text that has to be there.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	unescape := strings.NewReplacer(`\n`, "\n")
	old, text := unescape.Replace(args[1]), ts.ReadFile(args[0])
	if !strings.Contains(text, old) {
		ts.Fatalf("%s has no %q", args[0], old)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.ReplaceAll(text, old, unescape.Replace(args[2]))), 0o644))
}

// json FILE [N] wants N JSON values (default 1) in FILE and nothing else; N "lines" stands for one value on each line.
func wantJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: json FILE [lines]")
	}
	text := ts.ReadFile(args[0])
	if len(args) == 2 {
		for line := range strings.Lines(text) {
			if !json.Valid([]byte(line)) {
				ts.Fatalf("%s has a line that is no JSON: %q", args[0], line)
			}
		}
		if strings.Count(text, "\n") == 0 {
			ts.Fatalf("%s has no line", args[0])
		}
		return
	}
	if !json.Valid([]byte(text)) {
		ts.Fatalf("%s is not one JSON value:\n%s", args[0], text)
	}
}

// pick VARIABLE PATH takes a value out of the JSON in stdout, such as 0.id or run.ID, into a variable.
func pick(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: pick VARIABLE PATH")
	}
	var v any
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &v))
	for key := range strings.SplitSeq(args[1], ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[key]
		case []any:
			n, err := strconv.Atoi(key)
			ts.Check(err)
			if n >= len(in) {
				ts.Fatalf("there is no %s in %d values", args[1], len(in))
			}
			v = in[n]
		}
	}
	ts.Setenv(args[0], fmt.Sprint(v))
}

// absent TEXT DIR wants TEXT in no file below DIR.
func absent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: absent TEXT DIR")
	}
	files := 0
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		content, err := io.ReadAll(f)
		if bytes.Contains(content, []byte(args[0])) {
			ts.Fatalf("%s holds %q", path, args[0])
		}
		return err
	}))
	if files == 0 {
		ts.Fatalf("there is no file below %s", args[1])
	}
}

// until TEXT COMMAND... repeats a command until its standard output has TEXT, for at most a minute.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT COMMAND...")
	}
	deadline := time.Now().Add(time.Minute)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q did not come within a minute: %v", args[0], err)
		}
		time.Sleep(100 * time.Millisecond) // another process is waited for; it cannot tell us
	}
}
