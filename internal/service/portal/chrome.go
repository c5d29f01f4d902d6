package portal

import (
	"time"

	"github.com/flowehr/flowehr"
)

// chrome is what every page needs besides its own data: the frame, the person and the clock.
type chrome struct {
	Title, Nav  string
	Name        string
	Target      flowehr.TargetName
	RealData    bool
	Person      Person
	CSRF        string
	Rail        []railGroup
	Now         time.Time
	Location    *time.Location
	LinkCommand string
	CSS, Script []string
	CanAct      bool // runs can be started and changed here
	has         map[string]bool
}

type railGroup struct {
	Name  string
	Items []railItem
}

type railItem struct{ Name, Path string }

// who is what the person is called on the page.
func (c chrome) who() string {
	if c.Person.Name != "" {
		return c.Person.Name
	}
	return c.Person.ID
}

// chrome builds the frame of a page: title for the window, nav for the place in the rail.
func (p *Portal) chrome(v visit, title, nav string) chrome {
	d := p.Data
	c := chrome{
		Title: title, Nav: nav, Name: p.Name, Target: p.Target, RealData: p.RealData,
		Person: v.Person, CSRF: v.csrf, Now: p.Now(), Location: p.Location, LinkCommand: p.LinkCommand,
		CSS:    []string{p.link("tokens.css"), p.link("portal.css")},
		Script: []string{p.link("htmx.min.js"), p.link("hx-sse.min.js"), p.link("portal.js")},
		CanAct: d.Actions != nil, has: map[string]bool{},
	}
	if v.Person.ID == "" {
		return c
	}
	for _, i := range []struct {
		group, name, path string
		has               bool
	}{
		{"Environment", "Overview", "/", true},
		{"Environment", "Resources", "/resources", d.Resources != nil},
		{"Environment", "Services", "/services", d.Services != nil},
		{"Data", "Pipelines", "/pipelines", d.Pipelines != nil},
		{"Data", "Runs", "/runs", d.Runs != nil},
		{"Data", "Lake", "/lake", d.Lake != nil},
		{"Data", "Feature store", "/store", d.Store != nil},
		{"Data", "Sources", "/sources", d.Sources != nil},
		{"Govern", "Audit", "/audit", d.Audit != nil},
	} {
		if !i.has {
			continue
		}
		if n := len(c.Rail); n == 0 || c.Rail[n-1].Name != i.group {
			c.Rail = append(c.Rail, railGroup{Name: i.group})
		}
		last := &c.Rail[len(c.Rail)-1]
		last.Items = append(last.Items, railItem{i.name, i.path})
		c.has[i.path] = true
	}
	return c
}
