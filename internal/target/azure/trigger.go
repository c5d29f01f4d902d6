package azure

import (
	"context"
	"net/http"
	"time"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// triggerMinder looks after whether a trigger of Data Factory is started. The trigger itself belongs to a stack, which can
// change or delete only one that is stopped.
type triggerMinder struct{ c *cloud.Client }

const (
	triggerStarted = "Started"
	triggerType    = "Microsoft.DataFactory/factories/triggers"
	triggerPause   = 5 * time.Second
	triggerLimit   = 10 * time.Minute
)

func triggerID(s azure.TriggerSpec) string { return s.Factory + "/triggers/" + s.Name }

func (m triggerMinder) started(ctx context.Context, s azure.TriggerSpec) (bool, error) {
	var t struct {
		Properties struct {
			State string `json:"runtimeState"`
		} `json:"properties"`
	}
	err := m.c.Get(ctx, cloud.ARM(), versioned(triggerID(s), triggerType), &t)
	return t.Properties.State == triggerStarted, err
}

// turn starts or stops the trigger and waits until it says so. A trigger on events has to be subscribed first, which takes
// minutes.
func (m triggerMinder) turn(ctx context.Context, s azure.TriggerSpec, on bool) error {
	action := "stop"
	if on {
		action = "start"
	}
	_, err := m.c.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: versioned(triggerID(s)+"/"+action, triggerType), Repeats: true})
	if err != nil {
		return err
	}
	return until(ctx, m.c, action+" trigger "+s.Name, triggerPause, triggerLimit, func() (bool, error) {
		started, err := m.started(ctx, s)
		return started == on, err
	})
}

// ensure stops a started trigger whose definition has changed before it starts it again: a trigger goes by the definition
// that it was started with.
func (m triggerMinder) ensure(ctx context.Context, s azure.TriggerSpec, t task) (made, error) {
	started, err := m.started(ctx, s)
	if err != nil {
		return made{}, err
	}
	if started && s.Started && m.changed(s, t) {
		if err := m.turn(ctx, s, false); err != nil {
			return made{}, err
		}
		started = false
	}
	if started != s.Started {
		err = m.turn(ctx, s, s.Started)
	}
	return made{id: triggerID(s)}, err
}

func (m triggerMinder) changed(s azure.TriggerSpec, t task) bool {
	if t.prior == nil {
		return false
	}
	before, err := decodeSpec[azure.TriggerSpec](t.prior.Resource)
	return err != nil || before.Digest != s.Digest
}

func (m triggerMinder) read(ctx context.Context, s azure.TriggerSpec, _ string) (azure.TriggerSpec, made, error) {
	started, err := m.started(ctx, s)
	if cloud.NotFound(err) {
		return s, made{}, gone("trigger %s", s.Name)
	}
	s.Started = started
	return s, made{id: triggerID(s)}, err
}

// remove stops the trigger, so that its stack can take it away.
func (m triggerMinder) remove(ctx context.Context, s azure.TriggerSpec, _ string) error {
	started, err := m.started(ctx, s)
	if err == nil && started {
		err = m.turn(ctx, s, false)
	}
	return ignoring(cloud.NotFound, err)
}
