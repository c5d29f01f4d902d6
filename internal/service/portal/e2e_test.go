package portal

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// e2e finds the browser tests, with their packages installed, or skips.
func e2e(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes longer than -short allows")
	}
	for _, tool := range []string{"node", "npm", "chromium"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed", tool)
		}
	}
	dir, err := filepath.Abs("../../../e2e/portal")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		install := exec.CommandContext(t.Context(), "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund")
		install.Dir = dir
		if out, err := install.CombinedOutput(); err != nil {
			t.Skipf("npm ci in e2e/portal: %v\n%s", err, out)
		}
	}
	return dir
}

// serve starts a portal on f and returns a sign-in link.
func serve(t *testing.T, f *fake) string {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	p, err := New(Options{
		Data: f.data(), Name: "st-elsewhere-local", Target: "local", Base: "http://" + server.Listener.Addr().String(),
		Now: func() time.Time { return fakeNow }, Location: time.UTC,
	})
	if err != nil {
		t.Fatal(err)
	}
	server.Config.Handler = p.Handler()
	server.Start()
	t.Cleanup(server.Close)
	link, err := p.NewLink(t.Context(), ada)
	if err != nil {
		t.Fatal(err)
	}
	return link
}

// node runs one of the browser tests.
func node(t *testing.T, dir, script, link, shots string) {
	t.Helper()
	test := exec.CommandContext(t.Context(), "npm", "run", "--silent", script, "--", link)
	test.Dir = dir
	test.Env = append(os.Environ(), "PORTAL_SHOTS="+shots)
	out, err := test.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatal(err)
	}
}

// TestLiveInChromium watches a run in a real browser: the page must follow it to its end without a reload.
func TestLiveInChromium(t *testing.T) {
	dir, f := e2e(t), newFake()
	id := runningRun().ID
	go func() {
		f.change(id, func(r *Run) { r.Activities[1].Note = "half-way there" })
		f.change(id, func(r *Run) { r.State, r.Ended = Succeeded, fakeNow })
	}()
	node(t, dir, "live", serve(t, f)+"#/runs/"+id, "")
}

// TestInChromium opens every page of the fake hospital in a real browser, in four sizes and themes, and looks for
// accessibility violations, console errors, pages that scroll sideways and controls that the keyboard cannot reach.
func TestInChromium(t *testing.T) {
	dir := e2e(t)
	t.Run("full", func(t *testing.T) { node(t, dir, "test", serve(t, newFake()), os.Getenv("PORTAL_SHOTS")) })
	t.Run("empty", func(t *testing.T) {
		node(t, dir, "test", serve(t, &fake{empty: true, changed: make(chan struct{})}), "")
	})
}
