package portal

import (
	"net/http"
	"strconv"

	"github.com/a-h/templ"

	"github.com/flowehr/flowehr"
)

// stateKind is the colour and icon of a state; stateWord its word. Colour never stands alone.
func stateKind(s RunState) string {
	switch s {
	case Succeeded:
		return "ok"
	case Failed:
		return "bad"
	case Running, Cancelling:
		return "run"
	case Cancelled:
		return "warn"
	case Queued, Waiting:
		return "wait"
	}
	return "skip"
}

func stateWord(s RunState) string {
	switch s {
	case Queued:
		return "Queued"
	case Running:
		return "Running"
	case Succeeded:
		return "Succeeded"
	case Failed:
		return "Failed"
	case Cancelling:
		return "Cancelling"
	case Cancelled:
		return "Cancelled"
	case Skipped:
		return "Skipped"
	case Waiting:
		return "Waiting"
	}
	return "Not known"
}

func healthKind(h Health) string {
	switch h {
	case Healthy:
		return "ok"
	case Starting:
		return "run"
	case Degraded:
		return "warn"
	case Down:
		return "bad"
	}
	return "skip"
}

func healthWord(h Health) string {
	switch h {
	case Healthy:
		return "Healthy"
	case Starting:
		return "Starting"
	case Degraded:
		return "Degraded"
	case Down:
		return "Down"
	case Stopped:
		return "Stopped"
	}
	return "Not known"
}

// icon is the path of the icon of a kind, on a field of 16 by 16.
func icon(kind string) string {
	switch kind {
	case "ok":
		return "M3 8.5l3.2 3.2L13 5"
	case "bad":
		return "M4 4l8 8M12 4l-8 8"
	case "run":
		return "M8 2.5a5.5 5.5 0 1 1-5.5 5.5"
	case "warn":
		return "M8 2.5l6 11H2zM8 6.5v3.2M8 11.6v.6"
	}
	if kind == "wait" {
		return "M8 2.5a5.5 5.5 0 1 0 .01 0M8 5v3.3l2 1.4"
	}
	return "M3 8h10"
}

// problemPage is the page of a status that is not 200. An empty text takes the usual one.
func (p *Portal) problemPage(v visit, status int, text string) templ.Component {
	head, usual := p.problem(status)
	if text == "" {
		text = usual
	}
	return problemView(p.chrome(v, head, ""), strconv.Itoa(status), head, text)
}

// problem is what a status means to a person.
func (p *Portal) problem(status int) (head, usual string) {
	head = http.StatusText(status)
	switch status {
	case http.StatusUnauthorized:
		head, usual = "You are not signed in", "Your session has ended. Open a new sign-in link; "+p.LinkCommand+" prints one."
	case http.StatusForbidden:
		head, usual = "You may not do this", "Your role does not allow it. That you asked was written to the audit log."
	case http.StatusNotFound:
		head, usual = "There is nothing here", "The address is mistyped, or what it named has been removed."
	case http.StatusConflict:
		head, usual = "This cannot be done now", "Try it again later."
	case http.StatusTooManyRequests:
		head, usual = "Too many tries", "Wait a minute, then open the link again."
	case http.StatusInternalServerError:
		head, usual = "This page could not be made", "Something that it reads gave an error. Nothing was changed. The reason is in the log of the portal."
	}
	return head, usual
}

func (p *Portal) signInView(action string, spent bool) templ.Component {
	return signInTemplate(p.chrome(visit{}, "Sign in", ""), action, spent)
}

func signInHead(c chrome, action string) string {
	if action == "" || c.Name == "" {
		return "Sign in"
	}
	return "Sign in to " + c.Name
}

func layerName(l flowehr.Layer) string {
	switch l {
	case flowehr.LayerCore:
		return "Core"
	case flowehr.LayerTransform:
		return "Transform"
	case flowehr.LayerServe:
		return "Serve"
	case flowehr.LayerApps:
		return "Apps"
	}
	return string(l)
}

func layerWord(l Layer) string {
	if l.Word != "" {
		return l.Word
	}
	return healthWord(l.Health)
}

func needKind(n Need) string {
	if n.Health == Down {
		return "bad"
	}
	return "warn"
}

func groupName(s string) string {
	if s == "" {
		return "Tables"
	}
	return s
}
