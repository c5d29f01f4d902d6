package azure

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/url"
	"path"

	"github.com/flowehr/flowehr/internal/azure"
)

const workspacePath = "/api/2.0/workspace/"

// workspaceFileLimit is the most that one import may carry (docs.databricks.com/api/azure/workspace/workspace/import).
const workspaceFileLimit = 10 << 20

// importFile writes a file of the workspace and the folders above it.
func (m fileMinder) importFile(ctx context.Context, s azure.FileSpec) error {
	f, err := m.open(s)
	if err != nil {
		return err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, workspaceFileLimit+1))
	if err != nil {
		return fmt.Errorf("read %s: %w", s.From, err)
	}
	if len(content) > workspaceFileLimit {
		return fmt.Errorf("%s is larger than the 10 MB that Databricks takes as a file of the workspace", s.From)
	}
	if err := m.post(ctx, s.Workspace, workspacePath+"mkdirs", map[string]string{"path": path.Dir(s.Path)}, nil); err != nil {
		return err
	}
	body := map[string]any{"path": s.Path, "format": "AUTO", "overwrite": true, "content": base64.StdEncoding.EncodeToString(content)}
	return m.post(ctx, s.Workspace, workspacePath+"import", body, nil)
}

// exportedDigest returns the digest of a file of the workspace, which is read back whole.
func (m fileMinder) exportedDigest(ctx context.Context, s azure.FileSpec) (string, bool, error) {
	var out struct {
		Content string `json:"content"`
	}
	query := url.Values{"path": {s.Path}, "format": {"AUTO"}}
	if err := m.get(ctx, s.Workspace, workspacePath+"export?"+query.Encode(), &out); err != nil {
		return "", false, ignoring(missing, err)
	}
	content, err := base64.StdEncoding.DecodeString(out.Content)
	if err != nil {
		return "", false, fmt.Errorf("content of %s: %w", s.Path, err)
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:]), true, nil
}
