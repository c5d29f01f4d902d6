//go:build !cgo

package lake

import "database/sql"

// haveEngine tells that this binary contains the SQL engine.
const haveEngine = false

func openEngine() (*sql.DB, error) { return nil, ErrNoEngine }

func engineMessage(error) (string, bool) { return "", false }

func engineMap(any) map[string]any { return nil }

func plain(v any) any { return v }

func registerRows(*sql.Conn, string, *rowFeed, int) error { return ErrNoEngine }
