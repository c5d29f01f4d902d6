package factory

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/flowehr/flowehr/internal/factory/expr"
)

func recurrence(t testing.TB, s string) Recurrence {
	t.Helper()
	o := expr.NewObject()
	if err := o.UnmarshalJSON([]byte(s)); err != nil {
		t.Fatal(err)
	}
	r, err := Schedule(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecurrenceAtChangesOfClocks(t *testing.T) {
	for _, c := range []struct {
		name, definition, after string
		want                    []string
	}{
		{"a time that clocks jump over", `{"frequency": "Day", "startTime": "2025-03-29T01:30:00", "timeZone": "GMT Standard Time"}`,
			"2025-03-29T12:00:00Z", []string{"2025-03-30T01:00:00Z", "2025-03-31T00:30:00Z"}},
		{"a time that occurs twice fires once", `{"frequency": "Day", "startTime": "2025-10-25T01:30:00", "timeZone": "GMT Standard Time"}`,
			"2025-10-25T12:00:00Z", []string{"2025-10-26T00:30:00Z", "2025-10-27T01:30:00Z"}},
		{"every second week", `{"frequency": "Week", "interval": 2, "startTime": "2024-01-03T08:00:00Z", "schedule": {"weekDays": ["Monday", "Friday"]}}`,
			"2024-01-01T00:00:00Z", []string{"2024-01-05T08:00:00Z", "2024-01-15T08:00:00Z", "2024-01-19T08:00:00Z"}},
		{"months without the day are skipped", `{"frequency": "Month", "startTime": "2024-01-31T00:00:00Z"}`,
			"2024-01-31T00:00:00Z", []string{"2024-03-31T00:00:00Z", "2024-05-31T00:00:00Z"}},
		{"days from the end", `{"frequency": "Month", "startTime": "2024-01-01T06:00:00Z", "schedule": {"monthDays": -1}}`,
			"2024-01-31T06:00:00Z", []string{"2024-02-29T06:00:00Z", "2024-03-31T06:00:00Z"}},
		{"minutes of every second hour", `{"frequency": "Hour", "interval": 2, "startTime": "2024-01-01T01:20:00Z", "schedule": {"minutes": [10, 40]}}`,
			"2024-01-01T00:00:00Z", []string{"2024-01-01T01:40:00Z", "2024-01-01T03:10:00Z"}},
		{"a zone far from UTC", `{"frequency": "Day", "startTime": "2024-01-01T23:30:00", "timeZone": "Hawaiian Standard Time"}`,
			"2024-01-02T09:30:00Z", []string{"2024-01-03T09:30:00Z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := recurrence(t, c.definition)
			at := moment(t, c.after)
			for _, want := range c.want {
				next, ok := r.Next(at)
				if !ok || next.UTC().Format(time.RFC3339) != want {
					t.Fatalf("after %v: %v %v, want %s", at, next.UTC(), ok, want)
				}
				at = next
			}
		})
	}
}

func TestScheduleRefuses(t *testing.T) {
	for _, s := range []string{
		`{}`, `{"frequency": "Year", "startTime": "2024-01-01"}`, `{"frequency": "Day"}`, `{"frequency": "Day", "interval": 0, "startTime": "2024-01-01"}`,
		`{"frequency": "Day", "startTime": "soon"}`, `{"frequency": "Day", "startTime": "2024-01-02", "endTime": "2024-01-01"}`,
		`{"frequency": "Day", "startTime": "2024-01-01", "schedule": {"weekDays": ["Monday"]}}`,
		`{"frequency": "Week", "startTime": "2024-01-01", "schedule": {"weekDays": ["Moonday"]}}`,
		`{"frequency": "Month", "startTime": "2024-01-01", "schedule": {"monthDays": [0]}}`,
		`{"frequency": "Day", "startTime": "2024-01-01", "schedule": {"hours": [24]}}`,
	} {
		o := expr.NewObject()
		if err := o.UnmarshalJSON([]byte(s)); err != nil {
			t.Fatal(err)
		}
		if r, err := Schedule(o); err == nil {
			t.Errorf("%s was accepted: %+v", s, r)
		}
	}
}

// TestNextLaws: a fire is after the moment asked for and not before the start, asking again from just before it gives it
// again, and nothing fires in between.
func TestNextLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		definition := fmt.Sprintf(`{"frequency": %q, "interval": %d, "startTime": "2024-0%d-%02dT%02d:%02d:00", "timeZone": %q}`,
			rapid.SampledFrom([]string{"Minute", "Hour", "Day", "Week", "Month"}).Draw(t, "frequency"), rapid.IntRange(1, 40).Draw(t, "interval"),
			rapid.IntRange(1, 9).Draw(t, "month"), rapid.IntRange(1, 28).Draw(t, "day"), rapid.IntRange(0, 23).Draw(t, "hour"),
			rapid.IntRange(0, 59).Draw(t, "minute"),
			rapid.SampledFrom([]string{"UTC", "GMT Standard Time", "Pacific Standard Time", "AUS Eastern Standard Time"}).Draw(t, "zone"))
		o := expr.NewObject()
		if err := o.UnmarshalJSON([]byte(definition)); err != nil {
			t.Fatal(err)
		}
		r, err := Schedule(o)
		if err != nil {
			t.Fatal(err)
		}
		if first, ok := r.Next(r.Start.Add(-1)); !ok || !first.Equal(r.Start) {
			t.Fatalf("%s: the first fire is %v, want the start %v", definition, first, r.Start)
		}
		after := time.Unix(rapid.Int64Range(1_700_000_000, 1_800_000_000).Draw(t, "after"), 0)
		next, ok := r.Next(after)
		if !ok || !next.After(after) || next.Before(r.Start) {
			t.Fatalf("%s: after %v comes %v %v", definition, after, next, ok)
		}
		between := after.Add(next.Sub(after) / 2)
		for _, at := range []time.Time{between, next.Add(-1)} {
			if again, _ := r.Next(at); !again.Equal(next) {
				t.Fatalf("%s: after %v comes %v, but after %v comes %v", definition, after, next, at, again)
			}
		}
	})
}

func FuzzSchedule(f *testing.F) {
	f.Add([]byte(`{"frequency": "Month", "startTime": "2024-01-31", "schedule": {"monthlyOccurrences": [{"day": "Friday", "occurrence": -5}]}}`))
	f.Add([]byte(`{"frequency": "Hour", "interval": "7", "startTime": "0001-01-01", "schedule": {"minutes": 5, "hours": [3]}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := expr.NewObject()
		if o.UnmarshalJSON(data) != nil {
			return
		}
		r, err := Schedule(o)
		if err != nil {
			return
		}
		after := time.Date(2024, 2, 28, 23, 59, 0, 0, time.UTC)
		if next, ok := r.Next(after); ok && !next.After(after) {
			t.Errorf("%s: %v is not after %v", data, next, after)
		}
	})
}

func FuzzDecodeBundle(f *testing.F) {
	f.Add([]byte(`{"dir":"","project":"main","pipeline":{"name":"p","file":"f","definition":{"properties":{"activities":[]}}},"triggers":[],"datasets":[],"linkedServices":[],"globals":{},"references":{}}`))
	f.Add([]byte(`{"dir":"","project":"","pipeline":{"name":"p","file":"f","definition":{"properties":{"activities":[{"name":"A","type":"Switch","typeProperties":{"cases":[{"value":1,"activities":[{"name":"B","type":"Wait","dependsOn":[{"activity":"B"}]}]}]}}]}}},"triggers":[{"name":"t","file":"","pointer":"","definition":{"properties":{"typeProperties":{}}}}],"datasets":[],"linkedServices":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		b, err := DecodeBundle(data)
		if err != nil {
			return
		}
		Validate(b, Known{})
		AzureLimits(b)
		first, err := b.Encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeBundle(first)
		if err != nil {
			t.Fatalf("%s: %v", first, err)
		}
		if again.Digest() != b.Digest() {
			t.Errorf("%s changed", data)
		}
	})
}
