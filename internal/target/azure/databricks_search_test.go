package azure

import (
	"cmp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr"
)

func machine(id string, cores float64, memoryGB, diskGB int) nodeType {
	n := nodeType{ID: id, Cores: cores, MemoryMB: memoryGB * gibibyte, Category: "General Purpose", PhotonDriver: true, PhotonWorker: true}
	n.Instance.Disks, n.Instance.DiskGB = 1, diskGB
	return n
}

func TestChooseNodeType(t *testing.T) {
	small, big := machine("Standard_D4", 4, 16, 150), machine("Standard_D8", 8, 32, 300)
	old := machine("Standard_D3_old", 4, 14, 150)
	old.Deprecated = true
	elsewhere := machine("Standard_D2", 2, 8, 75)
	elsewhere.Info.Status = []string{"NotAvailableInRegion"}
	gpu := machine("Standard_NC4", 4, 28, 180)
	gpu.GPUs, gpu.Category = 1, "GPU Accelerated"
	plain := machine("Standard_E4_plain", 4, 16, 100)
	plain.PhotonWorker = false
	memory := machine("Standard_E8", 8, 64, 300)
	memory.Category = "Memory Optimized"
	striped := machine("Standard_L8s", 8, 64, 80)
	striped.Instance.NVMeDisks, striped.Instance.NVMeDiskGB = 1, 1788
	all := []nodeType{big, gpu, memory, old, striped, small, plain, elsewhere}
	for _, c := range []struct {
		name   string
		want   flowehr.NodeType
		engine string
		node   string
		err    string
	}{
		{name: "the smallest", node: "Standard_E4_plain"},
		{name: "cores", want: flowehr.NodeType{MinCores: 5}, node: "Standard_D8"},
		{name: "memory", want: flowehr.NodeType{MinMemoryGB: 33}, node: "Standard_E8"},
		{name: "disk", want: flowehr.NodeType{LocalDiskMinSize: 120}, node: "Standard_D4"},
		{name: "disks add up", want: flowehr.NodeType{LocalDiskMinSize: 1800}, node: "Standard_L8s"},
		{name: "category in any case", want: flowehr.NodeType{Category: "memory optimized"}, node: "Standard_E8"},
		{name: "graphics when asked for", want: flowehr.NodeType{Category: "GPU Accelerated"}, node: "Standard_NC4"},
		{name: "photon needs both", engine: photon, node: "Standard_D4"},
		{name: "none", want: flowehr.NodeType{MinCores: 64, Category: "Storage Optimized"}, engine: photon,
			err: `at least 64 cores, 0 GB of memory and 0 GB of local disk in category "Storage Optimized" that runs Photon`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := chooseNodeType(all, c.want, c.engine)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil || got.ID != c.node {
				t.Errorf("got %s and %v, want %s", got.ID, err, c.node)
			}
		})
	}
}

// The choice fits, nothing smaller would, and the order of the offer does not matter.
func TestChooseNodeTypeIsTheSmallestInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) nodeType {
			n := machine(rapid.StringMatching(`Standard_[A-F][1-9]`).Draw(t, "id"), float64(rapid.IntRange(1, 16).Draw(t, "cores")),
				rapid.IntRange(1, 64).Draw(t, "memory"), rapid.IntRange(0, 400).Draw(t, "disk"))
			n.Deprecated, n.PhotonWorker = rapid.Bool().Draw(t, "deprecated"), rapid.Bool().Draw(t, "photon")
			return n
		}), 1, 20).Draw(t, "all")
		want := flowehr.NodeType{MinCores: rapid.IntRange(0, 12).Draw(t, "min cores"), MinMemoryGB: rapid.IntRange(0, 40).Draw(t, "min memory")}
		engine := rapid.SampledFrom([]string{"", photon}).Draw(t, "engine")
		got, err := chooseNodeType(all, want, engine)
		again, aerr := chooseNodeType(rapid.Permutation(all).Draw(t, "shuffled"), want, engine)
		if (err == nil) != (aerr == nil) || got.ID != again.ID || got.Cores != again.Cores || got.MemoryMB != again.MemoryMB {
			t.Fatalf("the order of the offer changed the choice: %v and %v", got, again)
		}
		for _, n := range all {
			if !n.offered() || !n.fits(want, engine) {
				continue
			}
			if err != nil {
				t.Fatalf("%v, but %v fits", err, n)
			}
			if cmp.Or(cmp.Compare(n.Cores, got.Cores), cmp.Compare(n.MemoryMB, got.MemoryMB)) < 0 {
				t.Fatalf("%v fits and is smaller than %v", n, got)
			}
		}
		if err == nil && (!got.offered() || !got.fits(want, engine)) {
			t.Fatalf("%v does not fit", got)
		}
	})
}

func TestChooseRuntime(t *testing.T) {
	all := []runtime{
		{"9.1.x-scala2.12", "9.1 LTS (includes Apache Spark 3.1.2, Scala 2.12)"},
		{"10.4.x-scala2.12", "10.4 LTS (includes Apache Spark 3.2.1, Scala 2.12)"},
		{"11.3.x-scala2.12", "11.3 LTS (includes Apache Spark 3.3.0, Scala 2.12)"},
		{"11.3.x-photon-scala2.12", "11.3 LTS Photon (includes Apache Spark 3.3.0, Scala 2.12)"},
		{"12.2.x-cpu-ml-scala2.12", "12.2 LTS ML (includes Apache Spark 3.3.2, Scala 2.12)"},
		{"12.2.x-gpu-ml-scala2.12", "12.2 LTS ML (includes Apache Spark 3.3.2, GPU, Scala 2.12)"},
		{"12.2.x-scala2.12", "12.2 LTS (includes Apache Spark 3.3.2, Scala 2.12)"},
		{"12.0.x-scala2.12", "12.0 (includes Apache Spark 3.3.1, Scala 2.12)"},
		{"16.4.x-scala2.13", "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.13)"},
		{"16.4.x-scala2.12", "16.4 LTS (includes Apache Spark 3.5.2, Scala 2.12)"},
		{"17.0.x-aarch64-scala2.13", "17.0 LTS aarch64 (includes Apache Spark 4.0.0, Scala 2.13)"},
	}
	for _, c := range []struct{ name, spark, key, err string }{
		{name: "the newest with it", spark: "3.3", key: "12.2.x-scala2.12"},
		{name: "a patch", spark: "3.3.0", key: "11.3.x-scala2.12"},
		{name: "two versions of Scala", spark: "3.5", key: "16.4.x-scala2.12"},
		{name: "3.1 is no prefix of 3.10", spark: "3.1", key: "9.1.x-scala2.12"},
		{name: "only a special flavour", spark: "4.0", err: "with Spark 4.0, but with Spark 3.1, 3.2, 3.3, 3.5"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := chooseRuntime(all, c.spark)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("got %v, want an error with %q", err, c.err)
				}
				return
			}
			if err != nil || got.Key != c.key {
				t.Errorf("got %s and %v, want %s", got.Key, err, c.key)
			}
		})
	}
}

func TestLibraryChanges(t *testing.T) {
	pypi := func(p string) library { return library{PyPI: &pypiLibrary{Package: p}} }
	maven := func(c string, not ...string) library {
		return library{Maven: &mavenLibrary{Coordinates: c, Exclusions: not}}
	}
	for _, c := range []struct {
		name      string
		have      []libraryStatus
		want      []library
		add, drop string
	}{
		{name: "nothing to do", have: []libraryStatus{{Library: pypi("scipy"), Status: "INSTALLED"}}, want: []library{pypi("scipy")}},
		{name: "new", want: []library{pypi("scipy"), {Jar: "dbfs:/a.jar"}}, add: "pypi scipy ,jar dbfs:/a.jar"},
		{name: "old", have: []libraryStatus{{Library: pypi("scipy"), Status: "INSTALLED"}}, drop: "pypi scipy "},
		{name: "leaving already", have: []libraryStatus{{Library: pypi("scipy"), Status: "UNINSTALL_ON_RESTART"}}},
		{name: "wanted back while leaving", have: []libraryStatus{{Library: pypi("scipy"), Status: "UNINSTALL_ON_RESTART"}}, want: []library{pypi("scipy")}, add: "pypi scipy "},
		{name: "failed before", have: []libraryStatus{{Library: pypi("scipy"), Status: "FAILED"}}, want: []library{pypi("scipy")}, add: "pypi scipy "},
		{name: "on its way", have: []libraryStatus{{Library: pypi("scipy"), Status: "PENDING"}}, want: []library{pypi("scipy")}},
		{name: "exclusions in another order", have: []libraryStatus{{Library: maven("a:b:1", "x", "y"), Status: "INSTALLED"}}, want: []library{maven("a:b:1", "y", "x")}},
		{name: "other exclusions", have: []libraryStatus{{Library: maven("a:b:1", "x"), Status: "INSTALLED"}}, want: []library{maven("a:b:1", "y")},
			add: "maven a:b:1  y", drop: "maven a:b:1  x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			add, drop := libraryChanges(c.have, c.want)
			if got := strings.Join(keys(add), ","); got != c.add {
				t.Errorf("installs %q, want %q", got, c.add)
			}
			if got := strings.Join(keys(drop), ","); got != c.drop {
				t.Errorf("uninstalls %q, want %q", got, c.drop)
			}
		})
	}
}

func TestTerminationPasses(t *testing.T) {
	for _, c := range []struct {
		reason termination
		want   bool
	}{
		{termination{Code: "CLOUD_PROVIDER_LAUNCH_FAILURE", Type: "CLOUD_FAILURE"}, true},
		{termination{Code: "BOOTSTRAP_TIMEOUT", Type: "CLIENT_ERROR"}, true},
		{termination{Code: "SOMETHING_NEW", Type: "SERVICE_FAULT"}, true},
		{termination{Code: "SOMETHING_NEW", Type: "CLIENT_ERROR"}, false},
		{termination{Code: "AZURE_QUOTA_EXCEEDED_EXCEPTION", Type: "CLOUD_FAILURE"}, false},
		{termination{Code: "USER_REQUEST", Type: "SUCCESS"}, false},
	} {
		if got := c.reason.passing(); got != c.want {
			t.Errorf("%s of %s passes: got %v, want %v", c.reason.Code, c.reason.Type, got, c.want)
		}
	}
}
