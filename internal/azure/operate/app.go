package operate

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Testing is the slot that a version is tried in before it is swapped.
const Testing = "testing"

// Apps are the web apps of a resource group.
type Apps struct {
	client *cloud.Client
	group  string
}

// NewApps returns the apps of a resource group, given by its id. It makes no request.
func NewApps(c *cloud.Client, group string) *Apps { return &Apps{c, group} }

// path is an address of an app or of one of its slots.
func (a *Apps) path(app, slot string, segments ...string) string {
	all := []string{"providers", "Microsoft.Web", "sites", app}
	if slot != "" {
		all = append(all, "slots", slot)
	}
	return address(a.group, webVersion, append(all, segments...)...)
}

// Slot is an app or one of its slots, with what runs in it.
type Slot struct {
	Name    string // empty of the app itself
	State   string // Running or Stopped
	Host    string
	Image   string // registry/repository:tag or …@sha256:…
	Changed time.Time
}

// App is a web app.
type App struct {
	Name    string
	Slot           // the one that users get
	Slots   []Slot // the others
	Swapped *Swap
}

// Swap is the last swap of an app.
type Swap struct {
	At       time.Time `json:"timestampUtc"`
	From, To string
}

// siteJSON is an app or slot as the service has it.
type siteJSON struct {
	Name       string `json:"name"`
	Properties struct {
		State   string `json:"state"`
		Host    string `json:"defaultHostName"`
		Changed string `json:"lastModifiedTimeUtc"`
		Config  struct {
			Image string `json:"linuxFxVersion"`
		} `json:"siteConfig"`
		Swap *struct {
			At   string `json:"timestampUtc"`
			From string `json:"sourceSlotName"`
			To   string `json:"destinationSlotName"`
		} `json:"slotSwapStatus"`
	} `json:"properties"`
}

// List lists the apps of the group whose names are wanted, all when none are, in order.
func (a *Apps) List(ctx context.Context, names ...string) ([]App, error) {
	var found []string
	err := a.client.Pages(ctx, cloud.ARM(), address(a.group, webVersion, "providers", "Microsoft.Web", "sites"), func(raw json.RawMessage) error {
		var s siteJSON
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		if len(names) == 0 || contains(names, s.Name) {
			found = append(found, s.Name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(found)
	apps := make([]App, 0, len(found))
	for _, name := range found {
		app, err := a.App(ctx, name)
		if err != nil {
			return apps, err
		}
		apps = append(apps, app)
	}
	return apps, nil
}

// App reads an app with its slots.
func (a *Apps) App(ctx context.Context, name string) (App, error) {
	var s siteJSON
	if err := a.client.Get(ctx, cloud.ARM(), a.path(name, ""), &s); err != nil {
		if cloud.NotFound(err) {
			err = &UnknownError{What: "app", Name: name, Advice: "Deploy it with: flowehr deploy apps"}
		}
		return App{}, err
	}
	app := App{Name: name}
	var err error
	if app.Slot, err = a.slot(ctx, name, "", s); err != nil {
		return app, err
	}
	if w := s.Properties.Swap; w != nil {
		at, _ := time.Parse(time.RFC3339Nano, w.At) // the service leaves out the zone at times; then only the names are known
		app.Swapped = &Swap{At: at, From: w.From, To: w.To}
	}
	err = a.client.Pages(ctx, cloud.ARM(), a.path(name, "", "slots"), func(raw json.RawMessage) error {
		var s siteJSON
		if err := json.Unmarshal(raw, &s); err != nil {
			return err
		}
		slot, err := a.slot(ctx, name, s.Name[strings.LastIndexByte(s.Name, '/')+1:], s)
		app.Slots = append(app.Slots, slot)
		return err
	})
	return app, err
}

func (a *Apps) slot(ctx context.Context, app, slot string, s siteJSON) (Slot, error) {
	out := Slot{Name: slot, State: s.Properties.State, Host: s.Properties.Host}
	out.Changed, _ = time.Parse(time.RFC3339Nano, s.Properties.Changed) // only shown
	image := s.Properties.Config.Image
	if image == "" { // lists leave the configuration out
		var config struct {
			Properties struct {
				Image string `json:"linuxFxVersion"`
			} `json:"properties"`
		}
		if err := a.client.Get(ctx, cloud.ARM(), a.path(app, slot, "config", "web"), &config); err != nil {
			return out, err
		}
		image = config.Properties.Image
	}
	out.Image = strings.TrimPrefix(image, imagePrefix)
	return out, nil
}

// imagePrefix stands before the image of a container in an app's configuration.
const imagePrefix = "DOCKER|"

// Difference is a setting in which two slots differ. Values are left out: they may be secret.
type Difference struct {
	Setting string `json:"settingName"`
	Type    string `json:"settingType"`
	Rule    string `json:"diffRule"`
	Text    string `json:"description"`
}

// Pending tells what a swap would change.
type Pending struct {
	App         string
	Now, Next   Slot
	Differences []Difference
}

// Pending looks at what a swap of an app with its testing slot would change, without doing it.
func (a *Apps) Pending(ctx context.Context, name string) (Pending, error) {
	app, err := a.App(ctx, name)
	if err != nil {
		return Pending{}, err
	}
	next, err := app.testing()
	if err != nil {
		return Pending{}, err
	}
	p := Pending{App: name, Now: app.Slot, Next: next}
	for path, body := a.path(name, Testing, "slotsdiffs"), any(target); path != ""; {
		var page struct {
			Value []struct {
				Properties Difference `json:"properties"`
			} `json:"value"`
			Next string `json:"nextLink"`
		}
		res, err := a.client.Do(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: path, Body: body, Repeats: true})
		if err != nil {
			return p, err
		}
		if err := json.Unmarshal(res.Body, &page); err != nil {
			return p, fmt.Errorf("differences of the slots of %s: %w", name, err)
		}
		for _, v := range page.Value {
			p.Differences = append(p.Differences, v.Properties)
		}
		path = page.Next
	}
	return p, nil
}

// testing is the slot that is swapped.
func (app App) testing() (Slot, error) {
	i := slices.IndexFunc(app.Slots, func(s Slot) bool { return s.Name == Testing })
	if i < 0 {
		return Slot{}, &RefusedError{fmt.Sprintf("app %s has no slot %q", app.Name, Testing), "Set add_testing_slot: true for it and deploy: flowehr deploy apps"}
	}
	return app.Slots[i], nil
}

// target is the body of a swap: with the slot that users get.
var target = map[string]any{"targetSlot": "production", "preserveVnet": true}

// Swap puts what is in the testing slot before the users, and what was there into the testing slot. It waits until that is done, which
// takes minutes: the service warms the new version up first.
func (a *Apps) Swap(ctx context.Context, name string) (App, error) {
	app, err := a.App(ctx, name)
	if err != nil {
		return app, err
	}
	next, err := app.testing()
	if err != nil {
		return app, err
	}
	if next.State != "Running" {
		return app, &RefusedError{fmt.Sprintf("the testing slot of %s is %s", name, strings.ToLower(next.State)), "Start it and look at it first: https://" + next.Host}
	}
	_, err = a.client.Long(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: a.path(name, Testing, "slotsswap"), Body: target})
	if err != nil {
		return app, started(err, "the slots of "+name+" were swapped", "See what runs where with: flowehr apps list")
	}
	return a.App(ctx, name)
}

// digested is an image that is named by what it holds, so that it cannot have changed.
var digested = regexp.MustCompile(`^[a-z0-9.-]+(?:/[a-z0-9._-]+)+@sha256:[0-9a-f]{64}$`)

// Rollback takes an app back. An app with a testing slot is swapped with it, which holds what users had before the last swap. One
// without needs the image, by digest, that it had; the next deployment gives it the newest again.
func (a *Apps) Rollback(ctx context.Context, name, image string) (App, error) {
	app, err := a.App(ctx, name)
	if err != nil {
		return app, err
	}
	if image != "" {
		return a.set(ctx, app, image)
	}
	if _, err := app.testing(); err != nil {
		return app, &RefusedError{fmt.Sprintf("app %s has no testing slot that holds what it was before", name),
			"Name the image that it had, by digest: flowehr apps rollback APP --image REGISTRY/" + name + "@sha256:…"}
	}
	if app.Swapped == nil {
		return app, &RefusedError{fmt.Sprintf("app %s has never been swapped, so its testing slot does not hold an earlier version", name),
			"Swap on purpose with: flowehr apps swap APP"}
	}
	return a.Swap(ctx, name)
}

// set gives an app an image.
func (a *Apps) set(ctx context.Context, app App, image string) (App, error) {
	if !digested.MatchString(image) {
		return app, &RefusedError{fmt.Sprintf("image %q is not named by its digest", image), "Write it as REGISTRY/REPOSITORY@sha256:…; a tag may mean another image by now."}
	}
	body := map[string]any{"properties": map[string]any{"linuxFxVersion": imagePrefix + image}}
	if err := a.client.Call(ctx, cloud.ARM(), http.MethodPatch, a.path(app.Name, "", "config", "web"), body, nil); err != nil {
		return app, err
	}
	return a.App(ctx, app.Name)
}

// Logs reads the last lines that the containers of an app or a slot printed. The service itself gives them, so no way to the app's
// own network is needed; what is older is in the log workspace, table AppServiceConsoleLogs.
func (a *Apps) Logs(ctx context.Context, app, slot string) ([]string, error) {
	res, err := a.client.Do(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: a.path(app, slot, "containerlogs"), Repeats: true})
	if cloud.NotFound(err) {
		return nil, &UnknownError{What: "app", Name: strings.TrimSuffix(app+"/"+slot, "/"), Advice: "See what there is with: flowehr apps list"}
	}
	if err != nil || len(res.Body) == 0 {
		return nil, err
	}
	text := strings.ReplaceAll(string(res.Body), "\r\n", "\n")
	return strings.Split(strings.TrimSuffix(text, "\n"), "\n"), nil
}

// between is how long to wait before looking for new lines.
const between = 3 * time.Second

// FollowLogs tells the lines of Logs and then those that come, until ctx ends. Lines are told once; when more come between two looks
// than the service gives, gap is told that some are missing.
func (a *Apps) FollowLogs(ctx context.Context, app, slot string, line func(string), gap func()) error {
	var before []string
	for {
		now, err := a.Logs(ctx, app, slot)
		if err != nil {
			return err
		}
		fresh, whole := after(before, now)
		if !whole && gap != nil {
			gap()
		}
		for _, s := range fresh {
			line(s)
		}
		if len(now) > 0 {
			before = now
		}
		if err := a.client.Wait(ctx, between); err != nil {
			return err
		}
	}
}

// after returns the lines of now that follow those of before: now begins with the longest end of before that it can. whole is false
// when they share nothing, so that lines in between may be missing.
func after(before, now []string) (fresh []string, whole bool) {
	if len(before) == 0 || len(now) == 0 {
		return now, true
	}
	for n := min(len(before), len(now)); n > 0; n-- {
		if slices.Equal(before[len(before)-n:], now[:n]) {
			return now[n:], true
		}
	}
	return now, false
}
