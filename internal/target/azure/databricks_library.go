package azure

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
)

const librariesPath = "/api/2.0/libraries/"

const (
	libraryPause = 10 * time.Second
	libraryLimit = 30 * time.Minute
)

// library is one library of a cluster; exactly one member is set.
type library struct {
	PyPI  *pypiLibrary  `json:"pypi,omitempty"`
	Maven *mavenLibrary `json:"maven,omitempty"`
	Jar   string        `json:"jar,omitempty"`
	Other string        `json:"whl,omitempty"` // what somebody else put there
}

type pypiLibrary struct {
	Package string `json:"package"`
	Repo    string `json:"repo,omitempty"`
}

type mavenLibrary struct {
	Coordinates string   `json:"coordinates"`
	Repo        string   `json:"repo,omitempty"`
	Exclusions  []string `json:"exclusions,omitempty"`
}

// key tells libraries apart.
func (l library) key() string {
	switch {
	case l.PyPI != nil:
		return "pypi " + l.PyPI.Package + " " + l.PyPI.Repo
	case l.Maven != nil:
		return "maven " + l.Maven.Coordinates + " " + l.Maven.Repo + " " + strings.Join(sorted(l.Maven.Exclusions), ",")
	case l.Jar != "":
		return "jar " + l.Jar
	}
	return "whl " + l.Other
}

// libraryStatus is how far a library is (docs.databricks.com/api/azure/workspace/libraries/clusterstatus).
type libraryStatus struct {
	Library  library  `json:"library"`
	Status   string   `json:"status"`
	Messages []string `json:"messages"`
	ForAll   bool     `json:"is_library_for_all_clusters"`
}

func (s libraryStatus) leaving() bool { return s.Status == "UNINSTALL_ON_RESTART" }

func (s libraryStatus) installed() bool {
	return s.Status == "INSTALLED" || s.Status == "SKIPPED" || s.Status == "RESTORED"
}

func wantedLibraries(l flowehr.Libraries) []library {
	var out []library
	for _, p := range l.PyPI {
		out = append(out, library{PyPI: &pypiLibrary{Package: p.Package, Repo: p.Repo}})
	}
	for _, m := range l.Maven {
		out = append(out, library{Maven: &mavenLibrary{Coordinates: m.Coordinates, Repo: m.Repo, Exclusions: m.Exclusions}})
	}
	for _, j := range l.Jar {
		out = append(out, library{Jar: j})
	}
	return out
}

func keys(list []library) []string {
	out := make([]string, len(list))
	for i, l := range list {
		out[i] = l.key()
	}
	return out
}

// libraryStatuses lists the libraries of one cluster, without those that every cluster of the workspace gets.
func (m clusterMinder) libraryStatuses(ctx context.Context, workspace azure.Value, id string) ([]libraryStatus, error) {
	var list struct {
		Statuses []libraryStatus `json:"library_statuses"`
	}
	err := m.get(ctx, workspace, librariesPath+"cluster-status?cluster_id="+url.QueryEscape(id), &list)
	return slices.DeleteFunc(list.Statuses, func(s libraryStatus) bool { return s.ForAll }), err
}

// ensureLibraries starts the cluster, makes its libraries those that are described and waits until they are installed:
// a package that cannot be installed is to fail a deployment, not the first run at night.
func (m clusterMinder) ensureLibraries(ctx context.Context, s azure.ClusterSpec, id string, fresh bool, t task) error {
	if err := m.start(ctx, s, id, fresh, t); err != nil {
		return err
	}
	have, err := m.libraryStatuses(ctx, s.Workspace, id)
	if err != nil {
		return err
	}
	want := wantedLibraries(s.Libraries)
	add, drop := libraryChanges(have, want)
	if len(add) > 0 {
		t.in.Note(fmt.Sprintf("installing %d libraries", len(add)))
		if err := m.post(ctx, s.Workspace, librariesPath+"install", map[string]any{"cluster_id": id, "libraries": add}, nil); err != nil {
			return err
		}
	}
	if len(drop) > 0 {
		if err := m.post(ctx, s.Workspace, librariesPath+"uninstall", map[string]any{"cluster_id": id, "libraries": drop}, nil); err != nil {
			return err
		}
	}
	if len(drop) > 0 || slices.ContainsFunc(have, libraryStatus.leaving) {
		t.in.Note("restarting it, so that libraries leave")
		if err := m.post(ctx, s.Workspace, clustersPath+"restart", map[string]string{"cluster_id": id}, nil); err != nil {
			return err
		}
		if err := m.start(ctx, s, id, true, t); err != nil {
			return err
		}
	}
	return m.installed(ctx, s, id, keys(want))
}

// libraryChanges returns what to install and what to uninstall. A library that failed before is installed again.
func libraryChanges(have []libraryStatus, want []library) (add, drop []library) {
	stands := map[string]bool{}
	wanted := setOf(keys(want))
	for _, s := range have {
		key := s.Library.key()
		switch {
		case !wanted[key] && !s.leaving():
			drop = append(drop, s.Library)
		case wanted[key] && !s.leaving() && s.Status != "FAILED":
			stands[key] = true
		}
	}
	for _, l := range want {
		if !stands[l.key()] {
			add = append(add, l)
		}
	}
	return add, drop
}

func (m clusterMinder) installed(ctx context.Context, s azure.ClusterSpec, id string, want []string) error {
	return until(ctx, m.c, "install the libraries of cluster "+s.Name, libraryPause, libraryLimit, func() (bool, error) {
		have, err := m.libraryStatuses(ctx, s.Workspace, id)
		if err != nil {
			return false, err
		}
		wanted, done := setOf(want), 0
		for _, l := range have {
			if !wanted[l.Library.key()] {
				continue
			}
			if l.Status == "FAILED" {
				return false, fmt.Errorf("library %s cannot be installed: %s", l.Library.key(), strings.Join(l.Messages, "; "))
			}
			if l.installed() {
				done++
			}
		}
		return done >= len(wanted), nil
	})
}

// start brings the cluster up, again when it ended for a reason that passes. Why one ended that this run did not begin says
// nothing: it may have been idle, and what was wrong with it may have been put right since.
func (m clusterMinder) start(ctx context.Context, s azure.ClusterSpec, id string, begun bool, t task) error {
	for starts := 0; ; starts++ {
		now, err := m.settled(ctx, s, id)
		if err != nil || now.State == stateRunning {
			return err
		}
		if begun {
			if !now.Reason.passing() {
				return fmt.Errorf("cluster %s ended: %s", s.Name, now.Reason)
			}
			if starts >= clusterStarts {
				return &passingError{after: time.Minute, err: fmt.Errorf("cluster %s ended after %d starts: %s", s.Name, starts, now.Reason)}
			}
			t.in.Note(fmt.Sprintf("ended (%s), starting it again", now.Reason.Code))
		}
		if err := m.post(ctx, s.Workspace, clustersPath+"start", map[string]string{"cluster_id": id}, nil); err != nil {
			return err
		}
		begun = true
	}
}

// describeLibraries returns the libraries as they stand: as described when they are the same, whatever their order.
func (m clusterMinder) describeLibraries(ctx context.Context, s azure.ClusterSpec, id string) (flowehr.Libraries, error) {
	have, err := m.libraryStatuses(ctx, s.Workspace, id)
	if err != nil {
		return flowehr.Libraries{}, err
	}
	var list []library
	for _, st := range have {
		if !st.leaving() && st.Status != "FAILED" {
			list = append(list, st.Library)
		}
	}
	if sameSet(keys(list), keys(wantedLibraries(s.Libraries))) {
		return s.Libraries, nil
	}
	slices.SortFunc(list, func(a, b library) int { return strings.Compare(a.key(), b.key()) })
	var out flowehr.Libraries
	for _, l := range list {
		switch {
		case l.PyPI != nil:
			out.PyPI = append(out.PyPI, flowehr.PyPILibrary{Package: l.PyPI.Package, Repo: l.PyPI.Repo})
		case l.Maven != nil:
			out.Maven = append(out.Maven, flowehr.MavenLibrary{Coordinates: l.Maven.Coordinates, Repo: l.Maven.Repo, Exclusions: l.Maven.Exclusions})
		default:
			out.Jar = append(out.Jar, l.Jar+l.Other)
		}
	}
	return out, nil
}
