package azuresim

import (
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// siteAction answers what apps and their slots can be asked to do (learn.microsoft.com/rest/api/appservice/web-apps).
func (m *manager) siteAction(c *call, t target) (answer, bool) {
	site := m.at(typeSite, c.Path)
	if site == nil {
		return fail(http.StatusNotFound, "ResourceNotFound", "The Resource '%s' was not found.", t.ID), true
	}
	switch rest := strings.ToLower(t.Rest); {
	case rest == "slotsswap" || rest == "slotsdiffs":
		from, to, refused := m.slots(c, site, t)
		if refused != nil {
			return *refused, true
		}
		if rest == "slotsdiffs" {
			return m.differences(from, to), true
		}
		return m.swap(site, from, to), true
	case rest == "containerlogs":
		r := m.w.Manager.Resources[key(t.ID)]
		if r == nil {
			return notFound(t), true
		}
		return raw(http.StatusOK, "application/octet-stream", containerLog(r)), true
	case rest == "list" && strings.EqualFold(t.name(), "publishingcredentials"):
		body, err := m.listed(t.ID)
		if err != nil {
			return fail(http.StatusNotFound, "ResourceNotFound", "%v", err), true
		}
		return ok(body), true
	case rest == "list" && strings.EqualFold(t.name(), "appsettings"):
		settings := object{}
		if s := m.w.Manager.Resources[key(parentID(t.ID))]; s != nil {
			settings = m.appSettings(s)
		}
		return ok(object{"id": t.ID, "name": "appsettings", "type": t.Type, "properties": settings}), true
	case rest == "restart" || rest == "start" || rest == "stop":
		r := m.w.Manager.Resources[key(t.ID)]
		if r == nil {
			return notFound(t), true
		}
		state := "Running"
		if rest == "stop" {
			state = "Stopped"
		}
		objectAt(r.Body, "properties")["state"] = state
		return ok(nil), true
	}
	return answer{}, false
}

// siteConfig answers about the part "web" of the configuration of an app or a slot, which is no resource of its own but a
// view of siteConfig. Other parts are resources, of which the names of settings that stay with their slot are one.
func (m *manager) siteConfig(c *call, t target) (answer, bool) {
	site := m.w.Manager.Resources[key(parentID(t.ID))]
	if site == nil || site.Want == nil || !strings.EqualFold(t.name(), "web") || t.Rest != "" {
		return answer{}, false
	}
	switch c.Method {
	case http.MethodGet:
	case http.MethodPut, http.MethodPatch:
		var body object
		if err := c.decode(&body); err != nil {
			return fail(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid and could not be deserialized."), true
		}
		if refused := m.denied(site.ID, c.Caller, true); refused != nil {
			return asAnswer(refused), true
		}
		m.configureSite(site, objectAt(body, "properties"))
	default:
		return fail(http.StatusMethodNotAllowed, "MethodNotAllowed", "%s is not for the configuration of an app.", c.Method), true
	}
	return ok(object{"id": site.ID + "/config/web", "name": site.Name, "type": site.Type + "/config", "location": site.Want["location"],
		"properties": webConfig(site)}), true
}

// webConfig is the configuration of an app as it is read: what was put, and what holds when nothing was said.
func webConfig(site *resource) object {
	out := object{"numberOfWorkers": 1, "linuxFxVersion": "", "alwaysOn": false, "http20Enabled": false, "minTlsVersion": "1.2", "ftpsState": "FtpsOnly", "webSocketsEnabled": false}
	maps.Copy(out, objectAt(site.Want, "properties", "siteConfig"))
	delete(out, "appSettings") // have an address of their own
	return out
}

// configureSite changes members of the siteConfig of an app.
func (m *manager) configureSite(site *resource, change object) {
	p := objectAt(site.Want, "properties")
	if p == nil {
		p = object{}
		site.Want["properties"] = p
	}
	p["siteConfig"] = mergePatch(objectAt(p, "siteConfig"), change)
	m.reread(site)
	m.tell(changeMade, site)
	m.w.dirty()
}

// reread has a resource show a change of Want that nobody put.
func (m *manager) reread(r *resource) {
	state := r.properties()["provisioningState"]
	r.Changed, r.Body = m.w.now(), m.read(r, r.Want)
	if p := r.properties(); p != nil && state != nil {
		p["provisioningState"] = state
	}
}

// appSettings are the settings of an app or a slot.
func (m *manager) appSettings(site *resource) object {
	if r := m.w.Manager.Resources[key(site.ID+"/config/appsettings")]; r != nil && r.Want != nil {
		return objectAt(r.Want, "properties")
	}
	out := object{}
	for _, kv := range listAt(site.Want, "properties", "siteConfig", "appSettings") {
		out[textAt(asObject(kv), "name")] = asObject(kv)["value"]
	}
	return out
}

// sticky reports which settings of an app stay with their slot.
func (m *manager) sticky(site *resource) map[string]bool {
	out := map[string]bool{}
	if r := m.w.Manager.Resources[key(site.ID+"/config/slotConfigNames")]; r != nil && r.Want != nil {
		for _, name := range jsonTexts(listAt(r.Want, "properties", "appSettingNames")) {
			out[name] = true
		}
	}
	return out
}

// containerLog is what the containers of an app printed. None ran, and every line says so.
func containerLog(site *resource) []byte {
	image, _ := webConfig(site)["linuxFxVersion"].(string)
	if image == "" {
		image = "no image is set"
	} else {
		image += " was not pulled"
	}
	var b strings.Builder
	for _, line := range []string{image, "no container of " + site.displayName() + " was started", simulatedApp} {
		if !strings.HasPrefix(line, "SIMULATED") {
			line = "SIMULATED: " + line
		}
		fmt.Fprintf(&b, "%s %s\n", stamp(site.Changed), line)
	}
	return []byte(b.String())
}

// listed is what the action list of an id answers: of the publishing credentials of an app or a slot.
func (m *manager) listed(id string) (any, error) {
	owner := m.w.Manager.Resources[key(parentID(id))]
	if owner == nil || !strings.HasSuffix(key(id), "/config/publishingcredentials") {
		return nil, fmt.Errorf("the simulation does not list %s", id)
	}
	name := strings.ReplaceAll(owner.displayName(), "/slots/", "-")
	user := "$" + strings.ReplaceAll(owner.displayName(), "/slots/", "__")
	password := hexOf(m.w.seed, 32, "publishing", key(id)) + hexOf(m.w.seed, 28, "publishing more", key(id))
	return object{"id": id, "name": "publishingcredentials", "type": "Microsoft.Web/sites/publishingcredentials",
		"properties": object{"publishingUserName": user, "publishingPassword": password, "scmUri": "https://" + user + ":" + password + "@" + name + ".scm.azurewebsites.net"}}, nil
}

// slots finds the two slots that a request to swap or compare is about: its path and its body name one each.
func (m *manager) slots(c *call, site *resource, t target) (from, to *resource, refused *answer) {
	var in struct {
		TargetSlot string `json:"targetSlot"`
	}
	if err := c.decode(&in); err != nil {
		a := fail(http.StatusBadRequest, "InvalidRequestContent", "The request content was invalid: %v.", err)
		return nil, nil, &a
	}
	from, to = m.w.Manager.Resources[key(t.ID)], site
	if in.TargetSlot != "" && !strings.EqualFold(in.TargetSlot, "production") {
		to = m.w.Manager.Resources[key(site.ID+"/slots/"+in.TargetSlot)]
	}
	if from == nil || to == nil || from == to {
		a := fail(http.StatusNotFound, "NotFound", "The slots to swap could not be found: '%s' and '%s'.", t.name(), in.TargetSlot)
		return nil, nil, &a
	}
	return from, to, nil
}

// differences compares two slots (learn.microsoft.com/rest/api/appservice/web-apps/list-slot-differences-slot).
func (m *manager) differences(from, to *resource) answer {
	sticky := m.sticky(m.at(typeSite, from.ID))
	out := []any{}
	add := func(kind, name string, current, other any) {
		if reflect.DeepEqual(current, other) {
			return
		}
		d := object{"level": "Warning", "settingType": kind, "settingName": name, "diffRule": "SettingsWillBeModified", "valueInCurrentSlot": current, "valueInTargetSlot": other,
			"description": "The setting is exchanged with the slot"}
		if sticky[name] {
			d["level"], d["diffRule"], d["description"] = "Information", "SettingsWillStay", "The setting stays with its slot"
		}
		out = append(out, object{"id": from.ID + "/slotsdiffs/" + name, "name": name, "type": typeSite + "/slotsdiffs", "properties": d})
	}
	compare := func(kind string, a, b object) {
		names := map[string]bool{}
		for _, o := range []object{a, b} {
			for name := range o {
				names[name] = true
			}
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			add(kind, name, a[name], b[name])
		}
	}
	compare("General", webConfig(from), webConfig(to))
	compare("AppSetting", m.appSettings(from), m.appSettings(to))
	return ok(object{"value": out, "nextLink": nil})
}

// swapTakes is how long the exchange of two slots takes, warming up included. It is an estimate.
const swapTakes = 60 * time.Second

// slotSwapStatus is the property of an app that tells of its last swap.
const slotSwapStatus = "slotSwapStatus"

// swap exchanges what runs in two slots. Settings that are marked as the slot's own stay.
func (m *manager) swap(site, from, to *resource) answer {
	o := m.w.begin(site.ID, swapTakes)
	m.w.after(swapTakes, "swap", o.ID+" "+key(from.ID)+" "+key(to.ID))
	return reply(http.StatusAccepted, nil).with("Location", m.operationURL("operationResults", o.ID)).with("retry-after-ms", "1")
}

// swapDue ends a swap: images and settings change places.
func (m *manager) swapDue(subject string) {
	parts := strings.Fields(subject)
	o, from, to := m.w.Operations[parts[0]], m.w.Manager.Resources[parts[1]], m.w.Manager.Resources[parts[2]]
	if o == nil {
		return
	}
	if from == nil || to == nil || from.Want == nil || to.Want == nil {
		m.w.finish(o, nil, refusal("NotFound", "A slot was deleted while it was swapped."))
		return
	}
	site := m.at(typeSite, from.ID)
	m.exchangeSettings(site, from, to)
	a, b := webConfig(from)["linuxFxVersion"], webConfig(to)["linuxFxVersion"]
	m.configureSite(from, object{"linuxFxVersion": b})
	m.configureSite(to, object{"linuxFxVersion": a})
	site.properties()[slotSwapStatus] = object{"timestampUtc": stamp(m.w.now()), "sourceSlotName": slotName(from), "destinationSlotName": slotName(to)}
	m.w.finish(o, nil, nil)
}

func slotName(r *resource) string {
	if strings.EqualFold(r.Type, typeSite) {
		return "Production"
	}
	return r.Name
}

// exchangeSettings has the settings of two slots change places, but for those that stay.
func (m *manager) exchangeSettings(site, from, to *resource) {
	a, b := m.w.Manager.Resources[key(from.ID+"/config/appsettings")], m.w.Manager.Resources[key(to.ID+"/config/appsettings")]
	if a == nil || b == nil || a.Want == nil || b.Want == nil {
		return
	}
	sticky := m.sticky(site)
	mix := func(own, other object) object {
		out := object{}
		for name, v := range own {
			if sticky[name] {
				out[name] = v
			}
		}
		for name, v := range other {
			if !sticky[name] {
				out[name] = v
			}
		}
		return out
	}
	own, other := objectAt(a.Want, "properties"), objectAt(b.Want, "properties")
	a.Want["properties"], b.Want["properties"] = mix(own, other), mix(other, own)
	m.reread(a)
	m.reread(b)
}

// detach answers about the network that an app is integrated with; deleting it frees the subnet.
func (m *manager) detach(c *call, t target) (answer, bool) {
	site := m.w.Manager.Resources[key(parentID(t.ID))]
	if site == nil || c.Method != http.MethodDelete {
		return answer{}, false
	}
	if p := objectAt(site.Want, "properties"); p != nil {
		delete(p, "virtualNetworkSubnetId")
		delete(objectAt(site.Body, "properties"), "virtualNetworkSubnetId")
	}
	if r := m.w.Manager.Resources[key(t.ID)]; r != nil {
		m.eraseOne(r)
	}
	m.linkSubnet(site)
	return ok(nil), true
}
