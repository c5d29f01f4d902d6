package azure

import (
	"bytes"
	"context"
	"encoding/json"
	"reflect"
	"sync"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
)

var _ apply.Target = (*Target)(nil)

// Read returns rec as it stands now. A record without ID is looked up by name, with the outputs that it refers to looked up in
// the same way.
func (t *Target) Read(ctx context.Context, rec flowehr.Record) (flowehr.Record, error) {
	k, err := t.keeper(rec.Resource.Ref.Kind)
	if err != nil {
		return flowehr.Record{}, err
	}
	r := rec.Resource
	r.Spec = t.filled(ctx, r.Spec)
	now, m, err := k.read(ctx, r, rec.ID)
	if err != nil {
		return flowehr.Record{}, err
	}
	t.lookups.put(r.Ref, m.outputs)
	if rec.Resource.Spec, err = project(rec.Resource.Spec, r.Spec, now); err != nil {
		return flowehr.Record{}, err
	}
	rec.ID, rec.Outputs = m.id, m.outputs
	return rec, nil
}

// filled fills in the outputs that are recorded, were seen by this target, or can be found; the others stay as they are written.
func (t *Target) filled(ctx context.Context, spec json.RawMessage) json.RawMessage {
	filled, err := flowehr.ReplaceOutputs(spec, func(o flowehr.OutputRef) (any, error) {
		if v := t.output(ctx, o); v != "" {
			return v, nil
		}
		return o, nil
	})
	if err != nil {
		return spec
	}
	return filled
}

// output returns the value of an output, empty when it is not known.
func (t *Target) output(ctx context.Context, o flowehr.OutputRef) string {
	if v := t.recorded(o); v != "" {
		return v
	}
	outs := t.lookups.get(o.Ref, func() (map[string]string, bool) { return t.find(ctx, o.Ref) })
	return outs[o.Name]
}

// find reads a wanted resource that nothing is recorded of. Needs have no circle, so neither has this.
func (t *Target) find(ctx context.Context, ref flowehr.Ref) (map[string]string, bool) {
	for _, r := range t.o.Wanted {
		if r.Ref != ref {
			continue
		}
		k, err := t.keeper(ref.Kind)
		if err != nil {
			return nil, false
		}
		r.Spec = t.filled(ctx, r.Spec)
		_, m, err := k.read(ctx, r, "")
		return m.outputs, err == nil
	}
	return nil, false
}

// lookups are outputs that were seen in this process. Each is looked for once at a time. The zero value is empty.
type lookups struct {
	mu   sync.Mutex
	seen map[flowehr.Ref]*lookup
}

type lookup struct {
	mu      sync.Mutex
	known   bool
	outputs map[string]string
}

func (l *lookups) of(ref flowehr.Ref) *lookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[flowehr.Ref]*lookup{}
	}
	if l.seen[ref] == nil {
		l.seen[ref] = &lookup{}
	}
	return l.seen[ref]
}

// get returns what was seen of ref, or what find finds. What was not found is looked for again the next time.
func (l *lookups) get(ref flowehr.Ref, find func() (map[string]string, bool)) map[string]string {
	one := l.of(ref)
	one.mu.Lock()
	defer one.mu.Unlock()
	if !one.known {
		one.outputs, one.known = find()
	}
	return one.outputs
}

func (l *lookups) put(ref flowehr.Ref, outputs map[string]string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.seen == nil {
		l.seen = map[flowehr.Ref]*lookup{}
	}
	l.seen[ref] = &lookup{known: true, outputs: outputs}
}

func (l *lookups) drop(ref flowehr.Ref) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.seen, ref)
}

// project returns what stands in the words of the description that was recorded: wherever a part of it, with outputs filled
// in, is what stands, the recorded form remains, so that a reference to an output is no difference. What a service adds of its
// own is left out by the keeper, which alone can tell it from a change.
func project(recorded, filled, now json.RawMessage) (json.RawMessage, error) {
	if bytes.Equal(filled, now) {
		return recorded, nil
	}
	var trees [3]any
	for i, raw := range []json.RawMessage{recorded, filled, now} {
		if err := decodeNumbers(raw, &trees[i]); err != nil {
			return nil, err
		}
	}
	return flowehr.Canonical(projected(trees[0], trees[1], trees[2]))
}

func projected(recorded, filled, now any) any {
	if reflect.DeepEqual(filled, now) {
		return recorded
	}
	switch n := now.(type) {
	case map[string]any:
		r, ok := recorded.(map[string]any)
		f, ok2 := filled.(map[string]any)
		if !ok || !ok2 {
			return now
		}
		out := make(map[string]any, len(n))
		for key, v := range n {
			if fv, stood := f[key]; stood {
				v = projected(r[key], fv, v)
			}
			out[key] = v
		}
		return out
	case []any:
		r, ok := recorded.([]any)
		f, ok2 := filled.([]any)
		if !ok || !ok2 {
			return now
		}
		out := make([]any, len(n))
		for i, v := range n {
			if i < len(f) {
				v = projected(r[i], f[i], v)
			}
			out[i] = v
		}
		return out
	}
	return now
}

func decodeNumbers(raw json.RawMessage, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	return dec.Decode(into)
}
