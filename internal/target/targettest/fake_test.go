package targettest

import (
	"context"
	"testing"

	"github.com/flowehr/flowehr"
)

func TestFakeKeepsTheContract(t *testing.T) {
	Suite(t, func(*testing.T) Subject {
		base := Resource("base", flowehr.LayerCore, Spec{Value: "1", Fixed: "here"})
		uses := func(name, value, fixed string) flowehr.Resource {
			return Resource(name, flowehr.LayerTransform, Spec{Value: value, Fixed: fixed, Secret: "user ${PASSWORD}",
				Uses: []flowehr.OutputRef{{Ref: base.Ref, Name: "value"}}})
		}
		changed := base
		changed.Spec = Resource("base", flowehr.LayerCore, Spec{Value: "2", Fixed: "here"}).Spec
		return Subject{
			Target:    NewFake(),
			Resources: []flowehr.Resource{uses("a", "x", "f"), base, uses("b", "y", "f")},
			Changed:   []flowehr.Resource{uses("a", "z", "f"), changed, uses("b", "y", "g")},
			Replace:   ReplacePointers,
			Secrets: func(context.Context, string) (flowehr.Secret, error) {
				return flowehr.NewSecret("correct horse"), nil
			},
		}
	})
}
