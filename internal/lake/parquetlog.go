package lake

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
)

// parquetLog reads and writes the checkpoints of all tables with one engine that stays open: opening one for each
// would cost more than the work. No text of a user ever reaches it.
type parquetLog struct {
	lake *Lake

	mu sync.Mutex
	db *sql.DB
}

func (p *parquetLog) engine(ctx context.Context) (*sql.DB, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.db != nil {
		return p.db, nil
	}
	db, err := openEngine()
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx, "SET memory_limit = '256MB'; SET threads = 1; SET temp_directory = ''; SET autoinstall_known_extensions = false;"+
		"SET autoload_known_extensions = false; SET allowed_directories = "+quoteTexts([]string{p.lake.dir})+
		"; SET enable_external_access = false; SET lock_configuration = true")
	if err != nil {
		db.Close()
		return nil, engineError(ctx, err)
	}
	p.db = db
	return db, nil
}

func (p *parquetLog) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.db == nil {
		return nil
	}
	db := p.db
	p.db = nil
	return db.Close()
}

// ReadActions implements [delta.Parquet].
func (p *parquetLog) ReadActions(ctx context.Context, path string, each func([]byte) error) error {
	db, err := p.engine(ctx)
	if err != nil {
		return err
	}
	rows, err := db.QueryContext(ctx, "SELECT CAST(to_json(c) AS VARCHAR) FROM read_parquet("+quoteText(path)+") c")
	if err != nil {
		return engineError(ctx, err)
	}
	defer rows.Close()
	for rows.Next() {
		var line sql.RawBytes
		if err := rows.Scan(&line); err != nil {
			return err
		}
		if err := each(line); err != nil {
			return err
		}
	}
	return engineError(ctx, rows.Err())
}

// checkpointColumns is the schema of a checkpoint as the protocol wants it.
const checkpointColumns = `{
	protocol: 'STRUCT(minReaderVersion INTEGER, minWriterVersion INTEGER)',
	metaData: 'STRUCT(id VARCHAR, "name" VARCHAR, description VARCHAR, format STRUCT(provider VARCHAR, options MAP(VARCHAR, VARCHAR)),
		schemaString VARCHAR, partitionColumns VARCHAR[], configuration MAP(VARCHAR, VARCHAR), createdTime BIGINT)',
	txn: 'STRUCT(appId VARCHAR, "version" BIGINT, lastUpdated BIGINT)',
	add: 'STRUCT(path VARCHAR, partitionValues MAP(VARCHAR, VARCHAR), size BIGINT, modificationTime BIGINT, dataChange BOOLEAN, stats VARCHAR,
		tags MAP(VARCHAR, VARCHAR))',
	remove: 'STRUCT(path VARCHAR, deletionTimestamp BIGINT, dataChange BOOLEAN)'
}`

// WriteActions implements [delta.Parquet].
func (p *parquetLog) WriteActions(ctx context.Context, ndjson, path string) error {
	db, err := p.engine(ctx)
	if err != nil {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("COPY (SELECT * FROM read_json(%s, format = 'newline_delimited', maximum_object_size = 134217728, columns = %s)) TO %s (FORMAT parquet, COMPRESSION snappy)",
		quoteText(ndjson), checkpointColumns, quoteText(path)))
	return engineError(ctx, err)
}
