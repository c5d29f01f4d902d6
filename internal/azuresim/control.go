package azuresim

import (
	"net/http"
	"time"
)

// atLeast is the shortest wait in which virtual time passes. Shorter ones are pauses between polls, which are held anyway.
const atLeast = 10 * time.Millisecond

// control answers the control host: it is how clients in other processes share virtual time, and how tests look into the
// world.
func (s *Sim) control(c *call) answer {
	switch c.Method + " " + c.Path {
	case "GET /now":
		return ok(map[string]any{"now": s.w.now()})
	case "POST /wait":
		var in struct {
			Nanoseconds time.Duration `json:"nanoseconds"`
		}
		if err := c.decode(&in); err != nil {
			return fail(http.StatusBadRequest, "BadRequest", "%v", err)
		}
		if c.Again == 0 && in.Nanoseconds > atLeast {
			return hold(s.w.now().Add(in.Nanoseconds))
		}
		return ok(map[string]any{"now": s.w.now()})
	case "GET /world":
		s.w.Now = s.w.now()
		return ok(map[string]any{"state": &s.w.state, "parts": parts{s.w.Manager.Resources, s.w.Manager.Stacks}})
	case "GET /summary":
		return ok(s.summary())
	case "POST /stand":
		var in struct {
			ID   string `json:"id"`
			Body object `json:"body"`
		}
		err := c.decode(&in)
		if err == nil {
			err = s.manager.stand(in.ID, in.Body)
		}
		if err != nil {
			return fail(http.StatusBadRequest, "BadRequest", "%v", err)
		}
		s.w.dirty()
		return ok(nil)
	case "POST /origin":
		var in struct {
			Network string `json:"network"`
		}
		if err := c.decode(&in); err != nil {
			return fail(http.StatusBadRequest, "BadRequest", "%v", err)
		}
		s.manager.origin = origin{said: true, network: in.Network}
		return ok(nil)
	case "POST /metastores":
		var in Metastore
		err := c.decode(&in)
		if err == nil {
			err = s.standMetastore(in)
		}
		if err != nil {
			return fail(http.StatusBadRequest, "BadRequest", "%v", err)
		}
		s.w.dirty()
		return ok(nil)
	case "POST /account-groups":
		var in struct{ Account, Name string }
		err := c.decode(&in)
		if err == nil {
			err = s.standGroup(in.Account, in.Name)
		}
		if err != nil {
			return fail(http.StatusBadRequest, "BadRequest", "%v", err)
		}
		s.w.dirty()
		return ok(nil)
	case "POST /faults":
		var in Faults
		if err := c.decode(&in); err != nil {
			return fail(http.StatusBadRequest, "BadRequest", "%v", err)
		}
		s.faults.reset(in)
		return ok(in)
	case "POST /conditions":
		var in Conditions
		if err := c.decode(&in); err != nil {
			return fail(http.StatusBadRequest, "BadRequest", "%v", err)
		}
		s.manager.conditions = in
		return ok(in)
	}
	return fail(http.StatusNotFound, "NotFound", "The simulation's control has no %s %s.", c.Method, c.Path)
}
