package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// MinMajor is the oldest PostgreSQL that is used.
const MinMajor = 14

// ErrNoBinaries is returned when no PostgreSQL is installed that can be used.
var ErrNoBinaries = errors.New("no PostgreSQL found")

// Binaries is one installed PostgreSQL.
type Binaries struct {
	Dir   string // holds postgres and initdb
	Major int
}

// places are where packages put the programs. $PATH is not asked: what it names differs from shell to shell, and
// Debian's wrappers on it are not the programs themselves.
var places = []string{
	"/usr/lib/postgresql/*/bin",                             // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                      // PGDG packages on Fedora and RHEL
	"/usr/libexec/postgresql*",                              // Alpine
	"/usr/local/opt/postgresql*/bin",                        // Homebrew on Intel
	"/opt/homebrew/opt/postgresql*/bin",                     // Homebrew on Apple silicon
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",        // Homebrew on Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin",    // Postgres.app
	"/usr/lib/postgresql/bin", "/usr/local/bin", "/usr/bin", // Arch, from source, Fedora
}

// Find returns the newest installed PostgreSQL of at least version [MinMajor]. With dir it looks there and nowhere else.
func Find(ctx context.Context, dir string) (Binaries, error) {
	if dir != "" {
		b, err := inspect(ctx, dir)
		if err != nil {
			return Binaries{}, fmt.Errorf("%w in %s: %w", ErrNoBinaries, dir, err)
		}
		return b, nil
	}
	return findIn(ctx, places)
}

func findIn(ctx context.Context, patterns []string) (Binaries, error) {
	var best Binaries
	var old []string
	for _, pattern := range patterns {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return Binaries{}, err
		}
		for _, dir := range dirs {
			b, err := inspect(ctx, dir)
			if _, ok := errors.AsType[*tooOldError](err); ok {
				old = append(old, fmt.Sprintf("%s is version %d", dir, b.Major))
			}
			if err == nil && b.Major > best.Major {
				best = b
			}
		}
	}
	if best.Dir != "" {
		return best, nil
	}
	const advice = "install it (Debian, Ubuntu: apt install postgresql; Fedora: dnf install postgresql-server; " +
		"macOS: brew install postgresql@17), or give the address of a server with local.postgres_dsn"
	if len(old) > 0 {
		return Binaries{}, fmt.Errorf("%w of version %d or newer (%s): %s", ErrNoBinaries, MinMajor, strings.Join(old, ", "), advice)
	}
	return Binaries{}, fmt.Errorf("%w: %s", ErrNoBinaries, advice)
}

type tooOldError struct{ major int }

func (e *tooOldError) Error() string {
	return fmt.Sprintf("version %d is older than %d", e.major, MinMajor)
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// inspect asks the programs in dir for their version.
func inspect(ctx context.Context, dir string) (Binaries, error) {
	for _, name := range []string{"postgres", "initdb"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return Binaries{}, err
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return Binaries{}, fmt.Errorf("%s is not a program", filepath.Join(dir, name))
		}
	}
	cmd := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version")
	cmd.Env = childEnv()
	out, err := cmd.Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("ask %s for its version: %w", filepath.Join(dir, "postgres"), err)
	}
	m := versionPattern.FindSubmatch(bytes.TrimSpace(out))
	if m == nil {
		return Binaries{}, fmt.Errorf("%s does not tell a PostgreSQL version", filepath.Join(dir, "postgres"))
	}
	major, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return Binaries{}, err
	}
	b := Binaries{Dir: dir, Major: major}
	if major < MinMajor {
		return b, &tooOldError{major}
	}
	return b, nil
}

// childEnv is the whole environment of every PostgreSQL program: nothing of ours (PGHOST, PGDATA, passwords) leaks in.
func childEnv() []string {
	return []string{"PATH=/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}
