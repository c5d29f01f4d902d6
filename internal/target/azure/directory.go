package azure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// How long the replicas of the directory may take to know of something new. Microsoft gives no figure; minutes have been
// reported.
const (
	replicaPause = 2 * time.Second
	replicaLimit = 5 * time.Minute
)

func (t *Target) directoryKeepers() map[string]keeper {
	g := graph{t.o.Client}
	return map[string]keeper{
		azure.KindGroup:       keep(groupMinder{g}),
		azure.KindApplication: keep(applicationMinder{g}),
		azure.KindFederation:  keep(federationMinder{g}),
		azure.KindMember:      keep(memberMinder{g}),
		azure.KindGrant:       keep(grantMinder{g}),
		azure.KindIdentity:    keep(identityMinder{g}),
	}
}

// graph is Microsoft Graph, version 1.0. Objects that are ours carry a uniqueName, which the directory lets nobody use
// twice and nobody change (learn.microsoft.com/graph/api/application-upsert and group-upsert).
type graph struct{ c *cloud.Client }

func (g graph) call(ctx context.Context, method, path string, body, into any) error {
	return g.c.Call(ctx, cloud.Graph(), method, "/v1.0"+path, body, into)
}

func (g graph) list(ctx context.Context, path string, each func(json.RawMessage) error) error {
	return g.c.Pages(ctx, cloud.Graph(), "/v1.0"+path, each)
}

// keyed is the path of the object of a collection with an alternate key.
func keyed(collection, key, value string) string {
	return "/" + collection + "(" + key + "='" + url.PathEscape(strings.ReplaceAll(value, "'", "''")) + "')"
}

// find reads the object of a collection with an alternate key into into. It reports false when there is none. A directory
// that does not know the alternate key is asked with a filter.
func (g graph) find(ctx context.Context, collection, key, value, fields string, into any) (bool, error) {
	err := g.call(ctx, http.MethodGet, keyed(collection, key, value)+"?$select="+fields, nil, into)
	switch {
	case err == nil:
		return true, nil
	case cloud.NotFound(err):
		return false, nil
	case cloud.Status(err) != http.StatusBadRequest:
		return false, err
	}
	query := url.Values{"$filter": {key + " eq '" + strings.ReplaceAll(value, "'", "''") + "'"}, "$select": {fields}, "$count": {"true"}}
	res, err := g.c.Do(ctx, cloud.Graph(), cloud.Request{Method: http.MethodGet, Path: "/v1.0/" + collection + "?" + query.Encode(),
		Header: map[string]string{"ConsistencyLevel": "eventual"}})
	if err != nil {
		return false, err
	}
	var page struct {
		Value []json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(res.Body, &page); err != nil || len(page.Value) == 0 {
		return false, err
	}
	return true, json.Unmarshal(page.Value[0], into)
}

// upsert makes the object with an alternate key, or updates the one that somebody else made in between.
func (g graph) upsert(ctx context.Context, collection, key, value string, body any) error {
	return g.eventually(ctx, "make "+value+" in the directory", func() error {
		_, err := g.c.Do(ctx, cloud.Graph(), cloud.Request{Method: http.MethodPatch, Path: "/v1.0" + keyed(collection, key, value),
			Body: body, Header: map[string]string{"Prefer": "create-if-missing"}, Repeats: true})
		return err
	})
}

// eventually repeats try while its failure says that a replica does not know yet what another one has been told.
func (g graph) eventually(ctx context.Context, what string, try func() error) error {
	var last error
	err := until(ctx, g.c, what, replicaPause, replicaLimit, func() (bool, error) {
		last = try()
		if lagging(last) {
			return false, nil
		}
		return last == nil, last
	})
	if err != nil && lagging(last) {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// lagging recognises what a replica that is behind answers: the object is unknown, the application behind a service
// principal is unknown, or two changes of one object met.
func lagging(err error) bool {
	e, ok := errors.AsType[*cloud.Error](err)
	if !ok {
		return false
	}
	switch e.Status {
	case http.StatusNotFound:
		return true
	case http.StatusBadRequest:
		return e.Code == "NoBackingApplicationObject" || e.Code == "Request_ResourceNotFound"
	case http.StatusConflict:
		return e.Code == "ConcurrencyViolation" || e.Code == "Directory_ConcurrencyViolation"
	}
	return false
}

// known waits until the object at path can be read.
func (g graph) known(ctx context.Context, what, path string, into any) error {
	return g.eventually(ctx, "wait until the directory knows "+what, func() error {
		return g.call(ctx, http.MethodGet, path, nil, into)
	})
}

// listed returns the ids of the objects in a list of references.
func (g graph) listed(ctx context.Context, path string) ([]string, error) {
	var ids []string
	err := g.list(ctx, path+"?$select=id&$top=999", func(raw json.RawMessage) error {
		var o struct{ ID string }
		err := json.Unmarshal(raw, &o)
		ids = append(ids, o.ID)
		return err
	})
	return ids, err
}

// refer adds references to a list, leaving the others. One that is there already, or appears meanwhile, is no error.
func (g graph) refer(ctx context.Context, list string, ids []string) error {
	have, err := g.listedSoon(ctx, list)
	if err != nil {
		return err
	}
	for _, id := range difference(ids, have) {
		ref := map[string]string{"@odata.id": cloud.Graph().Base + "/v1.0/directoryObjects/" + id}
		err := g.eventually(ctx, "add "+id+" to "+list, func() error {
			return g.call(ctx, http.MethodPost, list+"/$ref", ref, nil)
		})
		if cloud.Status(err) == http.StatusBadRequest {
			if now, lerr := g.listed(ctx, list); lerr == nil && slices.Contains(now, id) {
				continue
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (g graph) listedSoon(ctx context.Context, list string) (ids []string, err error) {
	err = g.eventually(ctx, "read "+list, func() error {
		ids, err = g.listed(ctx, list)
		return err
	})
	return ids, err
}

// erase deletes an object and frees its name by taking it out of the deleted ones as well.
func (g graph) erase(ctx context.Context, collection, id string) error {
	if err := g.discard(ctx, collection, id); err != nil {
		return err
	}
	return g.purge(ctx, id)
}

// discard deletes an object, which the directory may keep for a while among the deleted.
func (g graph) discard(ctx context.Context, collection, id string) error {
	err := g.call(ctx, http.MethodDelete, "/"+collection+"/"+id, nil, nil)
	if cloud.NotFound(err) {
		return nil
	}
	return err
}

func (g graph) purge(ctx context.Context, id string) error {
	err := g.call(ctx, http.MethodDelete, "/directory/deletedItems/"+id, nil, nil)
	if cloud.NotFound(err) {
		return nil // not every kind of object is kept after deletion
	}
	return err
}

// group is what is used of a directory group.
type group struct {
	ID          string `json:"id"`
	DisplayName string `json:"displayName"`
	Description string `json:"description"`
}

const groupFields = "id,displayName,description,uniqueName"

// groupMinder looks after security groups. Whose a group is, is said by its unique name alone: groups have no tags. Members are
// resources of their own; owners are only added, because people add others.
type groupMinder struct{ graph }

func (m groupMinder) ensure(ctx context.Context, s azure.GroupSpec, _ task) (made, error) {
	g, found, err := m.get(ctx, s)
	if err != nil {
		return made{}, err
	}
	if !found {
		body := map[string]any{"displayName": s.DisplayName, "description": s.Description, "mailEnabled": false,
			"mailNickname": nickname(s.UniqueName), "securityEnabled": true}
		if err := m.upsert(ctx, "groups", "uniqueName", s.UniqueName, body); err != nil {
			return made{}, err
		}
		path := keyed("groups", "uniqueName", s.UniqueName) + "?$select=" + groupFields
		if err := m.known(ctx, "group "+s.DisplayName, path, &g); err != nil {
			return made{}, err
		}
	}
	if g.DisplayName != s.DisplayName || g.Description != s.Description {
		change := map[string]any{"displayName": s.DisplayName, "description": s.Description}
		err := m.eventually(ctx, "change group "+s.DisplayName, func() error {
			return m.call(ctx, http.MethodPatch, "/groups/"+g.ID, change, nil)
		})
		if err != nil {
			return made{}, err
		}
	}
	return groupMade(g), m.refer(ctx, "/groups/"+g.ID+"/owners", texts(s.Owners))
}

func (m groupMinder) get(ctx context.Context, s azure.GroupSpec) (g group, found bool, err error) {
	found, err = m.find(ctx, "groups", "uniqueName", s.UniqueName, groupFields, &g)
	return g, found, err
}

func groupMade(g group) made {
	return made{id: g.ID, outputs: map[string]string{azure.OutObjectID: g.ID}}
}

func (m groupMinder) read(ctx context.Context, s azure.GroupSpec, _ string) (azure.GroupSpec, made, error) {
	g, found, err := m.get(ctx, s)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("group %s", s.UniqueName))
	}
	s.DisplayName, s.Description = g.DisplayName, g.Description
	s.Owners, err = m.stillListed(ctx, "/groups/"+g.ID+"/owners", s.Owners)
	return s, groupMade(g), err
}

// stillListed returns those of want that are in a list of references.
func (g graph) stillListed(ctx context.Context, list string, want []azure.Value) ([]azure.Value, error) {
	if len(want) == 0 {
		return want, nil
	}
	have, err := g.listed(ctx, list)
	return slices.DeleteFunc(slices.Clone(want), func(v azure.Value) bool { return !slices.Contains(have, text(v)) }), err
}

func (m groupMinder) remove(ctx context.Context, s azure.GroupSpec, id string) error {
	if id == "" {
		g, found, err := m.get(ctx, s)
		if err != nil || !found {
			return err
		}
		id = g.ID
	}
	return m.erase(ctx, "groups", id)
}

// nickname makes a mail nickname, which a group must have even without mail: at most 64 plain characters.
func nickname(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' {
			return r
		}
		return '-'
	}, name)
	return plain[:min(len(plain), 64)]
}
