package azuresim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Metastore is one of Unity Catalog that the organisation has in its Databricks account.
type Metastore struct {
	Account string `json:"account"` // id of the Databricks account
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"` // empty means one made of the region
	Region  string `json:"region"`
	Storage string `json:"storage,omitempty"` // root, as abfss://container@account.dfs.core.windows.net/
}

// standGroup puts a group into a Databricks account, where people make them and deployments only look for them.
func (s *Sim) standGroup(account, name string) error {
	if account == "" || name == "" {
		return errors.New("a group needs account and name")
	}
	st := &s.w.Databricks
	for _, g := range st.Groups {
		if g.Account == account && strings.EqualFold(g.Name, name) {
			return nil
		}
	}
	stand(&st.Groups)
	id := strconv.Itoa(300000000000000 + 6151*len(st.Groups)) // no service makes such a number itself
	st.Groups[id] = &accountGroup{ID: id, Account: account, Name: name}
	return nil
}

// standMetastore puts a metastore where nobody made it. A region of an account has one at most.
func (s *Sim) standMetastore(in Metastore) error {
	if in.Account == "" || in.ID == "" || in.Region == "" {
		return errors.New("a metastore needs account, id and region")
	}
	if in.Name == "" {
		in.Name = "metastore-" + flat(in.Region)
	}
	st := &s.w.Databricks
	for _, other := range st.Metastores {
		switch {
		case other.ID == in.ID && other.Account == in.Account:
			return nil
		case other.ID == in.ID:
			return fmt.Errorf("metastore %s belongs to account %s", other.ID, other.Account)
		case other.Account == in.Account && flat(other.Region) == flat(in.Region):
			return fmt.Errorf("account %s has metastore %s in %s already", in.Account, other.Name, other.Region)
		}
	}
	stand(&st.Metastores)
	st.Metastores[in.ID] = &metastore{ID: in.ID, Account: in.Account, Name: in.Name, Region: flat(in.Region), Storage: in.Storage, Made: s.w.now()}
	return nil
}
