package statestore

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/azure/cloud"
	"github.com/flowehr/flowehr/internal/state"
)

// encode compresses: a state has whole templates and is written twice for every step.
func encode(st flowehr.State) ([]byte, error) {
	// It is written after every few steps of a deployment, so it is compressed lightly.
	whole, err := state.Encode(st)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	if _, err := z.Write(whole); err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("encode state: %w", err)
	}
	return b.Bytes(), nil
}

// largestState bounds what is decompressed: nobody's environment needs more, and a blob may have been put there by others.
const largestState = 256 << 20

// decode reads what encode wrote. A transport may have decompressed it already.
func decode(b []byte) (flowehr.State, error) {
	if bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return flowehr.State{}, err
		}
		if b, err = io.ReadAll(io.LimitReader(z, largestState)); err != nil {
			return flowehr.State{}, fmt.Errorf("it is not whole: %w", err)
		}
	}
	return state.Decode(b)
}

// damaged makes the error for a blob that does not decode. One of a newer program is whole and is not to be replaced.
func (s *Store) damaged(ctx context.Context, name string, err error) error {
	place := s.service().Base + s.path(name)
	if newer, ok := errors.AsType[*state.NewerError](err); ok {
		return fmt.Errorf("state %s cannot be read: %w", place, newer)
	}
	d := &state.DamagedError{Place: place, Err: err}
	if name == stateName {
		d.Restore, _ = s.Revisions(ctx) // an advice only
	}
	return d
}

func historyBlob(rev flowehr.Revision) string { return fmt.Sprintf("%sr%012d.json", historyName, rev) }

// Revisions lists the revisions that Restore can go back to, newest first.
func (s *Store) Revisions(ctx context.Context) ([]flowehr.Revision, error) {
	var out []flowehr.Revision
	prefix := strings.Trim(s.o.Prefix+"/"+historyName, "/") + "/r"
	query := url.Values{"restype": {"container"}, "comp": {"list"}, "prefix": {prefix}}
	for {
		res, err := s.do(ctx, http.MethodGet, "/"+s.o.Container+"?"+query.Encode(), nil, nil)
		if cloud.NotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list history of state: %w", err)
		}
		var page struct {
			Names []string `xml:"Blobs>Blob>Name"`
			Next  string   `xml:"NextMarker"`
		}
		if err := xml.Unmarshal(bytes.TrimPrefix(res.Body, []byte("\xef\xbb\xbf")), &page); err != nil {
			return nil, fmt.Errorf("list history of state: %w", err)
		}
		for _, name := range page.Names {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(name, prefix), ".json"), 10, 64)
			if err == nil {
				out = append(out, flowehr.Revision(n))
			}
		}
		if page.Next == "" {
			slices.SortFunc(out, func(a, b flowehr.Revision) int { return int(b - a) })
			return out, nil
		}
		query.Set("marker", page.Next)
	}
}

// keepHistory puts the state that this session found into the history, once, and drops what is older than it reaches back.
func (s *Store) keepHistory(ctx context.Context, found saved) error {
	if s.held.recorded || found.state.Revision == 0 {
		s.held.recorded = true
		return nil
	}
	b, err := encode(found.state)
	if err != nil {
		return err
	}
	if _, err := s.put(ctx, historyBlob(found.state.Revision), b, nil); err != nil {
		return fmt.Errorf("keep history of state: %w", err)
	}
	s.held.recorded = true
	revisions, err := s.Revisions(ctx)
	if err != nil {
		return err
	}
	for _, rev := range revisions[min(len(revisions), s.o.History):] {
		if _, err := s.do(ctx, http.MethodDelete, s.path(historyBlob(rev)), nil, nil); err != nil && !cloud.NotFound(err) {
			return fmt.Errorf("keep history of state: %w", err)
		}
	}
	return nil
}

// Restore puts an earlier revision in the place of the state, as a new revision, and returns the state. A damaged one is set
// aside first. The store must hold the lock. What happened since then is not in the state any more: refresh next.
func (s *Store) Restore(ctx context.Context, rev flowehr.Revision) (flowehr.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.heldLock(); err != nil {
		return flowehr.State{}, err
	}
	old, err := s.read(ctx, historyBlob(rev))
	if cloud.NotFound(err) {
		have, _ := s.Revisions(ctx) // an advice only
		return flowehr.State{}, fmt.Errorf("state has no revision %d: there are %v", rev, have)
	}
	if err == nil {
		err = s.fits(old.state)
	}
	if err != nil {
		return flowehr.State{}, err
	}
	return s.begin(ctx, old.state)
}

// Reset begins anew with an empty state. The one before goes to the history, or aside when it is damaged. The store must hold
// the lock. Nothing in the world changes: refresh next, to find what stands.
func (s *Store) Reset(ctx context.Context) (flowehr.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.heldLock(); err != nil {
		return flowehr.State{}, err
	}
	return s.begin(ctx, s.empty())
}

// begin writes a state that does not follow from the present one, at a later revision than any plan can have been made for.
func (s *Store) begin(ctx context.Context, st flowehr.State) (flowehr.State, error) {
	now, err := s.load(ctx)
	switch damaged, is := errors.AsType[*state.DamagedError](err); {
	case is:
		st.Revision = 2 // the lost state came after the last that is known, by one session of unknown length
		if len(damaged.Restore) > 0 {
			st.Revision = damaged.Restore[0] + unknownSession
		}
		if err := s.setAside(ctx); err != nil {
			return flowehr.State{}, err
		}
		s.last = nil
	case err != nil:
		return flowehr.State{}, err
	default:
		s.held.recorded = false
		if err := s.keepHistory(ctx, now); err != nil {
			return flowehr.State{}, err
		}
		st.Revision, s.last = now.state.Revision+1, &now
	}
	return st, s.write(ctx, st)
}

// unknownSession is more than the saves of any session, so that a plan made for a lost revision is never taken for current.
const unknownSession = 1 << 20

// setAside copies the blob that cannot be used to another name.
func (s *Store) setAside(ctx context.Context) error {
	res, err := s.do(ctx, http.MethodGet, s.path(stateName), nil, nil)
	if err == nil {
		_, err = s.put(ctx, stateName+".damaged-"+s.o.Now().UTC().Format("20060102T150405Z"), res.Body, nil)
	}
	if err != nil {
		return fmt.Errorf("set damaged state aside: %w", err)
	}
	return nil
}
