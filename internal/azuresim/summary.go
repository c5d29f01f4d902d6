package azuresim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Summary counts what stands, for tests and for people.
type Summary struct {
	Resources map[string]int `json:"resources"` // by type
	Stacks    []string       `json:"stacks"`
	Deleted   []string       `json:"deleted"` // softly
	Running   []string       `json:"running"` // operations
}

// Summary tells what stands in the simulated world.
func (s *Sim) Summary() Summary {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return s.summary()
}

func (s *Sim) summary() Summary {
	out := Summary{Resources: map[string]int{}}
	for _, r := range s.w.Manager.Resources {
		out.Resources[r.Type]++
	}
	for _, st := range s.w.Manager.Stacks {
		out.Stacks = append(out.Stacks, st.Name)
	}
	for _, r := range s.w.Manager.Deleted {
		out.Deleted = append(out.Deleted, r.ID)
	}
	for _, o := range s.w.Operations {
		if o.Ended.IsZero() {
			out.Running = append(out.Running, o.Subject)
		}
	}
	for _, l := range [][]string{out.Stacks, out.Deleted, out.Running} {
		slices.Sort(l)
	}
	return out
}

// Leftovers lists what stands besides what every new world has; softly deleted things do not count. After everything was
// destroyed it is empty.
func (s *Sim) Leftovers() []string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var out []string
	for _, r := range s.w.Manager.Resources {
		if !s.manager.original(r) {
			out = append(out, r.ID)
		}
	}
	for _, st := range s.w.Manager.Stacks {
		out = append(out, st.ID)
	}
	slices.Sort(out)
	return out
}

// original reports whether a resource is one of the first role assignments, or was put there from outside.
func (m *manager) original(r *resource) bool {
	return r.By == elsewhere || strings.EqualFold(r.Type, typeAssignment) && r.Name == uuidOf(m.w.seed, "first grant", r.By, guidOf(textAt(r.Want, "properties", "roleDefinitionId")))
}

func guidOf(definition string) string {
	return strings.ToLower(definition[strings.LastIndexByte(definition, '/')+1:])
}

// Troubles lists what must never be: two things where there may be one, and things that belong to something that does not
// stand.
func (s *Sim) Troubles() []string {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	var out []string
	grants := map[string]string{}
	for _, k := range slices.Sorted(maps.Keys(s.w.Manager.Resources)) {
		r := s.w.Manager.Resources[k]
		if parent := parentID(r.ID); parent != "" && s.w.Manager.Resources[key(parent)] == nil {
			out = append(out, fmt.Sprintf("%s has no parent", r.ID))
		}
		t, _ := parseTarget(r.ID)
		if strings.Contains(strings.ToLower(t.Scope), "/providers/") && s.w.Manager.Resources[key(t.Scope)] == nil {
			out = append(out, fmt.Sprintf("%s is on nothing", r.ID))
		}
		if r.Stack != "" && s.w.Manager.Stacks[r.Stack] == nil {
			out = append(out, fmt.Sprintf("%s belongs to a stack that does not stand", r.ID))
		}
		if !strings.EqualFold(r.Type, typeAssignment) {
			continue
		}
		p := objectAt(r.Want, "properties")
		who := textAt(p, "principalId")
		if s.w.Directory.principal(who) == nil {
			out = append(out, fmt.Sprintf("%s is for somebody who does not exist", r.ID))
		}
		grant := key(t.Scope) + " " + guidOf(textAt(p, "roleDefinitionId")) + " " + who
		if grants[grant] != "" {
			out = append(out, fmt.Sprintf("%s and %s grant the same", r.ID, grants[grant]))
		}
		grants[grant] = r.ID
	}
	return out
}
