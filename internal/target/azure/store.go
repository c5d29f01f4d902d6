package azure

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"

	"github.com/flowehr/flowehr/internal/azure"
	"github.com/flowehr/flowehr/internal/azure/cloud"
)

func (t *Target) storeKeepers() map[string]keeper {
	a := storeAccess{c: t.o.Client, vaults: vaults{c: t.o.Client, patience: accessLimit}, graph: graph{t.o.Client}, sql: t.o.SQL}
	return map[string]keeper{
		azure.KindSQLPrincipal: keep(storePrincipalMinder{a}),
		azure.KindConnectivity: keep(connectivityMinder{a}),
		azure.KindTrigger:      keep(triggerMinder{t.o.Client}),
		azure.KindApproval:     keep(approvalMinder{t.o.Client}),
	}
}

// A database server that was just made, or whose firewall or directory access just changed, refuses for some minutes.
const (
	storePause = 10 * time.Second
	storeLimit = 10 * time.Minute
)

// storeAccess signs in to the feature store as an application of the directory.
type storeAccess struct {
	c      *cloud.Client
	vaults vaults
	graph  graph
	sql    SQL
}

// storeEngine is what differs between the engines of the feature store. The databases that it is given belong to whoever
// administers the server.
type storeEngine interface {
	// open signs in to a database. It makes no connection yet.
	open(ctx context.Context, a storeAccess, server, database string, login storeLogin) (*sql.DB, error)
	// passing recognises a refusal that passes by itself.
	passing(err error) bool
	// ensure makes the principal stand with exactly the roles. The second database is the one that keeps logins.
	ensure(ctx context.Context, db, logins *sql.DB, p storePrincipal) error
	// roles returns the principal's roles, and false when it or its login is missing or belongs to another object.
	roles(ctx context.Context, db, logins *sql.DB, p storePrincipal) ([]string, bool, error)
	remove(ctx context.Context, db, logins *sql.DB, p storePrincipal) error
	// logins is the name of the database that keeps logins.
	logins() string
	// probe makes the table, writes rows to it, reads them back and drops it.
	probe(ctx context.Context, db *sql.DB, table string) error
}

// storePrincipal is a user of the feature store.
type storePrincipal struct {
	Name     string
	ObjectID string // in the directory
	SID      string // what the directory calls it in tokens: of a group its object id, of an application its client id
	Group    bool
	Roles    []string
}

// storeLogin is an application that signs in.
type storeLogin struct {
	application string
	token       func(ctx context.Context) (string, error)
}

func engineOf(name string) (storeEngine, error) {
	switch name {
	case "mssql":
		return sqlServer{}, nil
	case "postgres":
		return postgres{}, nil
	}
	return nil, fmt.Errorf("the feature store has no engine %q; there are mssql and postgres", name)
}

// login reads the application's secret from the vault and returns how it signs in.
func (a storeAccess) login(ctx context.Context, l azure.AdminLogin, scope string) (storeLogin, error) {
	secret, err := a.vaults.value(ctx, l.Secret)
	if err != nil {
		return storeLogin{}, err
	}
	o := &azidentity.ClientSecretCredentialOptions{DisableInstanceDiscovery: true, ClientOptions: azcore.ClientOptions{
		Transport: a.c.Transport(), Retry: policy.RetryOptions{MaxRetries: -1}}}
	cred, err := azidentity.NewClientSecretCredential(a.c.Tenant(), text(l.Application), secret.Reveal(), o)
	if err != nil {
		return storeLogin{}, err
	}
	return storeLogin{application: text(l.Application), token: func(ctx context.Context) (string, error) {
		token, err := cred.GetToken(ctx, policy.TokenRequestOptions{Scopes: []string{scope}})
		if err != nil {
			return "", &signInRefused{err}
		}
		return token.Token, nil
	}}, nil
}

// signInRefused is a sign-in of an application that the directory refused. A password that was just made is refused until
// every replica knows it.
type signInRefused struct{ err error }

func (e *signInRefused) Error() string { return "sign in as the application: " + e.err.Error() }
func (e *signInRefused) Unwrap() error { return e.err }

// with opens database as an application and calls do, again while the refusal passes.
func (a storeAccess) with(ctx context.Context, e storeEngine, server, database string, admin azure.AdminLogin, patience time.Duration,
	do func(context.Context, *sql.DB) error) error {
	login, err := a.login(ctx, admin, scopeOf(e))
	if err != nil {
		return err
	}
	db, err := e.open(ctx, a, server, database, login)
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var last error
	err = until(ctx, a.c, "work on database "+database+" of "+server, storePause, patience, func() (bool, error) {
		if last = do(ctx, db); last == nil {
			return true, nil
		}
		if ctx.Err() == nil && storePassing(e, last) {
			if a.vaults.note != nil && patience > 0 {
				a.vaults.note("waiting until " + server + " lets us in")
			}
			return false, nil
		}
		return false, last
	})
	if err != nil && last != nil && storePassing(e, last) {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

func storePassing(e storeEngine, err error) bool {
	if _, ok := errors.AsType[*signInRefused](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return e.passing(err)
}

// scopeOf is what tokens for an engine are for.
func scopeOf(e storeEngine) string {
	if _, ok := e.(postgres); ok {
		return "https://ossrdbms-aad.database.windows.net/.default"
	}
	return "https://database.windows.net/.default"
}

// storePrincipalMinder looks after the users of the feature store.
type storePrincipalMinder struct{ storeAccess }

func storePrincipalMade(s azure.SQLPrincipalSpec) made {
	return made{id: s.Server + "/" + s.Database + "/" + s.Name}
}

// both opens the database and the one that keeps logins, and calls do.
func (m storePrincipalMinder) both(ctx context.Context, s azure.SQLPrincipalSpec, patience time.Duration,
	do func(ctx context.Context, e storeEngine, db, logins *sql.DB, p storePrincipal) error) error {
	e, err := engineOf(s.Engine)
	if err != nil {
		return err
	}
	p, err := m.principal(ctx, s)
	if err != nil {
		return err
	}
	return m.with(ctx, e, s.Server, e.logins(), s.Admin, patience, func(ctx context.Context, logins *sql.DB) error {
		return m.with(ctx, e, s.Server, s.Database, s.Admin, 0, func(ctx context.Context, db *sql.DB) error {
			return do(ctx, e, db, logins, p)
		})
	})
}

// principal finds out under which id the directory presents it. One that the directory does not know any more has none.
func (m storePrincipalMinder) principal(ctx context.Context, s azure.SQLPrincipalSpec) (storePrincipal, error) {
	p := storePrincipal{Name: s.Name, ObjectID: text(s.ObjectID), SID: text(s.ObjectID), Group: s.Group, Roles: s.Roles}
	if s.Group {
		return p, nil
	}
	var sp servicePrincipal
	err := m.graph.call(ctx, "GET", "/servicePrincipals/"+p.ObjectID+"?$select=id,appId", nil, &sp)
	if err != nil && !cloud.NotFound(err) {
		return p, err
	}
	p.SID = sp.AppID
	return p, nil
}

func (m storePrincipalMinder) ensure(ctx context.Context, s azure.SQLPrincipalSpec, t task) (made, error) {
	m.vaults = m.vaults.noting(t)
	err := m.both(ctx, s, storeLimit, func(ctx context.Context, e storeEngine, db, logins *sql.DB, p storePrincipal) error {
		return e.ensure(ctx, db, logins, p)
	})
	return storePrincipalMade(s), err
}

func (m storePrincipalMinder) read(ctx context.Context, s azure.SQLPrincipalSpec, _ string) (azure.SQLPrincipalSpec, made, error) {
	var have []string
	var found bool
	err := m.both(ctx, s, 0, func(ctx context.Context, e storeEngine, db, logins *sql.DB, p storePrincipal) (err error) {
		have, found, err = e.roles(ctx, db, logins, p)
		return err
	})
	if err != nil || !found {
		return s, made{}, cmpErr(err, gone("user %s of database %s", s.Name, s.Database))
	}
	s.Roles = asWanted(s.Roles, have)
	return s, storePrincipalMade(s), nil
}

// remove waits for the server, not for the vault: a role that was given long ago has taken effect, and one that is shut out stays so.
func (m storePrincipalMinder) remove(ctx context.Context, s azure.SQLPrincipalSpec, _ string) error {
	m.vaults.patience = 0
	return m.both(ctx, s, storeLimit, func(ctx context.Context, e storeEngine, db, logins *sql.DB, p storePrincipal) error {
		return e.remove(ctx, db, logins, p)
	})
}

// connectivityMinder proves that whoever writes features reaches the store and may write. Nothing of it remains, so there
// is nothing to read or to remove: the proof is given again when its description changes.
type connectivityMinder struct{ storeAccess }

func (m connectivityMinder) ensure(ctx context.Context, s azure.ConnectivitySpec, t task) (made, error) {
	e, err := engineOf(s.Engine)
	if err != nil {
		return made{}, err
	}
	t.in.Note("writing and reading a table of the feature store")
	m.vaults = m.vaults.noting(t)
	err = m.with(ctx, e, s.Server, s.Database, s.Writer, storeLimit, func(ctx context.Context, db *sql.DB) error {
		return e.probe(ctx, db, s.Table)
	})
	return connectivityMade(s), err
}

func connectivityMade(s azure.ConnectivitySpec) made { return made{id: s.Server + "/" + s.Database} }

func (m connectivityMinder) read(_ context.Context, s azure.ConnectivitySpec, _ string) (azure.ConnectivitySpec, made, error) {
	return s, connectivityMade(s), nil
}

func (m connectivityMinder) remove(context.Context, azure.ConnectivitySpec, string) error { return nil }
