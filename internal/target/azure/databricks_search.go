package azure

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

const (
	nodeTypesPath     = "/api/2.1/clusters/list-node-types"
	sparkVersionsPath = "/api/2.1/clusters/spark-versions"
)

// nodeType is a machine that Databricks offers (docs.databricks.com/api/azure/workspace/clusters/listnodetypes).
type nodeType struct {
	ID         string  `json:"node_type_id"`
	MemoryMB   int     `json:"memory_mb"`
	Cores      float64 `json:"num_cores"`
	GPUs       int     `json:"num_gpus"`
	Category   string  `json:"category"`
	Deprecated bool    `json:"is_deprecated"`
	Hidden     bool    `json:"is_hidden"`

	PhotonDriver bool `json:"photon_driver_capable"`
	PhotonWorker bool `json:"photon_worker_capable"`

	Instance struct {
		DiskGB     int `json:"local_disk_size_gb"`
		NVMeDiskGB int `json:"local_nvme_disk_size_gb"`
		Disks      int `json:"local_disks"`
		NVMeDisks  int `json:"local_nvme_disks"`
	} `json:"node_instance_type"`
	Info struct {
		Status []string `json:"status"` // why it cannot be had here: NotAvailableInRegion, NotEnabledOnSubscription
	} `json:"node_info"`
}

// diskGB is the size of all local disks together.
func (n nodeType) diskGB() int {
	return n.Instance.DiskGB*max(n.Instance.Disks, 1) + n.Instance.NVMeDiskGB*n.Instance.NVMeDisks
}

const gibibyte = 1024 // in the unit of MemoryMB

// fits reports whether a machine has what is asked for. Machines with graphics processors are taken only when their
// category is asked for.
func (n nodeType) fits(want flowehr.NodeType, engine string) bool {
	switch {
	case n.Cores < float64(want.MinCores), n.MemoryMB < want.MinMemoryGB*gibibyte, n.diskGB() < want.LocalDiskMinSize:
		return false
	case want.Category != "" && !strings.EqualFold(n.Category, want.Category):
		return false
	case n.GPUs > 0 && !strings.Contains(strings.ToLower(want.Category), "gpu"):
		return false
	}
	return engine != photon || n.PhotonDriver && n.PhotonWorker
}

// offered reports whether a machine may be had for something new.
func (n nodeType) offered() bool { return !n.Deprecated && !n.Hidden && len(n.Info.Status) == 0 }

// photon is Databricks' vectorised engine.
const photon = "PHOTON"

// chooseNodeType returns the smallest machine that fits: fewest cores, then least memory, then least disk, then by name, so
// that the same offer gives the same choice.
func chooseNodeType(all []nodeType, want flowehr.NodeType, engine string) (nodeType, error) {
	fitting := slices.DeleteFunc(slices.Clone(all), func(n nodeType) bool { return !n.offered() || !n.fits(want, engine) })
	if len(fitting) == 0 {
		return nodeType{}, fmt.Errorf("there is no machine of Databricks here with at least %d cores, %d GB of memory and %d GB of local disk%s",
			want.MinCores, want.MinMemoryGB, want.LocalDiskMinSize, restrictions(want, engine))
	}
	return slices.MinFunc(fitting, func(a, b nodeType) int {
		return cmp.Or(cmp.Compare(a.Cores, b.Cores), cmp.Compare(a.MemoryMB, b.MemoryMB), cmp.Compare(a.diskGB(), b.diskGB()), cmp.Compare(a.ID, b.ID))
	}), nil
}

func restrictions(want flowehr.NodeType, engine string) string {
	text := ""
	if want.Category != "" {
		text += fmt.Sprintf(" in category %q", want.Category)
	}
	if engine == photon {
		text += " that runs Photon"
	}
	return text
}

func (b bricks) nodeTypes(ctx context.Context, workspace azure.Value) ([]nodeType, error) {
	var list struct {
		Types []nodeType `json:"node_types"`
	}
	err := b.get(ctx, workspace, nodeTypesPath, &list)
	return list.Types, err
}

// runtime is a version of the Databricks Runtime, for example key 13.3.x-scala2.12 named "13.3 LTS (includes Apache Spark
// 3.4.1, Scala 2.12)".
type runtime struct {
	Key  string `json:"key"`
	Name string `json:"name"`
}

func (b bricks) runtimes(ctx context.Context, workspace azure.Value) ([]runtime, error) {
	var list struct {
		Versions []runtime `json:"versions"`
	}
	err := b.get(ctx, workspace, sparkVersionsPath, &list)
	return list.Versions, err
}

var (
	runtimeKey   = regexp.MustCompile(`^(\d+)\.(\d+)\.x-scala[\d.]+$`) // no machine learning, graphics, Photon or other flavour
	sparkInName  = regexp.MustCompile(`Apache Spark (\d+(?:\.\d+)*)`)
	longTermMark = "LTS"
)

// number returns the runtime's version, false for a special flavour. Photon is a property of the cluster, not of the key.
func (r runtime) number() (major, minor int, plain bool) {
	m := runtimeKey.FindStringSubmatch(r.Key)
	if m == nil {
		return 0, 0, false
	}
	major, _ = strconv.Atoi(m[1])
	minor, _ = strconv.Atoi(m[2])
	return major, minor, true
}

// fits reports whether r is a plain long-term runtime with a version of Spark; "3.3" means any 3.3.x.
func (r runtime) fits(spark string) bool {
	_, _, plain := r.number()
	m := sparkInName.FindStringSubmatch(r.Name)
	return plain && m != nil && strings.Contains(r.Name, longTermMark) && (m[1] == spark || strings.HasPrefix(m[1], spark+"."))
}

// chooseRuntime returns the newest long-term runtime with a version of Spark. Of several with different Scala the oldest, which is
// what libraries for that Spark are built for.
func chooseRuntime(all []runtime, spark string) (runtime, error) {
	fitting := slices.DeleteFunc(slices.Clone(all), func(r runtime) bool { return !r.fits(spark) })
	if len(fitting) == 0 {
		return runtime{}, fmt.Errorf("there is no long-term runtime of Databricks with Spark %s, but with Spark %s", spark, strings.Join(longTermSparks(all), ", "))
	}
	return slices.MaxFunc(fitting, func(a, b runtime) int {
		am, an, _ := a.number()
		bm, bn, _ := b.number()
		return cmp.Or(cmp.Compare(am, bm), cmp.Compare(an, bn), cmp.Compare(b.Key, a.Key))
	}), nil
}

// longTermSparks lists the versions of Spark that could be had, as "3.4".
func longTermSparks(all []runtime) []string {
	found := map[string]bool{}
	var out []string
	for _, r := range all {
		m := sparkInName.FindStringSubmatch(r.Name)
		if m == nil || !r.fits(m[1]) {
			continue
		}
		parts := strings.SplitN(m[1], ".", 3)
		short := strings.Join(parts[:min(2, len(parts))], ".")
		if !found[short] {
			found[short] = true
			out = append(out, short)
		}
	}
	slices.Sort(out)
	return out
}
