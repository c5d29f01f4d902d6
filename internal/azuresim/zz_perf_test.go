package azuresim_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azuresim"
)

func TestZZPerf(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		a := start(t, azuresim.Options{Seed: 3, Dir: dir})
		began := time.Now()
		for s := range 20 {
			resources := object{}
			for i := range 40 {
				r := leaf(i, "Microsoft.Storage/storageAccounts")
				r["name"] = fmt.Sprintf("st%dx%d", s, i)
				r["tags"] = object{"pad": fmt.Sprintf("%01000d", 1)}
				resources[fmt.Sprintf("r%d", i)] = r
			}
			tpl := template(fmt.Sprintf("rg-%d", s), resources, nil)
			delete(tpl, "outputs")
			a.must(http.MethodPut, a.stackPath(fmt.Sprintf("stack%d", s)), stack(tpl))
		}
		t.Logf("dir %q: %v", dir, time.Since(began))
		began = time.Now()
		for s := range 200 {
			a.do(http.MethodPut, a.group(fmt.Sprintf("rg-%d", s)), object{"location": "uksouth"})
		}
		t.Logf("dir %q: 200 small writes %v", dir, time.Since(began))
	}
}
