package operate

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const site = groupID + "/providers/Microsoft.Web/sites/webapp-a"

// app makes a web app with images, and with a testing slot when slotImage is not empty.
func (w *world) app(image, slotImage, slotState string, swapped bool) {
	status := "null"
	if swapped {
		status = `{"timestampUtc":"2026-10-01T10:00:00Z","sourceSlotName":"testing","destinationSlotName":"Production"}`
	}
	w.on("GET", groupID+"/providers/Microsoft.Web/sites", answer(200, `{"value":[{"name":"webapp-b"},{"name":"webapp-a"}]}`))
	w.on("GET", site, answer(200, `{"name":"webapp-a","properties":{"state":"Running","defaultHostName":"webapp-a.azurewebsites.net","slotSwapStatus":`+status+`}}`))
	w.on("GET", site+"/config/web", answer(200, `{"properties":{"linuxFxVersion":"DOCKER|`+image+`"}}`))
	w.on("GET", site+"/slots", answer(200, `{"value":[]}`))
	if slotImage != "" {
		w.on("GET", site+"/slots", answer(200, `{"value":[{"name":"webapp-a/testing","properties":{"state":"`+slotState+`","defaultHostName":"webapp-a-testing.azurewebsites.net"}}]}`))
		w.on("GET", site+"/slots/testing/config/web", answer(200, `{"properties":{"linuxFxVersion":"DOCKER|`+slotImage+`"}}`))
	}
}

func TestListShowsSlotsAndImages(t *testing.T) {
	w := newWorld(t)
	w.app("r.azurecr.io/a:latest", "r.azurecr.io/a:next", "Running", true)
	apps, err := NewApps(w.client(), groupID).List(t.Context(), "webapp-a")
	if err != nil || len(apps) != 1 {
		t.Fatal(apps, err)
	}
	a := apps[0]
	if a.Image != "r.azurecr.io/a:latest" || a.State != "Running" || len(a.Slots) != 1 || a.Slots[0].Image != "r.azurecr.io/a:next" || a.Slots[0].Name != Testing {
		t.Errorf("%+v", a)
	}
	if a.Swapped == nil || a.Swapped.From != "testing" || a.Swapped.At.IsZero() {
		t.Errorf("%+v", a.Swapped)
	}
}

func TestPendingShowsDifferencesWithoutValues(t *testing.T) {
	w := newWorld(t)
	w.app("r/a:1", "r/a:2", "Running", false)
	w.on("POST", site+"/slots/testing/slotsdiffs", answer(200, `{"value":[{"properties":{"settingType":"AppSetting","diffRule":"SettingsWillBeModified","settingName":"API_KEY",
		"valueInCurrentSlot":"s3cret","valueInTargetSlot":"0ther","description":"changes"}}]}`))
	p, err := NewApps(w.client(), groupID).Pending(t.Context(), "webapp-a")
	if err != nil {
		t.Fatal(err)
	}
	if p.Now.Image != "r/a:1" || p.Next.Image != "r/a:2" || !cmp.Equal(p.Differences, []Difference{{"API_KEY", "AppSetting", "SettingsWillBeModified", "changes"}}) {
		t.Errorf("%+v", p)
	}
}

func TestSwapWaitsAndRollbackSwapsBack(t *testing.T) {
	for name, act := range map[string]func(*Apps, context.Context) (App, error){
		"swap":     func(a *Apps, ctx context.Context) (App, error) { return a.Swap(ctx, "webapp-a") },
		"rollback": func(a *Apps, ctx context.Context) (App, error) { return a.Rollback(ctx, "webapp-a", "") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.app("r/a:1", "r/a:2", "Running", true)
			key := "POST " + armHost + site + "/slots/testing/slotsswap"
			w.on("POST", site+"/slots/testing/slotsswap", answer(202, ``))
			w.headers[key] = http.Header{"Location": {"https://management.azure.com" + site + "/operationresults/1?api-version=2025-03-01"}}
			looks := 0
			w.on("GET", site+"/operationresults/1", func(*http.Request, []byte) (int, any) {
				if looks++; looks < 3 {
					return 202, nil
				}
				w.app("r/a:2", "r/a:1", "Running", true)
				return 200, nil
			})
			app, err := act(NewApps(w.client(), groupID), t.Context())
			if err != nil || app.Image != "r/a:2" || app.Slots[0].Image != "r/a:1" {
				t.Fatalf("%+v %v", app, err)
			}
			if w.bodies[key] != `{"preserveVnet":true,"targetSlot":"production"}` || len(w.waited) == 0 {
				t.Errorf("body %s, waited %v", w.bodies[key], w.waited)
			}
		})
	}
}

func TestAppsAreRefusedWithWhatToDo(t *testing.T) {
	const image = "r.azurecr.io/a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		name    string
		slot    string
		state   string
		swapped bool
		act     func(*Apps, context.Context) error
		says    string
	}{
		{"swap without a slot", "", "", false, swapApp, "add_testing_slot"},
		{"swap of a stopped slot", "r/a:2", "Stopped", false, swapApp, "is stopped"},
		{"rollback without a slot", "", "", false, rollback(""), "--image"},
		{"rollback before any swap", "r/a:2", "Running", false, rollback(""), "never been swapped"},
		{"rollback to a tag", "", "", false, rollback("r.azurecr.io/a:1"), "digest"},
		{"rollback to what is no image", "", "", false, rollback("a b|" + image), "digest"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.app("r/a:1", c.slot, c.state, c.swapped)
			err := c.act(NewApps(w.client(), groupID), t.Context())
			var refused *RefusedError
			if !errors.As(err, &refused) || !strings.Contains(err.Error(), c.says) || w.made() != "" {
				t.Fatalf("%v; made %s", err, w.made())
			}
		})
	}
	w := newWorld(t)
	w.app("r/a:1", "", "", false)
	w.on("PATCH", site+"/config/web", answer(200, `{}`))
	if err := rollback(image)(NewApps(w.client(), groupID), t.Context()); err != nil {
		t.Fatal(err)
	}
	if body := w.bodies["PATCH "+armHost+site+"/config/web"]; body != `{"properties":{"linuxFxVersion":"DOCKER|`+image+`"}}` {
		t.Errorf("body %s", body)
	}
}

func swapApp(a *Apps, ctx context.Context) error {
	_, err := a.Swap(ctx, "webapp-a")
	return err
}

func rollback(image string) func(*Apps, context.Context) error {
	return func(a *Apps, ctx context.Context) error {
		_, err := a.Rollback(ctx, "webapp-a", image)
		return err
	}
}

func TestFollowLogsTellsEachLineOnce(t *testing.T) {
	w := newWorld(t)
	parts := []string{"1\n2\n3\n", "1\n2\n3\n", "2\n3\n4\r\n5\n", "", "8\n9\n"}
	n := 0
	ctx, cancel := context.WithCancel(t.Context())
	w.on("POST", site+"/slots/testing/containerlogs", func(*http.Request, []byte) (int, any) {
		if n++; n > len(parts) {
			cancel()
			return 200, ""
		}
		return 200, parts[n-1]
	})
	var got []string
	err := NewApps(w.client(), groupID).FollowLogs(ctx, "webapp-a", "testing", func(s string) { got = append(got, s) }, func() { got = append(got, "gap") })
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if want := []string{"1", "2", "3", "4", "5", "gap", "8", "9"}; !cmp.Equal(got, want) {
		t.Errorf("%s", cmp.Diff(want, got))
	}
}

// TestLinesOfATailAreToldOnce: whatever window of different lines a service shows, as long as two windows meet every line is told
// once and in order.
func TestLinesOfATailAreToldOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 20).Draw(t, "window")
		var all, told, before []string
		for range rapid.IntRange(1, 12).Draw(t, "looks") {
			for range rapid.IntRange(0, size-min(1, size-1)).Draw(t, "new") {
				all = append(all, string(rune('a'+len(all))))
			}
			now := all[max(0, len(all)-size):]
			fresh, whole := after(before, now)
			if !whole {
				before, told = now, slices.Clone(all) // more than a window came: some are lost, and that is said
				continue
			}
			told = append(told, fresh...)
			if len(now) > 0 {
				before = now
			}
		}
		if len(before) > 0 && !slices.Equal(told, all) {
			t.Fatalf("told %v of %v", told, all)
		}
	})
}
