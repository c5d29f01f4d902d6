package estate

import (
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

// Folders that files of the definition are uploaded to. Scripts are files of the workspace, since clusters no longer run those of
// its file system. They run with every right on the cluster, so they are in a folder that only administrators may write to,
// which /Shared is not. Jars are too large for that: a request holds 10 MB there.
// https://learn.microsoft.com/azure/databricks/init-scripts/
const (
	scriptFolder   = "/flowehr/init_scripts/"
	jarFolder      = "dbfs:/jars/"
	pipelineFolder = "dbfs:/pipelines/"
)

// uploaded says where files of the definition are once they stand.
type uploaded struct {
	scripts, jars []string
	cluster       []flowehr.Ref // files that the cluster starts with
}

// uploads describes the files that are uploaded: init scripts, jars and the artifacts of pipelines.
func (l *lowering) uploads() uploaded {
	var up uploaded
	for _, script := range l.env.Spark.Cluster.InitScripts {
		if scheme, _, addressed := strings.Cut(script, ":/"); addressed && scheme != "abfss" {
			l.refuse(flowehr.Pos{}, "Put it beside config.yaml and name it there; it is uploaded to the workspace. A file of the workspace (/...), a volume (/Volumes/...) and abfss:// can be named as well.",
				"Databricks runs no init scripts from %s:/ any more: %s", scheme, script)
			continue
		}
		at, ref := l.uploadForCluster("init script", script, scriptFolder)
		up.scripts = append(up.scripts, at)
		up.cluster = append(up.cluster, ref...)
	}
	for _, jar := range l.env.Spark.Libraries.Jar {
		at, ref := l.uploadForCluster("jar", jar, jarFolder)
		up.jars = append(up.jars, at)
		up.cluster = append(up.cluster, ref...)
	}
	for _, p := range l.env.Pipelines {
		l.artifacts(p)
	}
	return up
}

// uploadForCluster returns where a file is found by the cluster. One that is named by an address stands there already.
func (l *lowering) uploadForCluster(what, name, folder string) (string, []flowehr.Ref) {
	if strings.Contains(name, ":/") || strings.HasPrefix(name, "/") {
		return name, nil
	}
	from := path.Clean(name)
	digest, ok := l.env.Files[from]
	switch {
	case !fs.ValidPath(from) || from == ".":
		l.refuse(flowehr.Pos{}, "Only what is in the folder of the definition can be uploaded.", "the %s %s is outside of the definition", what, name)
		return "", nil
	case !ok:
		l.refuse(flowehr.Pos{}, "It is named in transform of config.yaml and is looked for beside it.", "the %s %s is not there", what, name)
		return "", nil
	}
	at := folder + from
	return at, []flowehr.Ref{l.upload(at, from, digest, flowehr.Pos{})}
}

// artifacts describes the files in the artifacts folder of a pipeline.
func (l *lowering) artifacts(p flowehr.Pipeline) {
	folder := path.Join(p.Dir, "artifacts") + "/"
	for _, from := range slices.Sorted(maps.Keys(l.env.Files)) {
		if rest, within := strings.CutPrefix(from, folder); within {
			l.upload(pipelineFolder+p.Name+"/artifacts/"+rest, from, l.env.Files[from], p.Pos)
		}
	}
}

func (l *lowering) upload(to, from, digest string, pos flowehr.Pos) flowehr.Ref {
	return l.add(flowehr.LayerTransform, azure.KindFile, to, pos, azure.FileSpec{Workspace: l.workspaceURL(), Path: to, From: from, Digest: digest})
}
