package azuresim

// planesState is what the services keep that are not Azure Resource Manager.
type planesState struct {
	Vaults     map[string]*vaultState     `json:"vaults,omitempty"` // by lower-case name
	Databricks databricksState            `json:"databricks"`
	SQL        map[string]*sqlServerState `json:"sql,omitempty"` // by lower-case name of the server
	Factories  map[string]*factoryState   `json:"factories,omitempty"`
	Blobs      map[string]*blobAccount    `json:"blobs,omitempty"`
	Tokens     map[string][]tokenPassword `json:"tokens,omitempty"` // of registries, by key
	GitHub     gitHubState                `json:"github"`
}

// planes has every service that keeps data answer for its hosts.
func (s *Sim) planes() {
	g := &graph{w: s.w, tenant: s.o.Tenant}
	s.w.on("graph-purge", g.purge)
	s.host(graphHost, g.serve, "https://"+graphHost, graphApp)

	s.host("*.vault.azure.net", newVaults(s.w, s.manager).serve, "https://vault.azure.net")

	bricks := newDatabricks(s.w, s.manager)
	s.host(databricksAccountHost, bricks.serve, databricksAudience)
	s.host("*.azuredatabricks.net", bricks.serve, databricksAudience)

	s.host("*.blob.core.windows.net", newBlobs(s.w, s.manager).serve, "https://storage.azure.com")

	newFactories(s.w, s.manager, bricks)
	newRegistries(s.w, s.manager)
	newLogs(s)
	newGitHub(s)

	sql := newSQLServers(s)
	s.conn("*.database.windows.net", "tds/8.0", sql.serve)
	s.conn("*.postgres.database.azure.com", "postgresql", refusePostgres)
}

// populatePlanes puts into a new world what those services have from the beginning.
func (s *Sim) populatePlanes() {
	s.w.Directory.seedGraph(s.o.Seed, s.w.now())
}
