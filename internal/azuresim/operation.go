package azuresim

import (
	"encoding/json"
	"time"
)

// operation is work that goes on after its request was answered, as clients of Azure poll for.
type operation struct {
	ID      string          `json:"id"`
	Subject string          `json:"subject"` // what it works on
	Started time.Time       `json:"started"`
	Next    time.Time       `json:"next"`    // when it is worth asking again
	Version int             `json:"version"` // counts visible progress
	Ended   time.Time       `json:"ended,omitzero"`
	Error   *serviceError   `json:"error,omitempty"`
	Status  int             `json:"status,omitempty"` // with which the Location answers at the end
	Result  json.RawMessage `json:"result,omitempty"`
}

// begin starts an operation that will tell of itself at the latest when d has passed.
func (w *world) begin(subject string, d time.Duration) *operation {
	o := &operation{ID: w.newID(), Subject: subject, Started: w.now(), Next: w.now().Add(d)}
	w.Operations[o.ID] = o
	w.dirty()
	return o
}

// progress makes polls of o answer, and be held afresh until next.
func (w *world) progress(o *operation, next time.Time) {
	o.Version++
	o.Next = next
	w.dirty()
}

// finish ends o. result is what its Location answers with, nil for nothing.
func (w *world) finish(o *operation, result any, failure *serviceError) {
	o.Version++
	o.Ended, o.Error = w.now(), failure
	if result != nil {
		o.Result = mustJSON(result)
	}
	w.dirty()
}

// poll is what an Azure-AsyncOperation address answers. The call is held until something can be told.
func (w *world) poll(c *call, id string) answer {
	o := w.Operations[id]
	if o == nil {
		return fail(404, "OperationNotFound", "The operation '%s' could not be found.", id)
	}
	if c.Again == 0 {
		c.seen = o.Version
	}
	body := map[string]any{"id": c.Path, "name": o.ID, "status": "Running", "startTime": stamp(o.Started)}
	switch {
	case o.Ended.IsZero() && o.Version == c.seen && o.Next.After(w.now()):
		return hold(o.Next)
	case o.Ended.IsZero():
		return ok(body).with("retry-after-ms", "1")
	}
	body["endTime"], body["status"] = stamp(o.Ended), "Succeeded"
	if o.Error != nil {
		body["status"], body["error"] = "Failed", o.Error
	}
	return ok(body)
}

// locate is what a Location address answers: 202 until the end, then the result.
func (w *world) locate(c *call, id string) answer {
	o := w.Operations[id]
	if o == nil {
		return fail(404, "OperationNotFound", "The operation '%s' could not be found.", id)
	}
	if c.Again == 0 {
		c.seen = o.Version
	}
	switch {
	case o.Ended.IsZero() && o.Version == c.seen && o.Next.After(w.now()):
		return hold(o.Next)
	case o.Ended.IsZero():
		return reply(202, nil).with("Location", c.base()+c.Path+"?"+c.Query.Encode()).with("retry-after-ms", "1")
	case o.Error != nil:
		return reply(max(o.Status, 400), errorBody{*o.Error}).with("x-ms-error-code", o.Error.Code)
	case o.Result == nil:
		return reply(204, nil)
	}
	return raw(200, "application/json; charset=utf-8", o.Result)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.0000000Z") }

func mustJSON(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil { // of our own types
		panic("azuresim: " + err.Error())
	}
	return b
}
