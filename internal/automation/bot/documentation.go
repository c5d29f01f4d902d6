package bot

import (
	"path"
	"slices"
	"strings"
)

// documentation are the endings of files that say something to people only.
var documentation = []string{".md", ".markdown", ".rst", ".adoc", ".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp"}

// DocumentationOnly reports whether a change touches nothing but documentation, so that there is nothing to try out. A change
// that is not wholly known, or that touches no file, is not.
//
// Where a file stands does not make it documentation: an init script may be named docs/x.sh. Files of pipelines and apps never
// count, because they are uploaded whatever they are called.
func DocumentationOnly(files []string, partial bool) bool {
	if partial || len(files) == 0 {
		return false
	}
	for _, f := range files {
		if !documents(f) {
			return false
		}
	}
	return true
}

func documents(file string) bool {
	// A path that is not in its plain form does not come from git.
	if file == "" || path.Clean(file) != file || path.IsAbs(file) || strings.HasPrefix(file, "../") {
		return false
	}
	switch top, _, below := strings.Cut(file, "/"); {
	case below && (top == "transform" || top == "apps"):
		return false
	case !below && (file == "LICENSE" || file == "NOTICE"):
		return true
	}
	return slices.Contains(documentation, strings.ToLower(path.Ext(file)))
}
