package factory

import (
	"fmt"
	"unicode/utf8"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/factory/expr"
)

// Limits of Data Factory (adf.md sections 1.1, 1.2 and 1.6).
const (
	maxPipelineName   = 140
	maxActivityName   = 55
	maxActivities     = 120
	maxParameters     = 50
	maxExpression     = 8192
	maxActivityBytes  = 896 << 10
	maxPipelineBytes  = 200 << 10
	maxSwitchCases    = 25
	maxUserProperties = 5
)

// AzureLimits warns of what runs here and is refused by Azure because it is too large.
func AzureLimits(b Bundle) []flowehr.Diagnostic {
	l := &limits{decoder{file: b.Pipeline.File}}
	p := b.Pipeline
	count := 0
	Walk(p.Activities, func(a Activity, _ []Activity) {
		count++
		l.activity(a)
	})
	l.over("", utf8.RuneCountInString(p.Name), maxPipelineName, "the name of pipeline %q has", p.Name, "characters")
	l.over("/properties/activities", count, maxActivities, "pipeline %q has", p.Name, "activities, inner ones included")
	l.over("/properties/parameters", len(p.Parameters), maxParameters, "pipeline %q has", p.Name, "parameters")
	if p.Raw != nil {
		l.over("", len(expr.EncodeJSON(p.Raw)), maxPipelineBytes, "the definition of pipeline %q has", p.Name, "bytes")
	}
	flowehr.SortDiagnostics(l.diagnostics)
	return l.diagnostics
}

type limits struct{ decoder }

func (l *limits) activity(a Activity) {
	l.over(a.Pointer+"/name", utf8.RuneCountInString(a.Name), maxActivityName, "the name of activity %q has", a.Name, "characters")
	l.over(a.Pointer+"/userProperties", len(a.UserProperties), maxUserProperties, "activity %q has", a.Name, "user properties")
	l.over(a.Pointer, len(expr.EncodeJSON(a.Properties)), maxActivityBytes, "the properties of activity %q have", a.Name, "bytes")
	if a.Type == "Switch" {
		cases := 0
		for _, b := range a.Branches {
			if !b.Default {
				cases++
			}
		}
		l.over(a.Pointer+"/typeProperties/cases", cases, maxSwitchCases, "Switch %q has", a.Name, "cases")
	}
	l.texts(a.Properties, a.Pointer+"/typeProperties", a.Name)
}

func (l *limits) texts(v expr.Value, pointer, name string) {
	switch v := v.(type) {
	case string:
		if x, err := expr.Parse(v); x != nil && err == nil {
			l.over(pointer, utf8.RuneCountInString(v), maxExpression, "an expression of activity %q has", name, "characters")
		}
	case []expr.Value:
		for i, e := range v {
			l.texts(e, child(pointer, i), name)
		}
	case *expr.Object:
		for k, e := range v.All() {
			l.texts(e, child(pointer, k), name)
		}
	}
}

func (l *limits) over(pointer string, n, limit int, subject, name, unit string) {
	if n > limit {
		l.warn(pointer, "%s %d %s: this runs here, Azure allows %d", fmt.Sprintf(subject, name), n, unit, limit)
	}
}
