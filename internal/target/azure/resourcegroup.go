package azure

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// KindResourceGroup is a resource group that no stack owns any more. It is never wanted: an [Inventory] finds it, so that it
// can be taken away.
const KindResourceGroup = "resource-group"

const typeGroup = "Microsoft.Resources/resourceGroups"

type resourceGroupSpec struct {
	Name string `json:"name"`
}

type resourceGroupKeeper struct{ t *Target }

func (k resourceGroupKeeper) path(name string) string {
	version, _ := arm.Version(typeGroup)
	return cloud.At(arm.GroupID(k.t.o.Client.Subscription(), name), version)
}

func (resourceGroupKeeper) ensure(_ context.Context, r flowehr.Resource, _ *flowehr.Record, _ apply.Inputs) (made, error) {
	return made{}, fmt.Errorf("%s is made by its stack, not by itself", r.Ref)
}

func (k resourceGroupKeeper) read(ctx context.Context, r flowehr.Resource, _ string) (json.RawMessage, made, error) {
	s, err := decodeSpec[resourceGroupSpec](r)
	if err != nil {
		return nil, made{}, err
	}
	err = k.t.o.Client.Get(ctx, cloud.ARM(), k.path(s.Name), nil)
	if cloud.NotFound(err) {
		return nil, made{}, gone("resource group %s", s.Name)
	}
	return r.Spec, made{id: arm.GroupID(k.t.o.Client.Subscription(), s.Name)}, err
}

func (k resourceGroupKeeper) remove(ctx context.Context, r flowehr.Resource, _ string) error {
	s, err := decodeSpec[resourceGroupSpec](r)
	if err != nil {
		return err
	}
	_, err = k.t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodDelete, Path: k.path(s.Name)})
	if cloud.NotFound(err) {
		return nil
	}
	return err
}
