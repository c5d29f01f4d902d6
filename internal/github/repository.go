package github

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-github/v88/github"
)

// Repository is a repository that is wanted or stands.
type Repository struct {
	ID          int64
	Owner       string
	Name        string
	Description string
	Private     bool
	Archived    bool
	Template    string // OWNER/NAME that it was made from
	Branch      string // the default one; empty until there is a commit
	Address     string // for people
}

const (
	generatePause = 2 * time.Second
	generateLimit = 5 * time.Minute
)

// Repository returns what stands. The error is ErrNotFound when nothing does.
func (c *Client) Repository(ctx context.Context, owner, name string) (Repository, error) {
	r, _, err := c.api.Repositories.Get(ctx, owner, name)
	if err != nil {
		return Repository{}, failed(err, "repository %s/%s", owner, name)
	}
	return repositoryOf(r), nil
}

func repositoryOf(r *github.Repository) Repository {
	return Repository{ID: r.GetID(), Owner: r.GetOwner().GetLogin(), Name: r.GetName(), Description: r.GetDescription(), Private: r.GetPrivate(),
		Archived: r.GetArchived(), Template: r.GetTemplateRepository().GetFullName(), Branch: r.GetDefaultBranch(), Address: r.GetHTMLURL()}
}

// EnsureRepository makes the repository from its template and waits until it has a branch, or changes the one that stands.
// An archived one is taken out of the archive. One that was made from another template is somebody else's and refused,
// unless adopted says that it is known to be ours.
func (c *Client) EnsureRepository(ctx context.Context, want Repository, adopted bool) (Repository, error) {
	have, err := c.Repository(ctx, want.Owner, want.Name)
	switch {
	case errors.Is(err, ErrNotFound):
		if err := c.generate(ctx, want); err != nil {
			return Repository{}, err
		}
	case err != nil:
		return Repository{}, err
	case !adopted && want.Template != "" && !strings.EqualFold(have.Template, want.Template):
		return Repository{}, fmt.Errorf("repository %s/%s stands already and was not made from %s: rename it or the app", want.Owner, want.Name, want.Template)
	}
	if have, err = c.generated(ctx, want); err != nil {
		return Repository{}, err
	}
	if have.Archived { // nothing else of an archived repository can be changed
		if _, _, err := c.api.Repositories.Edit(ctx, want.Owner, want.Name, &github.Repository{Archived: new(bool)}); err != nil {
			return Repository{}, failed(err, "take repository %s/%s out of the archive", want.Owner, want.Name)
		}
	}
	if have.Description == want.Description && have.Private == want.Private {
		return have, nil
	}
	change := &github.Repository{Description: &want.Description, Private: &want.Private}
	now, _, err := c.api.Repositories.Edit(ctx, want.Owner, want.Name, change)
	if err != nil {
		return Repository{}, failed(err, "change repository %s/%s", want.Owner, want.Name)
	}
	return repositoryOf(now), nil
}

func (c *Client) generate(ctx context.Context, want Repository) error {
	owner, name, ok := strings.Cut(want.Template, "/")
	if !ok {
		return fmt.Errorf("template %q of repository %s is not OWNER/NAME", want.Template, want.Name)
	}
	req := &github.TemplateRepoRequest{Name: &want.Name, Owner: &want.Owner, Description: &want.Description, Private: &want.Private}
	_, _, err := c.api.Repositories.CreateFromTemplate(ctx, owner, name, req)
	if status(err) == http.StatusUnprocessableEntity {
		if _, gerr := c.Repository(ctx, want.Owner, want.Name); gerr == nil {
			return nil // made by an earlier request whose answer was lost
		}
	}
	return failed(err, "make repository %s/%s from template %s", want.Owner, want.Name, want.Template)
}

// generated waits until the content of the template has been copied.
func (c *Client) generated(ctx context.Context, want Repository) (Repository, error) {
	var have Repository
	err := c.until(ctx, "copy the template into "+want.Owner+"/"+want.Name, generatePause, generateLimit, func() (bool, error) {
		var err error
		if have, err = c.Repository(ctx, want.Owner, want.Name); err != nil || have.Branch == "" {
			return false, ignoreNotFound(err)
		}
		_, _, err = c.api.Git.GetRef(ctx, want.Owner, want.Name, "heads/"+have.Branch)
		if s := status(err); s == http.StatusNotFound || s == http.StatusConflict {
			return false, nil // 409: the repository is empty
		}
		return err == nil, failed(err, "branch %s of %s/%s", have.Branch, want.Owner, want.Name)
	})
	return have, err
}

func ignoreNotFound(err error) error {
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Archive makes a repository read-only. One that does not exist is no error.
func (c *Client) Archive(ctx context.Context, owner, name string) error {
	_, _, err := c.api.Repositories.Edit(ctx, owner, name, &github.Repository{Archived: github.Ptr(true)})
	return ignoreNotFound(failed(err, "archive repository %s/%s", owner, name))
}

// DeleteRepository deletes a repository with everything in it. One that does not exist is no error.
func (c *Client) DeleteRepository(ctx context.Context, owner, name string) error {
	_, err := c.api.Repositories.Delete(ctx, owner, name)
	return ignoreNotFound(failed(err, "delete repository %s/%s", owner, name))
}

// File is a file on a branch.
type File struct {
	Owner, Repository, Branch, Path string
	Content                         string
	sha                             string
}

// File returns what stands. The error is ErrNotFound when nothing does.
func (c *Client) File(ctx context.Context, owner, repository, branch, path string) (File, error) {
	f := File{Owner: owner, Repository: repository, Branch: branch, Path: path}
	content, folder, _, err := c.api.Repositories.GetContents(ctx, owner, repository, path, &github.RepositoryContentGetOptions{Ref: branch})
	if err != nil {
		return f, failed(err, "file %s of %s/%s", path, owner, repository)
	}
	if content == nil || folder != nil {
		return f, fmt.Errorf("%s of %s/%s is a folder", path, owner, repository)
	}
	f.sha = content.GetSHA()
	f.Content, err = content.GetContent()
	return f, failed(err, "content of %s of %s/%s", path, owner, repository)
}

// ErrProtected says that a branch takes changes only by pull request.
var ErrProtected = errors.New("the branch takes changes only by pull request")

// EnsureFile makes a file stand with its content, by a commit with a message, or without one when it does already.
func (c *Client) EnsureFile(ctx context.Context, want File, message string) error {
	have, err := c.File(ctx, want.Owner, want.Repository, want.Branch, want.Path)
	missing := errors.Is(err, ErrNotFound)
	if err != nil && !missing || err == nil && have.Content == want.Content {
		return err
	}
	o := &github.RepositoryContentFileOptions{Message: &message, Content: []byte(want.Content), Branch: &want.Branch}
	if missing {
		_, _, err = c.api.Repositories.CreateFile(ctx, want.Owner, want.Repository, want.Path, o)
	} else {
		o.SHA = &have.sha
		_, _, err = c.api.Repositories.UpdateFile(ctx, want.Owner, want.Repository, want.Path, o)
	}
	if s := status(err); s == http.StatusConflict || s == http.StatusForbidden {
		return c.refusal(ctx, want, err)
	}
	return failed(err, "write %s of %s/%s", want.Path, want.Owner, want.Repository)
}

// refusal says whether a write was refused because the branch is protected.
func (c *Client) refusal(ctx context.Context, want File, refused error) error {
	b, _, err := c.api.Repositories.GetBranch(ctx, want.Owner, want.Repository, want.Branch, 1)
	if err == nil && b.GetProtected() {
		return fmt.Errorf("write %s of %s/%s on %s: %w: %w", want.Path, want.Owner, want.Repository, want.Branch, ErrProtected, refused)
	}
	return failed(refused, "write %s of %s/%s", want.Path, want.Owner, want.Repository)
}

// DeleteFile removes a file by a commit. One that does not exist is no error.
func (c *Client) DeleteFile(ctx context.Context, owner, repository, branch, path, message string) error {
	have, err := c.File(ctx, owner, repository, branch, path)
	if err != nil {
		return ignoreNotFound(err)
	}
	o := &github.RepositoryContentFileOptions{Message: &message, SHA: &have.sha, Branch: &branch}
	_, _, err = c.api.Repositories.DeleteFile(ctx, owner, repository, path, o)
	return ignoreNotFound(failed(err, "delete %s of %s/%s", path, owner, repository))
}
