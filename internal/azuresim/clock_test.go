package azuresim_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr/internal/azure/pace"
	"github.com/flowehr/flowehr/internal/azuresim"
)

func TestWaitsPassVirtualTimeTogether(t *testing.T) {
	a := start(t, azuresim.Options{})
	began := a.now()
	var wg sync.WaitGroup
	for _, d := range []time.Duration{time.Minute, time.Hour, 90 * time.Minute, 90 * time.Minute} {
		wg.Go(func() {
			if err := a.remote.Wait(t.Context(), d); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if passed := a.now().Sub(began); passed != 90*time.Minute {
		t.Errorf("waits side by side took %v, want the longest of them", passed)
	}
	for range 3 {
		if err := a.remote.Wait(t.Context(), time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	if passed := a.now().Sub(began); passed != 93*time.Minute {
		t.Errorf("waits one after the other ended after %v, want their sum", passed)
	}
}

func TestTimeStandsStillWhileNobodyWaits(t *testing.T) {
	a := start(t, azuresim.Options{})
	if first, second := a.now(), a.now(); !first.Equal(second) {
		t.Errorf("%v passed between two questions", second.Sub(first))
	}
}

// TestACallerThatNeverRestsDoesNotStopTime: somebody asks again and again without waiting while somebody else waits.
func TestACallerThatNeverRestsDoesNotStopTime(t *testing.T) {
	a := start(t, azuresim.Options{Quiet: time.Millisecond})
	waited := make(chan error, 1)
	go func() { waited <- a.remote.Wait(t.Context(), time.Hour) }()
	for {
		select {
		case err := <-waited:
			if err != nil {
				t.Error(err)
			}
			return
		default:
			a.now()
		}
	}
}

// TestAStalledClientDoesNotStopTime: a client is stopped in the middle of a request, as by Ctrl-Z, and stays connected.
func TestAStalledClientDoesNotStopTime(t *testing.T) {
	a := start(t, azuresim.Options{Quiet: time.Millisecond})
	config := a.remote.TLS()
	config.ServerName = "control.azuresim.invalid"
	c, err := tls.Dial("tcp", a.address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "POST /wait HTTP/1.1\r\nHost: control.azuresim.invalid\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	// The server asks for the body when it begins to read it, so that the request is in flight from here on.
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("%q %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // really; without end time would stand still
	defer cancel()
	if err := a.remote.Wait(ctx, time.Hour); err != nil {
		t.Errorf("time stands still for somebody who does not go on: %v", err)
	}
}

// leaf is a type of each of several latencies that stands by itself, with the body that its provider wants.
func leaf(i int, kind string) object {
	r := object{"type": kind, "name": fmt.Sprintf("thing%03d", i), "location": "uksouth", "properties": object{}}
	switch kind {
	case "Microsoft.Storage/storageAccounts":
		r["apiVersion"], r["kind"], r["sku"] = "2026-04-01", "StorageV2", object{"name": "Standard_LRS"}
	case "Microsoft.Sql/servers", "Microsoft.Web/serverfarms", "Microsoft.DataFactory/factories", "Microsoft.Network/routeTables":
		r["apiVersion"] = "2025-01-01"
	}
	return r
}

// TestStackTakesItsCriticalPath: a deployment takes as much virtual time as its longest chain of dependencies, and one second
// of validation.
func TestStackTakesItsCriticalPath(t *testing.T) {
	kinds := []string{"Microsoft.Storage/storageAccounts", "Microsoft.Sql/servers", "Microsoft.Web/serverfarms", "Microsoft.DataFactory/factories", "Microsoft.Network/routeTables"}
	run := 0
	a := start(t, azuresim.Options{Seed: 3, Quiet: time.Millisecond}) // one client only: it cannot be overtaken
	rapid.Check(t, func(rt *rapid.T) {
		run++
		n := rapid.IntRange(1, 12).Draw(rt, "resources")
		resources, ends := object{}, make([]time.Duration, n)
		var longest time.Duration
		for i := range n {
			kind := rapid.SampledFrom(kinds).Draw(rt, "type")
			r := leaf(run*100+i, kind)
			r["name"] = fmt.Sprintf("run%dthing%d", run, i)
			var after []any
			var from time.Duration
			for j := range i {
				if rapid.IntRange(0, 3).Draw(rt, "edge") == 0 {
					after = append(after, fmt.Sprintf("r%d", j))
					from = max(from, ends[j])
				}
			}
			if after != nil {
				r["dependsOn"] = after
			}
			typical, _, _ := pace.Of(kind)
			ends[i] = from + typical
			longest = max(longest, ends[i])
			resources[fmt.Sprintf("r%d", i)] = r
		}
		group, _, _ := pace.Of("Microsoft.Resources/resourceGroups")
		tpl := template(fmt.Sprintf("rg-%d", run), resources, nil)
		delete(tpl, "outputs")
		began := a.now()
		a.must(http.MethodPut, a.stackPath(fmt.Sprintf("stack%d", run)), stack(tpl))
		if got, want := a.now().Sub(began), time.Second+group+longest; got != want {
			rt.Fatalf("the stack took %v, its critical path is %v", got, want)
		}
	})
}
