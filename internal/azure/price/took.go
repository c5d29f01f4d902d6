package price

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/pace"
)

// worthSaying is the shortest time that a person wants to know of beforehand.
const worthSaying = 10 * time.Second

// Refine returns p with its estimate and, for the steps that take a while, how long each usually takes.
func Refine(p flowehr.Plan) flowehr.Plan {
	e := Estimate(p)
	p.Estimate = &e
	p.Steps = slices.Clone(p.Steps)
	for i := range p.Steps {
		if d := stepTook(p.Steps[i]); d >= worthSaying {
			p.Steps[i].Expected = d
		}
	}
	return p
}

// Estimate says what p costs a month, before and after, and how long it takes.
func Estimate(p flowehr.Plan) flowehr.Estimate {
	var before, after []flowehr.Resource
	for _, s := range p.Steps {
		if s.Prior != nil {
			before = append(before, s.Prior.Resource)
		}
		if s.Action != flowehr.Delete {
			after = append(after, s.Want)
		}
	}
	was, will := Of(before), Of(after)
	return flowehr.Estimate{Currency: Currency, Before: was.Monthly, After: will.Monthly, Prices: Edition, Unpriced: will.Unpriced, Took: Took(p)}
}

// Took is how long applying p takes when nothing waits for a free hand: the longest way through its steps.
func Took(p flowehr.Plan) time.Duration {
	ends := map[flowehr.Ref]time.Duration{}
	var last time.Duration
	for _, s := range p.Steps { // needs stand before what needs them
		var begin time.Duration
		for _, ref := range s.After {
			begin = max(begin, ends[ref])
		}
		ends[s.Want.Ref] = begin + stepTook(s)
		last = max(last, ends[s.Want.Ref])
	}
	return last
}

// readiness is how long it takes until a new Databricks workspace answers.
const readiness = "databricks/ready-after-create"

// clusterStart is how long a cluster takes until its machines run and its libraries are on them. No figure was published; people who
// use them speak of four to seven minutes.
const clusterStart = 5 * time.Minute

// oneRequest is what a step costs that is a few requests to a directory, a vault or a repository.
const oneRequest = 2 * time.Second

// unchanged is what ARM needs to find that a resource of a template is as it should be.
const unchanged = 2 * time.Second

func stepTook(s flowehr.Step) time.Duration {
	switch {
	case s.Action == flowehr.Keep:
		return 0
	case s.Want.Ref.Kind == azure.KindWorkspace && s.Action == flowehr.Create:
		d, _, _ := pace.Of(readiness)
		return d
	case s.Want.Ref.Kind == azure.KindCluster && s.Action == flowehr.Create:
		return clusterStart
	case s.Want.Ref.Kind != azure.KindStack:
		return oneRequest
	}
	var spec azure.StackSpec
	if json.Unmarshal(s.Want.Spec, &spec) != nil {
		return oneRequest
	}
	changing := map[string]bool{}
	for _, part := range s.Parts {
		changing[part.Kind+" "+part.Name] = part.Action != flowehr.Keep
	}
	return templateTook(spec.Template, func(typ, name string) time.Duration {
		if moves, known := changing[typ+" "+name]; known && !moves {
			return unchanged
		}
		d, _, _ := pace.Of(typ)
		return d
	})
}

// templateTook is the longest way through the resources of a template.
func templateTook(raw json.RawMessage, one func(typ, name string) time.Duration) time.Duration {
	var t struct {
		Resources map[string]struct {
			Type, Name string
			DependsOn  []string
			Properties json.RawMessage
		}
	}
	if json.Unmarshal(raw, &t) != nil {
		return 0
	}
	ends := map[string]time.Duration{}
	var end func(symbol string) time.Duration
	end = func(symbol string) time.Duration {
		if d, ok := ends[symbol]; ok {
			return d
		}
		ends[symbol] = 0 // a circle, which ARM refuses, ends here
		r := t.Resources[symbol]
		var begin time.Duration
		for _, need := range r.DependsOn {
			begin = max(begin, end(need))
		}
		var own time.Duration
		if r.Type == "Microsoft.Resources/deployments" {
			var nested struct{ Template json.RawMessage }
			if json.Unmarshal(r.Properties, &nested) == nil {
				own = templateTook(nested.Template, one)
			}
		} else {
			own = one(r.Type, r.Name)
		}
		ends[symbol] = begin + own
		return begin + own
	}
	var last time.Duration
	for symbol := range t.Resources {
		last = max(last, end(symbol))
	}
	return last
}
