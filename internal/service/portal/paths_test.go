package portal

import "testing"

func TestPathsNest(t *testing.T) {
	for _, tt := range []struct{ path, parent string }{
		{"/Copy", ""},
		{"/Each[17]/Copy", "/Each"},
		{"/Loop{2}/Poll", "/Loop"},
		{"/Check?true/Stop", "/Check"},
		{"/Kind?=a{1}/Read", "/Kind"},
		{"/Kind?default/Read", "/Kind"},
		{"/Each[3]/Check?false/Copy", "/Each[3]/Check"},
		{"/Copy {all}/X", "/Copy {all}"},
	} {
		t.Run(tt.path, func(t *testing.T) {
			if got := parentPath(tt.path); got != tt.parent {
				t.Errorf("parentPath = %q, want %q", got, tt.parent)
			}
			if tt.parent != "" && !within(tt.path, tt.parent) {
				t.Errorf("%q is not within %q", tt.path, tt.parent)
			}
		})
	}
	if within("/Copy table/X", "/Copy") {
		t.Error("a name that begins like another counts as inside it")
	}
}

func TestRowsKeepBranchesUnderTheirContainer(t *testing.T) {
	got := rows([]ActivityRun{{Path: "/Check"}, {Path: "/Check?true/Each"}, {Path: "/Check?true/Each[4]/Copy"}, {Path: "/Loop"}, {Path: "/Loop{1}/Poll"}}, true)
	want := []struct {
		path  string
		depth int
		place string
	}{{"/Check", 0, ""}, {"/Check?true/Each", 1, "true"}, {"/Check?true/Each[4]/Copy", 2, "4"}, {"/Loop", 0, ""}, {"/Loop{1}/Poll", 1, "1"}}
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i, w := range want {
		if got[i].Path != w.path || got[i].Depth != w.depth || got[i].Place != w.place {
			t.Errorf("row %d is %q, depth %d, place %q; want %+v", i, got[i].Path, got[i].Depth, got[i].Place, w)
		}
	}
}
