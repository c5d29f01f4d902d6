package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Limits of the demo of 1,000 patients on two cores, with the program built already.
const (
	firstUpLimit = 60 * time.Second        // from nothing to published features
	warmUpLimit  = 1500 * time.Millisecond // from down to everything answers
	memoryLimit  = 600.0                   // MB of all processes together, each page counted once
)

// BenchmarkUp takes the demo from an empty folder to published features, stops it and starts it again. The memory is the
// most that all processes of the environment had together while the pipelines ran.
func BenchmarkUp(b *testing.B) {
	base, err := os.MkdirTemp("", "fup")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(base) })
	if err := os.Chmod(base, 0o755); err != nil {
		b.Fatal(err)
	}
	bin := filepath.Join(base, "flowehr")
	if out, err := exec.Command("go", "build", "-tags", "duckdb_arrow", "-o", bin, "github.com/flowehr/flowehr/cmd/flowehr").CombinedOutput(); err != nil {
		b.Fatalf("build the program: %v\n%s", err, out)
	}
	for round := 0; b.Loop(); round++ {
		d := &demoRun{b: b, bin: bin, dir: filepath.Join(base, strconv.Itoa(round)), home: filepath.Join(base, "home")}
		first, warm, most := d.measure()
		b.ReportMetric(first.Seconds(), "first-s")
		compared(b, fmt.Sprintf("first up and run %.1f s", first.Seconds()), firstUpLimit.String(), firstUpLimit.Seconds()/first.Seconds(), 1)
		b.ReportMetric(warm.Seconds(), "warm-s")
		compared(b, fmt.Sprintf("warm up %.2f s", warm.Seconds()), warmUpLimit.String(), warmUpLimit.Seconds()/warm.Seconds(), 1)
		b.ReportMetric(most, "peak-PSS-MB")
		compared(b, fmt.Sprintf("peak %.0f MB", most), fmt.Sprintf("%d MB", int(memoryLimit)), memoryLimit/most, 1)
	}
}

// demoRun is one environment with the demo.
type demoRun struct {
	b              *testing.B
	bin, dir, home string
}

func (d *demoRun) run(args ...string) {
	d.b.Helper()
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		d.b.Fatal(err)
	}
	c := exec.Command(d.bin, args...)
	c.Dir = d.dir
	c.Env = append(os.Environ(), "HOME="+d.home, "XDG_CONFIG_HOME=", "XDG_RUNTIME_DIR=", "ENVIRONMENT=", "CI=")
	if out, err := c.CombinedOutput(); err != nil {
		d.b.Fatalf("flowehr %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func (d *demoRun) measure() (first, warm time.Duration, most float64) {
	d.run("init")
	d.listenSomewhere()
	defer d.run("clean", "--yes")
	began := time.Now()
	d.run("up", "-d")
	stopped := false
	defer func() {
		if !stopped {
			d.run("down")
		}
	}()
	enough, peak := make(chan struct{}), make(chan float64)
	go func() { peak <- watchMemory(d.pid(), enough) }()
	d.run("pipelines", "run", "hospital-daily", "--wait")
	first = time.Since(began)
	close(enough)
	most = <-peak
	d.run("down")
	began = time.Now()
	d.run("up", "-d")
	warm = time.Since(began)
	d.run("down")
	stopped = true
	return first, warm, most
}

// listenSomewhere gives the portal a free port; everything else is as the demo comes.
func (d *demoRun) listenSomewhere() {
	d.b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		d.b.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	path := filepath.Join(d.dir, "config.local.yaml")
	text, err := os.ReadFile(path)
	if err != nil {
		d.b.Fatal(err)
	}
	text = bytes.Replace(text, []byte("\nlocal:\n"), []byte("\nlocal:\n  listen: "+address+"\n"), 1)
	if err := os.WriteFile(path, text, 0o644); err != nil {
		d.b.Fatal(err)
	}
}

// pid is the process that serves the environment.
func (d *demoRun) pid() int {
	text, err := os.ReadFile(filepath.Join(d.dir, ".flowehr", "local", "running.json"))
	if err != nil {
		d.b.Error(err)
		return 0
	}
	var r struct{ PID int }
	if err := json.Unmarshal(text, &r); err != nil {
		d.b.Error(err)
	}
	return r.PID
}

// watchMemory returns the most memory, in MB, that a process and its descendants had until enough is closed.
func watchMemory(pid int, enough <-chan struct{}) float64 {
	most := 0.0
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		most = max(most, memoryOf(pid))
		select {
		case <-enough:
			return max(most, memoryOf(pid))
		case <-tick.C:
		}
	}
}

// memoryOf adds the proportional set sizes of a process and its descendants: a page that several share is divided among
// them. Processes that end meanwhile count nothing.
func memoryOf(root int) float64 {
	parents := map[int]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		var state string
		var parent int
		if _, err := fmt.Sscan(string(text[bytes.LastIndexByte(text, ')')+1:]), &state, &parent); err != nil {
			continue
		}
		if pid, err := strconv.Atoi(strings.Split(path, "/")[2]); err == nil {
			parents[pid] = parent
		}
	}
	total := 0.0
	for pid := range parents {
		for p := pid; p > 1; p = parents[p] {
			if p == root {
				total += pss(pid)
				break
			}
		}
	}
	return total
}

func pss(pid int) float64 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var kilobytes float64
		if n, _ := fmt.Sscanf(lines.Text(), "Pss: %f kB", &kilobytes); n == 1 {
			return kilobytes / 1024
		}
	}
	return 0
}
