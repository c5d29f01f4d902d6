package lake

import (
	"fmt"
	"slices"
	"strings"
)

// Name is a table's name. Both parts are lower-case letters, digits and underscores and begin with a letter, so that
// they mean the same as a directory, in SQL and in every file system.
type Name struct{ Zone, Table string }

// String returns the name as SQL has it, zone.table.
func (n Name) String() string { return n.Zone + "." + n.Table }

// maxName is the longest part of a name, in bytes.
const maxName = 63

// taken are names that the engine gives a meaning of its own.
var taken = []string{"main", "temp", "system", "memory", "pg_catalog", "information_schema", "default"}

// ParseName reads zone.table. Upper case is accepted and folded, as SQL does with names.
func ParseName(s string) (Name, error) {
	zone, table, ok := strings.Cut(strings.ToLower(s), ".")
	if !ok {
		return Name{}, fmt.Errorf("table name %q: want zone.table", s)
	}
	n := Name{Zone: zone, Table: table}
	if err := n.check(); err != nil {
		return Name{}, err
	}
	return n, nil
}

func (n Name) check() error {
	if err := checkZone(n.Zone); err != nil {
		return err
	}
	return checkPart("table", n.Table)
}

func checkZone(z string) error {
	if slices.Contains(taken, z) {
		return fmt.Errorf("zone name %q is taken by the SQL engine: choose another", z)
	}
	return checkPart("zone", z)
}

func checkPart(what, s string) error {
	if s == "" {
		return fmt.Errorf("%s name is empty", what)
	}
	if len(s) > maxName {
		return fmt.Errorf("%s name %q is longer than %d characters", what, s, maxName)
	}
	for i, c := range []byte(s) {
		if c >= 'a' && c <= 'z' || i > 0 && (c >= '0' && c <= '9' || c == '_') {
			continue
		}
		return fmt.Errorf("%s name %q: only lower-case letters, digits and _ are allowed, and a letter first", what, s)
	}
	return nil
}
