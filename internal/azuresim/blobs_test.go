package azuresim_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/azuresim"
)

const roleBlobContributor = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"

// storage makes an account with a container and returns what makes a request of it: the status and the header of the answer.
func (a *azure) storage() func(method, path string, body []byte, header map[string]string) (int, http.Header, []byte) {
	a.t.Helper()
	a.must("PUT", a.group("g"), object{"location": "uksouth"})
	a.resource("Microsoft.Storage/storageAccounts/strgtest", object{"location": "uksouth", "kind": "StorageV2", "sku": object{"name": "Standard_GRS"}, "properties": object{}})
	a.role(a.id("g", "Microsoft.Storage/storageAccounts/strgtest"), roleBlobContributor, a.me())
	c := a.deployer()
	return func(method, path string, body []byte, header map[string]string) (int, http.Header, []byte) {
		a.t.Helper()
		all := map[string]string{"x-ms-version": "2024-11-04"}
		for k, v := range header {
			all[k] = v
		}
		r := cloud.Request{Method: method, Path: path, Header: all}
		if body != nil {
			all["x-ms-blob-type"] = "BlockBlob"
			r.Body = body
		}
		res, err := c.Do(a.t.Context(), cloud.Blobs("strgtest"), r)
		if e, is := errors.AsType[*cloud.Error](err); is && e.Status == 0 {
			a.t.Fatal(err)
		}
		return res.Status, res.Header, res.Body
	}
}

func TestBlobsWithConditionsAndLeases(t *testing.T) {
	a := start(t, azuresim.Options{Seed: 31})
	do := a.storage()
	want := func(status int, code, method, path string, body []byte, header map[string]string) http.Header {
		t.Helper()
		got, h, data := do(method, path, body, header)
		if got != status || h.Get("x-ms-error-code") != code {
			t.Fatalf("%s %s %v: got %d %s %s, want %d %s", method, path, header, got, h.Get("x-ms-error-code"), data, status, code)
		}
		return h
	}
	want(404, "ContainerNotFound", "PUT", "/state/s.json", []byte("1"), nil)
	want(201, "", "PUT", "/state?restype=container", nil, nil)
	want(409, "ContainerAlreadyExists", "PUT", "/state?restype=container", nil, nil)
	first := want(201, "", "PUT", "/state/s.json", []byte("1"), map[string]string{"If-None-Match": "*"}).Get("ETag")
	want(409, "BlobAlreadyExists", "PUT", "/state/s.json", []byte("2"), map[string]string{"If-None-Match": "*"})
	second := want(201, "", "PUT", "/state/s.json", []byte("2"), map[string]string{"If-Match": first}).Get("ETag")
	want(412, "ConditionNotMet", "PUT", "/state/s.json", []byte("3"), map[string]string{"If-Match": first})
	if _, h, data := do("GET", "/state/s.json", nil, nil); string(data) != "2" || h.Get("ETag") != second {
		t.Errorf("got %q with %s, want the second", data, h.Get("ETag"))
	}
	const me, other = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"
	lease := func(action string, more map[string]string) map[string]string {
		out := map[string]string{"x-ms-lease-action": action}
		for k, v := range more {
			out[k] = v
		}
		return out
	}
	acquire := func(id string) map[string]string {
		return lease("acquire", map[string]string{"x-ms-lease-duration": "60", "x-ms-proposed-lease-id": id})
	}
	const at = "/state/s.json?comp=lease"
	want(201, "", "PUT", at, nil, acquire(me))
	want(409, "LeaseAlreadyPresent", "PUT", at, nil, acquire(other))
	want(412, "LeaseIdMissing", "PUT", "/state/s.json", []byte("x"), nil)
	want(412, "LeaseIdMismatchWithBlobOperation", "DELETE", "/state/s.json", nil, map[string]string{"x-ms-lease-id": other})
	want(201, "", "PUT", "/state/s.json", []byte("mine"), map[string]string{"x-ms-lease-id": me})
	a.pass(50 * time.Second)
	want(200, "", "PUT", at, nil, lease("renew", map[string]string{"x-ms-lease-id": me}))
	a.pass(50 * time.Second)
	want(409, "LeaseAlreadyPresent", "PUT", at, nil, acquire(other))
	a.pass(20 * time.Second)
	want(412, "LeaseLost", "PUT", "/state/s.json", []byte("late"), map[string]string{"x-ms-lease-id": me})
	want(201, "", "PUT", at, nil, acquire(other))
	want(409, "LeaseIdMismatchWithLeaseOperation", "PUT", at, nil, lease("renew", map[string]string{"x-ms-lease-id": me}))
	want(202, "", "PUT", at, nil, lease("break", map[string]string{"x-ms-lease-break-period": "0"}))
	want(201, "", "PUT", at, nil, acquire(me))
	want(200, "", "PUT", at, nil, lease("release", map[string]string{"x-ms-lease-id": me}))
	want(202, "", "DELETE", "/state/s.json", nil, nil)
	want(404, "BlobNotFound", "GET", "/state/s.json", nil, nil)
}
