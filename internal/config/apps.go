package config

import (
	"fmt"
	"reflect"
	"regexp"
)

// appID is what may be the id of an app.
var appID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,35}$`)

// apps decodes the apps that the environment names.
func (d *decoder) apps(n *node) Map[App] {
	var apps Map[App]
	for _, f := range n.fields {
		if !appID.MatchString(f.key) {
			d.report(f.pos, "An app id has at most 35 letters, digits, - and _; it becomes part of addresses and names.",
				"%q cannot be the id of an app", f.key)
			continue
		}
		e := Entry[App]{Key: f.key, Pos: f.pos}
		value := f.value
		if !value.says() {
			value = &node{kind: kindMapping, pos: f.pos}
		}
		d.group(value, reflect.ValueOf(&e.Value).Elem(), fmt.Sprintf("app %q", f.key), false)
		e.Value.At = f.pos // where people look for the app
		if d.broken[value.pos] {
			d.broken[f.pos] = true
		}
		apps = append(apps, e)
	}
	return apps
}
