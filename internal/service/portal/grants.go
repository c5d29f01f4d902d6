package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/durable"
)

// Grant is a token that was given out: a one-time link or a session. The token itself is not kept, only its SHA-256.
type Grant struct {
	Kind    string    `json:"kind"` // "link" or "session"
	Hash    string    `json:"hash"` // hex
	Person  Person    `json:"person"`
	Expires time.Time `json:"expires"`
}

// Kinds of grant.
const (
	grantLink    = "link"
	grantSession = "session"
)

// GrantStore keeps grants. Get and Take return [ErrNotFound] for a grant that is not there; of several Takes of one
// grant, at once or after each other, exactly one gets it. Expired grants may be dropped at any time.
type GrantStore interface {
	Put(context.Context, Grant) error
	Get(ctx context.Context, kind, hash string) (Grant, error)
	Take(ctx context.Context, kind, hash string) (Grant, error)
}

// MemoryGrants is a GrantStore that ends with the process.
type MemoryGrants struct {
	now    flowehr.Clock
	mu     sync.Mutex
	grants map[string]Grant
}

// NewMemoryGrants returns an empty store.
func NewMemoryGrants(now flowehr.Clock) *MemoryGrants {
	return &MemoryGrants{now: now, grants: map[string]Grant{}}
}

// Put keeps g and drops what has expired.
func (m *MemoryGrants) Put(_ context.Context, g Grant) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, old := range m.grants {
		if !m.now().Before(old.Expires) {
			delete(m.grants, k)
		}
	}
	m.grants[g.Kind+g.Hash] = g
	return nil
}

// Get returns a grant and leaves it.
func (m *MemoryGrants) Get(_ context.Context, kind, hash string) (Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, ok := m.grants[kind+hash]
	if !ok {
		return Grant{}, ErrNotFound
	}
	return g, nil
}

// Take returns a grant and removes it.
func (m *MemoryGrants) Take(_ context.Context, kind, hash string) (Grant, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	g, ok := m.grants[kind+hash]
	if !ok {
		return Grant{}, ErrNotFound
	}
	delete(m.grants, kind+hash)
	return g, nil
}

// FileGrants is a GrantStore in a folder, one file a grant, so that sessions survive a restart and another process on
// the machine can give out a link.
type FileGrants struct {
	dir string
	now flowehr.Clock
}

// NewFileGrants makes the folder when it is absent, for its owner alone.
func NewFileGrants(dir string, now flowehr.Clock) (*FileGrants, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("folder of sessions: %w", err)
	}
	return &FileGrants{dir: dir, now: now}, nil
}

// grantName is what a file may be called: everything that comes from a request is checked against it.
var grantName = regexp.MustCompile(`^(link|session)-[0-9a-f]{64}$`)

func (f *FileGrants) path(kind, hash string) (string, error) {
	name := kind + "-" + hash
	if !grantName.MatchString(name) {
		return "", ErrNotFound
	}
	return filepath.Join(f.dir, name), nil
}

// Put keeps g and drops what is of no use any more.
func (f *FileGrants) Put(ctx context.Context, g Grant) error {
	path, err := f.path(g.Kind, g.Hash)
	if err != nil {
		return fmt.Errorf("grant %q is not of a known kind", g.Kind)
	}
	f.sweep(ctx)
	b, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if err := durable.Replace(path, b); err != nil {
		return fmt.Errorf("keep grant: %w", err)
	}
	return nil
}

// Get returns a grant and leaves it.
func (f *FileGrants) Get(_ context.Context, kind, hash string) (Grant, error) {
	path, err := f.path(kind, hash)
	if err != nil {
		return Grant{}, err
	}
	return readGrant(path)
}

// Take returns a grant and removes it. Who renames the file has it: a rename succeeds once.
func (f *FileGrants) Take(_ context.Context, kind, hash string) (Grant, error) {
	path, err := f.path(kind, hash)
	if err != nil {
		return Grant{}, err
	}
	taken := path + ".taken"
	if err := os.Rename(path, taken); errors.Is(err, fs.ErrNotExist) {
		return Grant{}, ErrNotFound
	} else if err != nil {
		return Grant{}, fmt.Errorf("take grant: %w", err)
	}
	defer func() { _ = os.Remove(taken) }()
	return readGrant(taken)
}

func readGrant(path string) (Grant, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Grant{}, ErrNotFound
	}
	if err != nil {
		return Grant{}, fmt.Errorf("read grant: %w", err)
	}
	var g Grant
	if err := json.Unmarshal(b, &g); err != nil {
		return Grant{}, ErrNotFound // a torn file lets nobody in
	}
	return g, nil
}

// sweep drops expired grants. What cannot be dropped now is dropped later: the portal checks the time itself.
func (f *FileGrants) sweep(ctx context.Context) {
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return
		}
		path := filepath.Join(f.dir, e.Name())
		if f.spent(path, e) {
			_ = os.Remove(path)
		}
	}
}

// spent reports whether a file of the folder is of no use: a grant that has expired, or one that a crash left half
// written or half taken, once it is older than any grant lives.
func (f *FileGrants) spent(path string, e fs.DirEntry) bool {
	if grantName.MatchString(e.Name()) {
		if g, err := readGrant(path); err == nil {
			return !f.now().Before(g.Expires)
		}
	}
	info, err := e.Info()
	return err == nil && info.Mode().IsRegular() && f.now().Sub(info.ModTime()) > sessionLife
}
