// Package operate works with what stands in Azure: it runs pipelines and follows them, starts and stops triggers, reads logs,
// swaps slots of apps and takes swaps back.
//
// It makes nothing that a deployment makes, and keeps nothing: runs, triggers and apps are asked for each time. It knows the
// services' own API and not the product's definitions; names and ids come from the caller.
//
// The rule that holds here: a request that starts something is made once. When it is not known whether it arrived, that is said,
// and nobody starts it a second time without asking.
package operate

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

	"github.com/flowehr/flowehr/internal/azure/cloud"
)

// Api-versions of the services.
const (
	factoryVersion = "2018-06-01"
	webVersion     = "2025-03-01"
)

// Factory is a data factory.
type Factory struct {
	client *cloud.Client
	id     string
}

// NewFactory returns the factory with a resource id. It makes no request.
func NewFactory(c *cloud.Client, id string) *Factory { return &Factory{c, id} }

// path is an address below the factory. Segments are escaped.
func (f *Factory) path(segments ...string) string { return address(f.id, factoryVersion, segments...) }

func address(id, version string, segments ...string) string {
	for _, s := range segments {
		id += "/" + url.PathEscape(s)
	}
	return cloud.At(id, version)
}

// get reads a resource; ask says what was asked for when it does not exist.
func (f *Factory) get(ctx context.Context, into any, segments ...string) error {
	return f.client.Get(ctx, cloud.ARM(), f.path(segments...), into)
}

// query makes a request that only reads and is a POST all the same.
func (f *Factory) query(ctx context.Context, body, into any, segments ...string) error {
	res, err := f.client.Do(ctx, cloud.ARM(), cloud.Request{Method: http.MethodPost, Path: f.path(segments...), Body: body, Repeats: true})
	if err != nil {
		return err
	}
	if err := json.Unmarshal(res.Body, into); err != nil {
		return fmt.Errorf("answer of %s: %w", strings.Join(segments, "/"), err)
	}
	return nil
}

// UnknownError says that something that was named does not exist.
type UnknownError struct {
	What, Name string
	Known      []string // what there is instead, in order
	Advice     string
}

// Error lists what there is.
func (e *UnknownError) Error() string {
	text := fmt.Sprintf("there is no %s %q", e.What, e.Name)
	if len(e.Known) > 0 {
		text += "; there are " + strings.Join(e.Known, ", ")
	}
	if e.Advice != "" {
		text += ". " + e.Advice
	}
	return text
}

// UncertainError says that a request to start something was lost on its way, so that it may have been started.
type UncertainError struct {
	What   string
	Advice string
	Err    error
}

// Error says what is not known and how to find out.
func (e *UncertainError) Error() string {
	return fmt.Sprintf("it is not known whether %s: %v. %s", e.What, e.Err, e.Advice)
}

// Unwrap returns what went wrong.
func (e *UncertainError) Unwrap() error { return e.Err }

// RefusedError says that something cannot be done as things stand, and what to do instead.
type RefusedError struct{ Reason, Advice string }

// Error gives reason and advice.
func (e *RefusedError) Error() string {
	if e.Advice == "" {
		return e.Reason
	}
	return e.Reason + ". " + e.Advice
}

// started turns the error of a request that starts something into an *[UncertainError] when it may have arrived.
func started(err error, what, advice string) error {
	e, ok := errors.AsType[*cloud.Error](err)
	if ok && (e.Status == 0 || e.Status >= 500 || e.Status == http.StatusRequestTimeout) {
		return &UncertainError{what, advice, err}
	}
	return err
}

// pause is how long to wait before looking again: an eighth of what has passed, within bounds.
func pause(waited time.Duration) time.Duration {
	return min(max(waited/8, 2*time.Second), 15*time.Second)
}

// contains reports whether a list holds a text, whatever its case. Azure's names have none.
func contains(list []string, s string) bool {
	return slices.ContainsFunc(list, func(e string) bool { return strings.EqualFold(e, s) })
}
