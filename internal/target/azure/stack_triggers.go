package azure

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/arm"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

const typeTrigger = "Microsoft.DataFactory/factories/triggers"

// runningTriggers lists the ids of the started triggers of a factory.
func (t *Target) runningTriggers(ctx context.Context, factory string) ([]string, error) {
	version, _ := arm.Version(typeTrigger)
	var out []string
	err := t.o.Client.Pages(ctx, cloud.ARM(), cloud.At(factory+"/triggers", version), func(raw json.RawMessage) error {
		var tr struct {
			ID         string
			Properties struct {
				State string `json:"runtimeState"`
			}
		}
		err := json.Unmarshal(raw, &tr)
		if strings.EqualFold(tr.Properties.State, "Started") {
			out = append(out, tr.ID)
		}
		return err
	})
	return out, none(err)
}

// stopTriggers stops the started triggers that are about to be written or deleted: Data Factory refuses to change one that is
// started.
func (t *Target) stopTriggers(ctx context.Context, now standing, want []part, in apply.Inputs) error {
	touched := map[string]string{} // lower-case id → id
	for _, p := range want {
		if strings.EqualFold(p.typ, typeTrigger) {
			touched[strings.ToLower(p.id)] = p.id
		}
	}
	for _, r := range now.Properties.Resources {
		if strings.Contains(strings.ToLower(r.ID), "/microsoft.datafactory/factories/") && strings.Contains(strings.ToLower(r.ID), "/triggers/") {
			touched[strings.ToLower(r.ID)] = r.ID
		}
	}
	factories := map[string]bool{}
	for _, id := range touched {
		factories[factoryOf(id)] = true
	}
	for factory := range factories {
		running, err := t.runningTriggers(ctx, factory)
		if err != nil {
			return fmt.Errorf("list triggers: %w", err)
		}
		for _, id := range running {
			if touched[strings.ToLower(id)] == "" {
				continue
			}
			in.Note("stopping trigger " + nameOf(id) + " while it is changed")
			if err := t.switchTrigger(ctx, id, "stop"); err != nil {
				return err
			}
		}
	}
	return nil
}

// startTriggers starts those triggers of the template again that are recorded as ours and wanted started: the step that
// starts one does not come again when only the rest of the pipelines changed.
func (t *Target) startTriggers(ctx context.Context, parts []part, in apply.Inputs) error {
	if t.o.Outputs == nil {
		return nil
	}
	inTemplate := map[string]bool{}
	for _, p := range parts {
		inTemplate[strings.ToLower(p.id)] = strings.EqualFold(p.typ, typeTrigger)
	}
	for _, r := range t.o.Wanted {
		if r.Ref.Kind != azure.KindTrigger {
			continue
		}
		var s azure.TriggerSpec
		if err := json.Unmarshal(t.filled(ctx, r.Spec), &s); err != nil {
			return fmt.Errorf("description of %s: %w", r.Ref, err)
		}
		id := s.Factory + "/triggers/" + s.Name
		if _, recorded := t.o.Outputs(r.Ref); !recorded || !s.Started || !inTemplate[strings.ToLower(id)] {
			continue
		}
		in.Note("starting trigger " + s.Name + " again")
		if err := t.switchTrigger(ctx, id, "start"); err != nil {
			return err
		}
	}
	return nil
}

// switchTrigger starts or stops a trigger. Data Factory accepts it for one that is so already.
func (t *Target) switchTrigger(ctx context.Context, id, action string) error {
	version, _ := arm.Version(typeTrigger)
	_, err := t.o.Client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: cloud.At(id+"/"+action, version), Repeats: true})
	if cloud.NotFound(err) && action == "stop" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s trigger %s: %w", action, nameOf(id), err)
	}
	return nil
}

func factoryOf(id string) string {
	if i := strings.Index(strings.ToLower(id), "/triggers/"); i >= 0 {
		return id[:i]
	}
	return id
}

func nameOf(id string) string { return id[strings.LastIndex(id, "/")+1:] }
