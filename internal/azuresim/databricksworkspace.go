package azuresim

import (
	"bytes"
	"encoding/base64"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"time"
)

// workspaceObject is a folder, a file or a notebook among the objects of a workspace
// (docs.databricks.com/api/azure/workspace/workspace). They are apart from its file system.
type workspaceObject struct {
	ID      int64     `json:"id"`
	Kind    string    `json:"kind"`
	Data    []byte    `json:"data,omitempty"`
	Made    time.Time `json:"made"`
	Changed time.Time `json:"changed"`
}

const (
	objectFolder   = "DIRECTORY"
	objectFile     = "FILE"
	objectNotebook = "NOTEBOOK"
)

// importLimit is the most that one import carries.
const importLimit = 10 << 20

// builtInFolders stand in every workspace.
var builtInFolders = []string{"/", "/Repos", "/Shared", "/Users"}

// objectBody is what calls about objects tell.
type objectBody struct {
	Path      string `json:"path"`
	Format    string `json:"format"`
	Language  string `json:"language"`
	Content   string `json:"content"`
	Overwrite bool   `json:"overwrite"`
	Recursive bool   `json:"recursive"`
}

func (c *brickCall) objectBody() (objectBody, *answer) {
	var body objectBody
	if c.Method == http.MethodGet {
		body.Path, body.Format = c.Query.Get("path"), c.Query.Get("format")
	} else if err := c.decode(&body); err != nil {
		a := badBrick("The body is not JSON.")
		return body, &a
	}
	body.Path = strings.TrimPrefix(body.Path, "/Workspace")
	if !strings.HasPrefix(body.Path, "/") || path.Clean(body.Path) != body.Path {
		a := badBrick("Path (%s) must be absolute, without . and .. in it.", body.Path)
		return body, &a
	}
	return body, nil
}

// object returns what stands at a path; the folders that every workspace has are made up.
func (c *brickCall) object(at string) *workspaceObject {
	if o := c.ws.Objects[at]; o != nil || !slices.Contains(builtInFolders, at) {
		return o
	}
	return &workspaceObject{Kind: objectFolder, Made: c.r.Stood, Changed: c.r.Stood}
}

func (c *brickCall) putObject(at, kind string, data []byte) {
	if c.ws.Objects == nil {
		c.ws.Objects = map[string]*workspaceObject{}
	}
	c.ws.Serial++
	o := &workspaceObject{ID: c.ws.Serial, Kind: kind, Data: data, Made: c.d.w.now(), Changed: c.d.w.now()}
	if have := c.ws.Objects[at]; have != nil {
		o.ID, o.Made = have.ID, have.Made
	}
	c.ws.Objects[at] = o
}

func noObject(at string) answer {
	return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "Path (%s) doesn't exist.", at)
}

// makeFolders makes a folder and those above it.
func (c *brickCall) makeFolders() answer {
	body, refused := c.objectBody()
	if refused != nil {
		return *refused
	}
	var above []string
	for at := body.Path; c.object(at) == nil; at = path.Dir(at) {
		above = append(above, at)
	}
	last := body.Path
	if len(above) > 0 {
		last = path.Dir(above[len(above)-1])
	}
	if o := c.object(last); o.Kind != objectFolder {
		return brick(http.StatusBadRequest, "RESOURCE_ALREADY_EXISTS", "%s is a %s.", last, o.Kind)
	}
	for _, at := range above {
		c.putObject(at, objectFolder, nil)
	}
	return ok(object{})
}

// notebookMarks are what the source of a notebook begins with, by the extension of its file.
var notebookMarks = map[string]string{
	".py": "# Databricks notebook source", ".r": "# Databricks notebook source", ".R": "# Databricks notebook source",
	".sql": "-- Databricks notebook source", ".scala": "// Databricks notebook source",
}

// importObject takes a file, or a notebook, which loses its extension.
func (c *brickCall) importObject() answer {
	body, refused := c.objectBody()
	if refused != nil {
		return *refused
	}
	data, err := base64.StdEncoding.DecodeString(body.Content)
	switch {
	case err != nil:
		return badBrick("The content is not in base64.")
	case body.Format != "AUTO":
		return badBrick("The simulation imports files in the format AUTO only, not %q.", body.Format)
	case len(data) > importLimit:
		return brick(http.StatusBadRequest, "MAX_NOTEBOOK_SIZE_EXCEEDED", "The content is larger than 10 MB.")
	}
	at, kind := body.Path, objectFile
	if mark := notebookMarks[path.Ext(at)]; mark != "" && bytes.HasPrefix(data, []byte(mark)) {
		at, kind = strings.TrimSuffix(at, path.Ext(at)), objectNotebook
	}
	if o := c.object(path.Dir(at)); o == nil || o.Kind != objectFolder {
		return brick(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST", "The parent folder (%s) does not exist.", path.Dir(at))
	}
	if o := c.object(at); o != nil && (!body.Overwrite || o.Kind != kind) {
		return brick(http.StatusBadRequest, "RESOURCE_ALREADY_EXISTS", "Path (%s) already exists.", at)
	}
	c.putObject(at, kind, data)
	return ok(object{"object_id": c.ws.Objects[at].ID})
}

func (c *brickCall) exportObject() answer {
	body, refused := c.objectBody()
	if refused != nil {
		return *refused
	}
	o := c.object(body.Path)
	switch {
	case o == nil:
		return noObject(body.Path)
	case o.Kind == objectFolder:
		return badBrick("The simulation exports no folders: %s.", body.Path)
	}
	return ok(object{"content": base64.StdEncoding.EncodeToString(o.Data), "file_type": strings.TrimPrefix(path.Ext(body.Path), ".")})
}

func (c *brickCall) describeObject(at string, o *workspaceObject) object {
	out := object{"path": at, "object_type": o.Kind, "object_id": o.ID, "resource_id": o.ID, "created_at": o.Made.UnixMilli(), "modified_at": o.Changed.UnixMilli()}
	if o.Kind == objectFile {
		out["size"] = len(o.Data)
	}
	return out
}

func (c *brickCall) objectStatus() answer {
	body, refused := c.objectBody()
	if refused != nil {
		return *refused
	}
	o := c.object(body.Path)
	if o == nil {
		return noObject(body.Path)
	}
	return ok(c.describeObject(body.Path, o))
}

// listObjects lists what is in a folder, not what is in the folders there.
func (c *brickCall) listObjects() answer {
	body, refused := c.objectBody()
	if refused != nil {
		return *refused
	}
	o := c.object(body.Path)
	if o == nil {
		return noObject(body.Path)
	}
	out := []object{}
	if o.Kind != objectFolder {
		out = append(out, c.describeObject(body.Path, o))
	}
	for _, at := range slices.Sorted(maps.Keys(c.ws.Objects)) {
		if path.Dir(at) == body.Path {
			out = append(out, c.describeObject(at, c.ws.Objects[at]))
		}
	}
	return ok(object{"objects": out})
}

func (c *brickCall) deleteObject() answer {
	body, refused := c.objectBody()
	switch {
	case refused != nil:
		return *refused
	case c.ws.Objects[body.Path] == nil:
		return noObject(body.Path)
	}
	within := slices.DeleteFunc(slices.Collect(maps.Keys(c.ws.Objects)), func(at string) bool { return !strings.HasPrefix(at, body.Path+"/") })
	if len(within) > 0 && !body.Recursive {
		return brick(http.StatusBadRequest, "DIRECTORY_NOT_EMPTY", "Folder (%s) is not empty", body.Path)
	}
	for _, at := range append(within, body.Path) {
		delete(c.ws.Objects, at)
	}
	return ok(object{})
}
