package azure

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"strconv"
	"strings"

	"github.com/flowehr/flowehr/internal/azure"
)

const dbfsPath = "/api/2.0/dbfs/"

// dbfsBlock is the most that one request may carry or return, before encoding (docs.databricks.com/api/azure/workspace/dbfs).
const dbfsBlock = 1 << 20

// fileMinder uploads files of the definition: a path of dbfs: to the workspace's file system, a block at a time, and another to
// the files of the workspace itself.
type fileMinder struct {
	bricks
	files fs.FS
}

func inDBFS(s azure.FileSpec) bool { return strings.HasPrefix(s.Path, "dbfs:") }

// onDBFS is a path as the API takes it.
func onDBFS(path string) string { return strings.TrimPrefix(path, "dbfs:") }

// ensure compares what stands with the description first: after a crash most files stand already.
func (m fileMinder) ensure(ctx context.Context, s azure.FileSpec, _ task) (made, error) {
	have, found, err := m.digest(ctx, s)
	if err != nil {
		return made{}, err
	}
	if !found || have != s.Digest {
		err = m.upload(ctx, s)
	}
	return made{id: s.Path}, err
}

func (m fileMinder) upload(ctx context.Context, s azure.FileSpec) error {
	if err := m.unchanged(s); err != nil {
		return err
	}
	if !inDBFS(s) {
		return m.importFile(ctx, s)
	}
	f, err := m.open(s)
	if err != nil {
		return err
	}
	defer f.Close()
	var stream struct {
		Handle int64 `json:"handle"`
	}
	body := map[string]any{"path": onDBFS(s.Path), "overwrite": true}
	if err := m.post(ctx, s.Workspace, dbfsPath+"create", body, &stream); err != nil {
		return err
	}
	block := make([]byte, dbfsBlock)
	for {
		n, err := io.ReadFull(f, block)
		if n > 0 {
			part := map[string]any{"handle": stream.Handle, "data": base64.StdEncoding.EncodeToString(block[:n])}
			if err := m.post(ctx, s.Workspace, dbfsPath+"add-block", part, nil); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return m.post(ctx, s.Workspace, dbfsPath+"close", map[string]any{"handle": stream.Handle}, nil)
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", s.From, err)
		}
	}
}

// open returns the content: of the definition's file, or the one that was generated.
func (m fileMinder) open(s azure.FileSpec) (io.ReadCloser, error) {
	if s.From == "" {
		return io.NopCloser(strings.NewReader(s.Content)), nil
	}
	if m.files == nil {
		return nil, fmt.Errorf("%s cannot be uploaded: the definition's files are not at hand", s.From)
	}
	return m.files.Open(s.From)
}

// unchanged refuses a file that is not the one that was planned.
func (m fileMinder) unchanged(s azure.FileSpec) error {
	f, err := m.open(s)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return fmt.Errorf("read %s: %w", s.From, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != s.Digest {
		return fmt.Errorf("%s has changed since the plan was made: make a new plan", cmp.Or(s.From, s.Path))
	}
	return nil
}

// digest returns the digest of what stands, which the API does not tell: it is read back.
func (m fileMinder) digest(ctx context.Context, s azure.FileSpec) (string, bool, error) {
	if !inDBFS(s) {
		return m.exportedDigest(ctx, s)
	}
	h := sha256.New()
	for offset := 0; ; {
		var part struct {
			Read int    `json:"bytes_read"`
			Data string `json:"data"`
		}
		query := url.Values{"path": {onDBFS(s.Path)}, "offset": {strconv.Itoa(offset)}, "length": {strconv.Itoa(dbfsBlock)}}
		err := m.get(ctx, s.Workspace, dbfsPath+"read?"+query.Encode(), &part)
		if err != nil {
			return "", false, ignoring(missing, err)
		}
		data, err := base64.StdEncoding.DecodeString(part.Data)
		if err != nil {
			return "", false, fmt.Errorf("content of %s: %w", s.Path, err)
		}
		h.Write(data)
		offset += len(data)
		if len(data) < dbfsBlock {
			return hex.EncodeToString(h.Sum(nil)), true, nil
		}
	}
}

func (m fileMinder) read(ctx context.Context, s azure.FileSpec, _ string) (azure.FileSpec, made, error) {
	have, found, err := m.digest(ctx, s)
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("file %s", s.Path))
	}
	s.Digest = have
	return s, made{id: s.Path}, nil
}

func (m fileMinder) remove(ctx context.Context, s azure.FileSpec, _ string) error {
	at := workspacePath
	if inDBFS(s) {
		at = dbfsPath
	}
	return ignoring(missing, m.post(ctx, s.Workspace, at+"delete", map[string]any{"path": onDBFS(s.Path)}, nil))
}
