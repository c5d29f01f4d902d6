package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/flowehr/flowehr"
	"github.com/flowehr/flowehr/internal/activity"
	"github.com/flowehr/flowehr/internal/activity/connect"
	"github.com/flowehr/flowehr/internal/activity/folder"
	"github.com/flowehr/flowehr/internal/apply"
	"github.com/flowehr/flowehr/internal/audit"
	"github.com/flowehr/flowehr/internal/service/postgres"
	"github.com/flowehr/flowehr/internal/synth"
	"github.com/flowehr/flowehr/internal/vault"
)

// sourceKeeper looks after data sources. A real source is somebody else's: nothing is made and nothing removed. Where
// made-up data stands in for one, its database or folder is made and filled.
type sourceKeeper struct{ *Host }

func (k sourceKeeper) ensure(ctx context.Context, r flowehr.Resource, in apply.Inputs) error {
	spec, err := decode[sourceSpec](r)
	if err != nil || spec.Synthetic == nil {
		return err
	}
	hospital, err := synth.New(synth.Options{Patients: spec.Synthetic.Patients, Seed: spec.Synthetic.Seed})
	if err != nil {
		return err
	}
	in.Note(fmt.Sprintf("making up %d patients", spec.Synthetic.Patients))
	if spec.Kind == flowehr.SourceFolder {
		return fillFolder(ctx, k.standInFolder(r.Ref.Name), hospital)
	}
	if spec.Kind != flowehr.SourcePostgreSQL {
		return fmt.Errorf("made-up data cannot stand in for a source of kind %s: only postgresql and folder", spec.Kind)
	}
	return k.fillDatabase(ctx, standInDatabase(r.Ref.Name), spec, hospital)
}

func (k sourceKeeper) outputs(r flowehr.Resource) (map[string]string, error) {
	spec, err := decode[sourceSpec](r)
	switch {
	case err != nil || spec.Synthetic == nil:
		return nil, err
	case spec.Kind == flowehr.SourceFolder:
		return map[string]string{"folder": k.standInFolder(r.Ref.Name)}, nil
	}
	return map[string]string{"database": standInDatabase(r.Ref.Name)}, nil
}

// fillDatabase makes the stand-in database and a login that may read it. A database whose comment says that it holds
// this very data is left as it is; one that a crash left half made has no comment and is made again.
func (k sourceKeeper) fillDatabase(ctx context.Context, database string, spec sourceSpec, hospital *synth.Hospital) error {
	mark := fmt.Sprintf("flowehr stand-in: %d patients, seed %d", spec.Synthetic.Patients, spec.Synthetic.Seed)
	reader, password, err := k.standInLogin(ctx, spec.Username, spec.Password)
	if err != nil {
		return err
	}
	admin, err := k.pool(ctx, k.adminDatabase())
	if err != nil {
		return err
	}
	if err := k.claimRole(ctx, reader); err != nil {
		return err
	}
	if err := postgres.EnsureRole(ctx, admin, postgres.Role{Name: reader, Password: password, Connections: 20}); err != nil {
		return err
	}
	done, err := k.ask(ctx, "select true from pg_database d join pg_shdescription s on s.objoid = d.oid where d.datname = $1 and s.description = $2", database, mark)
	if err != nil {
		return err
	}
	if !done {
		if err := k.dropDatabase(ctx, database); err != nil {
			return err
		}
		if err := k.ensureDatabase(ctx, database, ""); err != nil {
			return err
		}
		if err := k.fillAs(ctx, database, hospital); err != nil {
			return err
		}
	}
	if err := postgres.GrantConnect(ctx, admin, database, reader); err != nil {
		return err
	}
	pool, err := k.pool(ctx, database)
	if err != nil {
		return err
	}
	defer k.forget(database)
	to := pgx.Identifier{reader}.Sanitize()
	if _, err := pool.Exec(ctx, "grant usage on schema "+standInSchema+" to "+to+"; grant select on all tables in schema "+standInSchema+" to "+to); err != nil {
		return err
	}
	if done {
		return nil
	}
	// Last: the comment says that all of it is there. It is a literal of numbers.
	_, err = admin.Exec(ctx, "comment on database "+pgx.Identifier{database}.Sanitize()+" is '"+mark+"'")
	return err
}

func (k sourceKeeper) fillAs(ctx context.Context, database string, hospital *synth.Hospital) error {
	pool, err := k.pool(ctx, database)
	if err != nil {
		return err
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return fillTables(ctx, conn.Conn(), hospital)
}

// standInLogin is the user and password that the definition gives to the source. Where a secret of it has no value one
// is generated, because nobody knows the password of a database that does not exist.
func (h *Host) standInLogin(ctx context.Context, username, password flowehr.Text) (string, flowehr.Secret, error) {
	lookup := func(name string) (flowehr.Secret, error) {
		if s, err := h.Secret(ctx, name); err == nil {
			return s, nil
		}
		return h.vault.Ensure(ctx, name, vault.Password)
	}
	user, err := username.Resolve(lookup)
	if err != nil {
		return "", flowehr.Secret{}, err
	}
	secret, err := password.Resolve(lookup)
	if err != nil {
		return "", flowehr.Secret{}, err
	}
	return user.Reveal(), secret, nil
}

func (k sourceKeeper) exists(ctx context.Context, r flowehr.Resource) (bool, error) {
	spec, err := decode[sourceSpec](r)
	switch {
	case err != nil:
		return false, err
	case spec.Synthetic == nil:
		return true, nil
	case spec.Kind == flowehr.SourceFolder:
		_, err := os.Stat(k.standInFolder(r.Ref.Name))
		if errors.Is(err, os.ErrNotExist) {
			return false, nil
		}
		return err == nil, err
	}
	return k.databaseExists(ctx, standInDatabase(r.Ref.Name))
}

func (k sourceKeeper) remove(ctx context.Context, r flowehr.Resource) error {
	spec, err := decode[sourceSpec](r)
	if err != nil || spec.Synthetic == nil {
		return err
	}
	if spec.Kind == flowehr.SourceFolder {
		return removeFolder(k.standInFolder(r.Ref.Name))
	}
	if err := k.dropDatabase(ctx, standInDatabase(r.Ref.Name)); err != nil {
		return err
	}
	reader, _, err := k.standInLogin(ctx, spec.Username, spec.Password)
	if err != nil {
		return err
	}
	return k.dropRole(ctx, reader)
}

func standInDatabase(source string) string { return "source_" + source }

func (h *Host) standInFolder(source string) string { return filepath.Join(h.Paths.Sources, source) }

// LinkedServices names every linked service that pipelines of env may use on this machine.
func LinkedServices(env *flowehr.Environment) []string {
	names := []string{activity.LakeService, activity.StoreService, activity.StorageService}
	for _, s := range env.Sources {
		names = append(names, s.Name)
	}
	for name := range env.Local.LinkedServices {
		names = append(names, name)
	}
	return names
}

// Source returns what stands behind a linked service: a data source, made-up data in its place, or what the
// configuration of this machine puts there. It is activity.Sources.
func (h *Host) Source(ctx context.Context, name string) (activity.Source, bool, error) {
	for _, s := range h.live.Load().sources {
		if s.Name == name {
			src, err := h.dataSource(ctx, s)
			return src, true, err
		}
	}
	if s, ok := h.live.Load().services[name]; ok {
		src, err := h.dataSource(ctx, flowehr.Source{Name: name, Kind: s.Kind, Host: s.Host, Port: s.Port, Database: s.Database,
			Username: s.Username, Password: s.Password, TLS: s.TLS, Path: s.Path})
		return src, true, err
	}
	switch name {
	case activity.StorageService:
		return activity.Source{Kind: flowehr.SourceFolder, Folder: h.Paths.Lake}, true, nil
	case activity.StoreService:
		return h.storeConnection(ctx)
	}
	return activity.Source{}, false, nil
}

func (h *Host) dataSource(ctx context.Context, s flowehr.Source) (activity.Source, error) {
	_, standIn := h.live.Load().synthetic[s.Name]
	if s.Kind == flowehr.SourceFolder {
		dir := s.Path
		switch {
		case standIn:
			dir = h.standInFolder(s.Name)
		case !filepath.IsAbs(dir):
			dir = filepath.Join(h.Paths.Root, dir)
		}
		return activity.Source{Kind: s.Kind, Folder: dir}, nil
	}
	if standIn {
		user, password, err := h.standInLogin(ctx, s.Username, s.Password)
		if err != nil {
			return activity.Source{}, err
		}
		return h.ownServer(s.Name, standInDatabase(s.Name), user, password)
	}
	user, err := h.resolve(ctx, s.Username)
	if err != nil {
		return activity.Source{}, err
	}
	password, err := h.resolve(ctx, s.Password)
	if err != nil {
		return activity.Source{}, err
	}
	return activity.Source{Kind: s.Kind, Database: connect.Config{Name: s.Name, Kind: s.Kind, Host: s.Host, Port: s.Port, Database: s.Database,
		Username: user.Reveal(), Password: password, TLS: s.TLS}}, nil
}

// ownServer addresses a database of the environment's own server as somebody other than its administrator.
func (h *Host) ownServer(name, database, user string, password flowehr.Secret) (activity.Source, error) {
	c, err := h.server.config(database)
	if err != nil {
		return activity.Source{}, err
	}
	tls := "require"
	if c.ConnConfig.TLSConfig == nil {
		tls = "disable" // a Unix socket, or what the address of an external server asks for
	}
	return activity.Source{Kind: flowehr.SourcePostgreSQL, Database: connect.Config{Name: name, Kind: flowehr.SourcePostgreSQL,
		Host: c.ConnConfig.Host, Port: int(c.ConnConfig.Port), Database: database, Username: user, Password: password, TLS: tls}}, nil
}

// storeConnection reads the feature store as the identity of pipelines.
func (h *Host) storeConnection(ctx context.Context) (activity.Source, bool, error) {
	password, err := h.vault.Get(writerPassword)
	if err != nil {
		return activity.Source{}, true, err
	}
	s, err := h.ownServer(activity.StoreService, storeDatabase, writerRole, password)
	return s, true, err
}

// SourceTest is the outcome of connecting to a source.
type SourceTest struct {
	Name string        `json:"name"`
	OK   bool          `json:"ok"`
	Text string        `json:"text"`
	Fix  string        `json:"fix,omitempty"`
	At   time.Time     `json:"at"`
	Took time.Duration `json:"took"` // nanoseconds
}

// TestSource connects to a source of the definition, or looks into its folder. What is wrong with the source is part of
// the result; the error is of the test itself.
func (h *Host) TestSource(ctx context.Context, name string) (SourceTest, error) {
	t := SourceTest{Name: name, At: h.Now()}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	began := time.Now()
	text, err := h.testSource(ctx, name)
	t.Took, t.Text, t.OK = time.Since(began), text, err == nil
	entry := audit.Entry{Action: "source.test", Subject: "source/" + name, Outcome: "ok"}
	if err != nil {
		t.Text, t.Fix = err.Error(), fixFor(err)
		entry.Outcome = "failed"
	}
	return t, h.Audit(context.WithoutCancel(ctx), entry)
}

func (h *Host) testSource(ctx context.Context, name string) (string, error) {
	s, ok, err := h.Source(ctx, name)
	if err != nil {
		return "", err
	}
	if !ok {
		return "", fmt.Errorf("there is no source %q", name)
	}
	if s.Kind == flowehr.SourceFolder {
		files, err := folder.Find(s.Folder, folder.Pattern{Recursive: true})
		if err != nil {
			return "", fmt.Errorf("%s: %w", s.Folder, err)
		}
		return fmt.Sprintf("%d files in %s", len(files), s.Folder), nil
	}
	version, err := connect.Test(ctx, s.Database)
	if err != nil {
		return "", err
	}
	db, err := connect.Open(ctx, s.Database)
	if err != nil {
		return "", err
	}
	defer db.Close()
	tables, err := db.Tables(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %d tables can be read", version, len(tables)), nil
}

// fixFor says what to do about a source that cannot be reached.
func fixFor(err error) string {
	e, ok := errors.AsType[*connect.Error](err)
	if !ok {
		return ""
	}
	switch e.Reason {
	case connect.UnknownHost:
		return "Check fqdn in data_source_connections, and that this machine can resolve the name."
	case connect.Unreachable:
		return "Check the port, the firewall between here and there, and that the environment runs when made-up data stands in."
	case connect.Login:
		return "Check the user name, and set the password with: flowehr secrets set NAME"
	case connect.UnknownDatabase:
		return "Check database in data_source_connections."
	case connect.Encryption:
		return "Ask for the server's certificate authority, or set tls: require to encrypt without checking who it is."
	}
	return ""
}
