package azuresim

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	typeStorage   = "Microsoft.Storage/storageAccounts"
	typeContainer = "Microsoft.Storage/storageAccounts/blobServices/containers"

	roleBlobOwner       = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"
	roleBlobContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
	roleBlobReader      = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
)

// blobs is the blob service of storage accounts: containers and block blobs with conditions and leases
// (learn.microsoft.com/rest/api/storageservices). Blocks, snapshots, versions and other kinds of blob are not simulated.
type blobs struct {
	w *world
	m *manager
}

// blobAccount is what an account keeps.
type blobAccount struct {
	Containers map[string]*blobContainer `json:"containers"`
}

type blobContainer struct {
	Blobs   map[string]*blob `json:"blobs"`
	Changed time.Time        `json:"changed"`
	Lease   *lease           `json:"lease,omitempty"`
}

type blob struct {
	Data    []byte            `json:"data"`
	Type    string            `json:"type,omitempty"`
	Coding  string            `json:"coding,omitempty"` // Content-Encoding
	Meta    map[string]string `json:"meta,omitempty"`
	ETag    string            `json:"etag"`
	Changed time.Time         `json:"changed"`
	Lease   *lease            `json:"lease,omitempty"`
}

// lease is who may change a blob (learn.microsoft.com/rest/api/storageservices/lease-blob).
type lease struct {
	ID       string        `json:"id"`
	Duration time.Duration `json:"duration"` // 0 means until it is released
	Ends     time.Time     `json:"ends,omitzero"`
	Broken   time.Time     `json:"broken,omitzero"` // from when on it counts as broken
}

func newBlobs(w *world, m *manager) *blobs {
	b := &blobs{w, m}
	m.watch(typeStorage, func(what change, r *resource) {
		if what == changeGone {
			delete(w.Blobs, strings.ToLower(r.Name))
		}
	})
	m.watch(typeContainer, func(what change, r *resource) {
		t, _ := parseTarget(r.ID)
		account := b.account(t.Names[0])
		switch {
		case what == changeGone:
			delete(account.Containers, r.Name)
		case account.Containers[r.Name] == nil:
			account.Containers[r.Name] = &blobContainer{Blobs: map[string]*blob{}, Changed: w.now()}
		}
	})
	return b
}

func (b *blobs) account(name string) *blobAccount {
	name = strings.ToLower(name)
	if b.w.Blobs == nil {
		b.w.Blobs = map[string]*blobAccount{}
	}
	if b.w.Blobs[name] == nil {
		b.w.Blobs[name] = &blobAccount{Containers: map[string]*blobContainer{}}
	}
	return b.w.Blobs[name]
}

// blobFail is an error in the service's XML.
func blobFail(status int, code, format string, args ...any) answer {
	type body struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}
	data, err := xml.Marshal(body{Code: code, Message: refusal(code, format, args...).Message})
	if err != nil { // two strings
		panic("azuresim: " + err.Error())
	}
	return raw(status, "application/xml", append([]byte(xml.Header), data...)).with("x-ms-error-code", code)
}

// blobVersion is the form of the service's versions.
var blobVersion = regexp.MustCompile(`^20\d\d-\d\d-\d\d$`)

func (b *blobs) serve(c *call) answer {
	name, _, _ := strings.Cut(c.Host, ".")
	r := b.m.named(typeStorage, name)
	if r == nil {
		return drop() // the name does not resolve
	}
	if !blobVersion.MatchString(c.Header.Get("x-ms-version")) {
		return blobFail(http.StatusBadRequest, "InvalidHeaderValue", "A token of the directory needs the header x-ms-version.")
	}
	if refused := b.permit(c, r); refused != nil {
		return *refused
	}
	account := b.account(name)
	container, path, _ := strings.Cut(strings.TrimPrefix(c.Path, "/"), "/")
	switch {
	case container == "" && c.Query.Get("comp") == "list":
		return b.listContainers(account)
	case container == "":
		return b.unknown(c)
	case path == "":
		return b.container(c, account, r, container)
	}
	in := account.Containers[container]
	if in == nil {
		return noContainer()
	}
	return b.blob(c, in, path).with("x-ms-version", c.Header.Get("x-ms-version"))
}

func (b *blobs) unknown(c *call) answer {
	return blobFail(http.StatusBadRequest, "UnsupportedOperation", "The simulated blob service has no %s %s?%s.", c.Method, c.Path, c.Query.Encode())
}

func noContainer() answer {
	return blobFail(http.StatusNotFound, "ContainerNotFound", "The specified container does not exist.")
}

// permit applies the firewall and the roles.
func (b *blobs) permit(c *call, r *resource) *answer {
	roles := []string{roleBlobOwner, roleBlobContributor}
	if c.Method == http.MethodGet || c.Method == http.MethodHead {
		roles = append(roles, roleBlobReader)
	}
	var a answer
	switch {
	case b.m.reach(r) != reachable:
		a = blobFail(http.StatusForbidden, "AuthorizationFailure", "This request is not authorized to perform this operation.")
	case !b.m.dataRole(c.Caller.ObjectID, r.ID, roles...):
		a = blobFail(http.StatusForbidden, "AuthorizationPermissionMismatch", "This request is not authorized to perform this operation using this permission.")
	default:
		return nil
	}
	return &a
}

func (b *blobs) container(c *call, account *blobAccount, r *resource, name string) answer {
	in := account.Containers[name]
	if c.Query.Get("restype") != "container" {
		return b.unknown(c)
	}
	switch comp := c.Query.Get("comp"); {
	case comp == "" && c.Method == http.MethodPut:
		if in != nil {
			return blobFail(http.StatusConflict, "ContainerAlreadyExists", "The specified container already exists.")
		}
		account.Containers[name] = &blobContainer{Blobs: map[string]*blob{}, Changed: b.w.now()}
		return b.stamped(reply(http.StatusCreated, nil), etag(b.w.now(), name), b.w.now())
	case in == nil:
		return noContainer()
	case comp == "list" && c.Method == http.MethodGet:
		return b.list(c, in, r.Name, name)
	case comp == "lease" && c.Method == http.MethodPut:
		return b.stamped(b.lease(c, &in.Lease), etag(in.Changed, name), in.Changed)
	case comp == "" && (c.Method == http.MethodGet || c.Method == http.MethodHead):
		return b.stamped(reply(http.StatusOK, nil), etag(in.Changed, name), in.Changed)
	case comp == "" && c.Method == http.MethodDelete:
		if refused := b.leased(c, in.Lease); refused != nil {
			return *refused
		}
		delete(account.Containers, name)
		return reply(http.StatusAccepted, nil)
	}
	return b.unknown(c)
}

func etag(at time.Time, words ...string) string {
	return `"0x` + strings.ToUpper(hexOf(uint64(at.UnixNano()), 15, words...)) + `"`
}

func (b *blobs) stamped(a answer, tag string, at time.Time) answer {
	return a.with("ETag", tag).with("Last-Modified", at.UTC().Format(http.TimeFormat))
}

func (b *blobs) blob(c *call, in *blobContainer, path string) answer {
	have := in.Blobs[path]
	if refused := precondition(c, have); refused != nil {
		return *refused
	}
	comp := c.Query.Get("comp")
	switch {
	case comp == "" && c.Method == http.MethodPut:
		return b.put(c, in, path, have)
	case have == nil:
		return blobFail(http.StatusNotFound, "BlobNotFound", "The specified blob does not exist.")
	case comp == "lease" && c.Method == http.MethodPut:
		return b.stamped(b.lease(c, &have.Lease), have.ETag, have.Changed)
	case comp == "metadata" && c.Method == http.MethodPut:
		if refused := b.leased(c, have.Lease); refused != nil {
			return *refused
		}
		have.Meta = metadata(c)
		b.touch(have, path)
		return b.stamped(reply(http.StatusOK, nil), have.ETag, have.Changed)
	case comp == "" && (c.Method == http.MethodGet || c.Method == http.MethodHead):
		return b.get(c, have)
	case comp == "" && c.Method == http.MethodDelete:
		if refused := b.leased(c, have.Lease); refused != nil {
			return *refused
		}
		delete(in.Blobs, path)
		return reply(http.StatusAccepted, nil)
	}
	return b.unknown(c)
}

// precondition applies the conditional headers (learn.microsoft.com/rest/api/storageservices/specifying-conditional-headers-for-blob-service-operations).
func precondition(c *call, have *blob) *answer {
	match, none := c.Header.Get("If-Match"), c.Header.Get("If-None-Match")
	failed := func(status int, code, text string) *answer {
		a := blobFail(status, code, "%s", text)
		return &a
	}
	reads := c.Method == http.MethodGet || c.Method == http.MethodHead
	switch {
	case match != "" && (have == nil || match != "*" && match != have.ETag):
		if have == nil && reads {
			return nil // it is not found
		}
		return failed(http.StatusPreconditionFailed, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
	case none == "*" && have != nil && !reads:
		return failed(http.StatusConflict, "BlobAlreadyExists", "The specified blob already exists.")
	case none != "" && have != nil && none == have.ETag && reads:
		a := answer{Status: http.StatusNotModified, Header: http.Header{}}
		return &a
	case none != "" && have != nil && none == have.ETag:
		return failed(http.StatusPreconditionFailed, "ConditionNotMet", "The condition specified using HTTP conditional header(s) is not met.")
	}
	return nil
}

func metadata(c *call) map[string]string {
	out := map[string]string{}
	for name, values := range c.Header {
		if key, meta := strings.CutPrefix(strings.ToLower(name), "x-ms-meta-"); meta {
			out[key] = values[0]
		}
	}
	return out
}

func (b *blobs) touch(x *blob, path string) {
	x.Changed = b.w.now()
	x.ETag = etag(b.w.now(), path, strconv.FormatUint(b.w.serial(), 10))
}

func (b *blobs) put(c *call, in *blobContainer, path string, have *blob) answer {
	if kind := c.Header.Get("x-ms-blob-type"); kind != "BlockBlob" {
		return blobFail(http.StatusBadRequest, "MissingRequiredHeader", "x-ms-blob-type must be BlockBlob in the simulation, not %q.", kind)
	}
	next := &blob{Data: c.Body, Type: c.Header.Get("x-ms-blob-content-type"), Coding: c.Header.Get("x-ms-blob-content-encoding"), Meta: metadata(c)}
	if next.Type == "" {
		next.Type = c.Header.Get("Content-Type")
	}
	if have != nil {
		if refused := b.leased(c, have.Lease); refused != nil {
			return *refused
		}
		next.Lease = have.Lease
	} else if c.Header.Get("x-ms-lease-id") != "" {
		return blobFail(http.StatusPreconditionFailed, "LeaseNotPresentWithBlobOperation", "There is currently no lease on the blob.")
	}
	b.touch(next, path)
	in.Blobs[path] = next
	sum := md5.Sum(c.Body)
	return b.stamped(reply(http.StatusCreated, nil), next.ETag, next.Changed).with("Content-MD5", base64.StdEncoding.EncodeToString(sum[:])).
		with("x-ms-request-server-encrypted", "true")
}

func (b *blobs) get(c *call, have *blob) answer {
	data, status := have.Data, http.StatusOK
	header := c.Header.Get("x-ms-range")
	if header == "" {
		header = c.Header.Get("Range")
	}
	if span, ranged := strings.CutPrefix(header, "bytes="); ranged {
		from, to, good := parseRange(span, len(data))
		if !good {
			return blobFail(http.StatusRequestedRangeNotSatisfiable, "InvalidRange", "The range specified is invalid for the current size of the resource.")
		}
		data, status = data[from:to], http.StatusPartialContent
	}
	a := raw(status, have.Type, data)
	if c.Method == http.MethodHead {
		a.Body = nil
		a = a.with("Content-Length", strconv.Itoa(len(have.Data)))
	}
	if have.Coding != "" {
		a = a.with("Content-Encoding", have.Coding)
	}
	for name, v := range have.Meta {
		a = a.with("x-ms-meta-"+name, v)
	}
	state, locked := "available", "unlocked"
	if l := have.Lease; l != nil {
		state = l.state(b.w.now())
		if l.holds(b.w.now()) {
			locked = "locked"
		}
	}
	return b.stamped(a, have.ETag, have.Changed).with("x-ms-blob-type", "BlockBlob").with("x-ms-lease-state", state).with("x-ms-lease-status", locked)
}

func parseRange(span string, size int) (from, to int, good bool) {
	first, last, _ := strings.Cut(span, "-")
	from, err := strconv.Atoi(first)
	if err != nil || from < 0 || from >= size {
		return 0, 0, false
	}
	to = size
	if last != "" {
		n, err := strconv.Atoi(last)
		if err != nil || n < from {
			return 0, 0, false
		}
		to = min(n+1, size)
	}
	return from, to, true
}

// Lists, in the service's XML.
type (
	blobList struct {
		XMLName   xml.Name   `xml:"EnumerationResults"`
		Service   string     `xml:"ServiceEndpoint,attr"`
		Container string     `xml:"ContainerName,attr,omitempty"`
		Prefix    string     `xml:"Prefix,omitempty"`
		Blobs     []blobItem `xml:"Blobs>Blob"`
		Next      string     `xml:"NextMarker"`
	}
	blobItem struct {
		Name       string
		Properties blobProperties
	}
	blobProperties struct {
		Changed string `xml:"Last-Modified"`
		ETag    string `xml:"Etag"`
		Length  int    `xml:"Content-Length"`
		Type    string `xml:"Content-Type"`
		Kind    string `xml:"BlobType"`
		Lease   string `xml:"LeaseState"`
	}
	containerList struct {
		XMLName    xml.Name        `xml:"EnumerationResults"`
		Containers []containerItem `xml:"Containers>Container"`
		Next       string          `xml:"NextMarker"`
	}
	containerItem struct{ Name string }
)

func asXML(v any) answer {
	data, err := xml.Marshal(v)
	if err != nil { // of our own types
		panic(fmt.Sprintf("azuresim: answer of %T: %v", v, err))
	}
	return raw(http.StatusOK, "application/xml", append([]byte(xml.Header), data...))
}

func (b *blobs) listContainers(account *blobAccount) answer {
	var out containerList
	for _, name := range slices.Sorted(maps.Keys(account.Containers)) {
		out.Containers = append(out.Containers, containerItem{name})
	}
	return asXML(out)
}

// list answers with the blobs of a container, by their names.
func (b *blobs) list(c *call, in *blobContainer, account, name string) answer {
	most := 5000
	if n, err := strconv.Atoi(c.Query.Get("maxresults")); err == nil && n > 0 {
		most = min(n, most)
	}
	prefix, marker := c.Query.Get("prefix"), c.Query.Get("marker")
	if c.Query.Get("delimiter") != "" {
		return b.unknown(c)
	}
	out := blobList{Service: "https://" + account + ".blob.core.windows.net/", Container: name, Prefix: prefix}
	for _, path := range slices.Sorted(maps.Keys(in.Blobs)) {
		if !strings.HasPrefix(path, prefix) || path < marker {
			continue
		}
		if len(out.Blobs) == most {
			out.Next = path
			break
		}
		x := in.Blobs[path]
		state := "available"
		if x.Lease != nil {
			state = x.Lease.state(b.w.now())
		}
		out.Blobs = append(out.Blobs, blobItem{path, blobProperties{x.Changed.UTC().Format(http.TimeFormat), strings.Trim(x.ETag, `"`), len(x.Data), x.Type, "BlockBlob", state}})
	}
	return asXML(out)
}
